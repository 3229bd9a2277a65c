"""basin-ntk against NumPy's singular values."""

import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ToolTest, jacobian


class Ntk(ToolTest):
    def check(self, file, name, J):
        group = file["entry/ntk_" + name]
        m = J.shape[0]
        expected = np.zeros(m)
        s = np.linalg.svd(J, compute_uv=False)
        expected[: s.size] = s
        found = group["singular_value"][()]
        self.assertLessEqual(np.abs(found - expected).max(), group["singular_value_error"][()] + 1e-14 * s[0])
        self.assertTrue(np.array_equal(group["eigenvalue"][()], found**2))
        self.assertLessEqual(np.abs(found - expected).max(), 1e-13 * s[0])
        self.assertTrue((group["lower"][()] <= found**2).all() and (group["upper"][()] >= found**2).all())
        self.assertTrue((group["lower"][()] >= 0).all())

    def test_every_block_and_the_sum(self):
        for kernel in ("softmax", "gaussian"):
            for blocks in (BLOCKS, ("W_K", "W_V"), ("W_O",)):
                path, problem = self.problem(kernel=kernel, D=9, d=4)
                self.done("basin-ntk", path, "-o", "r.h5", "--overwrite", "--train", ",".join(blocks))
                with h5py.File(self.path("r.h5")) as file:
                    J = jacobian(problem, blocks)
                    self.check(file, "sum", J)
                    start = 0
                    for name in blocks:
                        size = problem["weights"][name].size
                        self.check(file, name, J[:, start : start + size])
                        start += size
                    self.assertNotIn("ntk_W_Q" if "W_Q" not in blocks else "ntk_W_X", file["entry"])
                    summary = file["entry/summary"]
                    self.assertEqual([b.decode() for b in summary["block"]], [*blocks, "sum"])
                    s = np.linalg.svd(J, compute_uv=False)
                    rank = np.linalg.matrix_rank(J)
                    self.assertEqual(summary["rank"][-1], rank)
                    self.assertEqual(summary["size"][-1], J.shape[0])
                    self.assertEqual(summary["positive_definite"][-1], rank == J.shape[0])
                    self.assertAlmostEqual(summary["lambda_max"][-1], s[0] ** 2, delta=1e-12 * s[0] ** 2)
                    if rank == J.shape[0]:
                        self.assertAlmostEqual(summary["condition_number"][-1] / (s[0] / s[-1]) ** 2, 1, delta=1e-9)
                    else:
                        self.assertEqual(summary["condition_number"][-1], np.inf)

    def test_verdict_in_words(self):
        path, _ = self.problem(N=2, n=2, D=8, d=4)
        self.assertIn("NTK of the trained blocks is positive definite: lambda_min = ", self.done("basin-ntk", path, "-o", "a.h5"))
        out = self.done("basin-ntk", path, "-o", "b.h5", "--train", "W_O", "--heads", 1, "--head-dim", 1, "--init", "xavier")
        self.assertIn("singular, having only 2 parameters: rank 2 of 8, lambda_min <= 0", out)

    def test_what_does_not_fit_is_refused_with_its_memory(self):
        path, _ = self.problem(N=20, n=10)
        self.refused(2, "m = 400 outputs and P = 102 parameters needs 3.54 MB, --memory allows 1 MB", "basin-ntk", path, "-o", "r.h5", "--memory", "1M")
        self.no_leftovers("problem.h5")

    def test_opens_as_a_plot(self):
        path, _ = self.problem()
        self.done("basin-ntk", path, "-o", "r.h5")
        with h5py.File(self.path("r.h5")) as file:
            group = file[file.attrs["default"]]
            group = group[group.attrs["default"]]
            self.assertEqual(group.attrs["NX_class"], "NXdata")
            self.assertEqual(list(group.attrs["axes"]), ["index"])
            for signal in (group.attrs["signal"], *group.attrs["auxiliary_signals"]):
                self.assertEqual(group[signal].shape, group["index"].shape)

    @unittest.skipUnless(ORACLES.is_dir(), "the oracles are not here")
    def test_oracles_of_automatic_differentiation(self):
        for name in ("tiny_softmax_all.h5", "tiny_gaussian_all.h5"):
            self.done("basin-ntk", ORACLES / name, "-o", name)
            with h5py.File(ORACLES / name) as oracle, h5py.File(self.path(name)) as result:
                for ours, theirs in (("sum", "total"), *((b, b) for b in BLOCKS)):
                    expected = np.sort(oracle["oracle/ntk_eigenvalues"][theirs][()])[::-1]
                    found = result["entry/ntk_" + ours + "/eigenvalue"][()]
                    # the oracle's are eigenvalues of a formed kernel: right to eps times the largest
                    self.assertLessEqual(np.abs(found - expected).max(), 1e-14 * expected[0])


if __name__ == "__main__":
    unittest.main()
