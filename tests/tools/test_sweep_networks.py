"""basin-sweep on described networks and on the data of problem files: its numbers are those of the other tools, and NumPy's."""

import copy
import json
import signal
import subprocess
import time

import h5py
import numpy as np
from support import BIN, ToolTest, many_runs, run
from test_networks import Net, layers_outputs
from test_sweep import contents

BLOCK = [{"type": "residual", "layers": [{"type": "layer-norm", "name": "norm", "epsilon": 0.01},
                                         {"type": "attention", "heads": "$H", "head-dim": "$D/$H", "kernel": "$kind"}]},
         {"type": "residual", "name": "mlp", "layers": [
             {"type": "linear", "name": "in", "outputs": "$D+1"}, {"type": "activation", "function": "silu"},
             {"type": "linear", "name": "out", "outputs": "$D"}]}]
NETWORK = {"variables": {"n": 3, "D": 4, "H": 2, "depth": 1, "kind": "softmax", "outputs": 2},
           "inputs": {"type": "vectors", "tokens": "$n", "width": "$D"},
           "layers": [{"type": "repeat", "name": "blocks", "times": "$depth", "layers": BLOCK},
                      {"type": "linear", "name": "head", "outputs": "$outputs", "bias": False}]}
CLASSES = {**NETWORK, "layers": [*NETWORK["layers"][:1], {"type": "pool"}, {"type": "linear", "name": "head", "outputs": "$outputs"}],
           "loss": {"type": "cross-entropy"}}
DESCENT = ["--method", "lbfgs", "--steps", 40]
ALL = ["--measure", "ntk,hessian,negative,training", *DESCENT]


class Written(Net):
    """The network in a problem file that was made of a NETWORK, in NumPy."""

    def __init__(self, path):
        with h5py.File(path) as file:
            self.layers = json.loads(file["model/architecture"].asstr()[()])["layers"]
            self.X, self.Y = file["data/X"][()], file["data/Y"][()]
            self.weights = {name: values[()] for name, values in file["parameters"].items()}
            order = [b for b in self.blocks_in_order() if b in self.weights]
        self.weights = {name: self.weights[name] for name in order}
        self.clean(self.layers)

    def blocks_in_order(self):
        for layer in self.layers:
            if layer["type"] != "repeat":
                yield layer["name"] + ".W"
                continue
            for t in range(layer["times"]):
                prefix = f"{layer['name']}.{t}."
                yield from (prefix + "norm." + b for b in ("g", "beta"))
                yield from (prefix + "attention.W_" + b for b in "QKVO")
                yield from (prefix + f"mlp.{part}.{b}" for part in ("in", "out") for b in "Wb")

    def clean(self, layers):
        """The descriptions of files have all defaults; those that say `none` are left out."""
        for layer in layers:
            if isinstance(layer.get("weight"), dict) and not layer["weight"]["tied"]:
                del layer["weight"]
            if isinstance(layer.get("kernel"), str) and layer["kernel"] == "gaussian":
                layer["kernel"] = {"bandwidth": layer.get("bandwidth") or layer["head-dim"] ** 0.25}
            self.clean(layer.get("layers", []))

    def loss(self, theta):
        return 0.5 * np.sum((self.outputs(self.at(list(self.weights), theta)) - self.Y) ** 2)


class NetworkSweep(ToolTest):
    def setUp(self):
        super().setUp()
        for name, network in (("net.json", NETWORK), ("classes.json", CLASSES)):
            self.path(name).write_text(json.dumps(network))

    def sweep(self, name, *args, kind=("architecture", "net.json")):
        return self.done("basin-sweep", *kind, "-o", name, *args)

    def assert_same(self, a, b):
        a, b = contents(self.path(a)), contents(self.path(b))
        self.assertEqual(sorted(a), sorted(b))
        self.assertGreater(len(a), 100)
        for name, values in a.items():
            np.testing.assert_array_equal(values, b[name], name)  # NaN equals NaN

    def draws(self, name, place):
        """Quantity -> value of one draw."""
        found = {}
        with h5py.File(self.path(name)) as file:
            file["entry/draws"].visititems(lambda part, item: found.update({part: item[place]}) if isinstance(item, h5py.Dataset) else None)
        return found


class Witnesses(NetworkSweep):
    def check_tools(self, found, problem, kernels=("sum",)):
        """The numbers of a draw, beside those of the other tools on the same problem."""
        for tool, *args in (("basin-ntk", "--kernels", ",".join(kernels) if kernels != ("sum",) else "sum"),
                            ("basin-hessian", "--largest", 1, "--smallest", 1), ("basin-train", *DESCENT), ("basin-evaluate",)):
            self.done(tool, problem, "-o", tool + ".h5", "--overwrite", *args)
        self.done("basin-hessian", problem, "-o", "counts.h5", "--overwrite", "--counts")
        with h5py.File(self.path("basin-ntk.h5")) as file:
            classes = "logits" in file["entry"]
            self.assertEqual(any(name.startswith("centred/") for name in found), classes)
            for prefix, table in (("", "logits"), ("centred/", "summary")) if classes else (("", "summary"),):
                table = {key: values[()] for key, values in file["entry"][table].items()}
                for number, block in enumerate(name.decode() for name in table["block"]):
                    for name in ("lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "rank", "positive_definite"):
                        self.assertEqual(found[f"{prefix}{block}/{name}"], table[name][number], (prefix, block, name))
                    for code, name in enumerate(("singular", None, "in_theory_only", "positive_definite")):
                        if name:
                            self.assertEqual(found[f"{prefix}{block}/{name}"] == 1, table["definiteness"][number] == code)
        with h5py.File(self.path("basin-hessian.h5")) as file:
            for end in ("largest", "smallest"):
                group = file[f"entry/{end}"]
                self.assertEqual(found["hessian/" + end], group["eigenvalue"][0])
                self.assertEqual(found[f"hessian/{end}_error"], group["eigenvalue_errors"][0])
        with h5py.File(self.path("counts.h5")) as file:
            self.assertEqual(found["negative/share"], file["entry/counts/negative"][0] / file["entry/counts/size"][0])
        with h5py.File(self.path("basin-train.h5")) as file:
            self.assertEqual(found["training/loss"], file["entry/run/loss"][-1])
            self.assertEqual(found["training/steps"], file["entry/run/step"][-1])
        loss, gradient = self.results("basin-evaluate.h5", "entry/evaluation/loss", "entry/evaluation/gradient")
        self.assertEqual(found["loss"], loss)
        self.assertAlmostEqual(found["gradient_norm"] / np.linalg.norm(gradient), 1, delta=1e-14)

    def test_draws_are_problems_of_basin_problem(self):
        """What depth, kernel, variables and gains make is what basin-problem makes with them; the numbers are those of the other tools, bit for bit."""
        self.sweep("s.h5", "--sweep", "depth=1,2", "--sweep", "kernel=softmax,gaussian", "--sweep", "gain.blocks.*.W_O=1,2", "-N", 3,
                   "--repeats", 2, "--set", "D=2", "--init", "xavier", "--kernels", "blocks.*.attention.*,head.W", *ALL)
        for d, k, g, r in ((0, 0, 0, 0), (0, 1, 1, 1), (1, 0, 1, 0), (1, 1, 0, 1)):
            found = self.draws("s.h5", (d, k, g, r))
            self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "--overwrite", "-N", 3, "--set", f"depth={d + 1}", "--set", "D=2",
                      "--kernel", ("softmax", "gaussian")[k], "--init", "xavier", "--gain", f"blocks.*.W_O={g + 1}", "--seed", int(found["seed"]))
            self.check_tools(found, "p.h5", ("blocks.*.attention.*", "head.W"))

    def test_classes(self):
        """Under cross-entropy kernels are also those that residuals see, and descent ends where every row is in its class."""
        out = self.sweep("s.h5", "--sweep", "outputs=2,3", "-N", 4, "--repeats", 2, *ALL, kind=("architecture", "classes.json"))
        self.assertRegex(out, r"^NTK of the trained blocks on logit differences: positive definite in \d of 4 draws")
        for o in (0, 1):
            found = self.draws("s.h5", (o, 1))
            self.assertNotIn("training/reaches_minimum", found)
            self.done("basin-problem", "architecture", "classes.json", "-o", "p.h5", "--overwrite", "-N", 4, "--set", f"outputs={o + 2}", "--seed", int(found["seed"]))
            self.check_tools(found, "p.h5")
            said = self.done("basin-train", "p.h5", "-o", "t.h5", "--overwrite", *DESCENT)
            self.assertEqual(found["training/all_margins_positive"] == 1, "every row is in its class" in said)
        self.assertTrue(self.results("s.h5", "entry/draws/training/all_margins_positive").any())

    def test_given_data(self):
        rng = np.random.default_rng(3)
        np.save(self.path("X.npy"), rng.standard_normal((3, 3, 4)))
        np.save(self.path("Y.npy"), rng.standard_normal((3, 3, 2)))
        data = ["--inputs", "X.npy", "--targets", "Y.npy"]
        self.sweep("s.h5", *data, "--sweep", "H=1,2", "--repeats", 1)
        for h in (0, 1):
            found = self.draws("s.h5", (h, 0))
            self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "--overwrite", *data, "--set", f"H={h + 1}", "--seed", int(found["seed"]))
            self.done("basin-ntk", "p.h5", "-o", "n.h5", "--overwrite", "--kernels", "sum")
            self.assertEqual(found["sum/lambda_min"], self.results("n.h5", "entry/summary/lambda_min")[-1])

    def test_fixed_data(self):
        self.sweep("s.h5", "--sweep", "kind=softmax,gaussian", "--data-seed", 4, "--target-seed", 4, "--repeats", 2, "--measure", "hessian")
        found = self.draws("s.h5", (1, 1))
        self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "--set", "kind=gaussian", "--data-seed", 4, "--target-seed", 4, "--seed", int(found["seed"]))
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--largest", 1, "--smallest", 1)
        self.assertEqual(found["hessian/largest"], self.results("h.h5", "entry/largest/eigenvalue")[0])

    def test_problem_files(self):
        """Weights drawn anew, or those of the file times gains: the other tools find the same points."""
        self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "-N", 3, "--seed", 5)
        self.done("basin-problem", "teacher", "-o", "layer.h5", "-N", 3, "-n", 3, "-D", 5, "-H", 2, "-d", 2, "--outputs", 2)
        for file, blocks in (("p.h5", "blocks.0.attention.*"), ("layer.h5", "W_Q,W_V")):
            gain = blocks.replace(",W_V", "")
            self.sweep("s.h5", "--overwrite", "--sweep", "init=xavier,normal:0.3", "--sweep", f"gain.{gain}=1,3", "--repeats", 1,
                       "--kernel", "gaussian", "--kernels", blocks, *ALL, kind=("problem", file))
            for i, g in ((0, 1), (1, 0)):
                found = self.draws("s.h5", (i, g, 0))
                options = ["--init", ("xavier", "normal:0.3")[i], "--gain", f"{gain}={(1, 3)[g]}", "--kernel", "gaussian", "--seed", int(found["seed"])]
                if file == "p.h5":
                    # the seed is that of the weights; solvers start from the default one
                    self.done("basin-ntk", file, "-o", "n.h5", "--overwrite", "--kernels", blocks, *options)
                    self.assertEqual(found["sum/lambda_min"], self.results("n.h5", "entry/summary/lambda_min")[-1])
                    self.assertEqual(found[blocks + "/lambda_min"], self.results("n.h5", "entry/summary/lambda_min")[0])
                self.done("basin-train", file, "-o", "t.h5", "--overwrite", *DESCENT, *options)
                self.assertEqual(found["training/loss"], self.results("t.h5", "entry/run/loss")[-1])
                self.done("basin-hessian", file, "-o", "h.h5", "--overwrite", "--full", *options)
                spectrum = self.results("h.h5", "entry/spectrum/eigenvalue")
                np.testing.assert_allclose(found["hessian/largest"], spectrum.max(), rtol=1e-9)
                np.testing.assert_allclose(found["hessian/smallest"], spectrum.min(), rtol=1e-9)
                np.testing.assert_allclose(found["negative/share"], np.mean(spectrum < -1e-9 * spectrum.max()), rtol=1e-14)
            self.sweep("f.h5", "--overwrite", "--init", "file", "--sweep", f"gain.{gain}=1,3", "--repeats", 1, kind=("problem", file))
            self.done("basin-evaluate", file, "-o", "e.h5", "--overwrite", "--init", "file", "--gain", f"{gain}=3")
            losses = self.results("f.h5", "entry/draws/loss")
            self.assertEqual(losses[1, 0], self.results("e.h5", "entry/evaluation/loss"))
            self.done("basin-evaluate", file, "-o", "e.h5", "--overwrite")
            self.assertEqual(losses[0, 0], self.results("e.h5", "entry/evaluation/loss"))
            self.assertNotEqual(*losses[:, 0])

    def test_numpy(self):
        """Both ends of the dense NTK and Hessian, the negative eigenvalues, and gradient descent, in NumPy."""
        self.sweep("s.h5", "--sweep", "kind=softmax,gaussian", "--set", "D=2", "--set", "H=1", "-N", 2, "--repeats", 1, "--measure",
                   "ntk,hessian,negative,training", "--method", "gd", "--step", 0.01, "--steps", 5)
        for k, kind in enumerate(("softmax", "gaussian")):
            found = self.draws("s.h5", (k, 0))
            self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "--overwrite", "-N", 2, "--set", "D=2", "--set", "H=1",
                      "--set", f"kind={kind}", "--seed", int(found["seed"]))
            net = Written(self.path("p.h5"))
            blocks = list(net.weights)
            theta = net.theta(blocks)
            J = net.jacobian(blocks, theta)
            kernel = np.linalg.svd(J, compute_uv=False) ** 2
            np.testing.assert_allclose((found["sum/lambda_max"], found["loss"]), (kernel[0], net.loss(theta)), rtol=1e-12)
            np.testing.assert_allclose(found["sum/lambda_min"], kernel[len(J) - 1], rtol=1e-8)
            H = np.linalg.eigvalsh(net.hessian(blocks))  # differences of fourth order: 1e-10 of the largest
            np.testing.assert_allclose((found["hessian/smallest"], found["hessian/largest"]), (H[0], H[-1]), atol=1e-7 * H[-1])
            self.assertTrue(np.sum(np.abs(H) < 1e-4 * H[-1]) == np.sum(np.abs(H) < 1e-6 * H[-1]))  # so the signs are clear
            self.assertEqual(found["negative/share"], np.sum(H < -1e-5 * H[-1]) / H.size)
            self.assertEqual((found["negative/exact"], found["hessian/negative_curvature"]), (1, H[0] < 0))
            for _ in range(5):
                theta = theta - 0.01 * net.gradient(blocks, theta)
            np.testing.assert_allclose(found["training/loss"], net.loss(theta), rtol=1e-11)

    def test_estimated_share(self):
        """Beyond --dense-limit the share of negative eigenvalues is estimated; its interval holds the exact one."""
        args = ["--sweep", "depth=1,2", "--repeats", 2, "-N", 4, "--seed", 2, "--measure", "negative"]
        out = self.sweep("s.h5", *args, "--dense-limit", 80)
        exact = self.sweep("e.h5", *args)
        self.assertIn("(counted exactly)", exact)
        self.assertIn("estimated, to within a 95 % interval", out)
        share, lower, upper, is_exact = (self.results("s.h5", "entry/draws/negative/" + name) for name in ("share", "share_lower", "share_upper", "exact"))
        true = self.results("e.h5", "entry/draws/negative/share")
        np.testing.assert_array_equal(self.results("e.h5", "entry/draws/negative/exact"), np.ones((2, 2)))
        self.assertFalse(is_exact.any())
        self.assertTrue((lower <= share).all() and (share <= upper).all() and (lower < upper).all())
        self.assertTrue((lower <= true).all() and (true <= upper).all())
        self.assertLess((upper - lower).min(), 0.9)
        found = self.draws("s.h5", (0, 1))
        self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "-N", 4, "--seed", int(found["seed"]))
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--density")
        with h5py.File(self.path("h.h5")) as file:
            self.assertEqual(found["negative/share"], file["entry/negative_mass/share"][()])

    def test_training_finds_the_teacher(self):
        """A teacher of the same architecture is a global minimum, 0: a descent that is far above has not reached it, one with random targets is not judged."""
        self.sweep("s.h5", "--sweep", "n=2,3", "--repeats", 2, "-N", 2, "--measure", "training", "--method", "lbfgs", "--steps", 3000)
        loss, reached, least = self.results("s.h5", "entry/draws/training/loss", "entry/draws/training/reaches_minimum", "entry/draws/loss")
        self.assertTrue(reached.any())
        np.testing.assert_array_equal(reached == 1, loss < 1e-7 * least)
        self.sweep("t.h5", "--sweep", "n=2,3", "--repeats", 2, "-N", 2, "--measure", "training", "--steps", 1)
        np.testing.assert_array_equal(self.results("t.h5", "entry/draws/training/reaches_minimum"), 0)
        out = self.sweep("o.h5", "--sweep", "n=2,3", "--repeats", 2, "-N", 2, "--measure", "training", "--method", "gd", "--step", 1e30)
        self.assertTrue(out.startswith("descent: reaches the global minimum in 0 of 4 draws (0 %)\n"), out)
        overflowed, reached = self.results("o.h5", "entry/draws/training/loss", "entry/draws/training/reaches_minimum")
        self.assertTrue(np.isnan(overflowed).all() and (reached == 0).all())
        rng = np.random.default_rng(3)
        np.save(self.path("X.npy"), rng.standard_normal((3, 3, 4)))
        np.save(self.path("Y.npy"), rng.standard_normal((3, 3, 2)))
        self.sweep("u.h5", "--sweep", "H=1,2", "--repeats", 1, "--inputs", "X.npy", "--targets", "Y.npy", "--measure", "training", "--steps", 1)
        self.assertTrue(np.isnan(self.results("u.h5", "entry/draws/training/reaches_minimum")).all())

    def test_measures_of_the_single_layer(self):
        """--measure takes from the default what is asked for, and adds the rest, of the same draws."""
        args = ["-N", 3, "-n", 3, "--outputs", 2, "-H", 1, "-d", 4, "--sweep", "D=4,6", "--repeats", 2]
        teacher = ("teacher",)
        self.sweep("a.h5", *args, kind=teacher)
        self.sweep("b.h5", *args, "--measure", "conditions,hessian,training", *DESCENT, kind=teacher)
        self.sweep("c.h5", *args, "--measure", "certificate,conditions,ntk", kind=teacher)
        self.assert_same("a.h5", "c.h5")
        for name in ("loss", "seed", "W_V/rank_B", "sum/proven_lower_bound"):
            np.testing.assert_array_equal(*(self.results(f, "entry/draws/" + name) for f in ("a.h5", "b.h5")))
        found = self.draws("b.h5", (1, 1))
        self.assertNotIn("sum/lambda_min", found)
        self.done("basin-problem", "teacher", *args[:10], "-D", 6, "--seed", int(found["seed"]), "-o", "p.h5")
        self.done("basin-train", "p.h5", "-o", "t.h5", *DESCENT)
        self.assertEqual(found["training/loss"], self.results("t.h5", "entry/run/loss")[-1])
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--largest", 1, "--smallest", 1)
        self.assertEqual(found["hessian/smallest"], self.results("h.h5", "entry/smallest/eigenvalue")[0])
        # what is known of the layer is known of it in a problem file, too
        self.sweep("d.h5", "--sweep", "gain.W_O=1", "--init", "file", "--repeats", 1, "--measure", "ntk,conditions,certificate", kind=("problem", "p.h5"))
        whole, file = self.draws("a.h5", (1, 1)), self.draws("d.h5", (0, 0))
        for name in ("certificate/passes", "W_Q/rank_X", "sum/proven", "sum/positive_definite"):
            self.assertEqual(whole[name], file[name], name)
        for name in ("sum/proven_lower_bound", "certificate/margin", "sum/lambda_max"):
            np.testing.assert_allclose(whole[name], file[name], rtol=1e-9)
        self.assertTrue(file["sum/lambda_min_lower"] <= whole["sum/lambda_min_upper"] and whole["sum/lambda_min_lower"] <= file["sum/lambda_min_upper"])


class Runs(NetworkSweep):
    LONG = ["--sweep", "depth=1,2", "--sweep", "kernel=softmax,gaussian", "-N", 3, "--repeats", 6, *ALL]

    def test_threads_memory_and_shares_do_not_matter(self):
        self.sweep("whole.h5", *self.LONG, "--threads", 1)
        self.sweep("threads.h5", *self.LONG, "--threads", 3)
        self.sweep("memory.h5", *self.LONG, "--threads", 3, "--memory", "3M")  # one draw after another
        for i in (1, 2, 3):
            self.sweep(f"{i}.h5", *self.LONG, "--part", f"{i}/3")
        self.done("basin-sweep", "merge", "2.h5", "3.h5", "1.h5", "-o", "merged.h5")
        for name in ("threads.h5", "memory.h5", "merged.h5"):
            self.assert_same("whole.h5", name)
        self.sweep("other.h5", *self.LONG[:-1], 41, "--part", "2/3")
        self.refused(2, "other.h5: of another sweep than 1.h5 (measure steps = 41 there, 40 here)", "basin-sweep", "merge", "1.h5", "other.h5", "-o", "m.h5")

    def test_problem_files_are_shared_out(self):
        self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "-N", 3)
        self.done("basin-problem", "architecture", "net.json", "-o", "q.h5", "-N", 3, "--seed", 1)
        work = ["--sweep", "init=xavier,orthogonal", "--sweep", "gain.head.W=1,2", "--repeats", 3, "--measure", "ntk,hessian"]
        self.sweep("whole.h5", *work, kind=("problem", "p.h5"))
        for i in (1, 2):
            self.sweep(f"{i}.h5", *work, "--part", f"{i}/2", kind=("problem", "p.h5"))
        self.done("basin-sweep", "merge", "1.h5", "2.h5", "-o", "merged.h5")
        self.assert_same("whole.h5", "merged.h5")
        self.path("p.h5").unlink()
        self.path("q.h5").rename(self.path("p.h5"))
        self.sweep("3.h5", *work, "--part", "2/2", kind=("problem", "p.h5"))
        self.refused(2, "3.h5: of another sweep than 1.h5 (checksum", "basin-sweep", "merge", "1.h5", "3.h5", "-o", "m.h5")

    @many_runs
    def test_killed_and_resumed(self):
        self.sweep("whole.h5", *self.LONG)
        journal = self.path("s.h5.journal")
        command = [str(a) for a in (BIN / "basin-sweep", "architecture", "net.json", "-o", "s.h5", *self.LONG)]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (journal.exists() and sum(line[:1].isdigit() for line in journal.read_bytes().decode().splitlines()) > 3):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL, "the run was too short to be killed")
        other = [a if a != 40 else 41 for a in self.LONG]
        self.refused(2, "s.h5.journal: ", "basin-sweep", "architecture", "net.json", "-o", "s.h5", *other, "--resume")
        resumed = run("basin-sweep", "architecture", "net.json", "-o", "s.h5", *self.LONG, "--resume", cwd=self.folder)
        self.assertEqual(resumed.returncode, 0, resumed.stderr)
        self.assertRegex(resumed.stderr, r"\d+ draws are in the journal")
        self.assert_same("whole.h5", "s.h5")

    def test_files_that_change_make_another_sweep(self):
        args = ["--sweep", "depth=1,2", "-N", 2, "--repeats", 1]
        self.sweep("1.h5", *args, "--part", "1/2")
        network = copy.deepcopy(NETWORK)
        network["layers"][-1]["bias"] = True
        self.path("net.json").write_text(json.dumps(network))
        self.sweep("2.h5", *args, "--part", "2/2")
        self.refused(2, "2.h5: of another sweep than 1.h5 (checksum", "basin-sweep", "merge", "1.h5", "2.h5", "-o", "m.h5")


class ResultFile(NetworkSweep):
    def test_file_and_report(self):
        out = self.sweep("s.h5", "--sweep", "depth=1,2", "--sweep", "H=1,2", "-N", 3, "--repeats", 3, *ALL)
        lines = out.splitlines()
        with h5py.File(self.path("s.h5")) as file:
            entry = file["entry"]
            definite = entry["draws/sum/positive_definite"][()]
            self.assertEqual(lines[0], f"NTK of the trained blocks positive definite in {definite.sum():.0f} of 12 draws ({100 * definite.mean():.0f} %)")
            self.assertEqual(list(entry["axes"].attrs["axes"]), ["depth", "H"])
            self.assertEqual(entry["axes/depth"].attrs["option"], "set.depth")
            self.assertEqual(entry["sweep/kind"].asstr()[()], "architecture")
            self.assertEqual(entry["sweep/measures/quantities"].asstr()[()], "ntk,hessian,negative,training")
            self.assertEqual(entry["sweep/measures/steps"].asstr()[()], "40")
            self.assertEqual(file["entry/provenance/input_file"].asstr()[()], "net.json")
            for name, word in (("sum/lambda_min", "bounded"), ("hessian/smallest", "bounded"), ("negative/share", "exact"), ("training/loss", "computed")):
                self.assertTrue(entry["draws"][name].attrs["certainty"].startswith(word), name)
            for name in ("hessian_largest", "hessian_smallest", "negative_share", "training_loss", "sum_lambda_min"):
                group = entry["median_" + name]
                np.testing.assert_array_equal(group["median"], np.median(entry["draws/" + name.replace("_", "/", 1)], axis=-1))
                self.assertEqual(list(group.attrs["axes"]), ["depth", "H"])
            smallest = entry["draws/hessian/smallest"][()]
            line = next(line for line in lines if line.startswith("smallest eigenvalue of the Hessian: median "))
            self.assertAlmostEqual(float(line.split("median ")[1].split(",")[0]) / np.median(smallest), 1, delta=1e-3)
            self.assertIn("(bounded, to within ", line)
        self.assertTrue(any("share of negative eigenvalues of the Hessian: median" in line and "(counted exactly)" in line for line in lines))
        self.assertIn("  medians, by depth and H:", lines)

    def test_default_measures(self):
        self.sweep("s.h5", "--sweep", "depth=1", "-N", 2, "--repeats", 1)
        found = set(self.draws("s.h5", (0, 0)))
        self.assertEqual({name.split("/")[0] for name in found}, {"computed", "seed", "loss", "gradient_norm", "sum", "hessian"})

    def test_single_layer_files_stay_what_they_are(self):
        self.done("basin-sweep", "teacher", "-o", "s.h5", "-N", 2, "-n", 2, "--sweep", "D=4", "--repeats", 1)
        with h5py.File(self.path("s.h5")) as file:
            self.assertEqual(sorted(file["entry/sweep"]), ["base_seed", "kind", "options", "repeats", "specification"])
            self.assertEqual(list(file["entry/draws/loss"].attrs), ["verdict"])
            self.assertNotIn("measure", file["entry/sweep/specification"].asstr()[()])


class CommandLine(NetworkSweep):
    def test_wrong_options(self):
        axis = ["--sweep", "depth=1,2"]
        for message, *args in (
                ("no axis: give --sweep OPTION=LIST",),
                ("--sweep dpth=1: unknown option 'dpth'; expected one of n, D, H, depth, kind, outputs, set, kernel", "--sweep", "dpth=1"),
                ("at Q = 1: net.json: architecture: variables: unknown variable 'Q'; did you mean 'n'?", "--sweep", "set.Q=1"),
                ("at D = 5: net.json: architecture: layers[0].layers[0].layers[1].head-dim: found 2.5; expected an integer", "--sweep", "D=4,5"),
                ("at depth = x: net.json: architecture: variables.depth: found 'x'; expected a number, as in the description, 1", "--sweep", "depth=1,x"),
                ("at kind = relu: net.json: ", "--sweep", "kind=softmax,relu"),
                ("--sweep set.depth=1,2: --set is given as an option, too", *axis, "--set", "depth=2"),
                ("--set depth: expected NAME=VALUE", "--sweep", "D=4", "--set", "depth"),
                ("at depth = 1: --kernels blocks.1.*: ", "--sweep", "depth=2,1", "--kernels", "blocks.1.*"),
                ("--kernels blocks: expected sum, or patterns of blocks", *axis, "--kernels", "blocks"),
                ("--kernels head.W,head.W: found head.W twice", *axis, "--kernels", "head.W,head.W"),
                ("--kernels: without effect unless --measure has ntk", *axis, "--measure", "hessian", "--kernels", "head.W"),
                ("--measure ntk,hesian: unknown measure 'hesian'; did you mean 'hessian'?", *axis, "--measure", "ntk,hesian"),
                ("--measure ntk,ntk: found ntk twice", *axis, "--measure", "ntk,ntk"),
                ("at depth = 1: --measure certificate: the certificate is known of one attention layer under squared loss alone", *axis, "--measure", "certificate"),
                ("at depth = 1: --measure ntk,conditions: conditions are known of one attention layer", *axis, "--measure", "conditions,ntk"),
                ("--steps: without effect unless --measure has training", *axis, "--steps", 3),
                ("--dense-limit: without effect unless --measure has negative", *axis, "--dense-limit", 3),
                ("--method newtn: expected gd, line-search", *axis, "--measure", "training", "--method", "newtn"),
                ("--step certificate: not every draw has a certificate", *axis, "--measure", "training", "--step", "certificate"),
                ("at depth = 1: what is measured needs ", *axis, "--memory", "100k"),
                ("at gain.blocks.7.* = 1: unknown parameter block 'blocks.7.*'", "--sweep", "gain.blocks.7.*=1,2"),
                ("at train = nothing: --train nothing: unknown parameter block", "--sweep", "train=nothing")):
            self.refused(2, message, "basin-sweep", "architecture", "net.json", "-o", "s.h5", *args)
        self.refused(2, "nowhere.json: ", "basin-sweep", "architecture", "nowhere.json", "-o", "s.h5", *axis)
        self.refused(2, "nowhere.h5: ", "basin-sweep", "problem", "nowhere.h5", "-o", "s.h5", "--sweep", "init=xavier")
        self.no_leftovers("net.json", "classes.json")

    def test_problem_files(self):
        self.done("basin-problem", "architecture", "net.json", "-o", "p.h5", "-N", 2)
        self.done("basin-problem", "architecture", "net.json", "-o", "none.h5", "-N", 2, "--no-weights")
        for file, message, *args in (("p.h5", "at gain.head.W = 1: --init file has the same weights in every draw; expected --repeats 1", "--init", "file", "--sweep", "gain.head.W=1"),
                                     ("none.h5", "at gain.head.W = 1: --init file: none.h5 has no weights", "--init", "file", "--sweep", "gain.head.W=1", "--repeats", 1),
                                     ("p.h5", "at heads = 1: --heads: p.h5 describes its network, which fixes it", "--sweep", "heads=1"),
                                     ("p.h5", "unknown option 'samples'; expected one of train, kernel, bandwidth, init, gain, heads, head-dim", "--sweep", "samples=1")):
            self.refused(2, message, "basin-sweep", "problem", file, "-o", "s.h5", *args)
        self.refused(2, "--gain: p.h5 has weights; it takes effect only with --init file, or when they are drawn anew with --init", "basin-ntk", "p.h5", "-o", "n.h5", "--gain", "head.W=2")
        self.no_leftovers("net.json", "classes.json", "p.h5", "none.h5")

    def test_variables_with_names_of_options(self):
        network = json.loads(json.dumps(NETWORK).replace("$kind", "$kernel").replace('"kind"', '"kernel"', 1))
        self.path("net.json").write_text(json.dumps(network))
        self.refused(2, "'kernel' is an option, and a variable of the network; expected set.kernel for the variable",
                     "basin-sweep", "architecture", "net.json", "-o", "s.h5", "--sweep", "kernel=softmax,gaussian")
        self.sweep("s.h5", "--sweep", "set.kernel=softmax,gaussian", "--repeats", 1, "--measure", "hessian")
        with h5py.File(self.path("s.h5")) as file:
            self.assertEqual(list(file["entry/axes"].attrs["axes"]), ["set.kernel"])
            self.assertEqual(list(file["entry/axes/set.kernel"].asstr()), ["softmax", "gaussian"])
            self.assertNotEqual(*file["entry/draws/hessian/largest"][:, 0])


if __name__ == "__main__":
    import unittest

    unittest.main()
