"""How long a killed worker or supervisor takes to become a Python exception.

The yardstick is the same kill seen by a blocked read of a plain unix socket pair.
"""
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "torch"))
from processes import World  # noqa: E402

SCRIPT = """
import time, torch
x = torch.randn(256, 256, device='cuda')
(x @ x).sum().item()
print('running', flush=True)
try:
    while True: (x @ x).sum().item()
except Exception as e:
    print(time.monotonic(), flush=True)
    raise
"""


def socket_round():
    a, b = socket.socketpair()
    child = subprocess.Popen(["sleep", "60"], pass_fds=[b.fileno()])
    b.close()
    begin = time.monotonic()
    child.kill()
    a.recv(1)
    took = time.monotonic() - begin
    child.wait()
    return took


def moai_round(victim):
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder))
        try:
            p = world.script(SCRIPT, server=world.serve())
            if p.stdout.readline() != "running\n":
                raise SystemExit("bench: the program to be cut off did not start: " + p.communicate()[1])
            time.sleep(0.2)
            begin = time.monotonic()
            for pid in world.pids(f"moai {victim}"):
                os.kill(pid, signal.SIGKILL)
            line = p.stdout.readline()
            p.communicate()
        finally:
            world.close()
        return float(line) - begin


def run(args, report):
    report.section("kill", "Exception after kill -9 (milliseconds)",
                   [("killed", "victim", "<10"), ("socket", "socket_ms", "8.2f"), ("moai", "moai_ms", "8.2f"), ("most", "most_ms", "8.2f")])
    for victim in ("worker", "serve"):
        pairs = [(socket_round(), moai_round(victim)) for _ in range(args.rounds)]
        plain, ours = zip(*pairs)
        report.row(dict(victim=victim, socket_ms=1e3 * statistics.median(plain), moai_ms=1e3 * statistics.median(ours),
                        most_ms=1e3 * max(ours)))
