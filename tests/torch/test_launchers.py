"""moai run under what people start programs with: nohup, a pipe that closes, an interactive interpreter on a terminal."""
import os
import pty
import select
import signal
import subprocess
import sys
import time

from processes import MOAI, ROOT

READY = "import time, torch; x = torch.ones(2, device='cuda'); print(x.sum().item(), flush=True)\n"


def hear_hangups():
    """The tests themselves may run under nohup, which children inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(world, *command):
    return subprocess.Popen(command, env=world.env, text=True, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hear_hangups)


def test_nohup_survives_its_terminal(world):
    code = READY + "time.sleep(1); print((x + 1).tolist())"
    run = start(world, "nohup", MOAI, "run", sys.executable, "-c", code)
    assert run.stdout.readline() == "2.0\n"
    os.killpg(run.pid, signal.SIGHUP)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (0, "[2.0, 2.0]\n"), err


def test_without_nohup_a_closed_terminal_ends_everything(world):
    run = start(world, MOAI, "run", sys.executable, "-c", READY + "time.sleep(60)")
    assert run.stdout.readline() == "2.0\n"
    os.killpg(run.pid, signal.SIGHUP)
    run.communicate(timeout=10)
    assert run.returncode == 128 + signal.SIGHUP
    assert not world.pids()


def test_a_pipe_that_closes_ends_the_program_as_it_does_without_moai(world):
    code = READY + "while True: print(x.sum().item(), flush=True)"
    script = "{ " + " ".join(["\"$@\"", "; echo status $? >&2; } | head -n 3"])
    ended = []
    for launcher in ([MOAI, "run"], []):
        program = code if launcher else code.replace("'cuda'", "'cpu'")
        run = start(world, "bash", "-c", script, "bash", *launcher, sys.executable, "-c", program)
        out, err = run.communicate(timeout=60)
        assert out == "2.0\n" * 3 and "BrokenPipeError" in err
        ended.append(err.splitlines()[-1])
    assert ended[0] == ended[1]
    assert not world.pids()


class Terminal:
    """A program on a pseudo terminal, as in a terminal window, tmux or screen."""

    def __init__(self, world, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], [str(c) for c in command], {**world.env, "TERM": "dumb"})
        self.text = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, text, seconds=60):
        end = time.monotonic() + seconds
        while text not in self.text:
            left = end - time.monotonic()
            assert left > 0, self.text
            if select.select([self.fd], [], [], left)[0]:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
        self.text = self.text.split(text, 1)[1]

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_control_c_interrupts_a_statement_of_an_interactive_interpreter_not_the_interpreter(world):
    terminal = Terminal(world, MOAI, "run", sys.executable, "-i", "-q")
    terminal.wait_for(">>> ")
    terminal.type("import torch; x = torch.ones(2, device='cuda'); print('sum', x.sum().item())\n")
    terminal.wait_for("sum 2.0")
    terminal.type("while True: y = x.sum().item()\n\n")
    time.sleep(1)
    terminal.type("\x03")
    terminal.wait_for("KeyboardInterrupt")
    terminal.type("print('alive', (x + y).sum().item())\n")
    terminal.wait_for("alive 6.0")
    terminal.type("exit(3)\n")
    assert terminal.end() == 3
    assert not world.pids()
