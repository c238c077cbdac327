"""The binary alone: it carries the bridge, keeps it in the user's cache, and puts it into environments."""
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

from processes import MOAI, ROOT, wait_for

USE = "import torch; print((torch.ones(2, device='cuda') + 1).tolist(), torch.cuda.get_device_name())"
USED = "[2.0, 2.0] MoAI Accelerator\n"


@pytest.fixture
def alone(world):
    """A copy of the binary with nothing beside it, and a cache of its own."""
    binary = world.folder / "bin" / "moai"
    binary.parent.mkdir()
    shutil.copy(MOAI, binary)
    subprocess.run(["strip", binary], check=True)
    cache = world.folder / "cache"
    env = {**world.env, "MOAI_CACHE": str(cache)}
    for name in ("MOAI_PYTHON_DIR", "MOAI_BRIDGE", "PYTHONPATH", "VIRTUAL_ENV"):
        env.pop(name, None)

    def call(*words, **kw):
        return subprocess.run([binary, *words], env={**env, **kw.pop("env", {})}, capture_output=True, text=True,
                              timeout=120, cwd=world.folder, **kw)
    call.binary, call.cache, call.env, call.folder = binary, cache, env, world.folder
    return call


def test_the_binary_alone_runs_a_program_and_its_cache_can_be_cleared(alone):
    runs = [alone("run", sys.executable, "-c", USE) for _ in range(2)]
    assert [(r.returncode, r.stdout) for r in runs] == [(0, USED)] * 2, runs[0].stderr
    kept = list(alone.cache.iterdir())
    assert len(kept) == 1 and (kept[0] / "moai_torch/__init__.py").exists() and (alone.cache.stat().st_mode & 0o77) == 0
    shown = alone("cache")
    assert shown.returncode == 0 and kept[0].name in shown.stdout and "MiB in all" in shown.stdout
    (alone.cache / "mine").write_text("not moai's")
    cleared = alone("cache", "clear")
    assert cleared.returncode == 0 and "freed" in cleared.stdout and [p.name for p in alone.cache.iterdir()] == ["mine"]
    assert alone("cache").stdout.count("MiB") == 0
    again = alone("run", sys.executable, "-c", USE)
    assert (again.returncode, again.stdout) == (0, USED), again.stderr


def test_several_first_runs_at_a_time_unpack_it_once(alone):
    runs = [subprocess.Popen([alone.binary, "run", sys.executable, "-c", USE], env=alone.env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    assert [run.communicate(timeout=120)[0] for run in runs] == [USED] * 4
    assert len(list(alone.cache.iterdir())) == 1


def test_a_cache_that_others_can_write_is_refused(alone):
    alone.cache.mkdir()
    alone.cache.chmod(0o777)
    refused = alone("run", sys.executable, "-c", USE)
    assert refused.returncode == 125 and "can be written by others" in refused.stderr and "MOAI_CACHE" in refused.stderr


def test_a_cache_that_cannot_be_is_a_sentence(alone):
    (alone.folder / "file").write_text("")
    refused = alone("run", sys.executable, "-c", USE, env={"MOAI_CACHE": str(alone.folder / "file")})
    assert refused.returncode == 125 and "is no folder" in refused.stderr
    nowhere = alone("run", sys.executable, "-c", USE, env={"MOAI_CACHE": "", "XDG_CACHE_HOME": "", "HOME": ""})
    assert nowhere.returncode == 125 and "neither MOAI_CACHE" in nowhere.stderr


@pytest.fixture
def environment(alone):
    """A virtual environment that sees this one's PyTorch."""
    folder = alone.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    place = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True,
                           capture_output=True, text=True).stdout.strip()
    pathlib.Path(place, "torch.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python, pathlib.Path(place)


def test_update_puts_the_bridge_into_an_environment(alone, environment):
    python, place = environment
    plain = alone("update", "--python", python)
    assert plain.returncode == 0 and "Already installed : " in plain.stdout and not (place / "moai_torch").exists()
    link = alone.folder / "update-moreh"
    link.symlink_to(alone.binary)
    done = subprocess.run([link, "--force", "--python", python], env=alone.env, capture_output=True, text=True)
    assert done.returncode == 0 and str(place) in done.stdout, done.stderr
    url = f"unix:{alone.folder}/server"
    with subprocess.Popen([alone.binary, "serve", "--listen", url], env=alone.env) as server:
        wait_for(lambda: (alone.folder / "server").exists(), 10, "the server's socket")
        used = subprocess.run([python, "-I", "-c", USE], env={**alone.env, "MOAI_SERVER": url}, capture_output=True,
                              text=True, timeout=120)
        server.terminate()
    assert (used.returncode, used.stdout) == (0, USED), used.stderr
    without = subprocess.run([python, "-c", "import torch; print(torch.cuda.is_available())"], env=alone.env,
                             capture_output=True, text=True)
    assert without.stdout == "False\n", without.stderr
    # What a replaced PyTorch leaves behind is mended.
    (place / "moai_torch" / "_load.py").write_text("broken")
    assert alone("update", "--force", "--python", python).returncode == 0
    assert (place / "moai_torch" / "_load.py").read_text() == (ROOT / "python/moai_torch/_load.py").read_text()


def test_update_refuses_a_python_without_a_pytorch_that_fits(alone):
    folder = alone.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    bare = alone("update", "--force", "--python", folder / "bin/python")
    assert bare.returncode == 1 and "has no PyTorch" in bare.stderr and "pip install torch==2.13" in bare.stderr
    fake = next((folder / "lib").glob("python*")) / "site-packages" / "torch"
    fake.mkdir()
    (fake / "__init__.py").write_text("__version__ = '1.0.0'")
    old = alone("update", "--force", "--python", folder / "bin/python")
    assert old.returncode == 1 and "the bridge does not fit it" in old.stderr and "2.13" in old.stderr


@pytest.mark.parametrize("system, machine", [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_a_client_that_is_no_linux_on_x86_gets_a_sentence(alone, system, machine):
    code = f"""
import os, platform
server = os.environ.pop("MOAI_SERVER")
import torch, moai_torch  # PyTorch asks too, and looks for libraries of that system
platform.system, platform.machine = lambda: {system!r}, lambda: {machine!r}
os.environ["MOAI_SERVER"] = server
moai_torch.autoload()
print(torch.cuda.is_available(), torch.ones(1).item())
"""
    run = alone("run", sys.executable, "-c", code)
    assert (run.returncode, run.stdout) == (0, "False 1.0\n"), run.stderr
    assert f"this is {system} on {machine}" in run.stderr and "Linux on x86_64" in run.stderr
