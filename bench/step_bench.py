"""Training step: moai (client and server on the same cores) against local PyTorch eager, interleaved.

usage: step_bench.py [--jobs a,b] [--cores 0 or 0,1] [--rounds 7] [--precision f32,bf16] [--json FILE]
A round times eager, moai, eager on the same number of steps; the figure is the median of the ratios eager/moai.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

import models

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Side:
    def __init__(self, job, precision, cores, moai):
        threads = len(cores.split(","))
        command = [sys.executable, str(ROOT / "bench" / "step_worker.py"), job, "cuda" if moai else "cpu", precision, str(threads)]
        if moai:
            command = [str(ROOT / "build" / "moai"), "run", "--local", *command]
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they slow the yardstick's BLAS down
            env.pop(name, None)
        self.process = subprocess.Popen(["taskset", "-c", cores, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=env)

    def steps(self, n):
        """Seconds for n steps."""
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("bench: a worker ended early; its message is above")
        seconds, self.loss, self.peak_kib = line.split()
        return float(seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def measure(job, precision, cores, rounds):
    eager, moai = Side(job, precision, cores, False), Side(job, precision, cores, True)
    for side in (eager, moai):
        side.steps(5)
        side.steps(5)
    n = max(3, min(100, int(0.4 / (eager.steps(5) / 5))))
    ratios, eager_ms, moai_ms = [], [], []
    for _ in range(rounds):
        a = eager.steps(n)
        b = moai.steps(n)
        c = eager.steps(n)
        ratios.append((a + c) / 2 / b)
        eager_ms += [1e3 * a / n, 1e3 * c / n]
        moai_ms.append(1e3 * b / n)
    row = dict(job=job, precision=precision, cores=cores, steps=n, rounds=rounds, ratio=statistics.median(ratios),
               eager_ms=statistics.median(eager_ms), moai_ms=statistics.median(moai_ms),
               eager_peak_mib=int(eager.peak_kib) / 1024, client_peak_mib=int(moai.peak_kib) / 1024)
    eager.close(), moai.close()
    return row


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--jobs", default=",".join(models.EXAMPLES + models.MODELS[:4]))
    p.add_argument("--cores", default="0,1")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--precision", default="f32")
    p.add_argument("--json", metavar="FILE")
    args = p.parse_args()
    rows = []
    print(f"{'job':12} {'dtype':5} {'eager':>10} {'moai':>10}   eager/moai", flush=True)
    for precision in args.precision.split(","):
        for job in args.jobs.split(","):
            row = measure(job, precision, args.cores, args.rounds)
            rows.append(row)
            print(f"{job:12} {precision:5} {row['eager_ms']:7.2f} ms {row['moai_ms']:7.2f} ms   {row['ratio']:.2f}x", flush=True)
            if args.json:
                with open(args.json, "a") as f:
                    f.write(json.dumps(row) + "\n")
        mine = [r["ratio"] for r in rows if r["precision"] == precision]
        mean = math.exp(sum(map(math.log, mine)) / len(mine))
        print(f"{'geometric mean':18} {precision:5} {mean:.2f}x, lowest {min(mine):.2f}x", flush=True)


if __name__ == "__main__":
    main()
