"""basin-sweep: its draws are those of basin-problem and basin-ntk, whatever way they were computed."""

import shutil
import signal
import subprocess
import time

import h5py
import numpy as np
from support import BIN, BLOCKS, REVIEWS, ToolTest, attributes, run, many_runs

# Mixed verdicts: at large inputs the attention saturates and the kernel of W_Q becomes singular to rounding.
SMALL = ["-N", 3, "-n", 3, "--outputs", 2, "-H", 1, "-d", 4]
AXES = ["--sweep", "D=6,9", "--sweep", "kernel=softmax,gaussian", "--sweep", "input-scale=1:9:*3"]
SWEEP = [*SMALL, *AXES, "--repeats", 3, "--seed", 5]


def fnv1a(text):
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def contents(path, groups=("axes", "draws", "cells", "sweep")):
    """Name -> values of everything in a result but provenance."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]
            for key, value in attributes(item).items():
                found[f"{name}@{key}"] = value

    with h5py.File(path) as file:
        for name in file["entry"]:
            if name in groups or name.startswith(("share_", "median_", "verdict")):
                if isinstance(file["entry"][name], h5py.Group):
                    file["entry"][name].visititems(lambda part, item, name=name: visit(f"{name}/{part}", item))
                else:
                    found[name] = file["entry"][name][()]
    return found


class SweepTest(ToolTest):
    def sweep(self, name, *args):
        return self.done("basin-sweep", "teacher", "-o", name, *args)

    def assert_same(self, a, b):
        a, b = contents(self.path(a)), contents(self.path(b))
        self.assertEqual(sorted(a), sorted(b))
        self.assertGreater(len(a), 100)
        for name, values in a.items():
            np.testing.assert_array_equal(values, b[name], name)  # NaN equals NaN


class Draws(SweepTest):
    def check_draw(self, sweep, place, make, ntk=()):
        """A draw's numbers are those of basin-ntk on the problem that basin-problem makes with its seed."""
        with h5py.File(self.path(sweep)) as file:
            draws = file["entry/draws"]
            seed = draws["seed"][place]
            self.done("basin-problem", *make, "--seed", seed, "-o", "p.h5", "--overwrite")
            self.done("basin-ntk", "p.h5", "-o", "n.h5", "--overwrite", *ntk)
            self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite", *ntk)
            with h5py.File(self.path("n.h5")) as result:
                summary = result["entry/summary"]
                blocks = [b.decode() for b in summary["block"]]
                for name in ("lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank", "positive_definite"):
                    for block in (*BLOCKS, "sum"):
                        found = draws[block][name][place]
                        if block in blocks:
                            self.assertEqual(found, summary[name][blocks.index(block)], (block, name))
                        else:
                            self.assertTrue(np.isnan(found), (block, name))
                for code, name in enumerate(("singular", None, "in_theory_only", "positive_definite")):
                    for number, block in enumerate(blocks):
                        if name:
                            self.assertEqual(draws[block][name][place] == 1, summary["definiteness"][number] == code)
            loss, gradient = self.results("e.h5", "entry/evaluation/loss", "entry/evaluation/gradient")
            self.assertEqual(draws["loss"][place], loss)
            self.assertAlmostEqual(draws["gradient_norm"][place] / np.linalg.norm(gradient), 1, delta=1e-14)

    def test_every_draw_is_a_problem_of_basin_problem(self):
        self.sweep("s.h5", *SWEEP)
        for d, D in enumerate((6, 9)):
            for k, kernel in enumerate(("softmax", "gaussian")):
                for s, scale in enumerate((1, 3, 9)):
                    self.check_draw("s.h5", (d, k, s, (d + k + s) % 3),
                                    ["teacher", *SMALL, "-D", D, "--kernel", kernel, "--input-scale", scale])
        definite = self.results("s.h5", "entry/draws/sum/positive_definite")
        self.assertTrue(0 < definite.mean() < 1, definite)  # otherwise the tests here see one side only
        in_theory = [self.results("s.h5", f"entry/draws/{kernel}/in_theory_only") for kernel in (*BLOCKS, "sum")]
        self.assertTrue(np.any(in_theory))
        for kernel in (*BLOCKS, "sum"):  # an upper bound of 0 is for what is singular exactly: W_O, having H d < N n
            upper, singular = self.results("s.h5", f"entry/draws/{kernel}/lambda_min_upper", f"entry/draws/{kernel}/singular")
            np.testing.assert_array_equal(upper == 0, singular == 1)
            self.assertTrue(kernel != "W_O" or singular.all())

    def test_gains_pairs_and_trained_blocks(self):
        self.sweep("s.h5", *SMALL, "--gain", "W_V=3", "--init", "orthogonal", "--sweep", "gain.W_O=0.5,2",
                   "--sweep", "D=5,7+target-heads=1,2", "--sweep", "train=W_V,W_K+W_Q", "--repeats", 1)
        for g, gain in enumerate((0.5, 2)):
            for p, (D, heads) in enumerate(((5, 1), (7, 2))):
                for t, train in enumerate(("W_V", "W_Q,W_K")):
                    self.check_draw("s.h5", (g, p, t, 0),
                                    ["teacher", *SMALL, "-D", D, "--target-heads", heads, "--init", "orthogonal",
                                     "--gain", "W_V=3", "--gain", f"W_O={gain}"], ["--train", train])

    def test_text(self):
        self.done("basin-sweep", "text", REVIEWS, "-o", "s.h5", "--sweep", "n=3:5:2", "--sweep", "D=4,8", "-N", 2, "--repeats", 2)
        for i, n in enumerate((3, 5)):
            for j, D in enumerate((4, 8)):
                self.check_draw("s.h5", (i, j, 1), ["text", REVIEWS, "-N", 2, "-n", n, "-D", D])

    def test_fixed_data(self):
        self.sweep("s.h5", *SMALL, "--sweep", "D=6", "--repeats", 2, "--data-seed", 3)
        self.check_draw("s.h5", (0, 1), ["teacher", *SMALL, "-D", 6, "--data-seed", 3])

    def test_draws_stay_when_the_sweep_grows(self):
        self.sweep("small.h5", *SMALL, "--sweep", "D=6", "--sweep", "kernel=gaussian", "--repeats", 2, "--seed", 5)
        self.sweep("large.h5", *SMALL, "--sweep", "kernel=softmax,gaussian", "--sweep", "D=4,6,9", "--repeats", 3, "--seed", 5)
        self.sweep("other.h5", *SMALL, "--sweep", "D=6", "--sweep", "kernel=gaussian", "--repeats", 2, "--seed", 6)
        for name in ("seed", "sum/lambda_min", "loss"):
            small, large, other = (self.results(f, "entry/draws/" + name) for f in ("small.h5", "large.h5", "other.h5"))
            np.testing.assert_array_equal(small[0, 0], large[1, 1, :2])
            self.assertEqual(np.unique(large).size, large.size)
            self.assertFalse((small == other).any())

    def test_seeds_are_as_documented(self):
        """lib/hdf5/FORMAT.md, so that another program can find the draws."""
        self.sweep("s.h5", *SMALL, "--sweep", "kernel=softmax,gaussian", "--sweep", "gain.W_O=1,2.5", "--sweep", "D=6", "--repeats", 2, "--seed", 5)
        self.assertEqual(self.results("s.h5", "entry/draws/seed")[1, 1, 0, 1],
                         fnv1a("basin-sweep seed=5 embedding=6 gain=W_O=2.5 kernel=gaussian repeat=1"))

    def test_threads_and_memory_do_not_matter(self):
        self.sweep("a.h5", *SWEEP, "--threads", 1)
        self.sweep("b.h5", *SWEEP, "--threads", 3)
        self.sweep("c.h5", *SWEEP, "--threads", 3, "--memory", "200k")  # one draw after another
        self.assert_same("a.h5", "b.h5")
        self.assert_same("a.h5", "c.h5")

    def test_a_draw_that_cannot_be_measured_does_not_end_the_sweep(self):
        process = run("basin-sweep", "teacher", "-o", "s.h5", *SMALL, "--sweep", "input-scale=1,1e200", "--repeats", 2, cwd=self.folder)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn("draw 1 at input-scale = 1e200 cannot be measured: ", process.stderr)
        self.assertIn("2 of 4 draws could not be measured", process.stdout)
        computed, values = self.results("s.h5", "entry/draws/computed", "entry/draws/loss")
        self.assertTrue(computed.all())
        np.testing.assert_array_equal(np.isnan(values), [[False, False], [True, True]])


class ResultFile(SweepTest):
    def test_tables(self):
        self.sweep("s.h5", *SWEEP)
        with h5py.File(self.path("s.h5")) as file:
            entry = file["entry"]
            self.assertEqual(list(entry["axes"].attrs["axes"]), ["D", "kernel", "input-scale"])
            np.testing.assert_array_equal(entry["axes/D"], [6, 9])
            np.testing.assert_array_equal(entry["axes/input-scale"], [1, 3, 9])
            self.assertEqual(list(entry["axes/kernel"].asstr()), ["softmax", "gaussian"])
            np.testing.assert_array_equal(entry["axes/kernel_number"], [0, 1])
            self.assertTrue((entry["draws/computed"][()] == 1).all())
            draws, cells = entry["draws/sum/lambda_min"][()], entry["cells/sum/lambda_min"]
            self.assertEqual(draws.shape, (2, 2, 3, 3))
            for name, p in (("median", 0.5), ("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
                np.testing.assert_allclose(cells[name], np.quantile(draws, p, axis=-1), rtol=1e-14)
            verdicts, cells = entry["draws/sum/positive_definite"][()], entry["cells/sum/positive_definite"]
            self.assertEqual(entry["draws/sum/positive_definite"].attrs["verdict"], 1)
            self.assertEqual(entry["draws/sum/lambda_min"].attrs["verdict"], 0)
            np.testing.assert_array_equal(cells["passed"], verdicts.sum(axis=-1))
            np.testing.assert_array_equal(cells["judged"], np.full((2, 2, 3), 3))
            np.testing.assert_array_equal(cells["share"], verdicts.mean(axis=-1))
            z, n, p = 1.959963984540054, 3, verdicts.mean(axis=-1)
            for name, sign in (("share_lower", -1), ("share_upper", 1)):
                wilson = (p + z**2 / (2 * n) + sign * z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
                np.testing.assert_allclose(cells[name], wilson, atol=1e-15)

    def test_opens_as_a_plot(self):
        self.sweep("s.h5", *SWEEP)
        with h5py.File(self.path("s.h5")) as file:
            entry = file[file.attrs["default"]]
            self.assertEqual(entry.attrs["default"], "share_sum_positive_definite")
            for name in ("share_sum_positive_definite", "share_W_Q_positive_definite", "median_sum_lambda_min"):
                group = entry[name]
                self.assertEqual(group.attrs["NX_class"], "NXdata")
                self.assertEqual(list(group.attrs["axes"]), ["D", "kernel_number", "input-scale_number"])
                self.assertEqual(list(group.attrs["default_slice"]), [".", ".", "0"])
                self.assertEqual(group[group.attrs["signal"]].shape, tuple(group[a].size for a in group.attrs["axes"]))
            np.testing.assert_array_equal(entry["share_sum_positive_definite/share"], entry["cells/sum/positive_definite/share"])

    def test_provenance(self):
        out = self.sweep("s.h5", *SWEEP)
        with h5py.File(self.path("s.h5")) as file:
            self.assertEqual((file.attrs["basin_file"], file.attrs["basin_tool"]), ("result", "basin-sweep"))
            self.assertEqual(file["entry/verdict"].asstr()[()], out)
            options = {k: v.asstr()[()] for k, v in file["entry/provenance/options"].items()}
            self.assertEqual(options["sweep"], "D=6,9 kernel=softmax,gaussian input-scale=1:9:*3")
            self.assertEqual(file["entry/provenance/seed"][()], 5)
            fixed = {k: v.asstr()[()] for k, v in file["entry/sweep/options"].items()}
            self.assertEqual((fixed["samples"], fixed["init"]), ("3", "gaussian"))
            self.assertNotIn("embedding", fixed)

    def test_summary(self):
        lines = self.sweep("s.h5", *SMALL, "--sweep", "input-scale=1,40", "--repeats", 3, "--train", "W_Q,W_V").splitlines()
        definite = self.results("s.h5", "entry/draws/sum/positive_definite")
        self.assertEqual(definite.sum(axis=1).tolist()[0], 3)
        share = definite.mean()
        self.assertEqual(lines[0], f"NTK of the trained blocks positive definite in {definite.sum():.0f} of 6 draws ({100 * share:.0f} %)")
        self.assertTrue(any(line.startswith("  W_Q alone: positive definite in ") for line in lines))
        in_theory = self.results("s.h5", "entry/draws/sum/in_theory_only")
        self.assertTrue(any(line.startswith(f"  NTK of the trained blocks in theory only in {in_theory.sum():.0f} of 6 draws") for line in lines))
        self.assertFalse(any("W_K" in line for line in lines))
        self.assertIn("  input-scale  share  95 % interval  median lambda_min", lines)
        self.assertTrue(any(line.startswith("            1   1.00   0.44 to 1.00") for line in lines), lines)
        if definite[1].mean() < 0.5:
            self.assertIn("the share along input-scale falls through 1/2 between 1 and 40", lines)

    def test_long_axes_make_short_tables(self):
        out = self.sweep("s.h5", "-N", 1, "-n", 1, "--outputs", 1, "--sweep", "D=1:60:1", "--repeats", 1)
        self.assertLess(len(out.splitlines()), 35)
        self.assertIn("\n  ...\n", out)


class Resuming(SweepTest):
    LONG = ["-N", 4, "-n", 4, "--outputs", 4, "--sweep", "D=16:64:*2", "--sweep", "kernel=softmax,gaussian", "--repeats", 40]

    def killed(self, name, *args, work=("teacher", *LONG)):
        """A run killed with SIGKILL when its journal has some draws; the draws that it had finished."""
        journal = self.path(name + ".journal")
        process = subprocess.Popen([str(a) for a in (BIN / "basin-sweep", *work, "-o", name, *args)], cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (journal.exists() and sum(line[:1].isdigit() for line in journal.read_bytes().decode().splitlines()) > 20):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL, "the run was too short to be killed")
        self.assertFalse(self.path(name).exists())
        return [line for line in journal.read_text().splitlines() if line[0].isdigit()]

    @many_runs
    def test_killed_and_resumed(self):
        self.sweep("whole.h5", *self.LONG)
        finished = len(self.killed("s.h5"))
        self.assertGreater(finished, 10)
        with open(self.path("s.h5.journal"), "a") as journal:
            journal.write("239 0x1.8p+1 0x1")  # torn
        process = run("basin-sweep", "teacher", "-o", "s.h5", *self.LONG, "--resume", cwd=self.folder)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertRegex(process.stderr, rf"\b{finished} draws are in the journal")
        self.assert_same("whole.h5", "s.h5")
        self.no_leftovers("whole.h5", "s.h5")

    def test_the_journal_is_used(self):
        """A value changed in the journal, checksum and all, comes out in the result: nothing is computed twice."""
        self.killed("s.h5")
        path = self.path("s.h5.journal")
        lines = path.read_text().split("\n")
        at = next(i for i, line in enumerate(lines) if line[:1].isdigit())
        words = lines[at].split(" ")[:-1]
        words[1] = "0x1.edd2f1a9fbe77p+6"  # 123.456
        lines[at] = " ".join(words) + f" {fnv1a(' '.join(words)):016x}"
        broken = next(i for i in range(at + 1, len(lines)) if lines[i][:1].isdigit())
        lines[broken] = lines[broken].replace("0x1", "0x2", 1)
        path.write_text("\n".join(lines))
        process = run("basin-sweep", "teacher", "-o", "s.h5", *self.LONG, "--resume", cwd=self.folder)
        self.assertIn("1 damaged lines of the journal: their draws are repeated", process.stderr)
        self.assertEqual(self.results("s.h5", "entry/draws/loss").ravel()[int(words[0])], 123.456)

    def test_refused(self):
        self.killed("s.h5")
        before = self.path("s.h5.journal").read_bytes()
        same = ["basin-sweep", "teacher", "-o", "s.h5"]
        self.refused(2, "s.h5.journal: an unfinished run has left its journal; go on with --resume, or delete it", *same, *self.LONG)
        for message, *args in (("repeats = 40 there, 41 here", *self.LONG[:-1], 41), ("seed = 0 there, 1 here", *self.LONG, "--seed", 1),
                               ("option head-dim = 8 there, 4 here", *self.LONG, "-d", 4), ("part = 1/1 there, 1/2 here", *self.LONG, "--part", "1/2"),
                               ("axis 3 = nothing there, noise=1,2 here", *self.LONG, "--sweep", "noise=1,2")):
            self.refused(2, f"s.h5.journal: the journal of another run ({message})", *same, *args, "--resume")
        self.assertEqual(self.path("s.h5.journal").read_bytes(), before)

    @many_runs
    def test_other_reviews_are_another_sweep(self):
        reviews = self.path("reviews")
        shutil.copytree(REVIEWS, reviews)
        work = ("text", "reviews", "-N", 6, "-n", 6, "--sweep", "D=16:32:*2", "--repeats", 60)
        self.killed("s.h5", work=work)
        self.done("basin-sweep", *work, "-o", "1.h5", "--part", "1/20")
        review = min((reviews / "pos").glob("*.txt"))
        original = review.read_bytes()
        review.write_bytes(original + b"!")
        self.refused(2, "s.h5.journal: the journal of another run (reviews = ", "basin-sweep", *work, "-o", "s.h5", "--resume")
        self.done("basin-sweep", *work, "-o", "2.h5", "--part", "2/20")
        self.refused(2, "2.h5: of another sweep than 1.h5 (reviews = ", "basin-sweep", "merge", "1.h5", "2.h5", "-o", "m.h5")
        review.write_bytes(original)
        self.done("basin-problem", "text", "reviews", "-n", 6, "-N", 6, "-o", "p.h5")
        self.assertEqual(self.results("1.h5", "entry/provenance/input_sha256"), self.results("p.h5", "provenance/input_sha256"))
        self.done("basin-sweep", *work, "-o", "s.h5", "--resume")

    def test_resume_without_a_journal_starts(self):
        self.sweep("s.h5", *SMALL, "--sweep", "D=6", "--repeats", 1, "--resume")
        self.no_leftovers("s.h5")

    def test_a_share_is_resumed(self):
        self.sweep("whole.h5", *self.LONG, "--part", "1/2")
        self.killed("s.h5", "--part", "1/2")
        self.sweep("s.h5", *self.LONG, "--part", "1/2", "--resume")
        self.assert_same("whole.h5", "s.h5")


class Shares(SweepTest):
    def share(self, name, part, *args):
        self.sweep(name, *SWEEP, "--part", part, *args)

    def test_merge(self):
        self.sweep("whole.h5", *SWEEP)
        for i in (1, 2, 3):
            self.share(f"{i}.h5", f"{i}/3")
        computed = [self.results(f"{i}.h5", "entry/draws/computed").ravel() for i in (1, 2, 3)]
        for i in range(3):
            np.testing.assert_array_equal(np.flatnonzero(computed[i]) % 3, i)
            values = self.results(f"{i + 1}.h5", "entry/draws/loss").ravel()
            np.testing.assert_array_equal(np.isnan(values), computed[i] == 0)
        self.done("basin-sweep", "merge", "2.h5", "3.h5", "1.h5", "-o", "merged.h5")
        self.assert_same("whole.h5", "merged.h5")

    def test_shares_that_do_not_fit(self):
        self.share("1.h5", "1/2")
        self.share("2.h5", "2/2")
        self.share("2of3.h5", "2/3")
        self.share("longer.h5", "2/2", "--noise", 0.5)
        self.path("text.h5").write_text("no HDF5")
        self.done("basin-problem", "teacher", "-o", "problem.h5")
        self.done("basin-ntk", "problem.h5", "-o", "ntk.h5")
        merge = ["basin-sweep", "merge", "-o", "m.h5", "1.h5"]
        self.refused(2, "the files leave out 18 of 36 draws, the first: draw 1 at D = 6, kernel = softmax, input-scale = 1", *merge)
        self.refused(2, "longer.h5: of another sweep than 1.h5 (option noise = 0.5 there, 0 here)", *merge, "longer.h5")
        self.refused(2, "2of3.h5: draw 1 at D = 6, kernel = softmax, input-scale = 3 is in a file before it, too", *merge, "2of3.h5")
        self.refused(2, "1.h5: draw 0 at D = 6, kernel = softmax, input-scale = 1 is in a file before it", *merge, "1.h5", "2.h5")
        self.refused(2, "text.h5: not an HDF5 file", *merge, "text.h5")
        self.refused(2, "ntk.h5: a result of basin-ntk; expected one of basin-sweep", *merge, "ntk.h5")
        with h5py.File(self.path("2.h5"), "a") as file:
            del file["entry/sweep/specification"]
            file["entry/sweep/specification"] = "repeats = many"
        self.refused(2, "2.h5: /entry/sweep/specification is not of a sweep", *merge, "2.h5")
        self.refused(2, "problem.h5: a Basin problem file; expected a result file", *merge, "problem.h5")
        self.assertFalse(self.path("m.h5").exists())


class CommandLine(SweepTest):
    def test_wrong_options(self):
        for message, *args in (("no axis: give --sweep OPTION=LIST",), ("--sweep D: found 'D'; expected OPTION=LIST", "--sweep", "D"),
                               ("--sweep Q=1: unknown option 'Q'; expected one of samples (N), tokens (n)", "--sweep", "Q=1"),
                               ("--sweep D=8:4:2: found the range '8:4:2', which never gets from 8 to 4", "--sweep", "D=8:4:2"),
                               ("--sweep D=1,2+H=1: found 2 values of D and 1 of H", "--sweep", "D=1,2+H=1"),
                               ("found D twice; expected every option in one axis only", "--sweep", "D=1,2", "--sweep", "embedding=3"),
                               ("--sweep embedding=8,9: --embedding is given as an option, too", "--sweep", "D=8,9", "-D", 4),
                               ("--sweep gain.W_O=1,2: --gain is given as an option, too", "--sweep", "gain.W_O=1,2", "--gain", "W_O=3"),
                               ("seeds cannot be swept", "--sweep", "seed=1:9:1"), ("seeds cannot be swept", "--sweep", "init-seed=1:9:1"),
                               ("unknown option 'threads'", "--sweep", "threads=1,2"), ("unknown option 'repeats'", "--sweep", "repeats=1,2"),
                               ("found a grid of 2e+09 draws; expected at most 1e+07", "--sweep", "D=1:10000:1", "--sweep", "N=1:10000:1"),
                               ("--repeats 0: expected at least 1", "--sweep", "D=8", "--repeats", 0),
                               *((f"--part {part}: expected i/k", "--sweep", "D=8", "--part", part) for part in ("0/2", "3/2", "1", "1/2/3", "a/b")),
                               ("at D = abc: ", "--sweep", "D=4,abc"), ("at D = 0: embedding dimension D = 0; expected at least 1", "--sweep", "D=4,0"),
                               ("at kernel = relu: unknown kernel 'relu'", "--sweep", "kernel=softmax,relu"),
                               ("at train = W_X: unknown parameter block 'W_X'", "--sweep", "train=W_Q,W_X"),
                               ("at gain.W_X = 2: unknown parameter block 'W_X'", "--sweep", "gain.W_X=2,3"),
                               ("at N = 64: the dense kernels need ", "--sweep", "N=2,64", "--memory", "10M"),
                               ("at kernel = softmax: --bandwidth: the softmax kernel has none", "--sweep", "kernel=gaussian,softmax", "--bandwidth", 2)):
            self.refused(2, message, "basin-sweep", "teacher", "-o", "s.h5", *args)
        self.refused(2, "unknown kind of sweep 'import'; expected teacher, text, architecture, problem or merge", "basin-sweep", "import")
        self.refused(2, "nowhere: no such folder", "basin-sweep", "text", "nowhere", "-o", "s.h5", "--sweep", "D=4,8")
        self.no_leftovers()

    def test_an_existing_result_is_refused_before_the_work(self):
        self.path("s.h5").write_text("mine")
        self.refused(2, "s.h5: exists already", "basin-sweep", "teacher", "-o", "s.h5", "--sweep", "D=8")
        self.no_leftovers("s.h5")

    def test_configuration_file(self):
        self.path("sweep.cfg").write_text("sweep = D=6,9\nsweep = kernel=softmax,gaussian\nrepeats = 2\nsamples = 2\n")
        self.sweep("a.h5", "--config", "sweep.cfg")
        self.sweep("b.h5", "--sweep", "D=6,9", "--sweep", "kernel=softmax,gaussian", "--repeats", 2, "-N", 2)
        self.assert_same("a.h5", "b.h5")


if __name__ == "__main__":
    import unittest

    unittest.main()
