"""basin-train against descent in NumPy, and against itself: killed and resumed, on other numbers of threads."""

import os
import shutil
import re
import subprocess
import time

import h5py
import numpy as np
from support import BIN, BLOCKS, REVIEWS, ToolTest, gradient, jacobian, outputs, theta_of, weights_at, many_runs, run


DATA = REVIEWS.parent


def loss(problem, theta):
    return ((outputs(problem, weights_at(problem, theta)) - problem["Y"]) ** 2).sum() / 2


def momentum(g, theta, steps, eta, mu):
    v = np.zeros_like(theta)
    for _ in range(steps):
        v = mu * v - eta * g(theta)
        theta = theta + v
    return theta


def adam(g, theta, steps, eta, b1=0.9, b2=0.999, eps=1e-8):
    m = v = 0
    for t in range(1, steps + 1):
        m = b1 * m + (1 - b1) * g(theta)
        v = b2 * v + (1 - b2) * g(theta) ** 2
        theta = theta - eta * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return theta


class Train(ToolTest):
    def read(self, name, dataset):
        with h5py.File(self.path(name)) as file:
            return file[dataset][()]

    def numbers(self, name):
        """All numbers of a run but the time it took."""
        found = {}

        def visit(path, item):
            if isinstance(item, h5py.Dataset) and "provenance" not in path and item.dtype.kind in "fiu":
                found[path] = item[()].tobytes()

        with h5py.File(self.path(name)) as file:
            file.visititems(visit)
        return found

    def test_methods_against_numpy(self):
        for kernel in ("softmax", "gaussian"):
            path, problem = self.problem(kernel=kernel)
            start = theta_of(problem["weights"])

            def g(theta):
                return gradient(problem, BLOCKS, theta)

            for method, options, expected in (
                ("gd", ["--step", 0.01], momentum(g, start, 10, 0.01, 0)),
                ("momentum", ["--step", 0.01, "--momentum", 0.7], momentum(g, start, 10, 0.01, 0.7)),
                ("adam", ["--step", 0.05], adam(g, start, 10, 0.05)),
                ("adam", ["--step", 0.05, "--beta1", 0.5, "--beta2", 0.8, "--epsilon", 0.1], adam(g, start, 10, 0.05, 0.5, 0.8, 0.1)),
            ):
                self.done("basin-train", path, "-o", "r.h5", "--overwrite", "--method", method, "--steps", 10, "--checkpoint-every", 1, *options)
                theta = self.read("r.h5", "trajectory/theta")
                self.assertEqual(theta.shape, (11, start.size))
                self.assertTrue((theta[0] == start).all())
                # the two differ by the rounding of ten steps
                self.assertLessEqual(np.linalg.norm(theta[-1] - expected), 1e-12 * np.linalg.norm(expected))

    def test_records(self):
        name, problem = self.problem(kernel="gaussian", N=2, n=2, D=6, H=2, d=3, D_out=2)
        self.done("basin-train", name, "-o", "r.h5", "--step", 0.02, "--steps", 30, "--record-every", 4, "--checkpoint-every", 1, "--ntk")
        with h5py.File(self.path("r.h5")) as file:
            run = {name: data[()] for name, data in file["entry/run"].items() if data.dtype.kind == "f"}
            every_step, path = file["trajectory/step"][()], file["trajectory/theta"][()]
            self.assertEqual(file["entry"].attrs["default"], "run")
        self.assertEqual(list(every_step), [*range(31)])
        self.assertEqual(list(run["step"]), [*range(0, 30, 4), 30])
        step = run["step"].astype(int)
        theta = path[step]
        for t, point in enumerate(theta):
            J, slope = jacobian(problem, BLOCKS, point), np.linalg.norm(gradient(problem, BLOCKS, point))
            f, weights = loss(problem, point), weights_at(problem, point)
            eigenvalues = np.linalg.svd(J, compute_uv=False) ** 2
            for name, value in {
                "loss": f,
                "gradient_norm": slope,
                "distance": np.linalg.norm(point - theta[0]),
                "pl_ratio": slope**2 / (2 * f),
                "lambda_max": eigenvalues[0],
                "predicted_rate": (1 - 0.02 * eigenvalues[-1]) ** 2 if t else np.nan,
                "norm_W_Q": np.linalg.norm(weights["W_Q"]),
                "norm_W_O": np.linalg.norm(weights["W_O"]),
            }.items():
                np.testing.assert_allclose(run[name][t], value, rtol=1e-9, atol=1e-14, err_msg=name)
            self.assertLessEqual(run["lambda_min_lower"][t], eigenvalues[-1] * (1 + 1e-9))
            self.assertGreaterEqual(run["lambda_min_upper"][t], eigenvalues[-1] * (1 - 1e-9))
            if t:
                self.assertAlmostEqual(run["measured_rate"][t], (f / loss(problem, theta[t - 1])) ** (1 / (step[t] - step[t - 1])), 12)
                np.testing.assert_allclose(run["step_length"][t], np.linalg.norm(point - path[step[t] - 1]), rtol=1e-12)
                self.assertEqual(run["step_size"][t], 0.02)

    def test_saturation(self):
        path, problem = self.problem(N=2, n=3, D=4, H=2, d=2, D_out=1)
        for kernel in ("softmax", "gaussian"):
            self.done("basin-train", path, "-o", "r.h5", "--overwrite", "--steps", 0, "--kernel", kernel)
            rows = []
            for h in range(2):
                Q, K = problem["X"] @ problem["weights"]["W_Q"][h], problem["X"] @ problem["weights"]["W_K"][h]
                if kernel == "softmax":
                    S = np.exp(Q @ K.transpose(0, 2, 1) / np.sqrt(2))
                    S = S / S.sum(2, keepdims=True)
                else:
                    S = np.exp(-((Q[:, :, None] - K[:, None]) ** 2).sum(3) / (2 * np.sqrt(2)))
                rows.append(S.reshape(-1, 3))
            S = np.concatenate(rows)
            p = S / S.sum(1, keepdims=True)
            for name, value in {
                "mean_entropy": -(p * np.log(p)).sum(1).mean(),
                "largest_weight": S.max(),
                "attention_range": np.log(S.max(1) / S.min(1)).max(),
                "smallest_row_sum": S.sum(1).min(),
                "largest_row_sum": S.sum(1).max(),
            }.items():
                np.testing.assert_allclose(self.read("r.h5", "entry/run/" + name), [value], rtol=1e-12, err_msg=name)

    def test_every_method_ends_at_a_stationary_point(self):
        path, problem = self.problem(N=2, n=2, D=6, H=2, d=3, D_out=2)
        for method in ("gd", "line-search", "momentum", "adam", "lbfgs", "newton"):
            options = ["--step", 0.01] if method == "adam" else []
            out = self.done("basin-train", path, "-o", "r.h5", "--overwrite", "--method", method, "--tolerance", 1e-7, "--final", "end.h5", *options)
            self.assertTrue(out.startswith("converged after "), method + ": " + out)
            with h5py.File(self.path("end.h5")) as file:
                theta = np.concatenate([file["parameters/" + b][()].ravel() for b in BLOCKS])
            self.assertTrue((theta == self.read("r.h5", "trajectory/theta")[-1]).all())
            limit = float(re.search(r"<= ([0-9.e+-]+)", out).group(1))  # of what is relative, to three digits
            self.assertLessEqual(np.linalg.norm(gradient(problem, BLOCKS, theta)), 1.01 * limit)
            self.assertLess(limit, 1e-5)
            self.done("basin-evaluate", "end.h5", "-o", "e.h5", "--overwrite")
            self.assertEqual(self.read("e.h5", "entry/evaluation/loss"), self.read("r.h5", "entry/run/loss")[-1])

    def test_assertions(self):
        path, _ = self.problem()
        for steps, code in ((1, 3), (300, 0)):
            process = run("basin-train", path, "-o", f"{steps}.h5", "--method", "newton", "--steps", steps, "--assert", "converged", cwd=self.folder)
            self.assertEqual(process.returncode, code, process.stdout + process.stderr)

    def test_frozen_blocks_stay(self):
        path, problem = self.problem()
        self.done("basin-train", path, "-o", "r.h5", "--method", "lbfgs", "--train", "W_Q,W_O", "--steps", 5, "--final", "end.h5")
        with h5py.File(self.path("end.h5")) as file:
            for block in BLOCKS:
                same = (file["parameters"][block][()] == problem["weights"][block]).all()
                self.assertEqual(same, block in ("W_K", "W_V"))

    @many_runs
    def test_threads_do_not_matter(self):
        # large enough for several chunks and threads
        path, _ = self.problem(N=40, n=16, D=24, H=2, d=8, D_out=4)
        for method in ("gd", "lbfgs", "newton"):
            for threads in (1, 2):
                self.done("basin-train", path, "-o", f"{threads}.h5", "--overwrite", "--method", method, "--steps", 4, "--threads", threads)
            self.assertEqual(self.numbers("1.h5"), self.numbers("2.h5"))
        path, _ = self.problem("kernels.h5", N=40, n=8, D=24, H=2, d=8, D_out=1)
        for threads in (1, 2):
            self.done("basin-train", path, "-o", f"{threads}.h5", "--overwrite", "--step", "guaranteed", "--certify", "--steps", 3, "--threads", threads)
        self.assertEqual(self.numbers("1.h5"), self.numbers("2.h5"))

    @many_runs
    def test_killed_and_resumed(self):
        path, _ = self.problem(N=3, n=4, D=6, H=2, d=3, D_out=2)
        for method, steps in (("gd", 150), ("momentum", 150), ("adam", 150), ("line-search", 150), ("lbfgs", 150), ("newton", 60)):
            args = [path, "--method", method, "--steps", steps, "--tolerance", 0, "--record-every", 3, "--checkpoint-every", 5, "--certify"]
            self.done("basin-train", *args, "-o", "whole.h5", "--overwrite")
            self.kill_midway("basin-train", *args)
            self.done("basin-train", *args, "-o", "killed.h5", "--resume")
            self.assertEqual(self.numbers("killed.h5"), self.numbers("whole.h5"), method)
            self.assertEqual([p.name for p in self.folder.glob("*killed.h5*")], ["killed.h5"])
            os.remove(self.path("killed.h5"))

    def test_interrupted_run(self):
        """A journal that is there is never lost: not by a run that forgot --resume, nor by one of other work."""
        path, _ = self.problem()
        other, _ = self.problem("other.h5", seed=1)
        command = [str(BIN / "basin-train"), str(path), "-o", "r.h5", "--steps", "1000000", "--tolerance", "0", "--step", "0.001", "--checkpoint-every", "10000", "--quiet"]
        process = subprocess.Popen(command, cwd=self.folder)
        while not self.path("r.h5.checkpoint").exists():
            time.sleep(0.01)
        self.refused(2, "in use by another run", "basin-train", *command[1:], "--resume")
        process.kill()
        process.wait()
        args = command[1:]
        self.refused(2, "an unfinished run has left its journal", "basin-train", *args)
        self.refused(2, "the journal of another run (problem = ", "basin-train", other, *args[1:], "--resume")
        changed = [a if a != "0.001" else "0.002" for a in args]
        self.refused(2, "the journal of another run (step = 0.001 there, 0.002 here)", "basin-train", *changed, "--resume")
        os.remove(self.path("r.h5.journal"))
        self.refused(2, "does not belong to r.h5.journal; delete both", "basin-train", *args, "--resume")

    def test_a_step_too_large(self):
        path, problem = self.problem(N=2, n=2, D=6)
        self.done("basin-hessian", path, "-o", "h.h5", "--largest", 1)
        largest = self.read("h.h5", "entry/largest/eigenvalue")[0]
        process = subprocess.run([BIN / "basin-train", path, "-o", self.path("r.h5"), "--step", "1e3"], capture_output=True, text=True)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(len(process.stderr.splitlines()), 1)
        self.assertIn("--step 1e3 is too large: after ", process.stderr)
        safe = float(process.stderr.split("; with --step ")[1].split()[0])
        self.assertLessEqual(safe * largest, 1.001)
        # nothing is lost: what led there is on record
        self.assertEqual(self.read("r.h5", "entry/status"), b"not finite")
        self.assertTrue(np.isfinite(self.read("r.h5", "entry/run/loss")).all())
        # and that step is safe, as the message says
        self.done("basin-train", path, "-o", "safe.h5", "--step", safe, "--steps", 100)
        self.assertLess(self.read("safe.h5", "entry/run/loss")[-1], loss(problem, theta_of(problem["weights"])))

    def test_a_finished_run_that_was_killed_before_its_journal_was_deleted(self):
        path, _ = self.problem()
        args = [path, "-o", "r.h5", "--step", "0.001", "--steps", 20000]
        process = subprocess.Popen([BIN / "basin-train", *map(str, args)], cwd=self.folder, stderr=subprocess.DEVNULL)
        while not self.path("r.h5.checkpoint").exists():
            time.sleep(0.001)
        process.kill()
        process.wait()
        journal = self.path("r.h5.journal").read_bytes()
        self.path(f".r.h5.part-{process.pid}").write_bytes(b"")
        self.done("basin-train", *args, "--resume")
        whole = self.path("r.h5").read_bytes()
        self.path("r.h5.journal").write_bytes(journal)
        os.utime(self.path("r.h5.journal"), (1, 1))
        self.done("basin-train", *args, "--resume")
        self.assertEqual(self.path("r.h5").read_bytes(), whole)
        # another run's output is not this run's, however new it is
        self.path("r.h5.journal").write_bytes(journal)
        self.done("basin-train", path, "-o", "other.h5", "--step", "0.001", "--steps", 10, "--record-every", 20, "--checkpoint-every", 200)
        shutil.copy(self.path("other.h5"), self.path("r.h5"))
        self.refused(2, "r.h5: exists already and is the result of another run (steps = 10 there, 20000 here)", "basin-train", *args, "--resume")
        self.path("r.h5").write_text("precious")
        self.refused(2, "r.h5: exists already and is not the result of this run", "basin-train", *args, "--resume")
        self.assertEqual(self.path("r.h5.journal").read_bytes(), journal)
        self.assertEqual(self.path("r.h5").read_text(), "precious")

    def test_the_default_follows_the_flow(self):
        # 1 / lambda_max of the Hessian at the start, 1.383, leads to where the loss overflows
        self.done("basin-problem", "teacher", "-o", "p.h5", "-N", 2, "-n", 3, "-D", 6, "-H", 1, "-d", 1, "--outputs", 1, "--seed", 5, "--targets", "random")
        args = ["p.h5", "--train", "W_V,W_O", "--init", "gaussian", "--seed", 1, "--steps", 300]
        process = subprocess.run([BIN / "basin-train", *map(str, args), "-o", "f.h5", "--step", "1.383"], cwd=self.folder, capture_output=True, text=True)
        self.assertEqual(process.returncode, 1)
        self.assertIn("--step 1.383 is too large: after ", process.stderr)
        out = self.done("basin-train", *args, "-o", "r.h5", "--record-every", 1, "--checkpoint-every", 1)
        self.assertRegex(out, r"steps [0-9.e-]+ to [0-9.e-]+, the first [0-9.e-]+ \([0-9.e-]+ \|theta\|\), the longest [0-9.e-]+ \|theta\|; [0-9]+ of 300 were shortened")
        self.assertNotIn("rose", out)
        with h5py.File(self.path("r.h5")) as file:
            run, steps, theta = file["entry/run"], file["entry/steps"], file["trajectory/theta"][()]
            f, slope, eta, length = (run[name][()] for name in ("loss", "gradient_norm", "step_size", "step_length"))
            self.assertEqual(file["entry/provenance/options/step"][()], b"flow")
            self.assertTrue((f[1:] <= f[:-1] - eta[1:] * slope[:-1] ** 2 / 2 + 1e-13 * f[:-1]).all())
            size = np.linalg.norm(theta[:-1, 12:], axis=1)  # W_V and W_O
            self.assertTrue((length[1:] <= 0.1 * size * (1 + 1e-12)).all())
            self.assertEqual((steps["first"][()], steps["smallest"][()], steps["largest"][()]), (eta[1], eta[1:].min(), eta[1:].max()))
            np.testing.assert_allclose((steps["first_share"][()], steps["largest_share"][()]), ((length[1:] / size)[0], (length[1:] / size).max()), rtol=1e-12)
            self.assertGreaterEqual(steps["shortened"][()], (eta[2:] < eta[1:-1]).sum())
        self.done("basin-train", *args, "-o", "t.h5", "--step", "flow", "--threads", 2)
        np.testing.assert_array_equal(self.read("t.h5", "entry/run/loss")[-1], f[-1])

    def test_a_first_step_longer_than_the_weights_is_said(self):
        path, _ = self.problem()
        out = self.done("basin-train", path, "-o", "r.h5", "--train", "W_Q", "--step", 1e3, "--steps", 1)
        self.assertIn("the first is longer than the weights: see --step flow", out)
        self.assertGreater(self.read("r.h5", "entry/steps/first_share"), 1)

    def test_adam_steps_too_large(self):
        # lengths whose squares overflow are numbers
        path, _ = self.problem()
        process = subprocess.run([BIN / "basin-train", path, "-o", "a.h5", "--method", "adam", "--step", "1e200"], cwd=self.folder, capture_output=True, text=True)
        self.assertNotIn("inf", process.stderr)
        process = subprocess.run([BIN / "basin-train", path, "-o", "b.h5", "--method", "adam", "--step", "1e3", "--steps", "5"], cwd=self.folder, capture_output=True, text=True)
        self.assertIn("; with --step ", process.stdout + process.stderr)

    def near_a_teacher(self, kernel):
        """A problem of zero loss, its start so near to the zero that the certificate passes."""
        name = self.path(kernel + ".h5")
        self.done("basin-problem", "teacher", "-o", name, "--overwrite", "-N", 2, "-n", 2, "-D", 8, "-H", 2, "-d", 4, "--outputs", 2, "--kernel", kernel, "--seed", 2)
        self.done("basin-train", name, "-o", "r.h5", "--overwrite", "--method", "lbfgs", "--loss-tolerance", 1e-9, "--final", "near.h5")
        return self.path("near.h5")

    @many_runs
    def test_certified_runs_keep_what_is_guaranteed(self):
        for kernel in ("softmax", "gaussian"):
            path = self.near_a_teacher(kernel)
            out = self.done("basin-train", path, "-o", "r.h5", "--overwrite", "--step", "certificate", "--steps", 200, "--record-every", 1, "--certify")
            self.assertIn("from step 0 on, convergence to zero loss is proven", out)
            self.assertRegex(out, "the guaranteed decrease held in all [0-9]+ steps")
            self.done("basin-ntk", path, "-o", "ntk.h5", "--overwrite")
            with h5py.File(self.path("r.h5")) as file, h5py.File(self.path("ntk.h5")) as ntk:
                run, c, expected = file["entry/run"], file["entry/certificate"], ntk["entry/certificate"]
                for mine, theirs in (("passes", "passes"), ("sigma_min", "sigma_min"), ("radius", "radius"), ("beta", "beta"), ("certified_step", "step"), ("rate", "rate"), ("xi", "xi"), ("curvature", "curvature"), ("heads/1/W_V_norm", None), ("heads/1/gamma", None)):
                    value = expected[theirs][()] if theirs else expected[mine.split("/")[-1]][1]
                    np.testing.assert_allclose(c[mine][0], value, rtol=1e-12, err_msg=mine)
                self.assertTrue((run["step_size"][1:] == c["certified_step"][0]).all())
                f = run["loss"][()]
                self.assertGreater(f[-1], 1e-20)  # below, ratios measure rounding
                self.assertTrue((f[1:] <= c["rate"][0] * f[:-1] * (1 + 1e-9)).all())
                np.testing.assert_allclose(run["guaranteed_rate"][1:], c["rate"][0], rtol=1e-12)
                self.assertLessEqual(run["distance"][-1], c["path_length"][0])
                self.assertEqual(c["first_step"][()], 0)
                self.assertEqual(file["entry/broken_guarantees"][()], 0)

    def test_guaranteed_steps_from_anywhere(self):
        for kernel in ("softmax", "gaussian"):
            for blocks in ("W_Q", "W_Q,W_K", "W_Q,W_K,W_V,W_O"):
                path, _ = self.problem(kernel=kernel, N=2, n=3, D=7)
                out = self.done("basin-train", path, "-o", "r.h5", "--overwrite", "--step", "guaranteed", "--steps", 40, "--record-every", 1, "--train", blocks, "--ntk")
                self.assertIn("the guaranteed decrease held in all 40 steps", out)
                with h5py.File(self.path("r.h5")) as file:
                    run = {name: file["entry/run"][name][()] for name in ("loss", "gradient_norm", "step_size", "lambda_min_lower", "guaranteed_rate")}
                f, eta = run["loss"], run["step_size"][1:]
                self.assertTrue((f[1:] <= f[:-1] - eta * run["gradient_norm"][:-1] ** 2 / 2 * (1 - 1e-9)).all())
                # |grad f|^2 >= 2 lambda_min f: the rate of theory
                self.assertTrue((run["guaranteed_rate"][1:] <= 1 - eta * run["lambda_min_lower"][:-1] + 1e-12).all())

    def test_refusals(self):
        path, _ = self.problem()
        for message, args in (
            ("--method sgd: expected gd, line-search, momentum, adam, lbfgs or newton", ["--method", "sgd"]),
            ("--step fast: expected a positive number, flow, certificate, guaranteed or auto", ["--step", "fast"]),
            ("--step certificate: expected a positive number", ["--step", "certificate", "--method", "adam"]),
            ("--step 0: expected a positive number", ["--step", "0"]),
            ("--step -1: expected a positive number", ["--step=-1"]),
            ("--step nan: expected a positive number", ["--step", "nan"]),
            ("--momentum: without effect under --method gd", ["--momentum", "0.5"]),
            ("--momentum 1: expected a number from 0 to below 1", ["--method", "momentum", "--momentum", "1"]),
            ("--pairs: without effect under --method adam", ["--method", "adam", "--pairs", "3"]),
            ("--record-every 0: expected at least 1", ["--record-every", "0"]),
            ("--checkpoint-every 1: the trajectory needs", ["--checkpoint-every", "1", "--memory", "1M"]),
            ("--tolerance nan: expected a finite number", ["--tolerance", "nan"]),
            ("--steps -1: expected 0", ["--steps=-1"]),
            ("; give another name with --final", ["--final", path]),
            ("--step certificate: convergence from these weights is not proven", ["--step", "certificate"]),
        ):
            self.refused(2, message, "basin-train", path, "-o", "r.h5", *args)
        self.no_leftovers("problem.h5")
        with h5py.File(path, "r+") as file:
            file["parameters/W_V"][...] = 1e200
        self.refused(1, "the loss at the start is not finite", "basin-train", path, "-o", "r.h5")
        self.no_leftovers("problem.h5")


class MiniBatches(ToolTest):
    """basin-train --batch from outside; its steps are held against torch.optim in tests/package."""

    def setUp(self):
        super().setUp()
        self.done("basin-problem", "pathfinder", DATA / "pathfinder.json", "--set", "width=8", "-N", 10, "--held-out", 6, "-o", "p.h5",
                  "--init", "pytorch")
        self.args = ("p.h5", "--batch", 4, "--epochs", 6, "--method", "adam", "--lr", 0.01, "--keep-every", 2)

    def read(self, name, dataset):
        with h5py.File(self.path(name)) as file:
            return file[dataset][()]

    def test_records(self):
        said = self.done("basin-train", *self.args, "-o", "r.h5", "--final", "end.h5")
        self.assertIn("after 6 epochs, 18 steps of adam: on the 10 samples trained on loss ", said.splitlines()[0])
        self.assertEqual(self.read("r.h5", "entry/run/epoch").tolist(), list(range(7)))
        self.assertEqual(self.read("r.h5", "entry/run/step").tolist(), [3 * k for k in range(7)])
        self.assertEqual(self.read("r.h5", "trajectory/step").tolist(), [0, 6, 12, 18])
        for name, row in (("p.h5", 0), ("end.h5", -1)):
            self.done("basin-evaluate", name, "-o", "e.h5", "--overwrite")
            for ours, theirs in (("loss", "loss"), ("accuracy", "accuracy"), ("held_out_loss", "held_out_loss"), ("held_out_accuracy", "held_out_accuracy")):
                self.assertEqual(self.read("r.h5", f"entry/run/{ours}")[row], self.read("e.h5", f"entry/evaluation/{theirs}"), (name, ours))

    def test_one_batch_is_gradient_descent(self):
        """All samples in one batch: theta - lr grad f."""
        self.done("basin-evaluate", "p.h5", "-o", "e.h5")
        self.done("basin-train", "p.h5", "-o", "r.h5", "--batch", 10, "--epochs", 1, "--lr", 0.5, "--final", "end.h5", "--order", "given")
        with h5py.File(self.path("p.h5")) as before, h5py.File(self.path("end.h5")) as after, h5py.File(self.path("e.h5")) as e:
            for name, block in before["parameters"].items():
                gradient = e["entry/evaluation/gradient_blocks"][name][()]
                np.testing.assert_allclose(after["parameters"][name][()], block[()] - 0.5 * gradient, rtol=1e-12, atol=1e-14)

    def test_seeds_threads_and_kills(self):
        def losses(name, *options):
            self.done("basin-train", *self.args, "-o", name, *options)
            return self.read(name, "entry/run/loss").tolist()

        whole = losses("a.h5", "--threads", 1)
        self.assertEqual(losses("b.h5", "--threads", 2), whole)
        self.assertNotEqual(losses("c.h5", "--seed", 5), whole)
        self.assertNotEqual(losses("d.h5", "--order", "given"), whole)
        many = ("p.h5", "--batch", 2, "--epochs", 60, "--method", "sgd", "--momentum", 0.9, "--keep-every", 1, "--final", "end.h5")
        self.done("basin-train", *many, "-o", "whole.h5")
        with h5py.File(self.path("end.h5")) as file:
            end = {name: block[()] for name, block in file["parameters"].items()}
        os.remove(self.path("end.h5"))
        self.kill_midway("basin-train", *many)
        self.done("basin-train", *many, "-o", "killed.h5", "--resume")
        for dataset in ("entry/run/loss", "entry/run/held_out_loss", "entry/run/batch_loss", "trajectory/theta"):
            np.testing.assert_array_equal(self.read("killed.h5", dataset), self.read("whole.h5", dataset))
        with h5py.File(self.path("end.h5")) as file:
            for name, block in end.items():
                np.testing.assert_array_equal(file["parameters"][name][()], block)

    def test_a_second_stage(self):
        self.done("basin-train", *self.args, "-o", "a.h5", "--final", "first.h5")
        said = self.done("basin-train", "first.h5", "-o", "b.h5", "--batch", 5, "--epochs", 2, "--kernel", "gaussian", "--train", "blocks.*.attention.*",
                         "--final", "second.h5")
        self.assertIn("attention: gaussian", said)
        with h5py.File(self.path("first.h5")) as a, h5py.File(self.path("second.h5")) as b:
            for name, block in a["parameters"].items():
                same = (block[()] == b["parameters"][name][()]).all()
                self.assertEqual(same, ".attention." not in name, name)

    def test_nothing_is_lost_where_numbers_overflow(self):
        process = run("basin-train", "p.h5", "-o", "r.h5", "--batch", 4, "--epochs", 9, "--lr", 1e200, "--final", "end.h5", cwd=self.folder)
        self.assertEqual(process.returncode, 1, process.stderr)
        self.assertRegex(process.stderr, r"epoch 1, batch \d of 3 \(step \d\): .*the run up to epoch 0 is in r.h5")
        self.assertEqual(self.read("r.h5", "entry/status").decode(), "not finite")
        self.assertEqual(len(self.read("r.h5", "entry/run/loss")), 1)
        with h5py.File(self.path("p.h5")) as before, h5py.File(self.path("end.h5")) as after:
            np.testing.assert_array_equal(before["parameters/head.W"][()], after["parameters/head.W"][()])

    def test_refused(self):
        for message, *options in (
                ("--batch 11: expected 1 to 10, the samples of p.h5", "--batch", 11), ("--batch 0", "--batch", 0),
                ("--epochs -1", "--batch", 2, "--epochs", -1), ("--method lbfgs: expected sgd, adam or adamw with --batch", "--batch", 2, "--method", "lbfgs"),
                ("--step: without effect with --batch", "--batch", 2, "--step", 1), ("--ntk", "--batch", 2, "--ntk"),
                ("--epochs: without effect without --batch", "--epochs", 2), ("--nesterov: without effect without --batch", "--nesterov"),
                ("--nesterov: expected a --momentum", "--batch", 2, "--nesterov"), ("--betas", "--batch", 2, "--betas", "0.9,0.9"),
                ("--betas 0.9: expected two numbers", "--batch", 2, "--method", "adam", "--betas", "0.9"),
                ("--momentum", "--batch", 2, "--method", "adam", "--momentum", 0.5), ("--lr nan", "--batch", 2, "--lr", "nan"),
                ("--order random: expected one of shuffled, given", "--batch", 2, "--order", "random"),
                ("--schedule linear", "--batch", 2, "--schedule", "linear"), ("--warm-up 99: expected 0 to 50", "--batch", 2, "--warm-up", 99),
                ("--keep-every 0", "--batch", 2, "--keep-every", 0), ("--clip-norm -1", "--batch", 2, "--clip-norm", -1)):
            with self.subTest(message):
                self.refused(2, message, "basin-train", "p.h5", "-o", "x.h5", *options)
