"""Numbers of the blocks of a network over depth: a curve for each block that its repeated layers have."""
import re

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .scales import use_log
from .style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, SMALL, VERMILION, escape, legend_below, new_figure
from .units import exponent_for, in_units, unit_text

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, BLACK)
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^v<>x"


def by_depth(names):
    """Block without the number of its layer -> [(number, place in `names`)], in the order of the names; nothing unless
    some block is there at two depths or more. What the layers are called stands before it where there are several stacks;
    heads, "W_Q[0]", count as their block."""
    found = [re.fullmatch(r"((?:[^.,*]+\.)*?)(\d+)\.([^,*[]+)(?:\[\d+\])?", name) for name in names]
    several = len({match[1] for match in found if match}) > 1
    kinds = {}
    for place, match in enumerate(found):
        if match:
            kinds.setdefault((match[1] if several else "") + match[3], []).append((int(match[2]), place))
    return kinds if any(len({number for number, _ in places}) > 1 for places in kinds.values()) else {}


def pictures(title, names, quantities, scale, lines):
    """(name, figure) of the picture over depth, if there is one. quantities: (label, values of the named blocks, their
    errors or None), a row of panels each; NaN is left out."""
    kinds = by_depth(names)
    if not kinds:
        return []
    is_map = {kind: kind.rpartition(".")[2].startswith(("W", "E")) for kind in kinds}
    columns = [[kind for kind in kinds if is_map[kind] == maps] for maps in (True, False)]
    columns = [column for column in columns if column]
    longest = max(map(len, columns))
    figure = new_figure(0.9 + 2.2 * len(quantities) + 0.17 * longest, title, lines)
    panels = figure.subplots(len(quantities), len(columns), squeeze=False, sharex=True)
    for row, (label, values, errors) in zip(panels, quantities):
        unit = exponent_for(values[np.isfinite(values)])
        values, errors = in_units(values, unit), None if errors is None else in_units(errors, unit)
        for axes, column in zip(row, columns):
            draw_curves(axes, column, kinds, values, errors, scale)
            axes.set_ylabel(label + unit_text(unit))
    for axes, column in zip(panels[-1], columns):
        axes.set_xlabel("number of the layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        handles = [Line2D([], [], label=escape(kind), **look(place)) for place, kind in enumerate(column)]
        legend_below(axes, handles, columns=1)
    if len(columns) > 1:
        for axes, words in zip(panels[0], ("matrices", "biases and gains")):
            axes.set_title(words, fontsize=SMALL)
    return [("depth", figure)]


def look(place):
    """Colour, line and marker of a curve by its place among all."""
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place // len(COLOURS) % len(LINES)],
            "marker": MARKERS[place % len(MARKERS)], "markerfacecolor": "none"}


def draw_curves(axes, column, kinds, values, errors, scale):
    """The curves of one panel."""
    places = [place for kind in column for _, place in kinds[kind]]
    shown = values[places][np.isfinite(values[places])]
    log = shown.size > 0 and use_log(shown, scale)
    if log:
        axes.set_yscale("log")
    for number, kind in enumerate(column):
        depth, place = (np.array(part) for part in zip(*sorted(kinds[kind])))
        heights = np.where(values[place] > 0, values[place], np.nan) if log else values[place]
        heads = len(depth) > len(set(depth))  # a point each, without a curve
        axes.plot(depth, heights, **look(number) | ({"linestyle": "none"} if heads else {}))
        if errors is not None:
            axes.errorbar(depth, heights, errors[place], fmt="none", ecolor=look(number)["color"], linewidth=0.7)
    if not log and shown.size and shown.min() < 0 < shown.max():
        axes.axhline(0, color="black", linewidth=0.7)
