"""The loss slice of one dimension as a curve."""
import numpy as np

from .levels import label_log
from .scales import use_log
from .style import BLUE, VERMILION, legend_below, mark_point, new_figure
from .units import unit_text


def draw(data, scale):
    """The figure for a Slice whose grid is one row or one column."""
    along, across = ("a", "b") if data.loss.shape[0] == 1 else ("b", "a")
    steps, fixed = getattr(data, along), getattr(data, across)[0]
    figure = new_figure(4.2, line_title(along, across, fixed, data.step_unit), data.footer)
    axes = figure.add_subplot()
    loss = data.loss.ravel()
    log = use_log(loss.compressed(), scale)
    shown = np.ma.masked_less_equal(loss, 0) if log else loss
    axes.plot(steps, shown, "-o", color=BLUE, markersize=3)
    axes.set(xlabel=data.label(along), ylabel="loss f" + unit_text(data.unit), yscale="log" if log else "linear")
    if log:
        label_log(axes.yaxis, *axes.get_ylim())
    on_line = fixed == 0 and min(steps) <= 0 <= max(steps)
    if on_line and np.isfinite(data.centre) and (data.centre > 0 or not log):
        mark_point(axes, 0, data.centre, data.centre, data.unit)
    missing = np.ma.getmaskarray(data.loss)
    note_left_out(axes, loss.count() - shown.count(), loss.size, "value 0, not on a logarithmic axis")
    note_left_out(axes, np.count_nonzero(missing & ~data.computed), loss.size, "not computed")
    note_left_out(axes, np.count_nonzero(missing & data.computed), loss.size, "NaN or infinite")
    if axes.get_legend_handles_labels()[0]:
        legend_below(axes, columns=1)
    return figure


def line_title(along, across, fixed, unit):
    """The title for a line along the step `along` at the value `fixed`, in units of 10^unit, of the step `across`."""
    if fixed == 0:
        return f"Loss slice f(\N{GREEK SMALL LETTER THETA} + {'a u' if along == 'a' else 'b v'})"
    return f"Loss slice f(\N{GREEK SMALL LETTER THETA} + a u + b v) at {across} = {fixed:.4g}" + (f" in 10^{unit}" if unit else "")


def note_left_out(axes, count, size, reason):
    """An entry of the legend for points that the curve leaves out."""
    if count:
        axes.plot([], [], "x", color=VERMILION, label=f"left out: {count} of {size} points ({reason})")
