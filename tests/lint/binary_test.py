#!/usr/bin/env python3
"""The binary needs libc, libm and the loader, nothing else, no glibc newer than 2.34, and exceptions work.

usage: binary_test.py BINARY
"""
import re
import subprocess
import sys

ALLOWED = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
GLIBC_MAX = (2, 34)


def needed(binary):
    text = subprocess.run(["readelf", "-d", binary], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", text))


def glibc_versions(binary):
    text = subprocess.run(["readelf", "--version-info", "-W", binary], capture_output=True, text=True, check=True).stdout
    return {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_(\d+\.\d+(?:\.\d+)?)", text)}


def complaints(binary):
    libraries, versions = needed(binary), glibc_versions(binary)
    found = [f"{binary} needs {name}" for name in sorted(libraries - ALLOWED)]
    if "libc.so.6" not in libraries:
        found.append(f"{binary} does not need libc.so.6: is it the right file?")
    return found + [f"{binary} needs GLIBC_{'.'.join(map(str, v))}" for v in sorted(versions) if v[:2] > GLIBC_MAX]


def exceptions_work(binary):
    """--help leaves the parser by an exception: the unwinder that is linked in has to find its way."""
    run = subprocess.run([binary, "run", "--help"], capture_output=True, text=True)
    return run.returncode == 0 and "--require" in run.stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wrong = complaints(sys.argv[1])
    if not exceptions_work(sys.argv[1]):
        wrong.append(f"{sys.argv[1]} run --help does not print its help")
    # A binary that links more must not pass: Python's own does.
    if not complaints(sys.executable) and not wrong:
        print(f"note: {sys.executable} links as little, so this test was not shown to fail")
    print("\n".join(wrong) or f"{sys.argv[1]}: libc, libm and the loader only")
    sys.exit(bool(wrong))
