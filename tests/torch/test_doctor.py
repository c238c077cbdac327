"""Which Python and which server `moai doctor` looks at, and what it says of them."""
import os
import socket
import subprocess
import sys
import time

import pytest

from processes import MOAI


@pytest.fixture
def doctor(world):
    def run(*arguments, **environment):
        env = {k: v for k, v in {**world.env, **environment}.items() if v is not None}
        done = subprocess.run([str(MOAI), "doctor", *arguments], capture_output=True, text=True, timeout=60, env=env,
                              cwd=world.folder)
        return done.returncode, done.stdout
    world.env.pop("VIRTUAL_ENV", None)
    return run


def environment_at(folder, program):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
    (folder / "bin/python").chmod(0o755)
    return folder / "bin/python"


def test_the_active_environment_comes_first_then_the_one_here_then_path(world, doctor):
    here = environment_at(world.folder / ".venv", sys.executable)
    active = environment_at(world.folder / "active", sys.executable)
    named = environment_at(world.folder / "named", sys.executable)
    in_path = environment_at(world.folder / "path", sys.executable)
    in_path.rename(in_path.with_name("python3"))
    path = f"{in_path.parent}:{os.environ['PATH']}"
    cases = [(["--python", str(named)], f"{named} (from --python)"), ([], f"{active} (from VIRTUAL_ENV)")]
    for arguments, says in cases:
        code, out = doctor(*arguments, VIRTUAL_ENV=str(active.parents[1]), PATH=path)
        assert code == 0 and f"ok    pytorch      {says}, Python 3" in out, out
    assert ".venv/bin/python (from ./.venv)" in doctor(PATH=path)[1]
    here.unlink()
    assert f"{in_path.parent}/python3 (from PATH)" in doctor(PATH=path)[1]


def test_a_python_that_does_not_do_is_named_with_the_way_out(world, doctor):
    code, out = doctor(VIRTUAL_ENV=str(world.folder / "gone"))
    assert code == 1 and f"{world.folder}/gone/bin/python (from VIRTUAL_ENV) does not run" in out, out
    assert "--python" in out, out
    bare = world.folder / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -I "$@"\n')
    bare.chmod(0o755)
    code, out = doctor("--python", str(bare))
    assert code == 1 and "it has no PyTorch" in out and "pip install" in out and "--python" in out, out


def good(world):
    return {"VIRTUAL_ENV": str(environment_at(world.folder / "good", sys.executable).parents[1])}


def test_no_server_is_looked_for_where_none_is_configured(world, doctor):
    code, out = doctor(**good(world))
    assert code == 0 and " server " not in out, out


def test_a_server_that_answers_is_fine_and_one_of_two_is_enough(world, doctor):
    url, environment = world.serve(), good(world)
    code, out = doctor(MOAI_SERVER=url, **environment)
    assert code == 0 and f"ok    server       {url} answers, moai " in out, out
    code, out = doctor(MOAI_SERVER=f"unix:/nowhere,{url}", **environment)
    assert code == 0 and "note  server       no answer from unix:/nowhere" in out, out
    code, out = doctor(MOAI_SERVER=f"{url},tpc://here", **environment)  # moai run refuses that
    assert code == 1 and "BAD   server" in out and "ok    server" in out, out


@pytest.mark.parametrize("url, says", [("tpc://here", "is no address"), ("unix:/nowhere", "no answer from unix:/nowhere")])
def test_a_server_that_cannot_answer_is_bad(world, doctor, url, says):
    code, out = doctor(MOAI_SERVER=url, **good(world))
    assert code == 1 and "BAD   server" in out and says in out, out
    assert "MOAI_SERVER" in out.split(says)[1], out


def test_a_server_that_says_nothing_is_waited_for_shortly(world, doctor):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        begin = time.monotonic()
        code, out = doctor(MOAI_SERVER=url, **good(world))
    assert code == 1 and f"no answer from {url}" in out and f"moai serve --listen {url}" in out, out
    assert time.monotonic() - begin < 20
