"""basin-slice: the right numbers in the right cells, in the form that other programs read."""

import json
import os
import random
import resource
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np
from support import BIN, BLOCKS, ToolTest, attributes, gradient, many_runs, outputs, theta_of, weights_at, write_problem, wait_for_record
from test_networks import LanguageModel, TokenNet


def loss(problem, theta, blocks=BLOCKS):
    return ((outputs(problem, weights_at(problem, theta, blocks)) - problem["Y"]) ** 2).sum() / 2


class Slice(ToolTest):
    def test_losses_of_a_rectangle(self):
        for kernel in ("softmax", "gaussian"):
            path, problem = self.problem(kernel=kernel)
            blocks = ("W_Q", "W_V")
            self.done("basin-slice", path, "-o", "r.h5", "--overwrite", "--x", "-1:0.5:4", "--y", "-2:2:3", "--train", "W_Q,W_V")
            with h5py.File(self.path("r.h5")) as file:
                x, y, f = file["xcoordinates"][()], file["ycoordinates"][()], file["train_loss"][()]
                u, v = file["entry/directions/x"][()], file["entry/directions/y"][()]
                self.assertTrue(np.allclose(x, [-1, -0.5, 0, 0.5], atol=0) and np.allclose(y, [-2, 0, 2], atol=0))
                self.assertEqual(f.shape, (3, 4))
                theta = theta_of(problem["weights"], blocks)
                for j, b in enumerate(y):
                    for i, a in enumerate(x):
                        self.assertAlmostEqual(f[j, i] / loss(problem, theta + a * u + b * v, blocks), 1, delta=1e-13)
                self.assertAlmostEqual(file["entry/center_loss"][()] / f[1, 2], 1, delta=1e-13)  # evaluated plainly, and from the plane

    def test_directions_are_filter_normalised_and_differ(self):
        path, problem = self.problem(H=2, D=5, d=3)
        seen = []
        for seed in (1, 2):
            self.done("basin-slice", path, "-o", "r.h5", "--overwrite", "--x", "0:0:1", "--y", "0:0:1", "--seed", seed)
            with h5py.File(self.path("r.h5")) as file:
                for name in "xy":
                    direction = weights_at(problem, file["entry/directions"][name][()])
                    for block in BLOCKS:  # one filter: one head, one index of the first axis
                        self.assertTrue(np.allclose(np.linalg.norm(direction[block], axis=2),
                                                    np.linalg.norm(problem["weights"][block], axis=2), rtol=1e-13))
                    seen.append(theta_of(direction))
                u, v = seen[-2:]
                self.assertAlmostEqual(file["entry/directions/cosine"][()], u @ v / np.linalg.norm(u) / np.linalg.norm(v), delta=1e-14)
                self.assertAlmostEqual(file["entry/directions/x_norm"][()], np.linalg.norm(u), delta=1e-13)
        for i in range(4):
            for j in range(i):
                self.assertLess(abs(seen[i] @ seen[j]) / np.linalg.norm(seen[i]) / np.linalg.norm(seen[j]), 0.5)

    def test_form_for_other_programs(self):
        path, _ = self.problem()
        self.done("basin-slice", path, "-o", "r.h5", "--x", "-1:1:5", "--y", "-1:1:4")
        with h5py.File(self.path("r.h5")) as file:
            self.assertEqual(file["train_acc"].shape, (4, 5))
            self.assertTrue(np.isnan(file["train_acc"][()]).all())
            self.assertTrue((file["computed"][()] == 1).all() and file["computed"].dtype == np.uint8)
            self.assertEqual(file["dir_file"].asstr()[()], "r.h5")
            for name in ("train_loss", "xcoordinates", "ycoordinates"):
                self.assertEqual(file[name], file["entry/surface/" + name])  # the same object, not a copy
            self.assertNotEqual(file["xcoordinates"].attrs["units"], file["ycoordinates"].attrs["units"])  # else drawn to scale
            self.assertEqual(file.attrs["default"], "entry")
            self.assertEqual(file["entry"].attrs["default"], "surface")
            surface = file["entry/surface"]
            self.assertEqual(surface.attrs["signal"], "train_loss")
            self.assertEqual(list(surface.attrs["axes"]), ["ycoordinates", "xcoordinates"])
            self.assertEqual((surface.attrs["ycoordinates_indices"], surface.attrs["xcoordinates_indices"]), (0, 1))
            for object in (file, file["entry"], surface):
                for name in ("NX_class", "default", "signal"):
                    if name in object.attrs:
                        self.assertIsInstance(object.attrs[name], str)  # scalar: arrays make viewers fail

    def test_axes_of_one_step_are_nameless(self):
        path, _ = self.problem()
        for x, y, axes in (("-1:1:5", "0:0:1", [".", "xcoordinates"]), ("0:0:1", "-1:1:5", ["ycoordinates", "."]), ("0:0:1", "0:0:1", [".", "."])):
            self.done("basin-slice", path, "-o", "r.h5", "--x", x, "--y", y, "--overwrite")
            with h5py.File(self.path("r.h5")) as file:  # else silx takes the other for that of a scatter plot
                surface = file["entry/surface"]
                self.assertEqual(list(surface.attrs["axes"]), axes)
                self.assertEqual(set(surface), {"train_loss", "title"} | set(axes) - {"."})
                self.assertEqual(file["train_loss"].shape, (file["ycoordinates"].size, file["xcoordinates"].size))

    def test_losses_that_overflow_are_counted(self):
        path, problem = self.problem()
        out = self.done("basin-slice", path, "-o", "r.h5", "--x", "-1e160:1e160:3", "--y", "0:1:2")
        self.assertIn("4 grid points overflow", out)
        self.assertEqual((~np.isfinite(self.results("r.h5", "train_loss"))).sum(), 4)

    def test_gradients_of_huge_losses_are_finite(self):
        path, _ = self.problem()
        self.done("basin-slice", path, "-o", "r.h5", "--v", "none", "--x", "-1e60:1e60:2", "--train", "W_V,W_O", "--quantities", "gradient")
        f, norm = self.results("r.h5", "train_loss", "gradient_norm")
        self.assertTrue((f > 1e239).all() and np.isfinite(norm).all(), (f, norm))

    def test_viewers_start_with_a_logarithmic_scale_where_pictures_do(self):
        path, _ = self.problem()
        for x, expected in (("-9:9:5", {"signal_scale_type": "log"}), ("-1e-3:1e-3:5", None)):
            self.done("basin-slice", path, "-o", "r.h5", "--overwrite", "--x", x, "--y", x)
            with h5py.File(self.path("r.h5")) as file:
                f, style = file["train_loss"][()], file["entry/surface"].attrs.get("SILX_style")
                self.assertEqual(f.max() / f.min() > 30, expected is not None)
                self.assertEqual(style and json.loads(style), expected)

    def test_same_bits_for_every_number_of_threads(self):
        path, _ = self.problem(N=40, n=30, D=6)
        reference = None
        for threads in (1, 2, 7):
            self.done("basin-slice", path, "-o", "r.h5", "--overwrite", "--x", "-1:1:5", "--y", "-1:1:5", "--threads", threads)
            found = self.results("r.h5", "train_loss")
            reference = found if reference is None else reference
            self.assertTrue(np.array_equal(found, reference))

    def test_bad_axes(self):
        path, problem = self.problem()
        for axis in ("1:-1:5", "0:1", "0:1:0", "a:b:c", "0:1:5:6", "0:0:3", "0:1:1", "0:inf:3"):
            self.refused(2, "--x " + axis + ": expected MIN:MAX:COUNT", "basin-slice", path, "-o", "r.h5", "--x", axis)
        large = {name: 1e200 * w for name, w in problem["weights"].items()}
        write_problem(self.path("large.h5"), {**problem, "weights": large})
        self.refused(1, "the loss at the point is not finite", "basin-slice", "large.h5", "-o", "r.h5")
        zero = {name: 0 * w for name, w in problem["weights"].items()}
        write_problem(self.path("zero.h5"), {**problem, "weights": zero})
        self.refused(2, "all trained weights are zero", "basin-slice", "zero.h5", "-o", "r.h5")
        self.no_leftovers("problem.h5", "zero.h5", "large.h5")


def contents(path):
    """All datasets and attributes but what necessarily differs between two runs."""
    apart = {"start_time", "duration", "command_line"}
    found = {}

    def visit(name, item):
        if name.startswith("entry/provenance/") and (name.split("/")[-1] in apart | {"resume", "output", "part", "write-every", "threads"}):
            return
        found[name] = attributes(item)
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name]["value"] = value.tobytes() if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object else str(value)

    with h5py.File(path) as file:
        file.visititems(visit)
        found["dir_file"] = None
    return found


class Directions(ToolTest):
    def test_towards_points(self):
        path, problem = self.problem()
        points = [problem]
        for seed in (5, 6):
            _, other = self.problem(name=f"{seed}.h5", seed=seed)
            points.append({**problem, "weights": other["weights"]})
        self.done("basin-slice", path, "-o", "r.h5", "--to", "5.h5", "--to", "6.h5", "--x", "0:1:3", "--y", "0:1:3")
        f = self.results("r.h5", "train_loss")
        for value, at in zip((f[0, 0], f[0, 2], f[2, 0]), points):
            self.assertAlmostEqual(value / loss(problem, theta_of(at["weights"])), 1, delta=1e-12)
        self.done("basin-slice", path, "-o", "line.h5", "--to", "5.h5", "--x", "0:1:3")
        np.testing.assert_allclose(self.results("line.h5", "train_loss"), f[0], rtol=1e-13)

    def test_eigenvectors_have_their_curvature(self):
        path, problem = self.problem()
        out = self.done("basin-slice", path, "-o", "r.h5", "--u", "largest", "--v", "smallest", "--x", "-1e-3:1e-3:5", "--y", "-1e-3:1e-3:5",
                        "--quantities", "gradient,eigenvalues,ntk")
        f, low, high, norm, ntk, u = self.results("r.h5", "train_loss", "min_eig", "max_eig", "gradient_norm", "min_ntk", "entry/directions/x")
        self.done("basin-hessian", path, "-o", "h.h5", "--full")
        spectrum = self.results("h.h5", "entry/spectrum/eigenvalue")
        h = 5e-4
        for line, expected in ((f[2], spectrum[-1]), (f[:, 2], spectrum[0])):
            second = (-line[0] + 16 * line[1] - 30 * line[2] + 16 * line[3] - line[4]) / (12 * h**2)
            self.assertAlmostEqual(second / expected, 1, delta=1e-4)
        self.assertAlmostEqual(low[2, 2] / spectrum[0], 1, delta=1e-8)
        self.assertAlmostEqual(high[2, 2] / spectrum[-1], 1, delta=1e-8)
        self.assertAlmostEqual(norm[2, 2] / np.linalg.norm(gradient(problem)), 1, delta=1e-12)
        self.done("basin-ntk", path, "-o", "n.h5")
        self.assertAlmostEqual(ntk[2, 2] / self.results("n.h5", "entry/summary/lambda_min")[-1], 1, delta=1e-4)
        self.assertIn("u: Hessian eigenvector, largest: ", out)
        self.assertTrue((self.results("r.h5", "eig_converged") == 1).all())

    def test_a_kernel_that_underflows_has_an_upper_bound_and_a_verdict(self):
        """Gaussian attention exp(-W_Q^2 / 2) of one token, W_Q from 0 to 50 along the line."""
        one = np.ones((1, 1, 1))
        for name, W_Q in (("a.h5", 0), ("b.h5", 50)):
            write_problem(self.path(name), {"X": one, "Y": one, "kernel": "gaussian", "sigma": 1.0,
                                            "weights": {"W_Q": W_Q * one, "W_K": 0 * one, "W_V": one, "W_O": one}})
        out = self.done("basin-slice", "a.h5", "-o", "r.h5", "--to", "b.h5", "--x", "0:1:3", "--quantities", "ntk")
        smallest, verdicts = self.results("r.h5", "min_ntk", "ntk_definiteness")
        self.assertEqual(verdicts.tolist(), [3, 3, 2])
        self.assertAlmostEqual(smallest[1] / (np.exp(-(25.0**2)) * (2 * 25**2 + 2)), 1, delta=1e-9)
        self.assertTrue(0 < smallest[2] < 1e-300)
        self.assertIn("  NTK positive definite in theory only at 1 points; min_ntk is an upper bound where it is not known", out)

    def test_symmetry_is_flat(self):
        path, _ = self.problem(d=4)
        self.done("basin-slice", path, "-o", "r.h5", "--u", "symmetry", "--v", "symmetry", "--x", "-1:1:9", "--y", "-1:1:9")
        f, share = self.results("r.h5", "train_loss", "entry/directions/x_symmetry_share")
        self.assertLess(np.ptp(f), 1e-12 * f.max())
        self.assertAlmostEqual(share, 1, delta=1e-12)
        out = self.done("basin-slice", path, "-o", "q.h5", "--u", "symmetry", "--v", "none", "--train", "W_V,W_O", "--x", "-1:1:9")
        self.assertIn("; constant on the 9 points of the line", out)
        rotations = ["--train", "W_Q,W_K", "--kernel", "gaussian", "--u", "symmetry", "--v", "none"]
        self.assertIn("u: symmetry: flat to first order only", self.done("basin-slice", path, "-o", "g.h5", *rotations))
        self.problem(name="few.h5", N=1, n=3, D=6)  # three tokens in six dimensions leave features free
        self.assertIn("the loss is constant along it", self.done("basin-slice", "few.h5", "-o", "f.h5", *rotations))
        f = self.results("f.h5", "train_loss")
        self.assertLess(np.ptp(f), 1e-12 * f.max())

    def test_gradient_file_and_orthogonal(self):
        path, problem = self.problem()
        self.done("basin-slice", path, "-o", "r.h5", "--u", "gradient", "--orthogonalise", "--x", "0:0:1", "--y", "0:0:1")
        np.testing.assert_allclose(self.results("r.h5", "entry/directions/x"), gradient(problem), rtol=1e-10, atol=1e-12)
        self.assertLess(abs(self.results("r.h5", "entry/directions/cosine")), 1e-14)
        self.assertEqual(self.results("r.h5", "entry/directions/y_origin"), b"random, made orthogonal to u")
        self.done("basin-slice", path, "-o", "s.h5", "--u", "r.h5:/entry/directions/y", "--v", "none", "--x", "0:0:1")
        np.testing.assert_array_equal(*(self.results(n, f"entry/directions/{d}") for n, d in (("r.h5", "y"), ("s.h5", "x"))))

    def test_a_line_is_a_curve(self):
        path, _ = self.problem()
        out = self.done("basin-slice", path, "-o", "r.h5", "--v", "none", "--x", "-1:1:23", "--quantities", "eigenvalues")
        self.assertIn("on the 23 points of the line ", out)
        with h5py.File(self.path("r.h5")) as file:  # as the 2020 scripts and NeXus viewers tell a line from a plane
            self.assertNotIn("ycoordinates", file)
            for name in ("train_loss", "train_acc", "computed", "min_eig", "max_eig"):
                self.assertEqual(file[name].shape, (23,), name)
            self.assertEqual(list(file["entry/surface"].attrs["axes"]), ["xcoordinates"])
            self.assertEqual(file["train_loss"].attrs["interpretation"], "spectrum")
        self.done("basin-slice", "merge", "r.h5", "-o", "m.h5")
        self.assertEqual(self.results("m.h5", "train_loss").tolist(), self.results("r.h5", "train_loss").tolist())

    def test_accuracy(self):
        path, problem = self.problem(D_out=1)
        self.refused(2, "problem.h5 has no labels; expected targets of -1 or 1", "basin-slice", path, "-o", "r.h5", "--quantities", "accuracy")
        problem["Y"] = np.where(np.random.default_rng(1).random(problem["Y"].shape) < 0.5, -1.0, 1)
        write_problem(self.path("l.h5"), problem)
        self.done("basin-slice", "l.h5", "-o", "r.h5", "--quantities", "accuracy,gradient", "--x", "-1:1:4", "--y", "-1:1:3")
        found, x, y, u, v = self.results("r.h5", "train_acc", "xcoordinates", "ycoordinates", "entry/directions/x", "entry/directions/y")
        for (j, i), share in np.ndenumerate(found):
            F = outputs(problem, weights_at(problem, theta_of(problem["weights"]) + x[i] * u + y[j] * v))
            self.assertEqual(share, 100 * np.count_nonzero(F * problem["Y"] > 0) / F.size)
        self.assertGreater(np.unique(found).size, 1)

    def test_lines_and_bands(self):
        path, _ = self.problem()
        self.done("basin-slice", path, "-o", "r.h5", "--lines", 7, "--x", "-1:1:23")
        f, median, q05 = self.results("r.h5", "train_loss", "entry/band/median", "entry/band/q05")
        self.assertEqual(f.shape, (7, 23))
        np.testing.assert_allclose(median, np.median(f, axis=0), rtol=1e-14)
        np.testing.assert_allclose(q05, np.quantile(f, 0.05, axis=0), rtol=1e-14)
        np.testing.assert_allclose(f[:, 11], f[0, 11], rtol=1e-13)
        for line in (1, 5):  # each can be had alone, with its direction
            self.done("basin-slice", path, "-o", "one.h5", "--overwrite", "--u", f"random:{line}", "--v", "none", "--x", "-1:1:23")
            np.testing.assert_allclose(self.results("one.h5", "train_loss"), f[line - 1], rtol=1e-13)
        self.assertGreater(np.linalg.matrix_rank(f), 4)

    def test_trajectory(self):
        path, problem = self.problem()
        theta, rng = theta_of(problem["weights"]), np.random.default_rng(3)
        route = theta + np.cumsum(0.05 * rng.standard_normal((6, theta.size)), axis=0)
        with h5py.File(self.path("t.h5"), "w") as file:
            file["trajectory/theta"], file["trajectory/step"] = route, np.arange(6) * 10.0
            file["trajectory"].attrs["H"] = 2
        self.done("basin-slice", path, "-o", "r.h5", "--trajectory", "t.h5", "--u", "pca:1", "--v", "pca:2", "--x", "-1:1:5", "--y", "-1:1:5")
        u, v, f, x, y, far, share = self.results("r.h5", *("entry/" + n for n in (
            "directions/x", "directions/y", "trajectory/loss", "trajectory/proj_xcoord", "trajectory/proj_ycoord", "trajectory/distance",
            "trajectory/variance_share")))
        centred = route - route.mean(axis=0)
        sizes = np.linalg.svd(centred, compute_uv=False) ** 2
        self.assertAlmostEqual(share, sizes[:2].sum() / sizes.sum(), delta=1e-12)
        np.testing.assert_allclose(self.results("r.h5", "explained_variance_ratio_"), sizes[:2] / sizes.sum(), rtol=1e-10)
        with h5py.File(self.path("r.h5")) as file:  # where the 2020 scripts look
            self.assertEqual(file["proj_xcoord"], file["entry/trajectory/proj_xcoord"])
            self.assertEqual(file["proj_ycoord"], file["entry/trajectory/proj_ycoord"])
        plane = np.stack((u, v), axis=1)
        expected = np.linalg.lstsq(plane, (route - theta).T, rcond=None)[0]
        np.testing.assert_allclose((x, y), expected, atol=1e-12)
        np.testing.assert_allclose(far, np.linalg.norm((route - theta).T - plane @ expected, axis=0), rtol=1e-10)
        for t in range(6):
            self.assertAlmostEqual(f[t] / loss(problem, route[t]), 1, delta=1e-12)
        self.refused(2, "the trajectory spans 5 directions; expected 999999999", "basin-slice", path, "-o", "s.h5", "--trajectory", "t.h5",
                     "--u", "pca:999999999")
        self.refused(2, "--trajectory: without effect with --lines", "basin-slice", path, "-o", "s.h5", "--trajectory", "t.h5", "--lines", 3)
        # One definition of shares: of all blocks, also where some are not trained.
        out = self.done("basin-slice", path, "-o", "p.h5", "--trajectory", "t.h5", "--train", "W_Q", "--u", "pca:1", "--v", "none", "--x", "0:0:1")
        share = self.results("p.h5", "entry/trajectory/variance_share")
        self.assertEqual(out.count(f"{100 * share:.4g} % of the variance of all its weights"), 2, out)
        with h5py.File(self.path("t.h5"), "a") as file:
            file["trajectory"].attrs["H"] = 3
        self.refused(2, "t.h5: the trajectory of another model: H = 3; expected 2", "basin-slice", path, "-o", "s.h5", "--trajectory", "t.h5")
        with h5py.File(self.path("short.h5"), "w") as file:
            file["trajectory/theta"], file["trajectory/step"] = route[:, 1:], np.arange(6)
        self.refused(2, "short.h5: the trajectory of another model: /trajectory/theta has shape (6, ", "basin-slice", path, "-o", "s.h5",
                     "--trajectory", "short.h5")

    def test_trajectory_of_another_problem(self):
        self.problem()
        self.done("basin-train", "problem.h5", "-o", "run.h5", "--steps", 20, "--final", "end.h5")
        slice = ["basin-slice", "-o", "r.h5", "--overwrite", "--trajectory", "run.h5", "--x", "0:1:3", "--y", "0:1:3"]
        self.done(*slice, "problem.h5")
        self.done(*slice, "end.h5")  # the same data in another file
        _, problem = self.problem(name="other.h5", seed=5)
        self.refused(2, "run.h5: the trajectory of another problem: kernel softmax; expected gaussian", *slice, "problem.h5", "--kernel", "gaussian")
        self.refused(2, "run.h5: the trajectory of another problem: its first point has the loss", *slice, "other.h5")
        self.problem(name="more.h5", N=4)
        self.refused(2, "run.h5: the trajectory of another problem: N = 3; expected 4", *slice, "more.h5")

    def test_refused(self):
        path, problem = self.problem()
        zero = np.zeros(theta_of(problem["weights"]).size)
        with h5py.File(self.path("d.h5"), "w") as file:
            file["zero"], file["short"], file["huge"], file["tiny"] = zero, zero[1:], zero + 1e200, zero + 1e-300
        self.problem(name="wide.h5", d=4)
        for message, *args in (("the direction is zero", "--u", "d.h5:zero"), ("d.h5: /short: found shape", "--u", "d.h5:short"),
                               ("--u to:problem.h5: the direction is zero", "--to", "problem.h5"),
                               ("the directions are parallel", "--u", "gradient", "--v", "gradient"),
                               ("--u to:wide.h5: the weights are of another model: found H = 2, d = 4", "--to", "wide.h5"),
                               ("--u wrong: expected random[:LINE], none", "--u", "wrong"), ("give --trajectory FILE", "--u", "pca:1"),
                               ("unknown normalisation 'layer'; expected one of none, filter", "--normalise", "layer"),
                               ("found 'test'; expected some of loss, gradient", "--quantities", "test"),
                               ("--v: without effect with --lines", "--lines", 3, "--v", "gradient"),
                               ("--y: without effect on a line", "--v", "none", "--y", "0:1:2"), ("--part 3/2: expected i/k", "--part", "3/2"),
                               ("--u random:0: found '0'; expected a number from 1", "--u", "random:0"), ("--u to: expected to:FILE", "--u", "to:"),
                               ("the direction is too large", "--u", "d.h5:huge"),
                               ("--u d.h5:tiny: the direction is too small: its norm underflows", "--u", "d.h5:tiny"), ("nowhere.h5: no such file", "--u", "nowhere.h5:x")):
            self.refused(2, message, "basin-slice", "problem.h5", "-o", "r.h5", *args)
        self.no_leftovers("problem.h5", "d.h5", "wide.h5")


def filters(name, shape):
    """Index sets of the filters of a block: one output unit of a matrix, one row of a table, else the whole block."""
    index = np.arange(np.prod(shape)).reshape(shape)
    kind = name.rpartition(".")[2]
    if kind in ("W_Q", "W_K", "W_V"):
        return [index[h, :, unit] for h in range(shape[0]) for unit in range(shape[2])]
    if kind == "W_O":  # heads add up to one matrix
        return [index[:, :, unit].ravel() for unit in range(shape[2])]
    if kind == "W":
        return list(index.T)
    return list(index) if kind in ("E", "Pos") else [index.ravel()]


class SquaredNet(TokenNet):
    """The masked classifier of token ids with a tied head, under squared loss."""

    def loss(self, weights=None):
        return ((self.outputs(weights) - self.Y) ** 2).sum() / 2

    gradient = LanguageModel.gradient


class Networks(ToolTest):
    """Networks of many layers with token ids, masks, norms and a tied head; under cross-entropy and squared loss."""

    def both(self):
        for net in (LanguageModel(), SquaredNet()):
            net.write(self.path("p.h5"))
            with self.subTest(net=type(net).__name__):
                yield net

    def slice(self, *args, expected=None):
        """The loss, the steps and the directions of a slice."""
        out = self.done("basin-slice", "p.h5", "-o", "r.h5", "--overwrite", *args)
        if expected:
            self.assertIn(expected, out)
        with h5py.File(self.path("r.h5")) as file:
            y = file["ycoordinates"][()] if "ycoordinates" in file else np.zeros(1)
            return (np.atleast_2d(file["train_loss"][()]), file["xcoordinates"][()], y,
                    file["entry/directions/x"][()], file["entry/directions/y"][()])

    def check_losses(self, net, f, x, y, u, v):
        blocks = list(net.weights)
        theta = net.theta(blocks)
        for (j, i), found in np.ndenumerate(f):
            np.testing.assert_allclose(found, net.loss(net.at(blocks, theta + x[i] * u + y[j] * v)), rtol=1e-12)

    def test_filters_are_output_units_of_matrices_and_rows_of_tables(self):
        for net in self.both():
            _, _, _, u, v = self.slice("--x", "0:0:1", "--y", "0:0:1", "--normalise", "none")
            f, x, y, *directions = self.slice("--x", "-1:1:3", "--y", "-0.5:1:2")
            self.check_losses(net, f, x, y, *directions)
            for raw, found in zip((u, v), directions):
                raw, found = net.at(list(net.weights), raw), net.at(list(net.weights), found)
                for name, weights in net.weights.items():
                    expected = raw[name].ravel().copy()
                    for part in filters(name, weights.shape):
                        expected[part] *= np.linalg.norm(weights.ravel()[part]) / np.linalg.norm(expected[part])
                    np.testing.assert_allclose(found[name].ravel(), expected, rtol=1e-13, err_msg=name)

    def test_each_direction_in_blocks_of_its_own(self):
        for net in self.both():
            f, x, y, u, v = self.slice("--u-blocks", "blocks.*.attention.*", "--v-blocks", "blocks.1.mlp.*,embedding.E", "--ignore", "biases,gains",
                                       "--x", "-1:1:3", "--y", "-1:1:2", "--quantities", "gradient",
                                       expected="u: random, in blocks.*.attention.* alone, without biases and gains, normalised by filter")
            self.check_losses(net, f, x, y, u, v)
            blocks = list(net.weights)
            at = net.at(blocks, u), net.at(blocks, v)
            moving = [{name for name in blocks if direction[name].any()} for direction in at]
            self.assertEqual(moving[0], {name for name in blocks if ".attention.W" in name})
            self.assertEqual(moving[1], {"embedding.E", "blocks.1.mlp.in.W", "blocks.1.mlp.out.W"})
            norms = self.results("r.h5", "gradient_norm")  # of all that is trained
            expected = np.linalg.norm(net.gradient(blocks, net.theta(blocks) + x[2] * u + y[1] * v))
            np.testing.assert_allclose(norms[1, 2], expected, rtol=1e-12)

    def test_last_blocks_alone_have_the_bits_of_the_whole(self):
        """What comes before is evaluated once, as far as memory goes; with the tied embedding nothing is."""
        for net in self.both():
            for patterns in ("blocks.1.mlp.*,head.b", "head.b", "embedding.E"):
                args = ["--u-blocks", patterns, "--v-blocks", patterns, "--x", "-1:1:3", "--y", "-1:1:3"]
                f, x, y, u, v = self.slice(*args)
                self.check_losses(net, f, x, y, u, v)
                np.testing.assert_array_equal(self.slice(*args, "--memory", "1K")[0], f)
                with h5py.File(self.path("d.h5"), "w") as file:  # the same plane beside another that moves all
                    file["u"], file["v"] = u, v
                np.testing.assert_array_equal(self.slice("--u", "d.h5:u", "--v", "d.h5:v", *args[4:])[0], f)

    def test_gradient_and_eigenvectors(self):
        for net in self.both():
            trained = ["blocks.0.attention.W_V", "blocks.1.mlp.in.b", "head.b"]
            theta = net.theta(trained)
            g = net.gradient(trained, theta)
            h = 1e-3
            d = lambda j, t: net.gradient(trained, theta + t * h * np.eye(theta.size)[j])
            H = np.array([(8 * (d(j, 1) - d(j, -1)) - (d(j, 2) - d(j, -2))) / (12 * h) for j in range(theta.size)])
            values, vectors = np.linalg.eigh((H + H.T) / 2)
            args = ["--train", ",".join(trained), "--x", "-1:1:3", "--y", "0:0:1"]
            u, v = self.slice("--u", "gradient", "--v", "largest", "--quantities", "eigenvalues", *args)[3:]
            np.testing.assert_allclose(u, g, rtol=0, atol=1e-12 * np.linalg.norm(g))
            self.assertAlmostEqual(abs(v @ vectors[:, -1]), 1, delta=1e-8)
            low, high = self.results("r.h5", "min_eig", "max_eig")
            size = abs(values).max()  # differences of fourth order are right to 1e-8 of that
            self.assertAlmostEqual(low[0, 1], values[0], delta=2e-7 * size)
            self.assertAlmostEqual(high[0, 1], values[-1], delta=2e-7 * size)
            # of some blocks: the gradient there, and the eigenvector of their diagonal block of the Hessian
            u, v = self.slice("--u", "gradient", "--u-blocks", "head.b", "--v", "smallest", "--v-blocks", "*.W_V", *args)[3:]
            n = net.weights["blocks.0.attention.W_V"].size
            np.testing.assert_allclose(u[-6:], g[-6:], rtol=0, atol=1e-12 * np.linalg.norm(g))
            self.assertFalse(u[:-6].any() or v[n:].any())
            self.assertAlmostEqual(abs(v[:n] @ np.linalg.eigh((H + H.T)[:n, :n] / 2)[1][:, 0]), 1, delta=1e-7)

    def test_towards_points_and_along_a_run(self):
        for net in self.both():
            self.done("basin-train", "p.h5", "-o", "run.h5", "--overwrite", "--steps", 6, "--final", "end.h5")
            theta, steps = self.results("run.h5", "trajectory/theta", "trajectory/step")
            blocks = list(net.weights)
            for where, row in (("run.h5", -1), ("end.h5", -1), ("run.h5:/trajectory/theta", -1), ("run.h5:/trajectory/theta:3", 3)):
                f, x, y, u, _ = self.slice("--to", where, "--x", "0:2:3")
                np.testing.assert_array_equal(u, theta[row] - theta[0], err_msg=where)
                self.check_losses(net, f, x, y, u, 0 * u)
            # some blocks alone go there
            f, x, y, u, _ = self.slice("--to", "run.h5", "--u-blocks", "blocks.*", "--x", "0:1:2")
            expected = net.at(blocks, theta[-1] - theta[0])
            expected = np.concatenate([(1 if name.startswith("blocks.") else 0) * expected[name].ravel() for name in blocks])
            np.testing.assert_array_equal(u, expected)
            self.check_losses(net, f, x, y, u, 0 * u)
            f, x, y, u, v = self.slice("--trajectory", "run.h5", "--u", "pca:1", "--v", "pca:2", "--x", "-0.1:0.1:3", "--y", "0:0.1:2")
            self.check_losses(net, f, x, y, u, v)
            centred = theta - theta.mean(axis=0)
            _, sizes, principal = np.linalg.svd(centred, full_matrices=False)
            for direction, expected in zip((u, v), principal):  # the second is what eps leaves of squares of the sizes
                self.assertAlmostEqual(abs(direction @ expected), 1, delta=1e-10)
            path, share = self.results("r.h5", "entry/trajectory/loss", "entry/trajectory/variance_share")
            self.assertEqual(path.size, steps.size)
            np.testing.assert_allclose(path, [net.loss(net.at(blocks, t)) for t in theta], rtol=1e-12)
            self.assertAlmostEqual(share, (sizes[:2] ** 2).sum() / (sizes**2).sum(), delta=1e-10)

    def test_accuracy_counts_rows_with_labels(self):
        for pool in (False, True):
            net = LanguageModel(pool=pool)
            net.write(self.path("p.h5"))
            f, x, y, u, v = self.slice("--x", "-1:1:5", "--y", "-1:1:4", "--quantities", "accuracy")
            found, blocks = self.results("r.h5", "train_acc"), list(net.weights)
            for (j, i), share in np.ndenumerate(found):
                F = net.outputs(net.at(blocks, net.theta(blocks) + x[i] * u + y[j] * v))
                right = (F.argmax(axis=2) == net.labels)[net.labels >= 0]
                self.assertAlmostEqual(share, 100 * right.mean(), places=12)
            self.assertGreater(np.unique(found).size, 1)
            for extra in ("loss,accuracy,gradient", "accuracy,eigenvalues"):
                again = self.slice("--x", "-1:1:5", "--y", "-1:1:4", "--quantities", extra)[0]
                np.testing.assert_array_equal(again, f)
                np.testing.assert_array_equal(self.results("r.h5", "train_acc"), found)

    def test_same_bits_for_any_threads_and_memory(self):
        net = LanguageModel()
        net.write(self.path("p.h5"))
        args = ["basin-slice", "p.h5", "--x", "-1:1:23", "--y", "-1:1:2", "--quantities", "gradient,eigenvalues,accuracy", "--train", "blocks.1.*,head.b"]
        names = ("train_loss", "train_acc", "gradient_norm", "min_eig", "max_eig")
        found = []
        for threads, memory in ((1, "1G"), (3, "1G"), (3, "2K")):
            subprocess.run([BIN / args[0], *args[1:], "-o", "t.h5", "--overwrite", "--memory", memory, "-q"], cwd=self.folder, check=True,
                           env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True)
            found.append(self.results("t.h5", *names))
        for other in found[1:]:
            for name, a, b in zip(names, found[0], other):
                np.testing.assert_array_equal(a, b, err_msg=name)

    def test_along_a_symmetry_the_loss_is_constant(self):
        """A number added to all classes, or to all keys of a head."""
        LanguageModel().write(self.path("p.h5"))
        self.done("basin-slice", "p.h5", "-o", "r.h5", "--u", "symmetry", "--v", "none", "--x", "-2:2:5")
        loss = self.results("r.h5", "train_loss")
        self.assertLess(np.ptp(loss), 1e-12 * loss.max())
        self.assertAlmostEqual(float(self.results("r.h5", "entry/directions/x_symmetry_share")), 1, places=12)

    def test_refused(self):
        net = LanguageModel()
        net.write(self.path("p.h5"))
        self.problem(name="single.h5")
        for message, *args in (
                ("--u symmetry: there is no symmetry with these trained blocks", "--u", "symmetry", "--train", "embedding.E"),
                ("--normalise gauge: a canonical gauge is known for a single attention layer under squared loss alone; found another network", "--normalise", "gauge"),
                ("--u-blocks nix: unknown parameter block 'nix'; the model has 33, the nearest: ", "--u-blocks", "nix"),
                ("--u-blocks blocks.*,head.*: head.* is not trained; add it to --train", "--train", "blocks.*", "--u-blocks", "blocks.*,head.*"),
                ("--v-blocks: without effect on a line", "--v", "none", "--v-blocks", "head.b"),
                ("--v-blocks: without effect with --lines", "--lines", 3, "--v-blocks", "head.b"),
                ("--ignore tables: found 'tables'; expected biases, gains or both", "--ignore", "tables"),
                ("--ignore gains: there are none among the trained blocks", "--train", "head.b", "--ignore", "gains"),
                ("--ignore biases: nothing is left to move along v", "--v-blocks", "head.b", "--ignore", "biases"),
                ("--u random: the direction is zero: all weights that it moves are zero", "--u-blocks", "positions.Pos"),
                ("--u to:single.h5: the weights are of another model", "--to", "single.h5")):
            if "positions.Pos" in args:
                net.weights["positions.Pos"] *= 0
                net.write(self.path("p.h5"))
            self.refused(2, message, "basin-slice", "p.h5", "-o", "r.h5", *args)
        self.no_leftovers("p.h5", "single.h5")


class LongRuns(ToolTest):
    KILLS = int(os.environ.get("BASIN_KILLS", 2))  # 100 for the whole test
    LONG = ["--x", "-1:1:41", "--y", f"-1:1:{20 + 6 * KILLS}", "--quantities", "gradient"]

    def start(self, name, *args):
        return subprocess.Popen([str(a) for a in (BIN / "basin-slice", "problem.h5", "-o", name, *args)], cwd=self.folder,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    @many_runs
    def test_killed_and_resumed(self):
        self.problem(N=16, n=12, D=12, d=4)
        begin = time.monotonic()
        self.done("basin-slice", "problem.h5", "-o", "whole.h5", *self.LONG)
        whole = time.monotonic() - begin
        chance, kills = random.Random(1), 0
        while True:
            process = self.start("r.h5", *self.LONG, "--resume", "--write-every", 0)
            try:
                # Most kills come early, so that there are many before the run is through.
                wait = chance.uniform(0, whole / self.KILLS + 0.05) if kills < self.KILLS else 300
                code = process.wait(wait)
                self.assertEqual(code, 0, process.stderr.read())
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            finally:
                process.stderr.close()
            if self.path("r.h5").exists():  # a viewer may open it at any time
                with h5py.File(self.path("r.h5")) as file:
                    computed, f = file["computed"][()], file["train_loss"][()]
                    self.assertTrue((f[computed == 0] == -1).all() and (f[computed == 1] > 0).all())
        self.assertGreaterEqual(kills, 0.8 * self.KILLS)
        self.assertEqual(contents(self.path("whole.h5")), contents(self.path("r.h5")))
        self.no_leftovers("problem.h5", "r.h5", "whole.h5")

    def test_two_runs_of_one_file(self):
        self.problem(N=60, n=16, D=16, d=4)
        first = self.start("r.h5", *self.LONG)
        wait_for_record(self.path("r.h5.journal"), first)
        first.send_signal(signal.SIGSTOP)  # held in the midst of its work, however quick it is
        self.refused(2, "r.h5.journal: in use by another run", "basin-slice", "problem.h5", "-o", "r.h5", *self.LONG, "--resume")
        self.refused(2, "r.h5.journal: in use by another run", "basin-slice", "problem.h5", "-o", "r.h5", *self.LONG, "--overwrite")
        first.kill()
        first.wait()
        first.stderr.close()
        self.refused(2, "an unfinished run has left its journal; go on with --resume", "basin-slice", "problem.h5", "-o", "r.h5", *self.LONG)
        self.refused(2, "the journal of another run (y = ", "basin-slice", "problem.h5", "-o", "r.h5", *self.LONG[:2], "--quantities", "gradient",
                     "--resume")

    def test_shares(self):
        self.problem()
        grid = ["--x", "-1:1:45", "--y", "-1:1:4"]
        self.done("basin-slice", "problem.h5", "-o", "whole.h5", *grid)
        for i in (1, 2, 3):
            self.done("basin-slice", "problem.h5", "-o", f"{i}.h5", *grid, "--part", f"{i}/3")
            with h5py.File(self.path(f"{i}.h5")) as file:
                self.assertEqual(file["entry/slice/complete"][()], 0)
                root, shown = file["train_loss"][()], file["entry/surface/train_loss"][()]  # for scripts, and for viewers
                np.testing.assert_array_equal(np.where(np.isnan(shown), -1, shown), root)
                self.assertEqual(np.isnan(shown).sum(), (root == -1).sum())
                self.assertEqual(file["entry/surface/train_loss"].attrs["long_name"], "loss f")
        self.done("basin-slice", "merge", "3.h5", "1.h5", "2.h5", "-o", "m.h5")
        self.assertEqual(contents(self.path("whole.h5")), contents(self.path("m.h5")))
        self.refused(2, "1.h5: is read as --shares 1.h5", "basin-slice", "merge", "1.h5", "2.h5", "3.h5", "-o", "1.h5", "--overwrite")
        self.refused(2, "the files leave out", "basin-slice", "merge", "1.h5", "2.h5", "-o", "x.h5")
        self.refused(2, "is in a file before it, too", "basin-slice", "merge", "1.h5", "1.h5", "-o", "x.h5")
        self.done("basin-slice", "problem.h5", "-o", "other.h5", *grid, "--part", "2/3", "--seed", 4)
        self.refused(2, "other.h5: of another slice than 1.h5 (", "basin-slice", "merge", "1.h5", "other.h5", "-o", "x.h5")
        self.refused(2, "problem.h5: not a Basin file", "basin-slice", "merge", "problem.h5", "-o", "x.h5")

    def test_shares_with_a_path(self):
        _, problem = self.problem()
        theta, rng = theta_of(problem["weights"]), np.random.default_rng(3)
        with h5py.File(self.path("t.h5"), "w") as file:
            file["trajectory/theta"], file["trajectory/step"] = theta + 0.1 * rng.standard_normal((4, theta.size)), np.arange(4)
        run = ["basin-slice", "problem.h5", "--x", "-1:1:25", "--y", "-1:1:4", "--seed", 9]
        path = ["--trajectory", "t.h5", "--u", "pca:1"]
        self.done(*run, *path, "-o", "whole.h5")
        for i in (1, 2):
            self.done(*run, *path, "-o", f"{i}.h5", "--part", f"{i}/2")
        self.done("basin-slice", "merge", "1.h5", "2.h5", "-o", "m.h5")
        self.assertEqual(contents(self.path("whole.h5")), contents(self.path("m.h5")))
        with h5py.File(self.path("m.h5")) as file:
            self.assertEqual(file["proj_xcoord"], file["entry/trajectory/proj_xcoord"])  # the same object
            self.assertIn("cos(u, v)", file["entry/verdict"].asstr()[()])
        self.done(*run, "-o", "a.h5", "--part", "1/2")
        self.done(*run, "--trajectory", "t.h5", "-o", "b.h5", "--part", "2/2")
        self.refused(2, "of another slice than a.h5 (trajectory = ", "basin-slice", "merge", "a.h5", "b.h5", "-o", "x.h5")

    def test_killed_before_the_journal_was_deleted(self):
        self.problem()
        limit = 40000
        args = ["basin-slice", "problem.h5", "-o", "r.h5"]
        self.refused(1, "r.h5", *args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        journal = self.path("r.h5.journal").read_bytes()
        self.done(*args, "--resume")
        result = self.path("r.h5").read_bytes()
        self.path("r.h5.journal").write_bytes(journal)
        self.assertEqual(self.done(*args, "--resume"), "")
        self.assertEqual(self.path("r.h5").read_bytes(), result)
        self.no_leftovers("problem.h5", "r.h5")

    def test_full_disk(self):
        self.problem()
        limit = 40000
        self.refused(1, "r.h5", "basin-slice", "problem.h5", "-o", "r.h5",
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertFalse(self.path("r.h5").exists())
        self.assertTrue(self.path("r.h5.journal").exists())
        self.done("basin-slice", "problem.h5", "-o", "r.h5", "--resume")
        self.done("basin-slice", "problem.h5", "-o", "whole.h5")
        self.assertEqual(contents(self.path("whole.h5")), contents(self.path("r.h5")))

    def test_vtk(self):
        self.problem()
        self.done("basin-slice", "problem.h5", "-o", "r.h5", "--x", "-1:1:5", "--y", "0:1:3")
        with h5py.File(self.path("r.h5")) as file:
            vtk, f = file["VTKHDF"], file["train_loss"][()]
            self.assertEqual(vtk.attrs["Version"].tolist(), [1, 0])
            self.assertEqual(vtk.attrs["Type"], b"UnstructuredGrid")
            np.testing.assert_array_equal(vtk["Points"][:, 2], f.ravel())
            np.testing.assert_array_equal(vtk["Points"][:5, 0], [-1, -0.5, 0, 0.5, 1])
            self.assertEqual((vtk["NumberOfPoints"][0], vtk["NumberOfCells"][0], vtk["NumberOfConnectivityIds"][0]), (15, 8, 32))
            np.testing.assert_array_equal(vtk["Connectivity"][:4], [0, 1, 6, 5])
            np.testing.assert_array_equal(vtk["Offsets"], np.arange(0, 33, 4))
            self.assertTrue((vtk["Types"][()] == 9).all())
        self.done("basin-slice", "problem.h5", "-o", "l.h5", "--lines", 3, "--x", "-1:1:4", "--quantities", "gradient")
        with h5py.File(self.path("l.h5")) as file:  # no cell joins two lines
            vtk = file["VTKHDF"]
            self.assertEqual(vtk["Connectivity"][()].reshape(-1, 2).tolist(), [[i, i + 1] for i in range(12) if i % 4 < 3])
            self.assertTrue((vtk["Types"][()] == 3).all())
            np.testing.assert_array_equal(vtk["PointData/gradient_norm"], file["gradient_norm"][()].ravel())


if __name__ == "__main__":
    unittest.main()
