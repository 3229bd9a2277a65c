"""What was measured beside the loss, as maps of a plane or curves along a line: extreme Hessian eigenvalues,
gradient, NTK, accuracy."""
import numpy as np
from matplotlib.colors import TwoSlopeNorm

from .contour import draw_lines, mark_missing, span
from .field import field
from .model import on_rows
from ..files import same_shape
from .style import BLUE, DEFINITENESS_LOOK, FIELD, SMALL, VERMILION, mark_point, new_figure, say
from .units import exponent_for, in_units, unit_text

NAMES = {"min_eig": "smallest Hessian eigenvalue", "max_eig": "largest Hessian eigenvalue",
         "gradient_norm": "norm of the gradient", "min_ntk": "smallest NTK eigenvalue", "train_acc": "accuracy, %"}


def pictures(result, data):
    """(name, figure): one sheet of all maps that are there, if any."""
    there = [name for name in NAMES if name in result.members("/")
             and (name != "train_acc" or "accuracy" in result.members("/entry"))]  # else it is an array of NaN
    if not there:
        return []
    columns = min(2, len(there))
    rows = -(-len(there) // columns)
    line = 1 in data.loss.shape
    figure = new_figure(0.9 + (1.8 if line else 2.7 if columns > 1 else 4) * rows,
                        f"Beside the loss, on the same {'line' if line else 'plane'}", [*data.footer, data.words])
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(there):]:
        axes.axis("off")
    maps = []  # (axes, Field) whose levels are drawn when the layout is settled
    for axes, name in zip(panels, there):
        values = np.atleast_2d(result.numbers(f"/{name}", None, finite=False))
        same_shape(data.loss.shape, **{f"/{name}": values})
        values = np.ma.masked_where(~data.computed | ~np.isfinite(values), values)
        unit = exponent_for(values.filled(0))
        values = in_units(values, unit)
        on = on_rows(result, "/entry/ntk_rows") if name == "min_ntk" else ""
        axes.set_title(NAMES[name] + on + unit_text(unit), fontsize=SMALL)
        if values.count() == 0:
            say(axes, "no finite value")
        elif line:
            draw_curve(axes, data, values)
        else:
            maps.append((axes, draw_map(axes, data, values)))
        if name.endswith("_eig") and "eig_converged" in result:
            converged = np.atleast_2d(result.numbers("/eig_converged", None, finite=False))
            mark(axes, data, converged == 0, values, VERMILION, "not converged")
        if name == "min_ntk" and "ntk_definiteness" in result:
            verdicts = np.atleast_2d(result.numbers("/ntk_definiteness", None, finite=False))
            for code, verdict in enumerate(DEFINITENESS_LOOK):
                if verdict != "positive definite":
                    mark(axes, data, verdicts == code, values, DEFINITENESS_LOOK[verdict], verdict)
    for axes, shown in maps:
        if shown:
            draw_lines(axes, data, shown, shown.levels[::2])
    return [("curvature", figure)]


def mark(axes, data, where, values, colour, meaning):
    """Crosses on the points `where` (ny, nx) the values (ny, nx) are not what they seem, and what they mean."""
    rows, columns = np.nonzero(where & data.computed)
    if not rows.size:
        return
    if 1 in data.loss.shape:
        steps = data.a[columns] if data.loss.shape[0] == 1 else data.b[rows]
        axes.plot(steps, values[rows, columns], "x", color=colour)
    else:
        axes.plot(data.a[columns], data.b[rows], "x", color=colour, markersize=3)
    axes.set_title(f"{axes.get_title()} (\N{MULTIPLICATION SIGN}: {meaning})", fontsize=SMALL)


def draw_curve(axes, data, values):
    """One curve along the line; the height zero is drawn where the sign changes."""
    steps, label = ((data.a, data.step_label("a")) if data.loss.shape[0] == 1 else (data.b, data.step_label("b")))
    axes.plot(steps, values.ravel(), "-o", color=BLUE, markersize=2)
    axes.set(xlabel=label)
    if values.count() and values.min() < 0 < values.max():
        axes.axhline(0, color="black", linewidth=0.8)


def draw_map(axes, data, values):
    """One map (ny, nx), and its Field; where the sign changes, colours do, and the line of zero is drawn: then no
    Field."""
    axes.set(xlabel=data.step_label("a"), ylabel=data.step_label("b"), xlim=span(data.a), ylim=span(data.b))
    low, high = values.min(), values.max()
    signed = low < 0 < high
    shown = None if signed else field(values, np.nan, "auto")
    drawn = axes.pcolormesh(data.a, data.b, values if signed else shown.values,
                            norm=TwoSlopeNorm(0, low, high) if signed else shown.norm,
                            cmap="RdBu_r" if signed else FIELD, shading="nearest", rasterized=True)
    bar = axes.figure.colorbar(drawn, ax=axes)
    if signed:
        axes.contour(data.a, data.b, values, levels=[0], colors="black", linewidths=0.8)
    else:
        bar.set_ticks(shown.levels[::2], labels=shown.level_labels[::2])
        bar.ax.minorticks_off()
    mark_missing(axes, data)
    if min(data.a) <= 0 <= max(data.a) and min(data.b) <= 0 <= max(data.b):
        mark_point(axes, 0, 0, data.centre, data.unit)
    return shown
