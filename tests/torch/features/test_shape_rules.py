"""The shape rules of the bridge against PyTorch's Meta kernels: sizes, strides, dtypes, refusals."""
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="without a server the CPU's kernels decide")
BF16 = torch.bfloat16


def made(device, *sizes, dtype=torch.float32, format=torch.contiguous_format):
    t = torch.zeros(sizes, dtype=dtype, device=device)
    return t.to(memory_format=format) if len(sizes) == 4 else t


def gradients(function, *tensors):
    leaves = [t.detach().requires_grad_() for t in tensors]
    out = function(*leaves)
    return [out, *torch.autograd.grad(out, leaves, torch.zeros_like(out))]


def changed(function, *arguments):
    function(*arguments)
    return arguments[0] if isinstance(arguments[0], list) else [arguments[0]]


CASES = {
    "promotes": lambda m: m(3, 4, dtype=torch.int32) + m(4, dtype=BF16),
    "number": lambda m: m(3, 4, dtype=torch.int32) * 0.5,
    "strides": lambda m: m(3, 4).t() + m(4, 1),
    "compare": lambda m: m(3, 4) > 0,
    "out_grows": lambda m: torch.add(m(3, 4), m(4), out=m(0)),
    "out_dtype": lambda m: torch.div(m(3), m(3), out=m(3, dtype=torch.float64)),
    "in_place": lambda m: m(3, 4, dtype=BF16).mul_(m(4)),
    "sum": lambda m: [m(2, 3, dtype=torch.bool).sum(), m(2, 3).sum(1, keepdim=True), m(2, 3).mean(), m(2, 3).amax((0, 1))],
    "softmax": lambda m: torch.softmax(m(2, 3, dtype=BF16), 1, dtype=torch.float32),
    "products": lambda m: [m(2, 3) @ m(3, 4), torch.addmm(m(4), m(2, 3), m(3, 4)), torch.bmm(m(5, 2, 3), m(5, 3, 2))],
    "where_topk": lambda m: [torch.where(m(3, 1, dtype=torch.bool), m(4), m(3, 4, dtype=BF16)), *torch.topk(m(4, 9), 3),
                             torch.where(m(4, 3, dtype=torch.bool).t(), m(4, 3).t(), m(4, 3).t()), torch.where(m(2) > 0, 0.0, m(2))],
    "logical": lambda m: [torch.logical_not(m(3, 4).t()), torch.logical_and(m(3, 1), m(4, dtype=torch.int64)), ~m(2, 3, dtype=torch.bool)],
    "abs": lambda m: [m(3, 4).t().abs(), m(2, 3, 4, 5, format=torch.channels_last).abs(), m(3, dtype=torch.int8).abs()],
    "filled_whole": lambda m: [torch.full_like(m(3, 4).t(), 2), torch.ops.aten.fill(m(4, 3).t(), 2.0)],
    "arange": lambda m: [torch.arange(7, device=m(1).device), torch.arange(9, 1, -3, device=m(1).device, dtype=torch.int32),
                         torch.arange(2, 3.5, 0.5, device=m(1).device), torch.arange(3, 3, device=m(1).device)],
    "divided": lambda m: [m(3, 4, dtype=torch.int32) // m(4), m(3, 4, dtype=torch.uint8).t() // 2, torch.div(m(3), 2, rounding_mode="floor"),
                          m(3, dtype=torch.int64) % 2, torch.fmod(m(3, dtype=torch.int32), 1.5), 2 - m(3, 4, dtype=BF16).t()],
    "softmax_safe": lambda m: [torch._safe_softmax(m(3, 4).t(), -1), torch._safe_softmax(m(3, 4, dtype=BF16), 0, torch.float32)],
    "index_select": lambda m: [torch.index_select(m(3, 4).t(), 1, m(5, dtype=torch.int64)), m(3, 4, 5)[:, m(2, dtype=torch.int32)]],
    "filled": lambda m: [m(3, 4).t().masked_fill(m(3, dtype=torch.bool), 1.5), m(1, 4).masked_fill(m(3, 1, dtype=torch.bool), m()),
                         m(3, dtype=torch.int32).masked_fill(m(3, dtype=torch.bool), 2)],
    "tril": lambda m: torch.tril(m(3, 3).t()),
    "cat": lambda m: [torch.cat((m(2, 3), m(4, 3))), torch.stack((m(2, 3), m(2, 3)), -1), torch.stack((m(2, 3).t(), m(3, 2)))],
    "norms": lambda m: torch._foreach_norm([m(3, 4), m(5, dtype=BF16)]),
    "relu": lambda m: [torch.relu(m(2, 3).t()), m(2, 3).relu_()],
    "embedding": lambda m: gradients(lambda w: F.embedding(m(2, 5, dtype=torch.int64), w), m(7, 3)),
    "select": lambda m: gradients(lambda t: t[1], m(3, 4)) + gradients(lambda t: t[1:3, ::2], m(4, 5)),
    "masked": lambda m: changed(lambda t: t.masked_fill_(m(4, dtype=torch.bool), 1.5), m(3, 4)),
    "nll": lambda m: gradients(lambda t: F.nll_loss(t, m(4, dtype=torch.int64)), m(4, 9)),
    "layer_norm": lambda m: gradients(lambda x, w, b: F.layer_norm(x, (4, 5), w, b), m(2, 3, 4, 5), m(4, 5), m(4, 5)),
    "layer_norm_bf16": lambda m: list(torch.native_layer_norm(m(3, 4, dtype=BF16), (4,), None, None, 1e-5)),
    "conv": lambda m: gradients(lambda x, w, b: F.conv2d(x, w, b, 2, 1, 1, 2), m(2, 4, 9, 8), m(6, 2, 3, 3), m(6)),
    "conv_last": lambda m: gradients(lambda x, w: F.conv2d(x, w), m(2, 4, 9, 8, format=torch.channels_last), m(6, 4, 3, 3)),
    "conv_1d": lambda m: gradients(lambda x, w: F.conv1d(x, w, dilation=2), m(2, 4, 9), m(6, 4, 3)),
    "conv_transposed": lambda m: gradients(lambda x, w: F.conv_transpose2d(x, w, stride=2), m(2, 4, 5, 5), m(4, 6, 3, 3)),
    "lists": lambda m: changed(torch._foreach_mul_, [m(3), m(2, 2, dtype=BF16)], 0.5) + list(torch._foreach_sqrt([m(3), m(2, dtype=torch.int32)])),
    "list_pairs": lambda m: changed(torch._foreach_addcdiv_, [m(3)], [m(3)], [m(1)], [0.5]) + list(torch._foreach_add([m(3)], [m(2, 3)], alpha=2)),
}
REFUSED = {
    "sizes": lambda m: m(3) + m(4),
    "in_place_grows": lambda m: m(3).add_(m(2, 3)),
    "in_place_int": lambda m: m(3, dtype=torch.int32).mul_(0.5),
    "product": lambda m: m(2, 3) @ m(2, 3),
    "stack": lambda m: torch.stack((m(2), m(3))),
    "layer_norm": lambda m: F.layer_norm(m(2, 3), (4,)),
    "conv_channels": lambda m: F.conv2d(m(1, 3, 4, 4), m(2, 4, 3, 3)),
    "conv_kernel": lambda m: F.conv2d(m(1, 3, 2, 2), m(2, 3, 3, 3)),
    "masked_grows": lambda m: m(3).masked_fill_(m(2, 3, dtype=torch.bool), 0),
    "where_sizes": lambda m: torch.where(m(2, dtype=torch.bool), m(3), m(3)),
    "filled_sizes": lambda m: m(3).masked_fill(m(2, dtype=torch.bool), 0),
    "index_select": lambda m: m(3).index_select(1, m(2, dtype=torch.int64)),
    "arange": lambda m: torch.arange(5, 1, device=m(1).device),
    "list_lengths": lambda m: torch._foreach_add_([m(3)], [m(3), m(3)]),
    "list_int": lambda m: torch._foreach_mul_([m(3, dtype=torch.int32)], 0.5),
}


def facts(case, device):
    out = case(lambda *sizes, **how: made(device, *sizes, **how))
    return [(t.shape, t.stride(), t.dtype) for t in (out if isinstance(out, (list, tuple)) else [out])]


@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
@pytest.mark.parametrize("name", CASES)
def test_results_look_as_the_meta_kernel_says(name):
    assert facts(CASES[name], "cuda") == facts(CASES[name], "meta")


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    with pytest.raises((RuntimeError, IndexError)):
        facts(REFUSED[name], "cuda")


def decoded(tokens):
    """What a language model does at every length: a mask, a cache that grows, attention of grouped heads."""
    ids = torch.ones(2, tokens, dtype=torch.int64, device="cuda")
    mask = torch.cat((ids, ids.new_ones(2, 1)), 1).bool().logical_not().logical_or(torch.arange(tokens + 1, device="cuda") > 3)
    bias = torch.where(mask, 0.0, torch.full((), -1e9, device="cuda"))[:, None, None]
    q, k = torch.ones(2, 4, 1, 8, device="cuda"), torch.ones(2, 2, tokens, 8, device="cuda")
    k = torch.cat((k, q[:, :2]), 2)
    out = F.scaled_dot_product_attention(q, k, k, attn_mask=bias, enable_gqa=True).masked_fill(mask[:, :1, None, None], 0)
    weights = torch._safe_softmax(mask.float(), -1)
    return out.sum() + weights.cumsum(1).abs().sum() + ids.index_select(1, ids[0, :3] // 2).sum()


def test_new_sizes_call_no_python():
    """PyTorch's Python shape functions cost a millisecond at every size that they have not seen."""
    called = []

    def note(frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and ("torch/_refs" in file or file.endswith(("_meta_registrations.py", "decompositions.py"))):
            called.append(frame.f_code.co_name)
    decoded(20)
    sys.setprofile(note)
    try:
        results = [decoded(21), decoded(22)]
    finally:
        sys.setprofile(None)
    assert not called
    assert all(r.isfinite() for r in results)


def test_a_training_step_imports_no_compiler():
    """PyTorch's Python shape functions load sympy and TorchDynamo: a second before the first result."""
    script = """
import sys, torch, moai_torch
moai_torch.install()
nn = torch.nn
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 8),
                      nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 5)).cuda()
parameters = list(model.parameters())
loss = nn.functional.cross_entropy(model(torch.randn(2, 1, 8, 8).cuda()), torch.tensor([1, 2]).cuda())
loss.backward()
nn.utils.clip_grad_norm_(parameters, 1.0)
with torch.no_grad():  # torch.optim imports TorchDynamo by itself
    torch._foreach_add_(parameters, [p.grad for p in parameters], alpha=-0.1)
loss.item()
print([name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.split("\n")[0] == "[]", done.stdout + done.stderr
