"""basin-export: the bytes of the files it writes, what it reads, and what it refuses."""
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

import numpy as np

from forked import forked
from support import ANALYSIS, FileCase
from basin import export
from basin.export import load, save
from basin.export_command import main

try:
    import torch
    torch.set_num_threads(1)  # a copy of the process has none of its threads
except ImportError:
    torch = None

NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?", "I64": "<i8", "I32": "<i4", "I16": "<i2",
               "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}


def read(path):
    """(name -> (type, array), metadata) of a .safetensors file, every byte of which has to have its place."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, buffer = json.loads(data[8:8 + length]), data[8 + length:]
    if length % 8 or data[8:9] != b"{":
        raise AssertionError("the buffer is not aligned")
    metadata, tensors, places = header.pop("__metadata__"), {}, []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = np.dtype(NUMPY_TYPES[entry["dtype"]])
        tensors[name] = entry["dtype"], np.frombuffer(buffer[begin:end], kind).reshape(entry["shape"])
        places.append((begin, end))
        if begin % kind.itemsize:
            raise AssertionError(f"{name} is not aligned")
    ends = [0, *(end for _, end in sorted(places))]
    if [begin for begin, _ in sorted(places)] != ends[:-1] or ends[-1] != len(buffer):
        raise AssertionError("the tensors do not tile the buffer")
    return tensors, metadata


class Command(FileCase):
    """A test that runs basin-export in a copy of this process."""

    def export(self, *arguments):
        return forked(main, arguments, self.directory)


class Arrays(FileCase):
    """save() with NumPy alone."""

    def test_every_type_and_layout(self):
        random = np.random.default_rng(3)
        numbers = random.normal(size=(3, 4, 5))
        arrays = {kind: numbers.astype(kind) for kind in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")}
        arrays |= {"flipped": numbers[::-1, :, ::2], "transposed": numbers.T, "columns": np.asfortranarray(numbers),
                   "big end first": numbers.astype(">f4"), "broadcast": np.broadcast_to(np.float32(7), (2, 3)),
                   "one": np.array(2.5), "a scalar": np.float32(0.1), "none": np.zeros((0, 3)), "odd": np.ones(3, "u1"),
                   "not numbers": np.array([np.nan, np.inf, -np.inf, -0.0]), "name ü \u4e2d \"\\": np.ones(1)}
        save(arrays, self.path("a.safetensors"))
        tensors, metadata = read(self.path("a.safetensors"))
        self.assertEqual(metadata, {"format": "pt"})
        self.assertEqual(list(tensors), list(arrays))
        for name, array in arrays.items():
            self.assertEqual(tensors[name][1].shape, array.shape, name)
            self.assertEqual(tensors[name][1].tobytes(), array.astype(array.dtype.newbyteorder("<")).tobytes(), name)
        self.assertEqual([tensors[name][0] for name in ("f2", "?", "i8", "u1", "big end first")], ["F16", "BOOL", "I64", "U8", "F32"])
        self.assertEqual(self.files(), ["a.safetensors"])

    def test_bytes(self):
        """The whole file, as the format has it."""
        save({"b": np.array([1, 2], "u1"), "a": np.array([[1.0]], "f4")}, self.path("a.safetensors"), metadata={"made": "by hand"})
        header = (b'{"__metadata__":{"format":"pt","made":"by hand"},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},'
                  b'"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}')
        header += -len(header) % 8 * b" "
        self.assertEqual(self.path("a.safetensors").read_bytes(),
                         len(header).to_bytes(8, "little") + header + b"\0\0\x80\x3f\1\2")

    def test_nothing_is_a_file_too(self):
        save({}, self.path("a.safetensors"))
        self.assertEqual(read(self.path("a.safetensors")), ({}, {"format": "pt"}))

    def test_what_cannot_be_written(self):
        one = np.ones(1)
        for state, error, part in (({"a": {"b": one}}, TypeError, "a: found a dict of 1, expected a tensor"),
                                   ({"lr": 0.1}, TypeError, "lr: found a value of type float"),
                                   ({"a": None}, TypeError, "NoneType"), ({"a": [one]}, TypeError, "type list"),
                                   ({"a": one * 1j}, TypeError, "complex128"), ({"a": np.array(["x"])}, TypeError, "a: found numbers"),
                                   ({"a": np.array([None])}, TypeError, "object"), ({3: one}, TypeError, "the name 3"),
                                   ([one], TypeError, "type list, expected a dict of tensors"),
                                   ({"": one}, ValueError, "name ''"), ({"a/b": one}, ValueError, "'a/b'"),
                                   ({"__metadata__": one}, ValueError, "__metadata__"), ({"\udcff": one}, ValueError, "udcff"),
                                   ({5000 * "n": one}, ValueError, "cannot have the name")):
            with self.subTest(part), self.assertRaisesRegex(error, part) as caught:
                save({"first": one, **state} if isinstance(state, dict) else state, self.path("a.safetensors"))
            self.assertNotIn("\n", str(caught.exception))
        for options, error, part in (({"metadata": {"epoch": 3}}, TypeError, "metadata 'epoch': found 3"),
                                     ({"config": {"type": one.dtype}}, TypeError, "config cannot be written as JSON"),
                                     ({"config": {"epsilon": float("nan")}}, ValueError, "config cannot be written as JSON")):
            with self.subTest(part), self.assertRaisesRegex(error, part):
                save({"a": one}, self.path("a.safetensors"), **options)
        with self.assertRaisesRegex(ValueError, "ends in .safetensors"):
            save({"a": one}, self.path("config.json"), config={})
        self.assertEqual(self.files(), [])

    def test_nothing_is_replaced_unless_told(self):
        path, config = self.path("a.safetensors"), self.path("config.json")
        save({"a": np.ones(1)}, path, {"model_type": "gpt2"})
        before = path.read_bytes(), config.read_bytes()
        self.assertEqual(json.loads(before[1]), {"model_type": "gpt2"})
        for options in ({}, {"config": {"x": 1}}):
            with self.assertRaisesRegex(FileExistsError, r"a\.safetensors exists; --overwrite"):
                save({"a": np.zeros(1)}, path, **options)
        with self.assertRaisesRegex(FileExistsError, r"config\.json exists"):
            save({"a": np.zeros(1)}, self.path("b.safetensors"), {"x": 1})
        self.assertEqual((path.read_bytes(), config.read_bytes()), before)
        os.chmod(path, 0o600)
        save({"a": np.zeros(1)}, path, {"x": None}, overwrite=True)
        self.assertEqual(read(path)[0]["a"][1], [0])
        self.assertEqual(json.loads(config.read_text()), {"x": None})
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.path("folder.safetensors").mkdir()
        with self.assertRaisesRegex(ValueError, "found a directory"):
            save({}, self.path("folder.safetensors"), overwrite=True)
        self.assertEqual(self.files(), ["a.safetensors", "config.json", "folder.safetensors"])

    def test_whole_or_absent(self):
        """Writing fails at each of its steps: nothing new is there, and what was there is as it was."""
        save({"old": np.ones(1)}, self.path("old.safetensors"))
        before = self.path("old.safetensors").read_bytes()
        real = export.bytes_of

        def fails_second(tensor):
            if tensor.size == 2:
                raise OSError(28, "No space left on device")
            return real(tensor)

        for target, change in (("bytes_of", fails_second), ("os.replace", mock.Mock(side_effect=OSError(5, "broken"))),
                               ("os.replace", mock.Mock(side_effect=KeyboardInterrupt))):
            with mock.patch(f"basin.export.{target}", change):
                for name in ("new.safetensors", "old.safetensors"):
                    with self.assertRaises((OSError, KeyboardInterrupt)):
                        save({"a": np.ones(1), "b": np.ones(2)}, self.path(name), {"x": 1}, overwrite=True)
            self.assertEqual(self.files(), ["old.safetensors"])
        self.assertEqual(self.path("old.safetensors").read_bytes(), before)

    def test_the_module_needs_no_torch(self):
        code = "import sys; sys.modules['torch'] = None; import export, numpy; export.save({'a': numpy.ones(2)}, sys.argv[1])"
        path = self.path("a.safetensors")
        subprocess.run([sys.executable, "-c", code, path], check=True, env={**os.environ, "PYTHONPATH": str(ANALYSIS / "basin")})
        self.assertEqual(read(path)[0]["a"][1].tolist(), [1, 1])


class Evil:
    """An object that runs a command when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@unittest.skipUnless(torch, "no python3-torch")
class Tensors(FileCase):
    """save() with tensors of torch, and load()."""

    def test_every_type_and_layout(self):
        torch.manual_seed(3)
        numbers = torch.randn(3, 4, 5, dtype=torch.float64)
        kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
        tensors = {kind: numbers.to(getattr(torch, kind)) for kind in kinds}
        tensors |= {"transposed": numbers.transpose(0, 2), "part": numbers[1:, ::2, 1], "expanded": torch.ones(1).expand(2, 3),
                    "parameter": torch.nn.Parameter(torch.randn(2)), "one": torch.tensor(0.1), "none": torch.zeros(0, 3),
                    "halves": torch.randn(4, 6).bfloat16().t(), "half": torch.tensor(2.5).bfloat16(),
                    "negative": torch.tensor([1 + 2j]).conj().imag, "not numbers": torch.tensor([float("nan"), float("-inf"), -0.0])}
        save(tensors, self.path("a.safetensors"))
        written, _ = read(self.path("a.safetensors"))
        self.assertEqual(list(written), list(tensors))
        for name, tensor in tensors.items():
            kind, array = written[name]
            plain = tensor.detach().clone(memory_format=torch.contiguous_format).resolve_neg()
            if kind == "BF16":  # the upper halves of float32
                self.assertEqual((array.astype("u4") << np.uint32(16)).tobytes(), plain.float().numpy().tobytes(), name)
            else:
                self.assertEqual(array.tobytes(), plain.numpy().tobytes(), name)
            self.assertEqual(array.shape, tuple(tensor.shape), name)
        self.assertEqual([written[name][0] for name in kinds], "F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL".split())

    def test_a_module_with_tied_weights(self):
        model = torch.nn.ModuleDict({"embedding": torch.nn.Embedding(5, 3), "head": torch.nn.Linear(3, 5, bias=False)})
        model["head"].weight = model["embedding"].weight
        for state, name in ((model, "a.safetensors"), (model.state_dict(), "b.safetensors")):
            save(state, self.path(name))
        self.assertEqual(self.path("a.safetensors").read_bytes(), self.path("b.safetensors").read_bytes())
        tensors, _ = read(self.path("a.safetensors"))
        np.testing.assert_array_equal(tensors["embedding.weight"][1], model["head"].weight.detach().numpy())
        np.testing.assert_array_equal(tensors["embedding.weight"][1], tensors["head.weight"][1])

    def test_what_cannot_be_written(self):
        quantized = torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.quint8)
        for tensor, part in ((torch.zeros(3).to_sparse(), "sparse_coo"), (torch.zeros(3, device="meta"), "meta"),
                             (quantized, "quint8"), (torch.zeros(2, dtype=torch.complex64), "complex64")):
            with self.subTest(part), self.assertRaisesRegex(TypeError, f"^w: found .*{part}"):
                save({"w": tensor}, self.path("a.safetensors"))
        self.assertEqual(self.files(), [])

    def loaded(self, content, **options):
        """What load() gives of the content, in both formats of torch.save."""
        states = []
        for zipped in (True, False):
            torch.save(content, self.path("a.pt"), _use_new_zipfile_serialization=zipped)
            states.append(load(self.path("a.pt"), **options))
        self.assertEqual(list(states[0].state), list(states[1].state))
        return states[0]

    def test_where_the_state_dict_is(self):
        layer = torch.nn.Linear(2, 3)
        state = layer.state_dict()
        optimizer = torch.optim.Adam(layer.parameters())
        layer(torch.ones(2)).sum().backward()
        optimizer.step()
        rest = {"optimizer": optimizer.state_dict(), "epoch": 3, "lr": 0.1, "best": torch.tensor(0.5), "note": "ü", "size": 2 ** 80,
                "set": {1}, "pair": (1, None), "type": torch.bfloat16, "device": torch.device("cpu"), "shape": torch.Size([2])}
        for key in (None, *export.STATES):
            found = self.loaded(state if key is None else {**rest, key: state})
            self.assertEqual((list(found.state), found.config, found.hint), (["weight", "bias"], None, None))
            self.assertTrue(torch.equal(found.state["weight"], state["weight"]))
        found = self.loaded({"model": state, "ema": {"x": torch.ones(1)}, "encoder": dict(layer.named_parameters())}, key="encoder")
        self.assertEqual(list(found.state), ["weight", "bias"])
        torch.save(layer, self.path("module.pt"))
        self.assertEqual(list(load(self.path("module.pt"), unsafe=True).state), ["weight", "bias"])
        with self.assertRaisesRegex(ValueError, "Linear: .*--unsafe"):
            load(self.path("module.pt"))

    def test_a_state_dict_that_is_not_found(self):
        state = {"w": torch.ones(1)}
        for content, options, part in (
                ({"model": state, "ema": state, "epoch": 3}, {}, "several state dicts, 'model', 'ema'; choose with --key .*'epoch'"),
                ({"encoder": state, "epoch": 3}, {}, r"no state dict .*'encoder' \(a dict of 1\), 'epoch' \(a value of type int\)"),
                ({"encoder": state}, {"key": "model"}, "there is no key 'model': the file holds 'encoder'"),
                ({"model": state, "epoch": 3}, {"key": "epoch"}, "'epoch' is a value of type int, expected a state dict"),
                ([1], {}, "the file holds a value of type list"), ({}, {}, "the file holds nothing")):
            with self.subTest(part), self.assertRaisesRegex(ValueError, part) as caught:
                self.loaded(content, **options)
            self.assertNotIn("\n", str(caught.exception))

    def test_code_in_a_file_is_not_run(self):
        marker = self.path("marker")
        for content in (Evil(marker), {"model": {"w": torch.ones(1)}, "x": [Evil(marker)]}):
            for zipped in (True, False):
                torch.save(content, self.path("a.pt"), _use_new_zipfile_serialization=zipped)
                with self.assertRaisesRegex(ValueError, "found posix.system: .*can run any code.*--unsafe"):
                    load(self.path("a.pt"))
                self.assertFalse(marker.exists())
        load(self.path("a.pt"), unsafe=True)  # so it would have been
        self.assertTrue(marker.exists())

    def test_programs_are_not_run(self):
        torch.jit.script(torch.nn.Linear(2, 3)).save(str(self.path("a.pt")))
        with self.assertRaisesRegex(ValueError, "found a TorchScript program: "):
            load(self.path("a.pt"))

    def test_names_that_lead_from_what_is_allowed_to_what_is_not(self):
        """Protocol 4 looks names with dots up member by member; storages have a way of their own."""
        for module, name in ((b"collections", b"OrderedDict.__init__"), (b"torch", b"load"), (b"torch.storage", b"_load_from_bytes"),
                             (b"builtins", b"eval"), (b"torch", b"serialization.os.system"), (b"evil", b"Storage")):
            code = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text for text in (module, name)) + b"\x93."
            self.path("a.pt").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}." + code)
            with self.subTest(name), self.assertRaisesRegex(ValueError, f"found {module.decode()}.{name.decode()}: "):
                load(self.path("a.pt"))


@unittest.skipUnless(torch, "no python3-torch")
class Export(Command):
    def save(self, content, name="a.pt"):
        torch.save(content, self.path(name))

    def test_nanogpt(self):
        arguments = {"n_layer": 1, "n_head": 2, "n_embd": 4, "block_size": 8, "bias": False, "vocab_size": 5, "dropout": 0.1}
        weight = torch.randn(5, 4)
        state = {"_orig_mod.transformer.wte.weight": weight, "_orig_mod.lm_head.weight": weight, "step": torch.tensor(3)}
        self.save({"model": state, "optimizer": {"param_groups": [{"lr": 6e-4, "betas": (0.9, 0.95)}]}, "model_args": arguments,
                   "iter_num": 3, "best_val_loss": torch.tensor(1.5), "config": {"dataset": "mine"}}, "ckpt.pt")
        done = self.export("ckpt.pt", "-o", "my model/m.safetensors")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "my model/m.safetensors: 3 tensors (2 F32, 1 I64), 20 parameters (tied ones once): "
                                   "_orig_mod.transformer.wte.weight, _orig_mod.lm_head.weight, step")
        self.assertTrue(lines[1].startswith('my model/config.json: {"model_type": "nanogpt", "n_layer": 1,'), lines[1])
        self.assertEqual(lines[2:], ["next: basin-problem checkpoint 'my model/m.safetensors' -o problem.h5 --inputs inputs.npy "
                                     "--targets targets.npy --expect-loss VALUE"])
        self.assertEqual(json.loads(self.path("my model/config.json").read_text()), {"model_type": "nanogpt", **arguments})
        self.assertEqual(self.files(self.path("my model")), ["config.json", "m.safetensors"])
        tensors, _ = read(self.path("my model/m.safetensors"))
        for name in list(state)[:2]:
            np.testing.assert_array_equal(tensors[name][1], weight.numpy())

    def test_configuration_of_the_command_line(self):
        self.save({"state_dict": torch.nn.TransformerEncoderLayer(4, 2, 8).state_dict(),
                   "hyper_parameters": {"d_model": 4, "name": "a\nb"}, "pytorch-lightning_version": "2.0"})
        done = self.export("a.pt", "-o", "a.safetensors")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("\nno config.json: ", done.stdout)
        self.assertIn("\nhyper_parameters in the file, not used: {'d_model': 4, 'name': 'a\\nb'}\n", done.stdout)
        self.assertEqual(self.files(), ["a.pt", "a.safetensors"])
        done = self.export("a.pt", "-o", "a.safetensors", "--overwrite", "--config", "model_type=torch_transformer_encoder",
                           "nhead=4", "norm_first=true", "--config", "note=a=b", "eps=1e-5", "none=null")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(self.path("config.json").read_text()), {
            "model_type": "torch_transformer_encoder", "nhead": 4, "norm_first": True, "note": "a=b", "eps": 1e-5, "none": None})
        done = self.export("a.pt", "-o", "b.safetensors")
        self.assertIn("\nconfig.json: as it was\n", done.stdout)

    def test_wrong_command_lines_and_input(self):
        self.save({"w": torch.ones(1)})
        self.save({"model": {"w": torch.ones(1), "n": 3}}, "mixed.pt")
        self.save({"w": torch.ones(1)}, "itself.safetensors")
        self.path("text.pt").write_text("hello\n")
        self.path("empty.pt").touch()
        self.path("cut.pt").write_bytes(self.path("a.pt").read_bytes()[:300])
        self.path("folder").mkdir()
        save({"a": np.ones(1)}, self.path("there.safetensors"))
        before = self.files()
        for arguments, part in (((), "FILE.pt"), (("a.pt",), "--output"), (("a.pt", "-o", "b.safetensors", "--config", "x"), "'x'"),
                                (("a.pt", "-o", "b.safetensors", "--config", "=3"), "'=3'"),
                                (("missing.pt", "-o", "b.safetensors"), "missing.pt: cannot be read: No such"),
                                (("text.pt", "-o", "b.safetensors"), "text.pt: found something else"),
                                (("empty.pt", "-o", "b.safetensors"), "empty.pt: found something else"),
                                (("cut.pt", "-o", "b.safetensors"), "cut.pt: cannot be read"),
                                (("folder", "-o", "b.safetensors"), "folder: cannot be read: Is a directory"),
                                (("there.safetensors", "-o", "b.safetensors"), "is a .safetensors file already"),
                                (("mixed.pt", "-o", "b.safetensors"), "mixed.pt: n: found a value of type int"),
                                (("a.pt", "-o", "b.safetensors", "--key", "x"), "there is no key 'x'"),
                                (("a.pt", "-o", "there.safetensors"), "there.safetensors exists; --overwrite"),
                                (("a.pt", "-o", "b.pt"), "ends in .safetensors"),
                                (("a.pt", "-o", "b.safetensors", "--config", "x=NaN"), "as JSON"),
                                (("itself.safetensors", "-o", "itself.safetensors", "--overwrite"), "is this file")):
            with self.subTest(arguments):
                done = self.export(*arguments)
                self.assert_one_line(done, 2, "basin-export: ", part)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.files(), before)

    def test_code_is_run_only_if_allowed(self):
        self.save({"model": {"w": torch.ones(1)}, "x": Evil("marker")})
        self.assert_one_line(self.export("a.pt", "-o", "b.safetensors"), 2, "basin-export: a.pt: found posix.system", "--unsafe")
        self.assertEqual(self.files(), ["a.pt"])
        self.assert_one_line(self.export("a.pt", "-o", "b.safetensors", "--unsafe"), 0, "basin-export: a.pt: warning: --unsafe runs")
        self.assertEqual(self.files(), ["a.pt", "b.safetensors", "marker"])

    def test_work_that_fails(self):
        self.save({"w": torch.ones(100_000)})
        self.path("file").touch()
        self.assert_one_line(self.export("a.pt", "-o", "file/below/b.safetensors"), 1, "cannot write", "Not a directory")
        limit = "ulimit -f 8; exec \"$@\""  # files of 8 kB at most: writing fails halfway, as on a full disk
        command = ["bash", "-c", limit, "bash", ANALYSIS / "basin-export", "a.pt", "-o", "b.safetensors", "--config", "x=1"]
        self.assert_one_line(subprocess.run(command, cwd=self.directory, capture_output=True, text=True), 1, "a.pt: cannot write",
                             "File too large")
        self.assertEqual(self.files(), ["a.pt", "file"])

    def test_the_command_itself(self):
        name = os.fsencode(self.directory) + b"/a \xff.pt"
        self.save({"w": torch.ones(2)})
        os.rename(self.path("a.pt"), name)
        done = subprocess.run([ANALYSIS / "basin-export", name, "-o", name[:-3] + b".safetensors"], capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"/a \xff.safetensors: 1 tensors (1 F32), 2 parameters: w\n", done.stdout)
        done = subprocess.run([ANALYSIS / "basin-export", "--help"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("basin-export ckpt.pt -o model/model.safetensors", done.stdout)


if __name__ == "__main__":
    unittest.main()
