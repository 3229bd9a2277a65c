"""Points of problem files and of arrays: numbers and products against the tools' and each other's."""
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

import h5py
import numpy as np
from support import BUILD

import basin

CASES = Path(__file__).resolve().parents[1] / "checkpoints" / "cases"
NETWORK = {"inputs": {"type": "tokens", "tokens": 5, "vocabulary": 7},
           "layers": [{"type": "embedding", "width": 6}, {"type": "positions"},
                      {"type": "repeat", "name": "blocks", "times": 2, "layers": [
                          {"type": "residual", "layers": [
                              {"type": "layer-norm"}, {"type": "attention", "heads": 2, "head-dim": 3, "causal": True}]},
                          {"type": "residual", "name": "mlp", "layers": [
                              {"type": "layer-norm"}, {"type": "linear", "name": "in", "outputs": 8},
                              {"type": "activation", "function": "gelu"}, {"type": "linear", "name": "out", "outputs": 6}]}]},
                      {"type": "layer-norm"}, {"type": "linear", "name": "head", "outputs": 7}],
           "loss": {"type": "cross-entropy"}}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.directory = Path(scratch.name)
        cls.problem = cls.directory / "problem.h5"
        cls.tool("problem", "teacher", "-N", "6", "-n", "4", "-D", "6", "-o", cls.problem)

    @classmethod
    def tool(cls, name, *words):
        done = subprocess.run([BUILD / "bin" / f"basin-{name}", *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def network(self, **options):
        rng = np.random.default_rng(0)
        ids, labels = rng.integers(7, size=(6, 5)), rng.integers(7, size=(6, 5))
        return basin.Problem(ids, labels, architecture=NETWORK, seed=3, **options)


class Points(Case):
    def test_numbers_of_the_tools(self):
        point = basin.load(self.problem)
        self.tool("evaluate", self.problem, "-o", self.directory / "e.h5")
        with h5py.File(self.directory / "e.h5") as file:
            self.assertEqual(point.loss, file["entry/evaluation/loss"][()])
            np.testing.assert_array_equal(point.gradient, file["entry/evaluation/gradient"][()])
        with h5py.File(self.problem) as file:
            self.assertEqual([block.name for block in point.blocks], ["W_Q", "W_K", "W_V", "W_O"])
            for name, value in point.weights.items():
                np.testing.assert_array_equal(value, file["parameters"][name][()])
            np.testing.assert_array_equal(point.theta, np.concatenate([file["parameters"][b][()].ravel() for b in point.trained]))

    def test_products(self):
        for point in (basin.load(self.problem), self.network(), self.network().with_trainable("blocks.0.*")):
            rng = np.random.default_rng(1)
            P, m = point.jacobian.shape[::-1]
            V, U = rng.standard_normal((3, P)), rng.standard_normal((2, m))
            H, G, J = (point.hvp(np.eye(P)), point.gauss_newton(np.eye(P)), point.jvp(np.eye(P)).T)
            self.assertEqual(J.shape, (m, P))
            np.testing.assert_allclose(H, H.T, atol=1e-12 * np.abs(H).max())
            np.testing.assert_allclose(point.hvp(V), V @ H, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(point.vjp(U), U @ J, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(point.jacobian @ V.T, J @ V.T, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(point.jacobian.T @ U.T, J.T @ U.T, rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(point.ntk(U), U @ J @ J.T, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(point.gauss_newton @ V[0], G @ V[0], rtol=1e-11, atol=1e-12)
            self.assertGreaterEqual(np.linalg.eigvalsh(G).min(), -1e-10 * np.abs(G).max())
            # Another witness: differences of the gradient, and of the loss.
            step = 1e-5
            v = V[0] / np.linalg.norm(V[0])
            ahead, behind = point.at(point.theta + step * v), point.at(point.theta - step * v)
            np.testing.assert_allclose((ahead.gradient - behind.gradient) / (2 * step), point.hvp(v), atol=1e-7 * np.abs(H).max())
            self.assertAlmostEqual((ahead.loss - behind.loss) / (2 * step), point.gradient @ v, delta=1e-7 * np.abs(H).max())

    def test_spectra_of_points(self):
        point = basin.load(self.problem)
        exact = np.linalg.eigvalsh(point.hvp(np.eye(point.size)))
        for options in ({}, {"dense_limit": 0}):
            found = basin.eigenpairs(point.hessian, largest=2, smallest=2, **options)
            np.testing.assert_allclose(found.largest.values, exact[::-1][:2], rtol=1e-9)
            np.testing.assert_allclose(found.smallest.values, exact[:2], rtol=1e-9)
            self.assertIsNone(found.largest.noise)  # measured at perturbed points instead
        through = basin.eigenpairs(point.hvp, point.size, largest=2)  # the same through Python
        np.testing.assert_allclose(through.largest.values, exact[::-1][:2], rtol=1e-9)
        self.assertEqual(basin.counts(point.hessian).status, "bounded")
        self.assertAlmostEqual(basin.trace(point.ntk).trace[0], (point.jvp(np.eye(point.size)) ** 2).sum(), delta=1e-6)

    def test_scipy(self):
        try:
            from scipy.sparse.linalg import LinearOperator, eigsh
        except ImportError:
            self.skipTest("needs SciPy")
        point = basin.load(self.problem)
        self.assertIsInstance(point.hessian, LinearOperator)
        self.assertAlmostEqual(eigsh(point.hessian, k=1, which="LA")[0][0],
                               basin.eigenpairs(point.hessian, largest=1).largest.values[0], delta=1e-6)
        np.testing.assert_array_equal((2 * point.hessian).matvec(point.theta), 2 * point.hvp(point.theta))

    def test_arrays_and_files(self):
        point = basin.load(self.problem)
        with h5py.File(self.problem) as file:
            X, Y = file["data/X"][()], file["data/Y"][()]
        self.assertEqual(basin.Problem(X, Y, point.weights).loss, point.loss)
        gaussian = basin.Problem(X, Y, point.weights, kernel="gaussian", bandwidth=2)
        self.assertEqual(gaussian.loss, basin.load(self.problem, kernel="gaussian", bandwidth=2).loss)
        self.assertNotEqual(gaussian.loss, point.loss)
        moved = point.with_trainable(["W_Q", "W_V"]).at(np.zeros(point.with_trainable("W_Q,W_V").size))
        self.assertEqual(np.abs(moved.weights["W_V"]).max(), 0)
        np.testing.assert_array_equal(moved.weights["W_O"], point.weights["W_O"])
        moved.save(self.directory / "moved.h5")
        self.assertEqual(basin.load(self.directory / "moved.h5").loss, moved.loss)
        with self.assertRaisesRegex(ValueError, "exists already"):
            moved.save(self.directory / "moved.h5")
        moved.save(self.directory / "moved.h5", overwrite=True)
        network = self.network()
        network.save(self.directory / "network.h5")
        self.assertEqual(basin.load(self.directory / "network.h5").loss, network.loss)
        self.assertEqual(network.outputs.shape, (6, 5, 7))
        self.assertEqual(set(network.by_block(network.gradient)), set(network.trained))

    def test_refused(self):
        point = basin.load(self.problem)
        cases = [
            (lambda: basin.load(self.directory / "none.h5"), "none.h5: no such file"),
            (lambda: basin.load(self.problem, train="W_X"), "^train=W_X: unknown parameter block 'W_X'"),
            (lambda: basin.load(self.problem, kernel="x"), "^kernel=: unknown kernel 'x'"),
            (lambda: point.hvp(np.ones(3)), r"V: found an array of shape \(3,\), expected \(k, \d+\)"),
            (lambda: point.vjp(np.ones((1, 2, 3))), r"U: found an array of shape \(1, 2, 3\)"),
            (lambda: point.at(np.full(point.size, np.nan)), "theta: found numbers that are not finite"),
            (lambda: point.by_block(np.zeros((0, point.size))), "vector: found an array of two dimensions"),
            (lambda: point.with_trainable("nix"), "unknown parameter block 'nix'"),
            (lambda: basin.Problem(np.ones((2, 3, 4)), np.ones((2, 3))), "^/data/Y: found rank 2"),
            (lambda: basin.Problem(np.ones((2, 3, 4)), np.ones((2, 3, 1)), {"W_q": np.ones(3)}), "W_q"),
            (lambda: basin.Problem(np.ones((2, 3)), np.ones((2, 3)), architecture=NETWORK, kernel="softmax"), "kernel="),
        ]
        for call, message in cases:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                call()

    def test_threads_take_turns(self):
        points = [basin.load(self.problem), self.network()]
        V = [np.random.default_rng(2).standard_normal((4, p.size)) for p in points]
        alone = [p.hvp(v) for p, v in zip(points, V)]
        wrong = []

        def work(i):
            for _ in range(50):
                if not (points[i % 2].hvp(V[i % 2]) == alone[i % 2]).all():
                    wrong.append(i)

        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
            self.assertFalse(worker.is_alive())
        self.assertEqual(wrong, [])

    def test_bits_do_not_depend_on_threads(self):
        losses = []
        for threads in (1, 2):
            basin.set_threads(threads)
            point = self.network()
            losses.append((point.loss, point.hvp(point.gradient).tobytes()))
        basin.set_threads(0)
        self.assertEqual(*losses)


class Checkpoints(Case):
    """Against the answers of PyTorch that stand beside the checkpoints."""

    def test_cases(self):
        tried = 0
        for folder in sorted(CASES.iterdir()):
            if not (folder / "config.json").exists():
                continue
            answers = np.load(folder / "answers.npz")
            arrays = {name: np.load(folder / f"{file}.npy") for name, file in (
                ("inputs", "inputs"), ("targets", "targets"), ("mask", "mask"), ("token_types", "token_type_ids"))
                if (folder / f"{file}.npy").exists()}
            with self.subTest(folder.name):
                point = basin.checkpoint(folder, **arrays)
                self.assertAlmostEqual(point.loss, float(answers["loss"]), delta=1e-9 * abs(float(answers["loss"])))
                tried += 1
        self.assertGreater(tried, 15)

    def test_refused(self):
        folder = CASES / "nanogpt_nobias"
        ids = np.load(folder / "inputs.npy")
        with self.assertRaisesRegex(ValueError, "expect_loss"):
            basin.checkpoint(folder, inputs=ids, targets=ids, expect_loss=1.0)
        with self.assertRaisesRegex(ValueError, "^inputs.npy: "):
            basin.checkpoint(folder, inputs=1j * ids, targets=ids)


class Analyses(Case):
    """The tools' answers: the same bits, and the same objects as read() gives."""

    def same(self, ours, path, *fields):
        theirs = basin.read(path)
        for field in fields:
            np.testing.assert_array_equal(ours[field], theirs[field], field)
        self.assertEqual(ours.verdict, theirs.verdict)
        self.assertTrue(repr(ours).startswith(theirs.verdict.splitlines()[0]))
        self.assertIn(theirs.verdict.splitlines()[0].split("&")[0][:20], ours._repr_html_())

    def test_hessian(self):
        path = self.directory / "hessian.h5"
        self.tool("hessian", self.problem, "-o", path, "--largest", "3", "--smallest", "2", "--counts", "--density")
        point = basin.load(self.problem)
        self.same(basin.hessian(point, largest=3, smallest=2, counts=True, density=True), path, "largest/eigenvalue",
                  "smallest/eigenvalue_errors", "counts/negative", "density/density")
        self.same(basin.hessian(str(self.problem), largest=3, smallest=2, counts=True, density=True), path, "largest/eigenvalue")

    def test_parts_and_moved_points(self):
        point = basin.load(self.problem).with_trainable("W_Q,W_K")
        path = self.directory / "part.h5"
        self.tool("hessian", self.problem, "-o", path, "--largest", "1", "--train", "W_Q,W_K")
        found = basin.hessian(point, largest=1)
        self.same(found, path, "largest/eigenvalue")
        moved = point.at(2 * point.theta)
        there = basin.hessian(moved, largest=1)
        self.assertAlmostEqual(there.largest.eigenvalue[0], basin.eigenpairs(moved.hessian, largest=1).largest.values[0],
                               delta=1e-9 * abs(there.largest.eigenvalue[0]))
        with self.assertRaisesRegex(ValueError, "train=: the point says"):
            basin.hessian(point, largest=1, train="W_O")

    def test_per_block(self):
        path = self.directory / "blocks.h5"
        self.tool("hessian", self.problem, "-o", path, "--per-block", "W_*")
        found = basin.hessian(basin.load(self.problem), per_block=["W_*"])
        self.same(found, path, "per_block/trace", "per_block/largest")
        table = found.per_block.table()
        self.assertEqual([row["block"] for row in table], ["W_Q", "W_K", "W_V", "W_O"])
        try:
            frame = found.per_block.to_pandas()
        except ImportError as error:
            self.assertIn("python3-pandas", str(error))
        else:
            self.assertEqual(frame["trace"].tolist(), [row["trace"] for row in table])
        self.assertTrue(hasattr(np.ravel(found.plot("blocks"))[0], "get_xlabel"))  # axes

    def test_others(self):
        point = basin.load(self.problem)
        for name, options, words, field in (
                ("ntk", {}, (), "summary/lambda_min"),
                ("slice", {"x": "-1:1:3", "y": "-1:1:3"}, ("--x", "-1:1:3", "--y", "-1:1:3"), "/train_loss"),
                ("stationary", {"starts": 2, "seed": 1}, ("--starts", "2", "--seed", "1"), "starts/loss"),
                ("evaluate", {}, (), "evaluation/gradient")):
            with self.subTest(name):
                path = self.directory / f"{name}.h5"
                self.tool(name, self.problem, "-o", path, *words)
                self.same(getattr(basin, name)(point, **options), path, field)

    def test_train(self):
        point = self.network()
        run = basin.train(point, method="adam", steps=5)
        self.assertLess(run.point.loss, point.loss)
        self.assertAlmostEqual(run.run.loss[-1], run.point.loss, delta=1e-12)
        again = basin.train(run.point, method="adam", steps=5)  # from where it ended
        self.assertEqual(again.run.loss[0], run.point.loss)
        part = basin.train(point.with_trainable("head.*"), method="adam", steps=2)
        self.assertEqual(part.point.trained, point.with_trainable("head.*").trained)
        np.testing.assert_array_equal(part.point.weights["embedding.E"], point.weights["embedding.E"])

    def test_a_point_is_what_it_was_read_as(self):
        path = self.directory / "changing.h5"
        basin.load(self.problem).save(path, overwrite=True)
        point = basin.load(path)
        before = basin.evaluate(point).evaluation.loss
        point.at(point.theta + 1).save(path, overwrite=True)
        self.assertEqual(basin.evaluate(point).evaluation.loss, before)
        os.remove(path)
        self.assertEqual(basin.evaluate(point).evaluation.loss, before)
        self.assertEqual(basin.train(str(self.problem), train="W_Q", steps=1).point.trained, ["W_Q"])

    def test_interrupted_products(self):
        rng = np.random.default_rng(0)
        point = basin.Problem(rng.standard_normal((64, 32, 32)), rng.standard_normal((64, 32, 4)), heads=4, head_dim=16)
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            point.hvp(np.ones((20000, point.size)))
        self.assertLess(time.monotonic() - start, 15)
        timer.join()

    def test_files(self):
        point, path = basin.load(self.problem), self.directory / "kept.h5"
        kept = basin.hessian(point, largest=1, output=path)
        self.assertEqual(kept.path, str(path))
        with self.assertRaisesRegex(ValueError, "kept.h5: exists already"):
            basin.hessian(point, largest=1, output=path)
        basin.hessian(point, largest=1, output=path, overwrite=True)
        temporary = basin.hessian(point, largest=1)
        group, folder = temporary.largest, os.path.dirname(temporary.path)
        del temporary
        self.assertEqual(len(group.eigenvalue), 1)  # the file is there for as long as anything of it
        del group
        self.assertFalse(os.path.exists(folder))

    def test_interrupt(self):
        timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            basin.stationary(basin.load(self.problem), starts=100000)
        self.assertLess(time.monotonic() - start, 60)
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # the tool is gone

    def test_refused(self):
        point = basin.load(self.problem)
        for options, message in (({"largest": -1}, "largest=-1: expected 1 to"), ({"larges": 1}, "unrecognised option"),
                                 ({"per_block": "nix"}, "per_block=nix: unknown parameter block"), ({}, "nothing to compute")):
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                basin.hessian(point, **options)


if __name__ == "__main__":
    unittest.main()
