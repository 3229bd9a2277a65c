"""Safetensors files from the public description of the format. A tensor here is what the file has: (type, shape, bytes)."""

import json
import struct

import numpy as np

SIZES = {"BOOL": 1, "U8": 1, "F8_E4M3": 1, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}
KINDS = {"BOOL": "?", "U8": "u1", "F16": "<f2", "I32": "<i4", "F32": "<f4", "I64": "<i8", "F64": "<f8"}


def numbers(tensor):
    """The values of a tensor, in float64."""
    kind, shape, data = tensor
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape).astype(float)
    return np.frombuffer(data, KINDS[kind]).reshape(shape).astype(float)


def packed(values, kind):
    """The tensor with these values (BF16: those that it holds exactly)."""
    values = np.asarray(values)
    if kind == "BF16":
        data = (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    else:
        data = values.astype(KINDS[kind]).tobytes()
    return kind, list(values.shape), data


def pack(tensors, metadata=None):
    """The header (a dictionary) and the buffer of a file, in the order given."""
    header, buffer = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(buffer), len(buffer) + len(data)]}
        buffer += data
    return header, buffer


def join(header, buffer, length=None):
    """The bytes of a file. header: dictionary or bytes; length: the length to claim for it (default: the true one)."""
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + buffer


def split(data):
    """The header (a dictionary) and the buffer of the bytes of a file."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def write(path, tensors, metadata=None):
    """Writes one file as the reference writer does: wide types first, then by name."""
    ordered = sorted(tensors.items(), key=lambda item: (-SIZES[item[1][0]], item[0]))
    path.write_bytes(join(*pack(dict(ordered), metadata)))


def write_shards(folder, groups, metadata=None):
    """Writes one file for every dictionary of tensors in groups, and the index."""
    where, size = {}, 0
    for i, group in enumerate(groups):
        name = f"model-{i + 1:05}-of-{len(groups):05}.safetensors"
        write(folder / name, group, metadata)
        where.update({k: name for k in group})
        size += sum(len(data) for _, _, data in group.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(where.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def read_file(path):
    """Name -> tensor, in the order of the header."""
    header, buffer = split(path.read_bytes())
    return {name: (e["dtype"], e["shape"], buffer[slice(*e["data_offsets"])]) for name, e in header.items() if name != "__metadata__"}


def read(folder):
    """All tensors of a checkpoint folder, with or without shards."""
    index = folder / "model.safetensors.index.json"
    files = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]
    return {name: tensor for file in files for name, tensor in read_file(folder / file).items()}
