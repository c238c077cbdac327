#!/usr/bin/env python3
"""A module that PyTorch loads exports its entry point alone: no symbol of ours or of a library meets another's.

usage: exports_test.py MODULE...
"""
import subprocess
import sys

EXPORTED = {"moai_install"}


def exported(module):
    text = subprocess.run(["nm", "-D", "--defined-only", module], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip()}


def complaints(module):
    found = exported(module)
    return ([f"{module} exports {name}: hide it, or list it in exports.map" for name in sorted(found - EXPORTED)] +
            [f"{module} does not export {name}" for name in sorted(EXPORTED - found)])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    wrong = [complaint for module in sys.argv[1:] for complaint in complaints(module)]
    print("\n".join(wrong) or f"{len(sys.argv) - 1} modules export {', '.join(sorted(EXPORTED))} alone")
    sys.exit(bool(wrong))
