"""What the commands refuse, say and leave behind: exit statuses, sentences, files."""
import json
import os
import re
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from processes import MOAI, kill_all, wait_for


def moai(world, *arguments, timeout=30, **environment):
    return subprocess.run([str(MOAI), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          env={**world.env, **environment}, cwd=world.folder)


@pytest.mark.parametrize("arguments, says", [
    (["run", "--threads", "100000"], "--threads: \"100000\" is no number from 1 to 1024"),
    (["run", "--threads", "0"], "from 1 to 1024"),
    (["run", "--threads=-3"], "from 1 to 1024"),
    (["run", "--threads", "abc"], "from 1 to 1024"),
    (["run", "--device-memory", "foo"], "--device-memory: \"foo\""),
    (["run", "--device-memory", "0"], "more than nothing"),
    (["run", "--require", "foo"], "no-fallback"),
    (["run", "--require", "rdma"], "rdma"),
    (["run", "--dump", "foo"], "graph, plan, kernel"),
    (["run", "--dump"], "--dump"),
    (["run", "--dump", "python", "-c"], "--dump=graph"),
    (["run", "--server", "unix:/nowhere", "--threads", "2"], "belongs to `moai serve`"),
    (["run", "--server", "unix:/nowhere", "--device-memory", "1GiB"], "belongs to `moai serve`"),
    (["run", "--server", "unix:/nowhere", "--dump=graph"], "belongs to `moai serve`"),
])
def test_run_refuses_before_the_program_starts(world, arguments, says):
    done = moai(world, *arguments, "/bin/touch", "started")
    assert done.returncode == 2, done
    assert says in done.stderr, done.stderr
    assert not (world.folder / "started").exists()


def test_memory_in_the_environment_is_looked_at_too(world):
    done = moai(world, "run", "/bin/touch", "started", MOAI_DEVICE_MEMORY="foo")
    assert done.returncode == 2 and "foo" in done.stderr, done
    assert not (world.folder / "started").exists()


@pytest.mark.parametrize("arguments", [["serve", "--threads", "-1"], ["serve", "--threads=0"], ["serve", "--threads=x"],
                                       ["serve", "--device-memory=0"], ["replay", "--threads=-1", "x"],
                                       ["replay", "--device-memory=0", "x"]])
def test_serve_and_replay_refuse(world, arguments):
    done = moai(world, *arguments)
    assert done.returncode == 2, done
    assert "1 to 1024" in done.stderr or "more than nothing" in done.stderr, done.stderr


def test_a_dump_folder_is_made_or_refused_at_once(world):
    assert moai(world, "run", "--dump=graph:made/here", "/bin/true").returncode == 0
    assert (world.folder / "made/here").is_dir()
    done = moai(world, "run", "--dump=graph:/dev/null/x", "/bin/touch", "started")
    assert done.returncode == 125 and done.stderr.count("--dump") == 1, done
    assert not (world.folder / "started").exists()


def test_replay_refuses_a_trace_that_cannot_be_written(world):
    done = moai(world, "replay", "no-recording", "--trace", "/dev/null/x")
    assert done.returncode == 1 and "--trace: /dev/null/x cannot be written" in done.stderr, done


def test_a_trace_is_json_at_the_end(world):
    assert moai(world, "run", "--trace", "t.json", "/bin/true").returncode == 0
    assert json.loads((world.folder / "t.json").read_text()) == []
    code, _, err = world.run("import torch; torch.ones(4, device='cuda').sum().item()", f"--trace={world.folder}/t.json")
    assert code == 0, err
    assert len(json.loads((world.folder / "t.json").read_text())) > 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_says_so_and_removes_its_socket(world, number):
    path = world.serve().removeprefix("unix:")
    time.sleep(0.3)
    world.server.send_signal(number)
    out, _ = world.server.communicate(timeout=10)
    assert world.server.returncode == 0
    assert out.count("stopping: ") == 1 and f"signal {int(number)}" in out, out
    assert not os.path.exists(path)


def test_a_socket_of_another_server_stays(world):
    path = world.serve().removeprefix("unix:")
    time.sleep(0.3)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        world.server.send_signal(signal.SIGTERM)
        world.server.communicate(timeout=10)
        assert os.path.exists(path)


def test_a_worker_that_dies_by_a_signal_is_in_the_log(world):
    url = world.serve()
    p = world.script("import torch\nx = torch.ones(4, device='cuda'); x.sum().item()\nprint('running', flush=True)\n"
                     "input()\nx.sum().item()", server=url, stdin=subprocess.PIPE)
    assert p.stdout.readline() == "running\n"
    log = world.server.stdout
    workers = world.pids("moai worker")
    kill_all(workers)
    lines = ""
    while "during job" not in lines:
        line = log.readline()
        assert line, lines
        lines += line
    assert any(f"worker {pid} " in lines for pid in workers) and "signal 9" in lines
    _, err = p.communicate("\n", timeout=30)
    assert "worker process" in err and "log of the server" in err and "support" not in err, err


def test_another_pytorch_is_told_which_one_fits(world):
    """The program runs on, without the device: it may have another way."""
    (world.folder / "sitecustomize.py").write_text(
        "import sys, types\n"
        "version = types.ModuleType('torch.version')\n"
        "vars(version).update(__version__='2.6.0+cpu', debug=False, cuda=None, git_version='', hip=None,\n"
        "  rocm=None, xpu=None)\n"
        "sys.modules['torch.version'] = version\n")
    done = moai(world, "run", "--local", sys.executable, "-c", "import torch; print(torch.cuda.is_available())",
                PYTHONPATH=str(world.folder), timeout=60)
    assert done.returncode == 0 and done.stdout == "False\n", done
    assert re.search(r"PyTorch 2.6.0\+cpu has no module here. Install PyTorch 2.13( or 2.14)?\.", done.stderr), done.stderr
