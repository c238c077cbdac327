"""One size that grows: after a few lengths the server makes plans from those of other lengths, and they compute the same."""
import os

import pytest
import torch
import torch.nn.functional as F

pytestmark = pytest.mark.skipif(not os.environ.get("MOAI_SERVER"), reason="plans are made by a server")
LENGTHS = range(17, 33)


def floats(*sizes):
    return (torch.arange(torch.Size(sizes).numel()) % 101 - 50).view(sizes) / 25


def counted(*sizes, below):
    return (torch.arange(torch.Size(sizes).numel()) * 7 % below).view(sizes)


# Of n: tensors that need gradients, others, the function.
CASES = {
    "pointwise": lambda n: ([floats(3, n), floats(n)], [], lambda x, y: torch.tanh(x * y) + x.exp() / (1 + y.square())),
    "broadcast": lambda n: ([floats(n, 1), floats(1, n)], [], lambda x, y: (x - y).abs()),
    "strided": lambda n: ([floats(n, 5)], [], lambda x: x.t() * 2 + x.t()[:, :1]),
    "sum": lambda n: ([floats(4, n)], [], lambda x: [x.sum(1), x.sum(0), x.sum()]),
    "mean_var": lambda n: ([floats(n, 6)], [], lambda x: [x.mean(0), x.var(1), x.std(0), x.mean()]),
    "max": lambda n: ([floats(4, n)], [], lambda x: [x.max(1)[0], x.amin(0), x.max()]),
    "arg": lambda n: ([], [floats(4, n)], lambda x: [x.argmax(1), x.argmin(0), x.topk(3)[1], x.sort(0)[1]]),
    "softmax": lambda n: ([floats(3, n)], [], lambda x: [torch.softmax(x, 1), torch.log_softmax(x, 0), x.logsumexp(1)]),
    "scan": lambda n: ([floats(3, n)], [], lambda x: [x.cumsum(1), x.cumsum(0)]),
    "norms": lambda n: ([floats(2, n, 8), floats(8), floats(8)], [], lambda x, w, b: F.layer_norm(x, (8,), w, b)),
    "long_norm": lambda n: ([floats(2, 3, n)], [], lambda x: [F.layer_norm(x, (n,)), F.group_norm(x, 3), F.instance_norm(x)]),
    "batch_norm": lambda n: ([floats(4, 3, n), floats(3)], [], lambda x, w: F.batch_norm(x, None, None, w, training=True)),
    "products": lambda n: ([floats(n, 8), floats(8, n)], [], lambda x, y: [x @ y, y @ x, x @ y[:, 0]]),
    "batches": lambda n: ([floats(2, n, 8), floats(2, 8, 4)], [], lambda x, y: [x @ y, torch.einsum("bij,bjk->ki", x, y)]),
    "linear": lambda n: ([floats(2, n, 8), floats(6, 8), floats(6)], [], F.linear),
    "attention": lambda n: ([floats(1, 2, n, 8), floats(1, 2, n, 8), floats(1, 2, n, 8)], [],
                            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    "token": lambda n: ([floats(1, 2, 1, 8), floats(1, 2, n, 8), floats(1, 2, n, 8)], [],
                        lambda q, k, v: F.scaled_dot_product_attention(q, k, v)),
    "masked_attention": lambda n: ([floats(1, 2, 3, 8), floats(1, 2, n, 8)], [torch.ones(3, n, dtype=torch.bool).tril(n - 3)],
                                   lambda q, k, m: F.scaled_dot_product_attention(q, k, k, attn_mask=m)),
    "written_attention": lambda n: ([floats(2, n, 8)], [],
                                    lambda x: torch.softmax((x @ x.mT).masked_fill(torch.ones_like(x @ x.mT).triu(1) > 0, -1e9), -1) @ x),
    "cat": lambda n: ([floats(2, n), floats(2, 1)], [], lambda x, y: [torch.cat([x, y], 1), torch.cat([y.t(), x.t()])]),
    "made_and_joined": lambda n: ([floats(n), floats(3)], [], lambda x, y: torch.cat([x * 2, y * 3, x + 1])),
    "stack": lambda n: ([floats(n), floats(n)], [], lambda x, y: [torch.stack([x, y]), torch.stack([x, y], 1)]),
    "slices": lambda n: ([floats(3, n)], [], lambda x: [x[:, -1], x[:, 1:], x[:, :-2] * 2, x[:, 3:5], x.flip(1)]),
    "reshapes": lambda n: ([floats(4, n, 6)], [], lambda x: [x.flatten(0, 1) * 1, x.transpose(0, 1).reshape(n, 24), x.view(2, 2, n, 6).sum(1)]),
    "rotated": lambda n: ([floats(2, n)], [], lambda x: [x.roll(1, 1), x.roll(-1, 1), x.repeat(2, 3), x.expand(3, 2, n).sum(0)]),
    "padded": lambda n: ([floats(1, 2, n)], [], lambda x: [F.pad(x, (1, 2)), F.pad(x, (2, 1), "reflect"), F.pad(x, (1, 1), "replicate")]),
    "unfolded": lambda n: ([floats(2, n)], [], lambda x: x.unfold(1, 4, 1) * 2),
    "triangles": lambda n: ([floats(n, n)], [], lambda x: [x.tril(), x.triu(1), x.diagonal() * 2]),
    "lookup": lambda n: ([floats(9, 4)], [counted(2, n, below=9)], lambda w, i: F.embedding(i, w)),
    "gathered": lambda n: ([floats(n, 6)], [counted(5, below=17), counted(n, 2, below=6)],
                           lambda x, rows, i: [x[rows], x.index_select(0, rows), x.gather(1, i)]),
    "scattered": lambda n: ([floats(n, 3)], [counted(n, 3, below=7), counted(n, below=5)],
                            lambda x, i, rows: [torch.zeros(n, 7).to(x.device).scatter_add(1, i, x),
                                                torch.zeros(5, 3).to(x.device).index_add(0, rows, x)]),
    "chosen": lambda n: ([floats(2, n)], [floats(2, n) > 0], lambda x, m: [torch.where(m, x, -x), x.masked_fill(m, 2.0), x[m].sum()]),
    "made": lambda n: ([], [floats(n)], lambda x: [torch.arange(n, device=x.device), torch.ones(n, 2, device=x.device),
                                                   torch.eye(n, device=x.device)]),
    "hot": lambda n: ([], [counted(n, below=5)], lambda i: [F.one_hot(i, 5), i.eq(2).any(), (i + n).sum()]),
    "loss": lambda n: ([floats(n, 5)], [counted(n, below=5)], lambda x, t: F.cross_entropy(x, t)),
    "losses": lambda n: ([floats(2, n)], [floats(2, n) * 0.5], lambda x, t: [F.mse_loss(x, t), F.smooth_l1_loss(x, t), F.binary_cross_entropy_with_logits(x, t)]),
    "convolution": lambda n: ([floats(2, 3, n), floats(4, 3, 3), floats(4)], [], lambda x, w, b: F.conv1d(x, w, b, padding=1)),
    "picture": lambda n: ([floats(1, 3, n, 12), floats(4, 3, 3, 3)], [], lambda x, w: F.conv2d(x, w, stride=1)),
    "pools": lambda n: ([floats(1, 2, n, 8)], [], lambda x: [F.max_pool2d(x, 2, 1), F.avg_pool2d(x, 3, 1), F.adaptive_avg_pool2d(x, 1)]),
    "in_place": lambda n: ([], [floats(n, 4), floats(n)], lambda x, y: [x.clone().add_(1).mul_(2), y.clone().fill_(3), x.clone().index_fill_(0, torch.tensor([1]).to(x.device), 4.0)]),
    "written_into": lambda n: ([], [floats(n, 4)], lambda x: written(x, n)),
    "types": lambda n: ([], [floats(2, n)], lambda x: [x.to(torch.bfloat16) * 3, x.to(torch.int64) + n, x.double().sum(1), (x > 0).sum(1)]),
}


def written(x, n):
    y = x.clone()
    y[n - 1] = 5
    y[:, 1] += x[:, 0]
    y[2:4] = y[0:2] * 2
    return y


def run(case, n, device):
    needing, others, function = case(n)
    leaves = [t.to(device).requires_grad_() for t in needing]
    out = function(*leaves, *(t.to(device) for t in others))
    out = list(out) if isinstance(out, (list, tuple)) else [out]
    if leaves:
        sum(o.sin().sum() for o in out).backward()
    return [t.detach().cpu() for t in [*out, *(leaf.grad for leaf in leaves)]]


@pytest.mark.parametrize("name", CASES)
def test_each_length_gives_what_the_cpu_gives(name):
    import moai_torch
    before = moai_torch.stats()["segments_resized"]
    for n in LENGTHS:
        for got, want in zip(run(CASES[name], n, "cuda"), run(CASES[name], n, "cpu"), strict=True):
            tolerance = {} if got.dtype == torch.bfloat16 else dict(rtol=2e-4, atol=2e-4)
            torch.testing.assert_close(got, want, **tolerance)
    assert moai_torch.stats()["segments_resized"] > before + 4
