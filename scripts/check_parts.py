"""Runs the parts of the test suite and adds up what passed. Called by scripts/check after bootstrap."""
import json
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

import run_tidy

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
LOGS = ROOT / "build" / "check"


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, passed, failed, skipped):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def run(command, log, env=None, timeout=1800):
    """Runs a command with its output in a log file; prints the end of the log when it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / log
    with open(path, "w") as out:
        try:
            code = subprocess.run([str(c) for c in command], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
                                  env={**os.environ, **(env or {})}, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            code = 124
            out.write(f"\nno end after {timeout} s\n")
    if code:
        print("\n".join(path.read_text(errors="replace").splitlines()[-60:]), file=sys.stderr)
    return code


def meson_suite(suite, build="build", setup=None):
    """A suite of `meson test`, counted from its JSON log."""
    command = [BIN / "meson", "test", "-C", build, "--no-rebuild", "--suite", suite, "--print-errorlogs", "--logbase", "check-" + suite]
    code = run(command, f"{build.replace('/', '-')}-{suite}.log", env=setup)
    log = ROOT / build / "meson-logs" / f"check-{suite}.json"
    counts = [0, 0, 0]
    if log.exists():
        for line in log.read_text().splitlines():
            result = json.loads(line)["result"]
            counts[0 if result in ("OK", "EXPECTEDFAIL") else 2 if result == "SKIP" else 1] += 1
    if code and not counts[1]:
        counts[1] = 1
    return counts


def pytest(paths, name, launcher=(), env=None, options=(), python=BIN / "python"):
    report = LOGS / f"{name}.xml"
    report.unlink(missing_ok=True)
    code = run([*launcher, python, "-m", "pytest", "-q", "-x" if os.environ.get("MOAI_CHECK_FIRST") else "-ra",
                f"--junitxml={report}", *options, *paths], f"{name}.log", env=env)
    if not report.exists():
        return [0, 1, 0]
    suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite").attrib
    failed = int(suite["failures"]) + int(suite["errors"])
    skipped = int(suite["skipped"])
    if code and not failed:
        failed = 1
    return [int(suite["tests"]) - failed - skipped, failed, skipped]


def torch_part():
    """What needs Python and the bridge, against real servers."""
    counts = [0, 0, 0]
    moai = ROOT / "build" / "moai"
    if not moai.exists() or not list((ROOT / "build").glob("src/frontend/bridge/moai_torch_*.so")):
        print("    skipped: the bridge to PyTorch is not built (see docs/design/next.md)", flush=True)
        return [0, 0, 1]
    # Tests that start moai themselves, then the feature groups inside one `moai run`.
    files = [(path, ()) for path in sorted((ROOT / "tests" / "torch").glob("test_*.py"))]
    files += [(path, (moai, "run", "--local")) for path in sorted((ROOT / "tests" / "torch" / "features").glob("test_*.py"))]
    for path, launcher in files:
        result = pytest([path], "torch-" + path.stem, launcher, env={"OMP_NUM_THREADS": "1"}, options=["-p", "no:cacheprovider"])
        print(f"    {path.name}: {result[0]} passed, {result[1]} failed, {result[2]} skipped", flush=True)
        counts = [a + b for a, b in zip(counts, result)]
    return counts


def second_torch():
    """The feature groups and the operator sweep on what a plain `pip install torch` brings: a CUDA build, without a GPU,
    under a binary that carries the bridges of both. MOAI_SECOND_PYTHON names a Python that has it; else .venv-2.14 is
    made (5.5 GB)."""
    python = os.environ.get("MOAI_SECOND_PYTHON")
    if not python:
        python = ROOT / ".venv-2.14" / "bin" / "python"
        if not python.exists() and run([BIN / "python", "-m", "venv", python.parents[1]], "second-venv.log"):
            return [0, 1, 0]
        if run([python, "-m", "pip", "install", "torch==2.14.1", "numpy", "scipy", "pytest", "expecttest", "hypothesis"], "second-pip.log"):
            return [0, 1, 0]
    build = "build-second"  # beside build: the binary looks for the Python part next to its folder
    if not (ROOT / build / "build.ninja").exists():
        if run([BIN / "meson", "setup", build, f"-Dtorch_pythons={BIN}/python,{python}", "-Dtests=false"], "second-setup.log"):
            return [0, 1, 0]
    if run([BIN / "ninja", "-C", build], "second-build.log", timeout=3600):
        return [0, 1, 0]
    counts = [0, 0, 0]
    features = ROOT / "tests" / "torch" / "features"
    runs = [("first", BIN / "python", features / "test_features.py")]
    runs += [("second", python, path) for path in sorted(features.glob("test_*.py"))]
    for which, python, path in runs:
        result = pytest([path], f"{which}-of-two-{path.stem}", (ROOT / build / "moai", "run", "--local"),
                        env={"OMP_NUM_THREADS": "1"}, options=["-p", "no:cacheprovider"], python=python)
        print(f"    {path.name}, {which} PyTorch: {result[0]} passed, {result[1]} failed, {result[2]} skipped", flush=True)
        counts = [a + b for a, b in zip(counts, result)]
    return counts


def sweep():
    """The operator sweep in the dtypes that it leaves out in every run."""
    return pytest([ROOT / "tests" / "torch" / "features" / "test_op_sweep.py"], "sweep", (ROOT / "build" / "moai", "run", "--local"),
                  env={"OMP_NUM_THREADS": "1", "MOAI_SWEEP_DTYPES": "float16,int32,int16,int8,uint8"},
                  options=["-p", "no:cacheprovider"])


def sanitizer(preset):
    build = f"build/{preset}"
    if not (ROOT / build / "build.ninja").exists():
        code = run([BIN / "meson", "setup", build, "--native-file", f"tests/presets/{preset}.ini", "-Dfrontend=disabled"],
                   f"{preset}-setup.log")
        if code:
            return [0, 1, 0]
    if run([BIN / "ninja", "-C", build], f"{preset}-build.log", timeout=3600):
        return [0, 1, 0]
    env = {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1"}
    unit = meson_suite("unit", build, env)
    conformance = meson_suite("conformance", build, env)
    return [a + b for a, b in zip(unit, conformance)]


def fuzz():
    build = "build/fuzz"
    if not (ROOT / build / "build.ninja").exists():
        if run([BIN / "meson", "setup", build, "--native-file", "tests/presets/fuzz.ini", "-Dfrontend=disabled"], "fuzz-setup.log"):
            return [0, 1, 0]
    names = sorted(path.stem.removesuffix("_fuzz") for path in (ROOT / "tests" / "fuzz").glob("*_fuzz.cc"))
    targets = [pathlib.Path("tests/fuzz") / f"fuzz_{name}" for name in names]
    if run([BIN / "ninja", "-C", build, *targets], "fuzz-build.log", timeout=3600):
        return [0, 1, 0]
    counts = [0, 0, 0]
    for target in [ROOT / build / path for path in targets]:
        corpus = ROOT / build / "corpus" / target.name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "tests" / "fuzz" / "corpus" / target.name
        extra = [seeds] if seeds.exists() else []
        code = run([target, "-runs=1000000", "-max_total_time=540", "-timeout=10", f"-artifact_prefix={LOGS}/", corpus, *extra], f"{target.name}.log",
                   env={"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})
        counts[1 if code else 0] += 1
    return counts


def tidy():
    LOGS.mkdir(parents=True, exist_ok=True)
    return [*run_tidy.run(ROOT, ROOT / "build", LOGS / "tidy.log"), 0]


PARTS = {
    "lint": lambda: meson_suite("lint"),
    "unit": lambda: meson_suite("unit"),
    "conformance": lambda: meson_suite("conformance"),
    "torch": torch_part,
}
SLOW = {
    "asan": lambda: sanitizer("asan"),
    "tsan": lambda: sanitizer("tsan"),
    "fuzz": fuzz,
    "tidy": tidy,
    "sweep": sweep,
    "second_torch": second_torch,
    "programs": lambda: pytest([ROOT / "tests/workloads"], "programs", options=["-p", "no:cacheprovider"]),
    "kills": lambda: pytest([ROOT / "tests/torch/test_processes.py"], "kills", options=["-k", "random_kills", "--kills=200"]),
}


def main(arguments):
    if arguments in (["--list"], ["--help"], ["-h"]):
        print("always:", *PARTS)
        print("slow:", *SLOW)
        return 0
    parts = dict(PARTS)
    if arguments[:1] == ["slow"]:
        arguments, parts = arguments[1:], dict(SLOW)
    unknown = [a for a in arguments if a not in {**PARTS, **SLOW}]
    if unknown:
        print(f"check: no part is called {unknown[0]}. Parts: {' '.join(PARTS)}; slow: {' '.join(SLOW)}.", file=sys.stderr)
        return 2
    names = arguments or list(parts)
    total = Counts()
    for i, name in enumerate(names, 1):
        print(f"[check] [{i}/{len(names)}] {name} ...", flush=True)
        begin = time.time()
        passed, failed, skipped = {**PARTS, **SLOW}[name]()
        total.add(passed, failed, skipped)
        print(f"[check] [{i}/{len(names)}] {name}: {passed} passed, {failed} failed, {skipped} skipped "
              f"({time.time() - begin:.0f} s)", flush=True)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
