"""A PyTorch module to its spectrum: is the loss at this point curved downwards anywhere, and how sharp is it?

    PYTHONPATH=build/release/python python3 analysis/examples/module_spectrum.py
"""
import torch
from torch import nn

import basin

torch.manual_seed(0)
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True), 2).eval()
X, Y = torch.randn(8, 6, 16), torch.randn(8, 6, 16)

point = basin.from_torch(encoder, X, Y, nn.MSELoss())  # compared with the module's own loss in float64
print(point)
print(f"loss {point.loss:.6f}, |gradient| {(point.gradient ** 2).sum() ** 0.5:.6f}")

spectrum = basin.hessian(point, largest=3, smallest=3, density=True)
print(spectrum)  # the verdict first
print(basin.hessian(point.with_trainable("*.attention.*"), per_block=True).per_block.columns()["largest"])
