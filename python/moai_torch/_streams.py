"""torch.cuda.Stream and Event, whose base classes are dummies in a CPU build; CUDA graphs and pools refuse."""
import torch
from torch.cuda import streams


class Stream(torch.Stream):
    """A label in the one order of the program."""

    def __new__(cls, device=None, priority=0, **kwargs):
        if "stream_id" in kwargs:
            return super().__new__(cls, stream_id=kwargs["stream_id"], device_index=kwargs.get("device_index", 0),
                                   device_type=1)
        return super().__new__(cls, device="cuda", priority=priority)

    @property
    def cuda_stream(self):
        return self.stream_id

    @property
    def _as_parameter_(self):
        import ctypes
        return ctypes.c_void_p(self.stream_id)

    def __repr__(self):
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.stream_id:#x}>"


class ExternalStream(Stream):
    """A stream of another library: it has none here, so it is a label like the others."""

    def __new__(cls, stream_ptr, device=None, **kwargs):
        return Stream.__new__(cls, stream_id=stream_ptr)


class Event(torch.Event):
    """With enable_timing, record() hands over what was recorded so far and takes the server's time after it."""

    def __new__(cls, enable_timing=False, blocking=False, interprocess=False, external=False):
        return super().__new__(cls, device="cuda", enable_timing=enable_timing)

    def elapsed_time(self, end_event):
        end_event.synchronize()
        return torch.ops.moai.elapsed(self.event_id, end_event.event_id)

    @property
    def cuda_event(self):
        return self.event_id

    def __repr__(self):
        return f"<torch.cuda.Event {self.event_id:#x}>"


class CUDAGraph:
    def __new__(cls, *args, **kwargs):
        raise NotImplementedError("CUDA graphs do not exist on this device. Leave them out: repeated steps are "
                                  "recognised and replayed by themselves.")


class MemPool:
    def __new__(cls, *args, **kwargs):
        raise NotImplementedError("Memory pools do not exist on this device: the server plans memory. Leave MemPool out.")


def _set_stream(stream_id, device_index=0, device_type=1):
    torch._C._accelerator_setStream(Stream(stream_id=stream_id))


class _NoMarks:
    """torch.cuda.nvtx without a tool that listens."""
    rangePushA = staticmethod(lambda message: 0)
    rangePop = staticmethod(lambda: 0)
    rangeStartA = staticmethod(lambda message: 0)
    rangeEnd = staticmethod(lambda range_id: None)
    markA = staticmethod(lambda message: None)
    deviceRangeStart = staticmethod(lambda *a: None)
    deviceRangeEnd = staticmethod(lambda *a: None)


def install():
    torch._C._cuda_setStream = _set_stream
    for module in (torch.cuda, streams):
        module.Stream, module.Event, module.ExternalStream = Stream, Event, ExternalStream
    from torch.cuda import graphs, memory, nvtx
    for module in (torch.cuda, graphs):
        module.CUDAGraph = CUDAGraph
    for module in (torch.cuda, memory):
        module.MemPool = MemPool
    nvtx._nvtx = _NoMarks()
