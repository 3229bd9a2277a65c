"""basin-slice: the right numbers in the right cells, in the form that other programs read."""

import unittest

import h5py
import numpy as np
from support import BLOCKS, ToolTest, outputs, theta_of, weights_at, write_problem


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
                self.assertEqual(file["entry/center_loss"][()], f[1, 2])

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

    def test_losses_that_overflow_are_counted(self):
        path, problem = self.problem()
        out = self.done("basin-slice", path, "-o", "r.h5", "--x", "-1e160:1e160:3", "--y", "0:1:2")
        self.assertIn("4 grid points overflow", out)
        self.assertEqual((~np.isfinite(self.results("r.h5", "train_loss"))).sum(), 4)

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


if __name__ == "__main__":
    unittest.main()
