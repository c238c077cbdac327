"""torch.distributed on one device: a process group of one, under whatever backend the program asks for."""
import functools

import torch

_ALONE = ("this device is already all the accelerators there are, so run one process: torchrun --nproc_per_node=1, or without "
          "torchrun. Tensors on the cpu may use the backend gloo in more processes.")


def _init_process_group(plain):
    @functools.wraps(plain)
    def init_process_group(backend=None, *args, **kwargs):
        asks_for_device = backend is None or "nccl" in str(backend).lower()
        plain("gloo" if asks_for_device else backend, *args, **kwargs)
        size = torch.distributed.get_world_size()
        if asks_for_device and size > 1:
            torch.distributed.destroy_process_group()
            raise RuntimeError(f"init_process_group({backend!r}) with {size} processes: {_ALONE}")
    return init_process_group


def install():
    if not torch.distributed.is_available():
        return
    from torch.distributed import distributed_c10d
    for module in (torch.distributed, distributed_c10d):
        module.init_process_group = _init_process_group(module.init_process_group)
        module.is_nccl_available = lambda: True
