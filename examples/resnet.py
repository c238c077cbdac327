"""A small ResNet (batch norm, strides, momentum SGD) on synthetic pictures of ten classes."""
import torch
import torch.nn as nn
import torch.nn.functional as F

import common


class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        self.short = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.short = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))


def resnet(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


DEFAULTS = dict(batch=16, lr=0.05, width=16, size=32)


def setup(args):
    torch.manual_seed(args.seed)
    draw = torch.Generator().manual_seed(args.seed + 1)
    prototypes = torch.rand(10, 3, args.size, args.size, generator=draw)
    model = common.prepare(resnet(args.width), args)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)

    def batches(step):
        y = torch.randint(10, (args.batch,), generator=draw)
        noise = 0.5 * torch.randn(args.batch, 3, args.size, args.size, generator=draw)
        return (prototypes[y] + noise).to(common.real(args)), y

    return model, optimizer, batches, lambda m, b: F.cross_entropy(m(b[0]), b[1])


def main():
    args = common.arguments(__doc__, **DEFAULTS)
    losses = common.train(*setup(args), args)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
