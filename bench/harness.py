"""What the benches share: conditions, pinned workers, interleaved rounds, tables and JSON lines."""
import contextlib
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOAI = ROOT / "build" / "moai"
MARK = "MOAI_BENCH_MARK"  # in the environment of every process of a bench, so that all of them are found


def refuse(text):
    raise SystemExit(f"bench: {text}")


def processor():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def conditions():
    """What a figure was measured on. Ends the program if PyTorch is no yardstick."""
    import torch
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "DEFAULT":
        refuse("PyTorch runs with CPU capability DEFAULT, a quarter of this processor's speed or less, so it is no "
               "yardstick. Unset ATEN_CPU_CAPABILITY, or install a PyTorch that knows this processor.")
    if not MOAI.exists():
        refuse(f"{MOAI.relative_to(ROOT)} is not built. Run scripts/bootstrap.")
    load = os.getloadavg()[0]
    if load > 1.5:
        print(f"bench: others use this machine (load {load:.1f}). With two cores the yardstick's threads wait for each "
              "other, up to ten times as long as alone: such figures mean nothing.", file=sys.stderr)
    return {"processor": processor(), "machine_cores": os.cpu_count(), "torch": torch.__version__, "capability": capability,
            "load": load}


def all_cores():
    return ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))


def environment(cores):
    threads = str(len(cores.split(",")))
    env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, MARK: uuid.uuid4().hex}
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they slow the yardstick's BLAS down
        env.pop(name, None)
    for name in ("MOAI_SERVER", "MOAI_BRIDGE", "MOAI_STATS_LINES", "MOAI_REQUIRE"):
        env.pop(name, None)
    return env


def pinned(cores, command):
    return ["taskset", "-c", cores, *map(str, command)]


def python(cores, arguments, moai=(), env=None, **kw):
    """Starts python on some cores; moai: flags of the `moai run` around it, None: plain Python."""
    prefix = [] if moai is None else [MOAI, "run", *(moai or ["--local"])]
    return subprocess.Popen(pinned(cores, [*prefix, sys.executable, *arguments]), text=True, stdout=subprocess.PIPE,
                            env=env or environment(cores), **kw)


class Worker:
    """A Python program that answers commands (see `serve_commands`), alone or under `moai run`."""

    def __init__(self, script, *arguments, cores, moai=None):
        self.env = environment(cores)
        self.process = python(cores, [ROOT / "bench" / script, *arguments], moai, self.env, stdin=subprocess.PIPE)

    def call(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            refuse("a worker ended early; its message is above")
        return json.loads(line)

    def server_peak_kib(self):
        """VmHWM of the processes around the program: supervisor and worker, without `moai run` itself."""
        return sum(peak for name, peak in peaks(self.env[MARK]) if "moai serve" in name or "moai worker" in name)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


def peaks(mark):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, StopIteration):
            if f"{MARK}={mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            name = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            line = next(x for x in (entry / "status").read_text().splitlines() if x.startswith("VmHWM"))
            found.append((name, int(line.split()[1])))
    return found


def serve_commands(**commands):
    """The other end of Worker: every line of stdin is [name, arguments...]; the answer is one line of JSON."""
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), flush=True)


@contextlib.contextmanager
def server(cores, kind):
    """A `moai serve` on a unix socket (shm) or on loopback (tcp); yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"unix:{folder}/s" if kind == "shm" else f"tcp://127.0.0.1:{free_port()}"
        log = open(f"{folder}/log", "w+")
        process = subprocess.Popen(pinned(cores, [MOAI, "serve", "--listen", url]), env=environment(cores), stdout=log,
                                   stderr=log)
        try:
            wait_until(lambda: can_connect(url) or process.poll() is not None)
            if process.poll() is not None:
                refuse("moai serve ended: " + pathlib.Path(log.name).read_text())
            yield url
        finally:
            process.terminate()
            process.wait(timeout=10)
            log.close()


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def can_connect(url):
    import socket
    if url.startswith("unix:"):
        return os.path.exists(url[5:])
    host, port = url.removeprefix("tcp://").rsplit(":", 1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            refuse(f"waited {seconds} s in vain")
        time.sleep(0.01)


def interleave(rounds, yardstick, moai):
    """Times yardstick, moai, yardstick in each round: (median of the ratios yardstick / moai, their medians)."""
    ratios, plain, ours = [], [], []
    for _ in range(rounds):
        a, b, c = yardstick(), moai(), yardstick()
        ratios.append((a + c) / 2 / b)
        plain += [a, c]
        ours.append(b)
    return statistics.median(ratios), statistics.median(plain), statistics.median(ours)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


class Report:
    """Prints one table a bench as its rows come and appends a JSON line a row."""

    def __init__(self, json_path, facts):
        self.json_path, self.facts, self.columns = json_path, facts, None

    def section(self, bench, title, columns):
        """columns: (heading, key, format) each."""
        self.bench, self.columns = bench, columns
        print(f"\n## {title}", flush=True)
        print("  ".join(self.cell(heading, heading, form) for heading, _, form in columns), flush=True)

    def cell(self, text, heading, form):
        width = max(len(heading), int("".join(c for c in form.split(".")[0] if c.isdigit()) or 0))
        return text.ljust(width) if form.startswith("<") else text.rjust(width)

    def row(self, record):
        cells = []
        for heading, key, form in self.columns:
            value = record.get(key)
            cells.append(self.cell("-" if value is None else format(value, form), heading, form))
        print("  ".join(cells), flush=True)
        self.line(record)

    def line(self, record):
        if self.json_path:
            with open(self.json_path, "a") as f:
                f.write(json.dumps({"bench": self.bench, **self.facts, **record}) + "\n")

    def note(self, text):
        print(text, flush=True)
