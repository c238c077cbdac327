"""A Llama-like decoder (RMSNorm, rotary positions, grouped keys, SwiGLU) fine-tuned through LoRA adapters."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import common


class RmsNorm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class Lora(nn.Module):
    """A frozen linear layer plus a trained low-rank update."""

    def __init__(self, n_in, n_out, rank=4, alpha=8):
        super().__init__()
        self.base = nn.Linear(n_in, n_out, bias=False)
        self.base.weight.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, n_in) / math.sqrt(n_in))
        self.b = nn.Parameter(torch.zeros(n_out, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * F.linear(F.linear(x, self.a), self.b)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Block(nn.Module):
    def __init__(self, width, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, width // heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.q, self.v = Lora(width, width), Lora(width, kv_heads * self.size)
        self.k, self.o = nn.Linear(width, kv_heads * self.size, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x, cos, sin):
        b, t, c = x.shape
        h = self.norm1(x)
        q = self.q(h).view(b, t, self.heads, self.size).transpose(1, 2)
        k = self.k(h).view(b, t, self.kv_heads, self.size).transpose(1, 2)
        v = self.v(h).view(b, t, self.kv_heads, self.size).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = self.heads // self.kv_heads
        k, v = (z[:, :, None].expand(b, self.kv_heads, group, t, self.size).reshape(q.shape) for z in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, c))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Llama(nn.Module):
    def __init__(self, vocabulary, width, heads, kv_heads, layers):
        super().__init__()
        self.size = width // heads
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList([Block(width, heads, kv_heads) for _ in range(layers)])
        self.norm, self.head = RmsNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        t = torch.arange(tokens.shape[1], device=tokens.device, dtype=self.head.weight.dtype)
        rates = 10000 ** (-torch.arange(0, self.size, 2, device=tokens.device, dtype=t.dtype) / self.size)
        angles = torch.outer(t, rates)
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos(), angles.sin()
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


DEFAULTS = dict(batch=8, length=32, width=64, heads=4, kv_heads=2, layers=2, vocabulary=96, lr=5e-3)


def setup(args):
    torch.manual_seed(args.seed)
    model = Llama(args.vocabulary, args.width, args.heads, args.kv_heads, args.layers)
    for name, p in model.named_parameters():
        p.requires_grad_(name.endswith((".a", ".b")))
    model = common.prepare(model, args)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr)
    draw = torch.Generator().manual_seed(args.seed + 1)

    def batches(step):
        start = torch.randint(args.vocabulary, (args.batch, 1), generator=draw)
        chunk = (start + 3 * torch.arange(args.length + 1)) % args.vocabulary
        return chunk[:, :-1].contiguous(), chunk[:, 1:].contiguous()

    def loss_of(m, batch):
        return F.cross_entropy(m(batch[0]).flatten(0, 1), batch[1].flatten())

    return model, optimizer, batches, loss_of


def main():
    args = common.arguments(__doc__, **DEFAULTS)
    losses = common.train(*setup(args), args)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
