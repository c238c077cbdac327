"""Training steps whose sequence length was never seen before: what a plan costs the program that needs a new one each time."""
import harness


def run(args, report):
    report.section("shapes", "Training step, another sequence length each time (transformer, 4 layers of 64, batch 4)",
                   [("cores", "cores", "<6"), ("eager ms", "eager_ms", "9.2f"), ("moai ms", "moai_ms", "9.2f"),
                    ("eager / moai", "ratio", "12.2f")])
    for cores in args.cores:
        threads = len(cores.split(","))
        eager = harness.Worker("shape_worker.py", "cpu", threads, cores=cores)
        moai = harness.Worker("shape_worker.py", "cuda", threads, cores=cores, moai=["--local"])
        steps = 3 if args.quick else 12
        for worker in (eager, moai):
            worker.call("steps", 2)
        ratio, plain, ours = harness.interleave(args.rounds, lambda: eager.call("steps", steps), lambda: moai.call("steps", steps))
        eager.close(), moai.close()
        report.row(dict(cores=cores, ratio=ratio, eager_ms=1e3 * plain / steps, moai_ms=1e3 * ours / steps))
