"""One side of step_bench.py: trains a job, some steps a command."""
import itertools
import resource
import sys
import time

import torch

import harness
import models

name, device, precision, threads = sys.argv[1:5]
torch.set_num_threads(int(threads))
model, optimizer, batches, loss_of, args = models.make(name, device, precision)
counter = itertools.count()


def steps(count):
    """Seconds, with one read of the loss at the end."""
    begin = time.perf_counter()
    for _ in range(count):
        batch = [t.to(device, non_blocking=True) for t in batches(next(counter))]
        with models.common.autocast(args):
            loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if not torch.isfinite(loss).item():
        raise SystemExit(f"{name}: the loss is {loss.item()}, so the work is not that of training")
    return time.perf_counter() - begin


harness.serve_commands(steps=steps, peak_kib=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
