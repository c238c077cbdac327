"""One small program for each family of models: the same losses as on the CPU, also after a checkpoint, the same tokens."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
MOAI = HERE.parents[1] / "build" / "moai"
PROGRAM = HERE / "small" / "families.py"
FAMILIES = ("gpt llama bert lstm gru rnn cnn resnet efficient convnext vit encoder cells vae gan").split()
# Of a loss after 20 steps; sums are in another order than the CPU's, and steps build on each other.
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}


def run(family, device, dtype, folder, *launcher):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("MOAI_SERVER", None)
    done = subprocess.run([*launcher, sys.executable, PROGRAM, family, device, dtype, folder], env=env, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, dtype, tmp_path):
    there = run(family, "cuda", dtype, tmp_path, MOAI, "run", "--local", f"--stats-json={tmp_path}/stats.json")
    here = run(family, "cpu", dtype, tmp_path)
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert there["losses"] == pytest.approx(here["losses"], rel=TOLERANCE[dtype])
    # Adam's counters lie on the device after torch.load(map_location=): their reads split the step, and what is one
    # multiply-add in a segment is two roundings in two.
    assert there["resumed"] == pytest.approx(there["losses"][10:], rel=TOLERANCE[dtype])
    assert there["losses"][-1] != there["losses"][0]
    if dtype == "float64":
        assert there["tokens"] == here["tokens"]
    assert stats["fallbacks"] == {}
