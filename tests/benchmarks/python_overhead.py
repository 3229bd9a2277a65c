"""What it costs to call a Python operator: time per product, and memory of large blocks.

    PYTHONPATH=build/release/python python3 tests/benchmarks/python_overhead.py

Prints the median over 1000 calls, one vector of 1000 numbers each, of an operator that returns its input; and the most
memory that the process had before and after a block of 8 vectors of 10^7 numbers went through one, with `out=`.
"""
import resource
import statistics
import time

import numpy as np

import basin

SIZE, LARGE = 1000, 10_000_000


def peak():
    """Megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


operator, v = basin.Operator(lambda V: V, SIZE), np.ones((1, SIZE))
times = []
for _ in range(1200):
    start = time.perf_counter()
    operator.apply(v)
    times.append(time.perf_counter() - start)
print(f"{1e6 * statistics.median(times[200:]):.1f} microseconds a call (size {SIZE}, one vector)")

V = np.ones((8, LARGE))
large = basin.Operator(lambda V, out: np.copyto(out, V), LARGE, out=True)
before = peak()
W = large.apply(V)
print(f"{before:.0f} MB before, {peak():.0f} MB after a block of {V.nbytes / 2**20:.0f} MB, whose products are as large")
