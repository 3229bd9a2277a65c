"""Checkpoints of PyTorch and Hugging Face: problems made of them, against PyTorch's answers, and the way back."""

import json
import re
import shutil
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
from support import ROOT, ToolTest, run

CHECKPOINTS = ROOT / "tests/checkpoints"
sys.path.append(str(CHECKPOINTS))
import damage  # noqa: E402
import safetensors_io  # noqa: E402

CASES = CHECKPOINTS / "cases"
NAMES = sorted(folder.name for folder in CASES.iterdir())
FAMILIES = [name for name in NAMES if name != "own_module"]
DATA = {"inputs": "inputs", "targets": "targets", "mask": "mask", "token-types": "token_type_ids"}


def lecture_map():
    """What --map takes for own_module: a GPT as in lectures, in which every head has tensors of its own."""
    block = [{"type": "residual", "layers": [{"type": "layer-norm", "name": "norm1"},
                                             {"type": "attention", "heads": 2, "head-dim": 2, "bias": "o", "causal": True}]},
             {"type": "residual", "name": "mlp", "layers": [
                 {"type": "layer-norm", "name": "norm2"}, {"type": "linear", "name": "in", "outputs": 16},
                 {"type": "activation", "function": "relu"}, {"type": "linear", "name": "out", "outputs": 4}]}]
    layers = [{"type": "embedding", "width": 4}, {"type": "positions", "rows": 8},
              {"type": "repeat", "name": "blocks", "times": 2, "layers": block}, {"type": "layer-norm", "name": "norm"},
              {"type": "linear", "name": "head", "outputs": 7}]
    blocks = {"embedding.E": {"tensor": "token_embedding_table.weight"}, "positions.Pos": {"tensor": "position_embedding_table.weight"}}

    def add(layer, tensor, weight="W", bias="b", **place):
        blocks[f"{layer}.{weight}"] = {"tensor": tensor + ".weight", **place}
        blocks[f"{layer}.{bias}"] = {"tensor": tensor + ".bias"}

    for i in (0, 1):
        b = f"blocks.{i}."  # in both
        for block_name, tensor in (("W_Q", "query"), ("W_K", "key"), ("W_V", "value")):
            of_head = {"reshape": [1, 2, 4], "permute": [0, 2, 1]}
            blocks[f"{b}attention.{block_name}"] = [{"tensor": f"{b}sa.heads.{h}.{tensor}.weight", **of_head} for h in (0, 1)]
        add(b + "attention", b + "sa.proj", "W_O", "b_O", reshape=[4, 2, 2], permute=[1, 2, 0])
        add(b + "norm1", b + "ln1", "g", "beta")
        add(b + "mlp.norm2", b + "ln2", "g", "beta")
        add(b + "mlp.in", b + "ffwd.net.0", permute=[1, 0])
        add(b + "mlp.out", b + "ffwd.net.2", permute=[1, 0])
    add("norm", "ln_f", "g", "beta")
    add("head", "lm_head", permute=[1, 0])
    inputs = {"type": "tokens", "tokens": 5, "vocabulary": 7}
    architecture = {"inputs": inputs, "layers": layers, "loss": {"type": "cross-entropy"}}
    return {"architecture": architecture, "blocks": blocks, "skipped": ["*.tril"]}


class Answers:
    """answers.npz of a case: flat arrays, and by the names of the tensors."""

    def __init__(self, name):
        self.folder = CASES / name
        self.tensors = safetensors_io.read(self.folder)
        with np.load(self.folder / "answers.npz") as file:
            self.values = dict(file)
        self.names = [str(n) for n in self.values["trainable"]]

    def __getitem__(self, key):
        return self.values[key]

    def by_tensor(self, key):
        shapes = [self.tensors[n][1] for n in self.names]
        parts = np.split(self.values[key], np.cumsum([np.prod(s, dtype=int) for s in shapes])[:-1])
        return {n: part.reshape(shape) for n, part, shape in zip(self.names, parts, shapes)}


class CheckpointTest(ToolTest):
    made = {}  # of all tests: name of a case -> its problem file, and what the tool said

    def arguments(self, path, *options, output="p.h5", data=None, **changed):
        """What basin-problem takes for the checkpoint at `path`, with the arrays of the folder `data`, some of them changed."""
        data = data or (path if path.is_dir() else path.parent)
        arrays = {option: data / f"{file}.npy" for option, file in DATA.items() if (data / f"{file}.npy").exists()}
        for option, array in changed.items():
            arrays[option.replace("_", "-")] = self.path(f"{option}.npy")
            np.save(self.path(f"{option}.npy"), array)
        if data.name == "own_module" and "--map" not in options:
            self.path("lecture.json").write_text(json.dumps(lecture_map()))
            options = (*options, "--map", self.path("lecture.json"))
        given = [word for option, file in arrays.items() for word in (f"--{option}", file)]
        return ("checkpoint", path, "-o", output, "--overwrite", "--threads", 1, *given, *options)

    def take(self, path, *options, **arguments):
        """The problem of a checkpoint; what the tool says."""
        return self.done("basin-problem", *self.arguments(path, *options, **arguments))

    def problem_of(self, name):
        """p.h5, the problem of a case as it is; what the tool said."""
        if name not in self.made:
            said = self.take(CASES / name, output="made.h5")
            self.made[name] = self.path("made.h5").read_bytes(), said
            self.path("made.h5").unlink()
        self.path("p.h5").write_bytes(self.made[name][0])
        return self.made[name][1]

    def not_taken(self, message, path, *options, **arguments):
        self.refused(2, message, "basin-problem", *self.arguments(path, *options, output="none.h5", **arguments))
        self.assertFalse(self.path("none.h5").exists())

    def loss(self, said):
        """As the first line has it."""
        return re.search(r"loss f = (\S+?)(,|$)", said.splitlines()[0]).group(1)

    def evaluated(self, problem="p.h5", *options):
        """/entry/evaluation, open."""
        self.done("basin-evaluate", problem, "-o", "r.h5", "--overwrite", "-q", "--threads", 1, *options)
        file = h5py.File(self.path("r.h5"))
        self.addCleanup(file.close)
        return file["entry/evaluation"]

    def copy(self, name):
        folder = self.path(name)
        shutil.copytree(CASES / name, folder)
        return folder

    def contents(self, problem):
        """All that a problem file says of network, weights and data."""
        found = {}
        with h5py.File(self.path(problem)) as file:
            file.visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset)
                            and not name.startswith(("provenance", "model/checkpoint")) else None)
        return found

    def same_problem(self, one, other):
        one, other = self.contents(one), self.contents(other)
        self.assertEqual(set(one), set(other))
        for name, value in one.items():
            self.assertEqual(np.asarray(value).tolist(), np.asarray(other[name]).tolist(), name)

    def same_tensors(self, found, expected):
        self.assertEqual(list(found), list(expected))
        for name, tensor in expected.items():
            self.assertEqual((found[name][0], list(found[name][1])), (tensor[0], list(tensor[1])), name)
            self.assertEqual(found[name][2], tensor[2], name)

    def close_by_tensor(self, group, expected):
        """To 1e-10 of its largest number in each tensor; what vanishes in exact arithmetic, to 1e-14 of the largest of all."""
        self.assertEqual(set(group), set(expected))
        floor = 1e-4 * max(np.abs(v).max() for v in expected.values())
        for name, value in expected.items():
            self.assertEqual(group[name].shape, value.shape, name)
            np.testing.assert_allclose(group[name][()], value, rtol=0, atol=1e-10 * max(floor, np.abs(value).max()), err_msg=name)


class Values(CheckpointTest):
    def test_every_case_agrees_with_pytorch(self):
        for name in NAMES:
            with self.subTest(name=name):
                answers = Answers(name)
                said = self.take(answers.folder, "--expect-loss", repr(float(answers["loss"])))
                self.assertIn(f", {answers['gradient'].size} parameters (", said.splitlines()[0])
                with h5py.File(self.path("d.h5"), "w") as file:
                    for tensor, value in answers.by_tensor("direction").items():
                        file["direction/" + tensor] = value
                    file["cotangent"] = answers["cotangent"]
                d = self.path("d.h5")
                found = self.evaluated("p.h5", "--direction", f"{d}:/direction", "--cotangent", f"{d}:/cotangent", "--by-tensor")
                self.assertAlmostEqual(found["loss"][()] / answers["loss"], 1, delta=1e-12)
                if np.isnan(answers["accuracy"]):
                    self.assertNotIn("accuracy", found)
                else:
                    self.assertAlmostEqual(found["accuracy"][()], answers["accuracy"], delta=1e-12)
                self.assertEqual(found["outputs"].shape, answers["outputs"].shape)
                for key in ("outputs", "jvp"):
                    np.testing.assert_allclose(np.ravel(found[key]), answers[key].ravel(), rtol=0, atol=1e-10 * np.abs(answers[key]).max())
                by_tensor = found["by_tensor"]
                self.close_by_tensor(by_tensor["gradient"], answers.by_tensor("gradient"))
                for key in ("hessian_product", "gauss_newton_product"):
                    self.close_by_tensor(by_tensor[key + "s/0"], answers.by_tensor(key))
                self.close_by_tensor(by_tensor["vjp/0"], answers.by_tensor("vjp"))

    def test_what_is_left_out_is_named(self):
        said = self.problem_of("nanogpt_nobias")
        self.assertIn("skipped, as no parameters (2): _orig_mod.transformer.h.0.attn.bias, _orig_mod.transformer.h.1.attn.bias", said)
        self.assertIn("stored twice, equal bit for bit: _orig_mod.lm_head.weight = _orig_mod.transformer.wte.weight", said)
        said = self.problem_of("own_module")
        self.assertIn("skipped, as no parameters (4): blocks.0.sa.heads.0.tril, ", said)

    def test_padding_without_a_mask_is_said(self):
        folder = self.copy("bert_mlm_tied")  # pad_token_id 0
        inputs = np.load(folder / "inputs.npy")
        inputs[:, -1] = 1
        inputs[0, -2:] = 0
        said = "1 of %d samples end in token 0, which is padding in config.json (pad_token_id)" % len(inputs)
        self.assertNotIn("padding", self.take(folder, inputs=inputs))
        (folder / "mask.npy").unlink()
        self.assertIn(said, self.take(folder, inputs=inputs))
        inputs[0, -1] = 1
        self.assertNotIn("padding", self.take(folder, inputs=inputs))

    def test_the_map_that_is_shown_gives_the_same_problem(self):
        for name in FAMILIES:
            with self.subTest(name=name):
                shown = self.done("basin-problem", *self.arguments(CASES / name, "--show-map"))
                self.path("map.json").write_text(shown)
                said = self.problem_of(name)
                again = self.take(CASES / name, "--map", "map.json", output="again.h5")
                self.assertEqual(self.loss(again), self.loss(said))
                self.same_problem("p.h5", "again.h5")

    def test_a_map_of_ones_own_is_checked(self):
        for change, message in (
                (lambda m: m["blocks"].pop("norm.g"), "norm.g"),
                (lambda m: m["blocks"]["norm.g"].update(tensor="ln_f.weights"), "ln_f.weights"),
                (lambda m: m["blocks"]["head.W"].pop("permute"), "lm_head.weight"),
                (lambda m: m["blocks"]["blocks.0.attention.W_K"].pop(), "blocks.0.attention.W_K"),
                (lambda m: m["blocks"]["blocks.0.attention.W_K"][0].update(tensor="blocks.0.sa.heads.0.query.weight"),
                 "blocks.0.sa.heads.0.key.weight"),
                (lambda m: (m["blocks"]["norm.beta"].update(tensor="ln_f.weight"), m["skipped"].append("ln_f.bias")), "ln_f.weight"),
                (lambda m: m.update(skipped=[]), "blocks.0.sa.heads.0.tril"),
                (lambda m: m["architecture"]["layers"][1].update(rows=9), "position_embedding_table.weight"),
                (lambda m: m.update(bloks={}), "bloks")):
            description = lecture_map()
            change(description)
            self.path("m.json").write_text(json.dumps(description))
            with self.subTest(message=message):
                self.not_taken(message, CASES / "own_module", "--map", self.path("m.json"))


class Files(CheckpointTest):
    def test_out_and_in_again_to_the_last_bit(self):
        for name in NAMES:
            with self.subTest(name=name):
                folder = CASES / name
                said = self.problem_of(name)
                self.done("basin-problem", "export", "p.h5", "-o", "back.safetensors", "--overwrite", "-q")
                self.same_tensors(safetensors_io.read_file(self.path("back.safetensors")), safetensors_io.read(folder))
                if (folder / "model.safetensors").exists():
                    self.assertEqual(self.path("back.safetensors").read_bytes(), (folder / "model.safetensors").read_bytes())
                config = ["--config", folder / "config.json"] if name in FAMILIES else []
                again = self.take(self.path("back.safetensors"), *config, data=folder, output="again.h5")
                self.assertEqual(self.loss(again), self.loss(said))
                self.same_problem("p.h5", "again.h5")

    def test_paths(self):
        """A folder, a file in it, the index of shards, and a configuration elsewhere."""
        folder = CASES / "gpt2_sharded"
        self.problem_of("gpt2_sharded")
        self.take(folder / "model.safetensors.index.json", output="again.h5")
        self.same_problem("p.h5", "again.h5")
        self.not_taken("wte.weight", folder / "model-00002-of-00003.safetensors")
        self.problem_of("vit_hf")
        moved = self.copy("vit_hf")
        (moved / "config.json").rename(self.path("elsewhere.json"))
        self.not_taken("config.json: there is no such file", moved / "model.safetensors")
        self.take(moved / "model.safetensors", "--config", self.path("elsewhere.json"), output="again.h5")
        self.same_problem("p.h5", "again.h5")

    def test_arrays_of_other_types_and_orders(self):
        folder = CASES / "gpt2_hub"
        ids, targets = np.load(folder / "inputs.npy"), np.load(folder / "targets.npy")
        self.problem_of("gpt2_hub")
        for inputs, labels in ((ids.astype("u2"), targets.astype("i4")), (np.asfortranarray(ids), np.asfortranarray(targets)),
                               (ids.astype("f4"), targets.astype("i2")), (ids.astype(">i8"), targets.astype(">i2"))):
            with self.subTest(inputs=inputs.dtype, labels=labels.dtype):
                self.take(folder, inputs=inputs, targets=labels, output="again.h5")
                self.same_problem("p.h5", "again.h5")
        folder = CASES / "torch_layer_alone"
        X, Y = np.load(folder / "inputs.npy").astype("f4"), np.load(folder / "targets.npy")
        self.take(folder, inputs=X.astype("f8"))
        self.take(folder, inputs=X, targets=np.asfortranarray(Y), output="again.h5")
        self.same_problem("p.h5", "again.h5")

    def test_numbers_as_targets_of_a_classifier(self):
        """In the shape that the outputs have in PyTorch, (N, classes), and in evaluations."""
        self.problem_of("vit_hf")
        F = self.evaluated()["outputs"][()]
        for loss, name in ((0.5 * (F**2).sum(), "squared"), ((F**2).mean(), "mse")):
            self.take(CASES / "vit_hf", "--loss", name, "--expect-loss", repr(float(loss)), targets=np.zeros(F.shape))

    def test_rotary_positions_of_another_kind_are_refused(self):
        for name, change, key in (("neox_parallel", {"rope_parameters": {"rope_type": "linear", "factor": 2}}, "rope_parameters"),
                                  ("llama_gqa", {"rope_scaling": {"type": "dynamic", "factor": 2}}, "rope_scaling"),
                                  ("llama_gqa", {"partial_rotary_factor": 0.5}, "partial_rotary_factor")):
            with self.subTest(name=name, key=key):
                here = self.path(key)
                shutil.copytree(CASES / name, here)
                (here / "config.json").write_text(json.dumps(json.loads((here / "config.json").read_text()) | change))
                self.not_taken(f"config.json: {key}: ", here)
        default = self.path("default")
        shutil.copytree(CASES / "llama_gqa", default)
        (default / "config.json").write_text(json.dumps(json.loads((default / "config.json").read_text()) | {"rope_scaling": {"rope_type": "default"}}))
        self.assertAlmostEqual(float(self.loss(self.take(default))), float(Answers("llama_gqa")["loss"]), delta=1e-8)

    def test_traces_and_norms_by_tensor_make_up_the_whole(self):
        self.problem_of("nanogpt_nobias")
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--full", "--norms", "--by-tensor", "-q")
        with h5py.File(self.path("h.h5")) as file:
            traces = {name: value[()] for name, value in file["entry/by_tensor/block_trace"].items()}
            self.assertEqual(set(traces), set(Answers("nanogpt_nobias").names))
            whole = file["entry/traces/trace"][()]
            self.assertAlmostEqual(sum(traces.values()) / whole, 1, places=10)
            norms = file["entry/block_norms/frobenius"][()]
            names = [name.decode() for name in file["entry/block_norms/blocks"][()]]
            fused = [k for k, name in enumerate(names) if name.startswith("blocks.0.attention.W_") and not name.endswith("O")]
            self.assertEqual(len(fused), 3)
            found = file["entry/by_tensor/block_frobenius/_orig_mod.transformer.h.0.attn.c_attn.weight"][()]
            self.assertAlmostEqual(found / np.linalg.norm(norms[np.ix_(fused, fused)]), 1, places=12)

    def test_an_encoder_inside_a_model(self):
        folder, loss = CASES / "torch_prefix_ce", Answers("torch_prefix_ce")["loss"]
        tensors = safetensors_io.read(folder)
        config = json.loads((folder / "config.json").read_text())
        for prefix, given in (("model.", True), ("model.", False), ("net.part.", True), ("", False)):
            with self.subTest(prefix=prefix, given=given):
                here = self.path(f"inside{len(prefix)}{given}")
                shutil.copytree(folder, here)
                safetensors_io.write(here / "model.safetensors", {prefix + n.removeprefix("_orig_mod."): t for n, t in tensors.items()})
                (here / "config.json").write_text(json.dumps(config if given else {k: v for k, v in config.items() if k != "prefix"}))
                self.assertAlmostEqual(float(self.loss(self.take(here))), float(loss), delta=1e-8)

    def test_prefixes_and_a_buffer_that_is_not_aligned(self):
        for name in ("gpt2_hub", "torch_layer_alone"):
            self.problem_of(name)
            folder = self.copy(name)
            tensors = safetensors_io.read(folder)
            for prefix, spaces in (("_orig_mod.", 0), ("module.", 1), ("module._orig_mod.", 3), ("_orig_mod.module.", 6)):
                with self.subTest(name=name, prefix=prefix):
                    header, buffer = safetensors_io.pack({prefix + n: t for n, t in tensors.items()}, {"format": "pt"})
                    text = json.dumps(header).encode()
                    (folder / "model.safetensors").write_bytes(safetensors_io.join(text + b" " * ((spaces - len(text)) % 8), buffer))
                    self.take(folder, output="again.h5")
                    self.same_problem("p.h5", "again.h5")
                    self.done("basin-problem", "export", "again.h5", "-o", "back.safetensors", "--overwrite", "-q")
                    self.same_tensors(safetensors_io.read_file(self.path("back.safetensors")), safetensors_io.read(folder))

    def test_unused_tensors_stay_outside_and_go_back(self):
        folder = self.copy("gpt2_hub")
        tensors = safetensors_io.read(folder)
        adapters = {"h.0.adapter.weight": ("I32", [2, 2], struct.pack("<4i", 1, 2, 3, 4)),
                    "score.bias": ("F32", [], struct.pack("<f", np.nan))}
        (folder / "model.safetensors").write_bytes(safetensors_io.join(*safetensors_io.pack({**adapters, **tensors})))
        self.not_taken("h.0.adapter.weight", folder)
        self.not_taken("score.bias", folder, "--unused", "h.0.adapter.weight")
        said = self.take(folder, "--unused", "*.adapter.*", "--unused", "score.bias")
        self.assertIn("h.0.adapter.weight", said)
        self.done("basin-problem", "export", "p.h5", "-o", "back.safetensors", "-q")
        self.same_tensors(safetensors_io.read_file(self.path("back.safetensors")), {**adapters, **tensors})
        shutil.copy(self.path("p.h5"), self.path("again.h5"))
        self.problem_of("gpt2_hub")
        self.same_problem("p.h5", "again.h5")
        self.not_taken("nowhere.*", folder, "--unused", "*.adapter.*", "--unused", "score.bias", "--unused", "nowhere.*")
        self.not_taken("h.1.mlp.c_fc.bias", CASES / "gpt2_hub", "--unused", "h.1.mlp.c_fc.bias")

    def test_pickles_are_refused_with_what_converts_them(self):
        folder = CASES / "gpt2_hub"
        for file, data in (("ckpt.pt", b"PK\x03\x04" + bytes(200)), ("old.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + bytes(60)),
                           ("it's \"one\".pt", b"PK\x03\x04" + bytes(200)), ("renamed.safetensors", b"PK\x03\x04" + bytes(200))):
            with self.subTest(file=file):
                self.path(file).write_bytes(data)
                process = run("basin-problem", *self.arguments(self.path(file), "--config", folder / "config.json", data=folder))
                self.assertEqual((process.returncode, process.stdout), (2, ""))
                first, *recipe = process.stderr.splitlines()
                self.assertTrue(first.startswith("basin-problem: ") and "a PyTorch archive (zip, pickle), not safetensors" in first, first)
                self.assertEqual(len(recipe), 4)
                self.assertTrue(all(line.startswith("    ") for line in recipe), recipe)
                code = "\n".join(line[4:] for line in recipe)
                compile(code, "recipe", "exec")
                self.assertIn(json.dumps(str(self.path(file))), code)
                self.assertFalse(self.path("p.h5").exists())

    def test_damaged_checkpoints(self):
        """Each is refused for what is wrong with it; unusual ones that are legal are taken."""
        good = self.path("good")  # without what the variants add: prefixes, buffers, copies
        shutil.copytree(CASES / "nanogpt_nobias", good)
        tensors = {n.removeprefix("_orig_mod."): t for n, t in safetensors_io.read(good).items()}
        parameters = {n: t for n, t in tensors.items() if not n.endswith(("attn.bias", "lm_head.weight"))}
        safetensors_io.write(good / "model.safetensors", parameters, {"format": "pt"})
        loss = self.loss(self.take(good))
        self.assertAlmostEqual(float(loss), float(Answers("nanogpt_nobias")["loss"]), delta=1e-9)

        def attempt(variant):
            folder = self.path(f"variants/{variant.name}")
            mask = ["--mask", folder / "mask.npy"] if (folder / "mask.npy").exists() else []
            process = run("basin-problem", "checkpoint", variant.path, "-o", f"{variant.name}.h5", "--inputs", folder / "inputs.npy",
                          "--targets", folder / "targets.npy", "--threads", 1, *mask, cwd=self.folder, timeout=20)
            return variant, process.returncode, process.stdout, process.stderr

        bad = damage.damage(good, self.path("variants"))
        legal = damage.harmless(good, self.path("variants"))
        with ThreadPoolExecutor(2) as pool:
            for variant, code, said, error in pool.map(attempt, bad):
                with self.subTest(variant=variant.name):
                    self.assertEqual((code, said), (2, ""), error)
                    self.assertEqual(len(error.splitlines()), 1, error)
                    self.assertLess(len(error), 1000)
                    self.assertTrue(error.startswith("basin-problem: "), error)
                    for word in variant.words:
                        self.assertTrue(any(w in error for w in word.split("|")), f"{word}: {error}")
                    self.assertFalse(list(self.folder.glob(f"{variant.name}.h5*")))
            for variant, code, said, error in pool.map(attempt, legal):
                with self.subTest(variant=variant.name):
                    self.assertEqual((code, error), (0, ""))
                    self.assertEqual(self.loss(said), loss)


class ExpectedLoss(CheckpointTest):
    def test_digits_that_are_given_count(self):
        folder = CASES / "gpt2_hub"  # 2.8151743...
        for value in ("3", "2.8", "2.82", "2.815", "2.8152", "2.81517", "28.2e-1", "0.282E1"):
            self.assertIn(", as expected", self.take(folder, "--expect-loss", value).splitlines()[0])
        for value in ("2", "2.81", "2.816", "2.8151", "281.6e-2"):
            self.not_taken(f"--expect-loss {value}: found 2.815174", folder, "--expect-loss", value)
        for value in ("nan", "inf", "about 3"):
            self.not_taken("expected a number", folder, "--expect-loss", value)

    def test_reasons_are_named(self):
        def changed(name, old, new):
            """The loss of the map with this change."""
            shown = self.done("basin-problem", *self.arguments(CASES / name, "--show-map"))
            self.assertIn(old, shown)
            self.path("m.json").write_text(shown.replace(old, new))
            return self.loss(self.take(CASES / name, "--map", "m.json"))

        def not_taken(message, name, loss, *options):
            self.not_taken(f"; what would give the expected one: {message}", CASES / name, "--expect-loss", loss, *options)

        loss, targets = float(Answers("gpt2_hub")["loss"]), np.load(CASES / "gpt2_hub/targets.npy")
        not_taken("the loss cross-entropy -log softmax(F)_y, sum over rows", "gpt2_hub", repr(loss * (targets >= 0).sum()))
        answers = Answers("torch_layer_alone")
        not_taken("the loss ", "torch_layer_alone", repr(2 * float(answers["loss"]) / answers["outputs"].size))
        self.take(answers.folder, "--loss", "mse", "--expect-loss", repr(2 * float(answers["loss"]) / answers["outputs"].size))
        not_taken("epsilon = 1e-05 in all norms", "torch_prefix_ce", changed("torch_prefix_ce", '"epsilon": 0.001', '"epsilon": 1e-5'))
        not_taken("gelu-tanh in the place of gelu", "bert_mlm_tied", changed("bert_mlm_tied", '"gelu"', '"gelu-tanh"'))
        not_taken("no causal mask", "nanogpt_nobias", changed("nanogpt_nobias", '"causal": true', '"causal": false'))
        not_taken("a causal mask", "bert_token", changed("bert_token", '"causal": false', '"causal": true'))
        not_taken("the other kernel of attention", "skyformer_softmax",
                  changed("skyformer_softmax", '"kernel": "softmax"', '"kernel": "gaussian"'))
        self.path("kernelized.json").write_text((CASES / "skyformer_softmax/config.json").read_text().replace("softmax", "kernelized"))
        not_taken("the other kernel of attention", "skyformer_softmax", repr(float(Answers("skyformer_softmax")["loss"])),
                  "--config", self.path("kernelized.json"))
        mask = np.ones_like(np.load(CASES / "skyformer_softmax/mask.npy"))
        not_taken("no mask", "skyformer_softmax", self.loss(self.take(CASES / "skyformer_softmax", mask=mask)))
        self.not_taken("; the usual reasons: ", CASES / "gpt2_hub", "--expect-loss", "1.2345678")


class Back(CheckpointTest):
    def train(self, *options):
        return self.done("basin-train", "p.h5", "-o", "run.h5", "--method", "lbfgs", "--steps", 4, "--threads", 1, *options)

    def loss_at_the_end(self):
        with h5py.File(self.path("run.h5")) as file:
            return file["entry/run/loss"][-1]

    def test_weights_after_training(self):
        for name, said, tolerance in (("torch_layer_alone", "exactly", 0), ("llama_gqa", "rounded to F32", 1e-5),
                                      ("gpt2_sharded", "rounded to ", 0.05), ("qwen2", "rounded to F32", 1e-5)):
            with self.subTest(name=name):
                self.problem_of(name)
                out = self.train("--final", "end.safetensors", "--overwrite")
                line = next(line for line in out.splitlines() if line.startswith("end.safetensors"))
                self.assertIn(said, line)
                before, after = safetensors_io.read(CASES / name), safetensors_io.read_file(self.path("end.safetensors"))
                self.assertEqual([(n, t[0], t[1]) for n, t in after.items()], [(n, t[0], t[1]) for n, t in before.items()])
                buffers = set(before) - set(Answers(name).names)
                self.assertEqual({n for n in before if before[n] == after[n]}, buffers)
                self.take(self.path("end.safetensors"), "--config", CASES / name / "config.json", "-q", data=CASES / name, output="end.h5")
                loss = self.evaluated("end.h5")["loss"][()]
                np.testing.assert_allclose(loss, self.loss_at_the_end(), rtol=tolerance or 1e-14)
                # the same as by way of a problem file
                self.train("--final", "final.h5", "--overwrite", "-q")
                self.done("basin-problem", "export", "final.h5", "-o", "again.safetensors", "--overwrite", "-q")
                self.same_tensors(safetensors_io.read_file(self.path("again.safetensors")), after)

    def test_training_part_of_the_weights_leaves_the_others(self):
        self.problem_of("bert_mlm_untied")
        self.train("--train", "blocks.*.attention.W_Q", "--final", "end.safetensors", "-q")
        before, after = safetensors_io.read(CASES / "bert_mlm_untied"), safetensors_io.read_file(self.path("end.safetensors"))
        self.assertEqual({n for n in before if before[n] != after[n]},
                         {f"bert.encoder.layer.{i}.attention.self.query.weight" for i in (0, 1)})

    def test_a_copy_of_a_tied_tensor_is_the_same_after_training(self):
        self.problem_of("nanogpt_nobias")
        self.train("--final", "end.safetensors", "-q")
        after = safetensors_io.read_file(self.path("end.safetensors"))
        self.assertEqual(after["_orig_mod.lm_head.weight"], after["_orig_mod.transformer.wte.weight"])

    def test_training_of_what_came_from_no_checkpoint_is_refused_at_once(self):
        self.problem("p.h5")
        for options in (("--final", "end.safetensors"), ("--final", "end.safetensors", "--resume")):
            self.refused(2, "end.safetensors", "basin-train", "p.h5", "-o", "run.h5", "--steps", 3, *options)
        self.refused(2, "p.h5", "basin-problem", "export", "p.h5", "-o", "end.safetensors")
        self.no_leftovers("p.h5")

    def test_a_finished_run_goes_on_to_the_same_file(self):
        self.problem_of("torch_prefix_ce")
        self.train("--final", "end.safetensors", "-q")
        files = {name: self.path(name).read_bytes() for name in ("run.h5", "end.safetensors")}
        self.train("--final", "end.safetensors", "--resume", "-q")
        self.assertEqual({name: self.path(name).read_bytes() for name in files}, files)
        self.refused(2, "end.safetensors", "basin-train", "p.h5", "-o", "other.h5", "--method", "gd", "--steps", 4,
                     "--final", "end.safetensors", "--resume")
        self.assertFalse(self.path("other.h5").exists())

    def test_a_weight_that_its_type_cannot_hold_is_refused(self):
        self.problem_of("gpt2_hub")
        with h5py.File(self.path("p.h5"), "a") as file:
            file["parameters/final-norm.g"][2] = 1e6
        self.refused(1, "ln_f.weight", "basin-problem", "export", "p.h5", "-o", "back.safetensors")
        self.no_leftovers("p.h5")

    def test_an_eigenvector_goes_out_and_in(self):
        self.problem_of("vit_timm_rgb")
        self.done("basin-hessian", "p.h5", "-o", "h.h5", "--largest", 2, "--eigenvectors", "--by-tensor", "-q")
        self.done("basin-problem", "export", "p.h5", "-o", "v.safetensors", "--vector", "h.h5:/entry/largest/eigenvectors:1",
                  "--type", "F64", "-q")
        self.done("basin-problem", "export", "p.h5", "-o", "again.safetensors", "--vector", "h.h5:/entry/largest/by_tensor/0",
                  "--type", "F64", "-q")
        tensors = safetensors_io.read_file(self.path("v.safetensors"))
        self.assertEqual(self.path("v.safetensors").read_bytes(), self.path("again.safetensors").read_bytes())
        with h5py.File(self.path("h.h5")) as file:
            value, group = file["entry/largest/eigenvalue"][0], file["entry/largest/by_tensor/0"]
            self.assertEqual(list(tensors), list(safetensors_io.read(CASES / "vit_timm_rgb")))
            self.assertEqual(set(group), set(tensors))
            for name in group:
                np.testing.assert_array_equal(group[name][()], safetensors_io.numbers(tensors[name]))
        for direction in ("v.safetensors", "h.h5:/entry/largest/by_tensor/0"):
            with self.subTest(direction=direction):
                found = self.evaluated("p.h5", "--direction", direction)
                v, Hv = found["directions"][0], found["hessian_products"][0]
                np.testing.assert_allclose(Hv, value * v, rtol=0, atol=1e-9 * abs(value))
        self.done("basin-problem", "export", "p.h5", "-o", "single.safetensors", "--vector", "h.h5:/entry/largest/eigenvectors:2", "-q")
        self.assertEqual({t[0] for t in safetensors_io.read_file(self.path("single.safetensors")).values()}, {"F32"})
        for vector, message in (("h.h5:/entry/largest/eigenvectors:3", "expected (489,), or row 3"),
                                ("h.h5:/entry/nothing", "/entry/nothing"), ("h.h5", "h.h5")):
            self.refused(2, message, "basin-problem", "export", "p.h5", "-o", "none.safetensors", "--vector", vector)
        self.refused(2, "none.h5", "basin-problem", "export", "p.h5", "-o", "none.h5")
        self.refused(2, "F8", "basin-problem", "export", "p.h5", "-o", "none.safetensors", "--vector", "h.h5:/entry/largest/eigenvectors:1",
                     "--type", "F8")
        self.assertFalse(list(self.folder.glob("none*")))

    def test_vectors_by_block_where_there_is_no_checkpoint(self):
        _, problem = self.problem("p.h5")
        gradient = self.evaluated("p.h5", "--by-tensor")["by_tensor/gradient"]
        self.assertEqual({n: v.shape for n, v in gradient.items()}, {n: w.shape for n, w in problem["weights"].items()})
        shutil.copy(self.path("r.h5"), self.path("q.h5"))
        found = self.evaluated("p.h5", "--direction", "q.h5:/entry/evaluation/by_tensor/gradient")
        np.testing.assert_array_equal(found["directions"][0], found["gradient"][()])

    def losses(self, *options):
        self.done("basin-slice", "p.h5", "-o", "s.h5", "--overwrite", "-q", "--threads", 1, *options)
        return np.ravel(self.results("s.h5", "train_loss"))

    def test_slices_along_tensors(self):
        self.problem_of("torch_layer_alone")
        self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--by-tensor", "-q")
        gradient = "r.h5:/entry/evaluation/gradient"
        self.done("basin-problem", "export", "p.h5", "-o", "v.safetensors", "--vector", gradient, "--type", "F64", "-q")
        line = ("--v", "none", "--x", "-0.01:0.01:5")
        expected = self.losses("--u", gradient, *line)
        self.assertEqual(expected.size, 5)
        for u in ("v.safetensors", "r.h5:/entry/evaluation/by_tensor/gradient", "gradient"):
            np.testing.assert_array_equal(self.losses("--u", u, *line), expected, u)
        self.train("--final", "end.h5", "-q")
        self.train("--final", "end.safetensors", "-q", "--overwrite")
        with h5py.File(self.path("end.h5"), "a") as file:
            tensors = safetensors_io.read_file(self.path("end.safetensors"))
            for name, tensor in tensors.items():
                file["tensors/" + name] = safetensors_io.numbers(tensor)
        expected = self.losses("--to", "end.h5", "--x", "0:1:3")
        self.assertAlmostEqual(expected[2] / self.loss_at_the_end(), 1, delta=1e-12)
        for to in ("end.safetensors", "end.h5:/tensors"):
            np.testing.assert_array_equal(self.losses("--to", to, "--x", "0:1:3"), expected, to)

    def test_training_some_blocks(self):
        """Tensors are written whole, with 0 in what is not trained; what is read must be 0 there, too."""
        self.problem_of("gpt2_hub")
        train = ("--train", "blocks.*.attention.W_Q")
        gradient = self.evaluated("p.h5", *train, "--by-tensor")["by_tensor/gradient"]
        whole = Answers("gpt2_hub").by_tensor("gradient")
        self.assertEqual(set(gradient), {f"h.{i}.attn.c_attn.weight" for i in (0, 1)})
        for name, values in gradient.items():
            np.testing.assert_allclose(values[:, :4], whole[name][:, :4], rtol=1e-9, atol=1e-13)
            np.testing.assert_array_equal(values[:, 4:], 0)
        shutil.copy(self.path("r.h5"), self.path("q.h5"))
        group = "q.h5:/entry/evaluation/by_tensor/gradient"
        v = self.evaluated("p.h5", *train, "--direction", group)["directions"][0]
        np.testing.assert_array_equal(v, self.results("q.h5", "entry/evaluation/gradient"))
        self.done("basin-problem", "export", "p.h5", "-o", "v.safetensors", *train, "--vector", "q.h5:/entry/evaluation/gradient",
                  "--type", "F64", "-q")
        tensors = safetensors_io.read_file(self.path("v.safetensors"))
        self.assertEqual({n for n, t in tensors.items() if safetensors_io.numbers(t).any()}, set(gradient))
        v = self.evaluated("p.h5", *train, "--direction", "v.safetensors")["directions"][0]
        np.testing.assert_array_equal(v, self.results("q.h5", "entry/evaluation/gradient"))
        for direction in (group, "v.safetensors"):
            self.refused(2, "blocks.0.attention.W_Q", "basin-evaluate", "p.h5", "-o", "none.h5", "--train", "blocks.*.attention.W_K",
                         "--direction", direction)
        with h5py.File(self.path("q.h5"), "a") as file:
            file["entry/evaluation/by_tensor/gradient/h.1.attn.c_attn.weight"][0, 5] = 1e-300
        self.refused(2, "blocks.1.attention.W_K", "basin-evaluate", "p.h5", "-o", "none.h5", *train, "--direction", group)
