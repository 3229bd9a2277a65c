"""Numbers other than eigenvalues of kernels over a sweep: ends of the Hessian, its negative share, the loss after descent."""
import numpy as np
from matplotlib.lines import Line2D

from .eigenvalue_bands import (MARKERS, MOST_LINES, QUANTILES, few, ignored_empty_cells, line_colour, line_handles, set_x_axis,
                               spread_handles)
from .panels import Panels
from .scales import set_symlog, use_log, use_symlog
from .style import GREY, say, set_log

HEIGHT = 1.15  # inches of a panel
SHOWN = {"hessian/largest": "largest Hessian eigenvalue", "hessian/smallest": "smallest Hessian eigenvalue",
         "negative/share": "negative share in %", "training/loss": "loss after descent"}


def shown(data):
    """The names of the quantities of a Sweep that have numbers and are drawn here."""
    return [name for name in SHOWN if name in data.quantities and not np.isnan(data.quantities[name]).all()]


def draw(data, scale):
    """The figure for a Sweep: a row for each quantity, its median and quantiles along the axis x."""
    names = shown(data)
    lines = [0]
    if data.y:
        lines = np.unique(np.linspace(0, data.y.size - 1, min(MOST_LINES, data.y.size)).round().astype(int))
    columns = range(data.columns.size if data.columns else 1)
    panels = Panels([SHOWN[name] for name in names], data.columns, HEIGHT, "Loss and Hessian over initialisations",
                    data.footer, legend_handles(data, lines, names), 3)
    x = data.x.numbers if data.x.numeric else np.arange(data.x.size)
    panels.label(data.x, "")
    for name in names:
        values = data.quantities[name] * (100 if name == "negative/share" else 1)
        row = {column: panels.axes[SHOWN[name], column] for column in columns}
        with ignored_empty_cells():
            drawn = np.nanquantile(values[:, lines], (0, 1) if few(data) else
                                   QUANTILES if len(lines) == 1 else QUANTILES[1:-1], axis=-1)
        set_y_axes(row.values(), name, drawn[~np.isnan(drawn)], scale)
        for column, axes in row.items():
            draw_panel(axes, data, x, values[column], lines)
            if name == "negative/share" and has_estimates(data):
                draw_intervals(axes, x, data, column, lines)
        share_limits(row.values())
    for axes in panels.axes.values():
        if data.x.numeric and data.x.size > 1:
            set_x_axis(axes, x, data.x.labels)
        else:
            axes.set_xlim(x[0] - 0.5, x[-1] + 0.5)
            axes.set_xticks(x, data.x.labels, **({} if data.columns or data.x.size < 3 else {"rotation": 20, "ha": "right"}))
        axes.tick_params(labelleft=axes.is_leftmost or not data.columns, labelbottom=axes.is_lowest)
    return panels.figure


def draw_panel(axes, data, x, values, lines):
    """Medians of values (y, x, draws) for some y, with bands along numbers; between words there is nothing, so that
    they are bars there, side by side."""
    if np.isnan(values).all():
        return say(axes, "no draw with a number")
    with ignored_empty_cells():
        low, lower, median, upper, high = np.nanquantile(values[lines], QUANTILES, axis=-1)
    for place, line in enumerate(lines):
        colour = line_colour(place, len(lines))
        beside = x if data.x.numeric else x + aside(place, len(lines))
        if few(data):
            every = values[line]
            axes.plot(np.repeat(beside, every.shape[-1]), every.ravel(), linestyle="", marker=".", markersize=3, color=colour)
        elif data.x.numeric:
            if len(lines) == 1:
                axes.fill_between(x, low[place], high[place], color=colour, alpha=0.15, linewidth=0)
            axes.fill_between(x, lower[place], upper[place], color=colour, alpha=0.25, linewidth=0)
        else:
            if len(lines) == 1:
                axes.vlines(beside, low[place], high[place], color=colour, alpha=0.3, linewidth=2)
            axes.vlines(beside, lower[place], upper[place], color=colour, alpha=0.5, linewidth=4)
        axes.plot(beside, median[place], color=colour, linestyle="-" if data.x.numeric else "", marker=MARKERS[place],
                  markersize=4.5, fillstyle="none" if few(data) else "full")
    return None


def aside(place, count):
    """Where one of several lies beside its word."""
    return 0.12 * (place - (count - 1) / 2)


def has_estimates(data):
    """Whether some shares are estimated, with an interval."""
    names = ("negative/exact", "negative/share_lower", "negative/share_upper")
    return all(name in data.quantities for name in names) and (data.quantities["negative/exact"] == 0).any()


def draw_intervals(axes, x, data, column, lines):
    """Of shares that are estimated, the median ends of their intervals as bars."""
    for place, line in enumerate(lines):
        estimated = (data.quantities["negative/exact"][column, line] == 0).any(axis=-1)
        if not estimated.any():
            continue
        with ignored_empty_cells():
            ends = [100 * np.nanmedian(data.quantities[f"negative/share_{end}"][column, line], axis=-1)[estimated]
                    for end in ("lower", "upper")]
        beside = x if data.x.numeric else x + aside(place, len(lines))
        axes.vlines(beside[estimated], *ends, color=line_colour(place, len(lines)), linewidth=0.9, zorder=1)


def set_y_axes(row, name, values, scale):
    """The scale of the panels of a row, before anything is drawn in them."""
    for axes in row:
        if name == "negative/share":
            continue
        if use_log(values, scale):
            axes.set_yscale("log")
        elif scale != "linear" and (values < 0).any() and use_symlog(values, np.zeros_like(values), scale):
            set_symlog(axes.yaxis, values, np.abs(values) * 1e-9)


def share_limits(row):
    """One range for the panels of a row."""
    drawn = [axes.get_ylim() for axes in row if axes.lines]
    for axes in row if drawn else ():
        axes.set_ylim(min(low for low, _ in drawn), max(high for _, high in drawn))
        if axes.get_yscale() == "log":
            set_log(axes.yaxis)


def legend_handles(data, lines, names):
    handles = line_handles(data, lines)
    handles.append(Line2D([], [], color=GREY, label="median", marker="o", markersize=4.5, fillstyle="none" if few(data) else "full",
                          linestyle="-" if data.x.numeric else ""))
    handles += spread_handles(data, lines)
    if "negative/share" in names and has_estimates(data):
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle="", marker="|", markersize=9,
                              label="estimate: 95 % interval"))
    return handles
