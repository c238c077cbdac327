"""Finds and loads the module that was built for this PyTorch."""
import collections
import ctypes
import os
import platform
import re

import torch

_kept = []


def _modules():
    """{(major, minor): path}. MOAI_BRIDGE is a folder of modules, or the one module to take whatever the PyTorch."""
    place = os.environ.get("MOAI_BRIDGE") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib")
    if os.path.isfile(place):
        return collections.defaultdict(lambda: place)
    names = os.listdir(place) if os.path.isdir(place) else []
    found = filter(None, (re.fullmatch(r"moai_torch_(\d+)_(\d+)\.so", name) for name in names))
    return {(int(m[1]), int(m[2])): os.path.join(place, m[0]) for m in found}


def load():
    """Returns the loaded library, or raises RuntimeError with what to do."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise RuntimeError(f"a client of moai runs Linux on x86_64, and this is {system} on {machine}. "
                           "Run the program on such a machine; nothing else about it has to change.")
    modules = _modules()
    version = tuple(int(x) for x in torch.__version__.split(".")[:2])
    try:
        path = modules[version]
    except KeyError:
        names = " or ".join(f"{a}.{b}" for a, b in sorted(modules)) or "2.13, and build moai with it"
        raise RuntimeError(f"PyTorch {torch.__version__} has no module here. Install PyTorch {names}.") from None
    library = ctypes.PyDLL(path)
    library.moai_install.restype = ctypes.c_char_p
    failure = library.moai_install(*version)
    if failure is not None:
        raise RuntimeError(failure.decode())
    return library


def keep(library):
    """Keeps the library loaded: PyTorch's tables point into it."""
    _kept.append(library)
