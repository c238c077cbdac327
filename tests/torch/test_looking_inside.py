"""What `moai run` shows of a program: --trace, --dump, --record with replay, --stats-json."""
import json
import subprocess

from processes import MOAI

TRAIN = """
import torch
m = torch.nn.Linear(8, 8).cuda()
o = torch.optim.SGD(m.parameters(), lr=0.1)
x = torch.ones(4, 8, device='cuda')
for i in range(3):
    loss = m(x).relu().sum()
    o.zero_grad(); loss.backward(); o.step()
print('loss', loss.item())
"""


def test_a_trace_shows_client_and_worker_down_to_kernels(world, tmp_path):
    path = tmp_path / "trace.json"
    code, out, err = world.run(TRAIN, f"--trace={path}")
    assert code == 0, err
    events = json.loads(path.read_text())
    process = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    seen = {}
    for e in events:
        if e["ph"] == "X":
            assert e["dur"] >= 0 and e["tid"] > 0
            seen.setdefault(process[e["pid"]], set()).add(e["name"])
    assert {"capture", "encode", "send", "wait"} <= seen["client"]
    assert {"compile", "run", "dot_general", "pointwise"} <= seen["worker"]


def test_dumps_are_written_where_told(world, tmp_path):
    code, _, err = world.run(TRAIN, f"--dump=graph,plan,kernel:{tmp_path}")
    assert code == 0, err
    for what, word in [("graph", "dot_general"), ("plan", "arena"), ("kernel", "library dot_general")]:
        texts = [p.read_text() for p in tmp_path.glob(f"segment-*.{what}.txt")]
        assert any(word in t for t in texts), what


def test_a_recording_runs_again_without_python(world, tmp_path):
    path = tmp_path / "run.rec"
    code, _, err = world.run(TRAIN, f"--record={path}")
    assert code == 0, err
    replay = subprocess.run([str(MOAI), "replay", str(path)], capture_output=True, text=True, timeout=60)
    assert replay.returncode == 0, replay.stderr
    figures = dict(line.rsplit(None, 1) for line in replay.stdout.splitlines() if line.split()[-1:] != ["ms"])
    assert int(figures["segments run"]) >= 3 and figures["errors"] == "0"
    path.write_bytes(path.read_bytes()[:-7])
    cut = subprocess.run([str(MOAI), "replay", str(path)], capture_output=True, text=True, timeout=60)
    assert cut.returncode == 0 and "ends inside a message" in cut.stderr, cut.stderr


def test_the_stats_file_has_every_figure(world, tmp_path):
    path = tmp_path / "stats.json"
    code, _, err = world.run(TRAIN, f"--stats-json={path}")
    assert code == 0, err
    stats = json.loads(path.read_text())
    for key in ("steps ops_recorded frames_sent frames_received blocking_round_trips bytes_up bytes_down "
                "segments_compiled segments_reused fallbacks transport").split():
        assert key in stats, key
    assert stats["steps"] == 3 and stats["fallbacks"] == {} and stats["ops_recorded"] > 10
