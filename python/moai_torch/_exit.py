"""The end of an optimizer step is the end of a segment; the end of the process hands over what is left.

A process that multiprocessing forks ends in os._exit, which runs no atexit function: there it is a finalizer of
multiprocessing. Where both run, the second finds a closed session and tells the same figures again.
"""
import atexit
import json
from multiprocessing import util

_AFTER_ALL_OTHERS = -1000


def _after_step(optimizer, args, kwargs):
    import torch
    torch.ops.moai.cut(True)


def _finish():
    import torch
    from . import stats
    try:
        torch.ops.moai.close()
    except Exception:  # noqa: BLE001
        pass  # the program has ended: its own errors were raised where they belong
    if torch.ops.moai.wants_stats():
        torch.ops.moai.tell_stats(json.dumps(stats()))


def _finish_at_the_end_of_a_child(_):
    util.Finalize(None, _finish, exitpriority=_AFTER_ALL_OTHERS)


def install():
    _hook_when_imported()
    atexit.register(_finish)
    util.register_after_fork(_finish, _finish_at_the_end_of_a_child)


def _hook_when_imported():
    from torch.optim import optimizer
    optimizer.register_optimizer_step_post_hook(_after_step)
