"""A character-level GPT on a text file (by default the project's licence)."""
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F

import common


class Block(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(c, dim=2)
        q, k, v = (z.view(b, t, self.heads, c // self.heads).transpose(1, 2) for z in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.dropout if self.training else 0.0)
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(b, t, c)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, heads, layers, dropout):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.token.weight

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.drop(self.token(tokens) + self.position(positions))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


HERE = pathlib.Path(__file__).resolve().parent
DEFAULTS = dict(batch=12, context=64, width=128, heads=4, layers=4, text=str(HERE.parent / "LICENSE"))


def setup(args):
    torch.manual_seed(args.seed)
    text = pathlib.Path(args.text).read_text()
    alphabet = sorted(set(text))
    tokens = torch.tensor([alphabet.index(c) for c in text])
    model = Gpt(len(alphabet), args.context, args.width, args.heads, args.layers, args.dropout)
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, std=0.02)
    model = common.prepare(model, args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95))
    draw = torch.Generator().manual_seed(args.seed + 1)

    def batches(step):
        at = torch.randint(len(tokens) - args.context - 1, (args.batch,), generator=draw)
        chunk = torch.stack([tokens[i: i + args.context + 1] for i in at])
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
