"""Problem files that describe their network layer by layer (format 2.0), through the tools."""

import json
import subprocess

import h5py
import numpy as np
from support import BLOCKS, ROOT, ToolTest, random_problem, theta_of, weights_at, write_problem


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


class Networks(ToolTest):
    def network(self, name="p.h5", **options):
        net = Net(**options)
        net.write(self.path(name))
        return net

    def test_values_and_derivatives(self):
        net = self.network()
        out = self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--train", "second.*,head.W", "--random", 2)
        self.assertIn("network of 3 layers (2 attention, linear), N = 3, inputs 4 x 5, outputs 4 x 2; P = ", out)
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
        self.assertIn("network of 5 layers (embedding, positions, repeat, pool, linear), N = 3, inputs 4 token ids of 6, outputs 1 x 6, "
                      "some tokens masked; P = ", out)
        blocks = list(net.weights)
        F, theta = net.outputs(), net.theta(blocks)
        trained, outputs, gradient, V, HV = self.results("r.h5", "entry/model/trainable", *("entry/evaluation/" + n for n in (
            "outputs", "gradient", "directions", "hessian_products")))
        self.assertEqual(trained.decode().split(","), blocks)
        np.testing.assert_allclose(outputs, F, rtol=1e-12, atol=1e-13)
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
        for place, value, message in (("data/tokens", 6, "/data/tokens: found 6.000000 at (0, 1); expected whole numbers from 0 to 5"),
                                      ("data/mask", 2, "/data/mask: found 2.000000 at (0, 1); expected whole numbers from 0 to 1")):
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
                           ("basin-train", ["--steps", 5, "--ntk"]), ("basin-stationary", ["--starts", 2, "--train", "W_O"])):
            with self.subTest(tool=tool):
                for name in ("one", "two"):
                    self.done(tool, f"{name}.h5", "-o", f"{tool}-{name}.h5", *args)
                compared = 0
                with h5py.File(self.path(f"{tool}-one.h5")) as a, h5py.File(self.path(f"{tool}-two.h5")) as b:
                    def same(name, item):
                        nonlocal compared
                        if isinstance(item, h5py.Dataset) and "provenance" not in name and "dir_file" not in name and item.dtype.kind == "f":
                            np.testing.assert_array_equal(item[()], b[name][()], err_msg=name)
                            compared += 1
                    a.visititems(same)
                self.assertGreater(compared, 4)

    def test_what_is_known_of_one_attention_layer_alone(self):
        """Is refused in one line, or left out, which is said."""
        net = self.network()
        for tool, args, message in (
                ("basin-ntk", [], "of other networks, `basin-train --ntk --steps 0` records the smallest eigenvalue"),
                ("basin-train", ["--certify"], "the ball certificate is known for a single attention layer"),
                ("basin-slice", ["--u", "symmetry"], "--u symmetry: symmetries left out: those of this network, which are not known"),
                ("basin-slice", ["--normalise", "gauge"], "a canonical gauge is known for a single attention layer")):
            self.refused(2, message, tool, "p.h5", "-o", "r.h5", *args, "--quiet")
        out = self.done("basin-hessian", "p.h5", "-o", "h.h5", "--train", "head.W", "--counts")
        self.assertIn("0 symmetry modes; left out: those of this network, which are not known", out)
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
        self.refused(2, "are known of one attention layer", "basin-ntk", "p.h5", "-o", "r.h5")
        write_problem(self.path("old.h5"), problem)
        with h5py.File(self.path("old.h5"), "a") as file:
            file["data/mask"] = mask
        self.refused(2, "/data/mask: found without /model/architecture", "basin-evaluate", "old.h5", "-o", "r.h5")

    def test_refused(self):
        net = self.network()
        text = json.dumps(net.description)
        for old, new, message in (
                ('"heads": 2', '"haeds": 2', "/model/architecture: architecture: layers[0]: attention: unknown member 'haeds'; did you mean 'heads'?"),
                ('"linear"', '"liner"', "layers[2].type: unknown layer type 'liner'; did you mean 'linear'?"),
                ('"tokens": 4', '"tokens": 5', "/data/X: found shape (3, 4, 5); expected (3, 5, 5), the inputs that /model/architecture says"),
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
        for layers, message in (([{"type": "linear", "outputs": 2}], "linear: its input is token ids; expected an embedding first"),
                                ([{"type": "layer-norm"}], "layer-norm: its input is token ids; expected an embedding first"),
                                ([{"type": "embedding", "width": 2, "vocabulary": 5}],
                                 "embedding: vocabulary = 5; expected at least that of the inputs, 6")):
            with h5py.File(self.path("ids.h5"), "w") as file:
                file["model/architecture"] = json.dumps(tokens | {"layers": layers})
                file["data/tokens"], file["data/Y"] = ids, np.zeros((3, 4, 2))
            self.refused(2, message, "basin-evaluate", "ids.h5", "-o", "r.h5")
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
                              ("--gain: p.h5 has weights", ["--gain", "head.W=2"])):
            self.refused(2, message, "basin-evaluate", "p.h5", "-o", "r.h5", *args)
        self.no_leftovers("p.h5", "bad.h5")
