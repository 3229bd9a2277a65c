"""basin-hessian --full: the whole spectrum, sorted and as a histogram."""
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from .scales import set_symlog, symlog_threshold, use_symlog
from .style import MANY, SIGN_LOOK, counted, legend_below, new_figure
from .units import unit_text

BINS = 60
HATCH = {-1: "\\\\\\", 0: "xxx", 1: None}  # of the bars of each sign, for print in grey


def classify(eigenvalues, errors):
    """-1, 0 or 1 for each eigenvalue (k): negative, not distinguishable from 0, or positive."""
    return np.where(np.abs(eigenvalues) <= errors, 0, np.sign(eigenvalues)).astype(int)


def draw_sorted(operator, eigenvalues, errors, scale, footer, unit=0):
    """The figure of all eigenvalues (k) in units of 10^unit, ascending, against their number."""
    figure = new_figure(4.4, f"Spectrum of the {operator}: {'all ' if eigenvalues.size > 1 else ''}{counted(eigenvalues.size, 'eigenvalue')}", footer)
    axes = figure.add_subplot()
    number = np.arange(1, eigenvalues.size + 1)
    axes.axhline(0, color="black", linewidth=0.7)
    if use_symlog(eigenvalues, errors, scale):
        set_symlog(axes.yaxis, eigenvalues, errors)
    for sign, member in signs(eigenvalues, errors):
        colour, marker, name = SIGN_LOOK[sign]
        axes.errorbar(number[member], eigenvalues[member], errors[member], fmt=marker, color=colour,
                      markersize=3, elinewidth=0.6, rasterized=eigenvalues.size > MANY,
                      label=f"{name}: {np.count_nonzero(member)}")
    axes.set(xlabel="number of the eigenvalue, ascending", ylabel=r"eigenvalue $\lambda$" + unit_text(unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_below(axes, columns=3)
    return figure


def draw_histogram(operator, eigenvalues, errors, scale, footer, unit=0):
    """The figure of the histogram of all eigenvalues (k) in units of 10^unit."""
    title = f"Spectrum of the {operator}: histogram of {counted(eigenvalues.size, 'eigenvalue')}"
    figure = new_figure(4.0, title, footer)
    axes = figure.add_subplot()
    symlog = use_symlog(eigenvalues, errors, scale)
    bins = symlog_bins(eigenvalues, errors) if symlog else np.histogram_bin_edges(eigenvalues, BINS)
    if symlog:
        set_symlog(axes.xaxis, eigenvalues, errors)
    highest = 0
    for sign, member in signs(eigenvalues, errors):
        colour, _, name = SIGN_LOOK[sign]
        counts, _ = np.histogram(eigenvalues[member], bins)
        # Translucent and outlined: on a linear axis all signs share the bin at 0.
        axes.stairs(counts, bins, fill=True, linewidth=0.8, edgecolor=colour, facecolor=to_rgba(colour, 0.35),
                    hatch=HATCH[sign], label=f"{name}: {np.count_nonzero(member)}")
        highest = max(highest, counts.max())
    if highest > BINS:
        axes.set_yscale("log")
        axes.set_ylim(0.5, 2 * highest)
    axes.axvline(0, color="black", linewidth=0.7)
    axes.set(xlabel=r"eigenvalue $\lambda$" + unit_text(unit), ylabel="eigenvalues in the bin")
    legend_below(axes, columns=3)
    return figure


def signs(eigenvalues, errors):
    """(sign, mask (k)) for each sign that occurs."""
    classes = classify(eigenvalues, errors)
    return [(sign, classes == sign) for sign in SIGN_LOOK if (classes == sign).any()]


def symlog_bins(eigenvalues, errors):
    """Bin edges, evenly apart where a symmetric logarithmic axis is logarithmic, with one bin around 0."""
    threshold = symlog_threshold(eigenvalues, errors)
    top = np.abs(eigenvalues).max()
    count = int(np.clip(np.ceil(np.log10(max(top / threshold, 10)) * 5), 10, BINS / 2))
    side = np.geomspace(threshold, max(top * 1.001, 10 * threshold), count + 1)
    edges = np.concatenate((-side[::-1], side))
    first = np.searchsorted(edges, eigenvalues.min(), "right") - 1
    last = np.searchsorted(edges, eigenvalues.max(), "left")
    return edges[first:last + 1]
