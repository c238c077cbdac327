"""The training jobs that benchmarks time: the examples, and five models of usual sizes."""
import argparse
import importlib
import pathlib
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import char_gpt  # noqa: E402
import common  # noqa: E402

EXAMPLES = ["digits_cnn", "char_gpt", "lstm_lm", "resnet", "vae", "bert", "llama_lora"]


def example(name, device, precision):
    module = importlib.import_module(name)
    args = argparse.Namespace(device=device, steps=1, batch=16, lr=1e-3, seed=0, dropout=0.0, precision=precision,
                              losses=None, times=None)
    vars(args).update(module.DEFAULTS)
    return (*module.setup(args), args)


def fixed(shape, classes, args):
    draw = torch.Generator().manual_seed(1)
    data = [(torch.randn(shape, generator=draw), torch.randint(classes, shape[:1], generator=draw)) for _ in range(8)]
    return lambda step: data[step % 8]


class MnistCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = self.drop2(F.relu(self.fc1(torch.flatten(self.drop1(x), 1))))
        return F.log_softmax(self.fc2(x), dim=1)


def classifier(model, shape, args):
    model = model.to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    return model, optimizer, fixed(shape, 10, args), lambda m, b: F.cross_entropy(m(b[0]), b[1]), args


class Convolution(nn.Module):
    """A layer and its input, both with gradients."""

    def __init__(self, batch, channels, size, outputs, kernel, stride, padding, groups):
        super().__init__()
        self.layer = nn.Conv2d(channels, outputs, kernel, stride, padding, groups=groups)
        self.x = nn.Parameter(torch.randn(batch, channels, size, size))

    def forward(self):
        self.x.grad = None
        return self.layer(self.x)


def convolution(shape, args):
    model = Convolution(*map(int, shape.split("x"))).to(args.device)
    optimizer = torch.optim.SGD(model.layer.parameters(), 1e-3)
    return model, optimizer, lambda step: [], lambda m, b: m().sum(), args


def gpt(width, layers, context, heads, args):
    model = char_gpt.Gpt(65, context, width, heads, layers, 0.1).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    draw = torch.Generator().manual_seed(1)
    data = [torch.randint(65, (12, context + 1), generator=draw) for _ in range(8)]
    batches = lambda step: (data[step % 8][:, :-1].contiguous(), data[step % 8][:, 1:].contiguous())
    loss = lambda m, b: F.cross_entropy(m(b[0]).flatten(0, 1), b[1].flatten())
    return model, optimizer, batches, loss, args


def make(name, device, precision="f32"):
    """(model, optimizer, batches, loss_of, args) of a job, weights from seed 0."""
    if name in EXAMPLES:
        return example(name, device, precision)
    args = argparse.Namespace(device=device, precision=precision)
    torch.manual_seed(0)
    if name == "mlp":
        layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
        return classifier(nn.Sequential(*layers), (64, 784), args)
    if name == "mnist_cnn":
        return classifier(MnistCnn(), (64, 1, 28, 28), args)
    if name == "gpt_d128":
        return gpt(128, 4, 64, 4, args)
    if name == "gpt_d384":
        return gpt(384, 6, 64, 6, args)
    if name.startswith("conv:"):  # conv:NxCxSIZExOUTPUTSxKERNELxSTRIDExPADDINGxGROUPS
        return convolution(name.removeprefix("conv:"), args)
    if name == "lstm":
        return example("lstm_lm", device, precision)
    raise SystemExit(f"bench: no job is called {name}")


MODELS = ["mlp", "mnist_cnn", "gpt_d128", "gpt_d384", "lstm"]
