"""Programs that are another one at every step, after 50 steps: what plans cost those who need new ones, and reads those who
decide by them."""
import harness

PROGRAMS = ("text", "crops", "cache", "generate", "branches")


def run(args, report):
    report.section("shapes", "A step that is another one each time, after 50 steps",
                   [("program", "program", "<10"), ("cores", "cores", "<6"), ("eager ms", "eager_ms", "9.2f"),
                    ("moai ms", "moai_ms", "9.2f"), ("eager / moai", "ratio", "12.2f")])
    for cores in args.cores:
        for program in PROGRAMS:
            threads = len(cores.split(","))
            eager = harness.Worker("shape_worker.py", program, "cpu", threads, cores=cores)
            moai = harness.Worker("shape_worker.py", program, "cuda", threads, cores=cores, moai=["--local"])
            steps = 3 if args.quick else 20
            for worker in (eager, moai):
                worker.call("steps", 3 if args.quick else 50)
            ratio, plain, ours = harness.interleave(args.rounds, lambda: eager.call("steps", steps),  # noqa: B023
                                                    lambda: moai.call("steps", steps))  # noqa: B023
            eager.close(), moai.close()
            report.row(dict(program=program, cores=cores, ratio=ratio, eager_ms=1e3 * plain / steps, moai_ms=1e3 * ours / steps))
