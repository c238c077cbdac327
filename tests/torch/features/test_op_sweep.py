"""Every operator of PyTorch's own table of test samples (OpInfo): what the CPU computes, the device computes, on the
server or, counted, on the client. A program never meets an operator that is missing."""
import os

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

pytestmark = pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="without a server the CPU's kernels decide")
SAMPLES = 5
# Draw numbers or leave memory as it is: no two devices agree.
RANDOM = {"bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "uniform", "multinomial",
          "rand_like", "randint", "randint_like", "randn", "randn_like", "empty", "empty_like", "empty_permuted", "empty_strided",
          "new_empty", "new_empty_strided", "nn.functional.rrelu", "nn.functional.fractional_max_pool2d",
          "nn.functional.fractional_max_pool3d", "nn.functional.multi_head_attention_forward", "pca_lowrank",
          "svd_lowrank"}
TIES = {"sort", "argsort", "topk", "kthvalue", "msort"}  # free to order equal elements: compared without them
# Refused with PyTorch's words on any accelerator, or by design.
REFUSED = {"tensor_split": "to be on cpu", "to_sparse": "only strided tensors exist"}
STATISTICS_ARE_WIDE = {"native_layer_norm", "native_batch_norm"}  # f32 for bf16, as on a GPU
TOLERANCE = {torch.bfloat16: 3e-2, torch.float32: 2e-4, torch.complex64: 2e-4, torch.float64: 1e-7}


def is_strided(value):
    return not isinstance(value, torch.Tensor) or value.layout == torch.strided


def draws(op, sample):
    return op.name in RANDOM or "dropout" in op.name or sample.kwargs.get("dropout_p", 0) > 0


def samples(op, dtype, grad=False):
    taken = []
    for sample in op.sample_inputs("cpu", dtype, requires_grad=grad):
        values = (sample.input, tuple(sample.args), sample.kwargs)
        if not draws(op, sample) and all(map(is_strided, tree_leaves(values))):
            taken.append((sample, values))
    return taken[:SAMPLES]


def moved(values, device):
    def move(v):
        if isinstance(v, torch.Tensor):
            return v.detach().clone().to(device).requires_grad_(v.requires_grad)
        return torch.device(device) if isinstance(v, torch.device) else v
    return tree_map(move, values)


def outputs(op, sample, values, device):
    values = moved(values, device)
    first, others, named = values
    out = op.op(first, *others, **named)
    leaves = [v for v in tree_leaves(values) if isinstance(v, torch.Tensor) and v.requires_grad]
    if not leaves:
        return [v for v in tree_leaves(out) if not isinstance(v, torch.device)]
    out = sample.output_process_fn_grad(out) if sample.output_process_fn_grad else out
    results = [v for v in tree_leaves(out) if isinstance(v, torch.Tensor) and v.requires_grad and v.is_floating_point()]
    totals = [(v * v).sum() for v in results]
    gradients = torch.autograd.grad(totals, leaves, allow_unused=True) if totals else []
    return results + [g for g in gradients if g is not None]


def close(name, dtype, want, got):
    if not isinstance(want, torch.Tensor) or not is_strided(want):
        return
    if not (name in STATISTICS_ARE_WIDE and dtype == torch.bfloat16):
        assert got.dtype == want.dtype
    got, want = got.detach().cpu().to(want.dtype), want.detach().cpu()
    if not want.is_floating_point() and not want.is_complex():
        return torch.testing.assert_close(got, want, rtol=0, atol=0)
    tolerance = TOLERANCE.get(dtype, 2e-4)
    finite = want[want.isfinite()]
    scale = max(1.0, finite.abs().max().item()) if finite.numel() else 1.0
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def check(op, dtype, grad):
    count = 0
    for sample, values in samples(op, dtype, grad):
        try:
            want = outputs(op, sample, values, "cpu")
        except (RuntimeError, NotImplementedError, IndexError, ValueError, TypeError):
            continue
        count += 1
        try:
            got = outputs(op, sample, values, "cuda")
        except RuntimeError as error:
            assert REFUSED.get(op.name, "no refusal is expected") in str(error), f"{sample}: {error}"
            continue
        for a, b in zip(want, got, strict=True):
            close(op.name, dtype, a, b)
    return count


OPS = [op for op in op_db if not op.name.startswith("jiterator")]  # source text for another compiler


def name_of(op):
    return op.name + ("." + op.variant_test_name if op.variant_test_name else "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64), ids=str)
@pytest.mark.parametrize("op", OPS, ids=name_of)
def test_forward(op, dtype):
    if dtype in op.supported_dtypes("cpu") and not (op.name in TIES and dtype != torch.float32):
        check(op, dtype, grad=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in OPS if op.supports_autograd], ids=name_of)
def test_gradient(op):
    dtype = torch.float64 if torch.float64 in op.supported_dtypes("cpu") else torch.float32
    check(op, dtype, grad=True)


@pytest.mark.filterwarnings("ignore")
def test_samples_are_met():
    assert sum(check(op, torch.float32, grad=False) > 0 for op in OPS[:60]) > 40
