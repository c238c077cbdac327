"""What the examples share: flags, precision, the training loop with its progress line and loss file.

Nothing here knows moai: every example is plain PyTorch and runs the same on a CPU, a GPU or under `moai run`.
"""
import argparse
import contextlib
import json
import sys
import time

import torch


def arguments(description, **defaults):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--steps", type=int, default=defaults.pop("steps", 50))
    p.add_argument("--batch", type=int, default=defaults.pop("batch", 16))
    p.add_argument("--lr", type=float, default=defaults.pop("lr", 1e-3))
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--dropout", type=float, default=0.0)
    p.add_argument("--precision", choices=["f64", "f32", "bf16"], default="f32", help="bf16: autocast")
    p.add_argument("--losses", metavar="FILE", help="write the losses as JSON")
    p.add_argument("--times", metavar="FILE", help="write seconds per step (device synchronized) as JSON")
    for name, value in defaults.items():
        p.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    return p.parse_args()


def prepare(model, args):
    """Weights are made on the CPU from the seed, then moved, so that every device starts alike."""
    if args.precision == "f64":
        model = model.double()
    return model.to(args.device)


def real(args):
    return torch.float64 if args.precision == "f64" else torch.float32


def autocast(args):
    if args.precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(args.device).type, dtype=torch.bfloat16)


def synchronize(args):
    if args.device.startswith("cuda"):
        torch.cuda.synchronize()


def train(model, optimizer, batches, loss_of, args, read_every=1):
    """Runs args.steps steps; loss_of(model, batch) -> loss. Returns the losses as Python floats."""
    losses, times = [], []
    is_terminal = sys.stderr.isatty()
    for step in range(1, args.steps + 1):
        begin = time.perf_counter()
        batch = [t.to(args.device, non_blocking=True) for t in batches(step)]
        with autocast(args):
            loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % read_every == 0 or step == args.steps:
            losses.append(loss.item())
        if args.times:
            synchronize(args)
        times.append(time.perf_counter() - begin)
        if is_terminal or step in (1, args.steps) or step % max(1, args.steps // 5) == 0:
            end = "\n" if not is_terminal or step == args.steps else ""
            print(f"{chr(13) if is_terminal else ''}step {step}/{args.steps}  loss {losses[-1] if losses else float('nan'):.4f}"
                  f"  {1e3 * times[-1]:.0f} ms", end=end, file=sys.stderr, flush=True)
    if args.losses:
        with open(args.losses, "w") as f:
            json.dump(losses, f)
    if args.times:
        with open(args.times, "w") as f:
            json.dump(times, f)
    return losses
