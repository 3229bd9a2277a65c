"""Networks of torch.nn against the same in Basin: loss, gradient and products in float64, on random shapes with masks.

Skipped where Debian's python3-torch is not installed."""

import json
import unittest

import h5py
import numpy as np
from support import ToolTest

try:
    import torch
except ImportError:
    torch = None


def description(layers, D, H, width, norm_first, activation, n, classes, final_norm, vocabulary):
    attention = {"type": "attention", "heads": H, "head-dim": D // H, "bias": "qkvo"}
    mlp = [{"type": "linear", "name": "in", "outputs": width}, {"type": "activation", "function": activation}, {"type": "linear", "name": "out", "outputs": D}]
    norm1, norm2 = ({"type": "layer-norm", "name": name} for name in ("norm1", "norm2"))
    block = ([{"type": "residual", "layers": [norm1, attention]}, {"type": "residual", "name": "mlp", "layers": [norm2, *mlp]}] if norm_first else
             [{"type": "residual", "layers": [attention]}, norm1, {"type": "residual", "name": "mlp", "layers": mlp}, norm2])
    first = [{"type": "embedding", "width": D}, {"type": "positions"}] if vocabulary else []
    return {"inputs": {"type": "tokens", "tokens": n, "vocabulary": vocabulary} if vocabulary else {"type": "vectors", "tokens": n, "width": D},
            "layers": [*first, {"type": "repeat", "name": "blocks", "times": layers, "layers": block}, *([{"type": "layer-norm", "name": "norm"}] if final_norm else []),
                       {"type": "pool"}, {"type": "linear", "name": "head", "outputs": classes}],
            "loss": {"type": "cross-entropy"}}


@unittest.skipUnless(torch, "no torch")
class Torch(ToolTest):
    def check(self, seed, layers, D, H, width, norm_first, activation, n, classes, final_norm=False, vocabulary=0, N=5):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        layer = torch.nn.TransformerEncoderLayer(D, H, width, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
        encoder = torch.nn.TransformerEncoder(layer, layers, norm=torch.nn.LayerNorm(D) if final_norm else None, enable_nested_tensor=False).train()
        head, E, Pos = torch.nn.Linear(D, classes), torch.randn(max(vocabulary, 1), D), torch.randn(n, D)
        for p in [*encoder.parameters(), *head.parameters()]:
            torch.nn.init.normal_(p, std=0.5)
        rng = np.random.default_rng(seed)
        mask = rng.random((N, n)) < 0.7
        mask[:, rng.integers(n)] = True
        inputs = rng.integers(vocabulary, size=(N, n)) if vocabulary else rng.standard_normal((N, n, D))
        labels = rng.integers(classes, size=N)
        labels[0] = -100

        # each block of Basin's, in its order: a tensor, and how its numbers lie there
        state = {**dict(encoder.named_parameters()), **{"head." + name: p for name, p in head.named_parameters()}}
        if vocabulary:
            state |= {"E": E.requires_grad_(), "Pos": Pos.requires_grad_()}
        heads = lambda part: lambda w: w.reshape(3, H, D // H, *w.shape[1:])[part].transpose(*([0, 2, 1] if w.ndim == 2 else [0, 1]))
        blocks = [("embedding.E", "E", lambda w: w), ("positions.Pos", "Pos", lambda w: w)] if vocabulary else []
        both = lambda name, tensor, map: [(name[0], tensor + ".weight", map), (name[1], tensor + ".bias", lambda b: b)]
        for i in range(layers):
            p, b = f"layers.{i}.", f"blocks.{i}."
            norms = [both((b + f"{where}norm{k}.g", b + f"{where}norm{k}.beta"), p + f"norm{k}", lambda w: w)
                     for k, where in ((1, ""), (2, "mlp." if norm_first else ""))]
            attention = [*((b + "attention.W_" + c, p + "self_attn.in_proj_weight", heads(k)) for k, c in enumerate("QKV")),
                         (b + "attention.W_O", p + "self_attn.out_proj.weight", lambda w: w.T.reshape(H, D // H, D)),
                         *((b + "attention.b_" + c, p + "self_attn.in_proj_bias", heads(k)) for k, c in enumerate("QKV")),
                         (b + "attention.b_O", p + "self_attn.out_proj.bias", lambda w: w)]
            mlp = [*both((b + "mlp.in.W", b + "mlp.in.b"), p + "linear1", lambda w: w.T), *both((b + "mlp.out.W", b + "mlp.out.b"), p + "linear2", lambda w: w.T)]
            blocks += [*norms[0], *attention, *norms[1], *mlp] if norm_first else [*attention, *norms[0], *mlp, *norms[1]]
        if final_norm:
            blocks += both(("norm.g", "norm.beta"), "norm", lambda w: w)
        blocks += both(("head.W", "head.b"), "head", lambda w: w.T)
        vector = lambda of: np.concatenate([np.ravel(map(of[tensor].detach().numpy())) for _, tensor, map in blocks])

        def outputs():
            x = E[torch.from_numpy(inputs)] + Pos if vocabulary else torch.from_numpy(inputs)
            y = encoder(x, src_key_padding_mask=torch.from_numpy(~mask))
            real = torch.from_numpy(mask)[:, :, None]
            return head((y * real).sum(1) / real.sum(1))

        F = outputs()
        loss = torch.nn.functional.cross_entropy(F, torch.from_numpy(labels))
        names = list(state)
        gradient = torch.autograd.grad(loss, [state[name] for name in names], create_graph=True)
        direction = {name: torch.from_numpy(rng.standard_normal(state[name].shape)) for name in names}
        along = sum((g * direction[name]).sum() for g, name in zip(gradient, names))
        product = torch.autograd.grad(along, [state[name] for name in names])
        with h5py.File(self.path("t.h5"), "w") as file:
            file["model/architecture"] = json.dumps(description(layers, D, H, width, norm_first, activation, n, classes, final_norm, vocabulary))
            file["data/tokens" if vocabulary else "data/X"], file["data/mask"], file["data/labels"] = inputs, mask.astype("u1"), labels
            for name, tensor, map in blocks:
                file["parameters/" + name] = map(state[tensor].detach().numpy())
            file["direction"] = vector(direction)
        self.done("basin-evaluate", "t.h5", "-o", "r.h5", "--direction", f"{self.path('t.h5')}:/direction", "--overwrite")
        for name, value, tolerance in (("loss", loss.item(), 1e-13), ("outputs", F.detach().numpy(), 1e-13),
                                       ("gradient", vector(dict(zip(names, gradient))), 1e-12), ("hessian_products", vector(dict(zip(names, product)))[None], 1e-11)):
            found = self.results("r.h5", "entry/evaluation/" + name)
            np.testing.assert_allclose(found, value, rtol=0, atol=tolerance * np.abs(value).max(), err_msg=name)

    def test_pre_norm(self):
        for seed, activation in ((1, "gelu"), (2, "relu")):
            self.check(seed, layers=2, D=6, H=3, width=9, norm_first=True, activation=activation, n=5, classes=4, final_norm=True)

    def test_post_norm(self):
        for seed, activation in ((3, "gelu"), (4, "relu")):
            self.check(seed, layers=3, D=8, H=2, width=12, norm_first=False, activation=activation, n=4, classes=3)

    def test_ids_one_token_one_head(self):
        self.check(5, layers=1, D=4, H=1, width=5, norm_first=False, activation="gelu", n=1, classes=2, vocabulary=7)
        self.check(6, layers=2, D=4, H=4, width=3, norm_first=True, activation="gelu", n=9, classes=5, vocabulary=11, final_norm=True)
