"""The same landscape in other units: powers of two that scale every number exactly change no verdict, count, share or word."""

import re
import shutil

import h5py
import numpy as np
from support import ToolTest, many_runs, run

CONSTRUCTIONS = {"softmax-trap": "W_Q", "gaussian-trap": "W_Q", "softmax-saddle": "W_Q,W_K", "zero-scores": "W_Q,W_K"}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|\b(inf|nan)\b")


def words(text):
    """The text without its numbers."""
    return NUMBER.sub("#", text)


@many_runs
class Units(ToolTest):
    def construct(self, name, *options):
        path = self.path(name + ".h5")
        self.done("basin-problem", "construct", name, "-o", path, "--overwrite", *options)
        return path

    def teacher(self, kernel, *options):
        path = self.path(f"teacher-{kernel}.h5")
        self.done("basin-problem", "teacher", "-o", path, "-N", 2, "-n", 3, "-D", 4, "-H", 1, "-d", 2, "--outputs", 1, "--kernel", kernel,
                  "--seed", 2, *options)
        return path

    def scaled(self, path, powers):
        """A copy with datasets times powers of two: {"Y": 3} multiplies /data/Y, and weights wherever they are."""
        copy = self.path("scaled.h5")
        shutil.copy(path, copy)
        with h5py.File(copy, "a") as file:
            for name, power in powers.items():
                for group in ("data", "parameters", "minimum", "teacher"):
                    if f"{group}/{name}" in file:
                        file[f"{group}/{name}"][...] *= 2.0**power
                    elif group in file and name in file[group].attrs:
                        file[group].attrs[name] *= 2.0**power
        return copy

    def search(self, path, *options):
        """What basin-stationary says, with its numbers replaced, and the columns of its file."""
        options = [path if option == "SELF" else option for option in options]
        out = self.done("basin-stationary", path, "-o", "c.h5", "--overwrite", *options)
        with h5py.File(self.path("c.h5")) as file:
            return words(out), {name: data[()] for name, data in file["entry/starts"].items()}

    def same_search(self, path, powers, factors, *options):
        """factors: of the loss and of the trained weights, as powers of two."""
        text, starts = self.search(path, *options)
        for power in powers:
            other_text, other = self.search(self.scaled(path, power), *options)
            case = f"{path.name} {power} {options}"
            self.assertEqual(other_text, text, case)
            for name in ("verdict", "entry", "negative", "zero", "positive", "descent_steps", "finish_steps", "polish_steps", "rose"):
                np.testing.assert_array_equal(other[name], starts[name], f"{case} {name}")  # NaN: not computed
            np.testing.assert_array_equal(other["loss"] * 2.0 ** -(factors * power["Y"]), starts["loss"], case)

    def test_targets_and_outputs(self):
        """Y and W_O times 2^e, W_O held: losses, gradients and Hessians times 4^e."""
        powers = [{"Y": e, "W_O": e} for e in (-40, -17, 20)]
        for name, blocks in CONSTRUCTIONS.items():
            for kernel in ("softmax", "gaussian"):
                path = self.construct(name, "--kernel", kernel)
                self.same_search(path, powers, 2, "--train", blocks, "--at", "SELF", "--starts", 3, "--check-return", 1)
        for kernel in ("softmax", "gaussian"):
            self.same_search(self.teacher(kernel, "--noise", 0.1), powers, 2, "--train", "W_Q,W_K,W_V", "--starts", 4, "--search", "both")

    def test_inputs_and_bandwidth(self):
        """Lengths of the weights: X times 2^e, or the bandwidth, and the weights that make up for it."""
        for kernel in ("softmax", "gaussian"):
            noisy = self.teacher(kernel, "--noise", 0.1, "--bandwidth", 1.5) if kernel == "gaussian" else self.teacher(kernel, "--noise", 0.1)
            powers = [{"Y": 0, "X": e, "W_Q": -e, "W_K": -e, "W_V": -e} for e in (-12, 9)]
            # the given point, with its perturbed copies, and what descends from it
            self.same_search(noisy, powers, 0, "--train", "W_Q,W_K,W_V", "--at", "SELF", "--from", "SELF", "--check-return", 1)
        powers = [{"Y": 0, "bandwidth": e, "W_Q": e, "W_K": e} for e in (-12, 9)]
        self.same_search(noisy, powers, 0, "--train", "W_Q,W_K", "--at", "SELF", "--from", "SELF")

    def test_gauge(self):
        """Of stationary points: W_Q against W_K, W_V against W_O, trained or held fixed."""
        for name, blocks in CONSTRUCTIONS.items():
            path = self.construct(name, "--kernel", "softmax")
            if name == "gaussian-trap":
                continue  # of the other kernel
            for train in (blocks, "W_Q,W_K"):
                text, starts = self.search(path, "--train", train, "--at", "SELF", "--check-return", 0)
                for powers in ({"W_Q": 6, "W_K": -6}, {"W_Q": -6, "W_K": 6}, {"W_V": 5, "W_O": -5}):
                    _, other = self.search(self.scaled(path, powers), "--train", train, "--at", "SELF", "--check-return", 0)
                    for quantity in ("verdict", "negative", "zero", "positive", "gap"):
                        np.testing.assert_array_equal(other[quantity], starts[quantity], f"{name} {train} {powers} {quantity}")

    def test_descents_on_record(self):
        """Every method that chooses its own steps stops after the same step, for the same reason."""
        path = self.teacher("softmax", "--noise", 0.1)
        for method in ("gd", "line-search", "momentum", "lbfgs", "newton"):
            args = ["--train", "W_Q,W_K,W_V", "--method", method, "--steps", 150, "--tolerance", 1e-4, "--record-every", 1]
            out = self.done("basin-train", path, "-o", "r.h5", "--overwrite", *args)
            losses = self.results("r.h5", "entry/run/loss")
            for e in (-40, 20):
                other = self.done("basin-train", self.scaled(path, {"Y": e, "W_O": e}), "-o", "r.h5", "--overwrite", *args)
                self.assertEqual(words(other), words(out), method)
                np.testing.assert_array_equal(self.results("r.h5", "entry/run/loss") * 4.0**-e, losses, method)
            self.assertIn("converged" if method in ("lbfgs", "newton") else " steps: ", out)

    def test_other_tools_say_the_same(self):
        for kernel in ("softmax", "gaussian"):
            path = self.teacher(kernel)
            for tool, args in (
                ("basin-ntk", ["--train", "W_Q,W_K,W_V"]),
                ("basin-hessian", ["--train", "W_Q,W_K,W_V", "--largest", 2, "--smallest", 2, "--counts"]),
                ("basin-slice", ["--train", "W_Q,W_K,W_V", "--x", "-1:1:3", "--y", "-1:1:3"]),
            ):
                out = words(self.done(tool, path, "-o", "r.h5", "--overwrite", *args))
                for e in (-40, 20):
                    other = self.scaled(path, {"Y": e, "W_O": e})
                    self.assertEqual(words(self.done(tool, other, "-o", "r.h5", "--overwrite", *args)), out, f"{tool} {kernel} {e}")

    def test_beyond_what_numbers_hold(self):
        """A refusal in a line, or the same verdict."""
        for name, blocks in CONSTRUCTIONS.items():
            path = self.construct(name)
            expected, _ = self.search(path, "--train", blocks, "--at", "SELF")
            for e in (-400, -300, -120, 120, 300, 400):
                other = self.scaled(path, {"Y": e, "W_O": e})
                for tool, args in (("basin-stationary", ["--at", other]), ("basin-train", ["--steps", 3])):
                    process = run(tool, other, "-o", "x.h5", "--train", blocks, *args, cwd=self.folder)
                    self.assertEqual((process.returncode, process.stdout), (1, ""), f"{name} {e} {process.stderr}")
                    self.assertRegex(process.stderr, r"^basin-[a-z]+: .*(overflow|underflow|not finite|too large).*\n$")
        # a loss that overflows where the point is, in units that are fine
        with h5py.File(path, "a") as file:
            file["parameters/W_V"][...] *= 1e200
        self.refused(1, "--at zero-scores.h5: the loss, its gradient or their squares overflow there", "basin-stationary", "zero-scores.h5", "-o", "x.h5", "--at", "zero-scores.h5")

    def test_tolerances_are_relative(self):
        """--tolerance T stops at T |J|_F |Y| / sqrt(m), to what 8 probes know of that; --loss-tolerance F at F |Y|^2 / 2."""
        from support import jacobian, random_problem, write_problem

        problem = random_problem(seed=3)
        write_problem(self.path("p.h5"), problem)
        scale = np.linalg.norm(jacobian(problem)) * np.linalg.norm(problem["Y"]) / np.sqrt(problem["Y"].size)
        for tolerance in (1e-2, 1e-4):
            out = self.done("basin-train", "p.h5", "-o", "r.h5", "--overwrite", "--method", "lbfgs", "--tolerance", tolerance)
            slope, limit = re.search(r"\|grad f\| = (\S+) <= (\S+)", out).groups()
            self.assertLessEqual(float(slope), float(limit))
            self.assertTrue(0.5 < float(limit) / (tolerance * scale) < 2, out)
        out = self.done("basin-train", "p.h5", "-o", "r.h5", "--overwrite", "--method", "lbfgs", "--loss-tolerance", 1e-3)
        limit = float(re.search(r"f = \S+ <= (\S+)", out).group(1))
        self.assertAlmostEqual(limit / (1e-3 * (problem["Y"] ** 2).sum() / 2), 1, 2)


if __name__ == "__main__":
    import unittest

    unittest.main()
