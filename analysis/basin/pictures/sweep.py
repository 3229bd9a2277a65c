"""basin-sweep: what holds at random initialisations, over a grid of options."""
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import eigenvalue_bands, phase, sweep_numbers
from ..files import same_shape
from .style import block_label, escape

MAIN = "positive_definite"
MOST_COLUMNS = 4  # of panels, for the values of an axis of words
MOST_LISTED = 6  # values of an axis in the footer
NAMES = {"D": "embedding dimension D", "N": "samples N", "n": "tokens n", "H": "heads H",
         "d": "head dimension d"}
LETTERS = {"samples": "N", "tokens": "n", "embedding": "D", "heads": "H", "head-dim": "d",
           "outputs": "D_out"}


@dataclass(frozen=True)
class Axis:
    """An axis of a sweep; options that vary together are one axis."""
    name: str
    labels: list  # of its values, for ticks
    numbers: np.ndarray  # its values, or None for words
    is_variable: bool = False  # of the description of a network, whatever its name is

    @property
    def numeric(self):
        return self.numbers is not None

    @property
    def size(self):
        return len(self.labels)

    @property
    def label(self):
        """For an axis of a picture."""
        option, _, block = self.name.partition(".")
        if self.is_variable:
            return self.short_label
        if block:
            return f"{escape(option)} of {block_label(block)}"
        return NAMES.get(self.name, self.short_label)

    @property
    def short_label(self):
        """Where there is little room."""
        return escape(self.name.replace("-", " "))

    def title(self, place):
        """A value, in the title of a panel."""
        label = escape(self.labels[place])
        return label if self.name in ("kernel", "init") else f"{escape(self.name)} {label}"

    @property
    def text(self):
        """For the footer: "N = 4, 8, 16"."""
        labels = self.labels
        if self.size > MOST_LISTED:
            labels = [*labels[:2], "\N{HORIZONTAL ELLIPSIS}", labels[-1]]
        return f"{self.name} = {', '.join(labels)}"


@dataclass(frozen=True)
class Sweep:
    """A sweep as its pictures arrange it: columns of panels, and in each an axis y over an axis x. What is
    over lies in the draws of a cell."""
    columns: Axis
    y: Axis
    x: Axis
    quantities: dict  # name -> (columns, y, x, draws), NaN where there is no number
    verdicts: list  # names of the quantities that are verdicts
    footer: list

    def parts(self, what):
        """Name -> values of the quantities PART/WHAT, or WHAT alone, that have numbers; PART is the name."""
        found = {}
        for name, values in self.quantities.items():
            part, _, last = name.rpartition("/")
            if last == what and not np.isnan(values).all():
                found[part] = values
        return found


def pictures(result, scale):
    """(name, figure) of what a sweep is for: where its main verdict holds, how small the eigenvalues of kernels are, and
    what else was measured."""
    data = read(result)
    made = [(f"phase_{what}", phase.draw(data, what)) for what in verdicts(data)[:1]]
    if data.x.numeric and data.parts("lambda_min"):
        made.append(("lambda_min", eigenvalue_bands.draw(data, scale)))
    if sweep_numbers.shown(data):
        made.append(("numbers", sweep_numbers.draw(data, scale)))
    return made or [("phase", phase.draw_nothing(data))]


def more_pictures(result, scale):
    """(name, function that draws it) of each further picture: where each of the other verdicts holds."""
    data = read(result)
    return [(f"phase_{what}", partial(phase.draw, data, what)) for what in verdicts(data)[1:]]


def verdicts(data):
    """Names of the verdicts with a picture of their own, the one that the sweep is about first."""
    shown_together = set(phase.DEFINITENESS.values()) - {MAIN}
    whats = dict.fromkeys(name.rpartition("/")[2] for name in data.verdicts)
    return sorted((what for what in whats if what not in shown_together and data.parts(what)), key=lambda what: what != MAIN)


def read(result):
    """The Sweep in a result file."""
    axes = read_axes(result)
    kinds = dict(line.removeprefix("quantity ").split(" = ")
                 for line in result.text("/entry/sweep/specification").splitlines()
                 if line.startswith("quantity "))
    computed = result.numbers("/entry/draws/computed", len(axes) + 1)
    shape = (*(axis.size for axis in axes), computed.shape[-1])
    same_shape(shape, **{"/entry/draws/computed": computed})
    columns, y, x = arrange(axes)
    rest = [axis for axis in axes if axis not in (columns, y, x)]
    places = [axes.index(axis) for axis in (columns, y, x, *rest) if axis]
    order = [np.argsort(axis.numbers) if axis.numeric else np.arange(axis.size) for axis in axes]

    def arranged(name):
        values = result.numbers(name, computed.ndim, finite=False)
        same_shape(shape, **{name: values})
        values = values[np.ix_(*order, np.arange(shape[-1]))].transpose(*places, len(axes))
        sizes = [axis.size if axis else 1 for axis in (columns, y, x)]
        return values.reshape(*sizes, -1)

    quantities = {name: arranged(f"/entry/draws/{name}") for name in kinds}
    verdicts = [name for name, kind in kinds.items() if kind == "verdict"]
    return Sweep(*(ascending(axis) if axis else None for axis in (columns, y, x)), quantities, verdicts,
                 footer(result, computed, rest))


def read_axes(result):
    """The axes in the order of the file."""
    members = {}  # axis -> names of its options
    names = result.list_attribute("/entry/axes", "axes")
    for name in result.members("/entry/axes"):
        if result.has_attribute(f"/entry/axes/{name}", "axis"):
            members.setdefault(result.count(f"/entry/axes/{name}", "axis"), []).append(name)
    axes = []
    for place, first in enumerate(names):
        options = [first, *(name for name in members.get(place, []) if name != first)]
        values = [read_values(result, f"/entry/axes/{name}") for name in options]
        same_shape(values[0][1].shape, **{f"/entry/axes/{n}": v[1] for n, v in zip(options, values)})
        option = f"/entry/axes/{first}"
        variable = result.has_attribute(option, "option") and result.attribute(option, "option").startswith("set.")
        axes.append(Axis(", ".join(options), [", ".join(labels) for labels in zip(*(v[0] for v in values))],
                         values[0][2], variable))
    return axes


def read_values(result, name):
    """Labels, an array of them, and the numbers or None for words."""
    if result.is_text(name):
        labels = result.texts(name)
        return labels, np.array(labels), None
    numbers = result.numbers(name, 1)
    labels = [f"{number:.12g}" for number in numbers]
    return labels, np.array(labels), numbers


def arrange(axes):
    """Which axes are columns of panels, y and x; None where there are not so many. Words make columns,
    numbers the axes of a panel."""
    numeric = [axis for axis in axes if axis.numeric]
    words = [axis for axis in axes if not axis.numeric]
    few = [axis for axis in words if axis.size <= MOST_COLUMNS]
    columns = few[0] if numeric and few else None
    inside = [*numeric, *(axis for axis in words if axis is not columns)]
    return columns, inside[1] if len(inside) > 1 else None, inside[0]


def ascending(axis):
    """The axis with its numbers in ascending order."""
    if not axis.numeric:
        return axis
    order = np.argsort(axis.numbers)
    return Axis(axis.name, [axis.labels[i] for i in order], axis.numbers[order], axis.is_variable)


def footer(result, computed, rest):
    """Lines: what is the same in all cells; how many draws; what is taken together."""
    names = result.members("/entry/sweep/options")
    options = {name: result.text(f"/entry/sweep/options/{name}") for name in names}
    fixed = [f"{options['kernel']} kernel"] if "kernel" in options else []
    fixed += [text.replace("=", " = ", 1) for text in options.get("set", "").split()]
    sizes = ", ".join(f"{letter} = {options[name]}" for name, letter in LETTERS.items() if name in options)
    repeats = computed.shape[-1]
    same_data = "data-seed" in options or "inputs" in options or kind(result) == "problem"
    drawn = "weights, data fixed" if same_data else "data and weights"
    draws = [f"{repeats} draw{'s' if repeats > 1 else ''} of {drawn} in each cell"]
    if options.get("init") == "file":
        draws = ["weights of the file"]
    if "train" in options:
        draws.append(f"trainable: {options['train'].replace(',', ', ')}")
    if (computed == 0).any():
        draws.append(f"{np.count_nonzero(computed)} of {computed.size} draws computed")
    together = [f"taken together: {'; '.join(axis.text for axis in rest)}"] if rest else []
    return ["; ".join(filter(None, [", ".join(fixed), sizes])), "; ".join([*draws, *descent(result)]), *together]


def kind(result):
    """Of problem."""
    lines = result.text("/entry/sweep/specification").splitlines()
    return next((line.removeprefix("kind = ") for line in lines if line.startswith("kind = ")), "")


def descent(result):
    """The descent after which losses are shown, if there is one."""
    if "/entry/sweep/measures/method" not in result:
        return []
    method, steps = (result.text(f"/entry/sweep/measures/{name}") for name in ("method", "steps"))
    return [f"descent: {method}, at most {steps} steps"]
