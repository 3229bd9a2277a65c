"""The same gradients and Hessian products by automatic differentiation in PyTorch, beside basin-benchmark's.

    python3 pytorch_products.py PATH/TO/basin-benchmark [--sizes S,M,X] [--kernels softmax,gaussian]

Needs Debian's python3-torch. One thread, double precision. PyTorch does its best: samples are batched, the
graph of the gradient is built once and used for every product (double backward), samples are cut into chunks of the
size that is fastest, and the shortest of several times counts. Size L keeps a graph of about 10 GB.
"""

import argparse
import json
import subprocess
import time

import torch

SIZES = {  # N, n, D, H, d, D_out and numbers of samples in a chunk to try
    "S": (16, 8, 32, 2, 8, 8, (16,)),
    "M": (64, 32, 128, 4, 16, 16, (64, 16, 4)),
    "L": (256, 128, 256, 4, 64, 64, (32, 8, 2)),
    "X": (16, 1024, 64, 2, 32, 8, (4, 1)),
}


def outputs(X, W_Q, W_K, W_V, W_O, kernel):
    """F(X), shape (samples, n, D_out)."""
    Q, K, V = (X[:, None] @ W for W in (W_Q, W_K, W_V))  # (samples, H, n, d)
    d = Q.shape[-1]
    scores = Q @ K.transpose(-1, -2)
    if kernel == "softmax":
        A = torch.softmax(scores / d**0.5, dim=-1)
    else:  # sigma^2 = sqrt(d)
        squares = (Q * Q).sum(-1)[..., :, None] + (K * K).sum(-1)[..., None, :]
        A = torch.exp((scores - squares / 2) / d**0.5)
    return (A @ V @ W_O).sum(1)


def problem(size):
    N, n, D, H, d, D_out, _ = SIZES[size]
    torch.manual_seed(1)
    X, Y = torch.randn(N, n, D), torch.randn(N, n, D_out)
    shapes = [(H, D, d)] * 3 + [(H, d, D_out)]
    weights = [(torch.randn(s) / s[-2] ** 0.5).requires_grad_() for s in shapes]
    return X, Y, weights


def best_time(work, seconds=3.0):
    work()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds or best == float("inf"):
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return best


def times(size, kernel):
    """Seconds of a gradient and of a Hessian product, with the best chunk for each."""
    X, Y, weights = problem(size)
    v = [torch.randn_like(w) for w in weights]
    gradient = product = float("inf")
    for chunk in SIZES[size][-1]:
        parts = list(zip(X.split(chunk), Y.split(chunk)))

        def loss(part):
            return 0.5 * ((outputs(part[0], *weights, kernel) - part[1]) ** 2).sum()

        def all_gradients():
            return [torch.autograd.grad(loss(p), weights) for p in parts]

        gradient = min(gradient, best_time(all_gradients))
        graphs = [torch.autograd.grad(loss(p), weights, create_graph=True) for p in parts]

        def all_products():
            return [torch.autograd.grad(g, weights, v, retain_graph=True) for g in graphs]

        product = min(product, best_time(all_products))
        del graphs
    return gradient, product


def compare(text, sizes, times):
    """The command line of a comparison: a table of both programs' times. times(size, kernel) gives PyTorch's, in seconds."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="the program basin-benchmark")
    parser.add_argument("--sizes", default=",".join(sizes))
    parser.add_argument("--kernels", default="softmax,gaussian")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    print(f"{'size':5}{'kernel':10}{'work':18}{'PyTorch ms':>12}{'Basin ms':>12}{'ratio':>8}")
    for size in options.sizes.split(","):
        for kernel in options.kernels.split(","):
            pattern = f"^(gradient|hessian)/{size}/{kernel}/"
            out = subprocess.run([options.benchmark, f"--benchmark_filter={pattern}", "--benchmark_format=json"],
                                 check=True, capture_output=True, text=True).stdout
            basin = {b["name"].split("/")[0]: b["real_time"] for b in json.loads(out)["benchmarks"]}
            for work, seconds in zip(("gradient", "hessian"), times(size, kernel)):
                name = "Hessian product" if work == "hessian" else work
                print(f"{size:5}{kernel:10}{name:18}{1e3 * seconds:12.3f}{basin[work]:12.3f}"
                      f"{1e3 * seconds / basin[work]:8.2f}", flush=True)


if __name__ == "__main__":
    compare(__doc__, SIZES, times)
