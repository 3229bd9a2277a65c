"""A two-layer encoder twice: through the products that PyTorch makes, and natively. The same numbers.

    PYTHONPATH=build/release/python python3 analysis/examples/anybodys_operator.py

The first way is for any model that can be differentiated twice, known to Basin or not, on any device.
"""
import time

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

import basin

torch.manual_seed(0)
encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True), 2).double().eval()
X, Y = torch.randn(8, 6, 16).double(), torch.randn(8, 6, 16).double()

parameters = list(encoder.parameters())
gradient = parameters_to_vector(torch.autograd.grad(nn.MSELoss()(encoder(X), Y), parameters, create_graph=True))


def hessian(V):
    """Rows (k, P) -> (k, P): double backward, one row after another."""
    return np.stack([parameters_to_vector(torch.autograd.grad(gradient, parameters, torch.from_numpy(v), retain_graph=True))
                     .numpy() for v in V])


start = time.perf_counter()
through = basin.eigenpairs(hessian, len(gradient), largest=3, smallest=3, reference=hessian)  # it is float64 itself
half = time.perf_counter()
point = basin.from_torch(encoder, X, Y, nn.MSELoss())
native = basin.eigenpairs(point.hessian, largest=3, smallest=3)
end = time.perf_counter()

print(through)
print(native)
for one, other in ((through.largest, native.largest), (through.smallest, native.smallest)):
    apart = np.abs(one.values - other.values)
    assert (apart <= one.error_bounds + other.error_bounds).all(), apart
    print(f"{one.end}: {apart.max():.1e} apart, within their bounds")
print(f"{half - start:.1f} s through PyTorch, {end - half:.1f} s natively")
