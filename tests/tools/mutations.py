"""Damage to files: each mutation is drawn from a random.Random and says in words what it did."""

import math
import struct

import h5py
import numpy as np

NUMBERS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 0.5, 2.0**31, 2.0**53 + 2, 2.0**62, 1e300, -1e300, 5e-324)
STRINGS = ("", "x" * 100000, "one\ntwo = 2\n", "softmax\0", "%s%n", "-1", "1e400", "nan", "18446744073709551616",
           b"\xff\xfe\x00\x9b\x1b[31m", bytes(range(1, 256)), "\u202e\u2028")


def garbled(random, text):
    """A string, or one near to it."""
    if random.random() < 0.5 or not text:
        return random.choice(STRINGS)
    text = bytearray(text.encode() if isinstance(text, str) else text)
    for _ in range(random.choice((1, 1, 8))):
        text[random.randrange(len(text))] = random.choice(b"0123456789=,:\n \xff\x01-")
    return bytes(text)


def objects(file):
    """Paths of all groups and datasets below the root."""
    paths = []
    file.visit(paths.append)
    return paths


def put_string(file, path, value):
    """One string of variable length, of any bytes."""
    value = value.encode() if isinstance(value, str) else value
    kind = h5py.h5t.py_create(h5py.string_dtype("utf-8"), logical=True)
    parent, _, name = path.rpartition("/")
    parent = file[parent] if parent else file
    dataset = h5py.h5d.create(parent.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(value.split(b"\0")[0], dtype=object), mtype=kind)


def replaced(file, path, values, **kwargs):
    del file[path]
    file.create_dataset(path, data=values, **kwargs)


def change_link(random, file, path):
    """Deleted, renamed, or leading somewhere else."""
    how = random.choice(("deleted", "renamed", "dangling", "external", "soft", "hard", "loop"))
    other = random.choice(objects(file))
    if how == "renamed":
        file.move(path, path + "x")
        return f"{path} renamed"
    target = file[other] if how == "hard" else None
    del file[path]
    if how == "dangling":
        file[path] = h5py.SoftLink("/nowhere")
    elif how == "external":
        file[path] = h5py.ExternalLink("gone.h5", "/x")
    elif how == "soft":
        file[path] = h5py.SoftLink("/" + other)
    elif how == "loop":
        file[path] = h5py.SoftLink("/" + path)
    elif how == "hard":
        file[path] = target
    return f"{path}: {how} link to {other}"


def change_shape(random, file, path):
    values = file[path][()]
    if not isinstance(values, np.ndarray) or values.dtype.hasobject:
        values = np.zeros(3) if random.random() < 0.5 else values
    values = np.asarray(values)
    how = random.choice(("empty", "null", "scalar", "flat", "deeper", "transposed", "shorter", "longer"))
    if how == "null":
        replaced(file, path, h5py.Empty("f8"))
    elif how == "empty":
        replaced(file, path, np.zeros((0,) + values.shape[1:]))
    elif how == "scalar":
        replaced(file, path, 1.0 if values.size == 0 or values.dtype.hasobject else values.flat[0])
    elif values.dtype.hasobject:
        replaced(file, path, np.zeros(2))
    elif how == "flat":
        replaced(file, path, values.ravel())
    elif how == "deeper":
        replaced(file, path, values[None])
    elif how == "transposed":
        replaced(file, path, values.T)
    elif how == "shorter" and values.ndim > 0:
        replaced(file, path, values[:-1])
    else:
        replaced(file, path, np.concatenate([np.atleast_1d(values)] * 2))
    return f"{path}: {how}"


def change_type(random, file, path):
    values = np.asarray(file[path][()])
    kind = random.choice(("i4", "u1", "f2", "f4", ">f8", "?", "c16", "text", "compound"))
    if values.dtype.kind not in "fiu" or kind == "text":
        replaced(file, path, np.full(values.shape, "7", dtype="S3"))
    elif kind == "compound":
        replaced(file, path, np.zeros(values.shape, dtype=[("a", "f8"), ("b", "i4")]))
    else:
        with np.errstate(all="ignore"):
            replaced(file, path, values.astype(kind))
    return f"{path}: of type {kind}"


def change_values(random, file, path):
    """One number, or all; a string."""
    values = file[path][()]
    if isinstance(values, bytes):
        del file[path]
        text = garbled(random, values)
        put_string(file, path, text)
        return f"{path}: string {text[:40]!r}"
    if not isinstance(values, np.ndarray):
        values = np.asarray(values)
    if values.dtype.hasobject or values.dtype.kind not in "fiu" or values.size == 0:
        return change_link(random, file, path)
    number = random.choice(NUMBERS)
    values = values.astype("f8")
    if random.random() < 0.7:
        values.flat[random.randrange(values.size)] = number
    else:
        values[...] = number
    replaced(file, path, values)
    return f"{path}: {number}"


def change_storage(random, file, path):
    """More declared than is there."""
    how = random.choice(("huge", "huge chunks", "never written", "partly written", "virtual", "external"))
    shape = file[path].shape if isinstance(file[path], h5py.Dataset) else (2,)
    rank = max(1, len(shape))
    del file[path]
    if how == "huge":
        file.create_dataset(path, (2 ** (random.choice((30, 40, 58)) // rank),) * rank, "f8")
    elif how == "huge chunks":
        file.create_dataset(path, (2**40,) + (1,) * (rank - 1), "f8", chunks=(1024,) + (1,) * (rank - 1))
    elif how == "never written":
        file.create_dataset(path, shape, "f8")
    elif how == "partly written":
        data = file.create_dataset(path, (4,) * rank, "f8", chunks=(1,) * rank)
        data[(0,) * rank] = 1
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape=shape or (2,), dtype="f8")
        layout[...] = h5py.VirtualSource("gone.h5", "x", shape=shape or (2,))
        file.create_virtual_dataset(path, layout)
    else:
        file.create_dataset(path, shape or (2,), "f8", external=[("gone.bin", 0, h5py.h5f.UNLIMITED)])
    return f"{path}: {how}"


def change_kind(random, file, path):
    """A group where a dataset was, or a dataset for a group."""
    group = isinstance(file[path], h5py.Group)
    del file[path]
    if group:
        file[path] = 1.0
    else:
        file.create_group(path)
    return f"{path}: {'dataset' if group else 'group'} instead"


def change_attribute(random, file, path):
    there = file if random.random() < 0.3 else file[path]
    names = list(there.attrs)
    if not names or random.random() < 0.15:
        name = random.choice(("scale", "NX_class", "kernel", "bandwidth", "basin_file", "b\u00fc"))
        there.attrs[name] = random.choice((1.0, "x", np.zeros(3)))
        return f"{there.name}: attribute {name} added"
    name = random.choice(names)
    value = there.attrs[name]
    how = random.choice(("deleted", "string", "number", "array", "empty"))
    del there.attrs[name]
    if how == "string":
        text = garbled(random, value if isinstance(value, str) else "1")
        text = text if isinstance(text, bytes) else text.encode()
        there.attrs[name] = np.bytes_(text or b"?")
    elif how == "number":
        there.attrs[name] = random.choice(NUMBERS)
    elif how == "array":
        there.attrs[name] = np.arange(3.0)
    elif how == "empty":
        there.attrs[name] = h5py.Empty("f8")
    return f"{there.name}: attribute {name}: {how}"


STRUCTURE = (change_link, change_shape, change_type, change_values, change_values, change_storage, change_kind,
             change_attribute)


def change_bytes(random, path):
    """Truncated, flipped, overwritten, or with something inserted."""
    data = bytearray(path.read_bytes())
    how = random.choice(("truncated", "flipped", "flipped", "byte", "zeros", "noise", "inserted", "appended", "emptied"))
    at = random.randrange(len(data))
    if random.random() < 0.6:  # where the structure is
        at = at % min(len(data), 4096)
    if how == "truncated":
        del data[at:]
    elif how == "flipped":
        for _ in range(random.choice((1, 1, 4))):
            data[(at + random.randrange(64)) % len(data)] ^= 1 << random.randrange(8)
    elif how == "byte":
        data[at] = random.choice((0, 1, 0x7f, 0x80, 0xff))
    elif how == "zeros":
        data[at:at + 16] = bytes(len(data[at:at + 16]))
    elif how == "noise":
        data[at:at + 8] = struct.pack("<Q", random.getrandbits(64))
    elif how == "inserted":
        data[at:at] = bytes(random.randrange(256) for _ in range(random.choice((1, 7, 64))))
    elif how == "appended":
        data += bytes(random.randrange(256) for _ in range(100))
    else:
        data.clear()
    path.write_bytes(bytes(data))
    return f"bytes at {at}: {how}"


def change_hdf5(random, path):
    """In the structure twice out of three times, else in the bytes."""
    if random.random() < 0.35:
        return change_bytes(random, path)
    with h5py.File(path, "a") as file:
        for _ in range(20):
            target = random.choice(objects(file))
            how = random.choice(STRUCTURE)
            if how in (change_shape, change_type, change_values) and not isinstance(file[target], h5py.Dataset):
                continue
            try:
                return how(random, file, target)
            except (ValueError, TypeError, OSError, RuntimeError, KeyError) as error:  # what h5py will not write
                return f"{target}: {how.__name__}, half done: {error}"
    return change_bytes(random, path)


def change_lines(random, path):
    """Of a text of lines: one less, twice, garbled, exchanged; or its bytes."""
    if random.random() < 0.4:
        return change_bytes(random, path)
    lines = path.read_bytes().split(b"\n")
    at = random.randrange(len(lines))
    how = random.choice(("deleted", "twice", "garbled", "exchanged", "number"))
    if how == "deleted":
        del lines[at]
    elif how == "twice":
        lines.insert(at, lines[at])
    elif how == "garbled":
        text = garbled(random, lines[at])
        lines[at] = text if isinstance(text, bytes) else text.encode()
    elif how == "exchanged":
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] += random.choice((b" 99999999999999999999", b" nan", b" -1", b"= =", b"\xff"))
    path.write_bytes(b"\n".join(lines))
    return f"line {at}: {how}"


def change_npy(random, path):
    """Another shape, type or values; or bytes."""
    if random.random() < 0.5:
        return change_bytes(random, path)
    values = np.load(path)
    how = random.choice(("nan", "shape", "type", "order", "empty"))
    if how == "nan":
        values.flat[random.randrange(values.size)] = random.choice(NUMBERS)
    elif how == "shape":
        values = random.choice((values[0], values[None], values.ravel(), values[:1]))
    elif how == "type":
        values = values.astype(random.choice(("i8", "f2", ">f8", "c16", "U5", "f4")))
    elif how == "order":
        values = np.asfortranarray(values)
    else:
        values = values[:0]
    np.save(path, values)
    return f"array: {how}"
