"""Trains an example and writes the session's counters at the beginning of steps 10 to 50, and after the last.

usage: steady_steps.py EXAMPLE OUT [read_every]; run it by `moai run`. The training loop is the examples' own.
"""
import argparse
import importlib
import json
import pathlib
import sys

import torch  # noqa: F401  (loads the bridge)

import moai_torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))
import common  # noqa: E402

FIRST, LAST = 10, 50


def main():
    name, out, read_every = sys.argv[1], sys.argv[2], int((sys.argv[3:] or ["1"])[0])
    module = importlib.import_module(name)
    args = argparse.Namespace(device="cuda", batch=16, lr=1e-3, seed=0, dropout=0.1, precision="f32", losses=None, times=None)
    vars(args).update(module.DEFAULTS, steps=LAST)
    model, optimizer, batches, loss_of = module.setup(args)
    counted = []

    def watched(step):
        if step == FIRST:
            moai_torch.wait_plans()
        if step >= FIRST:
            counted.append(moai_torch.stats())
        return batches(step)

    common.train(model, optimizer, watched, loss_of, args, read_every)
    counted.append(moai_torch.stats())
    pathlib.Path(out).write_text(json.dumps(counted))


if __name__ == "__main__":
    main()
