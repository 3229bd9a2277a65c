"""Verdicts of basin-stationary against sixty digits: where Newton's method goes from the ends, and what is there."""

import os
import unittest

import h5py
import numpy as np
from support import BLOCKS, ToolTest, jacobian, many_runs, random_problem, write_problem

try:
    import sixty_digits
except ImportError:  # without mpmath
    sixty_digits = None

ALL = "W_Q,W_K,W_V,W_O"
# N, n, D, H, d, D_out, trained, gain of queries and keys
SHAPES = (
    (2, 3, 2, 2, 2, 2, "W_Q,W_K", 1), (2, 3, 6, 1, 1, 1, "W_Q,W_K", 2), (3, 3, 4, 1, 1, 2, "W_Q", 1), (2, 3, 3, 1, 2, 2, "W_V,W_O", 1),
    (4, 3, 2, 1, 1, 2, ALL, 1), (3, 3, 2, 1, 2, 2, "W_Q,W_K,W_V", 1), (3, 2, 3, 2, 1, 2, "W_K,W_O", 3), (2, 4, 3, 1, 1, 1, "W_Q,W_K", 0.5),
    (4, 2, 3, 2, 1, 1, "W_Q", 4), (3, 3, 2, 1, 1, 2, "W_K,W_V", 2), (5, 2, 2, 1, 1, 2, ALL, 3), (2, 3, 2, 2, 1, 2, "W_Q,W_K,W_O", 1),
)


class Ends:
    """Where the starts of one problem ended, beside what sixty digits say of these points."""

    def __init__(self, problem, blocks, path):
        with h5py.File(path) as file:
            self.rows = {name: data[()] for name, data in file["entry/starts"].items()}
        sizes = np.cumsum([problem["weights"][name].size for name in BLOCKS])[:-1]
        self.judged = []
        for weights in self.rows["weights"]:
            parts = np.split(weights, sizes)
            there = {name: part.reshape(problem["weights"][name].shape) for name, part in zip(BLOCKS, parts)}
            self.judged.append(sixty_digits.judge(dict(problem, weights=there), blocks) if np.isfinite(weights).all() else None)

    def __iter__(self):
        for i, judged in enumerate(self.judged):
            if judged is not None:
                yield {name: values[i] for name, values in self.rows.items()}, judged


@many_runs
@unittest.skipUnless(sixty_digits, "needs mpmath")
class Verdicts(ToolTest):
    NEAR = 1e-3  # relative to |theta|

    def ends(self, kernel, shape, starts, seed=0, options=()):
        N, n, D, H, d, D_out, train, gain = shape
        problem = random_problem(N=N, n=n, D=D, H=H, d=d, D_out=D_out, kernel=kernel, seed=seed)
        for name in ("W_Q", "W_K"):
            problem["weights"][name] *= gain
        write_problem(self.path("p.h5"), problem)
        gains = [argument for name in ("W_Q", "W_K") if name in train.split(",") for argument in ("--gain", f"{name}={gain}")]
        self.done("basin-stationary", "p.h5", "-o", "c.h5", "--overwrite", "--train", train, "--starts", starts, "--seed", seed,
                  "--steps", 1000, "--check-return", 0, *gains, *options)
        return Ends(problem, train.split(","), self.path("c.h5"))

    def check(self, ends, counts):
        """No minimum that is none, no valley or degenerate point at a minimum, the index of saddles."""
        for row, judged in ends:
            if row["kind_code"] != 0 and row["symmetry_modes"] != judged.modes:  # a block has collapsed: another slice
                counts["other modes"] = counts.get("other modes", 0) + 1
                continue
            kind, text = row["kind_code"], f"{row['description'].decode()}\n{judged}"
            near = judged.converged and judged.distance <= self.NEAR
            counts[kind] = counts.get(kind, 0) + 1
            if kind == 1:
                self.assertTrue(near and judged.is_minimum, text)
                self.assertLessEqual(abs(judged.loss - row["loss"]), row["loss_error"] * (1 + 1e-6) + 1e-300, text)
                self.assertLessEqual(judged.distance * row["norm"], 2 * row["newton_step"] + 10 * row["gradient_rounding"] / row["smallest_eigenvalue"], text)
            elif kind == 2:
                least, most = row["negative"], row["negative"] + row["undecided"] + row["uncounted"]
                if row["zero"] + row["uncounted"] == 0:
                    self.assertTrue(near, text)
                if near:
                    self.assertTrue(least <= judged.negative <= most, text)
            elif kind in (3, 4):
                self.assertFalse(near and judged.is_minimum, text)
            elif kind == 5 and near:
                counts["missed"] = counts.get("missed", 0) + 1
            if near and kind != 0 and row["counts_exact"]:
                self.assertLessEqual(row["positive"], judged.positive, text)
        return counts

    @many_runs
    def test_a_few_ends_in_sixty_digits(self):
        counts = {}
        for kernel in ("softmax", "gaussian"):
            for k, shape in enumerate(SHAPES[1:3]):
                self.check(self.ends(kernel, shape, 2, seed=k, options=("--search", "both")), counts)
        self.assertGreater(counts.get(1, 0) + counts.get(2, 0), 3)

    @unittest.skipUnless(os.environ.get("BASIN_LONG"), "long")
    def test_hundreds_of_ends_in_sixty_digits(self):
        counts = {}
        for seed in range(int(os.environ["BASIN_LONG"] or 1)):
            for kernel in ("softmax", "gaussian"):
                for k, shape in enumerate(SHAPES):
                    for search, starts in (("minima", 12), ("saddles", 6)):
                        self.check(self.ends(kernel, shape, starts, seed=100 * seed + k, options=("--search", search)), counts)
        print(counts)
        total = sum(counts.get(kind, 0) for kind in range(6))
        self.assertGreater(total, 200)
        self.assertGreater(counts.get(1, 0), 50)
        self.assertGreater(counts.get(2, 0), 20)
        self.assertLessEqual(counts.get("missed", 0), 0.02 * total)


class Counts(ToolTest):
    """What is printed as counted was counted."""

    def row(self, *options):
        self.text = self.done("basin-stationary", "p.h5", "-o", "c.h5", "--overwrite", "--at", "p.h5", *options)
        with h5py.File(self.path("c.h5")) as file:
            return {name: data[0] for name, data in file["entry/starts"].items()}

    def test_at_zero_loss_the_rank_of_the_jacobian_counts(self):
        """No more than m eigenvalues of J^T J are positive, whatever fits in memory."""
        for kernel in ("softmax", "gaussian"):
            self.done("basin-problem", "teacher", "-o", "t.h5", "--overwrite", "-N", 2, "-n", 3, "-D", 8, "-H", 2, "-d", 3, "--outputs", 2,
                      "--target-kernel", kernel, "--kernel", kernel)
            with h5py.File(self.path("t.h5")) as file:
                problem = {"X": file["data/X"][()], "Y": file["data/Y"][()], "kernel": kernel, "sigma": None,
                           "weights": {name: file["teacher/" + name][()] for name in BLOCKS}}
            write_problem(self.path("p.h5"), problem)
            rank = np.linalg.matrix_rank(jacobian(problem), tol=1e-9)
            for limit in (0, 8000):
                row = self.row("--dense-limit", limit)
                self.assertEqual(row["kind_code"], 0)
                self.assertEqual((row["negative"], row["positive"]), (0, rank))
                self.assertEqual(row["zero"], problem["weights"]["W_Q"].size * 3 + problem["weights"]["W_O"].size - row["symmetry_modes"] - rank)
                self.assertIn(f"0 negative, {int(row['zero'])} zero and {rank} positive eigenvalues", self.text)

    def test_every_verdict_says_how_far_the_point_is(self):
        self.done("basin-problem", "construct", "softmax-trap", "-o", "p.h5")
        for train in ("W_Q", "W_Q,W_K"):
            row = self.row("--train", train)
            for name in ("gradient_norm", "gradient_rounding", "gradient_scale", "newton_step", "newton_contraction"):
                self.assertTrue(np.isfinite(row[name]), name)
            self.assertRegex(self.text, r"\|grad f\| = 0 \(rounding [0-9.]+e-14\), Newton step 0, ")
