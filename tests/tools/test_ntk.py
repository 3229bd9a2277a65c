"""basin-ntk against NumPy's singular values."""

import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ToolTest, jacobian, run, write_problem


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
        self.assertIn("singular, having only 2 parameters: rank 2 of 8, lambda_min = 0, lambda_max", out)

    def test_what_does_not_fit_is_refused_with_its_memory(self):
        path, _ = self.problem(N=20, n=10)
        self.refused(2, "m = 400 outputs and P = 102 parameters needs 4.11 MB, --memory allows 1 MB", "basin-ntk", path, "-o", "r.h5", "--memory", "1M", "--method", "singular-values")
        self.no_leftovers("problem.h5")

    def test_three_ways_to_the_smallest_eigenvalue(self):
        path, problem = self.problem(N=5, n=3, D=20, d=5)
        J = jacobian(problem, BLOCKS)
        expected = np.linalg.svd(J, compute_uv=False)
        for method in ("singular-values", "formed", "matrix-free"):
            out = self.done("basin-ntk", path, "-o", "r.h5", "--overwrite", "--method", method)
            with h5py.File(self.path("r.h5")) as file:
                summary = {k: v[()][-1] for k, v in file["entry/summary"].items()}
                self.assertEqual(file["entry/provenance/options/method"].asstr()[()], method)
                self.assertEqual("entry/ntk" in file, method == "singular-values")
                self.assertEqual("entry/matrix_free" in file, method == "matrix-free")
            self.assertLessEqual(abs(summary["lambda_min"] / expected[-1] ** 2 - 1), 2e-3 if method == "matrix-free" else 1e-6)
            self.assertLessEqual(summary["lambda_min_lower"], expected[-1] ** 2 * (1 + 1e-9))
            self.assertGreaterEqual(summary["lambda_min_upper"], expected[-1] ** 2 * (1 - 1e-9))
            if method == "matrix-free":
                self.assertIn("that none is smaller is not proven by products", out)

    def test_conditions_bounds_and_reasons(self):
        path, problem = self.problem(N=4, n=3, D=15, d=3)  # X has full row rank
        self.done("basin-ntk", path, "-o", "r.h5", "--kernels", "unions")
        with h5py.File(self.path("r.h5")) as file:
            entry = file["entry"]
            names = entry["summary/block"].asstr()[()].tolist()
            self.assertEqual(len(names), 15)
            self.assertEqual((names[:4], names[-1]), (list(BLOCKS), "sum"))
            self.assertEqual(entry["inputs/rank_X"][()], np.linalg.matrix_rank(problem["X"].reshape(12, 15)))
            table = {k: (v.asstr()[()] if v.dtype.kind == "O" else v[()]) for k, v in entry["conditions"].items()}
            self.assertTrue(np.array_equal(table["holds"] != 0, table["measured"] >= table["threshold"]))
            self.assertTrue(all((remedy == "") == bool(holds) for remedy, holds in zip(table["remedy"], table["holds"])))
            blocks = {name: (BLOCKS if name == "sum" else name.split(",")) for name in names}
            for block, value, share in zip(entry["bounds/block"].asstr()[()], entry["bounds/value"][()], entry["bounds/share_of_lambda_min"][()]):
                s = np.linalg.svd(jacobian(problem, blocks[block]), compute_uv=False)
                smallest = s[-1] ** 2 if s.size == problem["Y"].size else 0
                self.assertLessEqual(value, smallest * (1 + 1e-9) + 1e-24)
                self.assertLessEqual(share, 1 + 1e-9)
            row = list(zip(table["block"], table["name"])).index(("W_O", "width"))
            self.assertEqual((table["measured"][row], table["threshold"][row], table["role"][row]), (problem["weights"]["W_O"].shape[0] * 3, 12, "necessary"))
            self.assertIn("H d >= N n fails", entry["summary/reason"].asstr()[3])

    def test_certificate_and_what_it_takes(self):
        path, problem = self.problem(N=2, n=2, D=6, d=3)
        out = self.done("basin-ntk", path, "-o", "r.h5", "--train", "W_V", "--suggest")
        self.assertIn("gradient descent with step", out)  # F is linear in W_V: nothing can go wrong
        with h5py.File(self.path("r.h5")) as file:
            c = {k: v[()] for k, v in file["entry/certificate"].items()}
            self.assertEqual((c["passes"], c["curvature"], c["deviation"]), (1, 0, 0))
            s = np.linalg.svd(jacobian(problem, ("W_V",)), compute_uv=False)
            self.assertAlmostEqual(c["sigma_min"], s[-1], delta=1e-9 * s[0])
            self.assertAlmostEqual(c["step"] * s[0] ** 2, 1, delta=1e-9)
        out = self.done("basin-ntk", path, "-o", "r.h5", "--overwrite")
        self.assertIn("convergence of gradient descent is not proven: |r_0| = ", out)
        with h5py.File(self.path("r.h5")) as file:
            c = file["entry/certificate"]
            self.assertEqual(c["passes"][()], 0)
            self.assertAlmostEqual(c["margin"][()] * c["residual_norm"][()] / c["largest_residual"][()], 1, delta=1e-12)

    def test_assertions(self):
        path, _ = self.problem(N=2, n=2, D=8, H=2, d=4, D_out=1)
        self.done("basin-ntk", path, "-o", "yes.h5", "--assert", "positive-definite")
        process = run("basin-ntk", path, "-o", "no.h5", "--assert", "positive-definite,certified", cwd=self.folder)
        self.assertEqual(process.returncode, 3)
        self.assertIn("is not proven", process.stdout)
        self.assertEqual(process.stderr.splitlines()[-1], "basin-ntk: --assert certified: does not hold")
        self.assertEqual(self.results("no.h5", "entry/certificate/passes"), 0)  # the result is there
        self.refused(2, "--assert convex: found 'convex'; expected certified or positive-definite", "basin-ntk", path, "-o", "x.h5", "--assert", "convex")

    def far(self, W_Q=50.0):
        """One token, x = 1, whose key is 0: Gaussian attention exp(-W_Q^2 / 2), J = exp(-W_Q^2 / 2) (-W_Q, W_Q, 1, 1)."""
        one = np.ones((1, 1, 1))
        write_problem(self.path("far.h5"), {"X": one, "Y": one, "kernel": "gaussian", "sigma": 1.0,
                                            "weights": {"W_Q": W_Q * one, "W_K": 0 * one, "W_V": one, "W_O": one}})
        return self.path("far.h5")

    def test_kernels_that_underflow_are_not_singular(self):
        for method in ("auto", "formed", "singular-values", "matrix-free"):
            out = self.done("basin-ntk", self.far(), "-o", "r.h5", "--overwrite", "--method", method, "--kernels", "unions")
            self.assertRegex(out, r"positive definite in theory only: 4\.5\d+e-1083 <= lambda_min <= 2\.\d+e-308, the lower bound by conditions")
            self.assertIn("below rounding of lambda_max, gradient descent in double precision cannot see it", out)
            self.assertIn("the NTK's lambda_min underflows", out)
            with h5py.File(self.path("r.h5")) as file:
                summary = {k: (v.asstr() if v.dtype.kind == "O" else v)[()] for k, v in file["entry/summary"].items()}
                bounds = file["entry/bounds/value_log10"][()]
            for name in ("lambda_min_upper", "lambda_max_upper", "proven_upper_bound"):
                self.assertTrue((summary[name] > 0).all(), (method, name))
            self.assertTrue((summary["lambda_min_lower"] == 0).all())
            self.assertEqual(set(summary["verdict"]), {"in theory only"})
            self.assertEqual(set(summary["definiteness"]), {2})
            self.assertFalse(summary["positive_definite"].any())
            W_O = summary["block"].tolist().index("W_O")
            exact = -2500 / np.log(10)
            self.assertLessEqual(summary["lambda_min_lower_log10"][W_O], exact)
            self.assertAlmostEqual(summary["lambda_min_lower_log10"][W_O], exact, delta=1e-8)
            self.assertTrue(np.isfinite(bounds).all())
        out = self.done("basin-ntk", self.far(10.0), "-o", "r.h5", "--overwrite")  # 1e-43 times (100, 100, 1, 1)
        self.assertIn("NTK of the trained blocks is positive definite: lambda_min = 7.5", out)

    def test_positive_definite_means_above_rounding_of_the_largest_eigenvalue(self):
        """K_O = diag(1, t^2): with t = 1e-10 its digits are known, and gradient descent cannot see it."""
        for t, code, verdict in ((1e-6, 0, "positive definite: lambda_min = 1e-12"), (1e-10, 3, "positive definite in theory only: lambda_min = 1e-20")):
            one = np.ones((1, 2, 2))
            write_problem(self.path("p.h5"), {"X": np.array([[[1.0, 0]], [[0, t]]]), "Y": np.ones((2, 1, 1)), "kernel": "softmax", "sigma": None,
                                              "weights": {"W_Q": one, "W_K": one, "W_V": np.eye(2)[None], "W_O": np.ones((1, 2, 1))}})
            for method in ("auto", "formed", "singular-values"):
                process = run("basin-ntk", "p.h5", "-o", "r.h5", "--overwrite", "--train", "W_O", "--method", method, "--assert", "positive-definite", cwd=self.folder)
                self.assertEqual(process.returncode, code, process.stdout + process.stderr)
                self.assertIn(verdict, process.stdout)

    def test_zeros_make_singular_kernels_exactly(self):
        path, problem = self.problem(N=2, n=2, D=8, d=4, D_out=1)
        problem["weights"]["W_O"][:] = 0
        write_problem(path, problem)
        out = self.done("basin-ntk", path, "-o", "r.h5")
        self.assertIn("W_V alone: singular: rank 0 of 4, lambda_min = 0", out)
        verdicts, upper = self.results("r.h5", "entry/summary/verdict", "entry/summary/lambda_min_upper")
        self.assertEqual([v.decode() for v in verdicts], ["singular"] * 3 + ["positive definite"] * 2)
        self.assertEqual((upper > 0).tolist(), [False] * 3 + [True] * 2)

    def test_impossible_ways_are_refused(self):
        path, _ = self.problem(N=20, n=10)
        for method in ("dense", "formed", "singular-values"):
            self.refused(2, f"--method {method} with m = 400 outputs and P = 102 parameters needs", "basin-ntk", path, "-o", "r.h5", "--memory", "1M", "--method", method)
        self.refused(2, "--memory allows 1 kB", "basin-ntk", path, "-o", "r.h5", "--memory", "1k")
        self.refused(2, "--method best: expected auto, dense, formed, singular-values or matrix-free", "basin-ntk", path, "-o", "r.h5", "--method", "best")
        self.refused(2, "--max-products 0: expected a positive number", "basin-ntk", path, "-o", "r.h5", "--method", "matrix-free", "--max-products", "0")
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
