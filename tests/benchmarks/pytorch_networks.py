"""Gradients and Hessian products of deep networks by automatic differentiation in PyTorch, beside basin-benchmark's.

    python3 pytorch_networks.py PATH/TO/basin-benchmark [--sizes P2,E1,G1,G2] [--kernels softmax,gaussian]

Needs Debian's python3-torch. One thread, double precision, as pytorch_products.py: samples are batched in chunks of the
size that is fastest, the graph of the gradient is built once and used for every product (double backward), the shortest of
several times counts. G2 keeps a graph of about 8 GB.
"""

import torch
from pytorch_products import best_time, compare
from torch.nn import functional

SIZES = {  # samples, tokens, vocabulary, width, heads, depth, width of MLPs, classes (0: words), and chunks to try
    "P2": (32, 256, 257, 64, 2, 2, 128, 2, (32, 8, 2)),
    "E1": (32, 64, 257, 128, 4, 4, 512, 2, (32, 8, 4)),
    "G1": (8, 128, 65, 128, 4, 4, 512, 0, (8, 4, 2)),
    "G2": (4, 256, 65, 384, 6, 6, 1536, 0, (4, 2, 1)),
}


def weights_of(size):
    """Of data/classifier.json (with biases) or data/gpt.json (without, causal, tied), drawn as GPT-2's."""
    _, n, vocabulary, D, _, depth, mlp, classes, _ = SIZES[size]
    bias = classes > 0
    shapes = {"embedding": (vocabulary, D), "positions": (n, D), "norm": (D,)}
    for layer in range(depth):
        shapes |= {f"{layer}.{name}": (D, D) for name in "QKVO"}
        shapes |= {f"{layer}.in": (D, mlp), f"{layer}.out": (mlp, D), f"{layer}.norm1": (D,), f"{layer}.norm2": (D,)}
        if bias:
            shapes |= {f"{layer}.{name}.b": (D,) for name in ("Q", "K", "V", "O", "out", "norm1", "norm2")}
            shapes[f"{layer}.in.b"] = (mlp,)
    if bias:
        shapes |= {"norm.b": (D,), "head": (D, classes), "head.b": (classes,)}
    torch.manual_seed(1)
    return {name: (torch.ones(s) if "norm" in name and not name.endswith(".b") else 0.02 * torch.randn(s)).requires_grad_()
            for name, s in shapes.items()}


def logits(ids, w, size, kernel):
    _, n, _, D, heads, depth, _, classes, _ = SIZES[size]
    linear = lambda x, name: x @ w[name] + w.get(name + ".b", 0)
    norm = lambda x, name: functional.layer_norm(x, (D,), w[name], w.get(name + ".b"))
    hidden = torch.triu(torch.ones(n, n, dtype=torch.bool), 1) if classes == 0 else None
    x = w["embedding"][ids] + w["positions"]
    for layer in range(depth):
        z = norm(x, f"{layer}.norm1")
        Q, K, V = (linear(z, f"{layer}.{name}").view(*z.shape[:2], heads, -1).transpose(1, 2) for name in "QKV")
        scores = Q @ K.transpose(-1, -2)
        if kernel == "gaussian":  # sigma^2 = sqrt(d)
            scores = scores - ((Q * Q).sum(-1)[..., :, None] + (K * K).sum(-1)[..., None, :]) / 2
        scores = scores / Q.shape[-1] ** 0.5
        if hidden is not None:
            scores = scores.masked_fill(hidden, float("-inf"))
        A = torch.softmax(scores, -1) if kernel == "softmax" else torch.exp(scores)
        x = x + linear((A @ V).transpose(1, 2).reshape(z.shape), f"{layer}.O")
        x = x + linear(functional.gelu(linear(norm(x, f"{layer}.norm2"), f"{layer}.in")), f"{layer}.out")
    x = norm(x, "norm")
    return linear(x.mean(1), "head") if classes else (x @ w["embedding"].T).flatten(0, 1)


def times(size, kernel):
    """Seconds of a gradient and of a Hessian product, with the best chunk for each."""
    samples, n, vocabulary, _, _, _, _, classes, chunks = SIZES[size]
    w = weights_of(size)
    all_weights = list(w.values())
    v = [torch.randn_like(p) for p in all_weights]
    ids = torch.randint(vocabulary, (samples, n))
    labels = torch.randint(classes or vocabulary, (samples,) if classes else (samples, n))
    gradient = product = float("inf")
    for chunk in chunks:
        parts = list(zip(ids.split(chunk), labels.split(chunk)))

        def loss(part):
            return functional.cross_entropy(logits(part[0], w, size, kernel), part[1].flatten(), reduction="sum")

        gradient = min(gradient, best_time(lambda: [torch.autograd.grad(loss(p), all_weights) for p in parts]))
        graphs = [torch.autograd.grad(loss(p), all_weights, create_graph=True) for p in parts]
        product = min(product, best_time(lambda: [torch.autograd.grad(g, all_weights, v, retain_graph=True) for g in graphs]))
        del graphs
    return gradient, product


if __name__ == "__main__":
    compare(__doc__, SIZES, times)
