"""One side of the step benchmark: trains a job as told on stdin ("N": run N steps, print the seconds)."""
import resource
import sys
import time

import common_path  # noqa: F401
import models
import torch

import common


def main():
    name, device, precision, threads = sys.argv[1:5]
    torch.set_num_threads(int(threads))
    model, optimizer, batches, loss_of, args = models.make(name, device, precision)
    step = 0
    for line in sys.stdin:
        begin = time.perf_counter()
        for _ in range(int(line)):
            step += 1
            batch = [t.to(device, non_blocking=True) for t in batches(step)]
            with common.autocast(args):
                loss = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        value = loss.item()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(time.perf_counter() - begin, value, peak, flush=True)


if __name__ == "__main__":
    main()
