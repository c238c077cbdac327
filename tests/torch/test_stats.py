"""`moai run --stats` and --stats-json: true however many processes there were and however they ended."""
import json
import os
import signal
import subprocess
import sys

import pytest

from processes import MOAI, ROOT

# Four elements are read back: 16 bytes, once in each process that calls it.
USE = """
import os, signal, subprocess, sys
import torch
def use():
    return (torch.ones(4, device='cuda') + 1).tolist()
"""
SILENT = "did not tell what they counted"


class Told:
    """What a run said, and what it left in its folder of temporary files."""

    def __init__(self, world, program, during=None):
        temporary = world.folder / "tmp"
        temporary.mkdir()
        path = world.folder / "stats.json"
        run = subprocess.Popen([MOAI, "run", "--stats", f"--stats-json={path}", *program], text=True, cwd=ROOT,
                               env={**world.env, "TMPDIR": str(temporary)}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
        if during:
            assert run.stdout.readline() == "used\n"
            during(run)
        self.out, self.err = run.communicate(timeout=120)
        self.code = run.returncode
        self.stats = json.loads(path.read_text())
        self.counts = self.stats["processes"], self.stats["processes_killed"]
        self.left = list(temporary.rglob("moai*"))
        print(self.err)


def told(world, code, during=None):
    file = world.folder / "program.py"
    file.write_text(USE + code)
    return Told(world, [sys.executable, file], during)


def test_every_figure_is_there_without_torch_too(world):
    none = Told(world, ["/bin/true"])
    assert none.code == 0 and none.counts == (0, 0) and not none.left
    assert "used no accelerator" in none.err
    assert all(value in (0, "", [], {}) for value in none.stats.values()), none.stats
    for key in ("steps ops_recorded frames_sent frames_received blocking_round_trips bytes_up bytes_down "
                "segments_compiled segments_reused fallbacks transport").split():
        assert key in none.stats, key


def test_one_process_has_the_same_keys_and_they_are_documented(world):
    one = told(world, "use()")
    assert one.code == 0 and one.counts == (1, 0) and one.stats["bytes_down"] == 16 and not one.left
    nothing = subprocess.run([MOAI, "run", "--stats-json=/dev/stdout", "/bin/true"], capture_output=True, text=True,
                             env=world.env, timeout=20)
    assert json.loads(nothing.stdout).keys() == one.stats.keys()
    page = (ROOT / "docs" / "stats.md").read_text()
    assert [key for key in one.stats if f"`{key}`" not in page] == []
    assert "processes added up" not in one.err and SILENT not in one.err


def test_torch_without_the_device_is_no_use_of_it(world):
    idle = told(world, "torch.ones(4).sum()")
    assert idle.code == 0 and idle.counts == (0, 0) and "used no accelerator" in idle.err


def test_a_program_that_raises_tells_its_figures(world):
    raised = told(world, "use(); raise ValueError('mine')")
    assert raised.code == 1 and raised.counts == (1, 0) and raised.stats["bytes_down"] == 16
    assert "ValueError: mine" in raised.err and not raised.left


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_kills_itself_used_the_accelerator(world, number):
    killed = told(world, f"use(); os.kill(os.getpid(), {int(number)})")
    assert killed.code == 128 + number and killed.counts == (1, 1)
    assert "used no accelerator" not in killed.err and f"1 of 1 processes {SILENT}" in killed.err
    assert killed.stats["steps"] == 0 and not killed.left


def test_a_run_that_is_told_to_end_says_so(world):
    ended = told(world, "use(); print('used', flush=True); signal.pause()", lambda run: run.terminate())
    assert ended.code == 128 + signal.SIGTERM and ended.counts == (1, 1) and not ended.left
    assert f"1 of 1 processes {SILENT}" in ended.err


def test_control_c_tells_the_figures(world):
    ended = told(world, "use(); print('used', flush=True); signal.pause()",
                 lambda run: os.killpg(run.pid, signal.SIGINT))
    assert ended.code != 0 and "KeyboardInterrupt" in ended.err and not ended.left
    assert ended.counts == (1, 0) and ended.stats["bytes_down"] == 16


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_are_added_up(world, method):
    parent = "" if method == "fork" else "    use()\n"  # a fork of a process that uses the device may not
    code = f"""
import multiprocessing
def child(dies):
    use()
    if dies: os.kill(os.getpid(), signal.SIGKILL)
if __name__ == '__main__':
    context = multiprocessing.get_context('{method}')
    children = [context.Process(target=child, args=(dies,)) for dies in (False, False, True)]
    for c in children: c.start()
    for c in children: c.join()
    print([c.exitcode for c in children])
{parent}"""
    several = told(world, code)
    assert several.code == 0 and several.out == "[0, 0, -9]\n"
    all_, telling = (3, 2) if method == "fork" else (4, 3)
    assert several.counts == (all_, 1) and several.stats["bytes_down"] == 16 * telling
    assert several.stats["ops_recorded"] % telling == 0
    assert f"{telling} of {all_}" in several.err and f"1 of {all_} processes {SILENT}" in several.err


def test_a_fork_of_a_process_with_the_device_tells_nothing(world):
    code = """
import multiprocessing
use()
c = multiprocessing.get_context('fork').Process(target=print, args=('child',)); c.start(); c.join()
if os.fork() == 0: sys.exit()
os.wait()
"""
    assert told(world, code).counts == (1, 0)


def test_a_subprocess_that_inherits_no_descriptor_is_added_up(world):
    code = """
use()
if len(sys.argv) == 1: subprocess.run([sys.executable, __file__, 'again'], close_fds=True, check=True)
"""
    two = told(world, code)
    assert two.counts == (2, 0) and two.stats["bytes_down"] == 32


def test_workers_of_a_data_loader_are_added_up(world):
    code = """
from torch.utils.data import DataLoader
class Data(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return sum(use()) + i
if __name__ == '__main__':
    print(sum(b.sum().item() for b in DataLoader(Data(), 1, num_workers=2, multiprocessing_context='spawn')))
"""
    loaded = told(world, code)
    assert loaded.code == 0 and loaded.out == "38.0\n", loaded.err
    assert loaded.counts == (2, 0) and loaded.stats["bytes_down"] == 4 * 16


def test_a_file_that_cannot_be_written_is_refused_before_the_start(world):
    done = subprocess.run([MOAI, "run", "--stats-json=/dev/null/x", "/bin/echo", "started"], capture_output=True,
                          text=True, env=world.env, timeout=20)
    assert done.returncode == 125 and done.stdout == "" and "--stats-json: /dev/null/x cannot be written" in done.stderr


def test_the_line_that_waits_is_named(world):
    one = told(world, "for i in range(5):\n    y = use()\n\nz = torch.ones(3, device='cuda')\nfor i in range(7):\n    z.sum().item()\n")
    assert sorted(one.stats["reads"].values())[-1] == 7, one.stats["reads"]
    assert "7 values" in one.err and any(".py:" in line for line in one.stats["reads"]), one.err


def test_reads_between_forward_and_backward_are_told_apart(world):
    code = """
x = torch.ones(4, 4, device='cuda'); w = torch.ones(4, 4, device='cuda', requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    loss = (x @ w).square().mean()
    loss.item()  # the eighth line: before its backward
    loss.backward()
    optimizer.step()
    loss.item()  # after the step
    with torch.no_grad(): (x @ w).sum().item()
"""
    stats = told(world, code).stats
    lines = {int(line.rsplit(":", 1)[1]): n for line, n in stats["reads"].items()}
    before = {int(line.rsplit(":", 1)[1]): n for line, n in stats["reads_before_backward"].items()}
    first = min(lines)
    assert lines == {first: 3, first + 3: 3, first + 4: 3}
    assert before == {first: 3}
    assert stats["idle_after_reads_ms"] > 0 and stats["planning_ms"] > 0


def test_what_made_a_segment_new_is_named(world):
    code = """
for n in range(8, 14):
    (torch.ones(n, 3, device='cuda') * 2).sum().item()
"""
    run = told(world, code)
    reasons = run.stats["new_segments"]
    assert sum(r["segments"] for r in reasons.values()) == run.stats["segments_compiled"] + run.stats["segments_resized"]
    changed = {what: r for what, r in reasons.items() if r["change"].endswith("12 to 13")}
    assert changed and all(r["segments"] == 5 for r in changed.values()), reasons
    assert "12 to 13" in run.err
