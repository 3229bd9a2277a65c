"""The smallest eigenvalue of each block's NTK along a numeric axis of a sweep: medians and quantiles."""
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullLocator

from .panels import Panels
from .scales import use_log
from .style import BLUE, DEFINITENESS_LOOK, GREY, SMALL, say
from .units import exponent_for, in_units, unit_text

MOST_LINES = 4  # values of the second axis
TICK_ROOM = 0.13  # part of the x axis that the label of a tick takes
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MARKERS = ("o", "s", "D", "^")
FEW = 10  # draws of a cell up to which all of them are shown: quantiles would say more than is known
WIDEST = 4  # upper bound over lower bound of an eigenvalue that counts as known
BELOW_ROUNDING = DEFINITENESS_LOOK["in theory only"]
# Conditions on sizes and ranks of the inputs: where they begin to hold, theory predicts a change.
PREDICTIONS = {"width": "$H d$", "parameters": "$P$", "rank_limit": "rank limit", "copies": "copies",
               "rank_X": "rank $X$"}


@dataclass(frozen=True)
class Eigenvalues:
    """The smallest eigenvalues of one kernel, (columns, y, x, draws): NaN where there is none, and the upper
    bound of those that are not known."""
    values: np.ndarray
    known: np.ndarray  # (columns, y, x, draws), bool: above 0, and enclosed tightly
    bounded: np.ndarray  # (columns, y, x), the share of the draws of which only the upper bound is shown
    rounding: np.ndarray  # (columns, x): median over draws of what is below rounding of the largest eigenvalue


def draw(data, scale):
    """The figure for a Sweep."""
    parts = data.parts("lambda_min")
    unit = exponent_for(*(np.abs(data.quantities.get(f"{part}/lambda_max", values)) for part, values in parts.items()))
    kernels = {part: read(data, part, unit) for part in parts}
    lines = [0]
    if data.y:
        lines = np.unique(np.linspace(0, data.y.size - 1, min(MOST_LINES, data.y.size)).round().astype(int))
    known = np.concatenate([kernel.values[kernel.known] for kernel in kernels.values()])
    log = known.size > 0 and use_log(known, scale)
    # What is not known says nothing of the scale; below it, it stands at the lower edge.
    bottom = 10 ** np.floor(np.log10(np.quantile(known, 0.005))) if log else 0
    changes = {(part, column): predictions(data, part, column)
               for part in kernels for column in range(data.columns.size if data.columns else 1)}
    below_rounding = any((kernel.rounding > bottom).any() for kernel in kernels.values())
    panels = Panels(list(kernels), data.columns, 1.35,
                    "Smallest eigenvalue of the neural tangent kernel over initialisations", data.footer,
                    legend_handles(data, lines, any(changes.values()), below_rounding), 3, share=True)
    for (part, column), axes in panels.axes.items():
        mark_predictions(axes, changes[part, column])
        rounding = kernels[part].rounding[column]
        if (rounding > bottom).any():
            axes.fill_between(data.x.numbers, bottom, rounding, color=BELOW_ROUNDING, alpha=0.3, linewidth=0, zorder=0)
        if np.isnan(kernels[part].values[column]).all():
            say(axes, "no draw with a number")
        for place, line in enumerate(lines):
            draw_line(axes, data.x.numbers, np.maximum(kernels[part].values[column, line], bottom),
                      kernels[part].bounded[column, line], place, len(lines))
    panels.label(data.x, r"$\lambda_\mathrm{min}$" + unit_text(unit))
    axes = panels.axes[next(iter(panels.axes))]  # the panels share its scales and ticks
    set_x_axis(axes, data.x.numbers, data.x.labels)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom, known.max() * 3)
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)
    return panels.figure


def read(data, part, unit):
    """The Eigenvalues of a part of a Sweep, in units of 10^unit."""
    name = f"{part}/" if part else ""

    def quantity(what, otherwise):
        return in_units(data.quantities.get(f"{name}{what}", otherwise), unit)

    values = quantity("lambda_min", None)
    lower, upper = (quantity(f"lambda_min_{end}", data.quantities[f"{name}lambda_min"]) for end in ("lower", "upper"))
    known = (lower > 0) & (upper <= WIDEST * lower)
    bounded = np.where(np.isnan(values), np.nan, ~known)
    with ignored_empty_cells():
        rounding = np.finfo(float).eps * quantity("lambda_max", np.full_like(values, np.nan))
        return Eigenvalues(np.where(bounded == 1, upper, values), known, np.nanmean(bounded, axis=-1),
                           np.nanmedian(rounding, axis=(1, -1)))


@contextmanager
def ignored_empty_cells():
    """NumPy warns of means and quantiles without a number; they are NaN, and drawing leaves them out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def draw_line(axes, x, values, bounded, place, count):
    """Median (x) and bands of values (x, draws); the filling of the markers says how many are upper bounds."""
    with ignored_empty_cells():
        low, lower, median, upper, high = np.nanquantile(values, QUANTILES, axis=-1)
    colour = line_colour(place, count)
    if values.shape[-1] <= FEW:
        axes.plot(np.repeat(x, values.shape[-1]), values.ravel(), linestyle="", marker=".", markersize=3, color=colour)
    else:
        if count == 1:
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.fill_between(x, lower, upper, color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, median, color=colour)
    for fill, where in (("full", bounded == 0), ("bottom", (bounded > 0) & (bounded < 1)),
                        ("none", bounded == 1)):
        if where.any():  # an unclipped line without a point would confuse the layout
            axes.plot(x[where], median[where], linestyle="", marker=MARKERS[place], fillstyle=fill,
                      color=colour, markerfacecoloralt="white", markersize=4.5, clip_on=False, zorder=3)


def predictions(data, part, column):
    """{place on the x axis: names} of the conditions that change there, between two values, for half of the draws."""
    changes = {}
    for name, label in PREDICTIONS.items():
        verdicts = data.quantities.get(f"{part}/{name}")
        if verdicts is None:
            continue
        with ignored_empty_cells():
            holds = np.nanmean(verdicts[column], axis=(0, -1)) >= 0.5
        x = data.x.numbers
        for place in np.flatnonzero(holds[1:] != holds[:-1]):
            middle = np.sqrt(x[place] * x[place + 1]) if x[0] > 0 else (x[place] + x[place + 1]) / 2
            changes.setdefault(middle, []).append(label)
    return changes


def mark_predictions(axes, changes):
    for place, labels in changes.items():
        axes.axvline(place, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=0)
        axes.annotate(", ".join(labels), (place, 0.03), (2, 0), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=SMALL - 1, color=GREY, va="bottom")


def set_x_axis(axes, x, labels):
    """The scale of the axis with values x (labels), ascending, on which they are more evenly apart; ticks at values."""
    places = x
    if x[0] > 0 and closest(np.log(x)) > closest(x):
        axes.set_xscale("log")
        margin = (x[-1] / x[0]) ** 0.05
        axes.set_xlim(x[0] / margin, x[-1] * margin)
        places = np.log(x)
    shown = [0]
    for place in range(1, x.size):
        if places[place] - places[shown[-1]] >= TICK_ROOM * (places[-1] - places[0]):
            shown.append(place)
    axes.xaxis.set_major_locator(FixedLocator(x[shown]))
    axes.xaxis.set_major_formatter(FixedFormatter([labels[place] for place in shown]))
    axes.xaxis.set_minor_locator(NullLocator())


def closest(places):
    """The smallest gap between ascending places, as a part of what they span."""
    return np.diff(places).min() / np.ptp(places) if places.size > 1 else 1


def few(data):
    """Whether a cell of a Sweep has few draws."""
    return next(iter(data.quantities.values())).shape[-1] <= FEW


def line_handles(data, lines):
    """A legend's handle for each line, where the sweep has two axes."""
    if not data.y:
        return []
    return [Line2D([], [], color=line_colour(place, len(lines)), marker=MARKERS[place], markersize=4.5,
                   label=f"{data.y.name} = {data.y.labels[line]}") for place, line in enumerate(lines)]


def spread_handles(data, lines):
    """Those of the draws around the medians."""
    if few(data):
        return [Line2D([], [], color=GREY, linestyle="", marker=".", markersize=3, label="each draw")]
    bands = [Patch(color=GREY, alpha=0.4, linewidth=0, label="25 to 75 % of draws")]
    if len(lines) == 1:
        bands.append(Patch(color=GREY, alpha=0.15, linewidth=0, label="5 to 95 % of draws"))
    return bands


def line_colour(place, count):
    """One colour, or as many as there are lines, in the order of their values."""
    return BLUE if count == 1 else matplotlib.colormaps["viridis"](0.85 * place / (count - 1))


def legend_handles(data, lines, changes, below_rounding):
    """A handle for each line, then one for each kind of band and mark. changes: whether a condition changes;
    below_rounding: whether the picture shows what is."""
    handles = line_handles(data, lines) + spread_handles(data, lines)
    for fill, label in (("full", "all draws known"), ("bottom", "some upper bounds"), ("none", "all upper bounds")):
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="o", fillstyle=fill,
                              markerfacecoloralt="white", markersize=4.5, label=label))
    if below_rounding:
        handles.append(Patch(color=BELOW_ROUNDING, alpha=0.3, linewidth=0,
                             label=r"below rounding of $\lambda_\mathrm{max}$"))
    if changes:
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)), label="a condition changes"))
    return handles
