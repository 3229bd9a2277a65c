"""basin-hessian against NumPy's eigenvalues of a Hessian that is assembled another way."""

import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ToolTest, hessian_product, jacobian, write_problem


class Hessian(ToolTest):
    def dense(self, path, P, *args):
        """The Hessian from basin-evaluate's products with the identity (which its own test checks)."""
        with h5py.File(self.path("identity.h5"), "w") as file:
            file["I"] = np.eye(P)
        self.done("basin-evaluate", path, "-o", "dense.h5", "--overwrite", "--direction", "identity.h5:/I", *args)
        return self.results("dense.h5", "entry/evaluation/hessian_products")

    def test_extreme_pairs_and_full_spectrum(self):
        for kernel in ("softmax", "gaussian"):
            path, problem = self.problem(kernel=kernel, D=7, d=4)
            P = 2 * 3 * 7 * 4 + 2 * 4 * 2
            H = self.dense(path, P)
            self.assertLessEqual(np.linalg.norm(H - H.T), 1e-12 * np.linalg.norm(H))
            v = np.random.default_rng(0).standard_normal(P)
            self.assertLessEqual(np.linalg.norm(H @ v - hessian_product(problem, v)), 1e-8 * np.linalg.norm(H @ v))
            expected = np.linalg.eigvalsh((H + H.T) / 2)
            norm = np.abs(expected).max()
            out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--largest", 3, "--smallest", 4, "--full", "--eigenvectors")
            self.assertTrue(out.startswith("negative curvature in the Hessian: the smallest eigenvalue is -"), out)
            with h5py.File(self.path("r.h5")) as file:
                for name, values in (("largest", expected[::-1][:3]), ("smallest", expected[:4]), ("spectrum", expected)):
                    group = file["entry"][name]
                    self.assertEqual(group["eigenvalue"].shape, values.shape)
                    slack = 1e-13 * norm  # of the reference
                    self.assertTrue((np.abs(group["eigenvalue"][()] - values) <= group["eigenvalue_errors"][()] + slack).all())
                    self.assertTrue((group["eigenvalue_errors"][()] <= 2e-10 * norm).all())
                    self.assertTrue(group["converged"][()].all())
                    X, lam = group["eigenvectors"][()], group["eigenvalue"][()]
                    residual = np.linalg.norm(X @ H - lam[:, None] * X, axis=1)
                    self.assertTrue((np.abs(residual - group["residual"][()]) <= 1e-12 * norm).all())
                    self.assertTrue(np.allclose(np.linalg.norm(X, axis=1), 1, atol=1e-13))
                self.assertEqual(file["entry"].attrs["default"], "spectrum")
                self.assertIn("complete", file["entry/spectrum"].attrs["completeness"])
                self.assertIn("Spectra", file["entry/largest"].attrs["method"])
                self.assertGreater(file["entry/largest"].attrs["products"], 20)

    def test_gauss_newton_is_semidefinite(self):
        path, problem = self.problem(D=7, d=4)
        J = jacobian(problem, BLOCKS)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--operator", "gauss-newton", "--largest", 2, "--smallest", 2)
        self.assertTrue(out.startswith("no negative curvature beyond the error bound in the Gauss-Newton matrix: the smallest eigenvalue found is "), out)
        values, errors = self.results("r.h5", "entry/largest/eigenvalue", "entry/largest/eigenvalue_errors")
        expected = np.linalg.svd(J, compute_uv=False)[:2] ** 2
        self.assertTrue((np.abs(values - expected) <= errors + 1e-13 * expected[0]).all())
        values, errors = self.results("r.h5", "entry/smallest/eigenvalue", "entry/smallest/eigenvalue_errors")
        # zero is a repeated eigenvalue; one start vector is only sure to find it once
        self.assertLessEqual(abs(values[0]), errors[0])

    def test_positive_definite_hessians_are_called_so(self):
        # W_V alone is a linear model; 12 parameters, 24 outputs
        path, _ = self.problem(D=3, d=2, H=2, D_out=2)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--train", "W_V", "--full")
        self.assertTrue(out.startswith("the Hessian is positive definite: the smallest eigenvalue is "), out)
        self.assertIn("0 negative, 0 not distinguishable from zero", out)
        with h5py.File(self.path("r.h5")) as file:
            self.assertNotIn("eigenvectors", file["entry/spectrum"])
            self.assertNotIn("residual", file["entry/spectrum"])

    def test_not_converging_is_said(self):
        path, _ = self.problem(N=8, n=8, D=32, d=8)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--smallest", 3, "--max-restarts", 1, "--tolerance", 1e-14)
        self.assertIn("not converged: ", out)
        with h5py.File(self.path("r.h5")) as file:
            group = file["entry/smallest"]
            self.assertEqual((group.attrs["requested"], group["eigenvalue"].size), (3, 3))
            self.assertFalse(group["converged"][()].all())

    def test_a_loose_tolerance_claims_no_sign(self):
        # W_V alone: positive definite, but a tolerance of 1e-3 |H| cannot show it
        path, _ = self.problem(N=16, n=8, D=32, d=8, D_out=8)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--train", "W_V", "--smallest", 1, "--tolerance", 1e-3)
        self.assertTrue(out.startswith("no negative curvature beyond the error bound in the Hessian: the smallest eigenvalue found is "), out)
        out = self.done("basin-hessian", path, "-o", "f.h5", "--train", "W_V", "--full")
        self.assertTrue(out.startswith("the Hessian is positive definite: the smallest eigenvalue is "), out)

    def test_a_sign_that_is_all_rounding_is_not_claimed(self):
        # One parameter, where J^T J and the residual part cancel to the last digit: H is about 1e-17, from terms of 1.
        path, problem = self.problem(N=1, n=2, D=1, H=1, d=1, D_out=1, seed=3)
        rows = {}
        for y in (0.0, 1.0):  # H is affine in a common shift of the targets
            problem["Y"][:] = [[[0.3 + y], [0.1]]]
            write_problem(path, problem)
            self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--train", "W_Q", "--full")
            rows[y] = self.results("r.h5", "entry/spectrum/eigenvalue")[0]
        problem["Y"][:] = [[[0.3 - rows[0.0] / (rows[1.0] - rows[0.0])], [0.1]]]
        write_problem(path, problem)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--train", "W_Q", "--full")
        self.assertTrue(out.startswith("no negative curvature beyond the error bound in the Hessian"), out)
        value, bound = self.results("r.h5", "entry/spectrum/eigenvalue", "entry/spectrum/eigenvalue_errors")
        self.assertLess(bound[0], 1e-13 * abs(rows[1.0] - rows[0.0]) + 1e-14)

    def test_same_bits_for_every_number_of_threads(self):
        path, _ = self.problem(N=40, n=30, D=6)
        reference = None
        for threads in (1, 2, 7):
            self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--largest", 2, "--smallest", 2, "--threads", threads)
            found = np.concatenate(self.results("r.h5", "entry/largest/eigenvalue", "entry/smallest/eigenvalue"))
            reference = found if reference is None else reference
            self.assertTrue(np.array_equal(found, reference))

    def test_bad_options(self):
        path, _ = self.problem()
        for args, message in (([], "nothing to compute"), (["--largest", 103], "--largest 103: expected 1 to P = 102"),
                              (["--smallest", -1], "--smallest -1"), (["--full", "--memory", "50k"], "--full with P = 102 needs 166 kB"),
                              (["--largest", 60, "--memory", "50k"], "--largest with P = 102 needs 375 kB"),
                              (["--full", "--tolerance", 0.1], "--tolerance: without effect"),
                              (["--largest", 1, "--operator", "fisher"], "--operator fisher: expected hessian or gauss-newton"),
                              (["--largest", 1, "--tolerance", 0], "--tolerance"), (["--largest", "many"], "many"),
                              (["--largest", 1, "--max-restarts", 0], "--max-restarts")):
            self.refused(2, message, "basin-hessian", path, "-o", "r.h5", *args)
        self.no_leftovers("problem.h5")

    @unittest.skipUnless(ORACLES.is_dir(), "the oracles are not here")
    def test_oracles_of_automatic_differentiation(self):
        for name in ("tiny_softmax_all.h5", "tiny_gaussian_all.h5"):
            self.done("basin-hessian", ORACLES / name, "-o", name, "--full", "--largest", 5)
            with h5py.File(ORACLES / name) as oracle:
                expected = np.sort(oracle["oracle/hessian_eigenvalues"][()])
            norm = np.abs(expected).max()
            full, few = self.results(name, "entry/spectrum/eigenvalue", "entry/largest/eigenvalue")
            self.assertLessEqual(np.abs(full - expected).max(), 1e-13 * norm)
            self.assertLessEqual(np.abs(few - expected[::-1][:5]).max(), 1e-13 * norm)


if __name__ == "__main__":
    unittest.main()
