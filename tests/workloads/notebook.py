"""A notebook's kernel, as Jupyter starts it: cells on the device, and an interrupt that ends the cell, not the kernel.
usage: notebook.py DEVICE"""
import sys
import time

from jupyter_client.manager import start_new_kernel

device = sys.argv[1]
manager, client = start_new_kernel(kernel_name="python3")


def cell(code, interrupt_after=None):
    """What the cell printed, and the name of the error that it ended with."""
    printed = []

    def hook(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
    if interrupt_after is not None:
        client.execute(code)
        time.sleep(interrupt_after)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=30)
    else:
        reply = client.execute_interactive(code, timeout=60, output_hook=hook)
    return "".join(printed).strip(), reply["content"].get("ename", "")


try:
    print(cell(f"import torch; x = torch.ones(3, device='{device}'); print((x * 2).sum().item())"))
    out, error = cell("while True: x = x + 1; y = x.sum().item()", interrupt_after=2)
    print(error)
    assert error == "KeyboardInterrupt", error
    print(cell(f"print(torch.arange(4.0, device='{device}').sum().item(), x.device.type == '{device}')"))
    print(cell("torch.ones(2, device=x.device) @ torch.ones(3, device=x.device)")[1])
    print(cell("print('loss', torch.ones(2, device=x.device).mean().item())"))
finally:
    client.stop_channels()
    manager.shutdown_kernel()
