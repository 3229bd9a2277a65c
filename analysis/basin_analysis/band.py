"""The loss along random lines: median and quantiles."""
import numpy as np

from .line import note_left_out
from .scales import use_log
from .style import BLUE, legend_below, new_figure


def draw(data, scale):
    """The figure for a Slice whose rows are random lines."""
    count = data.loss.shape[0]
    figure = new_figure(4.4, f"Loss along {count} random lines f(\N{GREEK SMALL LETTER THETA} + a u)", data.footer)
    axes = figure.add_subplot()
    log = use_log(data.loss.compressed(), scale)
    values = np.ma.filled(data.loss.astype(float), np.nan)
    known = ~np.isnan(values).all(axis=0)
    levels = np.full((5, data.a.size), np.nan)
    levels[:, known] = np.nanquantile(values[:, known], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    for low, high, shade, name in ((0, 4, 0.18, "5 to 95 %"), (1, 3, 0.35, "25 to 75 %")):
        axes.fill_between(data.a, levels[low], levels[high], color=BLUE, alpha=shade, linewidth=0, label=name)
    axes.plot(data.a, levels[2], "-", color=BLUE, label="median")
    axes.set(xlabel=data.label("a"), ylabel="loss f", yscale="log" if log else "linear",
             xlim=(min(data.a), max(data.a)))
    missing = np.ma.getmaskarray(data.loss)
    note_left_out(axes, np.count_nonzero(missing), missing.size, "not computed, NaN or infinite")
    legend_below(axes, columns=3)
    return figure
