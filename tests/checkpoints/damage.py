"""Damaged copies of a good checkpoint folder, each with what an error message must say; and unusual ones that are legal.

Every variant of damage() must be refused in one line that holds every word ('a|b': one of them is enough), without crash, hang,
partial result or an allocation of the size that a number in the file claims. The variants of harmless() must give the same loss as
the good folder, which needs one model.safetensors, config.json of nanoGPT (two heads or more), inputs.npy and targets.npy.
"""

import json
import os
import shutil
import struct
from collections import namedtuple
from pathlib import Path

import numpy as np
import safetensors_io

Variant = namedtuple("Variant", "name path words")
BAD, LEGAL = [], []
MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"


class Folder:
    """A copy of the good folder that a variant changes."""

    def __init__(self, good, path):
        path.mkdir(parents=True)
        for name in (MODEL, "config.json", "inputs.npy", "targets.npy"):
            shutil.copyfile(good / name, path / name)
        self.path = path
        self.header, self.buffer = safetensors_io.split(self.at(MODEL).read_bytes())
        self.config = json.loads(self.at("config.json").read_text())
        self.inputs, self.targets = np.load(self.at("inputs.npy")), np.load(self.at("targets.npy"))

    def at(self, name):
        return self.path / name

    def name(self, suffix):
        """The stored name of the tensor with this name, else of the first one that ends so."""
        return suffix if suffix in self.header else next(k for k in sorted(self.header) if k.endswith(suffix))

    def entry(self, suffix):
        return self.header[self.name(suffix)]

    def last(self):
        """The name of the last tensor of the buffer."""
        return max((k for k in self.header if k != "__metadata__"), key=lambda k: self.header[k]["data_offsets"])

    def data(self, suffix):
        begin, end = self.entry(suffix)["data_offsets"]
        return self.buffer[begin:end]

    def write(self, name, data):
        self.at(name).unlink(missing_ok=True)
        self.at(name).write_bytes(data if isinstance(data, bytes) else data.encode())

    def remove(self, name):
        self.at(name).unlink()

    def save(self, header=None, buffer=None, length=None):
        """Writes the model again; header may be a dictionary or raw bytes."""
        self.write(MODEL, safetensors_io.join(self.header if header is None else header, self.buffer if buffer is None else buffer, length))

    def text(self):
        """The header as JSON text."""
        return json.dumps(self.header)

    def saved_entry(self, suffix, **changes):
        """Writes the model with changed keys of one entry; None removes a key."""
        entry = self.entry(suffix)
        entry.update(changes)
        for key in [k for k, v in entry.items() if v is None]:
            del entry[key]
        self.save()

    def rebuild(self, replace=(), extra=()):
        """Packs all tensors anew; replace and extra: name -> (dtype, shape, bytes)."""
        tensors = {k: (e["dtype"], e["shape"], self.data(k)) for k, e in self.header.items() if k != "__metadata__"}
        self.header, self.buffer = safetensors_io.pack({**tensors, **dict(replace), **dict(extra)})
        self.save()

    def save_config(self, **changes):
        """Writes config.json with changed keys; None removes a key."""
        self.config.update(changes)
        self.write("config.json", json.dumps({k: v for k, v in self.config.items() if v is not None}))

    def values(self, suffix):
        """The float64 values of a tensor."""
        e = self.entry(suffix)
        return safetensors_io.numbers((e["dtype"], e["shape"], self.data(suffix)))

    def shard(self, change=lambda index: None, text=None):
        """Splits the model in two shards with an index, which change may alter; text replaces the index's text."""
        names = [k for k in self.header if k != "__metadata__"]
        parts = [names[:len(names) // 2], names[len(names) // 2:]]
        index = {"metadata": {"total_size": len(self.buffer)}, "weight_map": {}}
        self.shards = [f"model-{i:05}-of-00002.safetensors" for i in (1, 2)]
        self.parts = parts
        for part, shard in zip(parts, self.shards):
            entries = {k: (self.header[k]["dtype"], self.header[k]["shape"], self.data(k)) for k in part}
            self.write(shard, safetensors_io.join(*safetensors_io.pack(entries)))
            index["weight_map"].update({k: shard for k in part})
        self.remove(MODEL)
        index = change(index) or index
        self.write(INDEX, json.dumps(index, indent=1) if text is None else text(index))


def short(name):
    """A stored name without the prefix that torch.compile adds; messages may give either."""
    return name.split("_orig_mod.")[-1]


def bad(*words, note=""):
    """Registers a variant: a function of a Folder, which may return further words, or a Path to use instead of the folder."""
    return lambda f: BAD.append((f, words)) or f  # the note is for who reads this


def legal(f):
    LEGAL.append(f)
    return f


C_FC, C_PROJ, WTE = "h.0.mlp.c_fc.weight", "h.0.attn.c_proj.weight", "wte.weight"


# --- the file as a whole -----------------------------------------------------------------------------------------------------------

@bad(MODEL)
def file_empty(d):
    d.write(MODEL, b"")


@bad(MODEL)
def file_5_bytes(d):
    d.write(MODEL, b"\x10\0\0\0\0")


@bad(MODEL)
def header_length_0(d):
    d.save(length=0)


@bad(MODEL)
def header_length_1(d):
    d.save(length=1)


@bad(MODEL, "9223372036854775808")
def header_length_2_63(d):
    d.save(length=2 ** 63)


@bad(MODEL, "18446744073709551615")
def header_length_all_ones(d):
    d.save(length=2 ** 64 - 1)


@bad(MODEL, note="one byte more than the file holds after the length")
def header_length_one_too_many(d):
    length = len(json.dumps(d.header, separators=(",", ":")))
    d.save(length=length + -length % 8 + len(d.buffer) + 1)
    return [str(length + -length % 8 + len(d.buffer) + 1)]


@bad(MODEL, "{")
def header_begins_with_space(d):
    d.save(b" " + d.text().encode())


@bad(MODEL, "{")
def header_is_array(d):
    d.save(b"[" + d.text().encode() + b"]")


@bad(MODEL, "JSON|json")
def header_not_json(d):
    d.save(d.text()[:-1].encode())


@bad(MODEL, "JSON|json|NUL|padd", note="only spaces may follow the object; a published file had this fault")
def header_padded_with_nul(d):
    d.save(d.text().encode() + b"\0\0\0")


@bad(MODEL, "UTF-8|utf-8|UTF8")
def header_not_utf8(d):
    d.save(d.text().encode().replace(b"mlp.c_fc", b"mlp.c\xff\xfec", 1))


@bad(MODEL, note="a recursive parser runs out of stack at some depth")
def header_nested_10000(d):
    d.save(('{"deep.weight":' + "[" * 10000 + "]" * 10000 + "}").encode())


@bad(MODEL)
def header_nested_1000000_open(d):
    d.save(b'{"a":' * 1000000)


@bad("__metadata__", note="the reference reader wants strings; to ignore it would do no harm")
def metadata_not_strings(d):
    d.save({**d.header, "__metadata__": {"format": 1}})


# --- entries of the header ---------------------------------------------------------------------------------------------------------

@bad(C_FC)
def entry_not_object(d):
    d.header[d.name(C_FC)] = 5
    d.save()


@bad(C_FC, "data_offsets")
def entry_key_twice(d):
    offsets = '"data_offsets": [%d, %d]' % tuple(d.entry(C_FC)["data_offsets"])
    assert d.text().count(offsets) == 1
    d.save(d.text().replace(offsets, '"data_offsets": [0, 4], ' + offsets).encode())


@bad(C_FC, "dtype")
def dtype_missing(d):
    d.saved_entry(C_FC, dtype=None)


@bad(C_FC, "F31")
def dtype_unknown(d):
    d.saved_entry(C_FC, dtype="F31")


@bad(C_FC, "f32")
def dtype_lower_case(d):
    d.saved_entry(C_FC, dtype="f32")


@bad(C_FC, "dtype")
def dtype_number(d):
    d.saved_entry(C_FC, dtype=32)


@bad(C_FC, "I32")
def dtype_integer_weight(d):
    count = d.values(C_FC).size
    d.rebuild({d.name(C_FC): ("I32", d.entry(C_FC)["shape"], np.arange(count, dtype="<i4").tobytes())})


@bad(C_FC, "F8_E4M3", note="known to the format, of no use here")
def dtype_8_bits(d):
    d.rebuild({d.name(C_FC): ("F8_E4M3", d.entry(C_FC)["shape"], bytes(d.values(C_FC).size))})


@bad(C_FC, "shape")
def shape_missing(d):
    d.saved_entry(C_FC, shape=None)


@bad(C_FC, "shape")
def shape_not_array(d):
    d.saved_entry(C_FC, shape=int(np.prod(d.entry(C_FC)["shape"])))


@bad(C_FC, "-4|-16")
def shape_negative(d):
    d.saved_entry(C_FC, shape=[-s for s in d.entry(C_FC)["shape"]])


@bad(C_FC, "4.5")
def shape_fraction(d):
    d.saved_entry(C_FC, shape=[d.entry(C_FC)["shape"][0], 4.5])


@bad(C_FC, "1000000000000000000")
def shape_huge(d):
    d.saved_entry(C_FC, shape=[10 ** 18, 4])


@bad(C_FC, "4294967296", note="the product is 0 modulo 2^64, and so is the number of bytes")
def shape_overflows_to_zero(d):
    d.rebuild({d.name(C_FC): ("F32", [2 ** 32, 2 ** 32], b"")})


@bad(C_FC, "4611686018427387908", note="(2^62 + 4) * 4 * 4 bytes is 64 modulo 2^64: what the offsets say")
def shape_overflows_to_size(d):
    d.rebuild({d.name(C_FC): ("F32", [2 ** 62 + 4, 4], bytes(64))})


@bad(C_FC)
def shape_beyond_64_bits(d):
    d.saved_entry(C_FC, shape=[10 ** 30, 4])


@bad(C_FC, "0")
def shape_zero(d):
    d.rebuild({d.name(C_FC): ("F32", [0, d.config["n_embd"]], b"")})


@bad(C_FC, "data_offsets", note="the name in an old description of the format")
def offsets_under_old_name(d):
    d.saved_entry(C_FC, offsets=d.entry(C_FC)["data_offsets"], data_offsets=None)


@bad(C_FC)
def offsets_reversed(d):
    d.saved_entry(C_FC, data_offsets=d.entry(C_FC)["data_offsets"][::-1])


@bad(note="the last tensor ends after the end of the file; named, with its end or the bytes that there are")
def offsets_beyond_end(d):
    last = d.last()
    begin, end = d.header[last]["data_offsets"]
    end = begin + 1024 * (end - begin)
    d.header[last]["data_offsets"][1] = end
    d.header[last]["shape"] = [d.header[last]["shape"][0] * 1024] + d.header[last]["shape"][1:]
    d.save()
    return [short(last), "%d|%d" % (end, len(d.buffer))]


@bad(note="end or begin of the last tensor")
def offsets_near_2_63(d):
    last = d.last()
    begin, end = 2 ** 63 - 1 - len(d.data(last)), 2 ** 63 - 1
    d.saved_entry(last, data_offsets=[begin, end])
    return [short(last), "%d|%d" % (begin, end)]


@bad(note="8 bytes belong to no tensor; the message gives the place")
def offsets_hole(d):
    place = d.entry(C_FC)["data_offsets"][0]
    for k, e in d.header.items():
        if k != "__metadata__" and e["data_offsets"][0] >= place:
            e["data_offsets"] = [o + 8 for o in e["data_offsets"]]
    d.save(buffer=d.buffer[:place] + bytes(8) + d.buffer[place:])
    return [str(place)]


@bad(note="the first tensor begins at 8")
def offsets_hole_at_start(d):
    for k, e in d.header.items():
        if k != "__metadata__":
            e["data_offsets"] = [o + 8 for o in e["data_offsets"]]
    d.save(buffer=bytes(8) + d.buffer)
    return ["8"]


@bad(C_FC + "|" + C_PROJ, note="offsets exchanged between tensors of different sizes")
def offsets_exchanged(d):
    a, b = d.entry(C_FC), d.entry(C_PROJ)
    a["data_offsets"], b["data_offsets"] = b["data_offsets"], a["data_offsets"]
    d.save()


@bad(C_FC, "data_offsets")
def offsets_three(d):
    d.saved_entry(C_FC, data_offsets=d.entry(C_FC)["data_offsets"] + [0])


@bad(C_FC, "-8")
def offsets_negative(d):
    d.saved_entry(C_FC, data_offsets=[-8, d.entry(C_FC)["data_offsets"][1]])


@bad(C_FC, "data_offsets")
def offsets_strings(d):
    d.saved_entry(C_FC, data_offsets=[str(o) for o in d.entry(C_FC)["data_offsets"]])


@bad(MODEL, note="24 bytes after the last tensor")
def trailing_bytes(d):
    d.save(buffer=d.buffer + bytes(24))
    return ["24|%d" % (len(d.buffer) + 24)]


# --- values and names --------------------------------------------------------------------------------------------------------------

def with_value(d, suffix, place, value, dtype="F32"):
    """Rewrites a tensor in a dtype with one entry changed."""
    v = d.values(suffix)
    v[place] = value
    d.rebuild({d.name(suffix): safetensors_io.packed(v, dtype)})


@bad(C_FC, "inf", "2, 1")
def value_inf(d):
    with_value(d, C_FC, (2, 1), np.inf)


@bad(C_PROJ, "inf", "0, 3")
def value_minus_inf_f64(d):
    with_value(d, C_PROJ, (0, 3), -np.inf, "F64")


@bad(C_FC, "NaN|nan", "3, 1")
def value_nan_f16(d):
    with_value(d, C_FC, (3, 1), np.nan, "F16")


@bad(C_FC, "NaN|nan", "0, 2")
def value_nan_bf16(d):
    with_value(d, C_FC, (0, 2), np.nan, "BF16")


@bad("lm_head.weight", WTE, note="the second copy of a tied tensor differs in one bit")
def tied_differs_in_one_bit(d):
    e, data = d.entry(WTE), bytearray(d.data(WTE))
    data[len(data) // 2] ^= 1
    d.rebuild({d.name(WTE).replace("transformer.wte", "lm_head"): (e["dtype"], e["shape"], bytes(data))})


@bad("lm_head.weight", note="of another shape than the embedding that it is tied to")
def tied_of_other_shape(d):
    rows, width = d.entry(WTE)["shape"]
    d.rebuild({d.name(WTE).replace("transformer.wte", "lm_head"): ("F32", [rows + 1, width], bytes(4 * width * (rows + 1)))})


@bad(C_PROJ, note="an axis of 1 too many")
def rank_wrong(d):
    d.saved_entry(C_PROJ, shape=d.entry(C_PROJ)["shape"] + [1])


@bad("h.0.attn.c_attn.weight", note="a tensor stored with and without the prefix of torch.compile")
def name_with_and_without_prefix(d):
    name = d.name("h.0.attn.c_attn.weight")
    other = name[len("_orig_mod."):] if name.startswith("_orig_mod.") else "_orig_mod." + name
    e = d.header[name]
    d.rebuild(extra={other: (e["dtype"], e["shape"], bytes(len(d.data("h.0.attn.c_attn.weight"))))})


# --- shards ------------------------------------------------------------------------------------------------------------------------

def remap(d, shard):
    """Sends the first tensor of the second shard elsewhere; returns its short name."""
    def change(index):
        index["weight_map"][d.parts[1][0]] = shard
    d.shard(change)
    return short(d.parts[1][0])


@bad("model-00002-of-00002.safetensors")
def index_shard_missing(d):
    d.shard()
    d.remove(d.shards[1])


@bad("/absolute/model.safetensors")
def index_absolute_path(d):
    remap(d, "/absolute/model.safetensors")


@bad("shards/model.safetensors", note="only plain file names")
def index_path_in_folder(d):
    os.makedirs(d.at("shards"))
    shutil.copyfile(d.at(MODEL), d.at("shards/model.safetensors"))
    remap(d, "shards/model.safetensors")


@bad(INDEX, note="an empty name, or the folder itself")
def index_empty_path(d):
    remap(d, "")


@bad("model-00001-of-00002.safetensors", note="a tensor is listed in the shard that does not hold it")
def index_wrong_shard(d):
    return [remap(d, "model-00001-of-00002.safetensors")]


@bad("not.there.weight", "model-00001-of-00002.safetensors")
def index_lists_absent_tensor(d):
    def change(index):
        index["weight_map"]["not.there.weight"] = "model-00001-of-00002.safetensors"
    d.shard(change)


@bad(note="a tensor of a shard that the index does not list")
def index_omits_tensor(d):
    def change(index):
        del index["weight_map"][d.parts[0][1]]
    d.shard(change)
    return [short(d.parts[0][1])]


@bad("weight_map")
def index_map_is_array(d):
    d.shard(lambda index: {**index, "weight_map": sorted(index["weight_map"])})


@bad("weight_map")
def index_without_map(d):
    d.shard(lambda index: {"metadata": index["metadata"]})


@bad("weight_map")
def index_map_empty(d):
    d.shard(lambda index: {**index, "weight_map": {}})


@bad(note="a file name that is a number")
def index_number_for_name(d):
    return [remap(d, 7)]


@bad(INDEX, note="the same tensor twice, in different shards")
def index_key_twice(d):
    d.shard(text=lambda index: json.dumps(index).replace('"weight_map": {', '"weight_map": {%s: "%s", ' % (
        json.dumps(d.parts[0][0]), d.shards[1])))
    return [short(d.parts[0][0])]


@bad(INDEX)
def index_not_json(d):
    d.shard(text=lambda index: json.dumps(index)[:-2])


@bad("a.safetensors", "b.safetensors")
def two_files_without_index(d):
    os.rename(d.at(MODEL), d.at("a.safetensors"))
    shutil.copyfile(d.at("a.safetensors"), d.at("b.safetensors"))


# --- config.json -------------------------------------------------------------------------------------------------------------------

@bad("config.json")
def config_missing(d):
    d.remove("config.json")


@bad("config.json")
def config_not_json(d):
    d.write("config.json", json.dumps(d.config)[:-1] + ",}")


@bad("config.json")
def config_is_array(d):
    d.write("config.json", "[%s]" % json.dumps(d.config))


@bad("n_head", "3")
def config_heads_do_not_divide(d):
    d.save_config(n_head=3)
    return [str(d.config["n_embd"])]


@bad("n_head", note="division by zero")
def config_no_heads(d):
    d.save_config(n_head=0)


@bad("n_layer", "-1")
def config_layers_negative(d):
    d.save_config(n_layer=-1)


@bad(note="no loop or allocation of that length")
def config_layers_1000000000(d):
    word = "1000000000|h.%d." % d.config["n_layer"]
    d.save_config(n_layer=10 ** 9)
    return [word]


@bad(note="one layer more than the file holds")
def config_layer_too_many(d):
    layers = d.config["n_layer"]
    d.save_config(n_layer=layers + 1)
    return ["h.%d." % layers]


@bad(WTE, note="the vocabulary is one larger than the embedding")
def config_vocabulary_larger(d):
    d.save_config(vocab_size=d.config["vocab_size"] + 1)
    return [str(d.config["vocab_size"])]


@bad("n_embd|" + WTE, note="products of it overflow")
def config_width_2_62(d):
    d.save_config(n_embd=2 ** 62)


@bad("n_layer")
def config_string_for_number(d):
    d.save_config(n_layer=str(d.config["n_layer"]))


@bad("n_head", "2.5")
def config_fraction(d):
    d.save_config(n_head=2.5)


@bad("bias")
def config_string_for_flag(d):
    d.save_config(bias="yes")


@bad("nanogtp")
def config_model_type_unknown(d):
    d.save_config(model_type="nanogtp")


@bad("model_type")
def config_model_type_missing(d):
    d.save_config(model_type=None)


@bad("n_head", note="n_heads instead")
def config_key_misspelt(d):
    d.save_config(n_heads=d.config["n_head"], n_head=None)


@bad("n_head", note="given twice with different values")
def config_key_twice(d):
    d.write("config.json", '{"n_head": 1, ' + json.dumps(d.config)[1:])


# --- data --------------------------------------------------------------------------------------------------------------------------

def save_array(d, name, array):
    np.save(d.at(name), array, allow_pickle=array.dtype == object)


@bad("inputs.npy")
def inputs_missing(d):
    d.remove("inputs.npy")


@bad("inputs.npy")
def inputs_not_npy(d):
    d.write("inputs.npy", "1 2 3\n")


@bad("inputs.npy")
def inputs_cut_short(d):
    d.write("inputs.npy", d.at("inputs.npy").read_bytes()[:-3])


@bad("inputs.npy")
def inputs_pickled_objects(d):
    save_array(d, "inputs.npy", d.inputs.astype(object))


@bad("inputs.npy", note="1.5 is no token")
def inputs_fraction(d):
    save_array(d, "inputs.npy", d.inputs.astype(float) + 0.5)


@bad("inputs.npy")
def inputs_nan(d):
    x = d.inputs.astype(float)
    x[0, 1] = np.nan
    save_array(d, "inputs.npy", x)


@bad("-1")
def inputs_negative(d):
    x = d.inputs.astype(np.int64)
    x[1, 0] = -1
    save_array(d, "inputs.npy", x)


@bad("9223372036854775808", note="2^63 - 1 as a double")
def inputs_enormous(d):
    x = d.inputs.astype(np.int64)
    x[1, 0] = 2 ** 63 - 1
    save_array(d, "inputs.npy", x)


@bad(note="more tokens than positions: both numbers")
def inputs_longer_than_block(d):
    block = d.config["block_size"]
    copies = block // d.inputs.shape[1] + 1
    save_array(d, "inputs.npy", np.tile(d.inputs, (1, copies)))
    save_array(d, "targets.npy", np.tile(d.targets, (1, copies)))
    return [str(copies * d.inputs.shape[1]), str(block)]


@bad("inputs.npy")
def inputs_of_one_axis(d):
    save_array(d, "inputs.npy", d.inputs.ravel())


@bad("inputs.npy", note="no samples")
def inputs_without_samples(d):
    save_array(d, "inputs.npy", d.inputs[:0])
    save_array(d, "targets.npy", d.targets[:0])


@bad("targets.npy")
def targets_missing(d):
    d.remove("targets.npy")


@bad(note="a class that the vocabulary does not have: class and size")
def targets_class_out_of_range(d):
    size = d.config["vocab_size"]
    d.targets[0, 1] = size
    save_array(d, "targets.npy", d.targets)
    return [str(size)]


@bad("-2", note="negative, and neither -1 nor -100")
def targets_negative(d):
    d.targets[0, 1] = -2
    save_array(d, "targets.npy", d.targets)


@bad("targets.npy")
def targets_of_other_length(d):
    save_array(d, "targets.npy", d.targets[:, 1:])


@bad("targets.npy")
def targets_one_sample_short(d):
    save_array(d, "targets.npy", d.targets[1:])


@bad("targets.npy")
def targets_fraction(d):
    save_array(d, "targets.npy", d.targets + 0.25)


@bad("mask.npy", "2")
def mask_with_2(d):
    m = np.ones(d.inputs.shape, dtype=np.int64)
    m[0, 2] = 2
    save_array(d, "mask.npy", m)


@bad("mask.npy", note="a sample without a single token")
def mask_without_token(d):
    m = np.ones(d.inputs.shape, dtype=np.int64)
    m[1] = 0
    save_array(d, "mask.npy", m)


@bad("mask.npy")
def mask_of_other_shape(d):
    save_array(d, "mask.npy", np.ones((len(d.inputs), d.inputs.shape[1] + 1), dtype=np.int64))


# --- paths -------------------------------------------------------------------------------------------------------------------------

@bad(MODEL, note="opening it must not wait for a writer")
def model_is_fifo(d):
    d.remove(MODEL)
    os.mkfifo(d.at(MODEL))


@bad("config.json")
def config_is_fifo(d):
    d.remove("config.json")
    os.mkfifo(d.at("config.json"))


@bad("checkpoint.fifo", note="the path itself is a FIFO")
def path_is_fifo(d):
    os.mkfifo(d.at("checkpoint.fifo"))
    return [d.at("checkpoint.fifo")]


@bad(MODEL)
def model_is_folder(d):
    d.remove(MODEL)
    os.makedirs(d.at(MODEL))


@bad(MODEL)
def model_is_dangling_link(d):
    d.remove(MODEL)
    os.symlink("nowhere", d.at(MODEL))


@bad("not_there")
def path_missing(d):
    return [d.at("not_there")]


# --- unusual but legal -------------------------------------------------------------------------------------------------------------

@legal
def legal_header_spaces(d):
    d.save(d.text().encode() + b" " * 100)


@legal
def legal_buffer_unaligned(d):
    text = d.text().encode()
    d.save(text + b" " * ((3 - len(text)) % 8))


@legal
def legal_header_in_other_order(d):
    d.save(dict(reversed(d.header.items())))


@legal
def legal_keys_in_other_order(d):
    d.save({k: dict(reversed(e.items())) for k, e in d.header.items()})


@legal
def legal_no_metadata(d):
    d.header.pop("__metadata__", None)
    d.save()


@legal
def legal_metadata(d):
    d.save({**d.header, "__metadata__": {"format": "pt", "note": "caf\u00e9 \u0394\U0001f600 {\"shape\": [1]}"}})


@legal
def legal_escaped_name(d):
    d.save(d.text().replace("mlp.c_fc", "\\u006dlp.c\\u005ffc").encode())


@legal
def legal_mask_buffer(d):
    size, prefix = d.config["block_size"], d.name(C_FC)[:-len("mlp.c_fc.weight")]
    triangle = np.tril(np.ones((size, size), dtype=np.uint8)).tobytes()
    d.rebuild(extra={prefix + "attn.bias": ("BOOL", [1, 1, size, size], triangle),
                     prefix + "attn.masked_bias": ("F32", [], struct.pack("<f", -np.inf))})


@legal
def legal_all_f64(d):
    names = [k for k in d.header if k != "__metadata__"]
    d.rebuild({k: ("F64", d.header[k]["shape"], d.values(k).astype("<f8").tobytes()) for k in names})


@legal
def legal_tied_copy(d):
    e = d.entry(WTE)
    d.rebuild({d.name(WTE).replace("transformer.wte", "lm_head"): (e["dtype"], e["shape"], d.data(WTE))})


@legal
def legal_shards(d):
    d.shard()


@legal
def legal_shards_of_other_names(d):
    d.shard()
    os.rename(d.at(d.shards[0]), d.at("first.safetensors"))
    d.write(INDEX, d.at(INDEX).read_text().replace(d.shards[0], "first.safetensors"))


@legal
def legal_inputs_fortran_order(d):
    save_array(d, "inputs.npy", np.asfortranarray(d.inputs.astype(np.int64)))


@legal
def legal_inputs_uint8(d):
    save_array(d, "inputs.npy", d.inputs.astype(np.uint8))


@legal
def legal_targets_int32(d):
    save_array(d, "targets.npy", d.targets.astype(np.int32))


@legal
def legal_mask_of_ones(d):
    save_array(d, "mask.npy", np.ones(d.inputs.shape, dtype=np.int64))


@legal
def legal_config_more_keys(d):
    d.save_config(dropout=0.5, compile=True, init_from="scratch", nested={"n_head": 99})


def damage(good, out):
    """Writes all variants that must be refused."""
    found = []
    for make, words in BAD:
        folder = Folder(good, out / make.__name__)
        more = make(folder) or []
        path = next((w for w in more if isinstance(w, Path)), folder.path)
        found.append(Variant(make.__name__, path, [*words, *(w for w in more if not isinstance(w, Path))]))
    return found


def harmless(good, out):
    """Writes the variants that must be read like the good folder; no words belong to them."""
    found = []
    for make in LEGAL:
        folder = Folder(good, out / make.__name__)
        make(folder)
        found.append(Variant(make.__name__, folder.path, []))
    return found
