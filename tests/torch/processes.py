"""Starting moai in tests and seeing what it leaves behind."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOAI = ROOT / "build" / "moai"


class World:
    """A set of processes that carry one mark in their environment, so that none can hide."""

    def __init__(self, folder):
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.env = {**os.environ, "MOAI_TEST_MARK": self.mark, "OMP_NUM_THREADS": "1"}
        for name in ("MOAI_SERVER", "MOAI_STATS_LINES", "MOAI_REQUIRE"):
            self.env.pop(name, None)
        self.server = None

    def pids(self, name=None):
        """Living processes of this world; name: only those whose arguments contain it."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if self.mark.encode() not in (entry / "environ").read_bytes():
                    continue
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                    continue
                arguments = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if name is None or name in arguments:
                    found.append(int(entry.name))
        return found

    def sockets(self):
        text = pathlib.Path("/proc/net/unix").read_text()
        return [line.split()[-1] for line in text.splitlines() if str(self.folder) in line or "@moai/" in line]

    def serve(self, *flags):
        self.url = f"unix:{self.folder}/s{len(self.mark)}-{uuid.uuid4().hex[:8]}"
        self.server = subprocess.Popen([MOAI, "serve", "--listen", self.url, *flags], env=self.env,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        path = self.url.removeprefix("unix:")
        wait_for(lambda: os.path.exists(path) or self.server.poll() is not None, 10, "the server's socket")
        assert self.server.poll() is None, self.server.stdout.read()
        return self.url

    def script(self, code, *flags, server=None, **kw):
        command = [MOAI, "run", *flags]
        if server:
            command += ["--server", server]
        return subprocess.Popen([*command, sys.executable, "-c", code], env=self.env, text=True, cwd=ROOT,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def run(self, code, *flags, server=None, timeout=120):
        p = self.script(code, *flags, server=server)
        out, err = p.communicate(timeout=timeout)
        return p.returncode, out, err

    def close(self):
        """Ends everything and says what did not end by itself."""
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(timeout=5)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self.pids(), 5, "processes to end")
        left = self.pids()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left


def kill_all(pids):
    """kill -9; those that ended by themselves meanwhile do not count."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")
