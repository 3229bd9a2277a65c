"""A 51 x 51 slice beside a loop of forward passes in PyTorch over the same grid, both timed in one run.

    python3 pytorch_slice.py PATH/TO/basin-benchmark [--sizes S,M,X] [--kernels softmax,gaussian]

Needs Debian's python3-torch. One thread, double precision, processor time. PyTorch does its best: no gradients, samples
batched in chunks of the size that is fastest, the shortest time of a point counts, times the 2601 points. Basin's time
is that of the whole slice, with what is computed once for it.
"""

import argparse
import json
import subprocess
import time

import torch
from pytorch_products import SIZES, outputs, problem

POINTS = 51 * 51


def seconds_of_a_point(size, kernel):
    X, Y, theta = problem(size)
    u, v = ([torch.randn_like(w) for w in theta] for _ in range(2))
    best = float("inf")
    with torch.no_grad():
        for chunk in SIZES[size][-1]:
            parts = list(zip(X.split(chunk), Y.split(chunk)))
            start, point = time.process_time(), 0
            while time.process_time() - start < 3 or point < 2:
                before, a, b = time.process_time(), point % 51 / 25 - 1, point // 51 % 51 / 25 - 1
                moved = [w + a * du + b * dv for w, du, dv in zip(theta, u, v)]
                sum(float(0.5 * ((outputs(x, *moved, kernel) - y) ** 2).sum()) for x, y in parts)
                best = min(best, time.process_time() - before)
                point += 1
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", help="the program basin-benchmark")
    parser.add_argument("--sizes", default="S,M,L,X")
    parser.add_argument("--kernels", default="softmax,gaussian")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    print(f"{'size':5}{'kernel':10}{'PyTorch s':>12}{'Basin s':>10}{'ratio':>8}")
    for size in options.sizes.split(","):
        for kernel in options.kernels.split(","):
            command = [options.benchmark, f"--benchmark_filter=^slice/{size}/{kernel}", "--benchmark_format=json"]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            basin = json.loads(out)["benchmarks"][0]["cpu_time"] / 1e3
            loop = POINTS * seconds_of_a_point(size, kernel)
            print(f"{size:5}{kernel:10}{loop:12.3f}{basin:10.4f}{loop / basin:8.1f}", flush=True)


if __name__ == "__main__":
    main()
