"""Finds and loads the module that was built for this PyTorch."""
import ctypes
import os

import torch

_kept = []


def _path(major, minor):
    override = os.environ.get("MOAI_BRIDGE")
    if override:
        return override
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", f"moai_torch_{major}_{minor}.so")


def load(supported):
    """Returns the loaded library, or raises RuntimeError with what to do."""
    major, minor = (int(x) for x in torch.__version__.split(".")[:2])
    names = " or ".join(f"{a}.{b}" for a, b in supported)
    path = _path(major, minor)
    if (major, minor) not in supported or not os.path.exists(path):
        raise RuntimeError(f"PyTorch {torch.__version__} has no module here. Install PyTorch {names}.")
    library = ctypes.PyDLL(path)
    library.moai_install.restype = ctypes.c_char_p
    failure = library.moai_install()
    if failure is not None:
        raise RuntimeError(failure.decode())
    return library


def keep(library):
    """Keeps the library loaded: PyTorch's tables point into it."""
    _kept.append(library)
