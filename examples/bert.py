"""A BERT-like encoder with a padding mask, trained on masked tokens; AdamW, clipping, warm-up schedule."""
import torch
import torch.nn as nn
import torch.nn.functional as F

import common


class Encoder(nn.Module):
    def __init__(self, vocabulary, length, width, heads, layers, dropout):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width, padding_idx=0), nn.Embedding(length, width)
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.norm(self.token(tokens) + self.position.weight[: tokens.shape[1]])
        return self.head(self.body(x, src_key_padding_mask=tokens == 0))


DEFAULTS = dict(batch=16, length=32, width=64, heads=4, layers=2, vocabulary=120)


def setup(args):
    torch.manual_seed(args.seed)
    model = common.prepare(Encoder(args.vocabulary, args.length, args.width, args.heads, args.layers, args.dropout), args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 10))
    draw = torch.Generator().manual_seed(args.seed + 1)

    def batches(step):
        # Sentences count upwards from a random start, so that a hidden token can be found from its neighbours.
        start = torch.randint(2, args.vocabulary, (args.batch, 1), generator=draw)
        tokens = 2 + (start + torch.arange(args.length)) % (args.vocabulary - 2)
        lengths = torch.randint(args.length // 2, args.length + 1, (args.batch, 1), generator=draw)
        tokens = tokens.masked_fill(torch.arange(args.length) >= lengths, 0)
        hidden = (torch.rand(tokens.shape, generator=draw) < 0.15) & (tokens > 0)
        hidden[:, 0] = True
        return tokens.masked_fill(hidden, 1), tokens.masked_fill(~hidden, -100)

    def loss_of(m, batch):
        return F.cross_entropy(m(batch[0]).flatten(0, 1), batch[1].flatten(), ignore_index=-100)

    class Scheduled:
        def zero_grad(self):
            optimizer.zero_grad()

        def step(self):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return model, Scheduled(), batches, loss_of


def main():
    args = common.arguments(__doc__, **DEFAULTS)
    losses = common.train(*setup(args), args)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
