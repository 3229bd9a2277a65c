"""basin-stationary: verdicts on points that are known, catalogues that do not depend on how they were made."""

import os
import subprocess
import time

import h5py
import numpy as np
from support import BIN, BLOCKS, ToolTest, gradient, hessian_product, jacobian, outputs, random_problem, theta_of, weights_at, write_problem, many_runs, run, wait_for_record


def gauge_copy(problem, seed=0):
    """The same function in another gauge, heads in another order."""
    rng = np.random.default_rng(seed)
    W = {name: values.copy() for name, values in problem["weights"].items()}
    H, d = W["W_Q"].shape[0], W["W_Q"].shape[2]
    for h in range(H):
        if problem["kernel"] == "softmax":
            M = np.eye(d) + 0.3 * rng.standard_normal((d, d))
            W["W_Q"][h], W["W_K"][h] = W["W_Q"][h] @ M, W["W_K"][h] @ np.linalg.inv(M).T
        else:
            Omega = np.linalg.qr(rng.standard_normal((d, d)))[0]
            W["W_Q"][h], W["W_K"][h] = W["W_Q"][h] @ Omega, W["W_K"][h] @ Omega
        M = np.eye(d) + 0.3 * rng.standard_normal((d, d))
        W["W_V"][h], W["W_O"][h] = W["W_V"][h] @ M, np.linalg.solve(M, W["W_O"][h])
    order = rng.permutation(H)
    return {name: values[order] for name, values in W.items()}


class Stationary(ToolTest):
    def catalogue(self, problem, *options, output="c.h5"):
        return self.done("basin-stationary", problem, "-o", output, "--overwrite", *options)

    def column(self, name, output="c.h5"):
        with h5py.File(self.path(output)) as file:
            values = file["entry/" + name][()]
        return [v.decode() for v in values] if values.dtype.kind == "O" else values

    def numbers(self, name):
        """Everything but the time it took."""
        found = {}

        def visit(path, item):
            if isinstance(item, h5py.Dataset) and "provenance" not in path:
                found[path] = item[()] if item.dtype.kind == "O" else item[()].tobytes()

        with h5py.File(self.path(name)) as file:
            file.visititems(visit)
        return {path: v.tolist() if isinstance(v, np.ndarray) else v for path, v in found.items()}

    def construct(self, name):
        path = self.path(name + ".h5")
        if not path.exists():
            self.done("basin-problem", "construct", name, "-o", path)
        return path

    def test_constructions(self):
        """Theory, section F: loss, gradient and smallest eigenvalue to the digits given there."""
        for name, blocks, kernel, verdict, loss, smallest in (
            ("softmax-trap", "W_Q", "softmax", "suboptimal local minimum", 0.5, 0.25),
            ("softmax-trap", "W_Q,W_K", "softmax", "saddle", 0.5, -1.575),
            ("gaussian-trap", "W_Q", "gaussian", "suboptimal local minimum", 0.2493259, 0.4942),
            ("softmax-saddle", "W_Q,W_K", "softmax", "saddle", 0.09375, -0.09449),
            ("zero-scores", "W_Q,W_K", "softmax", "saddle", 0.09375, None),
            ("zero-scores", "W_Q,W_K", "gaussian", "saddle", 4.59375, None),
        ):
            path = self.construct(name)
            out = self.catalogue(path, "--at", path, "--train", blocks, "--kernel", kernel, "--global-minimum", 0)
            case = f"{name} {blocks} {kernel}"
            self.assertEqual(self.column("starts/verdict"), [verdict], case)
            self.assertIn(verdict.split()[0], out)
            np.testing.assert_allclose(self.column("starts/loss"), loss, rtol=5e-8, err_msg=case)
            np.testing.assert_allclose(self.column("starts/gap"), loss, rtol=5e-8, err_msg=case)
            if smallest:
                np.testing.assert_allclose(self.column("starts/smallest_eigenvalue"), smallest, rtol=2e-4, err_msg=case)
            self.assertLessEqual(self.column("starts/gradient_norm")[0], self.column("starts/gradient_rounding")[0])
            if verdict == "saddle":
                self.assertLess(self.column("starts/escape_fall")[0], 0)
                self.assertGreater(self.column("starts/negative")[0], 0)
            else:
                self.assertEqual(self.column("starts/returned")[0], 3)
                self.assertEqual(self.column("starts/zero")[0], 0)
        # and what is stationary under one kernel is not under the other
        for name, blocks, kernel, slope in (
            ("softmax-trap", "W_Q", "gaussian", 4.371970),
            ("softmax-saddle", "W_Q,W_K", "gaussian", 1.465726),
            ("gaussian-trap", "W_Q", "softmax", None),
        ):
            path = self.construct(name)
            self.catalogue(path, "--at", path, "--train", blocks, "--kernel", kernel)
            self.assertEqual(self.column("starts/verdict"), ["not stationary"])
            self.assertEqual(self.column("starts/entry")[0], -1)
            if slope:
                self.assertAlmostEqual(self.column("starts/gradient_norm")[0], slope, 6)

    def test_the_trap_is_suboptimal_as_descents_find_better(self):
        path = self.construct("softmax-trap")
        out = self.catalogue(path, "--train", "W_Q", "--at", path, "--starts", 40, "--gain", "W_Q=3")
        self.assertIn("the given point is a suboptimal strict local minimum", out)
        verdicts = self.column("starts/verdict")
        self.assertIn("global minimum", verdicts)
        self.assertGreater(verdicts.count("suboptimal local minimum"), 20)
        with h5py.File(self.path("c.h5")) as file:
            counts, first = file["entry/entries/count"][()], file["entry/entries/start"][()]
            entry, shares = file["entry/starts/entry"][()], file["entry/shares"]
            self.assertEqual(counts.sum(), 41)
            for e, count in enumerate(counts):
                self.assertEqual((entry == e).sum(), count)
                self.assertEqual(np.flatnonzero(entry == e)[0], first[e])
            self.assertEqual(shares["count"][()].sum(), 40)  # the given point is no descent
            self.assertEqual(file["entry/catalogue/lowest_is_global"][()], 1)
            # Wilson's interval
            p, n, z = shares["share"][()], shares["total"][()], 1.959963984540054
            middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
            np.testing.assert_allclose(shares["lower"][()], (middle - half) / (1 + z**2 / n), atol=1e-12)
            np.testing.assert_allclose(shares["upper"][()], (middle + half) / (1 + z**2 / n), atol=1e-12)

    def test_assertions(self):
        self.done("basin-problem", "construct", "softmax-trap", "-o", "trap.h5")
        options = ("--train", "W_Q", "--at", "trap.h5", "--assert", "global")
        process = run("basin-stationary", "trap.h5", "-o", "trapped.h5", *options, cwd=self.folder)
        self.assertEqual((process.returncode, process.stderr), (3, "basin-stationary: --assert global: does not hold\n"))
        self.assertTrue(self.path("trapped.h5").exists())
        self.done("basin-stationary", "trap.h5", "-o", "free.h5", "--train", "W_V", "--starts", 3, "--assert", "global")

    def test_a_given_point_that_is_only_near_a_stationary_one(self):
        """gaussian-trap under softmax with W_Q and W_K trained: zero loss is 0.004 away."""
        self.done("basin-problem", "construct", "gaussian-trap", "-o", "trap.h5")
        out = self.done("basin-stationary", "trap.h5", "-o", "near.h5", "--kernel", "softmax", "--train", "W_Q,W_K", "--at",
                        "trap.h5")
        self.assertIn("the given point, f = 7.350049e-06, is at a distance of 0.00383 from one that is a global minimum", out)
        out = self.done("basin-stationary", "trap.h5", "-o", "off.h5", "--kernel", "softmax", "--train", "W_Q", "--at",
                        "trap.h5")
        self.assertIn("the given point is not stationary: f = 7.350049e-06", out)

    def test_a_large_gradient_decides(self):
        """Nothing is polished or counted, and what was not computed is NaN; a small gradient is looked into."""
        self.done("basin-problem", "teacher", "-o", "drawn.h5", "-D", 16, "-N", 8, "-n", 4)  # P = 896
        out = self.catalogue("drawn.h5", "--at", "drawn.h5")
        self.assertRegex(out, r"the given point is not stationary: f = \S+, \|grad f\| = \S+ \(rounding \S+\), "
                              r"too large for a stationary point near by\n")
        with h5py.File(self.path("c.h5")) as file:
            row = {name: data[0] for name, data in file["entry/starts"].items()}
            self.assertEqual(row["entry"], -1)
        self.assertEqual((row["counts_from_code"], row["counts_exact"], row["polish_steps"]), (6, 0, 0))
        for name in ("newton_step", "newton_decrement", "symmetry_modes", "negative", "zero", "positive", "uncounted", "smallest_eigenvalue"):
            self.assertTrue(np.isnan(row[name]), name)
        for name in ("loss", "loss_error", "gradient_norm", "gradient_rounding", "gradient_slope"):
            self.assertGreater(row[name], 0, name)
        # its row is read like any other
        self.catalogue("drawn.h5", "--at", "drawn.h5", "--seed", 1, output="again.h5")
        self.done("basin-stationary", "merge", "c.h5", "again.h5", "-o", "merged.h5")
        self.assertEqual(self.column("starts/verdict", "merged.h5"), ["not stationary"] * 2)
        # a saddle of construction, and a point so near that its gradient excludes nothing
        path = self.construct("softmax-saddle")
        with h5py.File(path) as file:
            weights = np.concatenate([file["parameters/" + name][()].ravel() for name in BLOCKS])
        trained = sum(self.results(path, "parameters/" + name).size for name in ("W_Q", "W_K"))
        for distance in (0, 1e-6, 1e-4):
            near = weights.copy()
            near[:trained] += distance * np.linalg.norm(weights[:trained]) / np.sqrt(trained)
            with h5py.File(self.path("near.h5"), "w") as file:
                file["w"] = near
            self.catalogue(path, "--train", "W_Q,W_K", "--at", "near.h5:w", "--check-return", 0)
            self.assertEqual(self.column("starts/verdict"), ["saddle"], distance)
            self.assertNotEqual(self.column("starts/counts_from_code")[0], 6)

    def test_against_numpy(self):
        """Gradient, Hessian and counts of all entries, by the model in NumPy."""
        for kernel in ("softmax", "gaussian"):
            path, problem = self.problem("p.h5", kernel=kernel, N=3, n=3, D=3, H=1, d=2, D_out=1, seed=3)
            self.catalogue(path, "--train", "W_Q,W_K,W_V", "--starts", 8, "--search", "both")
            blocks = ("W_Q", "W_K", "W_V")
            with h5py.File(self.path("c.h5")) as file:
                e = {name: data[()] for name, data in file["entry/entries"].items()}
            checked = 0
            for i, kind in enumerate(e["verdict"].astype(str)):
                at = dict(problem)
                sizes = [problem["weights"][name].size for name in BLOCKS]
                parts = np.split(e["weights"][i], np.cumsum(sizes)[:-1])
                at["weights"] = {name: part.reshape(problem["weights"][name].shape) for name, part in zip(BLOCKS, parts)}
                theta = theta_of(at["weights"], blocks)
                loss = ((outputs(at, weights_at(at, theta, blocks)) - at["Y"]) ** 2).sum() / 2
                np.testing.assert_allclose(e["loss"][i], loss, rtol=1e-12, atol=1e-20)
                if kind.startswith("valley"):
                    continue
                self.assertLess(np.linalg.norm(gradient(at, blocks, theta)), 1e-10)
                H = np.array([hessian_product(at, v, blocks) for v in np.eye(theta.size)])
                values = np.linalg.eigvalsh((H + H.T) / 2)
                near = 1e-8 * abs(values).max()  # of the difference formula
                self.assertEqual((values < -near).sum(), e["negative"][i])
                if e["undecided"][i] == 0 and abs(e["smallest_eigenvalue"][i]) > near:
                    self.assertEqual((values > near).sum(), e["positive"][i])
                    self.assertEqual((abs(values) <= near).sum(), e["symmetry_modes"][i] + e["zero"][i])
                if kind == "saddle":
                    v, t = e["direction"][i], e["escape_step"][i]
                    self.assertAlmostEqual(v @ H @ v, e["smallest_eigenvalue"][i], 7)
                    there = ((outputs(at, weights_at(at, theta + t * v, blocks)) - at["Y"]) ** 2).sum() / 2
                    np.testing.assert_allclose(there - loss, e["escape_fall"][i], rtol=1e-8)
                    self.assertLess(there, loss)
                if kind.endswith("local minimum"):
                    self.assertEqual(e["returned"][i], e["perturbed"][i])
                checked += 1
            self.assertGreater(checked, 1)

    @many_runs
    def test_gauge_copies_are_one_entry(self):
        """A minimum in other gauges and orders of heads, polished from a little off it."""
        for kernel in ("softmax", "gaussian"):
            path, problem = self.problem("p.h5", kernel=kernel, N=6, n=3, D=3, H=2, d=1, D_out=2, seed=4)
            self.catalogue(path, "--starts", 6, "--check-return", 0)
            with h5py.File(self.path("c.h5")) as file:
                verdicts = file["entry/entries/verdict"][()].astype(str)
                minima = [e for e, v in enumerate(verdicts) if v.endswith("minimum")]
                weights = file["entry/entries/weights"][minima[0]]
                count, dimension = file["entry/entries/symmetry_modes"][minima[0]], problem["weights"]["W_Q"].shape
            sizes = np.cumsum([problem["weights"][name].size for name in BLOCKS])[:-1]
            found = dict(problem, weights={name: part.reshape(problem["weights"][name].shape) for name, part in zip(BLOCKS, np.split(weights, sizes))})
            rng = np.random.default_rng(1)
            names = ["c.h5"]
            for k in range(3):
                copy = gauge_copy(found, seed=k)
                for values in copy.values():
                    values += 1e-6 * rng.standard_normal(values.shape)
                write_problem(self.path("copy.h5"), dict(found, weights=copy))
                # the same problem (weights of the file are starts here), another seed
                self.catalogue(path, "--at", self.path("copy.h5"), "--check-return", 0, "--seed", k + 1, "--starts", 0, output=f"{k}.h5")
                names.append(f"{k}.h5")
                self.assertGreater(self.column("starts/polish_steps", f"{k}.h5")[0], 0)
                self.assertLessEqual(self.column("starts/gradient_norm", f"{k}.h5")[0], self.column("starts/gradient_rounding", f"{k}.h5")[0])
            self.done("basin-stationary", "merge", *names, "-o", "merged.h5", "--overwrite")
            entry = self.column("starts/entry", "merged.h5")
            self.assertEqual(len(set(entry[-3:])), 1)
            first = self.column("starts/entry")
            e = self.column("entries/start")[minima[0]]
            self.assertEqual(entry[e], entry[-1])
            self.assertLess(self.column("entries/spread", "merged.h5")[entry[-1]], 1e-8)
            self.assertEqual(len(self.column("entries/count", "merged.h5")), len(self.column("entries/count")))

    def test_the_same_starts_for_both_kernels(self):
        path, _ = self.problem(N=2, n=3, D=4, H=2, d=2, D_out=1)
        seeds = {}
        for kernel in ("softmax", "gaussian"):
            self.catalogue(path, "--kernel", kernel, "--starts", 4, "--steps", 0, "--finish-steps", 0, "--init", "xavier", "--gain", "W_Q=2")
            seeds[kernel] = list(self.column("starts/seed"))
            # the very start that basin-evaluate draws with this seed
            for seed, loss in zip(seeds[kernel], self.column("starts/start_loss")):
                self.done("basin-evaluate", path, "-o", "e.h5", "--overwrite", "--kernel", kernel, "--init", "xavier", "--gain", "W_Q=2", "--seed", seed)
                self.assertEqual(self.results("e.h5", "entry/evaluation/loss"), loss)
        self.assertEqual(seeds["softmax"], seeds["gaussian"])

    def test_blocks_held_fixed_are_those_of_the_file(self):
        path, problem = self.problem(N=2, n=3, D=4, H=2, d=2, D_out=1)
        self.catalogue(path, "--train", "W_Q", "--starts", 3, "--check-return", 0)
        size = problem["weights"]["W_Q"].size
        frozen = np.concatenate([problem["weights"][name].ravel() for name in BLOCKS[1:]])
        weights = self.column("starts/weights")
        self.assertTrue((weights[:, size:] == frozen).all())
        self.assertFalse((weights[0, :size] == weights[1, :size]).any())

    @many_runs
    def test_threads_do_not_matter(self):
        path, _ = self.problem(N=3, n=3, D=4, H=2, d=2, D_out=1, kernel="gaussian")
        for threads in (1, 2):
            self.catalogue(path, "--train", "W_Q,W_K", "--starts", 10, "--search", "both", "--threads", threads, output=f"{threads}.h5")
        self.assertEqual(self.numbers("1.h5"), self.numbers("2.h5"))

    @many_runs
    def test_killed_and_resumed(self):
        path, _ = self.problem(N=3, n=3, D=4, H=2, d=2, D_out=1)
        args = [path, "--train", "W_Q,W_K", "--starts", 8, "--search", "both", "--threads", 1]
        self.done("basin-stationary", *args, "-o", "whole.h5")
        self.kill_midway("basin-stationary", *args)
        self.done("basin-stationary", *args, "-o", "killed.h5", "--resume")
        self.assertEqual(self.numbers("killed.h5"), self.numbers("whole.h5"))

    def test_an_unfinished_run_is_not_lost(self):
        path, _ = self.problem()
        args = [path, "-o", "r.h5", "--starts", 100000, "--quiet"]
        process = subprocess.Popen([str(BIN / "basin-stationary"), *map(str, args)], cwd=self.folder)
        wait_for_record(self.path("r.h5.journal"), process)
        process.kill()
        process.wait()
        self.refused(2, "an unfinished run has left its journal", "basin-stationary", *args)
        self.refused(2, "the journal of another run (seed = 0 there, 1 here)", "basin-stationary", *args, "--resume", "--seed", 1)
        os.remove(self.path("r.h5.journal"))

    def test_merge(self):
        path, _ = self.problem(N=3, n=3, D=4, H=2, d=2, D_out=1, kernel="gaussian")
        options = ["--train", "W_Q,W_K"]
        for seed in (1, 2):
            self.catalogue(path, *options, "--starts", 6, "--seed", seed, output=f"{seed}.h5")
        out = self.done("basin-stationary", "merge", "1.h5", "2.h5", "-o", "merged.h5")
        self.assertIn(" of 12 descents", out)
        for name in ("seed", "loss", "weights", "gradient_norm"):
            both = np.concatenate([self.column("starts/" + name, f"{seed}.h5") for seed in (1, 2)])
            self.assertTrue((self.column("starts/" + name, "merged.h5") == both).all(), name)
        self.assertEqual(self.column("entries/count", "merged.h5").sum(), (self.column("starts/entry", "merged.h5") >= 0).sum())
        # beside the lower minimum of the other catalogue, the best known of one becomes suboptimal
        lowest = [np.nanmin(self.column("starts/loss", f"{seed}.h5")) for seed in (1, 2)]
        self.assertEqual(self.results("merged.h5", "entry/catalogue/lowest_loss"), min(lowest))
        # merging again, or by hand, gives the same
        self.refused(2, "is in a file before it, too; expected other seeds", "basin-stationary", "merge", "merged.h5", "2.h5", "-o", "x.h5")
        other, _ = self.problem("other.h5", N=3, n=3, D=4, H=2, d=2, D_out=1, kernel="gaussian", seed=5)
        self.catalogue(other, *options, "--starts", 2, "--seed", 3, output="3.h5")
        self.refused(2, "of another problem or with other options than 1.h5 (inputs = ", "basin-stationary", "merge", "1.h5", "3.h5", "-o", "x.h5")
        self.catalogue(path, "--train", "W_Q", "--starts", 2, "--seed", 3, output="4.h5")
        self.refused(2, "of another problem or with other options than 1.h5 (", "basin-stationary", "merge", "1.h5", "4.h5", "-o", "x.h5")
        self.done("basin-train", path, "-o", "run.h5", "--steps", 1)
        self.refused(2, "run.h5: a result of basin-train; expected one of basin-stationary", "basin-stationary", "merge", "1.h5", "run.h5", "-o", "x.h5")

    def test_escape(self):
        path = self.construct("softmax-saddle")
        out = self.catalogue(path, "--train", "W_Q,W_K", "--at", path, "--escape", "away.h5")
        self.assertIn("entry 0 left: f = 0.09375 -> ", out)
        fall, loss, followed = self.results("c.h5", "entry/escape/fall", "entry/escape/loss", "entry/escape/followed_loss")
        self.assertLess(fall, 0)
        # the file is what it says, and basin-train goes on from it
        self.done("basin-train", "away.h5", "-o", "run.h5", "--train", "W_Q,W_K", "--method", "lbfgs", "--steps", 200)
        losses = self.results("run.h5", "entry/run/loss")
        self.assertEqual(losses[0], loss)
        np.testing.assert_allclose(loss, 0.09375 + fall, rtol=1e-12)
        self.assertLess(losses[-1], losses[0])
        self.assertLess(followed, loss)
        # the entry of a catalogue, by its weights
        self.catalogue(path, "--train", "W_Q,W_K", "--at", "c.h5:/entry/entries/weights:0", output="again.h5")
        self.assertEqual(self.column("starts/verdict", "again.h5"), ["saddle"])
        trap = self.construct("softmax-trap")
        self.refused_but_written("--escape: there is no saddle to leave; the catalogue is in t.h5", trap, "--train", "W_Q", "--at", trap, "--escape", "x.h5", "-o", "t.h5")
        self.assertTrue(self.path("t.h5").exists())
        for name in ("x.h5", "t.h5.journal"):
            self.assertFalse(self.path(name).exists())

    def refused_but_written(self, message, *args):
        process = subprocess.run([BIN / "basin-stationary", *map(str, args)], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(process.returncode, 2)
        self.assertIn(message, process.stderr)

    def test_teachers_minimum_is_known(self):
        self.done("basin-problem", "teacher", "-o", "t.h5", "-N", 3, "-n", 3, "-D", 4, "-H", 1, "-d", 2, "--outputs", 2, "--seed", 3)
        out = self.catalogue("t.h5", "--starts", 4)
        self.assertIn("global minimum f = 0 (the teacher reaches it)", out)
        self.assertEqual(self.results("c.h5", "entry/catalogue/known_minimum"), 0)
        # unless a lower one is found
        out = self.catalogue("t.h5", "--starts", 4, "--global-minimum", 5)
        self.assertIn("the global minimum is not 5 (as given by --global-minimum): lowest loss found f = 0", out)
        # files from before /minimum have the teacher only
        with h5py.File(self.path("t.h5"), "a") as file:
            del file["minimum"]
        self.assertIn("(the teacher reaches it)", self.catalogue("t.h5", "--starts", 1))
        # with other blocks held fixed, or noise, or the other kernel, it is not known
        self.catalogue("t.h5", "--starts", 2, "--train", "W_Q")
        self.assertTrue(np.isnan(self.results("c.h5", "entry/catalogue/known_minimum")))
        self.done("basin-problem", "teacher", "-o", "n.h5", "-N", 3, "-n", 3, "-D", 4, "-H", 1, "-d", 2, "--outputs", 2, "--noise", 0.1)
        for options in (["n.h5"], ["t.h5", "--kernel", "gaussian"]):
            self.catalogue(*options, "--starts", 1)
            self.assertTrue(np.isnan(self.results("c.h5", "entry/catalogue/known_minimum")))

    def test_what_is_known_does_not_depend_on_the_run(self):
        """The gap of a point: the same from any seed and number of starts, and no number where the minimum is not known."""
        for name, blocks, loss in (("softmax-trap", "W_Q", 0.5), ("gaussian-trap", "W_Q", 0.2493259), ("softmax-saddle", "W_Q,W_K", 0.09375)):
            path = self.construct(name)
            gaps = set()
            for options in (["--seed", 1], ["--seed", 2, "--starts", 3]):
                out = self.catalogue(path, "--train", blocks, "--at", path, "--check-return", 0, *options)
                self.assertIn("global minimum f = 0 (attained with other queries", out)
                gaps.add(self.column("starts/gap")[0])
            self.assertEqual(len(gaps), 1)
            np.testing.assert_allclose(gaps.pop(), loss, rtol=5e-8)
        # a witness is evaluated: not in other targets, nor with keys that are held elsewhere
        with h5py.File(path, "a") as file:
            file["data/Y"][0, 0, 0] = 2
        self.catalogue(path, "--train", blocks, "--at", path)
        self.assertTrue(np.isnan(self.column("starts/gap")).all())
        trap = self.construct("softmax-trap")
        with h5py.File(trap, "a") as file:
            file["parameters/W_K"][0, 1] = 1.5
        self.catalogue(trap, "--train", "W_Q", "--at", trap, "--check-return", 0)
        self.assertTrue(np.isnan(self.results("c.h5", "entry/catalogue/known_minimum")))
        # what was given overrides
        self.catalogue(trap, "--train", "W_Q", "--at", trap, "--global-minimum", 0.25, "--check-return", 0)
        self.assertEqual(self.column("starts/gap")[0], self.column("starts/loss")[0] - 0.25)

    def test_every_construction_attains_its_minimum_under_both_kernels(self):
        for name, blocks in (("softmax-trap", "W_Q"), ("gaussian-trap", "W_Q"), ("softmax-saddle", "W_Q,W_K"), ("zero-scores", "W_Q,W_K")):
            for kernel in ("softmax", "gaussian"):
                self.done("basin-problem", "construct", name, "-o", "c0.h5", "--kernel", kernel, "--overwrite")
                with h5py.File(self.path("c0.h5")) as file:
                    X, Y = file["data/X"][()], file["data/Y"][()]
                    weights = {b: file["parameters/" + b][()] for b in BLOCKS}
                    weights.update({b: values[()] for b, values in file["minimum"].items()})
                    self.assertEqual(sorted(file["minimum"]), sorted(b for b in file["minimum"] if b in blocks.split(",")))
                at = {"X": X, "weights": weights, "kernel": kernel, "sigma": None}
                self.assertLess(abs(outputs(at, weights) - Y).max(), 1e-14, f"{name} {kernel}")

    def test_zero_that_is_reached_on_the_way_is_the_minimum(self):
        path = self.construct("softmax-saddle")
        with h5py.File(path, "a") as file:
            del file["minimum"]
        self.assertIn("the global minimum is not known", self.catalogue(path, "--train", "W_Q,W_K", "--at", path))
        out = self.catalogue(path, "--train", "W_Q,W_K", "--at", path, "--escape", "away.h5")
        self.assertIn("descent from there ends at f = 0", out)
        self.assertIn("gap 0.09375 to the global minimum", out)
        self.assertIn("global minimum f = 0 (reached by descent from entry 0)", out)

    def test_least_squares_minimum(self):
        """W_V or W_O alone, against NumPy, and without a start that ends there."""
        path, problem = self.problem(N=3, n=3, D=3, H=1, d=2, D_out=1)
        for block in ("W_V", "W_O"):
            J = jacobian(problem, (block,))
            residual = problem["Y"].ravel() - J @ np.linalg.lstsq(J, problem["Y"].ravel(), rcond=None)[0]
            self.catalogue(path, "--train", block, "--at", path)
            np.testing.assert_allclose(self.results("c.h5", "entry/catalogue/lowest_loss"), residual @ residual / 2, rtol=1e-10)
            self.assertEqual(self.results("c.h5", "entry/catalogue/lowest_is_global"), 1)

    def test_the_minimum_in_other_tools(self):
        path = self.construct("gaussian-trap")
        known = "global minimum f = 0 (attained with other queries)"
        out = self.done("basin-train", path, "-o", "t.h5", "--train", "W_Q", "--steps", 3, "--final", "end.h5")
        self.assertIn(known + ", the run ended 0.2493 above it", out)
        self.assertIn(known, self.done("basin-slice", "end.h5", "-o", "s.h5", "--train", "W_Q", "--x", "-1:1:3", "--y", "-1:1:3"))
        self.assertNotIn("global minimum", self.done("basin-train", path, "-o", "v.h5", "--train", "W_K", "--steps", 3))

    def test_given_starts(self):
        path, problem = self.problem(N=3, n=3, D=4, H=1, d=2, D_out=1, seed=4)
        rng = np.random.default_rng(0)
        theta = rng.standard_normal((3, theta_of(problem["weights"], ("W_Q", "W_K")).size))
        weights = np.array([theta_of(weights_at(problem, row, ("W_Q", "W_K"))) for row in theta])
        with h5py.File(self.path("s.h5"), "w") as file:
            file["theta"], file["weights"], file["one"] = theta, weights, theta[1]
        self.catalogue(path, "--train", "W_Q,W_K", "--from", "s.h5:theta", "--check-return", 0)
        self.assertEqual(self.column("starts/search"), ["from"] * 3)
        self.assertEqual(self.column("starts/row").tolist(), [0, 1, 2])
        self.assertEqual(self.results("c.h5", "entry/catalogue/sources").decode(), "s.h5:theta")
        for row, loss in zip(theta, self.column("starts/start_loss")):
            expected = ((outputs(problem, weights_at(problem, row, ("W_Q", "W_K"))) - problem["Y"]) ** 2).sum() / 2
            np.testing.assert_allclose(loss, expected, rtol=1e-13)
        ends = self.column("starts/weights")
        # the same rows of all weights, a row alone, and another order of options: the same ends
        out = self.catalogue(path, "--train", "W_Q,W_K", "--from", "s.h5:/weights:2", "--from", "s.h5:one", "--check-return", 0, output="w.h5")
        self.assertIn("of 2 descents from given starts: ", out)
        np.testing.assert_array_equal(self.column("starts/weights", "w.h5"), ends[[2, 1]])
        self.assertEqual(self.column("starts/row", "w.h5").tolist(), [2, -1])
        self.assertEqual(self.column("starts/source", "w.h5").tolist(), [0, 1])
        # drawn starts beside them are those that are drawn without them
        self.catalogue(path, "--train", "W_Q,W_K", "--starts", 2, "--check-return", 0, output="d.h5")
        self.catalogue(path, "--train", "W_Q,W_K", "--starts", 2, "--from", "s.h5:theta:0", "--check-return", 0, output="b.h5")
        np.testing.assert_array_equal(self.column("starts/weights", "b.h5"), np.vstack([ends[:1], self.column("starts/weights", "d.h5")]))
        # merged: what is given keeps its place; the same start twice is refused
        self.done("basin-stationary", "merge", "w.h5", "b.h5", "-o", "m.h5")
        self.assertEqual(self.results("m.h5", "entry/catalogue/sources").decode().split("\n"), ["s.h5:/weights", "s.h5:one", "s.h5:theta"])
        self.assertEqual(self.column("starts/source", "m.h5").tolist(), [0, 1, 2, -1, -1])
        self.refused(2, "c.h5: the start s.h5:theta:0 is in a file before it, too; expected other starts", "basin-stationary", "merge", "b.h5", "c.h5", "-o", "x.h5")
        # the weights of a problem file, and many points
        self.catalogue(path, "--train", "W_Q,W_K", "--from", path, "--check-return", 0, output="p.h5")
        self.assertEqual(self.column("starts/row", "p.h5").tolist(), [-1])
        out = self.catalogue(path, "--train", "W_Q,W_K", "--at", "c.h5:/entry/starts/weights", "--at", path, output="a.h5")
        self.assertEqual(self.column("starts/search", "a.h5"), ["given"] * 4)
        self.assertEqual(self.column("starts/verdict", "a.h5")[:3], self.column("starts/verdict"))
        self.assertIn("c.h5:/entry/starts/weights:1 is ", out)

    def test_given_starts_resumed(self):
        path, problem = self.problem(N=2, n=2, D=3, H=1, d=1, D_out=1)
        with h5py.File(self.path("s.h5"), "w") as file:
            file["w"] = np.random.default_rng(0).standard_normal((4, problem["weights"]["W_Q"].size))
        self.done("basin-stationary", path, "--from", "s.h5:w", "--at", path, "--train", "W_Q", "--check-return", 0, "-o", "whole.h5")
        args = [path, "--from", "s.h5:w", "--at", path, "--train", "W_Q", "--check-return", 1000]
        process = subprocess.Popen([BIN / "basin-stationary", *map(str, args), "-o", "r.h5"], cwd=self.folder)
        wait_for_record(self.path("r.h5.journal"), process)
        process.kill()
        process.wait()
        journal = self.path("r.h5.journal").read_bytes()
        # starts that changed in the meantime are other work
        with h5py.File(self.path("s.h5"), "a") as file:
            first = file["w"][0, 0]
            file["w"][0, 0] = first + 1
        self.refused(2, "given starts", "basin-stationary", *args, "-o", "r.h5", "--resume")
        with h5py.File(self.path("s.h5"), "a") as file:
            file["w"][0, 0] = first
        self.assertEqual(self.path("r.h5.journal").read_bytes(), journal)
        self.done("basin-stationary", *args, "-o", "r.h5", "--resume")
        np.testing.assert_array_equal(self.column("starts/weights", "r.h5"), self.column("starts/weights", "whole.h5"))

    def test_valleys(self):
        """One key of two is the right one: softmax gets there only at infinity."""
        weights = {"W_Q": np.zeros((1, 2, 1)), "W_K": np.array([[[0.0], [1.0]]]), "W_V": np.array([[[0.0], [1.0]]]), "W_O": np.ones((1, 1, 1))}
        problem = {"X": np.eye(2)[None], "Y": np.full((1, 2, 1), 2.0), "weights": weights, "kernel": "softmax", "sigma": None}
        write_problem(self.path("v.h5"), problem)
        out = self.catalogue("v.h5", "--train", "W_Q", "--starts", 5)
        self.assertEqual(set(self.column("starts/verdict")), {"valley to infinity"})
        self.assertIn("attention saturates", out)
        np.testing.assert_allclose(self.column("starts/loss"), 1, rtol=1e-6)  # outputs of at most 1, twice
        self.assertEqual(len(self.column("entries/count")), 1)
        # a Gaussian row that only hurts: it vanishes
        problem = dict(problem, kernel="gaussian", Y=np.full((1, 2, 1), -1.0))
        write_problem(self.path("g.h5"), problem)
        out = self.catalogue("g.h5", "--train", "W_Q", "--starts", 5, "--steps", 20000)
        self.assertEqual(set(self.column("starts/verdict")), {"valley to infinity"})
        self.assertIn("a row of attention vanishes", out)

    def test_given_points_with_rows_at_a_limit(self):
        """The row is named, and like points get the same word, however near the limit they are."""
        weights = {"W_Q": np.zeros((1, 2, 1)), "W_K": np.array([[[0.0], [1.0]]]), "W_V": np.array([[[0.0], [1.0]]]), "W_O": np.ones((1, 1, 1))}
        for kernel, target, text, queries in (("gaussian", -1, "a row of attention vanishes", (7.5, 9, 12, 45)),
                                              ("softmax", 2, "attention saturates", (20, 30, 40, 800))):
            problem = {"X": np.eye(2)[None], "Y": np.full((1, 2, 1), float(target)), "weights": weights, "kernel": kernel, "sigma": None}
            write_problem(self.path("l.h5"), problem)
            with h5py.File(self.path("w.h5"), "w") as file:
                file["both"] = [[q, q] for q in queries]
                file["one"] = [[0.3, q] for q in queries]
            rest = np.concatenate([weights[name].ravel() for name in BLOCKS[1:]])
            with h5py.File(self.path("w.h5"), "a") as file:
                for name in ("both", "one"):
                    rows = file[name][()]
                    del file[name]
                    file[name] = np.hstack([rows, np.tile(rest, (len(rows), 1))])
            out = self.catalogue("l.h5", "--train", "W_Q", "--at", "w.h5:both")
            self.assertEqual(self.column("starts/verdict"), ["valley to infinity"] * len(queries))
            self.assertEqual(out.count(text), len(queries) + len(self.column("entries/count")))
            self.assertIn("(head 0, sample 0, token", out)
            # a second token that is not stationary: so is the point, and its row is named all the same
            out = self.catalogue("l.h5", "--train", "W_Q", "--at", "w.h5:one")
            self.assertEqual(self.column("starts/verdict"), ["not stationary"] * len(queries))
            self.assertEqual(out.count("(head 0, sample 0, token 1, counted from 0)"), len(queries), out)

    def teacher(self, name, *options):
        self.done("basin-problem", "teacher", "-o", name, "--seed", 5, "-H", 1, "--outputs", 1, *options)
        return self.path(name)

    def small(self, targets):
        """N = 2, n = 3, D = 6, d = 1: random targets, or those of a teacher."""
        kind = ["--targets", "random"] if targets == "random" else ["--target-kernel", targets, "--kernel", targets]
        return self.teacher("small.h5", "-N", 2, "-n", 3, "-D", 6, "-d", 1, *kind)

    def saddles_are_clear(self):
        verdicts = np.array(self.column("starts/verdict"))
        smallest, bound = self.column("starts/smallest_eigenvalue"), self.column("starts/smallest_eigenvalue_bound")
        self.assertIn("saddle", verdicts)
        self.assertTrue((smallest < -bound)[verdicts == "saddle"].all())
        return verdicts, smallest

    def test_saddles_next_to_which_a_block_collapses(self):
        """On the way to W_O = 0 the gauge shrinks; without its direction these searches stop short of it."""
        path = self.teacher("collapse.h5", "-N", 3, "-n", 2, "-D", 2, "-d", 2, "--targets", "random")
        self.catalogue(path, "--train", "W_V,W_O", "--starts", 30, "--search", "saddles", "--kernel", "softmax")
        verdicts = self.column("starts/verdict")
        self.assertLessEqual(verdicts.count("not stationary"), 5)
        self.assertGreaterEqual(verdicts.count("saddle"), 10)
        for verdict, text, slope in zip(verdicts, self.column("starts/description"), self.column("starts/gradient_slope")):
            if verdict == "not stationary":
                self.assertTrue(text.endswith("; a minimum of |grad f|^2" if slope <= 1e-6 else "; unfinished"), text)

    def test_runs_to_infinity_are_no_saddles(self):
        path = self.small("gaussian")
        self.catalogue(path, "--train", "W_Q,W_K", "--starts", 12, "--search", "both")
        verdicts, smallest = self.saddles_are_clear()
        self.assertLess(smallest[verdicts == "saddle"].max(), -1e-3)  # not the -3e-12 of a row that vanishes

    @many_runs
    def test_verdicts_do_not_depend_on_the_dense_limit(self):
        path = self.small("random")
        found = []
        for limit in (0, 1200):
            self.catalogue(path, "--kernel", "gaussian", "--train", "W_Q,W_K", "--starts", 8, "--search", "both", "--dense-limit", limit)
            found.append((self.saddles_are_clear()[0].tolist(), self.column("starts/negative").tolist()))
        self.assertEqual(found[0], found[1])

    def test_what_is_one_entry(self):
        # losses within an entry agree
        path = self.small("random")
        self.catalogue(path, "--train", "W_K,W_V", "--starts", 12, "--search", "both")
        verdicts, losses, entry = self.column("starts/verdict"), self.column("starts/loss"), self.column("starts/entry")
        for e in range(entry.max() + 1):
            members = losses[entry == e]
            self.assertLessEqual(np.ptp(members), 1e-6 * members.max() + 1e-20, f"entry {e}, {verdicts[np.flatnonzero(entry == e)[0]]}")
        # Y = 0: outputs that are rounding are the same outputs
        problem = random_problem(N=2, n=3, D=3, H=1, d=2, D_out=1)
        problem["Y"][:] = 0
        write_problem(self.path("zero.h5"), problem)
        self.catalogue("zero.h5", "--starts", 12)
        self.assertEqual(set(self.column("starts/verdict")), {"global minimum"})
        self.assertEqual(self.column("entries/count").tolist(), [12])

    def test_a_start_without_curvature_is_one_of_the_starts(self):
        problem = random_problem(N=2, n=3, D=3, H=1, d=1, D_out=1)
        problem["X"][:] = 0
        write_problem(self.path("dead.h5"), problem)
        self.catalogue("dead.h5", "--starts", 2, "--at", "dead.h5")
        self.assertEqual(self.column("starts/verdict"), ["best known minimum"] * 3)  # f is constant
        out = self.catalogue(self.small("gaussian"), "--train", "W_Q", "--gain", "W_Q=60", "--starts", 30)
        self.assertEqual(len(self.column("starts/verdict")), 30)
        self.assertNotIn("too large", out)

    def test_stationary_in_one_linear_block_is_global(self):
        path, _ = self.problem(N=3, n=3, D=3, H=1, d=2, D_out=1)
        for block in ("W_V", "W_O"):
            out = self.catalogue(path, "--train", block, "--starts", 3)
            self.assertEqual(self.column("starts/verdict"), ["global minimum"] * 3)
            self.assertIn(f"(as f is convex in {block})", out)

    def test_saddles_of_a_loss_whose_rounding_shows_at_no_perturbed_point_are_left(self):
        path = self.small("random")
        self.catalogue(path, "--kernel", "gaussian", "--starts", 12, "--search", "both")
        verdicts, fall = np.array(self.column("starts/verdict")), self.column("starts/escape_fall")
        self.assertIn("saddle", verdicts)
        self.assertTrue((fall[verdicts == "saddle"] < 0).all())

    def test_a_finished_run_that_was_killed_before_its_journal_was_deleted(self):
        path, _ = self.problem(N=2, n=2, D=3, H=1, d=1, D_out=1)
        args = [path, "--starts", 2, "--train", "W_Q"]
        process = subprocess.Popen([BIN / "basin-stationary", *map(str, args), "--check-return", "1000", "-o", "r.h5"], cwd=self.folder)
        while not self.path("r.h5.journal").exists():
            time.sleep(0.001)
        process.kill()
        process.wait()
        args += ["--check-return", "1000", "-o", "r.h5"]
        # another run's output is not taken for its own
        if not self.path("r.h5").exists():
            self.path("r.h5").write_bytes(b"newer")
            self.refused(2, "exists already and is not the result of this run", "basin-stationary", *args, "--resume")
            os.remove(self.path("r.h5"))
        journal = self.path("r.h5.journal").read_bytes()
        part = self.path(f".r.h5.part-{process.pid}")
        part.write_bytes(b"")
        self.done("basin-stationary", *args, "--resume")
        whole = self.path("r.h5").read_bytes()
        self.assertFalse(part.exists())
        self.path("r.h5.journal").write_bytes(journal)
        os.utime(self.path("r.h5.journal"), (1, 1))
        self.done("basin-stationary", *args, "--resume")
        self.assertEqual(self.path("r.h5").read_bytes(), whole)
        self.assertFalse(self.path("r.h5.journal").exists())

    def test_the_default_follows_the_flow(self):
        path = self.small("random")
        self.catalogue(path, "--train", "W_V,W_O", "--starts", 30)
        self.assertNotIn("not finite", self.column("starts/verdict"))
        self.assertEqual(self.column("starts/rose").sum(), 0)
        self.assertLessEqual(self.column("starts/largest_step_share").max(), 0.1 * (1 + 1e-12))
        self.assertTrue((self.column("starts/first_step_share") <= self.column("starts/largest_step_share")).all())
        self.assertTrue((self.column("starts/smallest_step") <= self.column("starts/first_step")).all())
        self.assertTrue((self.column("starts/first_step") <= self.column("starts/largest_step")).all())
        self.assertGreater(self.column("starts/steps_shortened").max(), 0)

    def test_a_step_too_large(self):
        path, problem = self.problem(N=2, n=2, D=6)
        out = self.catalogue(path, "--starts", 3, "--step", "1e3")
        self.assertEqual(self.column("starts/verdict"), ["not finite"] * 3)
        self.assertIn("--step is too large: the loss overflowed in 3 descents", out)
        self.assertIn("the first step is longer than the weights it starts from in 3 descents", out)
        safe = float(out.split("the shortest --step ")[1].split()[0])
        np.testing.assert_allclose(self.column("starts/safe_step").min(), safe, rtol=1e-3)
        self.catalogue(path, "--starts", 3, "--step", safe)
        self.assertNotIn("not finite", self.column("starts/verdict"))

    def test_refusals(self):
        path, problem = self.problem()
        write_problem(self.path("other.h5"), random_problem(D=6))
        all_weights = theta_of(problem["weights"])
        with h5py.File(self.path("rows.h5"), "w") as file:
            file["w"] = np.array([all_weights, all_weights + 1, all_weights])
            file["none"], file["narrow"], file["theta"] = np.empty((0, 102)), np.ones((3, 7)), np.ones((3, 30))
            file["nan"] = np.full((2, 102), np.nan)
        write_problem(self.path("nan.h5"), dict(problem, Y=problem["Y"] * np.nan))
        write_problem(self.path("moved.h5"), dict(problem, weights=dict(problem["weights"], W_O=2 * problem["weights"]["W_O"])))
        for message, args in (
            ("--search none: expected minima, saddles or both", ["--search", "none"]),
            ("--method: without effect under --search saddles", ["--search", "saddles", "--method", "adam"]),
            ("--escapes: without effect under --search saddles", ["--search", "saddles", "--escapes", "3"]),
            ("--finish-steps: without effect under --search saddles", ["--search", "saddles", "--finish-steps", "9"]),
            ("--loss-tolerance: without effect under --search saddles", ["--search", "saddles", "--loss-tolerance", "1"]),
            ("--init: without effect without --starts", ["--at", "problem.h5", "--init", "xavier"]),
            ("--starts 0: nothing to do without --at or --from", ["--starts", "0"]),
            ("--method: without effect without --starts or --from", ["--at", "problem.h5", "--method", "newton"]),
            ("--init: without effect without --starts", ["--from", "problem.h5", "--init", "xavier"]),
            ("--at rows.h5:w:3: row 3: expected 0 to 2", ["--at", "rows.h5:w:3"]),
            ("--from rows.h5:w:x: row x: expected 0 to 2", ["--from", "rows.h5:w:x"]),
            ("--from rows.h5:none: found shape (0, 102); expected at least one row", ["--from", "rows.h5:none"]),
            ("--from rows.h5:narrow: found shape (3, 7); expected (102) or rows of so many weights, or of the 30 of the trained blocks", ["--from", "rows.h5:narrow", "--train", "W_Q"]),
            ("--at rows.h5:theta: found shape (3, 30); expected (102) or rows of so many weights", ["--at", "rows.h5:theta", "--train", "W_Q"]),
            ("rows.h5: /nan: found", ["--from", "rows.h5:/nan"]),
            ("--from rows.h5:w: row 1: W_K is held fixed at the weights of problem.h5, and is another one here", ["--from", "rows.h5:w", "--train", "W_Q"]),
            ("--from rows.h5:: expected the name of a dataset after rows.h5:", ["--from", "rows.h5:"]),
            ("--at other.h5: the weights are of another model: found H = 2, d = 3, D = 6, D_out = 2; expected H = 2, d = 3, D = 5, D_out = 2", ["--at", "other.h5"]),
            ("/data/X: found shape (3, 4, 5); expected (102) or rows of so many weights", ["--at", "problem.h5:/data/X"]),
            ("--tolerance 0: expected a positive number", ["--tolerance", "0"]),
            ("--method sgd: expected gd", ["--method", "sgd"]),
            ("--entry: without effect unless with --escape", ["--entry", "1"]),
            ("problem.h5: is read as --problem problem.h5; give another name with --escape", ["--escape", "problem.h5"]),
            ("--heads: problem.h5 has weights, which fix it", ["--heads", "3"]),
            ("--gain W_V=2: W_V is held fixed", ["--gain", "W_V=2", "--train", "W_Q"]),
            ("--at moved.h5: W_O is held fixed at the weights of problem.h5, and is another one here", ["--at", "moved.h5", "--train", "W_Q"]),
            ("dense Hessians need", ["--memory", "100k", "--starts", "1"]),
            ("the rows of the catalogue need", ["--memory", "1M", "--dense-limit", "0", "--starts", "1000"]),
            ("--check-return -1: expected 0 to 1000", ["--check-return=-1"]),
            ("--global-minimum -1: expected a number from 0", ["--global-minimum=-1"]),
        ):
            self.refused(2, message, "basin-stationary", "problem.h5", "-o", "r.h5", *args)
        self.no_leftovers("moved.h5", "nan.h5", "other.h5", "problem.h5", "rows.h5")
        self.refused(2, "/data/Y: found NaN", "basin-stationary", "nan.h5", "-o", "r.h5")
        self.refused(2, "no such", "basin-stationary", "missing.h5", "-o", "r.h5")
