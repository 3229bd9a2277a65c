"""PyTorch's files as .safetensors, which basin-problem checkpoint reads: save() writes any tensors, load() reads what
torch.save wrote, and it alone needs torch. This file can be used by itself, in any Python with NumPy."""
import itertools
import json
import math
import os
import pickle
import secrets
import sys
import tarfile
import textwrap
import types
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Of each type of numbers its name in the format, and the bytes of one.
TYPES = {"float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2),
         "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "bool": ("BOOL", 1),
         "int64": ("I64", 8), "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1),
         "uint64": ("U64", 8), "uint32": ("U32", 4), "uint16": ("U16", 2), "uint8": ("U8", 1)}
STATES = ("model", "state_dict", "model_state_dict", "module", "net", "ema")  # where a checkpoint may have its weights
NANOGPT = {"n_layer", "n_head", "n_embd", "block_size"}  # members of its model_args

Loaded = namedtuple("Loaded", "state config hint")  # name -> tensor; for config.json, or None; other settings, or None


def save(state_dict, path, config=None, metadata=None, overwrite=False):
    """Write name -> tensor (of torch or NumPy; or a module) to `path`, a .safetensors file, and `config`, a dict, to
    config.json beside it. Both appear when they are whole, and replace what is there only if told to `overwrite`."""
    if hasattr(state_dict, "state_dict"):
        state_dict = state_dict.state_dict()
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"found {kind_of(state_dict)}, expected a dict of tensors")
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a name that ends in .safetensors")
    metadata = {"format": "pt", **(metadata or {})}
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata {key!r}: found {value!r}, expected strings")
    facts = {name: facts_of(name, value) for name, value in state_dict.items()}
    header, end = {"__metadata__": metadata, **facts}, 0
    order = sorted(facts, key=lambda name: -facts[name][1])  # the widest numbers first: so all are aligned
    for name in order:
        kind, width, shape = facts[name]
        begin, end = end, end + width * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += -len(text) % 8 * b" "
    files = {path: itertools.chain([len(text).to_bytes(8, "little"), text], (bytes_of(state_dict[name]) for name in order))}
    if config is not None:
        try:
            files[path.with_name("config.json")] = [json.dumps(config, indent=2, allow_nan=False).encode() + b"\n"]
        except (TypeError, ValueError) as error:
            raise type(error)(f"config cannot be written as JSON: {error}") from None
    write(files, overwrite)


def facts_of(name, value):
    """What the header says of a tensor: its type, the bytes of a number, its shape."""
    if not isinstance(name, str):
        raise TypeError(f"found the name {name!r}, expected text")
    if (name in ("", ".", "..", "__metadata__") or any(c in "/\0" or "\ud800" <= c <= "\udfff" for c in name)
            or len(name.encode()) > 4096):  # which basin-problem refuses
        raise ValueError(f"a tensor cannot have the name {textwrap.shorten(repr(name), 80)}")
    name = shown(name)
    if not is_tensor(value):
        raise TypeError(f"{name}: found {kind_of(value)}, expected a tensor")
    if hasattr(value, "layout") and (str(value.layout) != "torch.strided" or value.device.type == "meta"):
        raise TypeError(f"{name}: found a tensor of {value.layout} on {value.device}, expected a dense one with its numbers")
    if type_of(value) not in TYPES:
        raise TypeError(f"{name}: found numbers of type {type_of(value)}, expected one of {', '.join(TYPES)}")
    return *TYPES[type_of(value)], [int(size) for size in value.shape]


def bytes_of(tensor):
    """The numbers of a tensor, row by row, the least significant byte of each first."""
    if not isinstance(tensor, (np.ndarray, np.generic)):
        torch = sys.modules["torch"]
        kind = type_of(tensor)
        tensor = tensor.detach().cpu().resolve_neg().contiguous()
        if kind == "bfloat16" or kind.startswith("float8"):  # which NumPy does not have
            tensor = tensor.view(torch.int16 if kind == "bfloat16" else torch.uint8)
        tensor = tensor.numpy()
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()


def is_tensor(value):
    torch = sys.modules.get("torch")  # if it is not there, nothing is its tensor
    return isinstance(value, (np.ndarray, np.generic)) or (torch is not None and isinstance(value, torch.Tensor))


def type_of(tensor):
    """"float32" for such numbers of NumPy (whatever the order of bytes) and of torch."""
    return getattr(tensor.dtype, "name", None) or str(tensor.dtype).rpartition(".")[2]


def write(files, overwrite):
    """Let each of the paths hold its pieces of bytes, or leave all as they are."""
    for path in files:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path}: found a directory or device, expected nothing or a file")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists; --overwrite (overwrite=True) replaces it")
    parts = {}
    try:
        for path, pieces in files.items():
            path = Path(os.path.realpath(path))  # a link is followed
            part = path.with_name(f".basin-export-{secrets.token_hex(8)}.part")
            with open(part, "xb") as stream:
                parts[part] = path
                for piece in pieces:
                    stream.write(piece)
            if path.exists():
                os.chmod(part, path.stat().st_mode & 0o777)
        for part, path in parts.items():
            os.replace(part, path)
    except BaseException:
        for part in parts:
            part.unlink(missing_ok=True)
        raise


def load(path, key=None, unsafe=False):
    """The state dict in a file of torch.save, under `key` or where it usually is; what the file has for a config.json; other
    settings in it. A file can be made to run any code as it is read: such a one is refused, unless `unsafe`."""
    import torch
    with open(path, "rb") as file:
        start = file.read(9)
        if start[8:] == b"{":
            raise ValueError("this is a .safetensors file already")
        file.seek(0)
        if not start.startswith((b"PK\3\4", b"\x80")) or tarfile.is_tarfile(file):  # in which torch 2.5 still ran code
            raise ValueError("found something else, expected a file that torch.save wrote (.pt, .pth, .bin, .ckpt)")
        try:
            found = (unsafe_objects if unsafe else plain_data)(torch, file)
        except pickle.UnpicklingError as error:
            reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition("\n")[0]
            raise ValueError(f"{reason}: it is no tensor, number, text, list or dict, and reading other objects can run any code. "
                             "Save the weights alone, torch.save(model.state_dict(), ...), or, if you trust whoever made the "
                             "file, use --unsafe (unsafe=True)") from None
        except Exception as error:
            raise ValueError(f"cannot be read: {type(error).__name__}: {error}") from error
    settings = found if isinstance(found, Mapping) else {}
    arguments, hint = settings.get("model_args"), settings.get("hyper_parameters")
    config = {"model_type": "nanogpt", **arguments} if isinstance(arguments, Mapping) and NANOGPT <= set(arguments) else None
    return Loaded(find_state(found, key), config, hint)


def unsafe_objects(torch, file):
    """What is in the file, of any kind. This runs what code it says."""
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=False)


def plain_data(torch, file):
    """What is in the file, if it is tensors, numbers, texts and containers of them; pickle.UnpicklingError if not."""
    file.seek(0)
    if file.read(2) == b"PK":
        file.seek(0)
        if "constants.pkl" in torch._C.PyTorchFileReader(file).get_all_records():
            raise pickle.UnpicklingError("found a TorchScript program")
    file.seek(0)
    own = torch.serialization._weights_only_unpickler
    if int(torch.__version__.partition(".")[0]) < 2:  # its own knows no float: no learning rate, no dropout
        torch.serialization._weights_only_unpickler = restricted(torch)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    finally:
        torch.serialization._weights_only_unpickler = own


def restricted(torch):
    """A module like pickle that makes tensors and plain containers, and calls nothing else."""
    allowed = {("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
    allowed |= {("torch", value.__name__): value for value in (torch.device, torch.Size)}
    allowed |= {("torch._utils", value.__name__): value for value in (
        torch._utils._rebuild_tensor, torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter)}
    allowed |= {("collections", value.__name__): value for value in (Counter, OrderedDict, defaultdict)}
    allowed |= {(module, value.__name__): value for module in ("builtins", "__builtin__") for value in (dict, list, set)}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            if (module, name) not in allowed:
                raise pickle.UnpicklingError(f"found {shown(f'{module}.{name}')}")
            return allowed[module, name]

    return types.SimpleNamespace(Unpickler=Unpickler, load=lambda file, **options: Unpickler(file, **options).load())


def find_state(found, key):
    """The state dict in what a file holds."""
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            raise ValueError(f"there is no key {key!r}: {contents(found)}")
        if state_of(found[key]) is None:
            raise ValueError(f"{key!r} is {kind_of(found[key])}, expected a state dict: {contents(found)}")
        return state_of(found[key])
    state = state_of(found)
    if state is not None and all(map(is_tensor, state.values())):
        return state
    keys = [name for name in STATES if isinstance(found, Mapping) and state_of(found.get(name)) is not None]
    if len(keys) != 1:
        some = f"several state dicts, {', '.join(map(repr, keys))}" if keys else "no state dict where it usually is"
        raise ValueError(f"found {some}; choose with --key (key=): {contents(found)}")
    return state_of(found[keys[0]])


def state_of(value):
    """Name -> tensor of a module or a dict that has tensors, else None."""
    if hasattr(value, "state_dict"):
        return value.state_dict()
    return value if isinstance(value, Mapping) and any(map(is_tensor, value.values())) else None


def contents(found):
    """What a file holds, in words."""
    if not isinstance(found, Mapping):
        return f"the file holds {kind_of(found)}"
    listed = [f"{name!r} ({kind_of(value)})" for name, value in list(found.items())[:12]]
    return "the file holds " + (", ".join(listed + ["..."] * (len(found) > 12)) or "nothing")


def kind_of(value):
    return f"a dict of {len(value)}" if isinstance(value, Mapping) else f"a value of type {type(value).__name__}"


def shown(name):
    """A name as a line of text can have it."""
    return name if name.isprintable() and name else repr(name)
