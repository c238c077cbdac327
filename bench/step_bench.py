"""Training step: moai (client and server together on the cores that eager has) against local PyTorch eager.

Memory is the most that was resident since the start (VmHWM). Client and server share the pages of the shm link,
which count in both.
"""
import harness
import models


def run(args, report):
    names = args.jobs.split(",") if args.jobs else models.EXAMPLES + models.MODELS
    for cores in args.cores:
        for precision in args.precision.split(","):
            report.section("step", f"Training step, {precision}{' autocast' if precision == 'bf16' else ''}, cores {cores}",
                           [("job", "job", "<11"), ("eager ms", "eager_ms", "9.2f"), ("moai ms", "moai_ms", "9.2f"),
                            ("eager / moai", "ratio", "12.2f"), ("eager MiB", "eager_peak_mib", "9.0f"),
                            ("client MiB", "client_peak_mib", "10.0f"), ("server MiB", "server_peak_mib", "10.0f"),
                            ("moai / eager", "memory", "12.2f")])
            ratios = []
            for job in names:
                row = measure(job, precision, cores, args.rounds, args.quick)
                report.row(row)
                ratios.append(row["ratio"])
            report.note(f"geometric mean {harness.geometric_mean(ratios):.2f}, lowest {min(ratios):.2f}")


def measure(job, precision, cores, rounds, quick):
    eager = harness.Worker("step_worker.py", job, "cpu", precision, len(cores.split(",")), cores=cores)
    moai = harness.Worker("step_worker.py", job, "cuda", precision, len(cores.split(",")), cores=cores, moai=["--local"])
    for worker in (eager, moai):
        for _ in range(1 if quick else 2):
            worker.call("steps", 5)
    n = max(3, min(100, int((0.05 if quick else 0.4) / (eager.call("steps", 5) / 5))))
    ratio, plain, ours = harness.interleave(rounds, lambda: eager.call("steps", n), lambda: moai.call("steps", n))
    peaks = [eager.call("peak_kib") / 1024, moai.call("peak_kib") / 1024, moai.server_peak_kib() / 1024]
    eager.close(), moai.close()
    return dict(job=job, precision=precision, cores=cores, steps=n, ratio=ratio, eager_ms=1e3 * plain / n, moai_ms=1e3 * ours / n,
                eager_peak_mib=peaks[0], client_peak_mib=peaks[1], server_peak_mib=peaks[2], memory=(peaks[1] + peaks[2]) / peaks[0])
