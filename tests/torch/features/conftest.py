"""Chooses what the tests of the bridge run on: the server that MOAI_SERVER names, else a session inside the
process (MOAI_BRIDGE must then name moai_torch_local.so; MOAI_LOCAL is copy or all)."""
import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def _local_module():
    found = sorted(ROOT.glob("build*/src/frontend/bridge/moai_torch_local.so"))
    return str(found[0]) if found else None


if not os.environ.get("MOAI_SERVER") and "MOAI_BRIDGE" not in os.environ:
    module = _local_module()
    if module is None:
        pytest.skip("no server and no moai_torch_local.so: build the tests first", allow_module_level=True)
    os.environ["MOAI_BRIDGE"] = module

if str(ROOT / "python") not in sys.path:
    sys.path.insert(0, str(ROOT / "python"))
# Children (DataLoader workers, spawned processes) find the package too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])

import moai_torch  # noqa: E402

moai_torch.install()


@pytest.fixture(autouse=True)
def _seed():
    import torch
    torch.manual_seed(0)
    yield
    torch.set_default_device("cpu")
