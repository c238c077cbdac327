"""All benches: a table each, and JSON lines that carry the conditions.

usage: run.py [--only ops,step] [--json FILE] [--rounds N] [--cores 0 or 0,1] [--quick]
Yardstick and moai are timed in turn in one run; a ratio is yardstick / moai (above 1: moai is faster) and is the
median of its rounds. Times are medians too.
"""
import argparse

import copy_bench
import harness
import kill_bench
import op_bench
import start_bench
import shape_bench
import step_bench
import sync_bench

BENCHES = {"ops": op_bench, "sync": sync_bench, "copy": copy_bench, "start": start_bench, "step": step_bench, "shapes": shape_bench,
           "kill": kill_bench}


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default=",".join(BENCHES), help="benches, comma-separated: " + " ".join(BENCHES))
    p.add_argument("--json", metavar="FILE", help="append a line per figure")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--cores", action="append", metavar="LIST", help="cores for `step` and `shapes`, as 0 or 0,1; may be repeated (default: one, then two)")
    p.add_argument("--jobs", help="jobs of `step`, comma-separated (default: all)")
    p.add_argument("--precision", default="f32,bf16", help="of `step`: f32, bf16 (autocast)")
    p.add_argument("--quick", action="store_true", help="the shortest run that goes through everything; its figures mean nothing")
    args = p.parse_args()
    for name in args.only.split(","):
        if name not in BENCHES:
            p.error(f"no bench is called {name}; there are: {' '.join(BENCHES)}")
    if args.quick:
        args.rounds, args.cores, args.jobs, args.precision = 1, [harness.all_cores()], "mlp", "f32"
    args.cores = args.cores or list(dict.fromkeys([harness.all_cores().split(",")[0], harness.all_cores()]))
    return args


def main():
    args = parse()
    facts = {**harness.conditions(), "rounds": args.rounds}
    print(", ".join(f"{key}: {value}" for key, value in facts.items()))
    report = harness.Report(args.json, facts)
    for name in args.only.split(","):
        BENCHES[name].run(args, report)


if __name__ == "__main__":
    main()
