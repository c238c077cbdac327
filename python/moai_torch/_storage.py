"""torch.UntypedStorage on the device, legacy tensor classes, and the interfaces that hand out raw pointers."""
import torch


def _is_device(device):
    return device is not None and torch.device(device).type == "cuda"


def _new_storage():
    storage, make = torch.UntypedStorage, torch.UntypedStorage.__new__

    def new(cls, *args, **kwargs):
        if cls is not storage or not _is_device(kwargs.get("device")):
            return make(cls, *args, **kwargs)
        if args and not isinstance(args[0], int):
            return torch.tensor(list(args[0]), dtype=torch.uint8, device="cuda").untyped_storage()
        size = args[0] if args else kwargs.get("size", 0)
        return torch.empty(size, dtype=torch.uint8, device=kwargs["device"]).untyped_storage()

    storage.__new__ = staticmethod(new)


def _resize_storage():
    base = torch._C.StorageBase.resize_

    def resize_(self, size):
        if self.device.type != "cuda":
            return base(self, size)
        torch.ops.moai.resize_storage(torch.empty(0, dtype=torch.uint8, device="cuda").set_(self), int(size))
        return self

    torch.UntypedStorage.resize_ = resize_


def _refuse_pointers():
    interface, dlpack = torch.Tensor.__cuda_array_interface__, torch.Tensor.__dlpack__

    def array_interface(self):
        if self.is_cuda:
            raise AttributeError("Tensors of this device have no address in this process. Call .cpu() first.")
        return interface.fget(self)

    def to_dlpack(self, *args, **kwargs):
        if self.is_cuda:
            raise BufferError("Tensors of this device have no address in this process. Call .cpu() first.")
        return dlpack(self, *args, **kwargs)

    def capsule_of(plain):
        def to_capsule(tensor, *args, **kwargs):
            if tensor.is_cuda:
                raise BufferError("Tensors of this device have no address in this process. Call .cpu() first.")
            return plain(tensor, *args, **kwargs)
        return to_capsule

    def share(self, *args, **kwargs):
        raise NotImplementedError("Tensors of this device have no CUDA IPC handle: send another process a copy, tensor.cpu().")

    torch.Tensor.__cuda_array_interface__ = property(array_interface)
    torch.Tensor.__dlpack__ = to_dlpack
    for name in ("_to_dlpack", "_to_dlpack_versioned"):
        if hasattr(torch._C, name):
            setattr(torch._C, name, capsule_of(getattr(torch._C, name)))
    torch.utils.dlpack.to_dlpack = torch.to_dlpack = torch._C._to_dlpack
    torch.UntypedStorage._share_cuda_ = share


_LEGACY = {"FloatTensor": torch.float32, "DoubleTensor": torch.float64, "HalfTensor": torch.float16,
           "BFloat16Tensor": torch.bfloat16, "LongTensor": torch.int64, "IntTensor": torch.int32,
           "ShortTensor": torch.int16, "CharTensor": torch.int8, "ByteTensor": torch.uint8, "BoolTensor": torch.bool}


def _legacy_class(name, dtype):
    """torch.cuda.FloatTensor and kin: constructors, and classes for isinstance."""

    class Meta(type):
        def __instancecheck__(cls, o):
            return isinstance(o, torch.Tensor) and o.is_cuda and o.dtype == dtype

    def new(cls, *args):
        if not args:
            return torch.empty(0, dtype=dtype, device="cuda")
        if all(isinstance(a, int) for a in args):
            return torch.empty(*args, dtype=dtype, device="cuda")
        if isinstance(args[0], torch.Size):
            return torch.empty(args[0], dtype=dtype, device="cuda")
        return torch.tensor(args[0], dtype=dtype, device="cuda")

    return Meta(name, (), {"__new__": new, "__module__": "torch.cuda", "dtype": dtype, "is_cuda": True})


def _legacy_tensors():
    classes = {}
    for name, dtype in _LEGACY.items():
        classes[f"torch.cuda.{name}"] = dtype
        setattr(torch.cuda, name, _legacy_class(name, dtype))
    base = torch.set_default_tensor_type

    def set_default_tensor_type(t):
        name = t if isinstance(t, str) else f"{t.__module__}.{t.__name__}"
        if name not in classes:
            return base(t)
        torch.set_default_dtype(classes[name])
        torch.set_default_device("cuda")

    torch.set_default_tensor_type = set_default_tensor_type


def install():
    _new_storage()
    _resize_storage()
    _refuse_pointers()
    _legacy_tensors()
