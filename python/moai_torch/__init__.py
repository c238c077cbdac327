"""Makes a stock PyTorch see one cuda:0 that runs on a moai server.

autoload() is the entry point that `import torch` calls in its last lines; it is active only if MOAI_SERVER is
set. Everything here that talks to the device goes through torch.ops.moai.
"""
import json
import os
import sys

__all__ = ["autoload", "fallbacks", "install", "is_installed", "stats", "wait_plans"]

_installed = False


def is_installed():
    """Whether this process sees the device."""
    return _installed


def autoload():
    """Entry point of group torch.backends. Never raises: that would make `import torch` fail."""
    if not os.environ.get("MOAI_SERVER"):
        return
    try:
        install()
    except Exception as error:  # noqa: BLE001
        print(f"[moai] The device is not available in this process: {error}", file=sys.stderr)


def install():
    """Loads the module for this PyTorch and opens torch.cuda. Opens no connection. Call it at most once."""
    global _installed
    if _installed:
        return
    os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
    from . import _load
    library = _load.load()
    from . import _comm, _compile, _device, _distributed, _exit, _moreh, _storage, _streams
    for part in (_device, _streams, _storage, _comm, _distributed, _compile, _moreh, _exit):
        part.install()
    _load.keep(library)
    _installed = True


def _ops():
    import torch
    return torch.ops.moai


def fallbacks():
    """{ATen operator: calls} of operators that ran on the client since the process began."""
    return dict(_ops().fallbacks()) if _installed else {}


def stats():
    """Counters of the session since the process began; `fallbacks` has calls, bytes and ms per operator."""
    if not _installed:
        return {"fallbacks": {}}
    from . import _compile, _moreh
    return {**json.loads(_ops().stats()), "compiled_graphs": _compile.graphs,
            "hints": [f"{name}={value!r}" for name, value in _moreh.accepted]}


def wait_plans():
    """Waits until the server has no background work left, so that a measurement sees the steady state."""
    if _installed:
        _ops().wait_plans()
