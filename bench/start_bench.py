"""From the command to the first number that was computed on the device, and to the end of the process."""
import statistics
import time

import harness

SCRIPT = """
import time, torch
imported = time.monotonic()
x = torch.ones(4, 4, device=DEVICE)
(x @ x + 1).sum().item()
print(imported, time.monotonic(), flush=True)
"""


def once(cores, moai):
    code = SCRIPT.replace("DEVICE", repr("cpu" if moai is None else "cuda"))
    begin = time.monotonic()
    process = harness.python(cores, ["-c", code], moai)
    line = process.stdout.readline()
    if process.wait(timeout=60) != 0 or not line:
        harness.refuse("the start-up script failed; its message is above")
    imported, first = map(float, line.split())
    return imported - begin, first - begin, time.monotonic() - begin


def run(args, report):
    report.section("start", "Start-up (milliseconds from the command)",
                   [("way", "way", "<18"), ("torch imported", "imported_ms", "14.0f"), ("first result", "first_ms", "12.0f"),
                    ("ended", "ended_ms", "7.0f"), ("first, over eager", "over_eager_ms", "17.0f")])
    cores = harness.all_cores()
    with harness.server(cores, "shm") as url:
        ways = {"cpu eager": None, "moai run --local": ["--local"], "moai run --server": ["--server", url]}
        if not args.quick:
            for moai in ways.values():  # files come into the page cache
                once(cores, moai)
        times = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, moai in ways.items():
                times[name].append(once(cores, moai))
    for name, rounds in times.items():
        imported, first, ended = (1e3 * statistics.median(column) for column in zip(*rounds))
        over = 1e3 * statistics.median(b[1] - a[1] for a, b in zip(times["cpu eager"], rounds))
        report.row(dict(way=name, cores=cores, imported_ms=imported, first_ms=first, ended_ms=ended, over_eager_ms=over))
