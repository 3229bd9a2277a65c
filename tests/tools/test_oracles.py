"""Small checkpoints of real Transformers, with loss, outputs, products and spectra that PyTorch computed, through the tools.

Skipped where the checkpoints are not there."""

import unittest

import h5py
import numpy as np
from support import ORACLES, ToolTest, run

DEEP = ORACLES / "deep"

# What a message must name, of checkpoints that must be refused (see bad/README.md).
BAD = {
    "truncated_buffer": ("model.safetensors", "37", "transformer."),
    "header_too_long": ("model.safetensors", "1099511627776", "100000000"),
    "overlapping_offsets": ("transformer.ln_f.bias", "transformer.ln_f.weight"),
    "duplicate_key": ("transformer.ln_f.weight",),
    "wrong_shape": ("transformer.h.0.attn.c_attn.weight", "(4, 12)", "(12, 4)"),
    "missing_tensor": ("transformer.h.0.mlp.c_proj.bias",),
    "unknown_tensor": ("transformer.h.0.adapter.weight",),
    "nan_weight": ("transformer.h.0.mlp.c_fc.weight", "[3, 1]", "NaN"),
    "token_out_of_range": ("inputs.npy", "token 5 at sample 1, position 2", "has 5"),
    "all_targets_ignored": ("targets.npy", "-1"),
    "shard_path_escapes": ("../good/model.safetensors",),
}


@unittest.skipUnless(DEEP.exists(), "the checkpoints are not here")
class Checkpoints(ToolTest):
    def arguments(self, folder, output):
        given = [("--" + option, folder / f"{array}.npy") for option, array in (
            ("inputs", "inputs"), ("targets", "targets"), ("mask", "mask"), ("token-types", "token_type_ids"))]
        return ("checkpoint", folder, "-o", output, *(word for pair in given if pair[1].exists() for word in pair))

    def close(self, found, expected, name, tolerance=1e-10):
        """Relative to the largest number; by tensor, to at least 1e-4 of the largest of all: some vanish in exact arithmetic."""
        if not isinstance(expected, h5py.Group):
            found, expected = np.ravel(found if isinstance(found, np.ndarray) else found[()]), np.ravel(expected[()])
            return np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)
        self.assertEqual(set(found), set(expected), name)
        floor = 1e-4 * max(np.abs(v[()]).max() for v in expected.values())
        for tensor, value in expected.items():
            self.assertEqual(found[tensor].shape, value.shape, tensor)
            scale = max(floor, np.abs(value[()]).max())
            np.testing.assert_allclose(found[tensor][()], value[()], rtol=0, atol=tolerance * scale, err_msg=f"{name} {tensor}")

    def check(self, case):
        folder = DEEP / case
        with h5py.File(folder / "expected.h5") as expected:
            said = self.done("basin-problem", *self.arguments(folder, "p.h5"), "--expect-loss", repr(float(expected["loss"][()])))
            self.assertIn(f" {expected.attrs['P']} parameters ", said)
            places = [(f"--{kind}", f"{folder}/expected.h5:/{kind}/{k}") for kind in ("direction", "cotangent") for k in (0, 1)]
            self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--by-tensor", "-q", *(word for pair in places for word in pair))
            with h5py.File(self.path("r.h5")) as file:
                found = file["entry/evaluation"]
                self.close(found["loss"], expected["loss"], "loss", 1e-13)
                self.assertAlmostEqual(found["accuracy"][()], expected["accuracy"][()], delta=1e-12)
                self.close(found["outputs"], expected["outputs"], "outputs", 1e-12)
                self.close(found["by_tensor/gradient"], expected["gradient"], "gradient")
                for k in (0, 1):
                    self.close(found["jvp"][k], expected[f"jvp/{k}"], "jvp")
                    for name, there in (("hessian_products", "hvp"), ("gauss_newton_products", "ggn"), ("vjp", "vjp")):
                        self.close(found[f"by_tensor/{name}/{k}"], expected[f"{there}/{k}"], f"{name}/{k}")
            self.done("basin-hessian", "p.h5", "-o", "h.h5", "--full", "--norms", "--by-tensor", "-q")
            spectrum = np.sort(expected["hessian_eigenvalues"][()])
            with h5py.File(self.path("h.h5")) as file:
                found = np.sort(file["entry/spectrum/eigenvalue"][()])
                np.testing.assert_allclose(found, spectrum, rtol=0, atol=1e-10 * np.abs(spectrum).max(), err_msg=case)
                for name in ("block_trace", "block_frobenius"):
                    self.close(file["entry/by_tensor"][name], expected[name], name)
            kernel = np.sort(expected["ntk_eigenvalues"][()])
            self.done("basin-ntk", "p.h5", "-o", "k.h5", "--rows", "all", "--kernels", "sum", "-q")
            np.testing.assert_allclose(np.sort(self.results("k.h5", "entry/ntk/sum")), kernel, rtol=0, atol=1e-12 * kernel[-1], err_msg=case)
            x, y = (f"{a[0]!r}:{a[-1]!r}:{len(a)}" for a in (expected[f"plane/{axis}"][()].tolist() for axis in ("alpha", "beta")))
            u, v = (f"{folder}/expected.h5:/direction/{k}" for k in (0, 1))
            self.done("basin-slice", "p.h5", "-o", "s.h5", "--u", u, "--v", v, f"--x={x}", f"--y={y}", "-q")
            self.close(self.results("s.h5", "train_loss").T.copy(), expected["plane/loss"], "plane", 1e-13)

    def test_skyformer(self):
        self.check("skyformer_gaussian_masked")

    def test_bert(self):
        self.check("bert_classifier_masked")

    def test_torch_encoder(self):
        self.check("torch_pre_gelu_1_ce_masked")

    def test_vit(self):
        self.check("vit_timm_grey")

    def test_nanogpt(self):
        self.check("nanogpt_bias")

    def test_damaged_ones_are_refused(self):
        bad = DEEP / "bad"
        said = self.done("basin-problem", *self.arguments(bad / "good", "good.h5"), "--expect-loss", "1.9882587367140996")
        self.assertIn("loss f = 1.988258737, as expected", said)
        self.assertEqual({*BAD, "good", "pickle_renamed"}, {folder.name for folder in bad.iterdir() if folder.is_dir()})
        for case, words in BAD.items():
            with self.subTest(case=case):
                process = run("basin-problem", *self.arguments(bad / case, "p.h5"), cwd=self.folder, timeout=10)
                self.assertEqual((process.returncode, process.stdout), (2, ""), process.stderr)
                self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
                for word in words:
                    self.assertIn(word, process.stderr)
        process = run("basin-problem", *self.arguments(bad / "pickle_renamed", "p.h5"), cwd=self.folder, timeout=10)
        self.assertEqual((process.returncode, len(process.stderr.splitlines())), (2, 5), process.stderr)
        self.assertIn("a PyTorch archive (zip, pickle), not safetensors", process.stderr.splitlines()[0])
        compile("\n".join(line[4:] for line in process.stderr.splitlines()[1:]), "recipe", "exec")
        self.no_leftovers("good.h5")
