"""Result files as Python objects: the fields of the file, the tool's own verdict first, tables, pictures."""
import os

import numpy as np

from .files import ResultError, open_result
from .words import as_html, as_text

_KEPT = 1 << 20  # bytes of a dataset that are kept once they were read


def read(path, folder=None):
    """The result of any Basin tool in the file at `path`: a `Result`.

    Nothing stays open; arrays are read when they are first asked for. folder: the temporary folder that the file is in, which
    is kept for as long as something of it may be asked for. Raises ValueError, with the name of the file, where it
    is not such a file.
    """
    path = os.fspath(path)
    try:
        with open_result(path) as result:
            return Result(path, result.tool, result.tree(), folder)
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from None


class Group:
    """A group of a result file: its members are attributes and, with the names that they have in the file, keys; a path
    leads further down, group["symmetries/modes"]. Datasets are arrays, numbers or strings."""

    def __init__(self, path, name, tree, folder=None):
        self._path, self._name, self._tree, self._folder = path, name, tree, folder
        self._values = {}

    def __getitem__(self, name):
        head, _, rest = str(name).strip("/").partition("/")
        if head not in self._tree.members:
            raise KeyError(f"{self._path}: {self._name} has no {head}; it has {', '.join(self._tree.members)}")
        member = self._tree.members[head]
        if rest:
            return self[head][rest]
        if head in self._values:
            return self._values[head]
        where = f"{self._name.rstrip('/')}/{head}"
        if member.members is not None:
            value = Group(self._path, where, member, self._folder)
        else:
            with open_result(self._path) as result:
                value = result.value(where)
        if getattr(value, "nbytes", 0) <= _KEPT:
            self._values[head] = value
        return value

    def __getattr__(self, name):
        if not name.startswith("_"):
            for member in self._tree.members:
                if name in (member, member.replace("-", "_").replace(".", "_")):
                    return self[member]
        raise AttributeError(f"{self._path}: {self._name} has no {name}; it has {', '.join(self._tree.members)}")

    def __contains__(self, name):
        try:
            return self[name] is not None
        except KeyError:
            return False

    def __iter__(self):
        return iter(self._tree.members)

    def __len__(self):
        return len(self._tree.members)

    def __dir__(self):
        return sorted({*super().__dir__(), *(name.replace("-", "_").replace(".", "_") for name in self._tree.members)})

    def keys(self):
        """The names of the members, as in the file."""
        return list(self._tree.members)

    @property
    def attributes(self):
        """The attributes of the group: units, what is drawn over what."""
        return dict(self._tree.attributes)

    def columns(self):
        """The columns of the table that the group is, as arrays: its datasets of one dimension and the same length; those of
        another length, and whatever has more dimensions, are left out. Raises ValueError for a group that is no table."""
        shapes = [m.shape for m in self._tree.members.values() if m.members is None]
        rows = next((shape[0] for shape in shapes if len(shape) == 1), None)
        if rows is None:
            raise ResultError(f"{self._path}: {self._name} is no table: it has no dataset of one dimension")
        return {name: self[name] for name, m in self._tree.members.items() if m.members is None and m.shape == (rows,)}

    def table(self):
        """The rows of that table, each a dictionary."""
        columns = self.columns()
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def to_pandas(self):
        """That table as a pandas DataFrame. Raises ImportError without pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("pandas is not there (Debian: python3-pandas); table() and columns() do without") from error
        return pandas.DataFrame(self.columns())

    def lines(self):
        """What there is."""
        return [self._name] + [f"  {name}: {_shape(member)}" for name, member in self._tree.members.items()]

    def __repr__(self):
        return as_text(self.lines())

    def _repr_html_(self):
        return as_html(self.lines())


class Result(Group):
    """What a tool found: the members of /entry, `result["/"]` for the root of the file."""

    def __init__(self, path, tool, tree, folder):
        super().__init__(path, "/entry", tree.members["entry"], folder)
        self._root, self.tool = Group(path, "/", tree, folder), tool
        #: Of a descent that was run from Python: the `Point` where it ended.
        self.point = None

    def __getitem__(self, name):
        if str(name).startswith("/"):
            return self._root[name] if name.strip("/") else self._root
        return super().__getitem__(name)

    @property
    def path(self):
        """Where the file is."""
        return self._path

    def lines(self):
        """The words of the tool, the verdict first."""
        fields = [name for name in self._tree.members if name not in ("title", "verdict", "provenance", "model")]
        return [*self["verdict"].rstrip("\n").split("\n"), f"({self.tool}, {self._path}; fields: {', '.join(fields)})"]

    def plot(self, which=None, log=None):
        """Draws a picture of basin-plot and returns its matplotlib axes, a list where there are several.

        which: its name ("sheet", "contour", ...; the first). log: the scale of loss, eigenvalues or gradient, True or False;
        None: by the range of the data. Your own settings of matplotlib are left alone.
        Raises ValueError for a name that is not there.
        """
        import matplotlib.pyplot as plt

        from .pictures import cli, style
        scale = {None: "auto", True: "log", False: "linear"}[log]
        with open_result(self._path) as result, plt.ioff(), style.among_others(plt.figure):
            before = set(plt.get_fignums())
            figures = dict(cli.PICTURES[self.tool](result, scale))
            later = dict(cli.MORE_PICTURES[self.tool](result, scale)) if self.tool in cli.MORE_PICTURES else {}
            which = which or next(iter(figures))
            if which in later:
                figures[which] = later[which]()
            chosen = figures.get(which)
            for number in set(plt.get_fignums()) - before:
                if chosen is None or number != chosen.number:
                    plt.close(number)
        if chosen is None:
            raise ResultError(f"{self._path}: no picture {which!r}; there are {', '.join([*figures, *later])}")
        return chosen.axes[0] if len(chosen.axes) == 1 else chosen.axes


def _shape(member):
    if member.members is not None:
        return "group of " + ", ".join(member.members)
    return f"{member.type} {tuple(member.shape)}" if member.shape else member.type
