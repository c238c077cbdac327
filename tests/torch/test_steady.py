"""A steady training step: few frames, no waits but the program's own reads, and a worker that asks for no memory.

The worker is the real binary: its malloc and mmap count every call of every thread (src/engine/allocator.cc).
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
STEPS = 41  # 10 to 50
FRAMES_MAX = 4  # both ways together
# What may not move at all in steady steps.
WORKER = ["worker_allocations", "worker_mappings", "worker_plans_built", "worker_kernels_built", "segments_compiled"]
WAITS = ["waits_sync", "waits_upload", "waits_memory"]


def count(name, out, read_every=1, flags=("--local",)):
    env = {k: v for k, v in os.environ.items() if k not in ("MOAI_SERVER", "MOAI_STATS_LINES", "MOAI_REQUIRE")}
    script = [sys.executable, ROOT / "tests" / "torch" / "steady_steps.py", name, out, read_every]
    done = subprocess.run([str(x) for x in [MOAI, "run", *flags, *script]], capture_output=True, text=True, timeout=600,
                          env={**env, "OMP_NUM_THREADS": "1"}, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    counted = json.loads(out.read_text())
    assert len(counted) == STEPS + 1
    return counted


def moved(counted, key):
    return [b[key] - a[key] for a, b in zip(counted, counted[1:])]


def check_worker(counted):
    # The counters count: the steps before made plans, and those took memory.
    assert counted[0]["worker_allocations"] > 1000 and counted[0]["worker_mappings"] > 0
    assert counted[0]["worker_plans_built"] > 0 and counted[0]["worker_kernels_built"] > 0
    wrong = {key: moved(counted, key) for key in WORKER if counted[-1][key] != counted[0][key]}
    assert not wrong, f"by step, from 10: {wrong}"
    assert counted[-1]["worker_plan_hits"] - counted[0]["worker_plan_hits"] >= STEPS


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_steady_step(name, tmp_path):
    counted = count(name, tmp_path / "counted.json")
    assert moved(counted, "steps") == [1] * STEPS
    frames = [a + b for a, b in zip(moved(counted, "frames_sent"), moved(counted, "frames_received"))]
    assert max(frames) <= FRAMES_MAX, frames
    # As many as the worker saw when it last reported: all but those of the step under way.
    assert counted[-1]["worker_frames_received"] - counted[0]["worker_frames_received"] <= FRAMES_MAX * (STEPS + 1)
    # The worker's own count agrees, up to the frames of the step in which it last reported.
    sent = counted[-1]["frames_sent"] - counted[0]["frames_sent"]
    assert abs(counted[-1]["worker_frames_received"] - counted[0]["worker_frames_received"] - sent) <= FRAMES_MAX
    # One a step: the loss.
    assert moved(counted, "blocking_round_trips") == [1] * STEPS
    assert moved(counted, "waits_read") == [1] * STEPS
    for key in [*WAITS, "waits_run_ahead"]:
        assert moved(counted, key) == [0] * STEPS, key
    check_worker(counted)


def test_steps_that_run_ahead(tmp_path):
    """The loss is read at every tenth step only: the worker's queue fills up."""
    counted = count("char_gpt", tmp_path / "counted.json", read_every=10)
    reads = [int(step % 10 == 0) for step in range(10, 51)]
    assert moved(counted, "blocking_round_trips") == reads
    for key in WAITS:
        assert moved(counted, key) == [0] * STEPS, key
    check_worker(counted)


def test_steps_over_tcp(tmp_path):
    """Other frames, since data travels in them, but the same worker."""
    port = 20000 + os.getpid() % 20000
    server = subprocess.Popen([MOAI, "serve", "--listen", f"tcp://127.0.0.1:{port}"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        counted = count("digits_cnn", tmp_path / "counted.json", flags=("--server", f"tcp://127.0.0.1:{port}"))
    finally:
        server.terminate()
        server.wait(timeout=10)
    assert "tcp" in counted[0]["transport"]
    assert moved(counted, "blocking_round_trips") == [1] * STEPS
    check_worker(counted)
