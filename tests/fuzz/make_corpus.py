#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets from real streams: small runs of the examples, recorded.

usage: make_corpus.py [OUT]    (default: tests/fuzz/corpus; build/moai and the bridge have to be there)
A seed is kept if it brings an operator, a message kind or a primitive that no earlier one has.
"""
import argparse
import importlib
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOAI = ROOT / "build" / "moai"
# Small widths: a seed is for its operators, not for its sizes.
SMALL = {
    "digits_cnn": dict(batch=2),
    "char_gpt": dict(batch=2, context=8, width=8, heads=2, layers=1),
    "lstm_lm": dict(batch=2, length=3, width=4, layers=1),
    "resnet": dict(batch=2),
    "vae": dict(batch=2),
    "bert": dict(batch=2),
    "llama_lora": dict(batch=2),
}
OPS_A_SEGMENT = 5
SEED_BYTES_MAX = 4096
# Message kinds (src/wire/messages.h) and their place in wire_fuzz.cc; segment_end has the body of execute.
OPS = 1
WIRE = {1: 0, 2: 1, 3: 12, 4: 1, 5: 3, 6: 4, 7: 15, 8: 13, 9: 16, 10: 17, 11: 10}


def train(name):
    """Inside `moai run`: two steps of an example, cut every few operators."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Cutting(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            Cutting.calls += 1
            if Cutting.calls % OPS_A_SEGMENT == 0:
                torch.ops.moai.cut(False)
            return result

    sys.path.insert(0, str(ROOT / "examples"))
    import common
    module = importlib.import_module(name)
    args = argparse.Namespace(device="cuda", batch=2, lr=1e-3, seed=0, dropout=0.1, precision="f32", losses=None, times=None)
    vars(args).update(module.DEFAULTS)
    vars(args).update({k: v for k, v in SMALL[name].items() if k in vars(args)}, steps=2)
    with Cutting():
        common.train(*module.setup(args), args)


def messages(path):
    """(kind, body) of a recording: src/engine/recording.h."""
    data = path.read_bytes()
    magic = b"moai-recording 1\n"
    assert data.startswith(magic), path
    at = len(magic)
    while at < len(data):
        kind, size = struct.unpack_from("<BQ", data, at)
        yield kind, data[at + 9: at + 9 + size]
        at += 9 + size


def features(kind, body):
    """What a seed is for: its operators, or its kind and rough length."""
    if kind != OPS:
        return {(kind, len(body) // 64)}
    return set(re.findall(rb"[a-z_]{3,}", body))


def keep(folder, name, number, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{number:03}").write_bytes(data)


def collect(name, work, out, seen):
    for number, (kind, body) in enumerate(messages(work / "stream")):
        found = features(kind, body)
        if kind not in WIRE or len(body) > SEED_BYTES_MAX or found <= seen:
            continue
        seen |= found
        keep(out / "fuzz_wire", name, number, bytes([WIRE[kind]]) + body)
        if kind == OPS:
            keep(out / "fuzz_lower", name, number, b"\1" + body)
    for number, path in enumerate(sorted(work.glob("*.graph.txt"))):
        text = path.read_bytes()
        found = set(re.findall(rb"= ([a-z_]+)\(", text))
        if len(text) > SEED_BYTES_MAX or found <= seen:
            continue
        seen |= found
        keep(out / "fuzz_ir_text", name, number, text)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests" / "fuzz" / "corpus"
    shutil.rmtree(out, ignore_errors=True)
    seen = set()
    for name in SMALL:
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            command = [MOAI, "run", "--local", "--record", work / "stream", "--dump", f"graph:{folder}",
                       sys.executable, __file__, "--train", name]
            subprocess.run([str(c) for c in command], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            collect(name, work, out, seen)
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{sum(p.is_file() for p in out.rglob('*'))} seeds, {total} bytes in {out}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(sys.argv[2])
    else:
        main()
