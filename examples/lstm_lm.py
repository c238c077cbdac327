"""A word-level LSTM language model with gradient clipping and SGD, on a text file."""
import pathlib
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

import common


class Model(nn.Module):
    def __init__(self, vocabulary, width, layers, dropout):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, dropout=dropout)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens, state):
        y, state = self.lstm(self.embed(tokens), state)
        return self.head(y), state


HERE = pathlib.Path(__file__).resolve().parent
DEFAULTS = dict(batch=20, length=35, width=128, layers=2, lr=1.0, text=str(HERE.parent / "LICENSE"))


def setup(args):
    torch.manual_seed(args.seed)
    words = re.findall(r"\w+|[^\w\s]", pathlib.Path(args.text).read_text())
    vocabulary = {w: i for i, w in enumerate(sorted(set(words)))}
    stream = torch.tensor([vocabulary[w] for w in words] * 8)
    columns = stream[: len(stream) // args.batch * args.batch].view(args.batch, -1).t().contiguous()
    model = common.prepare(Model(len(vocabulary), args.width, args.layers, args.dropout), args)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    shape = (args.layers, args.batch, args.width)
    state = [torch.zeros(shape, dtype=common.real(args), device=args.device) for _ in range(2)]

    def batches(step):
        at = (step - 1) * args.length % (len(columns) - args.length - 1)
        return columns[at: at + args.length], columns[at + 1: at + 1 + args.length]

    def loss_of(m, batch):
        nonlocal state
        scores, new = m(batch[0], tuple(s.detach() for s in state))
        state = [s.detach() for s in new]
        return F.cross_entropy(scores.flatten(0, 1), batch[1].flatten())

    class Clipped:
        """Clips before each step: the loop in common.py stays the usual one."""

        def zero_grad(self):
            optimizer.zero_grad()

        def step(self):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimizer.step()

    return model, Clipped(), batches, loss_of


def main():
    args = common.arguments(__doc__, **DEFAULTS)
    losses = common.train(*setup(args), args)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
