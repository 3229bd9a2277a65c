"""basin-hessian against NumPy's eigenvalues of a Hessian that is assembled another way."""

import itertools
import shutil
import unittest
from decimal import Decimal, localcontext

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ToolTest, hessian_product, jacobian, write_problem, many_runs, run


def numbers(path):
    """All numbers of a result but those that say how it was made, as bytes."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()})
                        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and "provenance" not in name else None)
    return found


def restricted(matrix, tangents):
    """The matrix on the complement of the columns of `tangents`, in coordinates of that."""
    left, values, _ = np.linalg.svd(tangents)
    rest = left[:, np.count_nonzero(values > 1e-10 * values[0]):]
    return rest.T @ matrix @ rest


def gauge_tangents(weights):
    """Directions in which softmax attention does not change, (P, 4 H d^2 / 2): W_Q M, -W_K M^T and W_V M, -M W_O."""
    columns = []
    for h, i, j in np.ndindex(weights["W_Q"].shape[0], weights["W_Q"].shape[2], weights["W_Q"].shape[2]):
        M = np.zeros((weights["W_Q"].shape[2],) * 2)
        M[i, j] = 1
        for blocks in ({"W_Q": weights["W_Q"][h] @ M, "W_K": -weights["W_K"][h] @ M.T}, {"W_V": weights["W_V"][h] @ M, "W_O": -M @ weights["W_O"][h]}):
            tangent = {name: np.zeros_like(weights[name]) for name in BLOCKS}
            for name, values in blocks.items():
                tangent[name][h] = values
            columns.append(np.concatenate([tangent[name].ravel() for name in BLOCKS]))
    return np.array(columns).T


def balanced(weights):
    """The same products W_Q W_K^T and W_V W_O of factors with equal Gram matrices."""
    moved = {name: values.copy() for name, values in weights.items()}
    for first, second in (("W_Q", "W_K"), ("W_V", "W_O")):
        for h in range(weights[first].shape[0]):
            other = weights[second][h].T if second == "W_K" else weights[second][h]
            U, s, V = np.linalg.svd(weights[first][h] @ other)
            d = weights[first].shape[2]
            moved[first][h] = U[:, :d] * np.sqrt(s[:d])
            right = np.sqrt(s[:d])[:, None] * V[:d]
            moved[second][h] = right.T if second == "W_K" else right
    return moved


def hessian_parts_in_decimals(problem, digits=110):
    """H and G = J^T J (P, P) of a softmax problem with d = 1 or 4, exact to some 30 digits, as Decimals: differences in
    steps of 1e-25, the fourth order of which is 1e-50."""
    with localcontext() as context:
        context.prec = digits
        exact = np.vectorize(Decimal, otypes=[object])
        X, Y = exact(problem["X"]), exact(problem["Y"])
        theta = exact(np.concatenate([problem["weights"][name].ravel() for name in BLOCKS]))
        shapes = [problem["weights"][name].shape for name in BLOCKS]
        root = Decimal(shapes[0][2]).sqrt()
        exp = np.vectorize(Decimal.exp, otypes=[object])

        def outputs(theta):
            parts = np.split(theta, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
            W = [part.reshape(shape) for part, shape in zip(parts, shapes)]
            F = 0
            for Q, K, V, O in zip(*W):
                for_heads = []
                for x in X:
                    scores = (x @ Q) @ (x @ K).T / root
                    A = exp(scores - scores.max(axis=1)[:, None])
                    for_heads.append((A / A.sum(axis=1)[:, None]) @ (x @ V) @ O)
                F = F + np.array(for_heads)
            return F.ravel()

        h = Decimal(10) ** -25
        unit = np.array([[h if i == j else Decimal(0) for j in range(theta.size)] for i in range(theta.size)], object)
        J = np.array([(outputs(theta + e) - outputs(theta - e)) / (2 * h) for e in unit]).T
        r = outputs(theta) - Y.ravel()
        H = J.T @ J
        R = np.empty_like(H)
        for a, b in itertools.combinations_with_replacement(range(theta.size), 2):
            second = sum(sign * outputs(theta + s * unit[a] + t * unit[b]) for s, t, sign in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)))
            R[a, b] = R[b, a] = (r @ second) / (4 * h * h)
        return H + R, H


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
            out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--full", "--eigenvectors")
            self.done("basin-hessian", path, "-o", "ends.h5", "--overwrite", "--largest", 3, "--smallest", 4, "--eigenvectors", "--dense-limit", 0)
            self.done("basin-hessian", path, "-o", "both.h5", "--overwrite", "--largest", 3, "--smallest", 4, "--full")
            self.assertTrue(out.startswith("negative curvature in the Hessian: the steepest, -"), out)
            with h5py.File(self.path("r.h5")) as file, h5py.File(self.path("ends.h5")) as ends, h5py.File(self.path("both.h5")) as both:
                for name, values in (("largest", expected[::-1][:3]), ("smallest", expected[:4]), ("spectrum", expected)):
                    group = (file if name == "spectrum" else ends)["entry"][name]
                    self.assertTrue(np.allclose(both["entry"][name]["eigenvalue"][()], values, rtol=0, atol=1e-13 * norm))
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
                self.assertIn("Spectra", ends["entry/largest"].attrs["method"])
                self.assertGreater(ends["entry/largest"].attrs["products"], 20)
                self.assertEqual(both["entry/largest"].attrs["products"], both["entry/spectrum"].attrs["products"])  # no others

    @many_runs
    def test_long_factorisations_are_announced(self):
        """They report nothing while they run."""
        for size, times in ((42, 2), (10, 0)):  # P = 2048 and 512
            self.done("basin-problem", "teacher", "-o", f"{size}.h5", "-N", 2, "-n", 2, "-D", size, "-H", 2, "-d", 8, "--outputs", 2)
            process = run("basin-hessian", f"{size}.h5", "-o", f"{size}-h.h5", "--counts", cwd=self.folder)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertEqual(process.stderr.count("two factorisations of the assembled matrix"), times, process.stderr)

    def test_gauss_newton_is_semidefinite(self):
        path, problem = self.problem(D=7, d=4)
        J = jacobian(problem, BLOCKS)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--operator", "gauss-newton", "--largest", 2, "--smallest", 2, "--dense-limit", 0)
        self.assertTrue(out.startswith("no negative curvature in the Gauss-Newton matrix: it is J^T J; "), out)
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
        self.assertTrue(out.startswith("the Hessian is positive definite: the smallest eigenvalue, "), out)
        self.assertIn("0 negative, 0 not distinguishable from zero", out)
        with h5py.File(self.path("r.h5")) as file:
            self.assertNotIn("eigenvectors", file["entry/spectrum"])
            self.assertNotIn("residual", file["entry/spectrum"])

    def test_assertions(self):
        path, _ = self.problem()
        self.done("basin-hessian", path, "-o", "G.h5", "--operator", "gauss-newton", "--counts", "--assert", "no-negative-curvature,converged")
        process = run("basin-hessian", path, "-o", "H.h5", "--counts", "--assert", "no-negative-curvature", cwd=self.folder)
        self.assertEqual((process.returncode, process.stderr), (3, "basin-hessian: --assert no-negative-curvature: does not hold\n"))
        self.assertGreater(self.results("H.h5", "entry/counts/negative")[0], 0)

    def test_not_converging_is_said(self):
        # many zeros, and next to them eigenvalues that crowd
        path, _ = self.problem(N=16, n=8, D=32, d=8, D_out=8)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--smallest", 3, "--max-restarts", 1, "--operator", "gauss-newton")
        self.assertIn("not converged: ", out)
        with h5py.File(self.path("r.h5")) as file:
            group = file["entry/smallest"]
            self.assertEqual((group.attrs["requested"], group["eigenvalue"].size), (3, 3))
            self.assertFalse(group["converged"][()].all())
            self.assertGreaterEqual(group["eigenvalue"][0], -group["eigenvalue_errors"][0])

    def test_a_loose_tolerance_claims_no_sign(self):
        # W_V alone: positive definite, but a tolerance of 1e-3 |H| cannot show it
        path, _ = self.problem(N=16, n=8, D=32, d=8, D_out=8)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--train", "W_V", "--smallest", 1, "--tolerance", 1e-3, "--dense-limit", 0)
        self.assertTrue(out.startswith("no negative curvature beyond the error bound in the Hessian: the smallest eigenvalue found, "), out)
        out = self.done("basin-hessian", path, "-o", "f.h5", "--train", "W_V", "--full")
        self.assertTrue(out.startswith("the Hessian is positive definite: the smallest eigenvalue, "), out)

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
        self.assertTrue(out.startswith("the Hessian is zero in double precision: every eigenvalue is within "), out)
        value, bound = self.results("r.h5", "entry/spectrum/eigenvalue", "entry/spectrum/eigenvalue_errors")
        self.assertLess(bound[0], 1e-13 * abs(rows[1.0] - rows[0.0]) + 1e-14)

    def symmetric_problem(self, **options):
        """A problem small enough to be dense, its Hessian, and theta's blocks."""
        path, problem = self.problem(N=6, n=4, D=6, H=2, d=3, D_out=4, **options)
        P = 3 * 2 * 6 * 3 + 2 * 3 * 4
        H = self.dense(path, P)
        return path, problem, (H + H.T) / 2

    def test_counts_modulo_symmetries(self):
        for kernel, modes in (("softmax", 2 * 9 + 2 * 9), ("gaussian", 2 * 3 + 2 * 9)):
            path, _, H = self.symmetric_problem(kernel=kernel)
            expected = np.linalg.eigvalsh(H)
            out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--counts")
            self.assertIn(f"= {modes} symmetry modes + 0 further zero + ", out)
            with h5py.File(self.path("r.h5")) as file:
                counts, symmetries = file["entry/counts"], file["entry/symmetries"]
                self.assertEqual([t.decode() for t in counts["of"][()]], ["whole", "modulo symmetries"])
                self.assertEqual(list(counts["symmetry"][()]), [0, modes])
                self.assertEqual(symmetries["total"][()], modes)
                self.assertEqual(symmetries["generic_count"][()], modes)
                tolerance = counts["tolerance"][0]
                self.assertEqual(counts["negative"][0], np.count_nonzero(expected < -tolerance))
                self.assertEqual(counts["positive"][0], np.count_nonzero(expected > tolerance))
                sums = sum(counts[name][()] for name in ("symmetry", "zero", "negative", "positive"))
                self.assertEqual(list(sums), [len(expected)] * 2)
                dense = counts["negative"][1]
            # The same from the smallest eigenvalues alone.
            out = self.done("basin-hessian", path, "-o", "k.h5", "--overwrite", "--counts", "--dense-limit", 1, "--smallest", 132 - modes,
                            "--modulo-symmetries")
            self.assertEqual(self.results("k.h5", "entry/counts/negative")[0], dense)

    def generated(self, name, *args):
        """A problem of basin-problem, by its path."""
        self.done("basin-problem", "teacher", "-o", name, *args)
        return self.path(name)

    def test_a_zero_hessian_has_no_negative_curvature(self):
        shape = ["-N", 4, "-n", 4, "-D", 4, "-H", 2, "-d", 2, "--outputs", 2]
        for i, gain in enumerate((["--gain", "W_O=0"], ["--gain", "W_Q=1e5"])):
            path = self.generated(f"zero{i}.h5", *shape, *gain)
            for more in ([], ["--dense-limit", 0]):
                out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--train", "W_Q,W_K", "--counts", *more)
                self.assertRegex(out, "^the Hessian (modulo symmetries (at the balanced point )?)?is zero in double precision: every eigenvalue (seen )?is within [1-9][0-9.]*e-[0-9]+ of 0; ")
                self.assertEqual(list(self.results("r.h5", "entry/counts/negative")), [0] * len(self.results("r.h5", "entry/counts/negative")))

    def test_a_verdict_speaks_of_one_matrix(self):
        # One token, all weights 1, no targets: the loss is (v o)^2 / 2 with Hessian ((1, 2), (2, 1)), eigenvalues -1 and 3
        path, problem = self.problem(N=1, n=1, D=1, H=1, d=1, D_out=1)
        problem["X"][:], problem["Y"][:] = 1, 0
        for weights in problem["weights"].values():
            weights[:] = 1
        write_problem(path, problem)
        run = ["basin-hessian", path, "-o", "r.h5", "--overwrite", "--train", "W_V,W_O"]
        whole, restricted = (np.array(values) * 1.0 for values in ((-1, 3), (3,)))
        out = self.done(*run, "--smallest", 1, "--modulo-symmetries")
        value = self.results("r.h5", "entry/smallest/eigenvalue")[0]
        scale = value / 3
        self.assertTrue(out.startswith("the Hessian modulo symmetries is positive definite: the smallest eigenvalue, "), out)
        self.assertIn("\nsmallest eigenvalues of the Hessian modulo symmetries (", out)
        with h5py.File(self.path("r.h5")) as file:
            self.assertEqual(file["entry/smallest"].attrs["symmetry"], 1)
            self.assertIn("modulo symmetries", file["entry/smallest/title"][()].decode())
            self.assertTrue(np.allclose(file["entry/smallest/eigenvalue"][()], scale * restricted))
        out = self.done(*run, "--smallest", 2, "--counts")
        self.assertTrue(np.allclose(self.results("r.h5", "entry/smallest/eigenvalue"), scale * whole))
        self.assertRegex(out.splitlines()[0], r"^negative curvature in the Hessian, 1 of 2 directions: the steepest, -\S+ \+- \S+, is 0.33 of the largest eigenvalue, "
                         r"\S+ \(modulo symmetries there is none\); ")
        out = self.done(*run, "--density", "--modulo-symmetries")
        self.assertIn("density of the Hessian modulo symmetries (", out)

    def test_directions_that_are_all_symmetries(self):
        path, problem = self.problem(N=3, n=1, D=2, H=1, d=2, D_out=1)  # one token: softmax is 1, whatever the scores
        for more in ([], ["--dense-limit", 0]):
            out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--train", "W_Q,W_K", "--counts", *more)
            self.assertRegex(out, r"^(no curvature in the Hessian modulo symmetries: all 8 directions are symmetries; |"
                                  r"the Hessian is zero in double precision: every eigenvalue (seen )?is within \S+ of 0; )")
            self.assertIn("= 8 symmetry modes + 0 further zero + 0 negative + 0 positive", out)

    @many_runs
    def test_counts_of_krylov_spaces_are_exact_only_when_they_can_be(self):
        path = self.generated("t.h5")
        self.done("basin-hessian", path, "-o", "d.h5", "--operator", "gauss-newton", "--counts")
        zeros = self.results("d.h5", "entry/counts/zero")[-1]
        out = self.done("basin-hessian", path, "-o", "k.h5", "--operator", "gauss-newton", "--counts", "--dense-limit", 0, "--tolerance", 1e-5)
        exact, found = self.results("k.h5", "entry/counts/zero_exact", "entry/counts/zero")
        self.assertTrue(exact[0] == 0 or found[0] == zeros, out)
        self.assertIn("at least", out)

    def test_tolerances_below_rounding_claim_no_sign(self):
        path, _ = self.problem(D=7, d=4)
        out = self.done("basin-hessian", path, "-o", "r.h5", "--operator", "gauss-newton", "--counts", "--count-tolerance", 1e-30)
        self.assertIn("raised from 1e-30 to the rounding", out)
        self.assertEqual(set(self.results("r.h5", "entry/counts/negative")), {0})

    def test_verdicts_of_densities(self):
        path = self.generated("t.h5")
        out = self.done("basin-hessian", path, "-o", "r.h5", "--density", "--probes", 1, "--steps", 2)
        lowest = self.results("r.h5", "entry/quadrature/nodes").min()
        self.assertLess(lowest, 0)
        self.assertTrue(out.startswith("negative curvature in the Hessian: an eigenvalue is -"), out)
        out = self.done("basin-hessian", path, "-o", "g.h5", "--operator", "gauss-newton", "--density", "--probes", 1, "--steps", 2)
        self.assertTrue(out.startswith("no negative curvature in the Gauss-Newton matrix: it is J^T J"), out)
        self.assertIn("no eigenvalue of J^T J is below 0", out)
        self.assertEqual(list(self.results("g.h5", "entry/negative_mass/share", "entry/negative_mass/upper")), [0, 0])

    def test_what_overflows_is_named(self):
        path, problem = self.problem()
        problem["weights"]["W_Q"][0, 0, 0] = 1e160
        write_problem(path, problem)
        self.refused(1, "squares of the entries of W_Q overflow", "basin-hessian", path, "-o", "r.h5", "--counts")

    def test_parts_blocks_and_norms(self):
        path, problem, H = self.symmetric_problem()
        J = jacobian(problem, BLOCKS)
        matrices = {"": H, "parts/gauss-newton/": J.T @ J, "parts/residual/": H - J.T @ J}
        norm = np.linalg.norm(H, 2)
        sizes = [36, 36, 36, 24]
        starts = np.cumsum([0] + sizes)
        for full in (True, False):
            self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--operator", "all", "--norms", "--largest", 2, "--norm-probes", 40,
                      *(["--full"] if full else []))
            with h5py.File(self.path("r.h5")) as file:
                for prefix, A in matrices.items():
                    group = file["entry/" + prefix]
                    if full:
                        self.assertLessEqual(np.abs(group["spectrum/eigenvalue"][()] - np.linalg.eigvalsh(A)).max(), 1e-12 * norm)
                    trace, error = group["traces/trace"][()], group["traces/trace_error"][()]
                    self.assertLessEqual(abs(trace - np.trace(A)), (1 if full else 2) * error + 1e-12 * norm)  # of the reference
                    frobenius, error = group["traces/frobenius"][()], group["traces/frobenius_error"][()]
                    self.assertLessEqual(abs(frobenius - np.linalg.norm(A)), (1 if full else 2) * error + 1e-12 * norm)
                    self.assertEqual(group["traces"].attrs["errors"].split(":")[0], "bounded" if full else "estimated")
                    for a in range(4):
                        for b in range(4):
                            expected = np.linalg.norm(A[starts[a]:starts[a + 1], starts[b]:starts[b + 1]])
                            found, error = group["block_norms/frobenius"][a, b], group["block_norms/frobenius_errors"][a, b]
                            self.assertLessEqual(abs(found - expected), (1 if full else 2) * error + 1e-12 * norm)
                            self.assertGreater(error, 0)
        for i, block in enumerate(BLOCKS):
            self.done("basin-hessian", path, "-o", "b.h5", "--overwrite", "--block", block, "--full")
            expected = np.linalg.eigvalsh(H[starts[i]:starts[i + 1], starts[i]:starts[i + 1]])
            self.assertLessEqual(np.abs(self.results("b.h5", "entry/spectrum/eigenvalue") - expected).max(), 1e-12 * norm)

    def test_density(self):
        path, _, H = self.symmetric_problem()
        out = self.done("basin-hessian", path, "-o", "r.h5", "--density", "--probes", 8, "--steps", 30)
        self.assertIn("density of the Hessian (240 products): ", out)
        expected = np.linalg.eigvalsh(H)
        with h5py.File(self.path("r.h5")) as file:
            cumulative, quadrature = file["entry/cumulative"], file["entry/quadrature"]
            self.assertEqual(quadrature["nodes"].shape, (8, 30))
            self.assertTrue(np.allclose(quadrature["weights"][()].sum(axis=1), 1, atol=1e-12))
            grid, lower, upper = (cumulative[name][()] for name in ("eigenvalue", "lower", "upper"))
            share = (expected[:, None] < grid).mean(axis=0)
            inside = (lower <= share + 1e-12) & (share <= upper + 1e-12)
            self.assertGreaterEqual(inside.mean(), 0.95)
            density = file["entry/density"]
            self.assertAlmostEqual(np.trapz(density["density"][()], density["eigenvalue"][()]), 1, places=2)
            mass = {name: file["entry/negative_mass"][name][()] for name in ("lower", "share", "upper")}
            self.assertLessEqual(mass["lower"], (expected < 0).mean())
            self.assertGreaterEqual(mass["upper"], (expected < 0).mean())

    def references(self, path, problem, P):
        """Spectra, ascending, of all matrices by their names, and the whole matrices."""
        whole, modulo = self.matrices(path, problem, P)
        spectra = {name: np.linalg.eigvalsh(A) for name, A in whole.items()}
        spectra.update((f"{name} modulo symmetries", np.linalg.eigvalsh(A)) for name, A in modulo.items())
        there = problem | {"weights": balanced(problem["weights"])}
        write_problem(self.path("balanced.h5"), there)
        _, modulo = self.matrices(self.path("balanced.h5"), there, P)
        spectra.update((f"{name} modulo symmetries at the balanced point", np.linalg.eigvalsh(A)) for name, A in modulo.items())
        return spectra, whole

    def matrices(self, path, problem, P):
        """By their names, as they are and modulo symmetries."""
        H = self.dense(path, P)
        J = jacobian(problem, BLOCKS)
        whole = {"Hessian": (H + H.T) / 2, "Gauss-Newton matrix": J.T @ J, "residual part": (H + H.T) / 2 - J.T @ J}
        tangents = gauge_tangents(problem["weights"])
        return whole, {name: restricted(A, tangents) for name, A in whole.items()}

    def check_names(self, group, spectra, whole, norm):
        """Every number in the group of a matrix is that of the matrix it is said to be of; the names that occur."""
        names = set()

        def name_of(part):
            names.add(part.attrs["matrix"])
            return part.attrs["matrix"]

        for end, cut in (("largest", lambda values, k: values[::-1][:k]), ("smallest", lambda values, k: values[:k]), ("spectrum", lambda values, k: values)):
            if end in group:
                values = group[end]["eigenvalue"][()]
                expected = cut(spectra[name_of(group[end])], values.size)
                self.assertEqual(values.shape, expected.shape)
                self.assertLessEqual(np.abs(values - expected).max(), 1e-12 * norm)
                self.assertIn("eigenvalues of the " + name_of(group[end]), group[end]["title"].asstr()[()])
        if "counts" in group:
            for name, size, symmetry, negative, tolerance in zip(*(group["counts"][key][()] for key in ("matrix", "size", "symmetry", "negative", "tolerance"))):
                self.assertEqual(size - symmetry, spectra[name.decode()].size)
                self.assertEqual(negative, np.count_nonzero(spectra[name.decode()] < -tolerance))
        if "density" in group:
            name = name_of(group["quadrature"])
            self.assertEqual(group["quadrature"].attrs["size"], spectra[name].size)
            for part in ("density", "density_symlog", "cumulative", "negative_mass", "resolved_mass"):
                self.assertEqual(name_of(group[part]), name)
            for part in ("density", "density_symlog", "cumulative"):
                self.assertIn(" of the " + name, group[part]["title"].asstr()[()])
            for part in ("negative_mass", "resolved_mass"):
                below, lower, upper = (group[part][key][()] for key in ("below", "lower", "upper"))
                self.assertTrue(lower - 1e-12 <= (spectra[name] < below).mean() <= upper + 1e-12, part)
            grid, lower, upper = (group["cumulative"][key][()] for key in ("eigenvalue", "lower", "upper"))
            share = (spectra[name][:, None] < grid).mean(axis=0)
            clear = np.abs(grid) > 1e-10 * norm  # where rounding does not decide
            self.assertGreaterEqual(((lower - 1e-12 <= share) & (share <= upper + 1e-12))[clear].mean(), 0.95)
        if "traces" in group:
            name = name_of(group["traces"])
            chance = 2 if group["traces"].attrs["errors"].startswith("estimated") else 1
            self.assertLessEqual(abs(group["traces/trace"][()] - np.trace(whole[name])), chance * group["traces/trace_error"][()] + 1e-12 * norm)
            self.assertIn("of the " + name_of(group["block_norms"]), group["block_norms/title"].asstr()[()])
        return names

    @many_runs
    def test_every_number_is_that_of_the_matrix_it_names(self):
        path, problem = self.problem(N=3, n=3, D=4, H=1, d=2, D_out=2)
        P = 3 * 4 * 2 + 2 * 2
        spectra, whole = self.references(path, problem, P)
        norm = np.abs(spectra["Hessian"]).max()
        wishes = {"largest": ["--largest", 2], "smallest": ["--smallest", 2], "counts": ["--counts"], "full": ["--full"],
                  "density": ["--density", "--probes", 20, "--steps", 12], "norms": ["--norms"]}
        densities = {}
        for pair in itertools.combinations(wishes, 2):
            for modulo in (False, True):
                if modulo and not {"largest", "smallest", "full", "density"}.intersection(pair):
                    continue
                with self.subTest(pair, modulo=modulo):
                    out = self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--operator", "all", *wishes[pair[0]], *wishes[pair[1]],
                                    *(["--modulo-symmetries"] if modulo else []))
                    asked = " modulo symmetries" if modulo else ""
                    with h5py.File(self.path("r.h5")) as file:
                        for prefix, matrix in (("", "Hessian"), ("parts/gauss-newton", "Gauss-Newton matrix"), ("parts/residual", "residual part")):
                            group = file["entry"][prefix] if prefix else file["entry"]
                            names = self.check_names(group, spectra, whole, norm)
                            self.assertLessEqual(names, {matrix + asked} | ({matrix} if "norms" in pair else set()))
                            self.assertEqual(group["ends"].attrs["matrix"], matrix + asked)
                            for end, beyond in (("smallest", -1), ("largest", 1)):
                                value, error = group[f"ends/{end}"][()], group[f"ends/{end}_error"][()] + 1e-12 * norm
                                expected = spectra[matrix + asked][0 if beyond < 0 else -1]
                                if group[f"ends/{end}_known"].asstr()[()] == "found":
                                    self.assertLessEqual(abs(value - expected), error)
                                else:
                                    self.assertGreaterEqual(beyond * expected, beyond * value - error)
                            if "density" in pair:  # whatever else was asked for
                                nodes = group["quadrature/nodes"][()]
                                self.assertTrue(np.array_equal(densities.setdefault(matrix + asked, nodes), nodes))
                    # Each line that holds a result says of what.
                    heads = [line for line in out.splitlines()[1:] if not line.startswith((" ", "at loss", "softmax")) and "symmetry modes:" not in line]
                    for line in heads:
                        self.assertRegex(line, "(Hessian|Gauss-Newton matrix|residual part)" + (asked if "norm" not in line and "signs" not in line else ""))
                    self.assertIn(f"in the Hessian{asked}", out.splitlines()[0])

    def test_a_block_is_named(self):
        path, problem, H = self.symmetric_problem()
        out = self.done("basin-hessian", path, "-o", "b.h5", "--block", "W_V", "--largest", 1, "--density", "--counts", "--norms")
        expected = np.linalg.eigvalsh(H[72:108, 72:108])
        with h5py.File(self.path("b.h5")) as file:
            for part in ("largest", "density", "cumulative", "negative_mass", "traces", "block_norms", "ends"):
                self.assertEqual(file["entry"][part].attrs["matrix"], "W_V block of the Hessian")
            self.assertEqual(file["entry/block"].asstr()[()], "W_V")
            self.assertIn("W_V block of the Hessian", file["entry/title"].asstr()[()])
            self.assertEqual(file["entry/counts/negative"][0], np.count_nonzero(expected < -file["entry/counts/tolerance"][0]))
        self.done("basin-hessian", path, "-o", "two.h5", "--block", "W_V,W_O", "--full")
        np.testing.assert_allclose(self.results("two.h5", "entry/spectrum/eigenvalue"), np.linalg.eigvalsh(H[72:, 72:]), atol=1e-12 * np.linalg.norm(H))
        self.refused(2, "--block W_V: W_V is not trained; expected some of the trained blocks, W_Q", "basin-hessian", path, "-o", "x.h5", "--full", "--block", "W_V", "--train", "W_Q")
        self.assertIn("in the W_V block of the Hessian", out.replace("the W_V block of the Hessian is", "in the W_V block of the Hessian is").splitlines()[0])
        self.assertIn("\ndensity of the W_V block of the Hessian (", out)

    def test_sums_that_cancel_hold_their_errors(self):
        # Inputs far from 0: J^T J and the residual part are 1e10 times their difference's rounding and more.
        for seed in range(2):
            rng = np.random.default_rng(seed)
            path, problem = self.problem(N=1, n=3, D=2, H=1, d=1, D_out=1, seed=seed)
            problem["X"] = rng.standard_normal((1, 3, 2)) + 1e5
            for name in ("W_Q", "W_K"):
                problem["weights"][name] *= 1e-3
            write_problem(path, problem)
            H, G = hessian_parts_in_decimals(problem)
            self.done("basin-hessian", path, "-o", "r.h5", "--overwrite", "--operator", "all", "--norms", "--full")
            with h5py.File(self.path("r.h5")) as file:
                for prefix, A in (("", H), ("parts/gauss-newton/", G), ("parts/residual/", H - G)):
                    group = file["entry/" + prefix]
                    sums = {"trace": float(A.trace()), "frobenius": float((A * A).sum().sqrt())}
                    for name, expected in sums.items():
                        value, error = group["traces"][name][()], group["traces"][name + "_error"][()]
                        self.assertLessEqual(abs(value - expected), error, (prefix, name, value, expected))
                        self.assertLessEqual(error, float((H * H).sum().sqrt()))  # or it says nothing
                    ranges = np.split(np.arange(7), [2, 4, 6])
                    for (a, rows), (b, columns) in itertools.product(enumerate(ranges), repeat=2):
                        part = A[np.ix_(rows, columns)]
                        expected = float((part * part).sum().sqrt())
                        value, error = group["block_norms/frobenius"][a, b], group["block_norms/frobenius_errors"][a, b]
                        self.assertLessEqual(abs(value - expected), error, (prefix, a, b, value, expected))

    def test_near_a_minimum_it_does_not_alarm(self):
        path = self.generated("t.h5", "-N", 2, "-n", 3, "-D", 8, "-H", 2, "-d", 4, "--outputs", 2, "--seed", 3)
        self.done("basin-train", path, "-o", "run.h5", "--steps", 300, "--final", "end.h5")
        out = self.done("basin-hessian", self.path("end.h5"), "-o", "r.h5", "--smallest", 1)
        self.assertRegex(out.splitlines()[0], r"^slight negative curvature in the Hessian: the steepest, -\S+ \+- \S+, is about \S+ of the largest eigenvalue, about \S+; "
                         r"the point is not stationary, \|grad f\| = \S+ \(rounding \S+\) is about \S+ of \|J\| \|F - Y\|, the most it can be: "
                         "negative curvature here says nothing of a saddle nearby$")
        slope, error, most = self.results("r.h5", "entry/gradient_norm", "entry/gradient_error", "entry/largest_gradient")
        self.assertLess(error, 1e-6 * slope)
        self.assertLessEqual(slope, 1.1 * most)
        # At a stationary point, a saddle known exactly, it says so.
        self.done("basin-problem", "construct", "softmax-trap", "-o", "trap.h5")
        out = self.done("basin-hessian", self.path("trap.h5"), "-o", "s.h5", "--train", "W_Q,W_K", "--smallest", 1)
        self.assertRegex(out.splitlines()[0], r"^negative curvature in the Hessian: .*; the point is stationary to rounding, .*: it is no minimum$")

    def test_overflow_is_one_line(self):
        path, problem = self.problem()
        seen = set()
        for power in (60, 80, 100, 150):
            for blocks in (("W_V",), ("W_V", "W_O"), ("W_Q", "W_V"), BLOCKS):
                scaled = dict(problem, weights={name: W * (10.0**power if name in blocks else 1) for name, W in problem["weights"].items()})
                write_problem(path, scaled)
                process = run("basin-hessian", path, "-o", "r.h5", "--overwrite", "--norms", "--counts", cwd=self.folder)
                seen.add(process.returncode)
                self.assertIn(process.returncode, (0, 1), process.stderr)
                self.assertNotRegex(process.stdout, r"\b(inf|nan)\b")
                self.assertEqual(len(process.stderr.splitlines()), process.returncode, process.stderr)
        self.assertEqual(seen, {0, 1})

    @many_runs
    def test_killed_and_resumed_it_ends_with_the_same_bits(self):
        path, _ = self.problem(N=24, n=12, D=8, H=2, d=4, D_out=4)
        options = ["--largest", 3, "--smallest", 3, "--density", "--norms", "--operator", "all", "--counts", "--dense-limit", 0]
        self.done("basin-hessian", path, "-o", "whole.h5", *options)
        self.kill_midway("basin-hessian", path, *options, output="r.h5")
        if not self.path("r.h5").exists():  # on a busy machine the second run may end before it is killed
            self.refused(2, "an unfinished run has left its journal", "basin-hessian", path, "-o", "r.h5", *options)
            self.refused(2, "the journal of another run (smallest = 3 there, 4 here)", "basin-hessian", path, "-o", "r.h5", "--resume",
                         *[4 if i == 3 else option for i, option in enumerate(options)])
            other, _ = self.problem("other.h5", N=24, n=12, D=8, H=2, d=4, D_out=4, seed=5)
            self.refused(2, "the journal of another run (problem = ", "basin-hessian", other, "-o", "r.h5", "--resume", *options)
            shutil.copy(self.path("r.h5.journal"), self.path("loose.h5.journal"))  # the products serve another tolerance
            self.done("basin-hessian", path, "-o", "loose.h5", "--resume", "--tolerance", 1e-3, *options)
            self.done("basin-hessian", path, "-o", "loose_whole.h5", "--tolerance", 1e-3, *options)
            self.assertEqual(numbers(self.path("loose.h5")), numbers(self.path("loose_whole.h5")))
        self.done("basin-hessian", path, "-o", "r.h5", "--resume", "--threads", 1, *options)
        self.assertFalse(self.path("r.h5.journal").exists())
        self.assertEqual(numbers(self.path("r.h5")), numbers(self.path("whole.h5")))

    def test_points_that_are_not_finite(self):
        path, problem = self.problem()
        problem["weights"]["W_Q"][0, 1, 2] = np.nan
        write_problem(path, problem)
        self.refused(2, "W_Q", "basin-hessian", path, "-o", "r.h5", "--largest", 1)

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
                              (["--largest", 1, "--operator", "fisher"], "--operator fisher: expected hessian, gauss-newton, residual or all"),
                              (["--largest", 1, "--tolerance", 0], "--tolerance"), (["--largest", "many"], "many"),
                              (["--largest", 1, "--max-restarts", 0], "--max-restarts"),
                              (["--largest", 1, "--block", "W_X"], "--block W_X: unknown parameter block 'W_X'; the model has W_Q, W_K, W_V, W_O"),
                              (["--largest", 1, "--train", "W_Q,W_K", "--block", "W_O"], "--block W_O: W_O is not trained; expected some of the trained blocks, W_Q,W_K"),
                              (["--density", "--probes", 0], "--probes 0: expected 1 to"), (["--largest", 1, "--steps", 9], "--steps: without effect"),
                              (["--counts", "--count-tolerance", -1], "--count-tolerance -1: expected"), (["--norms", "--norm-probes", 4], "--norm-probes 4: expected 5 to"),
                              (["--density", "--density-width", 1e308], "--density-width 1e+308: expected a number above 0, up to 1e150"),
                              (["--counts", "--dense-limit", -3], "--dense-limit"), (["--full", "--dense-limit", 3], "--dense-limit: without effect"),
                              (["--density", "--density-width", 1e-9], "density width 1e-09: the grid of 400 points resolves no less than"),
                              (["--density", "--memory", "1k"], "--density with P = 102 needs"),
                              (["--counts", "--modulo-symmetries"], "--modulo-symmetries: without effect")):
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
