"""Small checkpoints of real Transformers, with loss, outputs and products that PyTorch computed: their layers through the tools.

Skipped where the checkpoints are not there."""

import json
import struct
import unittest

import h5py
import numpy as np
from support import ORACLES, ToolTest

DEEP = ORACLES / "deep"


def tensors_of(path):
    """The tensors of a .safetensors file, in float64."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], {"F64": "<f8", "F32": "<f4"}[t["dtype"]]).reshape(t["shape"]).astype(float)
            for name, t in header.items() if name != "__metadata__"}


def transposed(w):
    return w.T


def heads_in(H, part=0, parts=1):
    """(parts H d, D) or (parts H d) -> W_Q (H, D, d), or b_Q (H, d): one of `parts` below each other."""
    def block(w):
        w = np.split(w, parts)[part].reshape(H, -1, *w.shape[1:])
        return w.transpose(0, 2, 1) if w.ndim == 3 else w
    return block


def heads_out(H):
    """(D, H d) -> W_O (H, d, D)."""
    return lambda w: w.T.reshape(H, -1, w.shape[0])


def same(w):
    return w


def mlp(width, function="gelu"):
    return [{"type": "linear", "name": "in", "outputs": width}, {"type": "activation", "function": function}]


def pre_norm(i, H, tensors):
    """Blocks of layer i, a{i} and m{i}, by its tensors: two norms, fused queries, keys and values, projection, and the two of the MLP."""
    norm1, qkv, projection, norm2, into, out = tensors
    both = lambda name, tensor, map: [(name[0], tensor + ".weight", map), (name[1], tensor + ".bias", same)]
    return [*both((f"a{i}.layer-norm.g", f"a{i}.layer-norm.beta"), norm1, same),
            *((f"a{i}.attention.W_{b}", qkv + ".weight", heads_in(H, k, 3)) for k, b in enumerate("QKV")),
            (f"a{i}.attention.W_O", projection + ".weight", heads_out(H)),
            *((f"a{i}.attention.b_{b}", qkv + ".bias", heads_in(H, k, 3)) for k, b in enumerate("QKV")),
            (f"a{i}.attention.b_O", projection + ".bias", same),
            *both((f"m{i}.layer-norm.g", f"m{i}.layer-norm.beta"), norm2, same),
            *both((f"m{i}.in.W", f"m{i}.in.b"), into, transposed), *both((f"m{i}.out.W", f"m{i}.out.b"), out, transposed)]


def skyformer(t):
    H = 2
    block = lambda i: [
        {"type": "residual", "name": f"t{i}", "layers": [
            {"type": "layer-norm", "name": "norm1"},
            {"type": "attention", "heads": H, "head-dim": 3, "kernel": "gaussian", "bias": "qkvo"}]},
        {"type": "residual", "name": f"m{i}", "layers": [{"type": "layer-norm", "name": "norm2"}, *mlp(10), {"type": "linear", "name": "out", "outputs": 8}]}]
    layers = [{"type": "embedding", "width": 8}, {"type": "positions", "rows": 10}, *block(0), *block(1), {"type": "layer-norm", "name": "norm"},
              {"type": "mask-rows"}, {"type": "pool", "over": "all"}, {"type": "linear", "name": "c1", "outputs": 10},
              {"type": "activation", "function": "relu"}, {"type": "linear", "name": "c2", "outputs": 2}]
    e = "model.embeddings."
    blocks = [("embedding.E", e + "word_embeddings.weight", same), ("positions.Pos", e + "position_embeddings.weight", same)]
    for i in (0, 1):
        p = f"model.transformer_{i}."
        blocks += [(f"t{i}.norm1.g", p + "norm1.weight", same), (f"t{i}.norm1.beta", p + "norm1.bias", same)]
        blocks += [(f"t{i}.attention.W_{b.upper()}", f"{p}mha.W_{b}.weight", heads_in(H)) for b in "qkv"]
        blocks += [(f"t{i}.attention.W_O", p + "mha.ff.weight", heads_out(H))]
        blocks += [(f"t{i}.attention.b_{b.upper()}", f"{p}mha.W_{b}.bias", heads_in(H)) for b in "qkv"]
        blocks += [(f"t{i}.attention.b_O", p + "mha.ff.bias", same),
                   (f"m{i}.norm2.g", p + "norm2.weight", same), (f"m{i}.norm2.beta", p + "norm2.bias", same),
                   (f"m{i}.in.W", p + "mlpblock.0.weight", transposed), (f"m{i}.in.b", p + "mlpblock.0.bias", same),
                   (f"m{i}.out.W", p + "mlpblock.3.weight", transposed), (f"m{i}.out.b", p + "mlpblock.3.bias", same)]
    blocks += [("norm.g", "model.norm.weight", same), ("norm.beta", "model.norm.bias", same)]
    for name, k in (("c1", 0), ("c2", 2)):
        blocks += [(name + ".W", f"seq_classifer.mlpblock.{k}.weight", transposed), (name + ".b", f"seq_classifer.mlpblock.{k}.bias", same)]
    return {"type": "tokens", "tokens": 9, "vocabulary": 12}, layers, blocks


def vit(t):
    H, layers = 3, [{"type": "patches", "size": 2}, {"type": "linear", "name": "embed", "outputs": 6}, {"type": "class-token"}, {"type": "positions"}]
    blocks = [("embed.W", "patch_embed.proj.weight", lambda w: w.reshape(6, -1).T), ("embed.b", "patch_embed.proj.bias", same),
              ("class-token.token", "cls_token", np.ravel), ("positions.Pos", "pos_embed", lambda w: w[0])]
    for i in (0, 1):
        p, norm = f"blocks.{i}.", {"type": "layer-norm", "epsilon": 1e-6}
        layers += [{"type": "residual", "name": f"a{i}", "layers": [norm, {"type": "attention", "heads": H, "head-dim": 2, "bias": "qkvo"}]},
                   {"type": "residual", "name": f"m{i}", "layers": [norm, *mlp(12), {"type": "linear", "name": "out", "outputs": 6}]}]
        blocks += pre_norm(i, H, [p + name for name in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")])
    layers += [{"type": "layer-norm", "name": "norm", "epsilon": 1e-6}, {"type": "pool", "by": "first", "over": "all"},
               {"type": "linear", "name": "head", "outputs": 4}]
    blocks += [("norm.g", "norm.weight", same), ("norm.beta", "norm.bias", same), ("head.W", "head.weight", transposed), ("head.b", "head.bias", same)]
    return {"type": "images", "channels": 1, "height": 6, "width": 6}, layers, blocks


def nanogpt(t):
    config = json.loads((DEEP / "nanogpt_bias/config.json").read_text())
    p = next(name for name in t if name.endswith("wte.weight")).removesuffix("wte.weight")
    H, D, L = config["n_head"], config["n_embd"], config["n_layer"]
    layers = [{"type": "embedding", "width": D}, {"type": "positions", "rows": t[p + "wpe.weight"].shape[0]}]
    blocks = [("embedding.E", p + "wte.weight", same), ("positions.Pos", p + "wpe.weight", same)]
    for i in range(L):
        q = f"{p}h.{i}."
        layers += [{"type": "residual", "name": f"a{i}", "layers": [{"type": "layer-norm"}, {"type": "attention", "heads": H, "head-dim": D // H, "bias": "qkvo", "causal": True}]},
                   {"type": "residual", "name": f"m{i}", "layers": [{"type": "layer-norm"}, *mlp(4 * D), {"type": "linear", "name": "out", "outputs": D}]}]
        blocks += pre_norm(i, H, [q + name for name in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")])
    layers += [{"type": "layer-norm", "name": "norm"}, {"type": "linear", "name": "head", "weight": {"tied": "embedding.E"}, "bias": False}]
    blocks += [("norm.g", p + "ln_f.weight", same), ("norm.beta", p + "ln_f.bias", same)]
    return {"type": "tokens", "tokens": 7, "vocabulary": t[p + "wte.weight"].shape[0]}, layers, blocks


def both(name, tensor, map=same, kind=("W", "b")):
    """A weight and a bias."""
    return [(f"{name}.{kind[0]}", tensor + ".weight", map), (f"{name}.{kind[1]}", tensor + ".bias", same)]


def bert(t):
    H, norm, gains = 2, {"type": "layer-norm", "epsilon": 1e-12}, ("g", "beta")
    layers = [{"type": "embedding", "width": 8}, {"type": "positions", "rows": 12}, norm | {"name": "norm"}]
    e = "bert.embeddings."
    blocks = [("embedding.E", e + "word_embeddings.weight", same), ("embedding.Types", e + "token_type_embeddings.weight", same),
              ("positions.Pos", e + "position_embeddings.weight", same), *both("norm", e + "LayerNorm", kind=gains)]
    for i in (0, 1):
        p = f"bert.encoder.layer.{i}."
        layers += [{"type": "residual", "layers": [{"type": "attention", "name": f"a{i}", "heads": H, "head-dim": 4, "bias": "qkvo"}]}, norm | {"name": f"na{i}"},
                   {"type": "residual", "name": f"m{i}", "layers": [*mlp(16), {"type": "linear", "name": "out", "outputs": 8}]}, norm | {"name": f"nm{i}"}]
        named = list(zip("QKV", ("query", "key", "value")))
        blocks += [*((f"a{i}.W_{b}", f"{p}attention.self.{name}.weight", heads_in(H)) for b, name in named),
                   (f"a{i}.W_O", p + "attention.output.dense.weight", heads_out(H)),
                   *((f"a{i}.b_{b}", f"{p}attention.self.{name}.bias", heads_in(H)) for b, name in named),
                   (f"a{i}.b_O", p + "attention.output.dense.bias", same),
                   *both(f"na{i}", p + "attention.output.LayerNorm", kind=gains), *both(f"m{i}.in", p + "intermediate.dense", transposed),
                   *both(f"m{i}.out", p + "output.dense", transposed), *both(f"nm{i}", p + "output.LayerNorm", kind=gains)]
    layers += [{"type": "pool", "by": "first", "over": "all"}, {"type": "linear", "name": "pooler", "outputs": 8}, {"type": "activation", "function": "tanh"},
               {"type": "linear", "name": "head", "outputs": 3}]
    blocks += [*both("pooler", "bert.pooler.dense", transposed), *both("head", "classifier", transposed)]
    return {"type": "tokens", "tokens": 9, "vocabulary": 20, "token-types": 2}, layers, blocks


def torch_encoder(t):
    layers = [{"type": "residual", "name": "a0", "layers": [{"type": "layer-norm"}, {"type": "attention", "heads": 2, "head-dim": 4, "bias": "qkvo"}]},
              {"type": "residual", "name": "m0", "layers": [{"type": "layer-norm"}, *mlp(12), {"type": "linear", "name": "out", "outputs": 8}]},
              {"type": "layer-norm", "name": "norm"}, {"type": "pool"}, {"type": "linear", "name": "head", "outputs": 4}]
    p = "encoder.layers.0."
    fused = lambda kind, of: [(f"a0.attention.{kind}_{b}", p + "self_attn.in_proj_" + of, heads_in(2, k, 3)) for k, b in enumerate("QKV")]
    blocks = [*both("a0.layer-norm", p + "norm1", kind=("g", "beta")), *fused("W", "weight"),
              ("a0.attention.W_O", p + "self_attn.out_proj.weight", heads_out(2)), *fused("b", "bias"), ("a0.attention.b_O", p + "self_attn.out_proj.bias", same), *both("m0.layer-norm", p + "norm2", kind=("g", "beta")),
              *both("m0.in", p + "linear1", transposed), *both("m0.out", p + "linear2", transposed),
              *both("norm", "encoder.norm", kind=("g", "beta")), *both("head", "classifier", transposed)]
    return {"type": "vectors", "tokens": 6, "width": 8}, layers, blocks


@unittest.skipUnless(DEEP.exists(), "the checkpoints are not here")
class Checkpoints(ToolTest):
    def check(self, case, network):
        folder = DEEP / case
        tensors = tensors_of(folder / "model.safetensors")
        inputs, layers, blocks = network(tensors)
        given = np.load(folder / "inputs.npy")
        with h5py.File(folder / "expected.h5") as expected, h5py.File(self.path("p.h5"), "w") as file:
            self.assertEqual(expected.attrs["loss_kind"], "cross_entropy_mean")
            file["model/architecture"] = json.dumps({"inputs": inputs, "layers": layers, "loss": {"type": "cross-entropy"}})
            file["data/" + {"tokens": "tokens", "images": "images", "vectors": "X"}[inputs["type"]]] = given
            for name, array in (("mask", "mask"), ("token_types", "token_type_ids"), ("labels", "targets")):
                if (folder / f"{array}.npy").exists():
                    file["data/" + name] = np.load(folder / f"{array}.npy")
            F = expected["outputs"][()].reshape(given.shape[0], -1, expected["outputs"].shape[-1])
            for name, tensor, block in blocks:
                file["parameters/" + name] = block(tensors[tensor])
            vector = lambda path: np.concatenate([np.ravel(block(expected[f"{path}/{tensor}"][()])) for _, tensor, block in blocks])
            file["d"] = [vector(f"direction/{k}") for k in (0, 1)]
            file["c"] = [expected[f"cotangent/{k}"][()].ravel() for k in (0, 1)]
            values = [("loss", expected["loss"][()], 1e-13), ("accuracy", 100 * expected["accuracy"][()], 1e-13), ("outputs", F, 1e-13),
                      ("gradient", vector("gradient"), 1e-11), ("jvp", np.array([expected[f"jvp/{k}"][()].ravel() for k in (0, 1)]), 1e-11)]
            values += [(name, np.array([vector(f"{there}/{k}") for k in (0, 1)]), 1e-11)
                       for name, there in (("vjp", "vjp"), ("hessian_products", "hvp"), ("gauss_newton_products", "ggn"))]
            spectrum = np.sort(expected["hessian_eigenvalues"][()])
        self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--direction", f"{self.path('p.h5')}:/d", "--cotangent", f"{self.path('p.h5')}:/c")
        for name, value, tolerance in values:
            found = self.results("r.h5", "entry/evaluation/" + name)
            np.testing.assert_allclose(found, value, rtol=0, atol=tolerance * np.abs(value).max(), err_msg=f"{case} {name}")
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--full")
        found = np.sort(self.results("h.h5", "entry/spectrum/eigenvalue"))
        np.testing.assert_allclose(found, spectrum, rtol=0, atol=1e-10 * np.abs(spectrum).max(), err_msg=case)

    def test_skyformer(self):
        self.check("skyformer_gaussian_masked", skyformer)

    def test_bert(self):
        self.check("bert_classifier_masked", bert)

    def test_torch_encoder(self):
        self.check("torch_pre_gelu_1_ce_masked", torch_encoder)

    def test_vit(self):
        self.check("vit_timm_grey", vit)

    def test_nanogpt(self):
        self.check("nanogpt_bias", nanogpt)
