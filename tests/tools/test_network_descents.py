"""Descents and stationary points of networks that are described layer by layer: saturation, verdicts, what is one point."""

import json
import math
import re
import subprocess
import unittest
import unittest.mock

import h5py
import numpy as np
import test_networks
from support import ROOT, ToolTest
from test_networks import LanguageModel, Net, TokenNet, layers_outputs


def gelu(x):
    """For complex steps, too: erf at the real part, and its derivative."""
    z = x / np.sqrt(2)
    erf = np.vectorize(math.erf)(z.real) + 2j / np.sqrt(np.pi) * np.exp(-(z.real**2)) * z.imag
    return x * (1 + (erf if np.iscomplexobj(x) else erf.real)) / 2


class Small(Net):
    """LayerNorm, attention and a GELU MLP in residual connections, a mean, a head: under either loss."""

    def __init__(self, labels=None, N=6, seed=1, outputs=2, function="gelu"):
        rng = np.random.default_rng(seed)
        D, m = 3, 4
        self.layers = [
            {"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1", "epsilon": 0.01},
                                            {"type": "attention", "heads": 2, "head-dim": 2, "bias": "qkvo"}]},
            {"type": "residual", "name": "mlp", "layers": [
                {"type": "layer-norm", "name": "norm", "epsilon": 0.01}, {"type": "linear", "name": "in", "outputs": m},
                {"type": "activation", "function": function}, {"type": "linear", "name": "out", "outputs": D}]},
            {"type": "pool"}, {"type": "linear", "name": "head", "outputs": outputs}]
        self.description = {"inputs": {"type": "vectors", "tokens": 2, "width": D}, "layers": self.layers,
                            "loss": {"type": "squared"} if labels is None else {"type": "cross-entropy", "average": "sum"}}
        self.X, self.Y, self.labels = rng.standard_normal((N, 2, D)), rng.standard_normal((N, 1, outputs)), labels
        self.function = {"gelu": gelu, "relu": lambda x: x * (x.real > 0)}[function]
        shapes = {"norm1.g": (D,), "norm1.beta": (D,)} | {f"attention.W_{b}": (2, D, 2) for b in "QKV"} | {"attention.W_O": (2, 2, D)}
        shapes |= {f"attention.b_{b}": (2, 2) for b in "QKV"} | {"attention.b_O": (D,), "mlp.norm.g": (D,), "mlp.norm.beta": (D,)}
        shapes |= {"mlp.in.W": (D, m), "mlp.in.b": (m,), "mlp.out.W": (m, D), "mlp.out.b": (D,), "head.W": (D, outputs), "head.b": (outputs,)}
        self.weights = {name: rng.standard_normal(shape) / np.sqrt(shape[-2] if len(shape) > 1 else 1) for name, shape in shapes.items()}

    def write(self, path, weights=True, description=None):
        with h5py.File(path, "w") as file:
            file["model/architecture"], file["data/X"] = json.dumps(self.description), self.X
            if self.labels is None:
                file["data/Y"] = self.Y
            else:
                file["data/labels"] = np.reshape(self.labels, (-1, 1))
            for name, values in self.weights.items() if weights else ():
                file["parameters/" + name] = values

    def outputs(self, weights=None):
        x, ones, w = self.X, np.ones(self.X.shape[:2]), weights or self.weights
        x = layers_outputs(self.layers[:1], w, x, ones)
        inner = layers_outputs(self.layers[1]["layers"][:2], w, x, ones, "mlp.")
        x = x + self.function(inner) @ w["mlp.out.W"] + w["mlp.out.b"]
        return x.mean(axis=1, keepdims=True) @ w["head.W"] + w["head.b"]

    def loss(self, weights):
        F = self.outputs(weights)
        if self.labels is None:
            return ((F - self.Y) ** 2).sum() / 2
        F = F[:, 0] - F[:, 0].real.max(axis=1, keepdims=True)
        return (np.log(np.exp(F).sum(axis=1)) - F[np.arange(len(F)), self.labels]).sum()

    def gradient(self, blocks, theta):
        moved = theta + 1e-30j * np.eye(theta.size)
        return np.array([self.loss(self.at(blocks, row)).imag / 1e-30 for row in moved])

    def hessian_at(self, blocks, theta):
        h, I = 1e-3, np.eye(theta.size)
        g = lambda j, t: self.gradient(blocks, theta + t * h * I[j])
        H = np.array([(8 * (g(j, 1) - g(j, -1)) - (g(j, 2) - g(j, -2))) / (12 * h) for j in range(theta.size)])
        return (H + H.T) / 2

    def split(self, all_weights):
        """Weights of all blocks, one after another, by name."""
        return self.at(list(self.weights), all_weights)


def complement(net, blocks):
    """An orthonormal basis of what is orthogonal to the shift of all classes."""
    shifts = []
    for column in range(4):
        move = {name: np.zeros_like(net.weights[name]) for name in blocks}
        if column < 3 and "head.W" in move:
            move["head.W"][column] = 1
        elif column == 3 and "head.b" in move:
            move["head.b"][:] = 1
        shifts.append(np.concatenate([move[name].ravel() for name in blocks]))
    values, vectors = np.linalg.eigh(np.transpose(shifts) @ np.array(shifts))
    return vectors[:, values < 1e-9]


class NetworkDescents(ToolTest):
    def column(self, name, file="c.h5"):
        return self.results(file, "entry/" + name)

    def verdicts(self, file="c.h5"):
        return [v.decode() for v in self.column("starts/verdict", file)]

    def recorded(self, net, weights=None):
        """What each row of each attention leaves, and its entropy, by NumPy."""
        layers = []

        def record(layer, w, x, mask):
            n, d, rows = x.shape[1], layer["head-dim"], []
            sees = np.broadcast_to(mask[:, None, :] * (np.tril(np.ones((n, n))) if layer.get("causal") else 1), (len(x), n, n))
            softmax = layer.get("kernel", "softmax") == "softmax"
            # rows that outputs with a label depend on: the last layer's own, of the first what that one sees
            counts = np.array(net.labels) >= 0 if hasattr(net, "labels") else np.ones(x.shape[:2], bool)
            needed = counts if layers else np.array(
                [[(row[t:] if layer.get("causal") else row).any() for t in range(n)] for row in counts])
            for h in range(layer["heads"]):
                Q, K = (x @ w["W_" + b][h] + (w["b_" + b][h] if "b_" + b in w else 0) for b in "QK")
                z = Q @ K.transpose(0, 2, 1) / np.sqrt(d) if softmax else (
                    -((Q[:, :, None] - K[:, None]) ** 2).sum(axis=3) / (2 * layer["kernel"].get("bandwidth", d**0.25) ** 2))
                for i in range(len(x)):
                    for t in range(n):
                        scores = z[i, t][sees[i, t] > 0]
                        a = np.exp(scores - (scores.max() if softmax else 0))
                        p = a / max(a.sum(), 1e-300)
                        if mask[i, t] and needed[i, t] and len(a) >= (2 if softmax else 1):
                            rows.append((np.sort(p)[:-1].sum() if softmax else a.sum(), (h, i, t),
                                         -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(a)) if len(a) > 1 else np.nan))
            layers.append(rows)
            return original(layer, w, x, mask)

        original = test_networks.attention
        with unittest.mock.patch("test_networks.attention", record):
            net.outputs(weights)
        return layers

    def test_saturation_of_each_layer(self):
        tokens, both = LanguageModel(), Net()
        tokens.weights["blocks.1.attention.W_Q"] *= 3000
        both.weights["second.W_K"] *= 40
        for net, names in ((tokens, ["blocks.0.attention", "blocks.1.attention"]), (both, ["first", "second"])):
            net.write(self.path("p.h5"))
            out = self.done("basin-train", "p.h5", "-o", "t.h5", "--overwrite", "--steps", 3, "--record-every", 1, "--final", "end.h5")
            with h5py.File(self.path("t.h5")) as file, h5py.File(self.path("end.h5")) as end:
                found = {name: values[()] for name, values in file["entry/attention"].items()}
                last = {name: end["parameters/" + name][()] for name in net.weights}
            self.assertEqual([name.decode() for name in found.pop("layer")], names)
            for row, weights in ((0, net.weights), (-1, last)):
                for l, rows in enumerate(self.recorded(net, weights)):
                    left, places, entropies = zip(*rows)
                    np.testing.assert_allclose(found["saturated"][row, l], np.mean(np.array(left) < 1e-3), rtol=1e-14)
                    np.testing.assert_allclose(found["left"][row, l], min(left), rtol=1e-9)
                    np.testing.assert_allclose(found["entropy"][row, l], np.nanmean(entropies), rtol=1e-9)
                    self.assertEqual(tuple(found[name][row, l] for name in ("head", "sample", "token")), places[int(np.argmin(left))])
            share = 100 * found["saturated"][-1, 1]
            self.assertGreater(share, 50)
            words = "is saturated: {:.3g} % of its rows put more than 0.999 on one token" if net is tokens else (
                "has vanished: in {:.3g} % of its rows all weights add up to less than 0.001")
            self.assertIn(f"attention of {names[1]} " + words.format(share), out)
            self.assertNotIn(f"attention of {names[0]} ", out)
            # the catalogue has the same numbers of the same point; of attention that stands still none
            for train, moves in ((names[0] + ".W_Q", True), ("head.*", False)):
                out = self.done("basin-stationary", "p.h5", "-o", "c.h5", "--overwrite", "--at", "p.h5", "--train", train)
                self.assertEqual("attention of " in out, moves, out)
                with h5py.File(self.path("c.h5")) as file:
                    self.assertEqual(file["entry/catalogue/attention_layers"][()].decode().split("\n"), names)
                    for name, values in found.items():
                        np.testing.assert_allclose(file["entry/starts/attention/" + name][0], values[0] if moves else np.nan, rtol=1e-12)
            self.assertEqual(subprocess.run([ROOT / "analysis/basin-plot", "t.h5", "c.h5", "-o", "pics"], cwd=self.folder,
                                            capture_output=True).returncode, 0)

    def test_verdicts_hold_against_numpy(self):
        """Minima, saddles and their index: the gradient and all eigenvalues by complex steps and differences."""
        X_copies = [0, 0, 1, 1, 2, 3]  # under contradicting labels samples come twice
        seen = set()
        for labels, blocks in ((None, ["mlp.norm.beta", "head.b"]), (None, ["norm1.g", "head.W", "head.b"]),
                               ([0, 1, 1, 0, 1, 0], ["head.W", "head.b"]), ([0, 1, 1, 0, 1, 0], ["mlp.in.b", "head.b"])):
            net = Small(labels)
            if labels:
                net.X = net.X[X_copies]
            net.write(self.path("p.h5"))
            self.done("basin-stationary", "p.h5", "-o", "c.h5", "--overwrite", "--train", ",".join(blocks), "--starts", 4, "--search", "both",
                      "--seed", 3)
            basis = complement(net, blocks) if labels else np.eye(sum(net.weights[name].size for name in blocks))
            verdicts = self.verdicts()
            codes, losses, weights, negative, zero, positive = (self.column("starts/" + n) for n in (
                "kind_code", "loss", "weights", "negative", "zero", "positive"))
            for i, verdict in enumerate(verdicts):
                if codes[i] not in (1, 2):  # strict minima and saddles
                    continue
                own = net.split(weights[i])
                theta = np.concatenate([own[name].ravel() for name in blocks])
                net_there = Small(labels)
                net_there.X, net_there.weights = net.X, own
                self.assertAlmostEqual(losses[i], net_there.loss(own).real, delta=1e-12 * losses[i])
                H = net_there.hessian_at(blocks, theta)
                scale = np.linalg.norm(H, 2)
                self.assertLess(np.linalg.norm(net_there.gradient(blocks, theta)), 1e-9 * scale * np.linalg.norm(theta))
                values = np.linalg.eigvalsh(basis.T @ H @ basis)
                clear = 1e-8 * scale  # differences
                self.assertEqual((values < -clear).sum(), negative[i], (labels, blocks, verdict))
                self.assertEqual((values > clear).sum(), positive[i], (labels, blocks, verdict))
                self.assertEqual(codes[i], 2 if negative[i] else 1)
                seen.add((labels is None, verdict.split()[0] == "saddle"))
        self.assertEqual(seen & {(True, False), (True, True), (False, False)}, {(True, False), (True, True), (False, False)})

    def test_separable_contradicting_and_tied_classes(self):
        separable = Small(labels=[0, 1, 1, 0, 1, 0])
        separable.write(self.path("p.h5"))
        out = self.done("basin-stationary", "p.h5", "-o", "c.h5", "--starts", 3, "--steps", 3000)
        self.assertEqual(set(self.verdicts()), {"global valley"})
        self.assertEqual(list(self.column("entries/count")), [3])  # no points, but ways to the same infimum
        self.assertIn("the loss falls to its infimum 0, which no point attains", out)
        self.assertIn("global valley: no point, but as good as a global minimum", out)
        out = self.done("basin-train", "p.h5", "-o", "run.h5", "--method", "lbfgs", "--steps", 200)
        self.assertTrue(out.startswith("every row is in its class, by a margin of "), out)
        # all inputs alike, with both labels: the least is attained where the classes tie
        tied = Small(labels=[0, 1, 0, 1, 1, 0])
        tied.X = np.repeat(tied.X[:1], 6, axis=0)
        tied.write(self.path("p.h5"))
        out = self.done("basin-stationary", "p.h5", "-o", "t.h5", "--train", "head.b", "--starts", 2)
        np.testing.assert_allclose(self.column("starts/loss", "t.h5"), 6 * np.log(2), rtol=1e-13)
        self.assertEqual(set(self.column("starts/kind_code", "t.h5")), {1})
        self.assertEqual(set(self.column("starts/symmetry_modes", "t.h5")), {1})
        self.assertIn("the loss cannot be below 4.158883", out)
        self.assertIn("global minimum f = 4.158883083 (as f is convex in head.b)", out)
        self.assertEqual(set(self.verdicts("t.h5")), {"global minimum"})
        # contradicting labels elsewhere: no point is below the bound
        labels = [0, 1, 1, 0, 1, 0]
        contradicting = Small(labels)
        contradicting.X = contradicting.X[[0, 0, 1, 1, 2, 3]]
        contradicting.write(self.path("p.h5"))
        out = self.done("basin-stationary", "p.h5", "-o", "d.h5", "--train", "head.*", "--starts", 2, "--steps", 2000)
        self.assertRegex(out, "lowest loss found f = .*, within .*e-.* of the least that these labels allow: no start can end lower by more\n")
        self.assertIn("the loss cannot be below 2.7725887: ", out)
        self.assertNotIn("whether other starts end lower", out)
        self.assertTrue((self.column("starts/loss", "d.h5") >= 4 * np.log(2)).all())
        self.assertEqual(set(self.verdicts("d.h5")), {"global valley"})
        self.assertEqual(self.results("d.h5", "entry/catalogue/least_loss"), 4 * np.log(2))
        out = self.done("basin-train", "p.h5", "-o", "e.h5", "--train", "head.*", "--method", "newton", "--steps", 200)
        self.assertRegex(out, "^the loss is within .* of the least that these labels allow: no more steps")

    def test_points_are_the_same_when_their_functions_agree(self):
        net = Small(function="relu", seed=4)
        blocks = ["head.W", "head.b"]
        net.write(self.path("p.h5"))
        # all blocks may move: a point where the head is optimal, in other orders and scales
        A = np.concatenate([self.inside(net), np.ones((6, 1))], axis=1)
        fit = np.linalg.lstsq(A, net.Y[:, 0], rcond=None)[0]
        net.weights["head.W"], net.weights["head.b"] = fit[:3], fit[3]
        copies = [dict(net.weights)]
        for copy in range(3):
            w = {name: values.copy() for name, values in net.weights.items()}
            if copy != 1:
                for name in w:
                    if name.startswith("attention.") and name != "attention.b_O":
                        w[name] = w[name][::-1]
            if copy != 0:
                order, scale = [2, 0, 3, 1], np.array([0.25, 3, 1, 7.5])
                w["mlp.in.W"], w["mlp.in.b"] = w["mlp.in.W"][:, order] * scale, w["mlp.in.b"][order] * scale
                w["mlp.out.W"] = w["mlp.out.W"][order] / scale[:, None]
            copies.append(w)
        other = {name: values.copy() for name, values in net.weights.items()}
        other["mlp.in.b"] = other["mlp.in.b"] + 0.5
        flat = lambda w: np.concatenate([w[name].ravel() for name in net.weights])
        for train, count in ((blocks, 4), (list(net.weights), 4)):
            entries = []
            for k, w in enumerate(copies):
                moved = Small(function="relu", seed=4)
                moved.weights = w
                moved.write(self.path(f"{k}.h5"))
            # each copy holds other blocks fixed at its own weights: a catalogue for each, matched by function
            for k in range(len(copies)):
                self.done("basin-stationary", f"{k}.h5", "-o", f"c{k}.h5", "--overwrite", "--at", f"{k}.h5", "--train", ",".join(blocks))
                entries.append((self.column("starts/function", f"c{k}.h5")[0], self.verdicts(f"c{k}.h5")[0]))
            for function, verdict in entries:
                np.testing.assert_allclose(function, entries[0][0], rtol=0, atol=1e-12 * np.linalg.norm(entries[0][0]))
                self.assertEqual(verdict, "global minimum")  # f is convex in the head
        with h5py.File(self.path("rows.h5"), "w") as file:
            file["weights"] = [flat(w) for w in copies + [other]]
        self.done("basin-stationary", "p.h5", "-o", "all.h5", "--at", "rows.h5:weights", "--overwrite", "--dense-limit", 0)
        functions = self.column("starts/function", "all.h5")
        distances = np.linalg.norm(functions - functions[0], axis=1) / np.linalg.norm(functions[0])
        self.assertTrue((distances[:4] < 1e-12).all())
        self.assertGreater(distances[4], 1e-3)

    def inside(self, net):
        """What comes into the head, by NumPy."""
        w = dict(net.weights)
        w["head.W"], w["head.b"] = np.eye(3), np.zeros(3)
        return net.outputs(w)[:, 0].real

    def test_one_function_is_one_entry_and_functions_of_equal_loss_are_two(self):
        # relu(w x) on x = 1, -1 with targets 1: w = 1 and w = -1 fit one sample each
        network = {"inputs": {"type": "vectors", "tokens": 1, "width": 1},
                   "layers": [{"type": "linear", "name": "in", "outputs": 2, "bias": False}, {"type": "activation", "function": "relu"},
                              {"type": "linear", "name": "out", "outputs": 1, "bias": False}], "loss": {"type": "squared"}}
        rows = {"one": [1, -3, 1, 0], "other": [-1, -3, 1, 0], "units swapped": [-3, 1, 0, 1], "rescaled": [0.25, -3, 4, 0]}
        with h5py.File(self.path("p.h5"), "w") as file:
            file["model/architecture"], file["data/X"] = json.dumps(network), np.array([[[1.0]], [[-1.0]]])
            file["data/Y"] = np.ones((2, 1, 1))
            file["parameters/in.W"], file["parameters/out.W"] = [[1.0, -3]], [[1.0], [0]]
        functions = {}
        for name, row in rows.items():
            with h5py.File(self.path("p.h5"), "a") as file:
                file["parameters/in.W"][()], file["parameters/out.W"][()] = [row[:2]], np.reshape(row[2:], (2, 1))
            out = self.done("basin-stationary", "p.h5", "-o", "c.h5", "--overwrite", "--at", "p.h5", "--train", "in.W")
            functions[name] = self.column("starts/function")[0]
            self.assertEqual(self.column("starts/loss")[0], 0.5)
        self.assertEqual(np.linalg.norm(functions["one"] - functions["units swapped"]), 0)
        self.assertEqual(np.linalg.norm(functions["one"] - functions["rescaled"]), 0)
        self.assertGreater(np.linalg.norm(functions["one"] - functions["other"]), 1)
        # in one catalogue, with a single unit
        network["layers"][0]["outputs"] = 1
        with h5py.File(self.path("q.h5"), "w") as file:
            file["model/architecture"], file["data/X"] = json.dumps(network), np.array([[[1.0]], [[-1.0]]])
            file["data/Y"] = np.ones((2, 1, 1))
            file["parameters/in.W"], file["parameters/out.W"] = [[1.0]], [[1.0]]
        self.done("basin-stationary", "q.h5", "-o", "c.h5", "--overwrite", "--train", "in.W", "--starts", 12)
        functions, entries = self.column("starts/function"), self.column("starts/entry")
        self.assertEqual(self.column("entries/count").sum(), 12)
        self.assertEqual(len(set(entries)), 2)
        np.testing.assert_allclose(self.column("entries/loss"), 0.5, rtol=1e-12)
        self.assertEqual(set(self.column("starts/kind_code")), {1})

    def test_a_merged_catalogue_of_a_pooled_network(self):
        net = TokenNet()  # 3 samples of 4 tokens: fewer rows than tokens
        net.write(self.path("p.h5"))
        for seed in (1, 2):
            self.done("basin-stationary", "p.h5", "-o", f"{seed}.h5", "--starts", 2, "--seed", seed, "--train", "head.b")
        self.done("basin-stationary", "merge", "1.h5", "2.h5", "-o", "m.h5")
        with h5py.File(self.path("m.h5")) as whole, h5py.File(self.path("2.h5")) as part:
            self.assertEqual(len(whole["entry/starts/loss"]), 4)
            for group in ("attention", "attention_before"):
                for name, values in part["entry/starts/" + group].items():
                    np.testing.assert_array_equal(whole[f"entry/starts/{group}/{name}"][2:], values)

    def test_a_bad_valley_is_said_to_be_one(self):
        """tanh(w x) cannot reach 2: w grows for ever, and the loss stalls at 1/2."""
        network = {"inputs": {"type": "vectors", "tokens": 1, "width": 1},
                   "layers": [{"type": "linear", "name": "in", "outputs": 1, "bias": False}, {"type": "activation", "function": "tanh"}],
                   "loss": {"type": "squared"}}
        with h5py.File(self.path("p.h5"), "w") as file:
            file["model/architecture"], file["data/X"], file["data/Y"] = json.dumps(network), np.ones((1, 1, 1)), np.full((1, 1, 1), 2.0)
            file["parameters/in.W"] = np.full((1, 1), 0.5)
        out = self.done("basin-train", "p.h5", "-o", "t.h5", "--steps", 300, "--tolerance", 0)
        self.assertTrue(out.startswith("bad valley"), out)
        words = re.search(r"bad valley, if it goes on like this: over the last (\d+) steps the loss fell by (\S+) and is still (\S+) above 0, the "
                          r"least it could be, while \|theta\| (\S+) -> (\S+), \|grad f\| (\S+) -> (\S+); no point", out)
        self.assertIsNotNone(words, out)
        steps, fall, above, before, now, first, last = map(float, words.groups())
        with h5py.File(self.path("t.h5")) as file:
            step, theta = file["trajectory/step"][()], file["trajectory/theta"][:, 0]
        self.assertEqual(steps, 150)
        w = theta[step == 150][0], theta[-1]
        f = [(np.tanh(x) - 2) ** 2 / 2 for x in w]
        g = [abs((np.tanh(x) - 2) / np.cosh(x) ** 2) for x in w]
        np.testing.assert_allclose([before, now, above, fall, first, last], [*w, f[1], f[0] - f[1], *g], rtol=2e-2)
        self.assertGreater(now, 1.05 * before)
        out = self.done("basin-stationary", "p.h5", "-o", "c.h5", "--from", "p.h5", "--steps", 100)
        self.assertEqual(self.verdicts(), ["valley to infinity"])
        self.assertIn("valley to infinity: no point: descent would go on for ever", out)
        # a minimum is none, though Newton's method reaches it as well
        with h5py.File(self.path("p.h5"), "a") as file:
            file["data/Y"][()] = 0.5
        self.assertNotIn("valley", self.done("basin-train", "p.h5", "-o", "u.h5", "--method", "newton"))

    def test_lbfgs_says_how_long_its_steps_are(self):
        Small().write(self.path("p.h5"))
        out = self.done("basin-train", "p.h5", "-o", "t.h5", "--method", "lbfgs", "--steps", 5)
        share = float(re.search(r"the first \S+ \((\S+) \|theta\|\)", out)[1])
        first, distance = self.column("steps/first_share", "t.h5"), self.column("run/step_length", "t.h5")[1]
        self.assertGreater(share, 0)
        self.assertAlmostEqual(share, first, delta=1e-2 * first)
        norm = np.sqrt(sum((v**2).sum() for v in Small().weights.values()))
        self.assertAlmostEqual(first, distance / norm, delta=1e-12 * first)

    def test_refusals(self):
        Small(labels=[0, 1, 1, 0, 1, 0]).write(self.path("p.h5"))
        for tool, args, message in (
                ("basin-train", ["--train", "blocks.*"], "--train blocks.*: unknown parameter block 'blocks.*'; the model has 18, the nearest: "),
                ("basin-train", ["--certify"], "--certify: known of one attention layer under squared loss alone"),
                ("basin-train", ["--step", "certificate"], "--step certificate: known of one attention layer under squared loss alone; expected flow"),
                ("basin-train", ["--step", "guaranteed"], "--step guaranteed: known of one attention layer under squared loss alone; expected flow"),
                ("basin-stationary", ["--at", "no.h5"], "no.h5: "),
                ("basin-stationary", ["--at", "p.h5:data/X"], "--at p.h5:data/X: found shape (6, 2, 3)"),
                ("basin-stationary", ["--at", "p.h5:data/nothing"], "/nothing")):
            self.refused(2, message, tool, "p.h5", "-o", "r.h5", *args, "--quiet")


if __name__ == "__main__":
    unittest.main()
