"""Every pointwise operator of the op map against PyTorch's own on the CPU: dtypes, promotion, NaN and infinities, out=
and in-place forms. The names are read from the tables, so a new row is tested by being there."""
import itertools
import os
import pathlib
import re

import pytest
import torch

import moai_torch

ROOT = pathlib.Path(__file__).resolve().parents[3]
FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
OTHERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
INF, NAN = float("inf"), float("nan")
REALS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, 3.0, -3.0, 0.75, 7.25, 30.0, -30.0, 1e-3, INF, -INF, NAN]
WHOLE = [0, 1, -1, 2, -2, 3, 7, -7, 5, 60, -100, 127]
# Relative and absolute: a few units of the last place of what the operator computes in.
TOLERANCE = {torch.float64: (1e-11, 1e-13), torch.float32: (1e-5, 1e-6), torch.bfloat16: (1.6e-2, 1e-3),
             torch.float16: (2e-3, 1e-4)}
COARSE = {"hardsigmoid_backward"}  # PyTorch's CPU kernel rounds 1/6 to float32 in float64 too
EXACT = {"neg", "abs", "floor", "ceil", "round", "trunc", "relu", "maximum", "minimum", "copysign.Tensor", "nextafter"}
NO_NAN = {"hardswish_backward"}  # where the vector loop and the tail of PyTorch's CPU kernel disagree


def names():
    formulas = (ROOT / "src/lower/aten_map.def").read_text()
    found = re.findall(r'^MOAI_(?:UNARY|BINARY)\("([\w.]+)"', formulas, re.M)
    for name in re.findall(r'^MOAI_BINARY_BOTH\("(\w+)"', formulas, re.M):
        found += [name + ".Tensor", name + ".Scalar"]
    functions = (ROOT / "include/moai/ops.def").read_text()
    return found + re.findall(r"^MOAI_FUNCTION\((\w+)\)", functions, re.M)


def packet(name):
    return getattr(torch.ops.aten, name.partition(".")[0])


def operator(name):
    return getattr(packet(name), name.partition(".")[2] or "default")


def values(dtype):
    numbers = REALS if dtype.is_floating_point else WHOLE
    if dtype == torch.uint8:
        numbers = [abs(v) for v in numbers]
    return torch.tensor(numbers, dtype=torch.float64).to(dtype)


def is_tensor(argument):
    return str(argument.type) == "Tensor"


def calls(name, dtypes):
    """Argument lists: all pairs of values for two tensors (broadcast), several numbers for a Scalar."""
    schema = operator(name)._schema.arguments
    wanted = itertools.cycle(dtypes)
    columns = [values(next(wanted)) for a in schema if is_tensor(a)]
    if name in NO_NAN:
        columns = [c[~c.isnan()] for c in columns]
    grid = [c.reshape([-1 if i == j else 1 for j in range(len(columns))]) for i, c in enumerate(columns)]
    numbers = (2, -3, 1.5, True) if any(str(a.type) == "number" for a in schema) else (None,)
    for number in numbers:
        tensors = iter(grid)
        yield [next(tensors) if is_tensor(a) else number for a in schema]


def moved(value, device):
    return value.to(device, copy=True) if isinstance(value, torch.Tensor) else value


def run(function, arguments, device):
    """The result, or None where PyTorch refuses."""
    try:
        return function(*[moved(a, device) for a in arguments])
    except (RuntimeError, TypeError, ZeroDivisionError):
        if device == "cuda":
            raise
        return None


def agree(name, got, want, dtypes):
    rtol, atol = (max(pair) for pair in zip(*[TOLERANCE.get(t, (0, 0)) for t in (want.dtype, *dtypes)]))
    rtol = max(rtol, 1e-7) if name in COARSE else rtol
    if name in EXACT:
        rtol = atol = 0
    torch.testing.assert_close(got.cpu(), want, rtol=rtol, atol=atol, equal_nan=True)


def check(name, function, dtypes):
    """Number of argument lists that PyTorch takes; all of them agree."""
    count = 0
    for arguments in calls(name, dtypes):
        want = run(function, arguments, "cpu")
        if want is not None:
            agree(name, run(function, arguments, "cuda"), want, dtypes)
            count += 1
    return count


@pytest.mark.parametrize("name", names())
def test_dtypes(name):
    assert sum(check(name, operator(name), (dtype,)) for dtype in FLOATS + OTHERS)


MIXED = [(torch.float32, torch.int32), (torch.bfloat16, torch.float32), (torch.float16, torch.bfloat16),
         (torch.int8, torch.uint8), (torch.bool, torch.int16), (torch.int64, torch.float16)]
PAIRS = [n for n in names() if sum(map(is_tensor, operator(n)._schema.arguments)) == 2 and not n.endswith("_backward")]


@pytest.mark.parametrize("name", PAIRS)
def test_promotion(name):
    for dtypes in MIXED:
        check(name, operator(name), dtypes)
        check(name, operator(name), dtypes[::-1])


def test_promotion_is_met():
    assert sum(check(n, operator(n), MIXED[0]) > 0 for n in PAIRS) >= 30


def device_of(arguments):
    return next(a.device for a in arguments if isinstance(a, torch.Tensor))


@pytest.mark.parametrize("name", names())
def test_out(name):
    word = "grad_input" if name.endswith("_backward") else "out"
    if not any(word in overload for overload in packet(name).overloads()):
        return
    dtypes = torch.float32, torch.bfloat16, torch.int32, torch.bool
    for dtype, out in itertools.product(dtypes, (torch.float32, torch.bool)):
        def written(*arguments):
            result = torch.empty(0, dtype=out, device=device_of(arguments))
            return packet(name)(*arguments, **{word: result})
        check(name, written, (dtype,))


@pytest.mark.parametrize("name", [n for n in names() if is_tensor(operator(n)._schema.arguments[0]) and
                                  hasattr(torch.ops.aten, n.partition(".")[0] + "_")])
def test_in_place(name):
    in_place, count = getattr(torch.ops.aten, name.partition(".")[0] + "_"), 0

    def changed(first, *others):
        shapes = [a.shape for a in (first, *others) if isinstance(a, torch.Tensor)]
        first = first.expand(torch.broadcast_shapes(*shapes)).clone()
        assert in_place(first, *others) is first
        return first
    for dtype in FLOATS + OTHERS:
        count += check(name, changed, (dtype,))
    assert count


def is_taken_apart(name):
    """Above autograd, by PyTorch, for every device."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    full = str(operator(name)._schema).partition("(")[0]
    return has(full, "CompositeImplicitAutograd") and not has(full, "Autograd")


@pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="counts what a session recorded")
@pytest.mark.parametrize("name", [n for n in names() if not is_taken_apart(n)])
def test_is_one_record(name):
    """Nothing runs on the client, and nothing is taken apart into operators that round in between."""
    dtype = next(t for t in FLOATS + OTHERS if check(name, operator(name), (t,)))
    arguments = [moved(a, "cuda") for a in next(calls(name, (dtype,)))]
    before = moai_torch.stats()
    operator(name)(*arguments)
    after = moai_torch.stats()
    assert after["fallbacks"] == before["fallbacks"]
    assert after["ops_recorded"] == before["ops_recorded"] + 1
