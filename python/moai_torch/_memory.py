"""Memory numbers of the client, in the shape that torch.cuda.memory flattens."""
import torch

# In the order of torch.ops.moai.memory().
NAMES = ("live_bytes", "peak_bytes", "reserved_bytes", "reserved_peak_bytes", "allocations", "frees", "live_count",
         "peak_count", "out_of_memory", "allocated_bytes", "freed_bytes")


def counts():
    return dict(zip(NAMES, torch.ops.moai.memory()))


def info():
    """(free, total) of the accelerator."""
    total = torch.ops.moai.total_memory()
    return max(0, total - counts()["live_bytes"]), total


def _stat(current=0, peak=0, allocated=0, freed=0):
    return dict(current=current, peak=peak, allocated=allocated, freed=freed)


def _by_pool(stat):
    return {"all": stat, "small_pool": _stat(), "large_pool": dict(stat)}


def stats(device):
    c = counts()
    live = _stat(c["live_bytes"], c["peak_bytes"], c["allocated_bytes"], c["freed_bytes"])
    number = _stat(c["live_count"], c["peak_count"], c["allocations"], c["frees"])
    reserved = _stat(c["reserved_bytes"], c["reserved_peak_bytes"], c["reserved_peak_bytes"],
                     c["reserved_peak_bytes"] - c["reserved_bytes"])
    d = {key: _by_pool(live) for key in ("allocated_bytes", "active_bytes", "requested_bytes")}
    d.update({key: _by_pool(number) for key in ("allocation", "active")})
    d.update({key: _by_pool(_stat()) for key in ("segment", "inactive_split", "inactive_split_bytes")})
    d["reserved_bytes"] = _by_pool(reserved)
    d.update(oversize_allocations=_stat(), oversize_segments=_stat(), num_alloc_retries=0,
             num_ooms=c["out_of_memory"], max_split_size=-1, num_sync_all_streams=0, num_device_alloc=0,
             num_device_free=0)
    return d
