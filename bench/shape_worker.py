"""Programs that are another one at every step. usage: shape_worker.py PROGRAM cpu|cuda THREADS"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import harness

program, device, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
draws = torch.Generator().manual_seed(0)


def draw(low, high):
    return int(torch.randint(low, high, (), generator=draws))


def trained(net, loss_of):
    net.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step():
        loss = loss_of(net)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def text():
    """A transformer whose sequences have another length each time."""
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
    net = nn.Sequential(nn.Embedding(100, 64), nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Linear(64, 100))
    length = iter(range(8, 100000))

    def loss(net):
        tokens = torch.randint(0, 100, (4, next(length))).to(device)
        return F.cross_entropy(net(tokens).flatten(0, 1), tokens.flatten())
    return trained(net, loss)


def crops():
    """A convolutional network on pictures of any height and width."""
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def loss(net):
        pictures = torch.rand(8, 3, draw(24, 64), draw(24, 64)).to(device)
        return F.cross_entropy(net(pictures), torch.zeros(8, dtype=torch.long, device=device))
    return trained(net, loss)


def cache():
    """Greedy decoding: keys and values of all tokens so far, one more each step."""
    width, heads = 64, 4
    blocks = [nn.ModuleDict(dict(qkv=nn.Linear(width, 3 * width), out=nn.Linear(width, width), up=nn.Linear(width, 128),
                                 down=nn.Linear(128, width))).to(device) for _ in range(4)]
    table, past, token = nn.Embedding(100, width).to(device), [None] * 4, torch.zeros(1, 1, dtype=torch.long, device=device)

    @torch.no_grad()
    def step():
        nonlocal token
        x = table(token)
        for i, b in enumerate(blocks):
            q, k, v = b["qkv"](x).view(1, 1, 3, heads, -1).permute(2, 0, 3, 1, 4)
            if past[i] is not None:
                k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
            past[i] = (k, v)
            x = x + b["out"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, 1, width))
            x = x + b["down"](F.gelu(b["up"](x)))
        token = (x @ table.weight.t()).argmax(-1)
        return token.item()
    return step


def generate():
    """Sampling as libraries write it: a mask that grows, rotary positions, groups of heads that share keys, the ten best."""
    width, heads, groups, size = 64, 4, 2, 16
    sizes = dict(q=width, k=groups * size, v=groups * size, out=width)
    blocks = [nn.ModuleDict({**{name: nn.Linear(width, n, bias=False) for name, n in sizes.items()}, "norm": nn.RMSNorm(width),
                             "gate": nn.Linear(width, 128), "up": nn.Linear(width, 128), "down": nn.Linear(128, width)}).to(device)
              for _ in range(4)]
    table, past, token = nn.Embedding(100, width).to(device), [None] * 4, torch.zeros(1, 1, dtype=torch.long, device=device)
    mask, turns = torch.ones(1, 0, dtype=torch.long, device=device), 10000 ** (-torch.arange(0, size, 2, device=device) / size)

    def rotated(x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat((-b, a), -1) * sin

    @torch.no_grad()
    def step():
        nonlocal token, mask
        x, mask = table(token), torch.cat((mask, mask.new_ones(1, 1)), 1)
        angles = (mask.sum(1)[:, None, None] - 1) * turns
        cos, sin = (f(torch.cat((angles, angles), -1))[:, None] for f in (torch.cos, torch.sin))
        is_seen = mask[:, None, None].bool()
        for i, b in enumerate(blocks):
            y = b["norm"](x)
            q, k, v = (b[name](y).view(1, 1, -1, size).transpose(1, 2) for name in "qkv")
            q, k = rotated(q, cos, sin), rotated(k, cos, sin)
            if past[i] is not None:
                k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
            past[i] = (k, v)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=is_seen, enable_gqa=True)
            x = x + b["out"](y.transpose(1, 2).reshape(1, 1, width))
            x = x + b["down"](F.silu(b["gate"](x)) * b["up"](x))
        best, places = (x[:, -1] @ table.weight.t()).topk(10)
        token = places.gather(1, torch.multinomial(best.softmax(-1), 1))
        return token.item()
    return step


def branches():
    """What comes next depends on what was computed: three decisions a step."""
    net = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 64))

    def loss(net):
        x = torch.randn(64, 64).to(device)
        for _ in range(3):
            y = net(x)
            x = x + y if y.mean() > 0 else x - y.relu()
        return x.square().mean()
    return trained(net, loss)


step = {"text": text, "crops": crops, "cache": cache, "generate": generate, "branches": branches}[program]()


def steps(count):
    begin = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - begin


harness.serve_commands(steps=steps)
