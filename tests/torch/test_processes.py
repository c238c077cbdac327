"""What happens when processes die, are missing or are told to stop: always an exception or a clean exit."""
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from processes import MOAI, ROOT, kill_all, wait_for

TRAIN = """
import torch, sys
m = torch.nn.Linear(64, 64).cuda()
o = torch.optim.SGD(m.parameters(), lr=0.01)
x = torch.randn(32, 64, device='cuda')
for i in range({steps}):
    loss = m(x).pow(2).mean()
    o.zero_grad(); loss.backward(); o.step()
    v = loss.item()
    if i == 3: print('running', flush=True)
print('finished', v)
"""


def test_embedded_server_ends_with_the_script(world):
    code, out, err = world.run(TRAIN.format(steps=6))
    assert code == 0, err
    assert "finished" in out
    wait_for(lambda: not world.pids(), 5, "the embedded server to end")


def test_the_scripts_own_status_comes_back(world):
    assert world.run("import torch, sys; torch.ones(2, device='cuda').sum().item(); sys.exit(7)")[0] == 7
    code, _, err = world.run("import torch\nraise ValueError('mine')")
    assert code == 1 and "ValueError: mine" in err


def test_a_signal_of_the_script_comes_back(world):
    code, _, _ = world.run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert code == 128 + signal.SIGTERM


def test_available_before_any_server_is_contacted(world):
    # Nobody listens there: availability, count and name do not ask.
    code, out, err = world.run("import torch; print(torch.cuda.is_available(), torch.cuda.device_count(), "
                               "torch.cuda.get_device_name(0))", server=f"unix:{world.folder}/nobody")
    assert code == 0, err
    assert out.split(None, 2) == ["True", "1", "MoAI Accelerator\n"]


def test_unreachable_server_is_a_sentence(world):
    code, _, err = world.run("import torch; torch.ones(2, device='cuda').sum().item()", server=f"unix:{world.folder}/nobody")
    assert code == 1
    assert "RuntimeError" in err or "AcceleratorError" in err
    assert "nobody" in err and "moai" in err


def test_a_server_of_another_kind_is_a_sentence(world):
    path = f"{world.folder}/other"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def answer():
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            c.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 10)

    threading.Thread(target=answer, daemon=True).start()
    code, _, err = world.run("import torch; torch.ones(2, device='cuda').sum().item()", server=f"unix:{path}")
    listener.close()
    assert code == 1 and "Error" in err and "Traceback" in err


@pytest.mark.parametrize("victim", ["worker", "serve"])
def test_killed_server_is_an_exception_within_a_second(world, victim):
    url = world.serve()
    p = world.script(TRAIN.format(steps=1000000), server=url)
    assert p.stdout.readline() == "running\n", p.stderr.read()
    pids = [pid for pid in world.pids(f"moai {victim}")]
    assert pids
    begin = time.monotonic()
    if victim == "serve":
        world.server.kill()
        world.server.wait()
    else:
        kill_all(pids)
    _, err = p.communicate(timeout=20)
    took = time.monotonic() - begin
    assert p.returncode == 1, err
    assert "lost" in err, err
    assert took < 3, f"{took:.2f} s"  # with Python's own exit; bench/kill_bench.py times the exception


def test_control_c_is_keyboard_interrupt(world):
    url = world.serve()
    p = world.script(TRAIN.format(steps=1000000), server=url, start_new_session=True)
    assert p.stdout.readline() == "running\n"
    os.killpg(p.pid, signal.SIGINT)
    _, err = p.communicate(timeout=20)
    assert p.returncode != 0
    assert err.count("KeyboardInterrupt") >= 1, err


def test_control_c_while_waiting_for_a_long_read(world):
    code = """
import torch
x = torch.randn(3000, 3000, device='cuda')
print('running', flush=True)
for i in range(400): x = x @ x * 1e-3
print(x.sum().item())
"""
    p = world.script(code, start_new_session=True)
    assert p.stdout.readline() == "running\n"
    time.sleep(1)
    begin = time.monotonic()
    os.killpg(p.pid, signal.SIGINT)
    _, err = p.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert time.monotonic() - begin < 5


def test_a_handler_of_the_program_raises_out_of_a_wait(world):
    code = """
import signal, torch
def late(*_): raise TimeoutError('mine')
signal.signal(signal.SIGALRM, late)
x = torch.randn(3000, 3000, device='cuda')
for i in range(400): x = x @ x * 1e-3
signal.alarm(1)
try:
    x.sum().item()
except TimeoutError as e:
    print('caught', e)
"""
    status, out, err = world.run(code)
    assert status == 0, err
    assert out == "caught mine\n"


def test_the_largest_batch_is_found_without_a_read(world):
    """Out of memory is raised at the line that asks for too much, also where nothing was computed yet."""
    code = """
import torch
layer = torch.nn.Linear(1024, 1024).cuda()
batch, fits = 1024, []
while batch < 1 << 20:
    try:
        with torch.no_grad():
            y = layer(torch.randn(batch, 1024, device='cuda'))
        fits.append(batch)
    except torch.cuda.OutOfMemoryError:
        break
    batch *= 4
print(fits, y.shape[0], y.isfinite().all().item())
"""
    status, out, err = world.run(code, "--device-memory", "256MiB")
    assert status == 0, err
    assert out == "[1024, 4096, 16384] 16384 True\n"


def test_what_lies_at_the_address_is_left_alone(world, tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("precious")
    for path in (kept, tmp_path):
        p = subprocess.run([MOAI, "serve", "--listen", f"unix:{path}"], capture_output=True, text=True, timeout=20)
        assert p.returncode != 0 and "no socket lies there" in p.stderr, p.stderr
    assert kept.read_text() == "precious"


def test_memory_exhausted_is_not_the_end(world):
    code = """
import torch
keep = torch.arange(10, device='cuda')
try:
    x = torch.ones(1 << 30, device='cuda'); x.sum().item()
    print('no exception')
except torch.cuda.OutOfMemoryError as e:
    print('caught', 'out of memory' in str(e))
print(keep.sum().item())
"""
    status, out, err = world.run(code, "--device-memory", "256MiB")
    assert status == 0, err
    assert out.split() == ["caught", "True", "45"]


def test_memory_comes_back_after_the_exception(world):
    code = """
import torch
def step(n):
    x = torch.randn(n, 1 << 18, device='cuda')
    return (x * 2 + 1).sum().item()
n, seen = 1024, 0
while True:
    try:
        step(n); break
    except torch.cuda.OutOfMemoryError:
        seen += 1; n //= 2
print(seen, n)
"""
    status, out, err = world.run(code, "--device-memory", "256MiB")
    assert status == 0, err
    seen, n = map(int, out.split())
    assert seen >= 2 and n >= 32


def test_index_error_names_the_op_and_sticks(world):
    code = """
import torch
e = torch.nn.Embedding(4, 2).cuda()
for i in range(2):
    try:
        print(e(torch.tensor([1, 9], device='cuda')).sum().item())
    except Exception as x:
        print(type(x).__name__, 'gather' in str(x) or 'embedding' in str(x))
"""
    status, out, err = world.run(code)
    assert status == 0, err
    lines = out.splitlines()
    assert len(lines) == 2 and all(l.endswith("True") for l in lines), out


def test_require_no_fallback(world):
    code = "import torch; torch.linalg.svd(torch.ones(3, 3, device='cuda'))"
    assert world.run(code)[0] == 0
    status, _, err = world.run(code, "--require=no-fallback")
    assert status == 1 and "linalg_svd" in err and "NotImplementedError" in err


def test_children_and_workers(world):
    code = """
import torch, multiprocessing as mp
from torch.utils.data import DataLoader, TensorDataset
def child(q):
    try:
        torch.ones(2, device='cuda').sum().item(); q.put('used')
    except RuntimeError as e:
        q.put('fork' if 'forked subprocess' in str(e) else str(e))
torch.ones(2, device='cuda').sum().item()
q = mp.get_context('fork').Queue()
p = mp.get_context('fork').Process(target=child, args=(q,)); p.start(); print(q.get()); p.join()
data = TensorDataset(torch.arange(64.0))
total = sum(b[0].cuda(non_blocking=True).sum().item() for b in DataLoader(data, 8, num_workers=2, pin_memory=True))
print(total)
"""
    status, out, err = world.run(code)
    assert status == 0, err
    assert out.split() == ["fork", "2016.0"]


def test_two_processes_share_a_server(world):
    url = world.serve()
    a, b = (world.script(TRAIN.format(steps=200), server=url) for _ in range(2))
    for p in (a, b):
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
        assert "finished" in out


def test_without_torch_other_programs_run(world):
    done = subprocess.run([MOAI, "run", "/bin/echo", "hello"], capture_output=True, text=True, env=world.env, timeout=20)
    assert done.returncode == 0 and done.stdout == "hello\n"
    done = subprocess.run([MOAI, "run", "no-such-program"], capture_output=True, text=True, env=world.env, timeout=20)
    assert done.returncode == 127 and "no-such-program" in done.stderr


def test_plain_python_is_untouched(world):
    done = subprocess.run([sys.executable, "-c", "import torch; print(torch.cuda.is_available())"], capture_output=True,
                          text=True, env=world.env, timeout=60)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("arguments", [["run"], ["serve", "--listen", "nonsense"], ["frobnicate"], ["run", "--server", "x", "true"]])
def test_wrong_flags_are_a_sentence(world, arguments):
    done = subprocess.run([MOAI, *arguments], capture_output=True, text=True, env=world.env, timeout=20)
    assert done.returncode not in (0, -6, -11)
    assert done.stderr.strip() and "terminate called" not in done.stderr


def test_random_kills_leave_nothing(world, request):
    """Client, worker or supervisor dies at a random moment; nothing is left over."""
    count = int(request.config.getoption("--kills"))
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    for i in range(count):
        url = world.serve()
        p = world.script(TRAIN.format(steps=1000000), server=url)
        time.sleep(dice.uniform(0.2, 3.0))
        victims = {"client": world.pids("-c"), "worker": world.pids("moai worker"), "serve": world.pids("moai serve")}
        name = dice.choice([n for n, pids in victims.items() if pids])
        kill_all(victims[name])
        if name == "client":
            p.wait(timeout=10)
            world.server.send_signal(signal.SIGTERM)
        elif name == "worker":
            # A kill before the session began only costs the server a spare worker.
            time.sleep(0.5)
            if p.poll() is None:
                p.kill()
            world.server.send_signal(signal.SIGTERM)
        p.communicate(timeout=20)
        world.server.wait(timeout=10)
        wait_for(lambda: not world.pids(), 5, f"everything to end after kill {i} of the {name} (seed {seed})")
