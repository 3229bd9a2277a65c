"""The spectrum of a Hessian with PyTorch's automatic differentiation, beside basin-hessian.

    python3 pytorch_hessian.py FOLDER/OF/THE/TOOLS [--sizes S,M,L] [--kernel softmax] [--pairs 5] [--probes 10] [--steps 60]

Needs Debian's python3-torch. The same work on both sides, with the same numbers of threads: the largest and smallest eigenvalues
by Lanczos to a relative residual of 1e-10, and the nodes of a density by Lanczos quadrature. PyTorch does its best: double
precision, samples batched (no Python loop over samples beyond the chunks that memory asks for), the graph of the gradient built
once and used for every product (double backward). Its Lanczos is plain, with full reorthogonalisation and no restarts; it stops at
the first convergence and looks neither for missed copies nor for error bounds. Basin's time is that of the whole tool, files,
error bounds and the search for missed eigenvalues included.
"""

import argparse
import pathlib
import subprocess
import tempfile
import time

import h5py
import numpy as np
import torch
from pytorch_products import SIZES, outputs

CHUNK = {"S": 16, "M": 64, "L": 32, "X": 4}


class Hessian:
    """Products with the Hessian of the loss; the graph of the gradient is built once."""

    def __init__(self, path, chunk):
        with h5py.File(path) as file:
            X, Y = (torch.tensor(file["data"][name][()]) for name in "XY")
            self.weights = [torch.tensor(file["parameters"][name][()], requires_grad=True) for name in ("W_Q", "W_K", "W_V", "W_O")]
            kernel = file["parameters"].attrs["kernel"]
        self.size = sum(w.numel() for w in self.weights)
        self.products = 0
        self.graphs = []
        for x, y in zip(X.split(chunk), Y.split(chunk)):
            loss = 0.5 * ((outputs(x, *self.weights, kernel) - y) ** 2).sum()
            self.graphs.append(torch.autograd.grad(loss, self.weights, create_graph=True))

    def __call__(self, v):
        self.products += 1
        parts = [p.reshape(w.shape) for p, w in zip(v.split([w.numel() for w in self.weights]), self.weights)]
        total = torch.zeros(self.size)
        for graph in self.graphs:
            product = torch.autograd.grad(graph, self.weights, parts, retain_graph=True)
            total += torch.cat([p.reshape(-1) for p in product])
        return total


def lanczos(A, steps, pairs=0, seed=0, tolerance=1e-10):
    """Full reorthogonalisation; until `pairs` at both ends have converged, if there are any, or `steps`. The eigenvalues of
    T and the squares of the first components of its eigenvectors."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(A.size, generator=generator)
    V = torch.empty(steps + 1, A.size)
    V[0] = v / v.norm()
    alpha, beta = [], []
    for j in range(steps):
        w = A(V[j])
        alpha.append(float(V[j] @ w))
        for _ in range(2):
            w -= V[: j + 1].T @ (V[: j + 1] @ w)
        beta.append(float(w.norm()))
        V[j + 1] = w / beta[-1]
        if pairs and j % 5 == 4 and j > 2 * pairs:
            values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
            residuals = beta[-1] * np.abs(vectors[-1])
            ends = np.concatenate((residuals[:pairs], residuals[-pairs:]))
            if ends.max() <= tolerance * np.abs(values).max():
                break
    values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta[:-1], 1) + np.diag(beta[:-1], -1))
    return values, vectors[0] ** 2


def basin(tools, problem, result, *options):
    """Seconds of basin-hessian."""
    start = time.perf_counter()
    subprocess.run([tools / "basin-hessian", problem, "-o", result, "--overwrite", "--quiet", *map(str, options)], check=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", type=pathlib.Path, help="the folder with basin-problem and basin-hessian")
    parser.add_argument("--sizes", default="S,M")
    parser.add_argument("--kernel", default="softmax")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--probes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--most", type=int, default=400, help="most Lanczos steps of PyTorch for the ends")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_default_dtype(torch.float64)
    print(f"{'size':5}{'work':22}{'PyTorch s':>11}{'products':>10}{'Basin s':>10}{'products':>10}{'ratio':>8}{'agreement':>12}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for size in options.sizes.split(","):
            N, n, D, H, d, D_out, _ = SIZES[size]
            problem, result = folder / "problem.h5", folder / "result.h5"
            subprocess.run([options.tools / "basin-problem", "teacher", "-o", problem, "--overwrite", "--quiet", "-N", str(N), "-n", str(n),
                            "-D", str(D), "-H", str(H), "-d", str(d), "--outputs", str(D_out), "--kernel", options.kernel], check=True)
            start = time.perf_counter()
            A = Hessian(problem, CHUNK[size])
            built = time.perf_counter() - start

            start = time.perf_counter()
            values, _ = lanczos(A, options.most, options.pairs)
            ends, products = built + time.perf_counter() - start, A.products
            seconds = basin(options.tools, problem, result, "--largest", options.pairs, "--smallest", options.pairs,
                            "--threads", options.threads)
            with h5py.File(result) as file:
                ours = np.concatenate((file["entry/smallest/eigenvalue"][()], file["entry/largest/eigenvalue"][()][::-1]))
                spent = int(file["entry/smallest"].attrs["products"])  # of both ends
            theirs = np.concatenate((values[: options.pairs], values[-options.pairs:]))
            off = np.abs(ours - theirs).max() / np.abs(ours).max()
            print(f"{size:5}{'ends':22}{ends:11.2f}{products:10}{seconds:10.2f}{spent:10}{ends / seconds:8.1f}{off:12.1e}", flush=True)

            start, A.products = time.perf_counter(), 0
            rules = [lanczos(A, options.steps, seed=1 + probe) for probe in range(options.probes)]
            density = built + time.perf_counter() - start
            seconds = basin(options.tools, problem, result, "--density", "--probes", options.probes, "--steps", options.steps,
                            "--threads", options.threads)
            with h5py.File(result) as file:
                spent = int(file["entry/quadrature"].attrs["products"])
                mean = np.nansum(file["entry/quadrature/nodes"][()] * file["entry/quadrature/weights"][()]) / options.probes
            theirs = np.mean([nodes @ weights for nodes, weights in rules])
            print(f"{size:5}{'density':22}{density:11.2f}{A.products:10}{seconds:10.2f}{spent:10}{density / seconds:8.1f}"
                  f"{abs(mean - theirs) / abs(theirs):12.1e}", flush=True)


if __name__ == "__main__":
    main()
