"""What programs written for one CUDA device use, group by group. Values are compared with the CPU's."""
import copy
import io
import os
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

TOLERANCE = dict(rtol=1e-4, atol=1e-5)


def both(function, *tensors, grad=True, tolerance=None):
    """Runs function on the CPU and on the device; results and gradients must agree."""
    results = []
    for device in ("cpu", "cuda"):
        inputs = [t.detach().to(device, copy=True) if isinstance(t, torch.Tensor) else t for t in tensors]
        leaves = [t.requires_grad_() for t in inputs if isinstance(t, torch.Tensor) and t.is_floating_point() and grad]
        out = function(*inputs)
        outs = [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(o, torch.Tensor)]
        assert all(o.device.type == device for o in outs)
        scalar = [o.float().pow(2).sum() for o in outs if o.requires_grad]
        if scalar:
            sum(scalar).backward()
        results.append(outs + [leaf.grad for leaf in leaves if leaf.grad is not None])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b.cpu(), a, **(tolerance or TOLERANCE))
        assert a.dtype == b.dtype and a.shape == b.shape


def module_agrees(module, *inputs, tolerance=None):
    """A module and its copy on the device: outputs, input and parameter gradients agree."""
    twin = copy.deepcopy(module).cuda()
    outs, grads = [], []
    for m, device in ((module, "cpu"), (twin, "cuda")):
        leaves = [t.detach().to(device).requires_grad_(t.is_floating_point()) for t in inputs]
        out = m(*leaves)
        out = out[0] if isinstance(out, tuple) else out
        out.pow(2).sum().backward()
        outs.append(out.detach())
        grads.append([p.grad for p in m.parameters()] + [t.grad for t in leaves])
    torch.testing.assert_close(outs[1].cpu(), outs[0], **(tolerance or TOLERANCE))
    for a, b in zip(*grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(b.cpu(), a, **(tolerance or TOLERANCE))
    for a, b in zip(module.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(b.cpu(), a, **(tolerance or TOLERANCE))


def run_script(text, **environment):
    """A fresh interpreter with the bridge; returns its output."""
    env = {**os.environ, **environment}
    prelude = "import torch, moai_torch; moai_torch.install()\n"
    r = subprocess.run([sys.executable, "-c", prelude + text], env=env, capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr
    return r.stdout


# The device


def test_device_is_one_cuda():
    assert torch.cuda.is_available() and torch.cuda.device_count() == 1 and torch.cuda.current_device() == 0
    assert torch.cuda.get_device_capability() == (8, 0)
    assert torch.cuda.get_device_name(0) == os.environ.get("MOAI_BRAND_ACCELERATOR", "MoAI Accelerator")
    properties = torch.cuda.get_device_properties("cuda")
    assert (properties.multi_processor_count, properties.warp_size) == (108, 32)
    assert properties.total_memory > 0 and "MoAI" in repr(properties) or properties.name in repr(properties)
    assert torch.cuda.is_bf16_supported() and torch.cuda.get_arch_list() == ["sm_80"]
    torch.cuda.set_device(0)
    with torch.cuda.device(0):
        assert torch.zeros(1, device="cuda").device == torch.device("cuda:0")


def test_accelerator_interface():
    assert torch.accelerator.is_available() and torch.accelerator.device_count() == 1
    assert torch.accelerator.current_accelerator().type == "cuda"
    kept = torch.ones(1000, device="cuda")
    torch.accelerator.synchronize()
    assert torch.accelerator.memory_allocated() >= kept.nbytes
    torch.accelerator.empty_cache()


def test_other_ordinals_are_refused():
    for use in (lambda: torch.empty(2, device="cuda:1"), lambda: torch.cuda.set_device(1),
                lambda: torch.ones(2).to("cuda:3")):
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            use()


def test_visible_devices_hide_the_device():
    script = "print(torch.cuda.is_available(), torch.cuda.device_count())"
    assert run_script(script, CUDA_VISIBLE_DEVICES="") == "False 0\n"
    assert run_script(script, CUDA_VISIBLE_DEVICES="0,1") == "True 1\n"


def test_streams_and_events():
    side = torch.cuda.Stream()
    assert side != torch.cuda.current_stream() and torch.cuda.default_stream() == torch.cuda.current_stream()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    with torch.cuda.stream(side):
        assert torch.cuda.current_stream() == side
        x = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    side.wait_event(start)
    torch.cuda.current_stream().wait_stream(side)
    x.record_stream(side)
    end.record()
    torch.cuda.synchronize()
    side.synchronize()
    assert end.query() and start.elapsed_time(end) >= 0
    with pytest.raises(RuntimeError, match="enable_timing"):
        plain = torch.cuda.Event()
        plain.record()
        plain.elapsed_time(end)


def test_memory_numbers():
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    x = torch.empty(1 << 20, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_allocated() - before == x.nbytes
    del x
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.max_memory_allocated() - before == 1 << 20
    assert torch.cuda.memory_reserved() >= torch.cuda.memory_allocated()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert "allocated_bytes.all.peak" in torch.cuda.memory_stats() and "Active memory" in torch.cuda.memory_summary()


def test_out_of_memory_is_the_cuda_class():
    total = torch.cuda.get_device_properties(0).total_memory
    with pytest.raises(torch.cuda.OutOfMemoryError, match="out of memory"):
        torch.empty(total + 1, dtype=torch.uint8, device="cuda")
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_mixed_devices_are_refused():
    host, device = torch.ones(3), torch.ones(3, device="cuda")
    bad = (lambda: device + host, lambda: torch.bmm(device[None, None], host[None, :, None]),
           lambda: F.embedding(torch.tensor([0]), torch.ones(3, 2, device="cuda")), lambda: host.add_(device),
           lambda: torch.add(device, device, out=host), lambda: torch.cat([device, host]),
           lambda: torch.addmm(host, device[None], device[:, None]))
    for f in bad:
        with pytest.raises(RuntimeError, match="same device"):
            f()


def test_host_numbers_and_host_indices_are_allowed():
    x = torch.arange(4.0, device="cuda")
    assert (x * torch.tensor(2.0)).tolist() == [0, 2, 4, 6]
    assert (torch.tensor(1.0) - x).tolist() == [1, 0, -1, -2]
    assert x[torch.tensor([1, 3])].tolist() == [1, 3]
    x[torch.tensor([0])] = 7.0
    assert x.tolist() == [7, 1, 2, 3]


# Tensors


def test_create_move_and_print():
    x = torch.arange(12.0).view(3, 4)
    y = x.to("cuda")
    assert y.is_cuda and str(y.device) == "cuda:0" and y.cuda() is y and torch.equal(y.cpu(), x)
    assert repr(torch.arange(3, device="cuda")) == "tensor([0, 1, 2], device='cuda:0')"
    with pytest.raises(TypeError, match="Tensor.cpu"):
        y.numpy()
    assert y.t().cpu().stride() == x.t().stride() and torch.equal(y.t().cpu(), x.t())
    assert torch.equal(y[:, 1:3].to(torch.float64).cpu(), x[:, 1:3].double())
    assert torch.empty(2, 0, device="cuda").cpu().shape == (2, 0) and y.data_ptr() != 0


def test_factories_and_default_device():
    assert torch.full((2,), 3.0, device="cuda").tolist() == [3, 3]
    assert torch.eye(2, device="cuda").tolist() == [[1, 0], [0, 1]]
    assert torch.linspace(0, 1, 3, device="cuda").tolist() == [0, 0.5, 1]
    assert torch.arange(1, 7, 2, device="cuda").tolist() == [1, 3, 5]
    assert torch.tensor([1, 2], device="cuda").dtype == torch.int64
    x = torch.ones(2, 3, device="cuda")
    assert torch.zeros_like(x).sum().item() == 0 and x.new_full((2,), 5).tolist() == [5, 5]
    torch.set_default_device("cuda")
    assert torch.ones(2).is_cuda
    with torch.device("cpu"):
        assert not torch.ones(2).is_cuda


def test_arithmetic_and_promotion():
    a, b = torch.randn(3, 4), torch.rand(3, 4) + 0.5
    both(lambda x, y: (x * 2 + 1 - x / y, x @ y.t(), x ** 2, y.log().exp().sqrt(), x.clamp(-0.5, 0.5)), a, b)
    both(lambda x, y: (x + y, x / 2, x // 2, x > 1.5, x % 3), torch.arange(6), torch.arange(6.0), grad=False)
    both(lambda x: (x.sum(), x.mean(0), x.amax(1), x.std(), x.argmax(1), x.cumsum(1), x.softmax(-1)), a, grad=False)
    both(lambda x: (x.half() + 1, x.bfloat16() * 2, x.double(), x.to(torch.int32), x.bool()), a, grad=False)


def test_views_share_memory():
    def program(a):
        a[1:3, ::2].fill_(5)
        a.t()[0].add_(1)
        a.unbind(0)[3].mul_(2).add_(7)
        a.view(-1)[3] = 9
        x, _ = a.chunk(2)
        x += 100
        a[1:].relu_()
        a.unfold(1, 2, 2).select(1, 0).sub_(1)
        a.as_strided((2, 2), (5, 1), 1).neg_()
        return a, a.t().contiguous(), a.flatten()[::3]

    both(program, torch.zeros(4, 4), grad=False)
    both(lambda a: (torch.view_as_real(a), a.conj().resolve_conj(), (a * a.conj()).real, a.abs()),
         torch.randn(3, 2, dtype=torch.complex64), grad=False)


def test_out_arguments_and_resize():
    out = torch.empty(0, device="cuda")
    torch.add(torch.ones(3, device="cuda"), 1, out=out)
    assert out.tolist() == [2, 2, 2]
    out.resize_(6)
    assert out[:3].tolist() == [2, 2, 2]
    values, places = torch.empty(0, device="cuda"), torch.empty(0, dtype=torch.long, device="cuda")
    torch.max(torch.tensor([[1.0, 5.0], [7.0, 2.0]], device="cuda"), 1, out=(values, places))
    assert values.tolist() == [5, 7] and places.tolist() == [1, 0]
    whole = torch.zeros(4, 4, device="cuda")
    torch.mul(torch.ones(4, device="cuda"), 3, out=whole[1])
    assert whole.sum().item() == 12


def test_indexing():
    def program(a):
        a[a > 8] = 0
        a[torch.arange(2, device=a.device), 1] = 50
        a.index_put_((torch.tensor([0], device=a.device),), torch.ones(1, 4, device=a.device, dtype=a.dtype), accumulate=True)
        return a, a[a > 2], a[:, [0, 2]], a.nonzero(), a[..., None, :1], a[a.sum(1) > 10]

    both(program, torch.arange(12.0).view(3, 4), grad=False)
    both(lambda a: a[torch.tensor([2, 0, 2], device=a.device)], torch.randn(3, 4))
    both(lambda a: (a.unique(), a.flatten().sort()[0], a.topk(2)[0], a.flip(0), a.roll(1, 0), a.tril(), a.gather(
        1, torch.zeros(3, 1, dtype=torch.long, device=a.device))), torch.randn(3, 4), grad=False)


def test_random_numbers():
    torch.manual_seed(3)
    a = torch.rand(4, device="cuda")
    torch.cuda.manual_seed(3)
    assert torch.equal(a, torch.rand(4, device="cuda"))
    assert not torch.equal(a, torch.rand(4, device="cuda"))
    state = torch.cuda.get_rng_state()
    assert state.numel() == 16 and state.dtype == torch.uint8
    b = torch.randn(5, device="cuda")
    torch.cuda.set_rng_state(state)
    assert torch.equal(b, torch.randn(5, device="cuda"))
    with torch.random.fork_rng(devices=[0]):
        torch.randn(3, device="cuda")
    c = torch.randn(3, device="cuda")
    torch.cuda.set_rng_state(state)
    torch.randn(5, device="cuda")
    assert torch.equal(c, torch.randn(3, device="cuda"))
    generator = torch.Generator(device="cuda").manual_seed(5)
    d = torch.randn(3, device="cuda", generator=generator)
    assert torch.equal(d, torch.randn(3, device="cuda", generator=torch.Generator(device="cuda").manual_seed(5)))
    assert sorted(torch.randperm(5, device="cuda").tolist()) == [0, 1, 2, 3, 4]
    assert set(torch.bernoulli(torch.full((50,), 0.5, device="cuda")).tolist()) == {0.0, 1.0}
    assert 0 <= torch.randint(0, 9, (100,), device="cuda").max().item() < 9
    assert len(set(torch.multinomial(torch.ones(5, device="cuda"), 3).tolist())) == 3


def test_save_load_and_pickle():
    file = io.BytesIO()
    torch.save({"a": torch.arange(5, device="cuda"), "v": torch.arange(10, device="cuda")[2:4]}, file)
    file.seek(0)
    loaded = torch.load(file)
    assert loaded["a"].is_cuda and loaded["a"].tolist() == [0, 1, 2, 3, 4] and loaded["v"].tolist() == [2, 3]
    file.seek(0)
    assert torch.load(file, map_location="cpu")["v"].tolist() == [2, 3]
    host = io.BytesIO()
    torch.save(torch.arange(3), host)
    host.seek(0)
    assert torch.load(host, map_location="cuda").is_cuda
    assert pickle.loads(pickle.dumps(torch.ones(2, device="cuda"))).device.type == "cuda"


def test_deepcopy_and_storages():
    m = nn.Linear(2, 2).cuda()
    n = copy.deepcopy(m)
    with torch.no_grad():
        n.weight.zero_()
    assert m.weight.abs().sum().item() > 0
    s = torch.UntypedStorage(8, device="cuda")
    assert s.device.type == "cuda" and s.nbytes() == 8
    s.resize_(16)
    assert s.nbytes() == 16
    t = torch.arange(4.0, device="cuda")
    t.untyped_storage().resize_(0)
    t.untyped_storage().resize_(16)
    t.copy_(torch.ones(4))
    assert t.tolist() == [1, 1, 1, 1]
    assert t.untyped_storage().cpu().nbytes() == 16


def test_raw_pointers_are_refused():
    x = torch.ones(2, device="cuda")
    with pytest.raises(BufferError):
        torch.utils.dlpack.from_dlpack(x)
    assert not hasattr(x, "__cuda_array_interface__")
    with pytest.raises(NotImplementedError, match="graphs"):
        torch.cuda.CUDAGraph()


def test_legacy_tensor_classes():
    x = torch.cuda.FloatTensor([1.0, 2.0])
    assert isinstance(x, torch.cuda.FloatTensor) and x.is_cuda and not isinstance(x.cpu(), torch.cuda.FloatTensor)
    assert torch.cuda.LongTensor(2, 3).shape == (2, 3)


# Data loading and processes


def test_pinned_memory():
    p = torch.ones(4).pin_memory()
    assert p.is_pinned() and p[1:].is_pinned() and not torch.ones(4).is_pinned()
    assert p.to("cuda", non_blocking=True).tolist() == [1, 1, 1, 1]
    back = torch.empty(4).pin_memory()
    back.copy_(torch.arange(4.0, device="cuda"), non_blocking=True)
    torch.cuda.synchronize()
    assert back.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_dataloader_workers(context):
    torch.ones(1, device="cuda").item()
    data = torch.utils.data.TensorDataset(torch.randn(20, 3), torch.arange(20))
    loader = torch.utils.data.DataLoader(data, 4, shuffle=True, pin_memory=True, num_workers=2,
                                         multiprocessing_context=context)
    total = 0
    for x, y in loader:
        assert x.is_pinned()
        total += y.to("cuda", non_blocking=True).sum().item()
    assert total == 190


def test_fork_of_a_connected_process_may_not_use_the_device():
    torch.ones(1, device="cuda").item()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.manual_seed(1)  # skips the device
            torch.ones(1, device="cuda")
            text = "no exception"
        except RuntimeError as e:
            text = str(e)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert "forked subprocess" in os.read(reader, 4096).decode()
    os.close(reader)
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_fork_before_first_use_is_a_process_of_its_own():
    script = """
import os, sys
assert torch.cuda.is_available()
child = os.fork()
value = torch.ones(3, device="cuda").sum().item()
if child == 0:
    os._exit(0 if value == 3 else 1)
print(value, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run_script(script) == "3.0 0\n"


def test_autoload_opens_nothing_and_is_off_without_a_server():
    script = "moai_torch.autoload(); print(torch.ops.moai.is_connected())"
    assert run_script(script) == "False\n"
    env = {k: v for k, v in os.environ.items() if k not in ("MOAI_SERVER", "MOAI_BRIDGE")}
    code = "import torch, moai_torch; moai_torch.autoload(); print(torch.cuda.is_available(), moai_torch.is_installed())"
    r = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert r.stdout == "False False\n", r.stderr


@pytest.mark.skipif(os.environ.get("MOAI_LOCAL") == "all", reason="nothing runs on the client there")
def test_stats_lines_and_fallbacks():
    script = """
torch.zeros(3, 3).cuda().histc()
print(sum(moai_torch.fallbacks().values()) > 0, "fallbacks" in moai_torch.stats())
moai_torch.wait_plans()
"""
    import json
    lines = os.memfd_create("moai-stats")
    assert run_script(script, MOAI_STATS_LINES=f"/proc/{os.getpid()}/fd/{lines}") == "True True\n"
    begin, end = [json.loads(line) for line in os.pread(lines, 1 << 20, 0).splitlines() if line]
    os.close(lines)
    assert begin == {"pid": end["pid"]}
    stats = end["stats"]
    assert any("histc" in op for op in stats["fallbacks"]) and stats["bytes_down"] >= 36


def test_a_complex_operand_beside_a_real_one_runs_on_the_client():
    script = """
x = torch.arange(6.0).cuda()
z = torch.complex(x, x)
print((x + z).cpu().equal(x.cpu() + z.cpu()), torch.where(x > 2, x, z).cpu().equal(torch.where(x.cpu() > 2, x.cpu(), z.cpu())))
print("aten::add.out" in moai_torch.fallbacks() or "aten::add.Tensor" in moai_torch.fallbacks())
"""
    assert run_script(script) == "True True\nTrue\n"


@pytest.mark.skipif(os.environ.get("MOAI_LOCAL") == "all", reason="nothing runs on the client there")
def test_no_fallback_names_the_operator_and_the_line():
    script = """
x = torch.zeros(3, 3).cuda()
try:
    x.histc()
except NotImplementedError as e:
    print("histc" in str(e), "Float" in str(e), "<string>:" in str(e))
"""
    assert run_script(script, MOAI_REQUIRE="no-fallback") == "True True True\n"


# Autograd and modes


def test_autograd_checkpoint_hooks_and_func():
    both(lambda w: (w @ w).tanh().sum(), torch.randn(3, 3))
    both(lambda x: torch.sgn(x), torch.randn(3))
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.Linear(3, 2)).cuda()
    seen = []
    module[0].register_forward_hook(lambda m, i, o: seen.append(o.device.type))
    module[2].register_full_backward_hook(lambda m, i, o: seen.append(o[0].device.type))
    x = torch.randn(2, 3, device="cuda", requires_grad=True)
    torch.cuda.manual_seed(1)
    plain = torch.autograd.grad(module(x).sum(), x)[0]
    torch.cuda.manual_seed(1)
    again = torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(again.sum(), x)[0], plain)
    assert set(seen) == {"cuda"} and len(seen) >= 4
    both(lambda v: torch.func.vmap(lambda r: r.sin().sum())(v), torch.randn(3, 4))
    both(lambda v: torch.func.grad(lambda r: (r ** 3).sum())(v), torch.randn(4), grad=False)
    both(lambda v: torch.func.jacrev(lambda r: r.cos())(v), torch.randn(3), grad=False)


def test_inference_mode_and_profiler():
    with torch.inference_mode():
        x = torch.ones(2, 2, device="cuda")
        assert x.view(4).add(1).t().sum().item() == 8
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as p:
        torch.ones(2, device="cuda") + 1
    assert any("add" in e.key for e in p.key_averages())
    with torch.cuda.nvtx.range("a"):
        pass


def test_compile_runs_captured_graphs():
    f = torch.compile(lambda x: x.sin() + 1, backend="eager")
    assert torch.allclose(f(torch.zeros(2, device="cuda")).cpu(), torch.ones(2))
    import moai_torch
    before = moai_torch.stats()["compiled_graphs"]
    g = torch.compile(lambda x: x.cos() * 2)
    assert torch.allclose(g(torch.zeros(2, device="cuda")).cpu(), torch.full((2,), 2.0))
    assert moai_torch.stats()["compiled_graphs"] == before + 1


def test_autocast_and_grad_scaler():
    a, b = torch.randn(3, 3, device="cuda"), torch.randn(3, 3, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert (a @ b).dtype == torch.bfloat16 and (a @ b).float().softmax(0).dtype == torch.float32
    with torch.autocast("cuda"):
        assert (a @ b).dtype == torch.float16
    model = nn.Linear(4, 2).cuda()
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cuda", init_scale=2.0 ** 10)
    before = model.weight.detach().cpu().clone()
    for _ in range(2):
        with torch.autocast("cuda", dtype=torch.float16):
            loss = model(torch.ones(8, 4, device="cuda")).float().pow(2).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert nn.utils.clip_grad_norm_(model.parameters(), 1.0).item() > 0
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert not torch.equal(before, model.weight.detach().cpu()) and scaler.get_scale() == 2.0 ** 10
    model.weight.grad = torch.full_like(model.weight, float("inf"))
    scaler.scale(torch.ones(1, device="cuda"))
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0 ** 9


def test_data_parallel_of_one():
    model = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    assert torch.allclose(nn.DataParallel(copy.deepcopy(model)).cuda()(x.cuda()).cpu(), model(x), atol=1e-6)


# Layers


@pytest.mark.parametrize("layer,shape", [
    (lambda: nn.Conv2d(3, 4, 3, padding=1), (2, 3, 8, 8)), (lambda: nn.Conv2d(4, 4, 3, groups=4), (2, 4, 8, 8)),
    (lambda: nn.Conv2d(4, 4, 3, dilation=2, stride=2), (2, 4, 9, 9)), (lambda: nn.ConvTranspose2d(4, 2, 3), (2, 4, 5, 5)),
    (lambda: nn.Conv3d(2, 2, 3), (1, 2, 5, 5, 5)), (lambda: nn.Conv1d(2, 2, 3), (1, 2, 5))])
def test_convolutions(layer, shape):
    module_agrees(layer(), torch.randn(shape), tolerance=dict(rtol=1e-3, atol=1e-4))


@pytest.mark.parametrize("layer", [lambda: nn.BatchNorm2d(4), lambda: nn.BatchNorm2d(4).eval(), lambda: nn.GroupNorm(2, 4),
                                   lambda: nn.LayerNorm(6), lambda: nn.InstanceNorm2d(4), lambda: nn.RMSNorm(6)])
def test_normalisation(layer):
    module_agrees(layer(), torch.randn(4, 4, 6, 6), tolerance=dict(rtol=1e-3, atol=1e-4))


def test_pooling_resampling_padding():
    x = torch.randn(2, 4, 6, 6)
    both(lambda t: (F.max_pool2d(t, 2), F.avg_pool2d(t, 2), F.adaptive_avg_pool2d(t, 1), F.adaptive_max_pool2d(t, 2)), x)
    both(lambda t: (F.interpolate(t, scale_factor=2), F.interpolate(t, scale_factor=2, mode="bilinear"),
                    F.pad(t, (1, 1, 1, 1), mode="reflect"), F.pad(t, (1, 0)), F.pixel_shuffle(t, 2)), x)


def test_dropout():
    x = torch.ones(200, device="cuda", requires_grad=True)
    y = F.dropout(x, 0.5, True)
    assert set(y.tolist()) == {0.0, 2.0}
    y.sum().backward()
    assert torch.equal(x.grad.cpu(), y.detach().cpu())
    assert torch.equal(F.dropout(x, 0.5, False), x)
    assert F.dropout2d(torch.ones(2, 3, 4, 4, device="cuda")).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(kind):
    module_agrees(kind(4, 5, 2, bidirectional=True), torch.randn(3, 2, 4))


@pytest.mark.parametrize("groups", [2, 1])
@pytest.mark.parametrize("variant", ["plain", "causal", "bias", "mask"])
def test_attention(variant, groups):
    q, bias = torch.randn(2, 2, 4, 8), torch.randn(2, 2, 4, 4)

    def attend(q, k, v, b):
        mask = {"bias": b, "mask": b > -1.0}.get(variant)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=variant == "causal", enable_gqa=groups != 2)

    both(attend, q, q[:, :groups] * 2, q[:, :groups] + 1, bias, tolerance=dict(rtol=1e-3, atol=1e-4))


def test_transformer_layer():
    torch.manual_seed(0)
    module_agrees(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), torch.randn(2, 5, 16))
    with torch.no_grad():
        m = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
        x = torch.randn(2, 5, 16)
        torch.testing.assert_close(copy.deepcopy(m).cuda()(x.cuda()).cpu(), m(x), **TOLERANCE)


def test_embeddings():
    table, places = torch.randn(10, 4), torch.randint(0, 10, (6,))
    both(lambda t, i: F.embedding(i, t, padding_idx=3), table, places)
    both(lambda t, i: F.embedding_bag(i.view(3, 2), t, mode="mean"), table, places)


def test_losses():
    x, y = torch.rand(4, 3) * 0.8 + 0.1, torch.rand(4, 3) * 0.8 + 0.1
    both(lambda a, b: (F.binary_cross_entropy(a, b.detach()), F.mse_loss(a, b), F.binary_cross_entropy_with_logits(a, b),
                       F.smooth_l1_loss(a, b), F.huber_loss(a, b), F.kl_div(a, b), F.l1_loss(a, b)), x, y)
    labels = torch.tensor([0, 2, 1, -100])
    both(lambda a, t: (F.cross_entropy(a, t), F.cross_entropy(a, t, label_smoothing=0.1)), x, labels)
    both(lambda a: F.ctc_loss(a.log_softmax(2), torch.ones(1, 2, dtype=torch.long, device=a.device), torch.tensor([5]),
                              torch.tensor([2])), torch.randn(5, 1, 4))


def test_activations():
    x = torch.randn(4, 6)
    both(lambda a: (F.gelu(a), F.gelu(a, approximate="tanh"), F.silu(a), F.elu(a), F.leaky_relu(a), F.softplus(a),
                    F.hardswish(a), F.mish(a), F.glu(a), F.log_softmax(a, 0), F.prelu(a, torch.ones(1, device=a.device)),
                    torch.sigmoid(a), F.relu6(a)), x)


@pytest.mark.parametrize("name,options", [
    ("SGD", {"momentum": 0.9}), ("Adam", {}), ("AdamW", {}), ("RMSprop", {}), ("Adagrad", {}), ("Adadelta", {}),
    ("RAdam", {}), ("Adamax", {}), ("NAdam", {}), ("ASGD", {}), ("Rprop", {}), ("LBFGS", {}),
    ("AdamW", {"fused": True}), ("SGD", {"fused": True}), ("Adam", {"capturable": True}), ("Adam", {"amsgrad": True}),
    ("Adam", {"foreach": False})])
def test_optimizers(name, options):
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), torch.randn(3, 4)
    losses = []
    for m, v in ((copy.deepcopy(model), x), (copy.deepcopy(model).cuda(), x.cuda())):
        here = {k: o for k, o in options.items() if k != "capturable" or v.is_cuda}
        optimizer = getattr(torch.optim, name)(m.parameters(), lr=0.05, **here)

        def closure():
            optimizer.zero_grad()
            loss = m(v).pow(2).mean()
            loss.backward()
            return loss

        losses.append([optimizer.step(closure).item() for _ in range(4)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_other_operators():
    x = torch.randn(4, 5)

    def program(a):
        i = torch.zeros(4, 5, dtype=torch.long, device=a.device)
        return (torch.where(a > 0, a, 0 * a), torch.cat([a, a]), torch.stack([a, a]), a.index_select(0, i[:2, 0]),
                a.masked_fill(a > 0, 0.0), torch.einsum("ij,kj->ik", a, a), a.var(0), a.norm(), a.scatter_add(1, i, a),
                a.repeat(2, 2), a.expand(2, 4, 5).contiguous(), torch.cdist(a, a + 1), a.logsumexp(1), a.prod(1))

    both(program, x)
    both(lambda a: (a.median(), a.kthvalue(1)[0], a.max(1)[0], a.any(), torch.histc(a), torch.fft.fft(a).abs(),
                    torch.linalg.inv(a[:, :4] @ a[:, :4].t() + 9 * torch.eye(4, device=a.device)),
                    torch.searchsorted(torch.arange(4.0, device=a.device), a), F.one_hot(a.argmax(1)), a.tril().triu(-1),
                    torch.complex(a, a).abs(), torch.meshgrid(a[0], a[1], indexing="ij")[0]), x, grad=False)


@pytest.mark.parametrize("layout", ("coo", "csr", "csc", "bsr"))
def test_sparse_tensors_compute_on_the_client(layout):
    def program(device):
        dense = torch.tensor([[0.0, 1.0, 0.0, 2.0], [3.0, 0.0, 0.0, 0.0]], device=device)
        s = {"coo": dense.to_sparse, "csr": dense.to_sparse_csr, "csc": dense.to_sparse_csc,
             "bsr": lambda: dense.to_sparse_bsr((1, 2))}[layout]()
        moved = s.cpu().to(device)
        return s.to_dense(), s.values(), moved.to_dense(), (s * 2).to_dense(), torch.tensor(s._nnz())
    want, got = program("cpu"), program("cuda")
    assert torch.eye(2, device="cuda").to_sparse().is_cuda
    for w, g in zip(want, got):
        assert g.cpu().equal(w)


def test_sparse_products_and_gradients():
    def program(device):
        i = torch.tensor([[0, 1, 1], [2, 0, 2]], device=device)
        v = torch.tensor([3.0, 4.0, 5.0], device=device, requires_grad=True)
        s = torch.sparse_coo_tensor(i, v, (2, 3), device=device)
        w = torch.ones(3, 2, device=device, requires_grad=True)
        y = torch.sparse.mm(s, w)
        y.square().sum().backward()
        return y, v.grad, w.grad, s.coalesce().indices(), s.sum()
    for w, g in zip(program("cpu"), program("cuda")):
        assert g.is_cuda and g.detach().cpu().equal(w.detach())


@pytest.mark.parametrize("optimizer", (torch.optim.SGD, torch.optim.SparseAdam, torch.optim.Adagrad))
def test_sparse_gradients_of_an_embedding(optimizer):
    def program(device):
        torch.set_default_device(None)
        torch.manual_seed(0)
        table = torch.nn.Embedding(7, 3, sparse=True).to(device)
        steps = optimizer(table.parameters(), lr=0.1)
        for _ in range(3):
            steps.zero_grad()
            table(torch.tensor([1, 4, 1], device=device)).square().sum().backward()
            assert table.weight.grad.is_sparse
            steps.step()
        return table.weight.detach().cpu()
    torch.testing.assert_close(program("cuda"), program("cpu"))


def test_errors_are_those_of_pytorch():
    a = torch.ones(2, 3, device="cuda")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied|must match|size"):
        a @ a
    with pytest.raises(RuntimeError, match="size|shape|broadcast"):
        a + torch.ones(4, device="cuda")
    with pytest.raises(IndexError):
        a.sum(5)
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.ones(3, dtype=torch.long, device="cuda").add_(torch.rand(3, device="cuda"))


def test_hints_are_accepted_and_listed():
    import moai_torch
    import moreh  # noqa: F401
    from moreh.driver.common import config
    assert hasattr(torch, "moreh")
    assert torch.moreh.option.enable_advanced_parallelization(pipeline_parallel=True, num_stages=2, anything=1) is None
    config.set_backend_config("name", 3)
    hints = moai_torch.stats()["hints"]
    assert "parallelization.num_stages=2" in hints and "config.name=3" in hints


def test_training_repeats_its_segments():
    """A step that is recorded again is the same segment: only the first ones are new."""
    import moai_torch
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    x, t = torch.randn(16, 8, device="cuda"), torch.randint(0, 2, (16,), device="cuda")
    losses, new = [], []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        new.append(moai_torch.stats()["segments_compiled"])
    assert losses[-1] < losses[0]
    if not sum(moai_torch.fallbacks().values()):
        assert new[-1] == new[3]


def test_negation_keeps_the_sign_of_zero():
    x = torch.tensor([0.0, -0.0, 1.0], device="cuda")
    assert torch.equal(torch.signbit((-x).cpu()), torch.tensor([True, False, True]))
    assert torch.equal(torch.signbit(torch.neg(x * 1).cpu()), torch.tensor([True, False, True]))
