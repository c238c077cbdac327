"""What `moai run` shows of a program: --trace, --dump, --record with replay, --stats-json."""
import json
import subprocess
import sys

from processes import MOAI, wait_for

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


LEAVES_A_CHILD = """
import os, pathlib, time, torch
folder, child = pathlib.Path(os.environ['FOLDER']), os.fork()
if child == 0:
    os.setsid()
    def step(name):
        (torch.ones(8, device='cuda') * 2).sum().item()
        (folder / name).touch()
    step('started')
    while not (folder / 'go').exists(): time.sleep(0.01)
    for i in range(20): (torch.ones(8, device='cuda') * i).sum().item()
    step('done')
    os._exit(0)
while not (folder / 'started').exists(): time.sleep(0.01)
"""


def test_a_child_left_behind_does_not_spoil_the_trace(world, tmp_path):
    path = tmp_path / "trace.json"
    # No pipes: the server that the child keeps alive would hold them open.
    command = [MOAI, "run", f"--trace={path}", sys.executable, "-c", LEAVES_A_CHILD]
    done = subprocess.run(command, env={**world.env, "FOLDER": str(tmp_path)}, timeout=60, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    assert done.returncode == 0
    text = path.read_text()
    assert any(e["name"] == "run" for e in json.loads(text))
    (tmp_path / "go").touch()
    wait_for((tmp_path / "done").exists, 20, "the child's last step")
    wait_for(lambda: not world.pids(), 20, "the child and its server to end")
    assert path.read_text() == text


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
