"""Programs from elsewhere, unmodified, on the accelerator.

MOAI_WORKLOADS=FOLDER holds a clone of each program's repository under the repository's name; MOAI_WORKLOADS_PYTHON is a
Python with the packages that they need (default: the one that runs the tests). Nothing is downloaded: what is absent is a
visible skip. Results go to MOAI_WORKLOADS_REPORT, a JSON line for each program.
"""
import json
import math
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

import pytest

from programs import PROGRAMS

HERE = pathlib.Path(__file__).resolve().parent
MOAI = HERE.parents[1] / "build" / "moai"
PYTHON = os.environ.get("MOAI_WORKLOADS_PYTHON", sys.executable)
CLONES = os.environ.get("MOAI_WORKLOADS")


def environment(program, place):
    path = [str(HERE / "shim"), *(str((place / p).resolve()) for p in program.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1"}


def prepared(program, folder):
    """A scratch copy of the program's repository, with the files that it looks for."""
    if program.clone:
        shutil.copytree(pathlib.Path(CLONES) / program.clone, folder / "clone", ignore=shutil.ignore_patterns(".git"))
        place = folder / "clone" / program.folder
    else:
        place = folder
        place.mkdir(parents=True, exist_ok=True)

    def python(*arguments):
        subprocess.run([PYTHON, *arguments], cwd=place, env=environment(program, place), check=True, capture_output=True, timeout=300)
    program.prepare(place, python)
    return place


def run(program, place, lines, device):
    """Seconds, output, and what moai counted."""
    output, seconds, counted = "", 0.0, []
    for i, line in enumerate(lines):
        stats = place / f"stats{i}.json"
        launcher = [MOAI, "run", "--local", "--stats-json", stats] if device == "cuda" else []
        words = ["-c", line[3:]] if line.startswith("-c ") else [w.replace("DEVICE", device) for w in shlex.split(line)]
        begin = time.monotonic()
        done = subprocess.run([*map(str, launcher), PYTHON, *words], cwd=place, env=environment(program, place), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
        seconds += time.monotonic() - begin
        output += done.stdout
        assert done.returncode == 0, f"{' '.join(words)} on {device} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        if stats.exists():
            counted.append(json.loads(stats.read_text()))
    return seconds, output, counted


def close(got, want, tolerance):
    try:
        a, b = float(got), float(want)
    except ValueError:
        return got == want
    return abs(a - b) <= tolerance * max(1.0, abs(b))


def assert_equal(program, got, want):
    got, want = program.values(got), program.values(want)
    assert want and len(got) == len(want), f"{len(got)} values, not {len(want)}"
    for g, w in zip(got, want):
        pairs = zip(g, w) if isinstance(g, tuple) else [(g, w)]
        assert all(close(a, b, program.tolerance) for a, b in pairs), f"{g}, and {w} on the CPU"


def assert_sound(program, output):
    numbers = [float(v if isinstance(v, str) else v[0]) for v in program.values(output) if (v if isinstance(v, str) else v[0])]
    assert numbers and all(map(math.isfinite, numbers)), numbers
    assert not program.falls or numbers[-1] < numbers[0], numbers
    program.extra(output)


def report(program, seconds, cpu_seconds, counted):
    calls = sum(sum(f["calls"] for f in c["fallbacks"].values()) for c in counted)
    recorded = sum(c["ops_recorded"] for c in counted)
    row = {"program": program.name, "seconds": round(seconds, 1), "cpu_seconds": cpu_seconds and round(cpu_seconds, 1),
           "ops": recorded, "fallback_calls": calls, "fallbacks": sorted({n for c in counted for n in c["fallbacks"]}),
           "segments": sum(c["segments_compiled"] for c in counted), "waits": sum(c["blocking_round_trips"] for c in counted),
           "steps": sum(c["steps"] for c in counted)}
    if "MOAI_WORKLOADS_REPORT" in os.environ:
        with open(os.environ["MOAI_WORKLOADS_REPORT"], "a") as out:
            out.write(json.dumps(row) + "\n")
    return calls / max(1, recorded + calls)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_program(program, tmp_path):
    if program.clone and not CLONES:
        pytest.skip("MOAI_WORKLOADS names no folder of clones")
    if program.clone and not (pathlib.Path(CLONES) / program.clone).exists():
        pytest.skip(f"{CLONES} has no clone called {program.clone}")
    for package in program.packages:
        if subprocess.run([PYTHON, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{package}') is None)"]).returncode:
            pytest.skip(f"{PYTHON} has no package {package}")
    place = prepared(program, tmp_path / "device")
    seconds, output, counted = run(program, place, program.device, "cuda")
    cpu_seconds = None
    if program.cpu:
        cpu_seconds, cpu_output, _ = run(program, prepared(program, tmp_path / "cpu"), program.cpu, "cpu")
    if program.rule == "equal":
        assert_equal(program, output, cpu_output)
    assert_sound(program, output)
    if program.rule == "repeat":
        _, again, _ = run(program, prepared(program, tmp_path / "again"), program.device, "cuda")
        assert program.values(again) == program.values(output)
    on_client = report(program, seconds, cpu_seconds, counted)
    assert on_client <= 0.01, f"{100 * on_client:.1f} % of the operators ran on the client: {[c['fallbacks'] for c in counted]}"
