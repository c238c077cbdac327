#!/usr/bin/env python3
"""Makes the object file of the bridge that the binary carries: the Python part, and a module for each PyTorch without its
symbols.

usage: pack_bridge.py OBJECT DEPENDENCIES PYTHON_FOLDER [MODULE...]

What cli/carried_bridge.cc reads: a line with a hash of all that follows; then for each file a line "SIZE PATH" and its bytes.
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile

SYMBOL = "carried_bridge"  # ld names what it wraps after its file


def stripped(module):
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run(["strip", "--strip-unneeded", "-o", file.name, module], check=True)
        return pathlib.Path(file.name).read_bytes()


def contents(python, modules):
    """{path in the archive: (source, bytes)}"""
    files = {str(path.relative_to(python)): (path, path.read_bytes()) for path in sorted(python.rglob("*"))
             if path.is_file() and "__pycache__" not in path.parts}
    for module in map(pathlib.Path, modules):
        files[f"moai_torch/lib/{module.name}"] = module, stripped(module)
    return files


def main(target, dependencies, python, *modules):
    files = contents(pathlib.Path(python), modules)
    body = b"".join(f"{len(data)} {path}\n".encode() + data for path, (_, data) in files.items())
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, SYMBOL).write_bytes(hashlib.sha256(body).hexdigest()[:32].encode() + b"\n" + body)
        subprocess.run(["ld", "-r", "-b", "binary", "-z", "noexecstack", "-o", pathlib.Path(target).resolve(), SYMBOL],
                       cwd=folder, check=True)
    sources = " ".join(str(source.resolve()).replace(" ", "\\ ") for source, _ in files.values())
    pathlib.Path(dependencies).write_text(f"{target}: {sources}\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
