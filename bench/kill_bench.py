"""How long a killed worker or supervisor takes to become a Python exception.

usage: kill_bench.py [--rounds 10]
The yardstick is the same kill seen by a blocked read of a plain unix socket pair.
"""
import argparse
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
        url = world.serve()
        p = world.script(SCRIPT, server=url)
        assert p.stdout.readline() == "running\n"
        time.sleep(0.5)
        begin = time.monotonic()
        for pid in world.pids(f"moai {victim}"):
            os.kill(pid, signal.SIGKILL)
        line = p.stdout.readline()
        p.communicate()
        world.close()
        return float(line) - begin


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=10)
    rounds = p.parse_args().rounds
    plain = [socket_round() for _ in range(rounds)]
    print(f"plain socket: {1e3 * statistics.median(plain):.2f} ms")
    for victim in ("worker", "serve"):
        times = [moai_round(victim) for _ in range(rounds)]
        print(f"{victim} killed: exception after {1e3 * statistics.median(times):.2f} ms (most {1e3 * max(times):.2f} ms, {rounds} rounds)")


if __name__ == "__main__":
    main()
