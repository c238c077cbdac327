"""PyTorch's own databases of modules and optimizers: on the device as on the CPU."""
import copy

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

common_modules = pytest.importorskip("torch.testing._internal.common_modules")
common_optimizers = pytest.importorskip("torch.testing._internal.common_optimizers")

pytestmark = pytest.mark.filterwarnings("ignore")
MODULES = common_modules.module_db
DRAWS = (torch.nn.RReLU, torch.nn.FractionalMaxPool2d, torch.nn.FractionalMaxPool3d)


@pytest.fixture(autouse=True)
def no_default_device():
    torch.set_default_device(None)


def moved(tree):
    twins = {}  # the same tensor stays one

    def move(value):
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in twins:
            twins[id(value)] = value.detach().to("cuda").requires_grad_(value.requires_grad)
        return twins[id(value)]
    return tree_map(move, tree)


def without_draws(module):
    for part in module.modules():
        if isinstance(part, torch.nn.modules.dropout._DropoutNd):
            part.p = 0.0
        if isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0
    return module


def results(module, values):
    """Outputs, then gradients of parameters and inputs for cotangents that are drawn from a seed."""
    out = module(*values.args, **values.kwargs)
    outputs = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
    leaves = [t for t in (*module.parameters(), *tree_leaves((values.args, values.kwargs)))
              if isinstance(t, torch.Tensor) and t.requires_grad]
    flowing = [t for t in outputs if t.requires_grad]
    rng = torch.Generator().manual_seed(0)
    seeds = [torch.rand(t.shape, generator=rng).to(t) for t in flowing]
    grads = torch.autograd.grad(flowing, leaves, seeds, allow_unused=True) if flowing and leaves else []
    return outputs, [g for g in grads if g is not None]


@pytest.mark.parametrize("training", (True, False), ids=("train", "eval"))
@pytest.mark.parametrize("info", MODULES, ids=lambda info: info.name)
def test_module(info, training):
    compared = 0
    for sample in info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=training):
        if sample.forward_input is None:
            continue
        torch.manual_seed(0)
        here = without_draws(info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs))
        here.to(torch.float32).train(training)
        if "Lazy" in info.name:  # takes its shape, and draws its parameters, at the first input
            here(*sample.forward_input.args)
        there = copy.deepcopy(here).to("cuda")
        inputs = copy.copy(sample.forward_input)
        inputs.args, inputs.kwargs = moved((inputs.args, inputs.kwargs))
        want, got = results(here, sample.forward_input), results(there, inputs)
        for g, w in zip(got[0] + got[1], want[0] + want[1], strict=True):
            assert g.is_cuda and g.dtype == w.dtype and g.shape == w.shape
            if not isinstance(here, DRAWS):
                torch.testing.assert_close(g.cpu(), w, rtol=2e-4, atol=2e-4, equal_nan=True)
        for (name, g), (_, w) in zip(there.state_dict().items(), here.state_dict().items(), strict=True):
            if isinstance(w, torch.Tensor):
                torch.testing.assert_close(g.cpu(), w, rtol=2e-4, atol=2e-4, msg=lambda m, name=name: f"{name}: {m}")
        compared += 1
    assert compared


def steps(optimizer_class, settings, device, is_sparse, is_flat):
    """Parameters after five steps with gradients from a seed."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(6, 4), (3, 5)] + ([(7,)] if is_flat else [])
    params = [torch.randn(s, generator=rng).to(device).requires_grad_() for s in shapes]
    optimizer = optimizer_class(params, **settings)
    for _ in range(5):
        def closure():
            optimizer.zero_grad()
            loss = sum((p.square() * (i + 1)).sum() for i, p in enumerate(params))
            loss.backward()
            return loss
        if optimizer_class is torch.optim.LBFGS:
            optimizer.step(closure)
            continue
        for p in params:
            grad = torch.randn(p.shape, generator=rng).to(device)
            p.grad = (grad * (grad > 0)).to_sparse() if is_sparse else grad
        optimizer.step()
    return [p.detach().cpu() for p in params]


OPTIMIZERS = [(info, impl) for info in common_optimizers.optim_db
              for impl in ("single", *[i for i in ("foreach", "fused") if i in info.supported_impls])]


@pytest.mark.parametrize("info, impl", OPTIMIZERS, ids=lambda v: v if isinstance(v, str) else v.optim_cls.__name__)
def test_optimizer(info, impl):
    for sample in info.optim_inputs_func(device="cpu"):
        settings = moved(dict(sample.kwargs))
        if settings.get("capturable") or settings.get("differentiable"):
            continue
        plain = {k: v for k, v in sample.kwargs.items() if k not in ("foreach", "fused")}
        settings = {k: v for k, v in settings.items() if k not in ("foreach", "fused")}
        forms = {"single": {"foreach": False} if "foreach" in info.supported_impls else {}, "foreach": {"foreach": True},
                 "fused": {"fused": True}}[impl]
        if impl == "fused" and isinstance(settings.get("lr"), torch.Tensor) and not settings["lr"].is_cuda:
            continue
        tolerance = 1e-2 if info.optim_cls.__name__ == "Muon" else 1e-4  # Muon multiplies in bf16
        is_sparse, is_flat = info.optim_cls is torch.optim.SparseAdam, info.optim_cls.__name__ != "Muon"
        want = steps(info.optim_cls, plain, "cpu", is_sparse, is_flat)
        got = steps(info.optim_cls, {**settings, **forms}, "cuda", is_sparse, is_flat)
        for g, w in zip(got, want):
            torch.testing.assert_close(g, w, rtol=tolerance, atol=tolerance / 10, msg=lambda m: f"{sample.desc}: {m}")
