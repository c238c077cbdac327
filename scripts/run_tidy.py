"""Runs clang-tidy over every C++ file of the build, two counts out: files without and with findings. A file that was
found clean since its object was built is not looked at again, so a run that was cut off goes on.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess

TIDY = ["clang-tidy-16", "--quiet", "--extra-arg=-Wno-unknown-pragmas"]  # the other compiler's


def _sources(root, build):
    """Source -> newest object made of it: an object is newer than every header that it includes."""
    objects = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if source.suffix != ".cc" or not source.is_relative_to(root) or source.is_relative_to(build):
            continue
        if source.is_relative_to(root / "subprojects"):
            continue
        made = pathlib.Path(entry["directory"], entry["output"])
        objects[source] = max(objects.get(source, 0), made.stat().st_mtime if made.exists() else 0)
    return objects


def run(root, build, log):
    """Returns [clean, with findings]; findings go to the file `log` and, as they come, to stdout."""
    stamps = build / "check" / "tidy"
    rules = (root / ".clang-tidy").stat().st_mtime

    def check(item):
        source, made = item
        stamp = stamps / (str(source.relative_to(root)).replace("/", "-") + ".clean")
        if stamp.exists() and made and stamp.stat().st_mtime > max(made, rules):
            return source, ""
        done = subprocess.run([*TIDY, "-p", build, source], capture_output=True, text=True, cwd=root)
        if done.returncode == 0:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
            return source, ""
        return source, done.stdout + done.stderr

    counts = [0, 0]
    with open(log, "w") as out, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = sorted(_sources(root, build).items())
        for n, (source, text) in enumerate(pool.map(check, sources), 1):
            counts[1 if text else 0] += 1
            if text:
                out.write(text)
                print(text, flush=True)
            if n % 50 == 0:
                print(f"    {n} of {len(sources)} files", flush=True)
    return counts
