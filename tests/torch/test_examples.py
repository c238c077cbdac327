"""Every example: losses under moai against CPU PyTorch from the same seed, and almost nothing on the client.

The rule: CPU PyTorch does not agree with itself (threads and instruction sets sum in other orders), so the
allowed difference at a step is a floor or ten times the largest difference between CPU runs up to that step.
"""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOAI = ROOT / "build" / "moai"
EXAMPLES = ["digits_cnn", "char_gpt", "lstm_lm", "resnet", "vae", "bert", "llama_lora"]
STEPS = int(os.environ.get("MOAI_EXAMPLE_STEPS", "50"))


def losses_of(command, env, out):
    env = {**os.environ, **env}
    env.pop("MOAI_BRIDGE", None)  # the feature groups name their double
    done = subprocess.run([*map(str, command), "--losses", str(out)], capture_output=True, text=True, timeout=600,
                          env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


# PyTorch without oneDNN, which has no bf16 LSTM on processors without AVX-512.
PLAIN = """
import runpy, sys, torch
torch.backends.mkldnn.enabled = False
sys.argv = sys.argv[1:]
sys.path[0] = sys.argv[0].rsplit("/", 1)[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LOWER = "avx2" if " avx512f" in pathlib.Path("/proc/cpuinfo").read_text() else "default"


def script(name, device, precision):
    return [sys.executable, ROOT / "examples" / f"{name}.py", "--device", device, "--steps", STEPS, "--precision", precision]


def cpu_runs(name, precision, folder):
    """One thread, two threads, fewer vector instructions: the CPU's own spread. One after the other, as they are needed."""
    settings = [{"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": LOWER}]
    command = script(name, "cpu", precision)
    for i, env in enumerate(settings):
        out = folder / f"{name}-{precision}-{i}.json"
        try:
            yield losses_of(command, env, out)
        except AssertionError as e:
            if "could not create a primitive descriptor" in str(e):
                command = [sys.executable, "-c", PLAIN, *command[1:]]
                yield losses_of(command, env, out)
            # PyTorch 2.13's bf16 attention refuses AVX2 on a processor with AMX. One run less only narrows the spread.
            elif "ATEN_CPU_CAPABILITY" not in env or "only supported when avx512" not in str(e):
                raise


def disagreement(mine, runs, precision):
    """Of the first step whose loss is too far from the CPU's; empty: there is none."""
    spread = 0.0
    for step, (a, b) in enumerate(zip(mine, runs[0])):
        spread = max(spread, *(abs(x[step] - y[step]) for x in runs for y in runs))
        most = 1e-10 * max(1.0, abs(b)) if precision == "f64" else max({"f32": 1e-4, "bf16": 2e-2}[precision], 10 * spread)
        if not abs(a - b) <= most:
            return f"step {step + 1}: {a} on cuda:0, {b} on the CPU, at most {most:.2g} apart"
    return ""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("losses")


@pytest.mark.parametrize("precision", ["f64", "f32", "bf16"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_losses_agree_with_cpu(name, precision, folder):
    stats = folder / f"{name}-{precision}-stats.json"
    mine = losses_of([MOAI, "run", "--local", "--stats-json", stats, *script(name, "cuda", precision)], {},
                     folder / f"{name}-{precision}-moai.json")
    runs, why = [], "no run"
    for run in cpu_runs(name, precision, folder):
        runs.append(run)
        assert len(mine) == len(run) == STEPS
        why = disagreement(mine, runs, precision)
        if not why:
            break
    assert not why, why
    counted = json.loads(stats.read_text())
    fallbacks = sum(count["calls"] for count in counted["fallbacks"].values())
    share = counted["ops_recorded"] / (counted["ops_recorded"] + fallbacks)
    assert share >= 0.99, f"{100 * share:.1f} % native; on the client: {counted['fallbacks']}"
