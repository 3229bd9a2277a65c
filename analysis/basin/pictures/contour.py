"""Contour plot of a two-dimensional loss slice."""
import numpy as np

from .field import field
from . import path
from .labels import label_places
from .style import FIELD, SMALL, VERMILION, legend_below, mark_point, new_figure, number_labels


def draw(data, scale):
    """The figure for a Slice of two dimensions."""
    figure = new_figure(5.9, "Loss slice f(\N{GREEK SMALL LETTER THETA} + a u + b v)", data.footer)
    axes = figure.add_subplot()
    shown = field(data.loss, data.centre, scale, data.unit)
    filled = fill(axes, data, shown)
    # An inset, because a colour bar beside the axes would not follow the height that an equal aspect gives.
    bar = figure.colorbar(filled, cax=axes.inset_axes((1.04, 0, 0.05, 1)), label=shown.label)
    bar.set_ticks(shown.levels, labels=shown.level_labels)
    bar.ax.minorticks_off()
    axes.set(xlabel=data.label("a"), ylabel=data.label("b"), xlim=span(data.a), ylim=span(data.b))
    mark_missing(axes, data)
    if data.path:
        path.mark(axes, data.path)
    if min(data.a) <= 0 <= max(data.a) and min(data.b) <= 0 <= max(data.b):
        mark_point(axes, 0, 0, data.centre, data.unit)
    if axes.get_legend_handles_labels()[0]:
        legend_below(axes)
    axes.spines[:].set_visible(True)
    if np.allclose(span(data.a), span(data.b)):
        axes.set_aspect("equal")
    draw_lines(axes, data, shown)
    return figure


def fill(axes, data, shown):
    """The plane in the colours of the Field `shown`: between levels, or point by point where some are not computed,
    as levels need neighbours."""
    if data.computed.all():
        return axes.contourf(data.a, data.b, shown.values, levels=shown.levels, norm=shown.norm, cmap=FIELD)
    return axes.pcolormesh(data.a, data.b, shown.values, norm=shown.norm, cmap=FIELD, shading="nearest",
                           rasterized=True)


def draw_lines(axes, data, shown, levels=None, style="solid"):
    """Contour lines with labels at the levels within the data, light on dark colours and dark on light."""
    levels = shown.levels if levels is None else levels
    levels = levels[(levels > shown.values.min()) & (levels < shown.values.max())]
    if levels.size == 0:
        return
    colours = ["white" if shown.norm(level) < 0.55 else "black" for level in levels]
    lines = axes.contour(data.a, data.b, shown.values, levels=levels, colors=colours, linewidths=0.7,
                         linestyles=style)
    labels = number_labels(levels, shown.unit)
    axes.figure.draw_without_rendering()  # settles the layout, on which places and angles of labels depend
    axes.clabel(lines, fmt=dict(zip(lines.levels, labels)), fontsize=SMALL, inline_spacing=3,
                manual=label_places(axes, lines, labels))


def mark_missing(axes, data):
    """Marks on the grid points without a usable loss, so that a hole explains itself."""
    missing = np.ma.getmaskarray(data.loss)
    for where, marker, name in ((missing & ~data.computed, ".", "not computed"),
                                (missing & data.computed, "x", "NaN or infinite")):
        rows, columns = np.nonzero(where)
        if rows.size:
            axes.plot(data.a[columns], data.b[rows], marker, color=VERMILION, markersize=3,
                      label=f"{name} ({rows.size} of {missing.size} points)")


def span(steps):
    """The range of the steps of an axis."""
    return min(steps), max(steps)
