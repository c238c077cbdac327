"""A small transformer that trains on sequences of 8, 9, 10, ... tokens. usage: shape_worker.py cpu|cuda THREADS"""
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import harness

device, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
net = nn.Sequential(nn.Embedding(100, 64), nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), nn.Linear(64, 100)).to(device)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
length = 8


def steps(count):
    global length
    begin = time.perf_counter()
    for _ in range(count):
        tokens = torch.randint(0, 100, (4, length)).to(device)
        length += 1
        loss = F.cross_entropy(net(tokens).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return time.perf_counter() - begin


harness.serve_commands(steps=steps)
