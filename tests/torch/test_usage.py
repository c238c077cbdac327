"""What the commands say to whoever gets a word wrong, asks for help, or waits."""
import socket
import subprocess
import time

import pytest

from processes import MOAI


def moai(world, *arguments, **environment):
    return subprocess.run([str(MOAI), *arguments], capture_output=True, text=True, timeout=30,
                          env={**world.env, **environment}, cwd=world.folder)


@pytest.mark.parametrize("arguments, says", [
    (["foo"], ["there is no command \"foo\"", "run, serve, smi, doctor, replay, cache, update, version"]),
    (["srve"], ["\"srve\"", "did you mean serve?"]),
    (["rnu", "python"], ["\"rnu\"", "did you mean run?"]),
    ([], ["name a command", "run, serve, smi"]),
    (["--foo"], ["there is no option --foo", "moai --help"]),
    (["smi", "--jsn"], ["smi: there is no option --jsn", "did you mean --json?", "moai smi --help"]),
    (["doctor", "--pyton=x"], ["doctor: there is no option --pyton", "did you mean --python?"]),
    (["smi", "foo"], ["smi: \"foo\" is a word too many", "moai smi --help"]),
    (["run", "--sever", "unix:x", "/bin/true"], ["there is no option --sever", "did you mean --server?"]),
    (["run", "--zebra", "/bin/true"], ["run: there is no option --zebra; see moai run --help"]),
    (["replay"], ["replay: FILE is required", "moai replay --help"]),
])
def test_a_wrong_word_is_named_with_what_would_be_right(world, arguments, says):
    done = moai(world, *arguments)
    assert done.returncode == 2, done
    for part in says:
        assert part in done.stderr, done.stderr


def test_a_word_that_is_like_no_other_gets_no_guess(world):
    assert "did you mean" not in moai(world, "foo").stderr
    assert "did you mean" not in moai(world, "smi", "--zebra").stderr
    assert "worker" not in moai(world, "workr").stderr  # not a command for people


def test_help_is_a_word_too(world):
    for words in (["help"], ["--help"]):
        assert "doctor" in moai(world, *words).stdout
    assert moai(world, "help", "smi").stdout == moai(world, "smi", "--help").stdout != ""


@pytest.mark.parametrize("arguments, says", [
    (["-i", "-1"], "-i: \"-1\" is no index"),
    (["-i", "x"], "-i: \"x\" is no index"),
    (["--idx=99999999999"], "-i: \"99999999999\" is no index"),
    (["--watch", "-3"], "--watch: \"-3\" is no number of seconds"),
    (["--watch=x"], "--watch: \"x\" is no number of seconds"),
    (["--watch=nan"], "--watch: \"nan\" is no number of seconds"),
    (["--watch=0"], "--watch: \"0\" is no number of seconds"),
])
def test_smi_says_which_numbers_it_takes(world, arguments, says):
    done = moai(world, "smi", *arguments)
    assert done.returncode == 2 and done.stdout == "", done
    assert says in done.stderr and len(done.stderr) < 200, done.stderr


def test_a_device_that_is_not_there_is_named_with_those_that_are(world):
    done = moai(world, "smi", "-i", "7")
    assert done.returncode == 8, done
    assert "there is no device 7" in done.stderr and "only device is 0" in done.stderr, done.stderr


def test_help_shows_what_follows_the_options(world):
    run = moai(world, "run", "--help").stdout
    assert "Usage: moai run [OPTIONS] PROGRAM [ARGS...]\n" in run, run
    assert "Usage: moai replay [OPTIONS] FILE\n" in moai(world, "replay", "--help").stdout
    everything = moai(world, "--help").stdout
    assert "Usage: moai [OPTIONS] COMMAND [...]\n" in everything and "Commands:" in everything, everything


@pytest.mark.parametrize("command", ["run", "serve", "smi", "doctor", "replay"])
def test_help_names_what_an_option_takes(world, command):
    text = moai(world, command, "--help").stdout
    for kind in ("TEXT", "INT", "FLOAT", "SUBCOMMAND"):
        assert kind not in text, text
    assert max(map(len, text.splitlines())) <= 120, text


def test_a_server_that_says_nothing_is_named_while_it_is_waited_for(world):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        program = world.script("import torch; print('begin', flush=True); torch.ones(4, device='cuda').sum().item()",
                               server=url)
        assert program.stdout.readline() == "begin\n"
        begin = time.monotonic()
        peer, _ = listener.accept()
        lines = [program.stderr.readline() for _ in range(2)]
        waited = time.monotonic() - begin
        peer.close()
    for line in lines:
        assert line.startswith(f"[info] Waiting for the accelerator: connecting to {url} (attempt 1 of 3), at most 30 s"), lines
    assert 3.5 < waited < 10, waited
    _, err = program.communicate(timeout=30)
    assert f"No answer from {url}" in err and err.count("Waiting") <= 2, err
