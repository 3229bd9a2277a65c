"""Open Basin result files, check them, and read their objects with clear errors."""
import os
from contextlib import contextmanager

import h5py
import numpy as np

FORMATS = {"result": ("1",), "problem": ("1", "2")}  # the major versions that are read, of each kind of file


class ResultError(ValueError):
    """A file is not what it should be; the message says what was found and what was expected."""


class Tree:
    """What a file has where: `members` by name, None for a dataset, which has a shape and a type; attributes, but for the
    references by which HDF5 ties axes to data."""

    def __init__(self, found):
        self.attributes = {name: found.attrs[name] for name in found.attrs if name not in ("DIMENSION_LIST", "REFERENCE_LIST")}
        self.members, self.shape, self.type = None, (), ""
        if isinstance(found, h5py.Group):
            self.members = {name: Tree(found[name]) for name in found if found.get(name) is not None}
        else:
            self.shape = found.shape or ()
            self.type = "string" if h5py.check_string_dtype(found.dtype) else str(found.dtype)

    def find(self, path):
        """The Tree of what is at `path` from here; None where nothing is."""
        found = self
        for name in filter(None, path.split("/")):
            found = None if found is None or found.members is None else found.members.get(name)
        return found


class Result:
    """An open result file whose header has been checked."""

    def __init__(self, file, name="", kind="result"):
        self._file, self.name = file, name
        self.tool = "problem" if kind == "problem" else self.attribute("/", "basin_tool")

    def __contains__(self, name):
        return name in self._file

    def tree(self):
        """All that there is, without the numbers: a Tree."""
        return Tree(self._file["/"])

    def value(self, name):
        """The dataset `name` as it is: an array, a number, a string, or a list of strings as an array of them."""
        if self.is_text(name):
            value = self._strings(name)
            return value if isinstance(value, str) else np.asarray(value, dtype=object)
        value = self._file[name][()]
        return value.item() if np.ndim(value) == 0 else value

    def part(self, name):
        """The Result whose file is kept whole in the group `name`."""
        group = self._file.get(name)
        if not isinstance(group, h5py.Group):
            raise ResultError(f"{name}: found {'nothing' if group is None else 'a dataset'}, expected a group")
        return Result(_Inside(group))

    def attribute(self, name, key):
        """The string attribute `key` of the object `name`."""
        if name not in self._file:
            raise ResultError(f"{name} is missing")
        value = self._file[name].attrs.get(key)
        if not isinstance(value, str):
            found = "nothing" if value is None else f"a {type(value).__name__}"
            raise ResultError(f"attribute {key} of {name}: found {found}, expected a string")
        return value

    def list_attribute(self, name, key):
        """The attribute `key` of the object `name`, a list of strings."""
        value = self._file[name].attrs.get(key) if name in self._file else None
        if not isinstance(value, np.ndarray) or not all(isinstance(entry, str) for entry in value):
            raise ResultError(f"attribute {key} of {name}: found {value!r}, expected a list of strings")
        return list(value)

    def members(self, name):
        """Names of the members of the group `name`, in alphabetical order."""
        group = self._file.get(name)
        if not isinstance(group, h5py.Group):
            raise ResultError(f"{name}: found {'nothing' if group is None else 'a dataset'}, expected a group")
        return sorted(group)

    def has_attribute(self, name, key):
        """Whether the object `name` has an attribute `key`."""
        return key in self._file[name].attrs

    def is_text(self, name):
        """Whether the dataset `name` holds strings."""
        data = self._file.get(name)
        return isinstance(data, h5py.Dataset) and h5py.check_string_dtype(data.dtype) is not None

    def count(self, name, key):
        """The integer attribute `key` of the object `name`."""
        value = self._file[name].attrs.get(key)
        if not isinstance(value, (int, np.integer)):
            raise ResultError(f"attribute {key} of {name}: found {value!r}, expected an integer")
        return int(value)

    def numbers(self, name, ndim, finite=True, empty=False):
        """The dataset `name` as a float64 array of `ndim` dimensions; None for any number of them."""
        values = self._read(name, "numbers", lambda data: data.dtype.kind in "iuf", lambda data: data[()])
        if ndim is not None and values.ndim != ndim:
            raise ResultError(f"{name}: found shape {values.shape}, expected {ndim} dimension(s)")
        if values.size == 0 and not empty:
            raise ResultError(f"{name}: found an empty array, expected at least one number")
        values = np.asarray(values, dtype=float)
        if finite and not np.isfinite(values).all():
            bad = np.count_nonzero(~np.isfinite(values))
            raise ResultError(f"{name}: found {bad} of {values.size} values NaN or infinite, expected none")
        return values

    def number(self, name, finite=True):
        """The scalar dataset `name` as a float."""
        return float(self.numbers(name, 0, finite))

    def text(self, name):
        """The scalar string dataset `name`."""
        value = self._strings(name)
        if not isinstance(value, str):
            raise ResultError(f"{name}: found an array of strings, expected one string")
        return value

    def texts(self, name, empty=False):
        """The string dataset `name` of one dimension, as a list."""
        value = self._strings(name)
        if np.ndim(value) != 1 or (len(value) == 0 and not empty):
            found = "one string" if np.ndim(value) == 0 else f"shape {value.shape}"
            raise ResultError(f"{name}: found {found}, expected a list of strings")
        return list(value)

    def table(self, group, texts, numbers, perhaps=(), empty=False):
        """The rows, as dictionaries, of the table in `group`: a dataset for each of its columns. Numbers in the
        columns `perhaps` may be NaN: not known. `empty`: there may be no rows."""
        columns = {name: np.array(self.texts(f"{group}/{name}", empty), object) for name in texts}
        columns.update((name, self.numbers(f"{group}/{name}", 1, name not in perhaps, empty)) for name in numbers)
        length = columns[texts[0]].shape
        same_shape(length, **{f"{group}/{name}": column for name, column in columns.items()})
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def _strings(self, name):
        return self._read(name, "strings", lambda data: h5py.check_string_dtype(data.dtype) is not None,
                          lambda data: data.asstr(errors="replace")[()])

    def _read(self, name, kind, fits, read):
        data = self._file.get(name)
        if data is None:
            raise ResultError(f"{name} is missing")
        if not isinstance(data, h5py.Dataset) or not fits(data):
            found = "a group" if isinstance(data, h5py.Group) else f"type {data.dtype}"
            raise ResultError(f"{name}: found {found}, expected {kind}")
        if data.shape is None:
            raise ResultError(f"{name}: found an empty dataset, expected {kind}")
        try:
            return read(data)
        except (OSError, RuntimeError, KeyError) as error:  # what h5py raises for damaged data
            raise ResultError(f"{name} cannot be read: {error}") from error


class _Inside:
    """A group that is read as a file: names from the root are those in the group."""

    def __init__(self, group):
        self._group = group

    def __contains__(self, name):
        return name == "/" or name.lstrip("/") in self._group

    def __getitem__(self, name):
        return self._group if name == "/" else self._group[name.lstrip("/")]

    def get(self, name):
        return self[name] if name in self else None


def same_shape(shape, **arrays):
    """Raise ResultError for the first of the named arrays whose shape is not `shape`."""
    for name, array in arrays.items():
        if array.shape != shape:
            raise ResultError(f"{name}: found shape {array.shape}, expected {shape}")


@contextmanager
def open_result(path, kinds=("result",)):
    """The checked Result of the file at `path`, of one of these kinds, open for the length of the with block."""
    if not os.path.exists(path):
        raise ResultError("no such file")
    if not os.path.isfile(path):
        raise ResultError("found a directory or device, expected an HDF5 file")
    try:
        with open(path, "rb"):
            pass
        if not h5py.is_hdf5(path):
            raise ResultError("not an HDF5 file, expected a Basin result file")
        with h5py.File(path, "r") as file:
            yield Result(file, os.path.basename(path), _checked_kind(file, kinds))
    except (OSError, RuntimeError) as error:  # h5py raises them for damaged files, too
        raise ResultError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _checked_kind(file, kinds):
    kind = file.attrs.get("basin_file")
    if not isinstance(kind, str):
        raise ResultError("no root attribute basin_file, expected a Basin result file (basin_file = result)")
    if kind not in kinds:
        raise ResultError(f"found a Basin {kind} file, expected a result file")
    version = str(file.attrs.get("basin_format", "none"))
    if version.partition(".")[0] not in FORMATS[kind]:
        raise ResultError(f"found format version {version}, expected {' or '.join(FORMATS[kind])}.x")
    return kind
