"""PyTorch's operator database (OpInfo) on the device against the CPU: values, gradients, strides, in place, `out=`.

    moai run --local .venv/bin/python tests/torch/features/op_sweep.py [--dtypes float32] [--ops REGEX]
                                                                       [--report FILE] [--write-list]

A row is an operator with a dtype. It passes when all its checks pass; it is native when, besides, nothing of it ran on
the client. `fallbacks.txt` lists the rows that are not native: test_op_sweep.py keeps it true.
"""
import argparse
import collections
import dataclasses
import itertools
import json
import pathlib
import re
import sys
import warnings

import torch
from torch.utils._pytree import tree_leaves, tree_map

import moai_torch

LIST = pathlib.Path(__file__).with_name("fallbacks.txt")
DTYPES = (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.float64, torch.complex64)
LISTED_DTYPES = DTYPES[:4]  # complex numbers are not computed on the server
LISTED_NAMES = [str(d).removeprefix("torch.") for d in LISTED_DTYPES]
CHECKS = ("forward", "gradient", "strided", "inplace", "out")
SAMPLES = 6
# Draw numbers or leave memory as it is: compared by shape and dtype only.
UNPREDICTABLE = re.compile(
    r"(bernoulli|cauchy|exponential|geometric|log_normal|normal|uniform|multinomial|rand|randn|randint|rand_like|randn_like"
    r"|randint_like|empty|empty_like|empty_permuted|empty_strided|new_empty|new_empty_strided|resize_|resize_as_"
    r"|nn\.functional\.(.*dropout.*|rrelu|fractional_max_pool.*|multi_head_attention_forward)|pca_lowrank|svd_lowrank)$")
# Free to order equal elements as they like. Where the dimension stands among the arguments.
ORDERS = {"sort": 0, "argsort": 0, "topk": 1, "kthvalue": 1, "msort": None}
STRIDE_IS_MEANING = re.compile(r"(as_strided.*|view_as_complex)$")
NOT_COPYABLE = {"as_strided.partial_views"}  # a window into a larger storage
HOST_ARGUMENTS = {"tensor_split"}            # wants its indices on the CPU, on any device
CHANGES_DEVICE = {"to", "cpu", "cuda"}
STATISTICS_ARE_WIDE = {"native_layer_norm", "native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update"}  # f32 for 16 bits, as on a GPU
CPU_IS_WRONG = {("renorm", torch.complex64, "gradient")}  # its norm and its abs differ in the last bit: 0 / 0
SHORT = (torch.bfloat16, torch.float16)
TOLERANCE = {torch.bfloat16: 3e-2, torch.float16: 2e-2, torch.float32: 2e-4, torch.complex64: 2e-4}


def name_of(op):
    return op.name + ("." + op.variant_test_name if op.variant_test_name else "")


def operators():
    from torch.testing._internal.common_methods_invocations import op_db
    return [op for op in op_db if not op.name.startswith("jiterator")]  # source text for another compiler


@dataclasses.dataclass
class Outcome:
    check: str
    samples: int = 0
    error: str = ""
    fallbacks: dict = dataclasses.field(default_factory=dict)


def is_tensor(value):
    return isinstance(value, torch.Tensor)


def tensors(tree):
    return [t for t in tree_leaves(tree) if is_tensor(t)]


def to_device(tree):
    def move(value):
        if is_tensor(value):
            return value.detach().to("cuda", copy=True).requires_grad_(value.requires_grad)
        is_place = isinstance(value, torch.device) or value == "cpu"
        return torch.device("cuda") if is_place else value
    return tree_map(move, tree)


def spread(tree):
    """The same values with a stride of 2 in the last dimension."""
    def wide(t):
        if not is_tensor(t) or t.layout != torch.strided or t.dim() == 0 or t.numel() < 2:
            return t
        return t.detach().repeat_interleave(2, dim=-1)[..., ::2].requires_grad_(t.requires_grad)
    return tree_map(wide, tree)


def stale(tree, device):
    """Results to write into, full of a wrong value."""
    def like(t):
        if t.layout != torch.strided:
            return torch.empty_like(t.detach(), device=device)
        return torch.full(t.shape, True if t.dtype == torch.bool else 77, dtype=t.dtype).to(device)
    return tree_map(like, tree)


def dense(t):
    return t.detach().cpu() if t.layout == torch.strided else t.detach().cpu().to_dense()


def assert_same_form(op, got, want, dtype):
    got, want = tree_leaves(got), tree_leaves(want)
    assert len(got) == len(want), f"{len(got)} results, not {len(want)}"
    for g, w in zip(got, want):
        if not is_tensor(w):
            continue
        assert is_tensor(g), f"a {type(g).__name__}, not a tensor"
        assert g.shape == w.shape, f"shape {tuple(g.shape)}, not {tuple(w.shape)}"
        assert g.layout == w.layout, f"layout {g.layout}, not {w.layout}"
        is_wide = op.name in STATISTICS_ARE_WIDE and dtype in SHORT and g.dtype == torch.float32
        assert g.dtype == w.dtype or is_wide, f"dtype {g.dtype}, not {w.dtype}"
        if op.name not in CHANGES_DEVICE and g.dim():
            assert g.is_cuda, f"a result on {g.device}"


def assert_close(got, want, dtype, wide=()):
    """Against the largest value: a sum loses digits of its largest terms, not of itself. With the same results from f32
    arithmetic in `wide`, a short dtype may instead be as far from them as the CPU is."""
    for g, w, exact in itertools.zip_longest(tree_leaves(got), tree_leaves(want), tree_leaves(wide)):
        if not is_tensor(w):
            continue
        if is_tensor(exact) and w.is_floating_point():
            error, allowed = ((dense(t).float() - dense(exact)).abs().nan_to_num().max() if t.numel() else 0 for t in (g, w))
            if error <= 2 * allowed:
                continue
        g, w = dense(g).to(w.dtype), dense(w)
        if not (w.is_floating_point() or w.is_complex()):
            torch.testing.assert_close(g, w, rtol=0, atol=0)
            continue
        near = max(TOLERANCE.get(dtype, 1e-7), TOLERANCE.get(w.dtype, 1e-7))
        finite = w[w.isfinite()]
        scale = max(1.0, finite.abs().max().item()) if finite.numel() else 1.0
        torch.testing.assert_close(g, w, rtol=near, atol=near * scale, equal_nan=True)


def values_at_indices(op, sample, result):
    """What the indices of a sort point at, in place of the indices."""
    if op.name not in ORDERS or sample.kwargs.get("stable"):
        return result
    place = ORDERS[op.name]
    at = 0 if place is None else sample.args[place] if len(sample.args) > place else sample.kwargs.get("dim", -1)
    source = dense(sample.input) if sample.input.dim() else dense(sample.input).reshape(1)

    def look(t):
        if not is_tensor(t) or t.dtype != torch.int64 or (op.name == "msort"):
            return t
        index = dense(t)
        if index.dim() < source.dim():
            index = index.unsqueeze(at)
        return source.gather(at, index).to(t.device)
    if op.name == "argsort":
        return look(result)
    leaves = tree_leaves(result)
    return [leaves[0], look(leaves[1])] if len(leaves) == 2 else leaves


def draws(op, sample):
    return bool(UNPREDICTABLE.match(op.name)) or sample.kwargs.get("dropout_p", 0) > 0


def gradients(outputs, inputs, device):
    """For random cotangents: a sum would hide a softmax whose gradient is lost."""
    outputs = [t for t in tensors(outputs) if t.requires_grad]
    inputs = [t for t in tensors(inputs) if t.requires_grad]
    if not outputs:
        return []
    rng = torch.Generator().manual_seed(1)
    seeds = [(torch.rand(o.shape, generator=rng) + 0.5).to(o.dtype).to(device) for o in outputs]
    return torch.autograd.grad(outputs, inputs, seeds, allow_unused=True)


def widened_gradients(call, process, values):
    def widen(value):
        if is_tensor(value) and value.dtype in SHORT:
            return value.detach().float().requires_grad_(value.requires_grad)
        return torch.float32 if isinstance(value, torch.dtype) and value in SHORT else value
    values = tree_map(widen, values)
    return gradients(process(call(values)), values, "cpu")


def applies(op, dtype, check):
    if name_of(op) in NOT_COPYABLE or (name_of(op), dtype, check) in CPU_IS_WRONG:
        return False
    if check == "gradient":
        ties = op.name in ORDERS and dtype in SHORT  # equal elements get each other's gradients
        return op.supports_autograd and dtype in op.supported_backward_dtypes("cpu") and not ties
    if check == "strided":
        return not STRIDE_IS_MEANING.match(op.name)
    if check == "inplace":
        return op.inplace_variant is not None
    return op.supports_out if check == "out" else True


def samples(op, dtype, check):
    torch.manual_seed(0)
    for i, sample in enumerate(op.sample_inputs("cpu", dtype, requires_grad=check == "gradient")):
        if i == SAMPLES:
            return
        yield sample


def try_sample(op, sample, dtype, check):
    """Whether the CPU answers; raises where the device answers differently."""
    if check == "inplace" and (not is_tensor(sample.input) or sample.broadcasts_input):
        return False
    here = (sample.input.detach().clone() if check == "inplace" else sample.input, sample.args, sample.kwargs)
    there = (*to_device(here[:1]), *(here[1:] if op.name in HOST_ARGUMENTS else to_device(here[1:])))
    if check == "strided":
        there = spread(there)
    process = sample.output_process_fn_grad
    function = op.inplace_variant if check == "inplace" else op.op

    def call(values, **more):
        return function(values[0], *values[1], **values[2], **more)
    try:
        want = call(here)
        if check == "out":
            if not all(map(is_tensor, tree_leaves(want))):
                return False
            written = stale(want, "cpu")
            call(here, out=written)
            if not draws(op, sample):
                assert_close(written, want, dtype)
        host_gradients = gradients(process(want), here, "cpu") if check == "gradient" and not draws(op, sample) else []
        wide_gradients = widened_gradients(call, process, here) if host_gradients and dtype in SHORT else []
    except Exception:  # what the CPU refuses, or gets wrong, says nothing about the device
        return False

    if check == "out":
        got = stale(want, "cuda")
        call(there, out=got)
    else:
        got = call(there)
    assert_same_form(op, got, want, dtype)
    if draws(op, sample):
        return True
    if check == "gradient":
        device_gradients = gradients(process(got), there, "cuda")
        for g, w in zip(device_gradients, host_gradients, strict=True):
            assert (g is None) == (w is None), "one gradient is None, the other is not"
        assert_close(device_gradients, host_gradients, dtype, wide_gradients)
        return True
    assert_close(values_at_indices(op, sample, process(got)), values_at_indices(op, sample, process(want)), dtype)
    if check == "inplace":
        assert_close(there[0], here[0], dtype)
    return True


def run_row(op, dtype):
    """One Outcome a check that applies to the operator and dtype."""
    outcomes = []
    for check in CHECKS:
        if not applies(op, dtype, check):
            continue
        outcome, before = Outcome(check), collections.Counter(moai_torch.fallbacks())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for sample in samples(op, dtype, check):
                    outcome.samples += try_sample(op, sample, dtype, check)
        except Exception as error:
            outcome.error = f"{type(error).__name__}: {error}"
        outcome.fallbacks = dict(collections.Counter(moai_torch.fallbacks()) - before)
        outcomes.append(outcome)
    return outcomes


def read_list():
    """{operator: set of dtype names that are not native}"""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return {name: set(dtypes.split()) for name, dtypes in (line.split(":") for line in lines)}


def write_list(rows):
    known = {name_of(op) for op in operators()}
    by_name = collections.defaultdict(list, {name: [d for d in LISTED_NAMES if d in dtypes] for name, dtypes in read_list().items()
                                             if name not in known})  # what another PyTorch has
    for name, dtype, outcomes in rows:
        if dtype in LISTED_DTYPES and any(o.fallbacks for o in outcomes):
            by_name[name].append(str(dtype).removeprefix("torch."))
    header = ("# Operators of PyTorch's database that run on the client, and the dtypes for which they do. Complex numbers always do.\n"
              "# Of all PyTorch versions that have a bridge. The list may only shrink. Written by op_sweep.py --write-list.\n")
    LIST.write_text(header + "".join(f"{name}: {' '.join(dtypes)}\n" for name, dtypes in sorted(by_name.items())))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", default=",".join(str(d)[6:] for d in DTYPES))
    parser.add_argument("--ops", default="", help="regular expression")
    parser.add_argument("--report", help="a JSON line for each check")
    parser.add_argument("--write-list", action="store_true", help="rewrite fallbacks.txt; wants all dtypes and operators")
    arguments = parser.parse_args()
    report = open(arguments.report, "w") if arguments.report else None
    rows = []
    chosen = [op for op in operators() if re.search(arguments.ops, name_of(op))]
    for i, op in enumerate(chosen, 1):
        for dtype in (getattr(torch, d) for d in arguments.dtypes.split(",")):
            if dtype not in op.supported_dtypes("cpu"):
                continue
            outcomes = run_row(op, dtype)
            rows.append((name_of(op), dtype, outcomes))
            for o in outcomes:
                if o.error:
                    print(f"{name_of(op)} {dtype} {o.check}: {o.error[:300]}", flush=True)
                if report:
                    print(json.dumps({"op": name_of(op), "dtype": str(dtype), **dataclasses.asdict(o)}), file=report, flush=True)
        if sys.stderr.isatty():
            print(f"\r{i}/{len(chosen)} {name_of(op):60}", end="", file=sys.stderr, flush=True)
    print(f"{'dtype':16}{'rows':>6}{'pass':>6}{'native':>8}")
    for dtype in dict.fromkeys(d for _, d, _ in rows):
        of = [outcomes for _, d, outcomes in rows if d == dtype and any(o.samples or o.error for o in outcomes)]
        good = [outcomes for outcomes in of if not any(o.error for o in outcomes)]
        native = [outcomes for outcomes in good if not any(o.fallbacks for o in outcomes)]
        print(f"{str(dtype):16}{len(of):6}{len(good):6}{len(native):8}  ({100 * len(native) / max(1, len(of)):.1f} %)")
    if arguments.write_list:
        write_list(rows)
    return int(any(o.error for _, _, outcomes in rows for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
