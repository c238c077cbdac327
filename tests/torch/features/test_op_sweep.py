"""Every row of PyTorch's operator database passes all checks, and `fallbacks.txt` is what runs on the client.

MOAI_SWEEP_DTYPES=NAME,... takes other dtypes than those of every run (`scripts/check slow sweep`).
"""
import os

import pytest
import torch

pytest.importorskip("torch.testing._internal.common_methods_invocations")
import op_sweep  # noqa: E402

pytestmark = pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="without a server the CPU's kernels decide")
LISTED = op_sweep.read_list()
ASKED = os.environ.get("MOAI_SWEEP_DTYPES")
DTYPES = [getattr(torch, name) for name in ASKED.split(",")] if ASKED else op_sweep.DTYPES
ROWS = [(op, dtype) for op in op_sweep.operators() for dtype in DTYPES if dtype in op.supported_dtypes("cpu")]


@pytest.mark.parametrize("op, dtype", ROWS, ids=lambda v: op_sweep.name_of(v) if hasattr(v, "name") else str(v)[6:])
def test_row(op, dtype):
    outcomes = op_sweep.run_row(op, dtype)
    assert not [f"{o.check}: {o.error}" for o in outcomes if o.error]
    if dtype in op_sweep.LISTED_DTYPES:
        ran_on_client = sorted({name for o in outcomes for name in o.fallbacks})
        is_listed = str(dtype)[6:] in LISTED.get(op_sweep.name_of(op), ())
        assert bool(ran_on_client) == is_listed, (
            f"{ran_on_client} ran on the client: lower it" if ran_on_client else "native now: take it out of fallbacks.txt")


def test_most_operators_are_native():
    names = [op_sweep.name_of(op) for op in op_sweep.operators() if torch.float32 in op.supported_dtypes("cpu")]
    native = [name for name in names if "float32" not in LISTED.get(name, ())]
    assert len(native) >= 0.7 * len(names)


@pytest.mark.parametrize("wrong", ("value", "dtype", "gradient", "in place"))
def test_a_wrong_operator_is_found(wrong, monkeypatch):
    op = next(op for op in op_sweep.operators() if op.name == "sigmoid")
    true_op, true_inplace = op.op, op.inplace_variant

    def spoiled(x, **more):
        y = true_op(x, **more)
        if not x.is_cuda:
            return y
        return {"value": lambda: y + 0.01, "dtype": y.double, "gradient": lambda: y.detach() + (y - y.detach()) * 2,
                "in place": lambda: y}[wrong]()
    monkeypatch.setattr(op, "op", spoiled)
    monkeypatch.setattr(op, "inplace_variant",
                        lambda x: (x.clone().sigmoid_() if x.is_cuda and wrong == "in place" else true_inplace(x)))
    assert [o for o in op_sweep.run_row(op, torch.float32) if o.error]
