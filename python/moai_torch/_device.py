"""What torch.cuda's own Python code needs: torch._C._cuda_*, properties, memory numbers.

A CPU build has none of these functions; a CUDA build has them and calls the driver. So they are always set,
and again in the modules that bound a name when they were imported.
"""
import os
import types

import torch

from . import _memory


class Properties:
    """torch.cuda.get_device_properties(0)."""
    major, minor = 8, 0
    multi_processor_count = 108
    warp_size = 32
    max_threads_per_multi_processor = 2048
    max_threads_per_block = 1024
    regs_per_multiprocessor = 65536
    is_integrated = is_multi_gpu_board = 0
    shared_memory_per_block = 49152
    shared_memory_per_block_optin = 166912
    shared_memory_per_multiprocessor = 167936
    L2_cache_size = 41943040
    clock_rate = 1410000
    memory_clock_rate = 1215000
    memory_bus_width = 5120
    gcnArchName = ""
    uuid = "00000000-0000-0000-0000-000000000000"
    pci_bus_id = pci_device_id = pci_domain_id = 0

    @property
    def name(self):
        return os.environ.get("MOAI_BRAND_ACCELERATOR") or "MoAI Accelerator"

    @property
    def total_memory(self):
        return torch.ops.moai.total_memory()

    def __repr__(self):
        return (f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
                f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count})")


def _index(device):
    if device is None:
        return 0
    if isinstance(device, int):
        return device
    index = torch.device(device).index
    return 0 if index is None else index


def _check(device):
    if _index(device) not in (0, -1):
        raise RuntimeError("CUDA error: invalid device ordinal. This program has one device: cuda:0")
    return _index(device)


def device_count():
    """CUDA_VISIBLE_DEVICES empty or -1 hides the device, as with a GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return 0 if visible is not None and visible.strip() in ("", "-1") else 1


def _get_properties(device):
    _check(device)
    return Properties()


def _init():
    """Runs inside torch.cuda._lazy_init."""
    if torch.ops.moai.is_bad_fork():
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, "
                           "you must use the 'spawn' start method")
    torch.cuda._get_device_properties = _get_properties
    torch.cuda.default_generators = (torch.ops.moai.default_generator(),)


def _set_device(device):
    if _index(device) > 0:
        _check(device)


def _exchange(device):
    _set_device(device)
    return 0


def _maybe_exchange(device):  # TorchDynamo keeps a handler a function
    return _exchange(device)


def _synchronize():
    torch.ops.moai.synchronize()


def _raw_stream(device=0):
    return torch._C._accelerator_getStream(0).stream_id


_sync_debug_mode = [0]


def _functions():
    return dict(
        _cuda_init=_init, _cuda_getDeviceCount=device_count, _cuda_getDevice=lambda: 0, _cuda_setDevice=_set_device,
        _cuda_exchangeDevice=_exchange, _cuda_maybeExchangeDevice=_maybe_exchange, _cuda_synchronize=_synchronize,
        _cuda_isDriverSufficient=lambda: True, _cuda_getDriverVersion=lambda: 12080,
        _cuda_getCompiledVersion=lambda: 12080, _cuda_isInBadFork=lambda: torch.ops.moai.is_bad_fork(),
        _cuda_emptyCache=lambda *a: torch.ops.moai.empty_cache(), _cuda_memoryStats=_memory.stats,
        _cuda_resetPeakMemoryStats=lambda d: torch.ops.moai.reset_peak_memory(),
        _cuda_resetAccumulatedMemoryStats=lambda d: torch.ops.moai.reset_accumulated_memory(),
        _cuda_hostMemoryStats=lambda: {}, _cuda_resetPeakHostMemoryStats=lambda: None,
        _cuda_resetAccumulatedHostMemoryStats=lambda: None,
        _cuda_getArchFlags=lambda: "sm_80", _cuda_canDeviceAccessPeer=lambda a, b: False,
        _cuda_setMemoryFraction=lambda *a: None, _cuda_getMemoryFraction=lambda *a: 1.0,
        _cuda_ipc_collect=lambda: None, _cuda_sleep=lambda cycles: None,
        _cuda_memorySnapshot=lambda *a: {"segments": [], "device_traces": [[]], "allocator_settings": {}},
        _cuda_record_memory_history=lambda *a, **k: None, _cuda_record_memory_history_legacy=lambda *a, **k: None,
        _cuda_get_sync_debug_mode=lambda: _sync_debug_mode[0],
        _cuda_set_sync_debug_mode=lambda mode: _sync_debug_mode.__setitem__(0, mode),
        _cuda_isCurrentStreamCapturing=lambda: False, _cuda_getAllocatorBackend=lambda: "native",
        _cuda_cudaCachingAllocator_is_enabled=lambda: True, _cuda_cudaCachingAllocator_enable=lambda on: None,
        _cuda_attach_out_of_memory_observer=lambda f: None, _cuda_getCurrentRawStream=_raw_stream,
        _cuda_getCurrentStream=lambda d=0: (_raw_stream(), 0, 1), _cuda_getDefaultStream=lambda d=0: (0, 0, 1),
        _cuda_lock_mutex=lambda: None, _cuda_unlock_mutex=lambda: None)


class _Status:
    """cudaError_t as torch.cuda.cudart() shows it."""
    success = 0


def _cudart():
    return types.SimpleNamespace(
        cudaError=_Status, cudaMemGetInfo=lambda d: _memory.info(), cudaGetErrorString=lambda code: f"error {code}",
        cudaProfilerStart=lambda: 0, cudaProfilerStop=lambda: 0, cudaHostRegister=lambda *a: 0,
        cudaHostUnregister=lambda *a: 0)


def install():
    functions = _functions()
    for name, function in functions.items():
        setattr(torch._C, name, function)
    cuda = torch.cuda
    cuda._is_in_bad_fork = functions["_cuda_isInBadFork"]
    cuda._exchange_device = functions["_cuda_exchangeDevice"]
    cuda._maybe_exchange_device = functions["_cuda_maybeExchangeDevice"]
    cuda._CudaDeviceProperties = Properties
    cuda._cudart = _cudart()
    # A driver on this host would answer with its own devices.
    cuda._device_count_nvml = lambda: -1
    from torch.cuda import graphs
    graphs._cuda_isCurrentStreamCapturing = functions["_cuda_isCurrentStreamCapturing"]
    torch._C._cuda_getCurrentRawStream = _raw_stream
    if torch.version.cuda is None:
        torch.version.cuda = "12.8"
    torch.backends.cudnn.is_acceptable = lambda tensor: False
