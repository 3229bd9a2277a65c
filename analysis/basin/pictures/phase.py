"""The share of initialisations at which a verdict holds, over two axes of a sweep or along one."""
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .panels import Panels
from .style import BLACK, BLUE, DEFINITENESS_LOOK, FIELD, GREY, SMALL, VERMILION, new_figure, say

NUMBER_WIDTH, NUMBER_HEIGHT = 19, 11  # points that a number of three digits takes
LONG_LABEL = 1.5  # inches
MANY = 20  # values from which there are no lines between cells
NO_DRAWS = "#d9d9d9"
PERCENT = Normalize(0, 100)
MEANING = {"positive definite": "positive definite",
           "in theory only": r"positive in theory only, below rounding of $\lambda_\mathrm{max}$",
           "not decided": "not decided: zero to rounding", "singular": "singular"}


# Verdicts on kernels that a picture of positive definite ones shows with them, -> their names in files.
DEFINITENESS = {"positive definite": "positive_definite", "in theory only": "in_theory_only", "singular": "singular"}


def draw(data, what):
    """The figure for the verdicts WHAT of a Sweep."""
    if what == "positive_definite" and data.parts("in_theory_only"):
        shares = {part: definiteness(data, part) for part in data.parts(what)}
        return (draw_definiteness_maps if data.y else draw_definiteness_curves)(data, shares)
    counts = {part: count(values) for part, values in data.parts(what).items()}
    what = {"positive_definite": "NTK positive definite"}.get(what, what.replace("_", " "))
    title = f"Share of initialisations: {what}"
    return (draw_maps if data.y else draw_curves)(data, counts, title)


def draw_nothing(data):
    """A figure that says that no draw has a verdict."""
    figure = new_figure(2.0, "Share of initialisations", data.footer)
    axes = figure.add_subplot()
    axes.set_axis_off()
    say(axes, "no draw with a verdict")
    return figure


def definiteness(data, part):
    """(verdict -> how often, judged) for a kernel: verdicts as in DEFINITENESS_LOOK, each (columns, y, x)."""
    counts = {verdict: count(data.parts(what)[part]) for verdict, what in DEFINITENESS.items()}
    judged = counts["positive definite"][1]
    passed = {verdict: values for verdict, (values, _) in counts.items()}
    passed["not decided"] = judged - sum(passed.values())
    return {verdict: passed[verdict] for verdict in reversed(DEFINITENESS_LOOK)}, judged


def draw_definiteness_maps(data, shares):
    """For each part and column, cells that are divided like the draws in them."""
    occurring = [verdict for verdict in reversed(DEFINITENESS_LOOK)
                 if any(passed[verdict].any() for passed, _ in shares.values())]
    handles = [Patch(facecolor=DEFINITENESS_LOOK[verdict], label=MEANING[verdict]) for verdict in occurring]
    handles.append(Line2D([], [], color=BLACK, linewidth=2, label="half of them positive definite"))
    if any((judged == 0).any() for _, judged in shares.values()):
        handles.append(Patch(facecolor="white", edgecolor=GREY, label="no draw with a verdict"))
    height = float(np.clip(0.19 * data.y.size, 0.9, 2.4))
    panels = Panels(list(shares), data.columns, height, "Share of initialisations: NTK positive definite, %",
                    data.footer, handles, 2)
    for (part, column), axes in panels.axes.items():
        passed, judged = shares[part]
        judged = judged[column]
        y, x = np.nonzero(judged)
        left = x - 0.5
        for verdict, values in passed.items():
            width = values[column][y, x] / judged[y, x]
            axes.barh(y, width, 1, left, color=DEFINITENESS_LOOK[verdict], linewidth=0)
            left = left + width
        set_cells(axes, data)
        percent = np.ma.masked_array(100 * passed["positive definite"][column] / np.maximum(judged, 1), judged == 0)
        axes.add_collection(LineCollection(boundary(percent), colors=BLACK, linewidths=2, capstyle="projecting"))
    panels.label(data.x, data.y.label if height > LONG_LABEL else data.y.short_label)
    panels.figure.draw_without_rendering()  # settles the layout, on which the room for texts depends
    panels.tick_values(data.x, data.y)
    panels.figure.draw_without_rendering()
    for (part, column), axes in panels.axes.items():
        passed, judged = shares[part]
        write_numbers(axes, passed["positive definite"][column], judged[column], lambda percent: percent >= 55)
    return panels.figure


def set_cells(axes, data):
    """Limits, and white lines between the cells unless there are many."""
    axes.set(xlim=(-0.5, data.x.size - 0.5), ylim=(-0.5, data.y.size - 0.5))
    if data.x.size <= MANY:
        for size, line in ((data.x.size, axes.axvline), (data.y.size, axes.axhline)):
            for place in range(1, size):
                line(place - 0.5, color="white", linewidth=0.4)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def draw_definiteness_curves(data, shares):
    """The shares of positive definite kernels, and of those that are so in theory only, along the one axis."""
    verdicts = ("positive definite", "in theory only")
    handles = [Line2D([], [], color=DEFINITENESS_LOOK[verdict], marker="o", markersize=3.5, label=MEANING[verdict],
                      linestyle="-" if data.x.numeric else "") for verdict in verdicts]
    certain = any((passed["singular"] == judged)[judged > 0].any() for passed, judged in shares.values())
    handles += [Patch(color=GREY, alpha=0.25, linewidth=0, label="95 % intervals" + (", none if all singular" if certain else "")),
                Line2D([], [], color=VERMILION, linewidth=0.8, label="1/2")]
    panels = Panels(list(shares), data.columns, 1.25, "Share of initialisations: NTK positive definite", data.footer,
                    handles, 2, share=True)
    for (part, column), axes in panels.axes.items():
        passed, judged = shares[part]
        for place, verdict in enumerate(reversed(verdicts)):
            draw_curve(axes, data, passed[verdict][column, 0], judged[column, 0], DEFINITENESS_LOOK[verdict],
                       passed["singular"][column, 0], 0 if data.x.numeric else 0.1 * place - 0.05)
    return label_curves(panels, data)


def count(values):
    """(passed, judged) of verdicts (..., draws), NaN where there is none."""
    return np.nansum(values, axis=-1), np.count_nonzero(~np.isnan(values), axis=-1)


def draw_maps(data, counts, title):
    """A heat map for each part and column."""
    handles = [Line2D([], [], color=VERMILION, linewidth=2, label="the share crosses 1/2")]
    if any((judged == 0).any() for _, judged in counts.values()):
        handles.append(Patch(facecolor=NO_DRAWS, label="no draw with a verdict"))
    height = float(np.clip(0.19 * data.y.size, 0.9, 2.4))
    panels = Panels(list(counts), data.columns, height, title, data.footer, handles, 2)
    for (part, column), axes in panels.axes.items():
        passed, judged = (values[column] for values in counts[part])
        percent = np.ma.masked_array(100 * passed / np.maximum(judged, 1), judged == 0)
        axes.set_facecolor(NO_DRAWS)
        axes.pcolormesh(np.arange(data.x.size + 1) - 0.5, np.arange(data.y.size + 1) - 0.5, percent,
                        norm=PERCENT, cmap=FIELD, edgecolors="face" if data.x.size > MANY else "white",
                        linewidth=0.4)
        axes.add_collection(LineCollection(boundary(percent), colors=VERMILION, linewidths=2,
                                           capstyle="projecting"))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    panels.label(data.x, data.y.label if height > LONG_LABEL else data.y.short_label)
    panels.figure.colorbar(ScalarMappable(PERCENT, FIELD), ax=list(panels.axes.values()), fraction=0.05,
                           aspect=30, pad=0.02, label="share of draws, %")
    panels.figure.draw_without_rendering()  # settles the layout, on which the room for texts depends
    panels.tick_values(data.x, data.y)
    panels.figure.draw_without_rendering()
    for (part, column), axes in panels.axes.items():
        write_numbers(axes, *(values[column] for values in counts[part]))
    return panels.figure


def boundary(percent):
    """Segments between neighbouring cells (y, x) on different sides of one half."""
    above, known = np.ma.filled(percent >= 50, False), ~np.ma.getmaskarray(percent)
    sideways = (above[:, 1:] != above[:, :-1]) & known[:, 1:] & known[:, :-1]
    upwards = (above[1:] != above[:-1]) & known[1:] & known[:-1]
    return ([[(x + 0.5, y - 0.5), (x + 0.5, y + 0.5)] for y, x in np.argwhere(sideways)]
            + [[(x - 0.5, y + 0.5), (x + 0.5, y + 0.5)] for y, x in np.argwhere(upwards)])


def write_numbers(axes, passed, judged, dark=lambda percent: percent < 55):
    """The share in % in each cell (y, x), when there is room for them; `dark`: whether a cell of this share is."""
    box, point = axes.get_window_extent(), axes.figure.dpi / 72
    rows, columns = passed.shape
    if box.width < NUMBER_WIDTH * point * columns or box.height < NUMBER_HEIGHT * point * rows:
        return
    for y, x in np.argwhere(judged):
        percent = 100 * passed[y, x] / judged[y, x]
        axes.text(x, y, f"{percent:.0f}", ha="center", va="center", fontsize=SMALL,
                  color="white" if dark(percent) else "black")


def draw_curves(data, counts, title):
    """The share along the one axis, with its 95 % interval, for each part and column."""
    handles = [Line2D([], [], color=BLUE, marker="o", markersize=3.5, label="share"),
               Patch(color=BLUE, alpha=0.25, linewidth=0, label="95 % interval"),
               Line2D([], [], color=VERMILION, linewidth=0.8, label="1/2")]
    panels = Panels(list(counts), data.columns, 1.25, title, data.footer, handles, 3, share=True)
    for (part, column), axes in panels.axes.items():
        draw_curve(axes, data, *(values[column, 0] for values in counts[part]), BLUE)
    return label_curves(panels, data)


def draw_curve(axes, data, passed, judged, colour, exact=None, aside=0):
    """One share (x) with its 95 % interval, but where sizes, copies and zeros decide all draws (`exact`, how many);
    a bar for each word, `aside` of it."""
    places = np.flatnonzero(judged)
    value, low, high = wilson(passed[places], judged[places])
    certain = (exact[places] == judged[places]) if exact is not None else np.zeros(places.size, bool)
    low, high = np.where(certain, value, low), np.where(certain, value, high)
    if places.size:  # an unclipped line without a point would confuse the layout
        axes.axhline(50, color=VERMILION, linewidth=0.8)
        if data.x.numeric:
            axes.fill_between(places, 100 * low, 100 * high, color=colour, alpha=0.25, linewidth=0)
        else:
            axes.vlines(places + aside, 100 * low, 100 * high, color=colour, alpha=0.5, linewidth=2)
        axes.plot(places + aside, 100 * value, "-o" if data.x.numeric else "o", color=colour, markersize=3.5, clip_on=False)
    else:
        say(axes, "no draw with a verdict")
    axes.set(xlim=(-0.4, data.x.size - 0.6), ylim=(-4, 104), yticks=(0, 50, 100))


def label_curves(panels, data):
    """The figure of Panels of curves, labelled."""
    panels.label(data.x, "share of draws, %")
    panels.figure.draw_without_rendering()
    panels.tick_values(data.x)
    return panels.figure


def wilson(passed, judged):
    """The share and the ends of its 95 % interval after Wilson."""
    z = 1.959963984540054
    value = passed / judged
    centre = (value + z**2 / (2 * judged)) / (1 + z**2 / judged)
    half = z * np.sqrt(value * (1 - value) / judged + z**2 / (4 * judged**2)) / (1 + z**2 / judged)
    return value, centre - half, centre + half
