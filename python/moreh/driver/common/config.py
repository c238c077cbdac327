"""set_config and set_backend_config: accepted, listed in the statistics, without effect."""


def set_config(name, value=None):
    from moai_torch import _moreh
    _moreh.accepted.append((f"config.{name}", value))


set_backend_config = set_config
