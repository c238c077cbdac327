"""A variational autoencoder on the bundled digits; its noise is drawn on the CPU so that every device agrees."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

import common


class Vae(nn.Module):
    def __init__(self, pixels, hidden, latent):
        super().__init__()
        self.enter, self.mean, self.log_var = nn.Linear(pixels, hidden), nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.leave, self.out = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def forward(self, x, noise):
        h = F.relu(self.enter(x))
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + noise * torch.exp(0.5 * log_var)
        return self.out(F.relu(self.leave(z))), mean, log_var


def loss_of(model, batch):
    x, noise = batch
    logits, mean, log_var = model(x, noise)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (reconstruction + divergence) / len(x)


DEFAULTS = dict(batch=128, hidden=400, latent=20)


def setup(args):
    torch.manual_seed(args.seed)
    x = torch.tensor(load_digits().data, dtype=common.real(args)) / 16
    model = common.prepare(Vae(x.shape[1], args.hidden, args.latent), args)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    draw = torch.Generator().manual_seed(args.seed + 1)

    def batches(step):
        take = torch.randint(len(x), (args.batch,), generator=draw)
        return x[take], torch.randn(args.batch, args.latent, generator=draw).to(x.dtype)

    return model, optimizer, batches, loss_of


def main():
    args = common.arguments(__doc__, **DEFAULTS)
    losses = common.train(*setup(args), args)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
