"""One small model of each family, trained 20 steps as plain PyTorch: losses, a resumed half, greedily chosen tokens.

usage: families.py FAMILY DEVICE DTYPE FOLDER
Prints one JSON object. Half of the way the whole state goes to FOLDER/checkpoint.pt; models made anew go on from there.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

STEPS = 20
WORDS, WIDTH, LENGTH = 29, 32, 12


class Block(nn.Module):
    """Attention and two layers. `kind`: what comes before them and between."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        norm = nn.RMSNorm if kind == "llama" else nn.LayerNorm
        self.before, self.between = norm(WIDTH), norm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=kind != "llama")
        self.out = nn.Linear(WIDTH, WIDTH, bias=kind != "llama")
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.last = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x, cache=None):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(b, t, 3, 4, WIDTH // 4).permute(2, 0, 3, 1, 4)
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
            cache[:] = k, v
        causal = self.kind in ("gpt", "llama") and t > 1
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, WIDTH))
        h = self.between(x)
        h = F.silu(self.up(h)) * self.down(h) if self.kind == "llama" else F.gelu(self.up(h))
        return x + self.last(h)


class Language(nn.Module):
    """Tokens to tokens: a GPT, a Llama, a BERT; or with a recurrent layer."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(64, WIDTH)
        self.recurrent = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}.get(kind)
        if self.recurrent:
            self.recurrent = self.recurrent(WIDTH, WIDTH, num_layers=2, batch_first=True)
        else:
            self.blocks = nn.ModuleList(Block(kind) for _ in range(2))
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, tokens, past=0, caches=None):
        x = self.words(tokens)
        if self.recurrent:
            x = self.recurrent(x)[0]
        else:
            x = x + self.places(torch.arange(past, past + tokens.shape[1], device=tokens.device))
            for i, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[i])
        return self.head(x)

    def loss(self, draw):
        tokens = draw.integers(8, LENGTH + 1)
        if self.kind != "bert":
            return F.cross_entropy(self(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        hidden = draw.uniform(8, LENGTH + 1) < 0.3
        labels = tokens.masked_fill(~hidden, -100)
        return F.cross_entropy(self(tokens.masked_fill(hidden, 0)).flatten(0, 1), labels.flatten(), ignore_index=-100)

    @torch.no_grad()
    def decode(self, draw):
        """The likeliest next word, 16 times: with a cache that grows where there is attention."""
        tokens = draw.integers(2, 4)
        caches = None if self.recurrent else [[] for _ in self.blocks]
        past, new = 0, tokens
        for _ in range(16):
            last = self(tokens if self.recurrent else new, past, caches)[:, -1]
            past, new = tokens.shape[1], last.argmax(dim=-1, keepdim=True)
            tokens = torch.cat([tokens, new], dim=1)
        return tokens.tolist()


class CellsByHand(nn.Module):
    """An LSTM cell written out, a step of the sequence at a time."""

    def __init__(self):
        super().__init__()
        self.gates, self.head = nn.Linear(2 * WIDTH, 4 * WIDTH), nn.Linear(WIDTH, 4)

    def loss(self, draw):
        x, y = draw.normal(8, LENGTH, WIDTH), draw.integers(8, below=4)
        h, c = x.new_zeros(8, WIDTH), x.new_zeros(8, WIDTH)
        for step in range(LENGTH):
            i, f, g, o = self.gates(torch.cat([x[:, step], h], dim=1)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return F.cross_entropy(self.head(h), y)


class Encoder(nn.Module):
    """PyTorch's own transformer encoder, with padding."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(WIDTH, 4)

    def loss(self, draw):
        x, y = draw.normal(8, LENGTH, WIDTH), draw.integers(8, below=4)
        padding = torch.arange(LENGTH, device=x.device) >= draw.integers(8, 1, below=LENGTH - 1) + 1
        x = self.encoder(x, src_key_padding_mask=padding).masked_fill(padding[..., None], 0)
        return F.cross_entropy(self.head(x.sum(dim=1)), y)


def conv(n, m, stride=1, groups=1, size=3):
    return nn.Sequential(nn.Conv2d(n, m, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(m))


class Residual(nn.Module):
    """A block of a ResNet, or of an EfficientNet with squeeze and excitation."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        middle = [conv(32, 32, groups=32), nn.SiLU()] if kind == "efficient" else []
        self.body = nn.Sequential(conv(16, 32), nn.SiLU() if middle else nn.ReLU(inplace=True), *middle, conv(32, 16))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.SiLU(), nn.Conv2d(4, 16, 1), nn.Sigmoid())

    def forward(self, x):
        y = self.body(x)
        return F.relu(x + y, inplace=True) if self.kind == "resnet" else x + y * self.squeeze(y)


class ConvNext(nn.Module):
    def __init__(self):
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(16, 16, 7, padding=3, groups=16), nn.LayerNorm(16)
        self.up, self.down, self.scale = nn.Linear(16, 64), nn.Linear(64, 16), nn.Parameter(torch.full((16,), 0.1))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class Images(nn.Module):
    def __init__(self, kind):
        super().__init__()
        blocks = {"cnn": lambda: nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()), "convnext": ConvNext}
        block = blocks.get(kind, lambda: Residual(kind))
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), block(), nn.MaxPool2d(2), block(), nn.AdaptiveAvgPool2d(2),
                                  nn.Flatten(), nn.Linear(64, 10))

    def loss(self, draw):
        return F.cross_entropy(self.body(draw.normal(8, 3, 16, 16)), draw.integers(8, below=10))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.first, self.places = nn.Parameter(torch.zeros(1, 1, WIDTH)), nn.Parameter(torch.randn(1, 17, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block("vit") for _ in range(2)))
        self.head = nn.Linear(WIDTH, 10)

    def loss(self, draw):
        x = self.patches(draw.normal(8, 3, 16, 16)).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.first.expand(8, -1, -1), x], dim=1) + self.places)
        return F.cross_entropy(self.head(x[:, 0]), draw.integers(8, below=10))


class AutoEncoder(nn.Module):
    """A variational one."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode_ = nn.Linear(64, 2 * WIDTH), nn.Sequential(nn.Linear(WIDTH, 64), nn.Sigmoid())

    def loss(self, draw):
        x = draw.uniform(8, 64)
        mean, log = self.encode(x).chunk(2, dim=1)
        y = self.decode_(mean + draw.normal(8, WIDTH) * torch.exp(0.5 * log))
        return F.binary_cross_entropy(y, x) - 0.05 * torch.mean(1 + log - mean.pow(2) - log.exp())


class Adversarial(nn.Module):
    """Two networks that train each other; the loss of a step is that of both."""

    def __init__(self):
        super().__init__()
        self.make = nn.Sequential(nn.ConvTranspose2d(16, 16, 4, 1, 0), nn.BatchNorm2d(16), nn.ReLU(True),
                                  nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())
        self.judge = nn.Sequential(nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(16, 16, 3, 1, 1),
                                   nn.BatchNorm2d(16), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.Linear(256, 1))

    def loss(self, draw):
        made = self.make(draw.normal(8, 16, 1, 1))
        real, fake = self.judge(draw.normal(8, 3, 8, 8)), self.judge(made.detach())
        judges = F.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + F.softplus(fake).mean()
        for p in self.judge.parameters():
            p.requires_grad_(False)
        makes = F.softplus(-self.judge(made)).mean()
        for p in self.judge.parameters():
            p.requires_grad_(True)
        return judges + makes


FAMILIES = {
    **{kind: (lambda kind=kind: Language(kind)) for kind in ("gpt", "llama", "bert", "lstm", "gru", "rnn")},
    **{kind: (lambda kind=kind: Images(kind)) for kind in ("cnn", "resnet", "efficient", "convnext")},
    "vit": VisionTransformer, "encoder": Encoder, "cells": CellsByHand, "vae": AutoEncoder, "gan": Adversarial,
}
OPTIMIZERS = {
    "gpt": lambda p: torch.optim.AdamW(p, 3e-3), "llama": lambda p: torch.optim.AdamW(p, 3e-3, fused=True),
    "bert": lambda p: torch.optim.Adam(p, 3e-3), "lstm": lambda p: torch.optim.RMSprop(p, 3e-3),
    "gru": lambda p: torch.optim.Adagrad(p, 3e-2), "rnn": lambda p: torch.optim.NAdam(p, 3e-3),
    "resnet": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=1e-4),
    "efficient": lambda p: torch.optim.RMSprop(p, 3e-4, momentum=0.9), "encoder": lambda p: torch.optim.Adamax(p, 3e-3),
    "cells": lambda p: torch.optim.Adadelta(p, 1.0), "vae": lambda p: torch.optim.RAdam(p, 3e-3),
}


class Draw:
    """Data of a step: from the CPU's generator, so that it is the same on every device."""

    def __init__(self, step, device, dtype):
        self.generator, self.device, self.dtype = torch.Generator().manual_seed(step), device, dtype

    def normal(self, *sizes):
        return torch.randn(sizes, generator=self.generator, dtype=self.dtype).to(self.device)

    def uniform(self, *sizes):
        return torch.rand(sizes, generator=self.generator, dtype=self.dtype).to(self.device)

    def integers(self, *sizes, below=WORDS):
        return torch.randint(below, sizes, generator=self.generator).to(self.device)


def prepare(family, device, dtype):
    torch.manual_seed(1)
    model = FAMILIES[family]().to(device=device, dtype=dtype)
    optimizer = OPTIMIZERS.get(family, lambda p: torch.optim.Adam(p, 3e-3))(model.parameters())
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


def train(parts, steps, device, dtype):
    model, optimizer, schedule = parts
    losses = []
    for step in steps:
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(Draw(step, device, dtype))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def main(family, device, dtype, folder):
    dtype = getattr(torch, dtype)
    checkpoint = pathlib.Path(folder) / "checkpoint.pt"
    parts = prepare(family, device, dtype)
    losses = train(parts, range(STEPS // 2), device, dtype)
    torch.save([part.state_dict() for part in parts], checkpoint)
    losses += train(parts, range(STEPS // 2, STEPS), device, dtype)
    again = prepare(family, device, dtype)
    for part, state in zip(again, torch.load(checkpoint, map_location=device, weights_only=True)):
        part.load_state_dict(state)
    resumed = train(again, range(STEPS // 2, STEPS), device, dtype)
    model = parts[0].eval()
    tokens = model.decode(Draw(99, device, dtype)) if hasattr(model, "decode") and family != "bert" else []
    print(json.dumps({"losses": losses, "resumed": resumed, "tokens": tokens}))


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] not in FAMILIES:
        sys.exit(__doc__ + "families: " + " ".join(FAMILIES))
    main(*sys.argv[1:])
