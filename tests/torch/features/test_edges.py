"""Tensors without elements, of high rank, of complex numbers, of mixed kinds: no operator that the CPU computes ends
the session, and what the CPU refuses is refused at the call, so that the program goes on."""
import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

import moai_torch

R = torch.randn


def place(*shape, **how):
    return torch.zeros(*shape, dtype=torch.int64, **how)


def gradients(function, *shapes):
    def run(device):
        generator = torch.Generator().manual_seed(0)
        leaves = [R(s, generator=generator).to(device).requires_grad_() for s in shapes]
        out = function(*leaves)
        out.sum().backward()
        return [out.detach(), *[t.grad for t in leaves if t.grad is not None]]
    return run


def written(function, *shape):
    def run(device):
        t = torch.arange(float(torch.Size(shape).numel()), device=device).view(shape)
        function(t)
        return t
    return run


def assign(index, value):
    return lambda t: t.__setitem__(index(t.device) if callable(index) else index, value(t.device))


def deep(function):
    return lambda device: function(torch.arange(16.0, device=device).view(1, 2, 1, 2, 1, 2, 2, 1))


def overlaid(t):
    t[:4].view(torch.int32).add_(1)
    t[4:6].view(torch.int16).mul_(2)
    return [t.add_(1), t[:4].view(torch.float32), t[2:6].view(torch.int16) + 1]


MASK = [True, False, True]
NONE = [False, False, False]
CASES = {
    "conv of no images": gradients(F.conv2d, (0, 3, 8, 8), (4, 3, 3, 3), (4,)),
    "linear of no rows": gradients(F.linear, (0, 3), (4, 3), (4,)),
    "linear of no columns": gradients(F.linear, (2, 0), (4, 0), (4,)),
    "products over nothing": gradients(torch.bmm, (2, 3, 0), (2, 0, 4)),
    "addmm over nothing": lambda d: torch.addmm(torch.ones(4, device=d), R(3, 0, device=d), R(0, 4, device=d), beta=2),
    "layer norm of no rows": gradients(lambda x, w, b: F.layer_norm(x, (4,), w, b), (0, 4), (4,), (4,)),
    "group norm of no rows": gradients(lambda x, w, b: F.group_norm(x, 2, w, b), (0, 4, 3), (4,), (4,)),
    "no words": gradients(lambda w: F.embedding(place(0, device=w.device), w), (5, 3)),
    "no labels": gradients(lambda x: F.cross_entropy(x, place(0, device=x.device), reduction="sum"), (0, 5)),
    "attention to nothing": gradients(F.scaled_dot_product_attention, (2, 2, 3, 4), (2, 2, 0, 4), (2, 2, 0, 4)),
    "attention of nothing": gradients(F.scaled_dot_product_attention, (2, 2, 0, 4), (2, 2, 3, 4), (2, 2, 3, 4)),
    "pad of nothing": gradients(lambda x: F.pad(x, (1, 2)), (3, 0)),
    "cat of nothing": gradients(lambda a, b: torch.cat((a, b)), (0, 3), (2, 3)),
    "pool of nothing": gradients(lambda x: F.max_pool2d(x, 2), (0, 3, 4, 4)),
    "index_add of nothing": lambda d: torch.ones(3, 4, device=d).index_add(0, place(0, device=d), R(0, 4, device=d)),
    "scatter_add of nothing": lambda d: torch.ones(3, 4, device=d).scatter_add(
        0, place(0, 4, device=d), R(0, 4, device=d)),
    "index_put of nothing": lambda d: torch.ones(3, 4, device=d).index_put(
        (place(0, device=d),), torch.ones(4, device=d)),
    "slice of nothing": written(assign(slice(0, 0), lambda d: R(0, 4, device=d)), 3, 4),
    "mask of nothing": written(assign(lambda d: torch.tensor(NONE, device=d), lambda d: torch.ones(4, device=d)), 3, 4),
    "rows by a mask": written(
        assign(lambda d: torch.tensor(MASK, device=d), lambda d: torch.ones(2, 4, device=d)), 3, 4),
    "mean of nothing": lambda d: torch.ones(0, device=d).mean(),
    "rank 9": lambda d: torch.arange(16.0, device=d).view(1, 2, 1, 2, 1, 2, 1, 2, 1).transpose(1, 3) * 2,
    "rank 10": lambda d: torch.ones(1, 2, 1, 2, 1, 2, 1, 2, 2, 1, device=d).sum(3),
    "repeated at rank 8": deep(lambda t: t.repeat(2, 2, 1, 2, 1, 1, 2, 1)),
    "repeated to rank 9": deep(lambda t: t.repeat(2, 2, 1, 2, 1, 1, 1, 2, 1)),
    "joined from the end": lambda d: torch.cat((torch.ones(2, 3, device=d), torch.zeros(2, 2, device=d)), -1),
    "joined dtypes": lambda d: torch.cat((torch.arange(6, device=d).view(2, 3), torch.ones(1, 3, device=d))),
    "joined views": lambda d: torch.cat((torch.arange(6, device=d).view(2, 3).t(), torch.ones(1, 2, device=d).long())),
    "joined many": lambda d: torch.cat([torch.arange(i + 1, device=d) for i in range(30)]),
    "joined truths": lambda d: torch.cat((torch.ones(2, device=d).bool(), torch.zeros(3, device=d).bool())),
    "reversed at rank 8": deep(lambda t: t.flip(1, 3)),
    "rolled at rank 8": deep(lambda t: t.roll((1, 1), (1, 5))),
    "scanned at rank 8": deep(lambda t: t.cumsum(3)),
    "sorted at rank 8": deep(lambda t: t.sort(3, descending=True)[0]),
    "largest at rank 8": deep(lambda t: t.topk(1, 5)[1]),
    "variance at rank 8": deep(lambda t: t.var((1, 3))),
    "softmax at rank 8": deep(lambda t: t.softmax(3)),
    "joined at rank 8": deep(lambda t: torch.cat((t, t * 2), 3)),
    "stacked to rank 9": deep(lambda t: torch.stack((t, t), 4)),
    "interleaved at rank 8": deep(lambda t: t.repeat_interleave(2, 5)),
    "gathered at rank 8": deep(lambda t: t.gather(3, torch.zeros_like(t, dtype=torch.int64))),
    "looked up at rank 8": deep(lambda t: t[:, place(2, device=t.device), :, place(2, device=t.device)]),
    "looked up to rank 9": deep(lambda t: t[:, place(2, 2, device=t.device)]),
    "triangle at rank 8": deep(lambda t: t.transpose(1, 7).transpose(3, 6).tril()),
    "product at rank 8": deep(lambda t: t.transpose(3, 6).transpose(5, 7) @ t.transpose(3, 7).transpose(5, 6)),
    "padded at rank 8": deep(lambda t: F.pad(t, (1, 0, 0, 1))),
    "norm at rank 8": deep(lambda t: F.layer_norm(t, t.shape[3:])),
    "windows at rank 8": deep(lambda t: t.unfold(3, 2, 1) * 2),
    "rows at rank 8": deep(lambda t: t.index_select(3, place(3, device=t.device))),
    "linear at rank 8": deep(lambda t: F.linear(t, torch.ones(3, 1, device=t.device))),
    "median of nothing": lambda d: torch.empty(0, device=d).median(),
    "real plus complex": lambda d: torch.add(torch.ones(3, device=d), torch.full((3,), 1 + 2j, device=d)),
    "real where complex": lambda d: torch.where(
        torch.tensor(MASK, device=d), torch.ones(3, device=d), torch.full((3,), 2j, device=d)),
    "real into complex": lambda d: torch.add(
        torch.ones(3, device=d), 1, out=torch.zeros(3, device=d, dtype=torch.complex64)),
    "complex into complex": lambda d: torch.zeros(3, device=d, dtype=torch.complex64).scatter(
        0, place(1, device=d), torch.full((1,), 3j, device=d)),
    "floats as doubles": written(lambda t: t[:4].view(torch.float64).mul_(2), 5),
    "words of odd bytes": lambda d: overlaid(torch.arange(7, dtype=torch.uint8, device=d)),
    "many tensors in one": lambda d: sum(R(5, generator=torch.Generator().manual_seed(i)).to(d) for i in range(150)),
    "many rows in one": lambda d: sum(torch.full((4, 6), 1.0 + i, device=d).softmax(1) for i in range(150)),
    "products of integers": lambda d: torch.arange(12, device=d).view(3, 4) @ torch.arange(8, device=d).view(4, 2),
    "unsigned words": lambda d: torch.ones(3, device=d, dtype=torch.uint16).to(torch.int32) + 1,
    "eight bits": lambda d: R(3, device=d).fill_(1.3).to(torch.float8_e4m3fn).float(),
    "bytes of numbers": written(lambda t: t.view(torch.uint8).add_(1), 4),
}
def conv(device, dtype=torch.float32, **how):
    return F.conv2d(torch.ones(1, 1, 4, 4, device=device), torch.ones(1, 1, 2, 2, device=device, dtype=dtype), **how)


REFUSED = {
    "largest of nothing": lambda d: torch.ones(0, device=d).max(),
    "conv of two dtypes": lambda d: conv(d, torch.float64),
    "conv without dilation": lambda d: conv(d, dilation=-1),
    "conv with less padding": lambda d: conv(d, padding=-1),
    "joined sizes": lambda d: torch.cat((torch.ones(2, 3, device=d), torch.ones(3, 2, device=d))),
    "joined outside": lambda d: torch.cat((torch.ones(2, device=d), torch.ones(2, device=d)), 1),
    "chance above one": lambda d: torch.ones(2, device=d).bernoulli_(2.0),
    "range upside down": lambda d: torch.ones(2, device=d).uniform_(2, 1),
    "integers of no range": lambda d: torch.randint(5, 2, (3,), device=d),
    "more samples than there are": lambda d: torch.multinomial(torch.ones(2, device=d), 3),
    "bits of floats": lambda d: torch.ones(2, device=d) & 1,
    "attention of other widths": lambda d: F.scaled_dot_product_attention(
        torch.ones(1, 2, 3, 4, device=d), *[torch.ones(1, 2, 3, 5, device=d)] * 2),
    "sizes that do not fit": lambda d: torch.ones(2, device=d) @ torch.ones(3, device=d),
}


def listed(result):
    return result if isinstance(result, list) else [result]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_cpu(name):
    for want, got in zip(listed(CASES[name]("cpu")), listed(CASES[name]("cuda")), strict=True):
        assert got.dtype == want.dtype and got.stride() == want.stride()
        torch.testing.assert_close(got.cpu(), want, rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_at_the_call(name):
    for device in ("cpu", "cuda"):
        with pytest.raises((RuntimeError, IndexError)):
            REFUSED[name](device)
    assert (torch.ones(2, device="cuda") + 1).tolist() == [2, 2]


def trained(module):
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=0.1), []
    for _ in range(3):
        loss = module(torch.ones(4, 2, device="cuda")).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="wants a server")
def test_torchrun_of_one_and_of_two(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("""
import os, torch, torch.distributed as dist
dist.init_process_group("nccl")
torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
layer = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 2).cuda(), device_ids=[0])
layer(torch.ones(3, 4).cuda()).sum().backward()
print("world", dist.get_world_size(), dist.is_nccl_available())
dist.destroy_process_group()
""")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    outputs = []
    for processes in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", str(script)]
        outputs.append(subprocess.run(command, capture_output=True, text=True, timeout=120, env=env))
    assert outputs[0].returncode == 0 and outputs[0].stdout == "world 1 True\n", outputs[0].stderr
    assert outputs[1].returncode != 0 and "already all the accelerators there are" in outputs[1].stderr


@pytest.mark.parametrize("backend", ("nccl", "gloo", None))
def test_a_process_group_of_one(tmp_path, backend):
    group = torch.distributed
    group.init_process_group(backend, init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        group.all_reduce(torch.ones(2))
        x = torch.arange(2.0, device="cuda")
        group.all_reduce(x)
        group.broadcast(x, 0)
        out, flat = [torch.zeros(2, device="cuda")], torch.zeros(2, device="cuda")
        group.all_gather(out, x)
        assert group.all_gather_into_tensor(flat, x, async_op=True).wait()
        group.barrier()
        assert x.tolist() == out[0].tolist() == flat.tolist() == [0, 1]
        with pytest.raises(ValueError, match="rank"):
            group.send(x, 0)
        torch.set_default_device(None)
        torch.manual_seed(0)
        plain = torch.nn.Linear(2, 1).cuda()
        wrapped = torch.nn.parallel.DistributedDataParallel(copy.deepcopy(plain))
        assert trained(wrapped) == trained(plain)
    finally:
        group.destroy_process_group()


def test_a_compiled_module_computes_what_it_computes():
    layer, x = torch.nn.Linear(4, 2).cuda(), torch.ones(3, 4, device="cuda")
    assert torch.compile(layer)(x).equal(layer(x))


def fallbacks_of(program):
    before = sum(moai_torch.fallbacks().values())
    program()
    return sum(moai_torch.fallbacks().values()) - before


@pytest.mark.parametrize("program", (
    lambda x: x.nonzero(), lambda x: x[x > 0], lambda x: x.masked_select(x > 0), lambda x: x.unique(),
    lambda x: x.unique(return_inverse=True, return_counts=True)[1:], lambda x: torch.unique_consecutive(x, dim=0),
    lambda x: torch.unique_consecutive(x.flatten(), return_counts=True), lambda x: torch.argwhere(x),
    lambda x: torch.repeat_interleave(x, torch.tensor([2, 0, 3], device=x.device), dim=0)),
    ids=("nonzero", "mask", "masked_select", "unique", "inverse", "consecutive_rows", "consecutive", "argwhere", "repeat"))
@pytest.mark.parametrize("values", ([[1.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0]], [[0.0] * 3] * 3), ids=("some", "none"))
def test_results_as_large_as_the_data_says_stay_on_the_device(program, values):
    x = torch.tensor(values)
    got = []
    count = fallbacks_of(lambda: got.append(program(x.cuda())))
    assert count == 0 or not os.environ.get("MOAI_SERVER")
    want, got = program(x), got[0]
    for w, g in zip(want if isinstance(want, tuple) else [want], got if isinstance(got, tuple) else [got]):
        assert g.is_cuda and g.cpu().equal(w)


def test_negative_repeats_are_refused():
    with pytest.raises(RuntimeError, match="repeats can not be negative"):
        torch.repeat_interleave(torch.ones(2, device="cuda"), torch.tensor([2, -1], device="cuda"))


def test_a_gradient_of_a_short_dtype_has_one_result():
    x = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    y = x.detach().cuda().requires_grad_()
    for loss in (torch.nn.functional.smooth_l1_loss, torch.nn.functional.huber_loss):
        loss(x, torch.zeros_like(x)).backward()
        loss(y, torch.zeros_like(y)).backward()
    torch.testing.assert_close(y.grad.cpu(), x.grad)


def test_logit_of_a_large_eps():
    x = torch.tensor([-1.0, 0.3, 0.5, 0.7, 2.0, float("nan")])
    torch.testing.assert_close(torch.logit(x.cuda(), 0.6).cpu(), torch.logit(x, 0.6), equal_nan=True)


def test_out_has_the_size_of_the_functional_form():
    x = torch.ones(2, 3, device="cuda")
    out = [torch.empty(0, device="cuda") for _ in range(3)]
    want = torch.native_batch_norm(x, None, None, torch.zeros(3).cuda(), torch.ones(3).cuda(), False, 0.1, 1e-5)
    torch.native_batch_norm(x, None, None, torch.zeros(3).cuda(), torch.ones(3).cuda(), False, 0.1, 1e-5, out=out)
    assert [t.shape for t in out] == [t.shape for t in want]


def test_kernels_that_pytorch_looks_up_by_device():
    x = torch.tensor([[1, 1, 2]], device="cuda")
    out = (torch.empty(0, dtype=torch.long, device="cuda"), torch.empty(0, dtype=torch.long, device="cuda"))
    torch.mode(x, out=out)
    assert out[0].tolist() == [1]
    assert torch.tensor([1 + 2j], device="cuda").conj_physical_().tolist() == [1 - 2j]


def test_a_complex_convolution_of_every_other_element():
    x, w = torch.randn(1, 2, 8, dtype=torch.complex64), torch.randn(3, 2, 2, dtype=torch.complex64)
    wide = w.repeat_interleave(2, -1)
    want = torch.nn.functional.conv1d(x, w)
    got = torch.nn.functional.conv1d(x.cuda(), wide.cuda()[..., ::2])
    torch.testing.assert_close(got.cpu(), want)


def test_the_profiler_sees_operators_and_stays_quiet(capfd):
    x = torch.ones(4, device="cuda")
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        (x * 2).sum().item()
    assert {"aten::mul", "aten::sum"} <= {e.key for e in profile.key_averages()}
    assert "Failed to record" not in capfd.readouterr().err


def test_no_address_leaves_the_process():
    x = torch.ones(4, device="cuda")
    with pytest.raises(BufferError, match="Call .cpu"):
        torch.utils.dlpack.to_dlpack(x)
    with pytest.raises(BufferError, match="Call .cpu"):
        torch.from_dlpack(x)
    with pytest.raises(NotImplementedError, match="IPC"):
        torch.multiprocessing.reductions.reduce_tensor(x)
    assert torch.from_dlpack(torch.ones(2)).tolist() == [1, 1]
