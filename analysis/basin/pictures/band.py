"""The loss along random lines: median and quantiles."""
import numpy as np

from .levels import label_log
from .line import note_left_out
from ..files import same_shape
from .scales import use_log
from .style import BLUE, legend_below, new_figure
from .units import unit_text

QUANTILES = ("q05", "q25", "median", "q75", "q95")


def read(result, a):
    """The quantiles in a result file, name -> (nx), over the steps `a` (nx)."""
    band = {name: result.numbers(f"/entry/band/{name}", 1, finite=False) for name in QUANTILES}
    same_shape(a.shape, **{f"/entry/band/{name}": values for name, values in band.items()})
    return {name: np.ma.masked_invalid(values) for name, values in band.items()}


def draw(data, scale):
    """The figure for a Slice whose rows are random lines."""
    count = data.loss.shape[0]
    figure = new_figure(4.4, f"Loss along {count} random lines f(\N{GREEK SMALL LETTER THETA} + a u)", data.footer)
    axes = figure.add_subplot()
    log = use_log(data.loss.compressed(), scale)
    for low, high, shade, name in (("q05", "q95", 0.18, "5 to 95 %"), ("q25", "q75", 0.35, "25 to 75 %")):
        axes.fill_between(data.a, data.band[low], data.band[high], color=BLUE, alpha=shade, linewidth=0, label=name)
    axes.plot(data.a, data.band["median"], "-" if data.a.size > 1 else "o", color=BLUE, label="median")
    axes.set(xlabel=data.label("a"), ylabel="loss f" + unit_text(data.unit), yscale="log" if log else "linear")
    axes.margins(x=0)
    if log:
        label_log(axes.yaxis, *axes.get_ylim())
    missing = np.ma.getmaskarray(data.loss)
    note_left_out(axes, np.count_nonzero(missing), missing.size, "not computed, NaN or infinite")
    legend_below(axes, columns=3)
    return figure
