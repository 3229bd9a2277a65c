"""Result files as Python objects: the fields of the file, the tool's own verdict first, tables, pictures."""
import os
from contextlib import contextmanager

from .files import ResultError, open_result
from .words import as_html, as_text

_KEPT = 1 << 20  # bytes of a dataset that are kept once they were read


def read(path, folder=None):
    """The result of any Basin tool in the file at `path`: a `Result`.

    Nothing stays open; arrays are read when they are first asked for. folder: the temporary folder that the file is in, which
    is kept for as long as something of it may be asked for. Raises ValueError, with the name of the file, where it
    is not such a file.
    """
    file = _File(path, folder)
    with file.open() as result:
        result.text("/entry/verdict")  # or it is no result
        return Result(file, result.tool, result.tree())


class _File:
    """Where a result is: opened for each reading, from whatever working folder, and then the same as at first."""

    def __init__(self, path, folder):
        self.path, self.folder = os.fspath(path), folder
        self._absolute, self._stamp = os.path.abspath(self.path), None

    @contextmanager
    def open(self):
        """The open result; a ResultError inside gets the name of the file."""
        try:
            with open_result(self._absolute) as result:
                found = os.stat(self._absolute)
                stamp = (found.st_size, found.st_mtime_ns)
                self._stamp = self._stamp or stamp
                if stamp != self._stamp:
                    raise ResultError("has changed since it was read; read it again")
                yield result
        except ResultError as error:
            raise ResultError(f"{self.path}: {error}") from None


class Group:
    """A group of a result file: its members are attributes and, with the names that they have in the file, keys; a path
    leads further down, group["symmetries/modes"]. As attributes they have _ for - and . in their names. Datasets are arrays,
    numbers or strings."""

    def __init__(self, file, name, tree):
        self._file, self._name, self._tree = file, name, tree
        self._values = {}

    def __getitem__(self, name):
        head, _, rest = str(name).strip("/").partition("/")
        member = self._tree.members.get(head)
        if member is None or (rest and member.members is None):
            raise KeyError(self._has_no(name))
        if rest:
            return self[head][rest]
        if head in self._values:
            return self._values[head]
        where = f"{self._name.rstrip('/')}/{head}"
        if member.members is not None:
            value = Group(self._file, where, member)
        else:
            with self._file.open() as result:
                value = result.value(where)
        if getattr(value, "nbytes", 0) <= _KEPT:
            self._values[head] = value
        return value

    def __getattr__(self, name):
        if name.startswith("_"):  # asked by copy and pickle before there is anything
            raise AttributeError(name)
        for member in self._tree.members:
            if name == _identifier(member):
                return self[member]
        raise AttributeError(self._has_no(name))

    def __contains__(self, name):
        return self._tree.find(str(name)) is not None

    def __iter__(self):
        return iter(self._tree.members)

    def __len__(self):
        return len(self._tree.members)

    def __dir__(self):
        return sorted({*super().__dir__(), *filter(str.isidentifier, map(_identifier, self._tree.members))})

    def keys(self):
        """The names of the members, as in the file."""
        return list(self._tree.members)

    @property
    def attributes(self):
        """The attributes of the group: what its numbers are of, what is drawn over what."""
        return dict(self._tree.attributes)

    def attributes_of(self, name):
        """The attributes of a member, a dataset for instance. Raises KeyError where it is not there."""
        if name not in self:
            raise KeyError(self._has_no(name))
        return dict(self._tree.find(name).attributes)

    def columns(self):
        """The columns of the table that the group is, as arrays: its datasets of one dimension and the same length; those of
        another length, and whatever has more dimensions, are left out. Raises ValueError for a group that is no table."""
        shapes = [m.shape for m in self._tree.members.values() if m.members is None]
        rows = next((shape[0] for shape in shapes if len(shape) == 1), None)
        if rows is None:
            raise ResultError(f"{self._file.path}: {self._name} is no table: it has no dataset of one dimension")
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

    def _has_no(self, name):
        return f"{self._file.path}: {self._name} has no {name}; it has {', '.join(self._tree.members)}"

    def __repr__(self):
        return as_text(self.lines())

    def _repr_html_(self):
        return as_html(self.lines())


class Result(Group):
    """What a tool found: the members of /entry, `result["/"]` for the root of the file."""

    def __init__(self, file, tool, tree):
        super().__init__(file, "/entry", tree.members["entry"])
        #: The name of the tool: "basin-hessian".
        self.tool = tool
        #: Of a descent that was run from Python: the `Point` where it ended.
        self.point = None
        self._root = Group(file, "/", tree)

    def __getitem__(self, name):
        if str(name).startswith("/"):
            return self._root[name] if name.strip("/") else self._root
        return super().__getitem__(name)

    def __contains__(self, name):
        return name in self._root if str(name).startswith("/") else super().__contains__(name)

    @property
    def path(self):
        """Where the file is."""
        return self._file.path

    def lines(self):
        """The words of the tool, the verdict first."""
        fields = [name for name in self._tree.members if name not in ("title", "verdict", "provenance", "model")]
        return [*self["verdict"].rstrip("\n").split("\n"), f"({self.tool}, {self.path}; fields: {', '.join(fields)})"]

    def plot(self, which=None, log=None):
        """Draws a picture of basin-plot and returns its matplotlib axes, a list where there are several.

        which: its name ("sheet", "contour", ...; the first). log: the scale of loss, eigenvalues or gradient, True or False;
        None: by the range of the data. Your own settings of matplotlib are left alone; the figure is pyplot's current one.
        Raises ValueError for a name that is not there.
        """
        import matplotlib.pyplot as plt

        from .pictures import cli, style
        scale = {None: "auto", True: "log", False: "linear"}.get(log)
        if scale is None:
            raise ValueError(f"log: found {log!r}, expected True, False or None")
        with self._file.open() as result, style.applied():
            figures, more = map(dict, cli.pictures_of(result, scale))
            which = which or next(iter(figures))
            if which not in figures and which not in more:
                raise ResultError(f"no picture {which!r}; there are {', '.join([*figures, *more])}")
            figure = figures[which] if which in figures else more[which]()
            figure.draw_without_rendering()  # ticks are made when they are first drawn: in this style
        plt.figure(FigureClass=lambda *_, **__: figure)  # drawn already, it becomes one of pyplot's: notebooks show it
        return figure.axes[0] if len(figure.axes) == 1 else figure.axes


def _identifier(name):
    """The attribute that a member of this name is."""
    return name.replace("-", "_").replace(".", "_")


def _shape(member):
    if member.members is not None:
        return "group of " + ", ".join(member.members)
    return f"{member.type} {tuple(member.shape)}" if member.shape else member.type
