"""How sharp is the loss along a training run, beside 2 / step, where gradient descent becomes unstable?

    PYTHONPATH=build/release/python python3 analysis/examples/sharpness_in_training.py [PICTURE.png]

The loop is PyTorch's own; every 25 steps its module becomes a point.
"""
import sys

import torch
from torch import nn

import basin

STEP = 1.0
torch.manual_seed(0)
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, dropout=0.0), 1)
X, Y = torch.randn(16, 4, 8), torch.randn(16, 4, 8)
optimizer = torch.optim.SGD(encoder.parameters(), lr=STEP)

steps, sharpness = [], []
for step in range(301):
    loss = nn.MSELoss()(encoder(X), Y)
    if step % 25 == 0:
        point = basin.from_torch(encoder, X, Y, nn.MSELoss())
        largest = basin.eigenpairs(point.hessian, largest=1).largest
        steps.append(step)
        sharpness.append(largest.values[0])
        print(f"step {step:3}: loss {loss.item():.4f}, largest eigenvalue {largest.values[0]:.6f} +- {largest.error_bounds[0]:.1e}"
              f" ({'above' if largest.values[0] > 2 / STEP else 'below'} 2 / step = {2 / STEP:.2f})")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

if len(sys.argv) > 1:
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.plot(steps, sharpness, "o-", label="largest eigenvalue of the Hessian")
    plt.axhline(2 / STEP, color="grey", linestyle="--", label="2 / step")
    plt.xlabel("step")
    plt.legend()
    plt.savefig(sys.argv[1])
