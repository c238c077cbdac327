"""torch.moreh: hints of programs that were written for a parallelising framework. They change no result."""
import sys
import types

import torch

accepted = []  # (name, value), in order, for the statistics


def _hint(name, options):
    for key, value in options.items():
        accepted.append((f"{name}.{key}", value))
        torch.ops.moai.hint(f"{name}.{key}", repr(value))
    if options.get("mixed_precision"):
        print("[moai] mixed_precision is not applied, because it would change results. Use torch.autocast.",
              file=sys.stderr)


def enable_advanced_parallelization(pipeline_parallel=False, num_stages=None, num_micro_batches=None,
                                    activation_recomputation=False, distribute_parameter=False,
                                    mixed_precision=False, **others):
    """Hints for the planner; any other keyword is accepted too."""
    _hint("parallelization", dict(pipeline_parallel=pipeline_parallel, num_stages=num_stages,
                                  num_micro_batches=num_micro_batches,
                                  activation_recomputation=activation_recomputation,
                                  distribute_parameter=distribute_parameter, mixed_precision=mixed_precision, **others))


def parallelizer_init(*args, **options):
    """The older name; positional arguments are listed by place."""
    _hint("parallelization", {**{str(i): a for i, a in enumerate(args)}, **options})


class _Options(types.SimpleNamespace):
    """torch.moreh.options.NAME = value is accepted and listed."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        _hint("options", {name: value})


def install():
    option = types.SimpleNamespace(enable_advanced_parallelization=enable_advanced_parallelization,
                                   parallelizer_init=parallelizer_init)
    torch.moreh = types.SimpleNamespace(option=option, options=_Options(), parallelizer_init=parallelizer_init)
