"""The benches run through and refuse a yardstick that is none."""
import json
import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIGURES = {"ops": "cost", "sync": "cost", "copy": "of_memcpy", "start": "first_ms", "step": "ratio", "shapes": "ratio",
           "kill": "moai_ms"}


def bench(*flags, **changes):
    env = {**os.environ, **changes}
    env.pop("MOAI_BRIDGE", None)  # the feature groups name their double
    return subprocess.run([sys.executable, ROOT / "bench" / "run.py", *flags], capture_output=True, text=True, timeout=120,
                          env=env, cwd=ROOT)


def test_every_bench_gives_figures_with_their_conditions(tmp_path):
    done = bench("--quick", "--json", str(tmp_path / "rows"))
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert {row["bench"] for row in rows} == set(FIGURES)
    for row in rows:
        assert math.isfinite(row[FIGURES[row["bench"]]]) and row[FIGURES[row["bench"]]] > 0, row
        assert row["processor"] and row["torch"] and row["capability"] and row["rounds"] == 1, row
    step = next(row for row in rows if row["bench"] == "step")
    assert min(step["eager_peak_mib"], step["client_peak_mib"]) > 50 and step["server_peak_mib"] > 5, step


def test_a_slow_yardstick_is_refused():
    done = bench("--quick", ATEN_CPU_CAPABILITY="default")
    assert done.returncode == 1 and "ATEN_CPU_CAPABILITY" in done.stderr and "##" not in done.stdout
