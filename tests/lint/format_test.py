"""Fails when a C++ file is not laid out as .clang-format says. usage: format_test.py ROOT"""
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

FOLDERS = ("include", "src", "codegen", "sched", "transport", "cli", "tests")
SKIPPED = 77  # what meson takes for a skip


def main(root):
    tool = shutil.which("clang-format-16")
    if tool is None:
        print("clang-format-16 is not installed; scripts/bootstrap installs it")
        return SKIPPED
    files = sorted(p for folder in FOLDERS for p in (pathlib.Path(root) / folder).rglob("*") if p.suffix in (".cc", ".h"))

    def is_formatted(path):
        return subprocess.run([tool, "--dry-run", "--Werror", path], capture_output=True).returncode == 0

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [str(p.relative_to(root)) for p, ok in zip(files, pool.map(is_formatted, files)) if not ok]
    if wrong:
        print("not laid out as .clang-format says; run: clang-format-16 -i " + " ".join(wrong))
    return 1 if wrong or len(files) < 100 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
