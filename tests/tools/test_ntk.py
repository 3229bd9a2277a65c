"""basin-ntk against NumPy's singular values."""

import re
import subprocess
import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, ROOT, ToolTest, jacobian, run, write_problem
from test_networks import Net, layers_outputs

CASES = ROOT / "tests/checkpoints/cases"


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


class Networks(ToolTest):
    """Networks of several layers: J from basin-evaluate, whose products are tested by themselves, its kernels from NumPy."""

    def problem_of(self, case):
        folder = CASES / case
        options = [word for name in ("inputs", "targets", "mask", "token_type_ids") if (folder / f"{name}.npy").exists()
                   for word in ("--token-types" if name == "token_type_ids" else f"--{name}", folder / f"{name}.npy")]
        self.done("basin-problem", "checkpoint", folder, "-o", "p.h5", "--overwrite", *options)
        with h5py.File(self.path("p.h5")) as file:
            shape = np.load(folder / "answers.npz")["outputs"].shape
            labels = file["data/labels"][()].ravel() if "labels" in file["data"] else None
            counting = labels >= 0 if labels is not None else file["data/mask"][()].ravel() > 0
        m = int(np.prod(shape))
        with h5py.File(self.path("eye.h5"), "w") as file:
            file["u"] = np.eye(m)
        self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite", "--cotangent", "eye.h5:/u", "-q")
        with h5py.File(self.path("e.h5")) as file:
            evaluation = file["entry/evaluation"]
            J = evaluation["vjp"][()].reshape(-1, shape[-1], evaluation["gradient"].size)
            blocks = {name: data.size for name, data in evaluation["gradient_blocks"].items()}
            order = [line.split(" from ") for line in evaluation["title"].asstr()[()].split(": ", 1)[1].split(", ")]
            start = {name: int(at) for name, at in order}
            loss = evaluation["loss"][()]
        return J, counting, {name: slice(at, at + blocks[name]) for name, at in start.items()}, loss, labels is not None

    def values(self, J):
        return np.linalg.svd(J.reshape(-1, J.shape[-1]), compute_uv=False)

    def test_kernels_of_blocks_by_pattern_over_the_rows_that_count(self):
        for case in ("bert_token", "nanogpt_nobias", "torch_post_relu_2_squared_masked", "skyformer_softmax"):
            J, counting, blocks, loss, labelled = self.problem_of(case)
            C = J.shape[1]
            chosen = np.concatenate([np.arange(s.start, s.stop) for name, s in blocks.items() if name.startswith("blocks.0.attention.")])
            for rows, kept in (("counting", J[counting] if counting.size == len(J) else J), ("all", J)):
                self.done("basin-ntk", "p.h5", "-o", "r.h5", "--overwrite", "--rows", rows, "--kernels", "blocks.0.attention.*")
                differences = labelled and rows == "counting"  # of logits within a row
                m = kept.shape[0] * (C - differences)
                of = kept - kept.mean(axis=1, keepdims=True) if differences else kept
                with h5py.File(self.path("r.h5")) as file:
                    for name, part in (("sum", of), ("blocks.0.attention.*", of[:, :, chosen])):
                        group, s = file["entry/ntk_" + name], self.values(part)[:m]
                        found = np.zeros(m)
                        found[: s.size] = s
                        self.assertLess(np.abs(group["singular_value"][()] - found).max(), 1e-12 * s[0], (case, rows, name))
                    self.assertEqual(int(file["entry/summary/size"][1]), m)
                    self.assertEqual(file["entry/rows"].asstr()[()].startswith("logit differences"), differences)
                    self.assertEqual("logits" in file["entry"], differences)
                    if differences:
                        s = self.values(kept)
                        least = s[-1] ** 2 if s.size == len(kept) * C else 0
                        logits = file["entry/logits"]
                        self.assertLessEqual(logits["lambda_min_lower"][1], least * (1 + 1e-9))
                        self.assertGreaterEqual(logits["lambda_min_upper"][1] + 1e-24 * s[0] ** 2, least * (1 - 1e-9))
                        self.assertAlmostEqual(logits["lambda_max"][1] / s[0] ** 2, 1, places=11)

    def test_what_sizes_and_copies_say(self):
        self.problem_of("nanogpt_nobias")
        out = self.done("basin-ntk", "p.h5", "-o", "r.h5")
        self.assertIn("is singular", out)
        self.assertRegex(out.splitlines()[0], r"^NTK of the trained blocks is singular: rank \d+ of \d+, lambda_min = 0")
        self.assertRegex(out.splitlines()[1], r"^  on \d+ logit differences: outputs that count in the loss")
        self.assertRegex(out, r"why: \d+ independent last-layer outputs would be needed, there are \d+; it takes")
        self.assertNotIn("no certificate", out)
        self.refused(2, "--assert certified: p.h5 has a cross-entropy loss, which no point brings to zero", "basin-ntk", "p.h5", "-o", "r.h5",
                     "--overwrite", "--assert", "positive-definite,certified")
        refuted = run("basin-ntk", "p.h5", "-o", "r.h5", "--overwrite", "--assert", "positive-definite", cwd=self.folder)
        self.assertEqual(refuted.returncode, 3)

    def test_the_rate_of_cross_entropy(self):
        J, counting, _, loss, _ = self.problem_of("skyformer_softmax")
        out = self.done("basin-ntk", "p.h5", "-o", "r.h5", "--kernels", "sum")
        s, (B, C) = self.values(J - J.mean(axis=1, keepdims=True)), J.shape[:2]
        mu, F = s[B * (C - 1) - 1] ** 2, B * loss
        rate = mu * C * ((1 - np.exp(-F)) / F) ** 2 / ((C - 1) * B)
        found = float(re.search(r"1 / \(1/f\(0\) \+ (\S+) t\)", out)[1])
        self.assertLessEqual(found, rate * (1 + 1e-9))
        self.assertGreater(found, 0.98 * rate)

    def test_pictures(self):
        self.problem_of("skyformer_softmax")
        for name, kernels in (("all.h5", "blocks"), ("some.h5", "blocks.0.attention.*,blocks.0.mlp.*")):
            self.done("basin-ntk", "p.h5", "-o", name, "--kernels", kernels)
            drawn = subprocess.run([ROOT / "analysis/basin-plot", name, "-o", "pics", "--format", "png", "--dpi", "50"], cwd=self.folder, capture_output=True)
            self.assertEqual(drawn.returncode, 0, drawn.stderr)
            self.assertEqual(self.path(f"pics/{name[:-3]}_depth.png").exists(), kernels == "blocks")

    def test_the_other_kernel_and_products(self):
        J, counting, _, _, labelled = self.problem_of("bert_token")
        self.assertTrue(labelled)
        kept = J[counting] - J[counting].mean(axis=1, keepdims=True)
        out = self.done("basin-ntk", "p.h5", "-o", "r.h5", "--kernels", "sum", "--compare")
        self.assertIn("The same weights with the gaussian kernel in every attention", out)
        self.done("basin-ntk", "p.h5", "-o", "g.h5", "--kernels", "sum", "--kernel", "gaussian")
        for column in ("lambda_min", "lambda_max"):
            self.assertEqual(self.results("r.h5", f"entry/compared_gaussian/{column}")[0], self.results("g.h5", f"entry/summary/{column}")[0])
        self.done("basin-ntk", "p.h5", "-o", "f.h5", "--method", "matrix-free", "--max-products", "600")
        s = self.values(kept)[: kept.shape[0] * (kept.shape[1] - 1)]
        upper, largest = (self.results("f.h5", f"entry/summary/{name}")[0] for name in ("lambda_min_upper", "lambda_max"))
        self.assertGreaterEqual(upper, s[-1] ** 2 * (1 - 1e-9))
        self.assertAlmostEqual(largest / s[0] ** 2, 1, places=5)
        self.refused(2, "--method formed", "basin-ntk", "p.h5", "-o", "x.h5", "--method", "formed")
        self.refused(2, "--rows some: expected counting or all", "basin-ntk", "p.h5", "-o", "x.h5", "--rows", "some")
        self.refused(2, "--kernels head.*,nix.*: expected sum, blocks, unions, or patterns", "basin-ntk", "p.h5", "-o", "x.h5", "--kernels", "head.*,nix.*")
        self.refused(2, "--kernels unions: the sets of ", "basin-ntk", "p.h5", "-o", "x.h5", "--kernels", "unions")
        self.refused(2, "--kernels : expected sum, blocks, unions, or patterns", "basin-ntk", "p.h5", "-o", "x.h5", "--kernels", "")
        self.refused(2, "--suggest", "basin-ntk", "p.h5", "-o", "x.h5", "--suggest")

    def test_the_same_kernel_in_all_tools(self):
        """Under cross-entropy that of logit differences; and what is singular whatever the weights is so everywhere."""
        for case in ("nanogpt_nobias", "skyformer_softmax"):
            self.problem_of(case)
            self.done("basin-ntk", "p.h5", "-o", "n.h5", "--overwrite", "--kernels", "sum")
            out = self.done("basin-slice", "p.h5", "-o", "s.h5", "--overwrite", "--x=0:1:2", "--v", "none", "--quantities", "ntk")
            self.done("basin-train", "p.h5", "-o", "t.h5", "--overwrite", "--steps", "0", "--ntk")
            least, code = (self.results("n.h5", f"entry/summary/{name}")[0] for name in ("lambda_min", "definiteness"))
            self.assertEqual(self.results("s.h5", "ntk_definiteness").ravel()[0], code)
            self.assertEqual(self.results("s.h5", "min_ntk").ravel()[0], least)
            self.assertEqual(self.results("t.h5", "entry/run/lambda_min")[0], least)
            self.assertIn("smallest eigenvalue of the NTK of the trained blocks on logit differences", out)
            self.assertEqual("singular at 2 points" in out, case == "nanogpt_nobias")
            for name in ("s.h5", "t.h5"):
                with h5py.File(self.path(name)) as file:
                    self.assertEqual(file["entry/ntk_rows"].asstr()[()], "logit differences")

    def test_a_bias_of_keys_moves_nothing(self):
        self.problem_of("bert_token")
        out = self.done("basin-ntk", "p.h5", "-o", "r.h5", "--train", "*.b_K,*.b_Q")
        self.assertIn("blocks.0.attention.b_K alone: zero: the outputs do not depend on it", out)
        with h5py.File(self.path("r.h5")) as file:
            names = list(file["entry/summary/block"].asstr()[()])
            row = names.index("blocks.0.attention.b_K")
            self.assertEqual(file["entry/summary/verdict"].asstr()[row], "singular")
            self.assertEqual(file["entry/summary/lambda_max_upper"][row], 0)
            self.assertEqual(file["entry/ntk_blocks.0.attention.b_K/upper"][()].max(), 0)
            self.assertNotEqual(file["entry/summary/lambda_max_upper"][names.index("blocks.0.attention.b_Q")], 0)

    def test_what_products_do_not_know_is_not_said(self):
        self.problem_of("skyformer_softmax")
        out = self.done("basin-ntk", "p.h5", "-o", "r.h5", "--method", "matrix-free")
        self.assertIn("not decided: 0 <= lambda_min <= ", out)
        self.assertNotIn("below rounding", out)


if __name__ == "__main__":
    unittest.main()

    def test_one_layer_on_the_outputs_of_the_network(self):
        for case, path in (("bert_token", "blocks.0.attention"), ("nanogpt_nobias", "blocks.1.attention"), ("skyformer_softmax", "blocks.1.attention"),
                           ("skyformer_softmax", "blocks.0.mlp.in")):
            J, counting, blocks, _, labelled = self.problem_of(case)
            kept = J[counting] if counting.size == len(J) else J
            if labelled:
                kept = kept - kept.mean(axis=1, keepdims=True)
            out = self.done("basin-ntk", "p.h5", "-o", "r.h5", "--overwrite", "--layer", path)
            self.assertRegex(out.splitlines()[0], f"^NTK of the trained blocks of {path} is ")
            self.assertRegex(out.splitlines()[1], f"^  on \\d+ {'logit differences: ' if labelled else ''}outputs that count in the loss")
            self.assertIn(f"What {path} sees: ", out)
            m = kept.shape[0] * (kept.shape[1] - labelled)
            with h5py.File(self.path("r.h5")) as file:
                names = file["entry/summary/block"].asstr()[()]
                for row, name in enumerate(names):
                    own = [f"{path}.{b}" for b in name.split(",")] if name != "sum" else [b for b in blocks if b.startswith(path + ".")]
                    s = self.values(kept[:, :, np.concatenate([np.arange(blocks[b].start, blocks[b].stop) for b in own])])
                    least = s[m - 1] ** 2 if s.size >= m else 0
                    self.assertEqual(file["entry/summary/size"][row], m)
                    self.assertLessEqual(file["entry/summary/lambda_min_lower"][row], least * (1 + 1e-9), (case, path, name))
                    self.assertGreaterEqual(file["entry/summary/lambda_min_upper"][row] + 1e-24 * s[0] ** 2, least * (1 - 1e-9), (case, path, name))
                    self.assertAlmostEqual(file["entry/summary/lambda_max"][row] / s[0] ** 2, 1, places=10)

    def test_one_layer_alone(self):
        """The paper's layer inside a network: what basin-ntk says of it as a problem of its own."""
        net = Net()
        net.write(self.path("net.h5"))
        first = layers_outputs(net.layers[:1], net.weights, net.X, np.ones(net.X.shape[:2]))
        with h5py.File(self.path("own.h5"), "w") as file:
            file["data/X"], file["data/Y"] = first, np.zeros((*first.shape[:2], 4))
            file["model/kernel"], file["model/bandwidth"] = "gaussian", 1.5
            for name in BLOCKS:
                file["parameters/" + name] = net.weights["second." + name]
        out = self.done("basin-ntk", "net.h5", "-o", "r.h5", "--layer", "second", "--compare")
        self.assertIn("The same weights with the softmax kernel in second alone", out)
        self.done("basin-ntk", "own.h5", "-o", "o.h5", "--compare")
        for ours, theirs in (("alone", "summary"), ("alone_compared_softmax", "compared_softmax")):
            for column in ("lambda_min", "lambda_max", "proven_upper_bound", "rank"):
                a, b = self.results("r.h5", f"entry/{ours}/{column}"), self.results("o.h5", f"entry/{theirs}/{column}")
                if ours == "alone" or column != "lambda_min":  # both default bandwidths are those of d
                    self.assertLess(np.abs(a - b).max(), 1e-10 * np.abs(b).max(), (ours, column))
        for column in ("name", "measured", "threshold"):
            a, b = self.results("r.h5", f"entry/alone_conditions/{column}"), self.results("o.h5", f"entry/conditions/{column}")
            self.assertTrue((a == b).all(), column)
        # the derivative of the network's outputs in the layer's, by the last layer's weights
        J = self.results("r.h5", "entry/ntk_sum/singular_value")
        blocks = ["second." + name for name in BLOCKS]
        expected = np.linalg.svd(net.jacobian(blocks, net.theta(blocks)), compute_uv=False)
        self.assertLess(np.abs(J[: expected.size] - expected).max(), 1e-12 * expected[0])

    def test_the_last_layer_alone(self):
        net = Net(N=2, n=2, outputs=3)
        net.write(self.path("net.h5"))
        A = layers_outputs(net.layers[:2], net.weights, net.X, np.ones(net.X.shape[:2])).reshape(4, -1)
        least, most = (s**2 for s in np.linalg.svd(A, compute_uv=False)[[-1, 0]])
        for options in (("--layer", "head"), ("--train", "head.*"), ("--layer", "head", "--train", "head.W")):
            out = self.done("basin-ntk", "net.h5", "-o", "r.h5", "--overwrite", "--assert", "positive-definite,certified", *options)
            self.assertIn("converges to zero loss from anywhere: proven", out)
            self.assertAlmostEqual(self.results("r.h5", "entry/summary/lambda_min")[-1] / least, 1, places=9)
            self.assertAlmostEqual(self.results("r.h5", "entry/certificate/step") * most, 1, places=9)
            rate = self.results("r.h5", "entry/certificate/rate")
            self.assertAlmostEqual(rate, (1 - least / most) ** 2, places=9)
        large = Net(N=3, n=4)  # 12 rows of 4 numbers
        large.write(self.path("large.h5"))
        out = self.done("basin-ntk", "large.h5", "-o", "l.h5", "--layer", "head")
        self.assertIn("is singular", out)
        self.assertIn("that its loss is zero is not proven", out)

    def test_layers_that_are_refused(self):
        Net().write(self.path("net.h5"))
        path, _ = self.problem()
        for message, *options in (("--layer: net.h5: unknown layer 'third'; expected one of first, second, head", "net.h5", "--layer", "third"),
                                  ("--layer: net.h5: first: none of its blocks is trained; add them to --train", "net.h5", "--layer", "first", "--train", "head.W"),
                                  ("--kernels: without effect with --layer", "net.h5", "--layer", "first", "--kernels", "sum"),
                                  ("--compare: head is a linear layer, which has no kernel", "net.h5", "--layer", "head", "--compare"),
                                  ("--layer: without effect where the network is one layer", path, "--layer", "attention")):
            self.refused(2, message, "basin-ntk", options[0], "-o", "x.h5", *options[1:])

