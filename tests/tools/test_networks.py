"""Problem files that describe their network layer by layer (format 2.0), through the tools."""

import json
import re
import subprocess

import h5py
import numpy as np
from support import BLOCKS, ROOT, ToolTest, long_test, random_problem, theta_of, weights_at, write_problem


def attention(layer, w, x, mask):
    """Softmax, or a Gaussian kernel; masked keys have weight 0. For complex numbers too."""
    d, F = layer["head-dim"], 0
    causal = np.tril(np.ones((x.shape[1], x.shape[1]))) if layer.get("causal") else 1
    for h in range(layer["heads"]):
        Q, K, V = (x @ w["W_" + b][h] + (w["b_" + b][h] if "b_" + b in w else 0) for b in "QKV")
        if layer.get("kernel", "softmax") == "softmax":
            A = np.exp(Q @ K.transpose(0, 2, 1) / np.sqrt(d)) * mask[:, None, :] * causal
            A = A / A.sum(axis=2, keepdims=True)
        else:
            variance = layer["kernel"].get("bandwidth", d**0.25) ** 2
            A = np.exp(-((Q[:, :, None, :] - K[:, None, :, :]) ** 2).sum(axis=3) / (2 * variance)) * mask[:, None, :] * causal
        F = F + A @ V @ w["W_O"][h]
    return F + w.get("b_O", 0)


def layers_outputs(layers, weights, x, mask, prefix=""):
    """x (N, n, D) through layers one after another; the weights by their full names."""
    for layer in layers:
        name = prefix + layer.get("name", "" if "layers" in layer or "branches" in layer else layer["type"])
        inner = name + "." if name and not name.endswith(".") else name
        w = {key.removeprefix(inner): value for key, value in weights.items() if key.startswith(inner)}
        match layer["type"]:
            case "linear":
                x = x @ (weights[layer["weight"]["tied"]].T if "weight" in layer else w["W"]) + w.get("b", 0)
            case "attention":
                x = attention(layer, w, x, mask)
            case "layer-norm":
                c = x - x.mean(axis=2, keepdims=True)
                x = w["g"] * c / np.sqrt((c**2).mean(axis=2, keepdims=True) + layer["epsilon"]) + w["beta"]
            case "activation":
                x = x / (1 + np.exp(-x))
            case "positions":
                x = x + w["Pos"][: x.shape[1]]
            case "embedding":
                x = w["E"][x]
            case "pool":
                x = (x * mask[:, :, None]).sum(axis=1, keepdims=True) / mask.sum(axis=1)[:, None, None]
            case "residual":
                x = x + layers_outputs(layer["layers"], weights, x, mask, inner)
            case "repeat":
                for t in range(layer["times"]):
                    x = layers_outputs(layer["layers"], weights, x, mask, f"{inner}{t}.")
            case other:
                raise ValueError(other)
    return x


class Net:
    """Two attentions and a linear layer, with weights, data, and derivatives by the complex step."""

    def __init__(self, N=3, n=4, D=5, H=2, d=3, outputs=2, seed=0):
        rng = np.random.default_rng(seed)
        self.layers = [{"type": "attention", "name": "first", "heads": H, "head-dim": d, "outputs": D},
                       {"type": "attention", "name": "second", "heads": 1, "head-dim": d, "outputs": 4,
                        "kernel": {"type": "gaussian", "bandwidth": 1.5}},
                       {"type": "linear", "name": "head", "outputs": outputs, "bias": False}]
        self.description = {"inputs": {"type": "vectors", "tokens": n, "width": D}, "layers": self.layers, "loss": {"type": "squared"}}
        self.X, self.Y = rng.standard_normal((N, n, D)), rng.standard_normal((N, n, outputs))
        shapes = {}
        for layer, width in zip(self.layers, (D, D, 4)):
            name = layer["name"] + "."
            if layer["type"] == "linear":
                shapes[name + "W"] = (width, outputs)
                continue
            heads = layer["heads"]
            shapes |= {name + block: (heads, width, d) for block in BLOCKS[:3]} | {name + "W_O": (heads, d, layer["outputs"])}
        self.weights = {name: rng.standard_normal(shape) / np.sqrt(shape[-2]) for name, shape in shapes.items()}

    def write(self, path, weights=True, description=None):
        with h5py.File(path, "w") as file:
            file["model/architecture"] = description or json.dumps(self.description)
            file["data/X"], file["data/Y"] = self.X, self.Y
            for name, values in self.weights.items() if weights else ():
                file["parameters/" + name] = values

    def outputs(self, weights=None):
        return layers_outputs(self.layers, weights or self.weights, self.X, np.ones(self.X.shape[:2]))

    def theta(self, blocks):
        return np.concatenate([self.weights[name].ravel() for name in blocks])

    def at(self, blocks, theta):
        weights, start = dict(self.weights), 0
        for name in blocks:
            shape = weights[name].shape
            weights[name] = theta[start : start + np.prod(shape)].reshape(shape)
            start += np.prod(shape)
        return weights

    def jacobian(self, blocks, theta):
        columns, step = [], 1e-30
        for j in range(theta.size):
            moved = theta.astype(complex)
            moved[j] += 1j * step
            columns.append(self.outputs(self.at(blocks, moved)).imag.ravel() / step)
        return np.array(columns).T

    def gradient(self, blocks, theta):
        return self.jacobian(blocks, theta).T @ (self.outputs(self.at(blocks, theta)) - self.Y).ravel()

    def hessian(self, blocks):
        theta, h = self.theta(blocks), 1e-3
        g = lambda j, t: self.gradient(blocks, theta + t * h * np.eye(theta.size)[j])
        H = np.array([(8 * (g(j, 1) - g(j, -1)) - (g(j, 2) - g(j, -2))) / (12 * h) for j in range(theta.size)])
        return (H + H.T) / 2


class TokenNet(Net):
    """A classifier of masked token ids: embedding, positions, two blocks of attention and MLP, mean over real tokens, tied head."""

    def __init__(self, N=3, n=4, D=4, vocabulary=6, seed=1):
        rng = np.random.default_rng(seed)
        block = [{"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1", "epsilon": 0.01},
                                                 {"type": "attention", "heads": 2, "head-dim": 3, "bias": "qvo", "causal": True}]},
                 {"type": "residual", "name": "mlp", "layers": [
                     {"type": "layer-norm", "name": "norm", "epsilon": 0.01}, {"type": "linear", "name": "in", "outputs": 5},
                     {"type": "activation", "function": "silu"}, {"type": "linear", "name": "out", "outputs": D}]}]
        self.layers = [{"type": "embedding", "width": D}, {"type": "positions", "rows": n + 2},
                       {"type": "repeat", "name": "blocks", "times": 2, "layers": block}, {"type": "pool"},
                       {"type": "linear", "name": "head", "weight": {"tied": "embedding.E"}}]
        self.description = {"inputs": {"type": "tokens", "tokens": n, "vocabulary": vocabulary}, "layers": self.layers}
        self.ids = rng.integers(vocabulary, size=(N, n))
        self.mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]])
        self.Y = rng.standard_normal((N, 1, vocabulary))
        shapes = {"embedding.E": (vocabulary, D), "positions.Pos": (n + 2, D)}
        for t in ("blocks.0.", "blocks.1."):
            shapes |= {t + "norm1.g": (D,), t + "norm1.beta": (D,)}
            shapes |= {t + f"attention.W_{b}": (2, D, 3) for b in "QKV"} | {t + "attention.W_O": (2, 3, D)}
            shapes |= {t + "attention.b_Q": (2, 3), t + "attention.b_V": (2, 3), t + "attention.b_O": (D,)}
            shapes |= {t + "mlp.norm.g": (D,), t + "mlp.norm.beta": (D,), t + "mlp.in.W": (D, 5), t + "mlp.in.b": (5,),
                       t + "mlp.out.W": (5, D), t + "mlp.out.b": (D,)}
        shapes["head.b"] = (vocabulary,)
        self.weights = {name: rng.standard_normal(shape) / np.sqrt(shape[-2] if len(shape) > 1 else 1) for name, shape in shapes.items()}

    def write(self, path, weights=True, description=None):
        with h5py.File(path, "w") as file:
            file["model/architecture"] = description or json.dumps(self.description)
            file["data/tokens"], file["data/mask"], file["data/Y"] = self.ids.astype("u2"), self.mask.astype(bool).astype("u1"), self.Y
            for name, values in self.weights.items() if weights else ():
                file["parameters/" + name] = values

    def outputs(self, weights=None):
        return layers_outputs(self.layers, weights or self.weights, self.ids, self.mask)


class LanguageModel(TokenNet):
    """The same layers without pool, under cross-entropy: labels of the tokens, some of which count for nothing."""

    def __init__(self, average="rows", pool=False, **options):
        super().__init__(**options)
        if not pool:
            self.layers = self.layers[:3] + self.layers[4:]
        self.description |= {"layers": self.layers, "loss": {"type": "cross-entropy", "average": average}}
        self.average = average
        self.labels = np.array([[0, 3, 5, -100], [2, -1, -1, -1], [1, -1, 4, -1]]) if not pool else np.array([[4], [-1], [0]])

    def write(self, path, weights=True, description=None):
        super().write(path, weights, description)
        with h5py.File(path, "a") as file:
            del file["data/Y"]
            file["data/labels"] = self.labels.astype("i4")

    def loss(self, weights=None):
        F = self.outputs(weights)
        F = F - F.real.max(axis=2, keepdims=True)
        terms = np.log(np.exp(F).sum(axis=2)) - np.take_along_axis(F, np.maximum(self.labels, 0)[:, :, None], axis=2)[:, :, 0]
        counted = self.labels >= 0
        return terms[counted].sum() / {"sum": 1, "rows": counted.sum(), "samples": counted.any(axis=1).sum()}[self.average]

    def gradient(self, blocks, theta):
        gradient, step = np.empty(theta.size), 1e-30
        for j in range(theta.size):
            moved = theta.astype(complex)
            moved[j] += 1j * step
            gradient[j] = self.loss(self.at(blocks, moved)).imag / step
        return gradient

    def accuracy(self):
        return 100 * (self.outputs().argmax(axis=2) == self.labels)[self.labels >= 0].mean()


class Networks(ToolTest):
    def network(self, name="p.h5", **options):
        net = Net(**options)
        net.write(self.path(name))
        return net

    def test_values_and_derivatives(self):
        net = self.network()
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--train", "second.*,head.W", "--random", 2)
        self.assertIn("network of 3 layers (2 attention, linear), attention: softmax; gaussian, sigma = 1.5, N = 3, inputs 4 x 5, outputs 4 x 2; P = ", out)
        blocks = ["second.W_Q", "second.W_K", "second.W_V", "second.W_O", "head.W"]
        F, theta = net.outputs(), net.theta(blocks)
        f, outputs, gradient, V, HV = self.results("r.h5", *("entry/evaluation/" + n for n in (
            "loss", "outputs", "gradient", "directions", "hessian_products")))
        np.testing.assert_allclose(outputs, F, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(f, ((F - net.Y) ** 2).sum() / 2, rtol=1e-13)
        g = net.gradient(blocks, theta)
        np.testing.assert_allclose(gradient, g, rtol=0, atol=1e-13 * np.linalg.norm(g))
        expected = V @ net.hessian(blocks)
        np.testing.assert_allclose(HV, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
        with h5py.File(self.path("r.h5")) as file:
            self.assertEqual(file["entry/model/trainable"][()].decode(), ",".join(blocks))
            self.assertEqual(json.loads(file["entry/model/architecture"][()])["layers"][1]["bandwidth"], 1.5)

    def test_token_ids_masks_norms_and_ties(self):
        net = TokenNet()
        net.write(self.path("p.h5"))
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--random", 2)
        self.assertIn("network of 5 layers (embedding, positions, repeat, pool, linear), attention: softmax, N = 3, inputs 4 token ids of 6, outputs 1 x 6, "
                      "some tokens masked; P = ", out)
        blocks = list(net.weights)
        F, theta = net.outputs(), net.theta(blocks)
        trained, outputs, gradient, V, HV = self.results("r.h5", "entry/model/trainable", *("entry/evaluation/" + n for n in (
            "outputs", "gradient", "directions", "hessian_products")))
        self.assertEqual(trained.decode().split(","), blocks)
        np.testing.assert_allclose(outputs, F[:, 0], rtol=1e-12, atol=1e-13)  # behind a pool: a row a sample
        g = net.gradient(blocks, theta)
        np.testing.assert_allclose(gradient, g, rtol=0, atol=1e-12 * np.linalg.norm(g))
        h = 1e-3
        for v, found in zip(V, HV):
            at = [net.gradient(blocks, theta + t * h * v) for t in (-2, -1, 1, 2)]
            expected = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * h)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * np.linalg.norm(expected))
        # written again, it is the same problem
        self.done("basin-train", "p.h5", "-o", "t.h5", "--steps", 0, "--final", "again.h5")
        self.done("basin-evaluate", "again.h5", "-o", "s.h5")
        np.testing.assert_array_equal(self.results("s.h5", "entry/evaluation/gradient"), gradient)
        for place, value, message in (("data/tokens", 6, "/data/tokens: token 6 at sample 0, position 1; the vocabulary has 6"),
                                      ("data/mask", 2, "/data/mask: found 2 at (0, 1); expected whole numbers from 0 to 1")):
            net.write(self.path("bad.h5"))
            with h5py.File(self.path("bad.h5"), "a") as file:
                file[place][0, 1] = value
            self.refused(2, message, "basin-evaluate", "bad.h5", "-o", "x.h5")
        net.write(self.path("bad.h5"))
        with h5py.File(self.path("bad.h5"), "a") as file:
            file["data/mask"][2] = 0
        self.refused(2, "/data/mask: sample 2 has no real token", "basin-evaluate", "bad.h5", "-o", "x.h5")

    def test_all_blocks_without_weights(self):
        net = Net()
        net.write(self.path("p.h5"), weights=False)
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--gain", "*.W_O=2", "--seed", 5)
        self.assertIn(f"P = {sum(w.size for w in net.weights.values())} trained", out)
        self.done("basin-evaluate", "p.h5", "-o", "again.h5", "--gain", "first.W_O=2", "--gain", "second.W_O=2", "--seed", 5)
        self.assertEqual(self.results("r.h5", "entry/evaluation/loss"), self.results("again.h5", "entry/evaluation/loss"))
        self.done("basin-evaluate", "p.h5", "-o", "other.h5", "--seed", 5)
        self.assertNotEqual(self.results("r.h5", "entry/evaluation/loss"), self.results("other.h5", "entry/evaluation/loss"))

    def test_another_kernel_at_the_same_weights(self):
        net = self.network()
        self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--kernel", "softmax")
        net.layers[1]["kernel"] = "softmax"
        np.testing.assert_allclose(self.results("r.h5", "entry/evaluation/outputs"), net.outputs(), rtol=1e-12, atol=1e-13)
        for layer in net.layers[:2]:
            layer["kernel"] = {"type": "gaussian", "bandwidth": 2.0}
        self.done("basin-evaluate", "p.h5", "-o", "g.h5", "--kernel", "gaussian", "--bandwidth", 2)
        np.testing.assert_allclose(self.results("g.h5", "entry/evaluation/outputs"), net.outputs(), rtol=1e-12, atol=1e-13)

    def test_spectrum(self):
        net = self.network()
        blocks = ["second.W_V", "head.W"]
        self.done("basin-hessian", "p.h5", "-o", "r.h5", "--train", ",".join(blocks), "--full")
        spectrum = np.linalg.eigvalsh(net.hessian(blocks))
        with h5py.File(self.path("r.h5")) as file:
            found = np.sort(file["entry/spectrum/eigenvalue"][()])
        np.testing.assert_allclose(found, spectrum, rtol=0, atol=1e-9 * abs(spectrum).max())

    def test_one_attention_described_is_the_same_as_not(self):
        problem = random_problem(kernel="gaussian", sigma=1.25)
        write_problem(self.path("one.h5"), problem)
        H, D, d = problem["weights"]["W_Q"].shape
        with h5py.File(self.path("one.h5")) as one, h5py.File(self.path("two.h5"), "w") as two:
            one.copy("data", two)
            for name in BLOCKS:
                two["parameters/" + name] = one["parameters/" + name][()]
            two["model/architecture"] = json.dumps({
                "inputs": {"type": "vectors", "tokens": 4, "width": D},
                "layers": [{"type": "attention", "heads": H, "head-dim": d, "outputs": 2,
                            "kernel": {"type": "gaussian", "bandwidth": 1.25}}]})
        for tool, args in (("basin-evaluate", ["--random", 2]), ("basin-hessian", ["--largest", 3, "--smallest", 2]),
                           ("basin-ntk", []), ("basin-slice", ["--x", "-1:1:5", "--y", "-1:1:5"]),
                           ("basin-train", ["--steps", 5, "--ntk"]), ("basin-stationary", ["--starts", 2, "--train", "W_O"]),
                           ("basin-sweep", ["--sweep", "gain.W_O=1,2", "--repeats", 2])):
            with self.subTest(tool=tool):
                for name in ("one", "two"):
                    self.done(tool, *(["problem"] if tool == "basin-sweep" else []), f"{name}.h5", "-o", f"{tool}-{name}.h5", *args)
                compared = 0
                with h5py.File(self.path(f"{tool}-one.h5")) as a, h5py.File(self.path(f"{tool}-two.h5")) as b:
                    def same(name, item):
                        nonlocal compared
                        if isinstance(item, h5py.Dataset) and "provenance" not in name and "dir_file" not in name and item.dtype.kind == "f":
                            np.testing.assert_array_equal(item[()], b[name][()], err_msg=name)
                            compared += 1
                    a.visititems(same)
                self.assertGreater(compared, 4)

    def test_cross_entropy(self):
        for average, pool in (("rows", False), ("sum", False), ("samples", False), ("rows", True)):
            with self.subTest(average=average, pool=pool):
                net = LanguageModel(average, pool)
                net.write(self.path("c.h5"))
                out = self.done("basin-evaluate", "c.h5", "-o", "r.h5", "--random", 1, "--overwrite")
                self.assertIn(f", accuracy {net.accuracy():.4g} %", out)
                blocks = list(net.weights)
                theta = net.theta(blocks)
                f, accuracy, gradient, V, HV, GV, JV = self.results("r.h5", *("entry/evaluation/" + n for n in (
                    "loss", "accuracy", "gradient", "directions", "hessian_products", "gauss_newton_products", "jvp")))
                np.testing.assert_allclose(f, net.loss(), rtol=1e-13)
                self.assertAlmostEqual(accuracy, net.accuracy() / 100, places=12)
                g = net.gradient(blocks, theta)
                np.testing.assert_allclose(gradient, g, rtol=0, atol=1e-12 * np.linalg.norm(g))
                h = 1e-3
                at = [net.gradient(blocks, theta + t * h * V[0]) for t in (-2, -1, 1, 2)]
                expected = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * h)
                np.testing.assert_allclose(HV[0], expected, rtol=0, atol=1e-7 * np.linalg.norm(expected))
                # v^T G v = the sum over rows of the variance of J v under the softmax
                F, dF = net.outputs(), JV[0].reshape(net.outputs().shape)
                p = np.exp(F - F.max(axis=2, keepdims=True))
                p /= p.sum(axis=2, keepdims=True)
                variance = (p * (dF - (p * dF).sum(axis=2, keepdims=True)) ** 2).sum(axis=2)
                counted = net.labels >= 0
                scale = {"sum": 1, "rows": counted.sum(), "samples": counted.any(axis=1).sum()}[average]
                self.assertAlmostEqual(V[0] @ GV[0], variance[counted].sum() / scale, delta=1e-11 * abs(V[0] @ GV[0]))
        self.done("basin-hessian", "c.h5", "-o", "h.h5", "--train", "blocks.1.*", "--full")
        self.done("basin-slice", "c.h5", "-o", "s.h5", "--x=-1:1:5", "--y=-1:1:3", "--quantities", "accuracy,gradient,eigenvalues,ntk",
                  "--train", "blocks.1.mlp.*")
        x, y, f, percent = self.results("s.h5", "xcoordinates", "ycoordinates", "train_loss", "train_acc")
        i, j = np.argmin(abs(y)), np.argmin(abs(x))
        np.testing.assert_allclose([f[i, j], percent[i, j]], [net.loss(), net.accuracy()], rtol=1e-12)
        self.done("basin-train", "c.h5", "-o", "t.h5", "--steps", 40, "--final", "end.h5", "--ntk")
        self.assertLess(self.results("t.h5", "entry/run/loss")[-1], net.loss().real)
        with h5py.File(self.path("end.h5")) as file:
            np.testing.assert_array_equal(file["data/labels"], net.labels)
            self.assertEqual(json.loads(file["model/architecture"][()])["loss"], {"type": "cross-entropy", "average": "rows"})
        self.done("basin-stationary", "c.h5", "-o", "st.h5", "--starts", 2, "--train", "head.b")

    def test_kernel_of_the_rows_that_count(self):
        net = Net()
        net.description["loss"] = {"type": "cross-entropy"}
        labels = np.array([[0, 1, -1, 1], [-1, -1, 0, 0], [1, 0, 1, -1]])
        net.write(self.path("c.h5"))
        with h5py.File(self.path("c.h5"), "a") as file:
            del file["data/Y"]
            file["data/labels"] = labels
        self.done("basin-train", "c.h5", "-o", "n.h5", "--ntk", "--steps", 0)
        J = net.jacobian(list(net.weights), net.theta(list(net.weights)))
        rows = J.reshape(-1, 2, J.shape[1])[labels.ravel() >= 0]  # 8 rows of 2 outputs, whose differences the loss sees
        values = np.linalg.svd((rows[:, 0] - rows[:, 1]) / np.sqrt(2), compute_uv=False) ** 2
        self.assertGreater(values[-1], 1e-10 * values[0])  # positive definite
        low, high = (self.results("n.h5", f"entry/run/lambda_min_{end}")[0] for end in ("lower", "upper"))
        self.assertLess(high - low, 1e-2 * values[-1])
        self.assertLessEqual(low, values[-1] + 1e-13 * values[0])
        self.assertGreaterEqual(high, values[-1] - 1e-13 * values[0])

    def test_the_same_bits_with_little_memory_and_any_threads(self):
        LanguageModel().write(self.path("c.h5"))
        results = []
        for number, (memory, threads) in enumerate((("10G", 2), ("100", 2), ("100", 1), ("3K", 5))):
            self.done("basin-evaluate", "c.h5", "-o", f"{number}.h5", "--random", 3, "--memory", memory, "--threads", threads)
            with h5py.File(self.path(f"{number}.h5")) as file:
                results.append({name: item[()] for name, item in file["entry/evaluation"].items() if isinstance(item, h5py.Dataset)})
        for result in results[1:]:
            for name, values in results[0].items():
                np.testing.assert_array_equal(result[name], values, name)

    @long_test
    def test_outputs_of_a_large_vocabulary_are_written_on_demand(self):
        classes, rows = 1 << 20, 33  # of logits 2^25 and more
        description = {"inputs": {"type": "vectors", "tokens": rows, "width": 1}, "layers": [{"type": "linear", "outputs": classes, "bias": False}],
                       "loss": {"type": "cross-entropy"}}
        rng = np.random.default_rng(4)
        X, W, labels = rng.standard_normal((1, rows, 1)), rng.standard_normal((1, classes)), rng.integers(0, classes, (1, rows))
        with h5py.File(self.path("large.h5"), "w") as file:
            file["model/architecture"] = json.dumps(description)
            file["data/X"], file["data/labels"], file["parameters/W"] = X, labels, W
        first = self.done("basin-evaluate", "large.h5", "-o", "few.h5", "--random", 1)
        self.assertIn(f"left out, as the outputs are {classes * rows} numbers: outputs, J v, J^T u; --outputs writes them", first)
        self.assertIn("1 direction: G v and H v written", first)
        self.done("basin-evaluate", "large.h5", "-o", "all.h5", "--outputs", "--direction", "few.h5:/entry/evaluation/directions")
        few, every = (h5py.File(self.path(name))["entry/evaluation"] for name in ("few.h5", "all.h5"))
        self.assertEqual({"outputs", "jvp"}, set(every) - set(few))
        F = X[0] @ W
        np.testing.assert_allclose(every["outputs"][0], F, rtol=1e-15)
        p = np.exp(F - F.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        dF = X[0] @ few["directions"][()].reshape(1, -1)
        Hv = X[0].T @ (p * (dF - (p * dF).sum(axis=1, keepdims=True))) / rows
        for result in (few, every):
            self.assertLess(np.linalg.norm(result["hessian_products"][0] - Hv[0]), 1e-12 * np.linalg.norm(Hv))
            self.assertAlmostEqual(result["accuracy"][()], np.mean(F.argmax(axis=1) == labels[0]), places=14)

    def test_products_by_tensor_and_directions_by_name(self):
        net = LanguageModel()
        net.write(self.path("c.h5"))
        rng = np.random.default_rng(3)
        trained = [name for name in net.weights if name.startswith("blocks.0.")]
        direction = {name: rng.standard_normal(net.weights[name].shape) for name in trained}
        cotangent = rng.standard_normal(net.outputs().shape)
        with h5py.File(self.path("v.h5"), "w") as file:
            for name, values in direction.items():
                file["direction/0/" + name] = values
            file["cotangent/0"] = cotangent
        at = ["basin-evaluate", "c.h5", "--train", "blocks.0.*", "--direction", "v.h5:/direction/0", "--cotangent", "v.h5:/cotangent/0"]
        self.done(*at, "-o", "r.h5", "--by-tensor")
        with h5py.File(self.path("r.h5")) as file:
            e = file["entry/evaluation"]
            v = np.concatenate([direction[name].ravel() for name in trained])
            np.testing.assert_array_equal(e["directions"][0], v)
            np.testing.assert_array_equal(e["cotangents"][0], cotangent.ravel())
            for group, flat in (("gradient", e["gradient"]), ("hessian_products/0", e["hessian_products"][0]),
                                ("gauss_newton_products/0", e["gauss_newton_products"][0]), ("vjp/0", e["vjp"][0])):
                self.assertEqual(set(e["by_tensor"][group]), set(trained))
                joined = np.concatenate([e["by_tensor"][group][name][()].ravel() for name in trained])
                np.testing.assert_array_equal(joined, flat)
                self.assertEqual(e["by_tensor"][group][trained[0]].shape, net.weights[trained[0]].shape)
            self.assertAlmostEqual(cotangent.ravel() @ e["jvp"][0], v @ e["vjp"][0], delta=1e-12 * abs(v @ e["vjp"][0]) + 1e-12)
        with h5py.File(self.path("v.h5"), "a") as file:
            file["direction/0/head.b"] = np.zeros(6)
        self.refused(2, "v.h5: /direction/0: found a member 'head.b'", *at, "-o", "x.h5")
        with h5py.File(self.path("v.h5"), "a") as file:
            del file["direction/0/head.b"], file["direction/0/" + trained[0]]
        self.refused(2, f"v.h5: /direction/0/{trained[0]}: missing; expected an array for each trained block", *at, "-o", "x.h5")
        self.done("basin-hessian", "c.h5", "-o", "h.h5", "--train", "blocks.0.mlp.*", "--largest", 2, "--eigenvectors", "--by-tensor")
        with h5py.File(self.path("h.h5")) as file:
            largest = file["entry/largest"]
            names = [name for name in trained if ".mlp." in name]
            for k in (0, 1):
                joined = np.concatenate([largest[f"by_tensor/{k}/{name}"][()].ravel() for name in names])
                np.testing.assert_array_equal(joined, largest["eigenvectors"][k])
        self.refused(2, "--by-tensor: without effect unless with --eigenvectors, --norms or --per-block", "basin-hessian", "c.h5", "-o", "x.h5", "--largest", 2, "--by-tensor")

    def test_points_at_a_kink_are_counted(self):
        description = {"inputs": {"type": "vectors", "tokens": 2, "width": 2},
                       "layers": [{"type": "residual", "layers": [{"type": "activation", "function": "relu"}]},
                                  {"type": "linear", "name": "head", "outputs": 1}]}
        with h5py.File(self.path("k.h5"), "w") as file:
            file["model/architecture"] = json.dumps(description)
            file["data/X"] = np.array([[[0, 1.5], [-2, 0]], [[3, 0.25], [0, 0]]])
            file["data/Y"], file["data/mask"] = np.ones((2, 2, 1)), np.array([[1, 1], [1, 0]])
        out = self.done("basin-evaluate", "k.h5", "-o", "r.h5")
        self.assertIn("2 numbers are at the kink of ReLU, exactly 0", out)
        self.assertEqual(self.results("r.h5", "entry/evaluation/kinks"), 2)  # masked ones do not count
        self.assertIn("2 numbers are at the kink", self.done("basin-hessian", "k.h5", "-o", "h.h5", "--largest", 1))

    def test_architecture_files(self):
        """A network in JSON, on random or given data, to a problem file."""
        net = LanguageModel()
        self.path("net.json").write_text(json.dumps(net.description))
        out = self.done("basin-problem", "architecture", "net.json", "-o", "a.h5", "-N", 5, "--init", "gpt2", "--gain", "head.b=2")
        self.assertIn("N = 5, inputs 4 token ids of 6, outputs 4 x 6", out)
        with h5py.File(self.path("a.h5")) as file:
            tokens, labels = file["data/tokens"][()], file["data/labels"][()]
            self.assertEqual(tokens.shape, (5, 4))
            self.assertTrue(((tokens >= 0) & (tokens < 6)).all() and len(set(tokens.ravel())) > 3)
            self.assertEqual(set(file["parameters"]), set(net.weights))
            self.assertEqual(json.loads(file["model/architecture"][()])["loss"], {"type": "cross-entropy", "average": "rows"})
        # the teacher is the same network under its own seed: where the student is the teacher, all is right
        self.done("basin-evaluate", "a.h5", "-o", "e.h5")
        self.assertGreater(len(set(labels.ravel())), 1)
        net.ids, net.mask = tokens, np.ones(tokens.shape)
        with h5py.File(self.path("a.h5")) as file:
            net.weights = {name: file["parameters/" + name][()] for name in net.weights}
        net.labels = labels
        np.testing.assert_allclose(self.results("e.h5", "entry/evaluation/loss"), net.loss().real, rtol=1e-12)

        net = LanguageModel(pool=True)
        self.path("net.json").write_text(json.dumps(net.description))
        for name, values in (("ids", np.asfortranarray(net.ids.astype(">u2"))), ("mask", net.mask.astype(bool)), ("labels", net.labels.ravel()),
                             ("real", net.ids * 1.0), ("wide", net.ids[:, :3]), ("high", net.ids + 6)):
            np.save(self.path(name + ".npy"), values)
        given = ["basin-problem", "architecture", "net.json", "--inputs", "ids.npy", "--mask", "mask.npy", "--targets", "labels.npy"]
        self.done(*given, "-o", "b.h5", "--no-weights")
        with h5py.File(self.path("b.h5")) as file:
            for name, values in (("tokens", net.ids), ("mask", net.mask), ("labels", net.labels)):
                np.testing.assert_array_equal(file["data/" + name], values)
            self.assertEqual(list(file["parameters"]), [])
        self.done("basin-evaluate", "b.h5", "-o", "e2.h5", "--init", "pytorch")
        self.done("basin-problem", "architecture", "net.json", "--inputs", "real.npy", "-o", "c.h5")  # whole numbers, whatever their type
        self.refused(2, "wide.npy: found shape (3, 3); expected (3, 4), the inputs that the architecture says", *given[:4], "wide.npy", "-o", "x.h5")
        self.refused(2, "high.npy: token 8 at sample 0, position 0; the vocabulary has 6", *given[:4], "high.npy", "-o", "x.h5")
        self.refused(2, "--samples: without effect when inputs are given", *given, "-o", "x.h5", "-N", 3)
        self.refused(2, "--targets: expected --inputs with it", "basin-problem", "architecture", "net.json", "-o", "x.h5", "--targets", "labels.npy")
        self.refused(2, "unknown initialisation 'kaiming'", "basin-problem", "architecture", "net.json", "-o", "x.h5", "--init", "kaiming")
        self.refused(2, "none.json: cannot be opened", "basin-problem", "architecture", "none.json", "-o", "x.h5")
        self.path("bad.json").write_text(json.dumps(net.description).replace('"epsilon"', '"epsilom"'))
        self.refused(2, "bad.json: architecture: layers[2].layers[0].layers[0]: layer-norm: unknown member 'epsilom'; did you mean 'epsilon'?",
                     "basin-problem", "architecture", "bad.json", "-o", "x.h5")

    def test_student_and_teacher_of_an_architecture(self):
        description = Net().description
        self.path("net.json").write_text(json.dumps(description))
        self.done("basin-problem", "architecture", "net.json", "-o", "t.h5", "--target-seed", 5, "--target-init", "xavier")
        with h5py.File(self.path("t.h5")) as file:
            net = Net()
            net.X, net.Y = file["data/X"][()], file["data/Y"][()]
            net.weights = {name: file["parameters/" + name][()] for name in net.weights}
        self.done("basin-evaluate", "t.h5", "-o", "e.h5")
        np.testing.assert_allclose(self.results("e.h5", "entry/evaluation/loss"), ((net.outputs() - net.Y) ** 2).sum() / 2, rtol=1e-12)
        self.assertGreater(np.abs(net.Y).max(), 0.01)
        self.done("basin-train", "t.h5", "-o", "r.h5", "--method", "lbfgs", "--steps", 400)
        f = self.results("r.h5", "entry/run/loss")
        self.assertLess(f[-1], 1e-3 * f[0])

    def test_averages_of_the_squared_loss(self):
        net = self.network()
        square = ((net.outputs() - net.Y) ** 2).sum()
        for average, terms in (("sum", 1), ("rows", 12), ("samples", 3), ("elements", 24)):
            for half in (True, False):
                net.description["loss"] = {"type": "squared", "average": average, "half": half}
                net.write(self.path("a.h5"))
                self.done("basin-evaluate", "a.h5", "-o", "r.h5", "--overwrite")
                np.testing.assert_allclose(self.results("r.h5", "entry/evaluation/loss"), square / terms / (2 if half else 1), rtol=1e-13)

    def test_labels_that_are_refused(self):
        net = LanguageModel()
        def refused(message, labels=None, loss=None, **data):
            net = LanguageModel()
            if loss:
                net.description["loss"] = loss
            net.write(self.path("c.h5"))
            with h5py.File(self.path("c.h5"), "a") as file:
                if labels is not None:
                    del file["data/labels"]
                    file["data/labels"] = labels
                for name, values in data.items():
                    file["data/" + name] = values
            self.refused(2, "c.h5: " + message, "basin-evaluate", "c.h5", "-o", "r.h5")
        def changed(i, j, value):
            labels = net.labels.astype(float)
            labels[i, j] = value
            return labels
        refused("/data/labels: found 6 at (0, 1); expected whole numbers below 6", changed(0, 1, 6))
        refused("/data/labels: found 1.5 at (0, 1); expected whole numbers", changed(0, 1, 1.5))
        refused("/data/labels: found nan at (0, 1); expected whole numbers", changed(0, 1, np.nan))
        refused("/data/labels: found 2 at (1, 3), where the mask says that there is no token", changed(1, 3, 2))
        refused("/data/labels: no target counts: all are -1", net.labels * 0 - 1)
        refused("/data/labels: found shape (3, 2); expected (3, 4)", net.labels[:, :2])
        refused("/data/Y: found beside /data/labels; the loss cross-entropy reads that alone", Y=net.Y)
        refused("/data/labels: the loss squared takes /data/Y, which is missing", loss={"type": "squared"})
        refused("/model/architecture: architecture: loss: unknown member 'avrage'; did you mean 'average'?", loss={"type": "squared", "avrage": "sum"})
        refused("/model/architecture: architecture: loss.type: unknown loss 'crossentropy'; did you mean 'cross-entropy'?",
                loss={"type": "crossentropy"})
        refused("/model/architecture: loss.average: found 'element'; expected one of sum, rows, samples",
                loss={"type": "cross-entropy", "average": "element"})

    def classifier(self, X, labels):
        """p.h5: tokens of width 4, tanh, three classes each."""
        network = {"inputs": {"type": "vectors", "tokens": X.shape[1], "width": X.shape[2]},
                   "layers": [{"type": "linear", "name": "in", "outputs": 12}, {"type": "activation", "function": "tanh"},
                              {"type": "linear", "name": "head", "outputs": 3}],
                   "loss": {"type": "cross-entropy"}}
        with h5py.File(self.path("p.h5"), "w") as file:
            file["model/architecture"], file["data/X"], file["data/labels"] = json.dumps(network), X, labels

    def test_separated_classes_and_labels_that_contradict_each_other(self):
        rng = np.random.default_rng(2)
        X, labels = rng.standard_normal((4, 2, 4)), rng.integers(0, 3, (4, 2))
        self.classifier(X, labels)
        out = self.done("basin-train", "p.h5", "-o", "t.h5", "--method", "lbfgs", "--steps", 400, "--final", "end.h5")
        margin = float(re.search(r"every row is in its class, by a margin of (\S+) \+-", out)[1])
        with h5py.File(self.path("end.h5")) as file:
            W, b, V, c = (file["parameters/" + name][()] for name in ("in.W", "in.b", "head.W", "head.b"))
        z = np.tanh(X @ W + b) @ V + c
        others = z - 1e300 * np.eye(3)[labels]
        self.assertAlmostEqual(margin, (np.take_along_axis(z, labels[..., None], -1)[..., 0] - others.max(-1)).min(), delta=1e-9 * margin)
        out = self.done("basin-stationary", "p.h5", "-o", "s.h5", "--at", "end.h5", "--starts", 2)
        self.assertIn("the given point is in a valley to the global infimum", out)
        verdicts, codes, margins = self.results("s.h5", "entry/starts/verdict", "entry/starts/verdict_code", "entry/starts/margin")
        self.assertEqual({v.decode() for v in verdicts}, {"global valley"})
        self.assertEqual(set(codes), {8})
        self.assertTrue((margins > 0).all())
        self.assertEqual(subprocess.run([ROOT / "analysis/basin-plot", "s.h5", "-o", "pics"], cwd=self.folder, capture_output=True).returncode, 0)
        # with the last layer held fixed margins decide nothing
        self.done("basin-stationary", "end.h5", "-o", "f.h5", "--at", "end.h5", "--starts", 0, "--train", "in.*")
        self.assertTrue(np.isnan(self.results("f.h5", "entry/starts/margin")).all())

        X[2:] = X[:2]  # two copies of two samples, of which three rows disagree
        labels[2:] = labels[:2]
        labels[2, 0], labels[3, 0], labels[3, 1] = (labels[[0, 1, 1], [0, 0, 1]] + 1) % 3
        self.classifier(X, labels)
        bound = 6 * np.log(2) / 8
        out = self.done("basin-train", "p.h5", "-o", "u.h5", "--method", "lbfgs", "--steps", 400, "--final", "end2.h5")
        self.assertNotIn("every row is in its class", out)
        said = float(re.search(r"the loss cannot be below (\S+):", out)[1])
        self.assertAlmostEqual(said, bound, delta=1e-7)
        self.assertLessEqual(said, bound)
        self.assertGreaterEqual(self.results("u.h5", "entry/run/loss")[-1], bound * (1 - 1e-12))
        self.assertLess(self.results("u.h5", "entry/run/loss")[-1], bound + 1e-3)
        self.assertIn("the loss cannot be below", self.done("basin-stationary", "p.h5", "-o", "v.h5", "--at", "end2.h5", "--starts", 0))

    def test_what_is_known_of_one_attention_layer_alone(self):
        """Is refused in one line, or left out, which is said."""
        net = self.network()
        for tool, args, message in (
                ("basin-ntk", ["--suggest"], "--suggest: without effect as gains of weights are tried for the certificate of one attention layer"),
                ("basin-train", ["--certify"], "--certify: known of one attention layer under squared loss alone; of a last layer alone basin-ntk --train says"),
                ("basin-slice", ["--normalise", "gauge"], "a canonical gauge is known for a single attention layer")):
            self.refused(2, message, tool, "p.h5", "-o", "r.h5", *args, "--quiet")
        out = self.done("basin-hessian", "p.h5", "-o", "h.h5", "--train", "head.W", "--counts")
        self.assertIn("\n2 symmetry modes: not seen 2\n", out)  # its 4 inputs are made of 3 values
        blocks = list(net.weights)
        self.done("basin-train", "p.h5", "-o", "n.h5", "--ntk", "--steps", 0)
        J = net.jacobian(blocks, net.theta(blocks))
        spectrum = np.linalg.eigvalsh(J @ J.T)
        self.assertGreater(spectrum[0], 1e-10 * spectrum[-1])  # m = 24 rows, P = 185: positive definite
        low, high = (self.results("n.h5", f"entry/run/lambda_min_{end}")[0] for end in ("lower", "upper"))
        self.assertLess(high - low, 1e-2 * spectrum[0])
        self.assertLessEqual(low, spectrum[0] + 1e-13 * spectrum[-1])
        self.assertGreaterEqual(high, spectrum[0] - 1e-13 * spectrum[-1])
        for name in ("h.h5", "n.h5"):
            self.assertEqual(subprocess.run([ROOT / "analysis/basin-plot", name, "-o", name + ".pics"], cwd=self.folder,
                                            capture_output=True, text=True).returncode, 0)

    def test_a_result_can_be_gone_on_from(self):
        net = self.network()
        self.done("basin-train", "p.h5", "-o", "r.h5", "--steps", 20, "--final", "end.h5")
        before = ((net.outputs() - net.Y) ** 2).sum() / 2
        self.done("basin-evaluate", "end.h5", "-o", "e.h5")
        self.assertLess(self.results("e.h5", "entry/evaluation/loss"), before)
        with h5py.File(self.path("end.h5")) as file:
            self.assertEqual(file.attrs["basin_format"], "2.0")
            self.assertEqual(set(file["parameters"]), set(net.weights))
        self.done("basin-slice", "p.h5", "-o", "s.h5", "--u", "to:end.h5", "--v", "none", "--x", "0:1:3")
        self.assertAlmostEqual(self.results("s.h5", "train_loss").ravel()[-1], float(self.results("e.h5", "entry/evaluation/loss")), places=10)

    def test_one_attention_with_a_mask(self):
        """Is another network to what is known of one without: no structured plane, no symmetries, no conditions."""
        problem = random_problem(N=3, n=4)
        H, D, d = problem["weights"]["W_Q"].shape
        layer = {"type": "attention", "heads": H, "head-dim": d, "outputs": 2}
        mask = np.array([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
        with h5py.File(self.path("p.h5"), "w") as file:
            file["model/architecture"] = json.dumps({"inputs": {"type": "vectors", "tokens": 4, "width": D}, "layers": [layer]})
            file["data/X"], file["data/Y"], file["data/mask"] = problem["X"], problem["Y"], mask.astype("u1")
            for name, values in problem["weights"].items():
                file["parameters/" + name] = values
        def loss(weights):
            F = attention(layer, weights, problem["X"], mask)
            return (mask[:, :, None] * (F - problem["Y"]) ** 2).sum() / 2
        self.done("basin-evaluate", "p.h5", "-o", "e.h5")
        np.testing.assert_allclose(self.results("e.h5", "entry/evaluation/loss"), loss(problem["weights"]), rtol=1e-13)
        self.done("basin-slice", "p.h5", "-o", "s.h5", "--x", "-1:1:3", "--u", "gradient", "--v", "none")
        u, x, f = self.results("s.h5", "entry/directions/x", "xcoordinates", "train_loss")
        for step, found in zip(x, np.ravel(f)):
            np.testing.assert_allclose(found, loss(weights_at(problem, theta_of(problem["weights"]) + step * u)), rtol=1e-12)
        self.done("basin-train", "p.h5", "-o", "t.h5", "--steps", 3)
        self.assertEqual(subprocess.run([ROOT / "analysis/basin-plot", "t.h5", "-o", "pics"], cwd=self.folder, capture_output=True).returncode, 0)
        self.assertIn("no certificate: that gradient descent reaches zero loss is proven of one attention layer", self.done("basin-ntk", "p.h5", "-o", "r.h5"))
        write_problem(self.path("old.h5"), problem)
        with h5py.File(self.path("old.h5"), "a") as file:
            file["data/mask"] = mask
        self.refused(2, "/data/mask: found without /model/architecture", "basin-evaluate", "old.h5", "-o", "x.h5")

    def test_refused(self):
        net = self.network()
        text = json.dumps(net.description)
        for old, new, message in (
                ('"heads": 2', '"haeds": 2', "/model/architecture: architecture: layers[0]: attention: unknown member 'haeds'; did you mean 'heads'?"),
                ('"linear"', '"liner"', "layers[2].type: unknown layer type 'liner'; did you mean 'linear'?"),
                ('"tokens": 4', '"tokens": 5', "/data/X: found shape (3, 4, 5); expected (3, 5, 5), the inputs that the architecture says"),
                ('"outputs": 2,', '"outputs": 3,', "/parameters/head.W: found shape (4, 2); expected (4, 3), as /model/architecture says"),
                ('"head"', '"first"', "two layers are called 'first'"),
                ('"heads": 2', '"heads": 0', "heads H = 0; expected at least 1"),
                ('"heads": 2', '"heads": 1099511627776', "more than 2^40 numbers"),
                ('"squared"', '"cubed"', "cubed")):
            with self.subTest(new=new):
                self.assertIn(old, text)
                net.write(self.path("bad.h5"), description=text.replace(old, new, 1))
                self.refused(2, message, "basin-evaluate", "bad.h5", "-o", "r.h5")
        tokens = {"inputs": {"type": "tokens", "tokens": 4, "vocabulary": 6}}
        ids = np.zeros((3, 4), int)
        first = {"type": "embedding", "width": 2}
        for layers, message in (([first, {"type": "pool"}, {"type": "residual", "layers": [{"type": "attention", "heads": 1, "head-dim": 1}]}],
                                 "attention: behind a pool, which leaves one token a sample"),
                                ([first, {"type": "repeat", "times": 1000000, "layers": [{"type": "layer-norm"}]}], "more than 100000 layers"),
                                ([{"type": "linear", "outputs": 2}], "linear: its input is token ids; expected an embedding first"),
                                ([{"type": "layer-norm"}], "layer-norm: its input is token ids; expected an embedding first"),
                                ([{"type": "embedding", "width": 2, "vocabulary": 5}],
                                 "embedding: vocabulary = 5; expected at least that of the inputs, 6")):
            with h5py.File(self.path("ids.h5"), "w") as file:
                file["model/architecture"] = json.dumps(tokens | {"layers": layers})
                file["data/tokens"], file["data/Y"] = ids, np.zeros((3, 4, 2))
            self.refused(2, message, "basin-evaluate", "ids.h5", "-o", "r.h5")
        with h5py.File(self.path("ids.h5"), "w") as file:
            file["model/architecture"] = '{"layers": ' + "[" * 50000 + "]" * 50000 + "}"
            file["data/tokens"], file["data/Y"] = ids, np.zeros((3, 4, 2))
        self.refused(2, "nested deeper than 64 brackets", "basin-evaluate", "ids.h5", "-o", "r.h5")
        self.path("ids.h5").unlink()
        with h5py.File(self.path("bad.h5"), "a") as file:
            del file["model/architecture"]
            file["model/architecture"] = text
            file["parameters/head.b"] = np.zeros(2)
        self.refused(2, "/parameters: found a member 'head.b', which is no part of the model", "basin-evaluate", "bad.h5", "-o", "r.h5")
        with h5py.File(self.path("bad.h5"), "a") as file:
            del file["parameters/head.b"], file["parameters/first.W_K"]
        self.refused(2, "/parameters/first.W_K: missing; expected all blocks of the network, or none", "basin-evaluate", "bad.h5", "-o", "r.h5")
        for message, args in (("--heads: p.h5 describes its network, which fixes it", ["--heads", 3]),
                              ("--train W_Q: unknown parameter block 'W_Q'; the model has first.W_Q, ", ["--train", "W_Q"]),
                              ("--train third.*: unknown parameter block 'third.*'", ["--train", "third.*"]),
                              ("--gain heads.W=2: unknown parameter block 'heads.W'", ["--init", "gaussian", "--gain", "heads.W=2"]),
                              ("--kernel: unknown kernel 'gausian'; expected softmax or gaussian", ["--kernel", "gausian"]),
                              ("--gain: p.h5 has weights", ["--gain", "head.W=2"])):
            self.refused(2, message, "basin-evaluate", "p.h5", "-o", "r.h5", *args)
        self.no_leftovers("p.h5", "bad.h5")
