"""Times loops of single operators on a device, for op_bench.py."""
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import harness


def loop(case, device):
    a, b, c = (torch.ones(8, 8, device=device) for _ in range(3))
    bias = torch.ones(8, device=device)
    if case == "mlp_step":
        return training_step(device)
    return {
        "add": lambda: a + b,
        "add_": lambda: a.add_(b),
        "mul_scalar": lambda: a * 0.5,
        "div_out": lambda: torch.div(a, b, out=c),
        "relu": lambda: torch.relu(a),
        "sum": lambda: a.sum(),
        "copy_": lambda: a.copy_(b),
        "cat": lambda: torch.cat((a, b)),
        "mm": lambda: torch.mm(a, b),
        "addmm": lambda: torch.addmm(bias, a, b),
        "softmax": lambda: torch.softmax(a, 1),
        "layer_norm": lambda: F.layer_norm(a, (8,), bias, bias),
        "view": lambda: a.view(64),
        "transpose": lambda: a.t(),
        "slice": lambda: a[2:5],
        "empty": lambda: torch.empty(8, 8, device=device),
    }[case]


def training_step(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    x, y = torch.ones(8, 8, device=device), torch.zeros(8, dtype=torch.long, device=device)

    def step():
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return step


bodies = {}


def timed(case, device, count):
    """CPU microseconds a call, of this thread and of the process."""
    if (case, device) not in bodies:
        bodies[case, device] = loop(case, device)
    body = bodies[case, device]
    with torch.set_grad_enabled(case == "mlp_step"):
        thread, process = time.thread_time_ns(), time.process_time_ns()
        for _ in range(count):
            body()
        thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process
        if device == "cuda":
            torch.cuda.synchronize()
    return thread / count / 1e3, process / count / 1e3


torch.set_num_threads(1)
harness.serve_commands(time=timed)
