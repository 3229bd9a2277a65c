"""basin-evaluate against the model in NumPy."""

import itertools
import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ROOT, ToolTest, gradient, hessian_product, jacobian, outputs, random_problem, theta_of, write_problem

E = "entry/evaluation/"


class Evaluate(ToolTest):
    def close(self, found, expected, tolerance):
        self.assertEqual(np.shape(found), np.shape(expected))
        self.assertLessEqual(np.linalg.norm(found - expected), tolerance * (1e-300 + np.linalg.norm(expected)))

    def check(self, blocks, **options):
        path, problem = self.problem(**options)
        P = theta_of(problem["weights"], blocks).size
        m = problem["Y"].size
        rng = np.random.default_rng(1)
        V, U = rng.standard_normal((2, P)), rng.standard_normal(m)
        with h5py.File(self.path("vectors.h5"), "w") as file:
            file["some/V"], file["U"] = V, U
        self.done("basin-evaluate", path, "-o", "r.h5", "--overwrite", "--train", ",".join(blocks), "--direction",
                  "vectors.h5:/some/V", "--cotangent", "vectors.h5:/U")
        F = outputs(problem, problem["weights"])
        J = jacobian(problem, blocks)
        r = (F - problem["Y"]).ravel()
        with h5py.File(self.path("r.h5")) as file:
            e = file["entry/evaluation"]
            self.assertAlmostEqual(e["loss"][()], r @ r / 2, delta=1e-13 * (r @ r))
            self.close(e["outputs"][()], F, 1e-13)
            self.close(e["gradient"][()], J.T @ r, 1e-12)
            self.close(e["directions"][()], V, 0)
            self.close(e["jvp"][()], V @ J.T, 1e-12)
            self.close(e["cotangents"][()], U[None], 0)
            self.close(e["vjp"][()], U[None] @ J, 1e-12)
            self.close(e["gauss_newton_products"][()], V @ J.T @ J, 1e-12)
            self.close(e["hessian_products"][0], hessian_product(problem, V[0], blocks), 1e-8)
            parts = [e["gradient_blocks"][b][()] for b in blocks]
            self.assertEqual([p.shape for p in parts], [problem["weights"][b].shape for b in blocks])
            self.close(np.concatenate([p.ravel() for p in parts]), e["gradient"][()], 0)

    def test_self_check_of_second_derivatives(self):
        """One layer, a classifier and a GPT with a tied head: passed, with numbers that rounding explains."""
        small = ["--set", "width=16", "--set", "heads=2", "--set", "depth=2", "--set", "tokens=12"]
        for make in (
            ["teacher", "--kernel", "gaussian"],
            ["architecture", str(ROOT / "data/classifier.json"), "-N", "5", *small],
            ["architecture", str(ROOT / "data/gpt.json"), "-N", "5", *small, "--init", "gpt2"],
        ):
            with self.subTest(make=make[1]):
                self.done("basin-problem", *make, "-o", "p.h5", "--overwrite")
                out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--overwrite", "--self-check")
                self.assertRegex(out, r"self-check passed: along a random combination of \d+ tangents of symmetries")
                tangents, identity, orthogonality = self.results("r.h5", *(E + "self_check/" + name for name in ("tangents", "identity", "orthogonality")))
                self.assertGreater(tangents, 10)
                self.assertLess(max(identity, orthogonality), 1e-12)
                self.assertGreater(max(identity, orthogonality), 0)
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--overwrite", "--self-check", "--train", "blocks.0.attention.W_Q")
        self.assertIn("not seen behind a norm", out)
        self.done("basin-problem", "teacher", "-o", "p.h5", "--overwrite")
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--overwrite", "--self-check", "--train", "W_V")
        self.assertIn("self-check: nothing to test", out)
        self.refused(2, "--self-check", "basin-evaluate", "p.h5", "-o", "r2.h5", "--self-check", "--precision", "float")

    @unittest.skipUnless(np.finfo(np.longdouble).nmant > 60, "no wider numbers here")
    def test_errors_hold_against_wider_numbers(self):
        for kernel, seed in itertools.product(("softmax", "gaussian"), range(3)):
            with self.subTest(kernel=kernel, seed=seed):
                path, problem = self.problem(kernel=kernel, seed=seed, D=16, d=4)
                wide = dict(problem, X=problem["X"].astype(np.longdouble), Y=problem["Y"].astype(np.longdouble))
                weights = {name: W.astype(np.longdouble) for name, W in problem["weights"].items()}
                F = outputs(wide, weights)
                out = self.done("basin-evaluate", path, "-o", "r.h5", "--overwrite")
                loss, found, loss_error, outputs_error, gradient_error = self.results(
                    "r.h5", *(E + name for name in ("loss", "outputs", "loss_error", "outputs_error", "gradient_error")))
                true = ((F - wide["Y"]) ** 2).sum() / 2
                self.assertLessEqual(abs(loss - true), loss_error)
                self.assertLessEqual(np.sqrt(((found - F) ** 2).sum()), outputs_error)
                self.assertLess(loss_error, 1e-12 * loss)
                self.assertLess(outputs_error, 1e-12 * np.linalg.norm(found))
                self.assertGreater(gradient_error, 0)
                self.assertRegex(out, r"^loss f = \S+ \+- \S+, \|gradient\| = \S+ \+- \S+\n(?s:.*)\|gradient\| in W_O: \S+ \+- \S+\n")

    def test_all_blocks(self):
        for kernel in ("softmax", "gaussian"):
            with self.subTest(kernel=kernel):
                self.check(BLOCKS, kernel=kernel)

    def test_subsets_of_blocks(self):
        for kernel, blocks in itertools.product(("softmax", "gaussian"), (("W_Q",), ("W_K", "W_O"), ("W_V",))):
            with self.subTest(kernel=kernel, blocks=blocks):
                self.check(blocks, kernel=kernel, sigma=0.8 if kernel == "gaussian" else None)

    def test_degenerate_shapes(self):
        for kernel, shape in itertools.product(
            ("softmax", "gaussian"), ({"n": 1}, {"N": 1}, {"H": 1}, {"d": 1}, {"D_out": 1}, {"D": 1, "d": 3})
        ):
            with self.subTest(kernel=kernel, **shape):
                # With one token the softmax gradient in W_Q and W_K is exactly zero, and so is the reference.
                self.check(BLOCKS, kernel=kernel, **shape)

    def test_same_bits_for_every_run_and_number_of_threads(self):
        # 40 samples of 30 tokens: several chunks. Memory at 0 recomputes them.
        for kernel in ("softmax", "gaussian"):
            path, _ = self.problem(N=40, n=30, D=6, kernel=kernel)
            reference = None
            for extra in (["--threads", 1], ["--threads", 1], ["--threads", 2], ["--threads", 7],
                          ["--threads", 2], ["--memory", 0], ["--memory", "1M"]):
                self.done("basin-evaluate", path, "-o", "r.h5", "--overwrite", "--random", 3, "--seed", 5, *extra)
                with h5py.File(self.path("r.h5")) as file:
                    found = {k: v[()] for k, v in file["entry/evaluation"].items() if isinstance(v, h5py.Dataset)}
                reference = reference or found
                for name, value in reference.items():
                    self.assertTrue(np.array_equal(found[name], value), (kernel, extra, name))

    def test_single_precision_on_request(self):
        path, _ = self.problem(N=5, n=9, D=12, d=8)
        arrays = ("loss", "outputs", "gradient", "jvp", "gauss_newton_products", "hessian_products", "vjp")
        for kernel in ("softmax", "gaussian"):
            self.done("basin-evaluate", path, "-o", "double.h5", "--overwrite", "--random", 2, "--kernel", kernel)
            out = self.done("basin-evaluate", path, "-o", "float.h5", "--overwrite", "--random", 2, "--kernel", kernel,
                            "--precision", "float")
            self.assertIn("single precision", out.splitlines()[0])
            for name in arrays:
                with h5py.File(self.path("double.h5")) as a, h5py.File(self.path("float.h5")) as b:
                    expected, found = a[E + name][()], b[E + name][()]
                self.close(found, expected, 1e-5)  # float has eps 6e-8
                self.assertGreater(np.linalg.norm(found - expected), 0)
        self.refused(2, "--precision half: expected double or float", "basin-evaluate", path, "-o", "n.h5", "--precision", "half")
        # no answer about signs from single precision
        for tool in ("basin-hessian", "basin-ntk"):
            self.refused(2, "precision", tool, path, "-o", "n.h5", "--precision", "float")

    def test_random_vectors_depend_on_the_seed_only(self):
        path, _ = self.problem()
        found = {}
        for name, seed, k in (("a", 1, 2), ("b", 1, 2), ("c", 2, 2), ("d", 1, 3)):
            self.done("basin-evaluate", path, "-o", name + ".h5", "--random", k, "--seed", seed)
            found[name] = self.results(name + ".h5", E + "directions", E + "cotangents")
        self.assertTrue(np.array_equal(found["a"][0], found["b"][0]))
        self.assertFalse(np.allclose(found["a"][0], found["c"][0]))
        self.assertTrue(np.array_equal(found["a"][0], found["d"][0][:2]))
        self.assertFalse(np.array_equal(found["a"][0][0][:5], found["a"][1][0][:5]))

    def test_problem_files_in_every_dress(self):
        problem = random_problem(kernel="gaussian", sigma=0.7)
        for weights in problem["weights"].values():
            weights[...] = weights.astype(np.float32)
        for name in "XY":
            problem[name] = problem[name].astype(np.float32).astype(float)
        write_problem(self.path("plain.h5"), problem)
        with h5py.File(self.path("plain.h5")) as plain, h5py.File(self.path("dressed.h5"), "w") as file:
            for name in ("data/X", "data/Y", *("parameters/" + b for b in BLOCKS)):
                file.create_dataset(name, data=plain[name][()].astype(np.float32), chunks=True, compression="gzip")
            file["parameters"].attrs.create("kernel", np.bytes_("gaussian"))  # fixed length, ASCII
            file["parameters"].attrs["bandwidth"] = np.float32(0.7)
            file["data/labels"] = np.arange(3)
        self.done("basin-evaluate", "plain.h5", "-o", "a.h5", "--bandwidth", float(np.float32(0.7)))
        self.done("basin-evaluate", "dressed.h5", "-o", "b.h5")
        self.assertTrue(np.array_equal(self.results("a.h5", E + "gradient"), self.results("b.h5", E + "gradient")))

    def test_weights_drawn_on_the_way(self):
        path, problem = self.problem()
        del problem["weights"]["W_Q"], problem["weights"]["W_K"], problem["weights"]["W_V"], problem["weights"]["W_O"]
        write_problem(self.path("bare.h5"), problem)
        self.refused(2, "bare.h5: the file has no weights; give --heads and --head-dim", "basin-evaluate", "bare.h5", "-o", "r.h5")
        draw = ["--heads", 2, "--head-dim", 3, "--seed", 4, "--gain", "W_O=2"]
        self.done("basin-evaluate", "bare.h5", "-o", "a.h5", *draw)
        self.done("basin-evaluate", path, "-o", "b.h5", "--init", "gaussian", "--seed", 4, "--gain", "W_O=2")
        self.done("basin-evaluate", "bare.h5", "-o", "c.h5", *draw[:-2])
        a, b, c = (self.results(n, E + "outputs") for n in ("a.h5", "b.h5", "c.h5"))
        self.assertTrue(np.array_equal(a, b))
        self.assertTrue(np.allclose(a, 2 * c, rtol=1e-14))
        self.refused(2, "--gain: ", "basin-evaluate", path, "-o", "r.h5", "--gain", "W_O=2")

    def test_bad_vectors(self):
        path, problem = self.problem()
        with h5py.File(self.path("v.h5"), "w") as file:
            file["short"], file["deep"] = np.zeros(7), np.zeros((2, 3, 102))
            file["nan"], file["whole"] = np.full(102, np.nan), np.zeros(102, int)
        for dataset, message in (("short", "/short: found shape (7,); expected (102,) or (k, 102), as P = 102"),
                                 ("deep", "/deep: found shape (2, 3, 102)"), ("nan", "/nan: found NaN at (0,)"),
                                 ("whole", "/whole: found int64, expected float64"),
                                 ("gone", "/gone: dataset is missing; / has deep, nan, short, whole")):
            self.refused(2, "v.h5: " + message, "basin-evaluate", path, "-o", "r.h5", "--direction", "v.h5:/" + dataset)
        self.refused(2, "expected FILE:/path", "basin-evaluate", path, "-o", "r.h5", "--direction", "v.h5")
        self.no_leftovers("problem.h5", "v.h5")

    @unittest.skipUnless(ORACLES.is_dir(), "the oracles are not here")
    def test_oracles_of_automatic_differentiation(self):
        for name in ("tiny_softmax_all.h5", "tiny_gaussian_all.h5"):
            self.done("basin-evaluate", ORACLES / name, "-o", name, "--direction", f"{ORACLES / name}:/oracle/direction",
                      "--cotangent", f"{ORACLES / name}:/oracle/cotangent")
            with h5py.File(ORACLES / name) as oracle, h5py.File(self.path(name)) as result:
                for ours, theirs in (("loss", "loss"), ("outputs", "outputs"), ("gradient", "gradient"), ("jvp", "jvp"),
                                     ("vjp", "vjp"), ("gauss_newton_products", "ggn_vp"), ("hessian_products", "hvp")):
                    found, expected = result[E + ours][()].ravel(), oracle["oracle"][theirs][()].ravel()
                    self.close(found, expected, 1e-13)


if __name__ == "__main__":
    unittest.main()
