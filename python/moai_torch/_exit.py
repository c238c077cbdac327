"""The end of an optimizer step is the end of a segment; the end of the process hands over what is left."""
import atexit
import json
import os


def _after_step(optimizer, args, kwargs):
    import torch
    torch.ops.moai.cut(True)


def _finish():
    import torch
    from . import stats
    path = os.environ.get("MOAI_STATS_FILE")
    try:
        torch.ops.moai.close()
    except Exception:  # noqa: BLE001
        pass  # the program has ended: its own errors were raised where they belong
    if path and not torch.ops.moai.is_bad_fork():
        with open(path, "w", encoding="utf-8") as file:
            json.dump(stats(), file)


def install():
    _hook_when_imported()
    atexit.register(_finish)


def _hook_when_imported():
    from torch.optim import optimizer
    optimizer.register_optimizer_step_post_hook(_after_step)
