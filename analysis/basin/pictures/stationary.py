"""basin-stationary: where the starts ended, and the share of each verdict."""
import numpy as np
from matplotlib.ticker import MaxNLocator

from . import attention
from .model import footer
from ..files import ResultError, same_shape
from .scales import use_log
from .style import GREEN, VERDICT_LOOK, counted, legend_below, new_figure, number_label, say
from .units import exponent_for, in_units, unit_text

SEARCHES = {"minima": "descents", "from": "descents from given starts", "saddles": "searches for saddles"}
ZERO = 1e-20  # of the largest loss: on a logarithmic axis what is below is drawn there


def pictures(result, scale):
    """(name, figure) of the picture of a catalogue."""
    starts = read_starts(result)
    shares = result.table("/entry/shares", ("search", "verdict"), ("count", "total", "share", "lower", "upper"),
                          empty=True) if "/entry/shares/verdict" in result else []
    searches = [name for name in SEARCHES if any(row["search"] == name for row in shares)]
    title = f"{result.text('/entry/title')}: {what(starts)}"
    rows = sum(len(shown(shares, name)) for name in searches)
    depth = attention.has_depth(result)
    figure = new_figure(3.6 + 0.25 * rows + 0.5 * len(searches) + 1.8 * depth, title, footer(result))
    heights = [8, *(max(1, len(shown(shares, name))) for name in searches), *([5] * depth)]
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    draw_losses(panels[0], starts, result, scale)
    for axes, name in zip(panels[1:], searches):
        draw_shares(axes, shown(shares, name), name)
    if depth:
        attention.over_depth(panels[-1], result, starts["verdict"])
    return [("ends", figure)]


def read_starts(result):
    """Losses and verdicts of all starts."""
    loss = result.numbers("/entry/starts/loss", 1, finite=False)
    verdict = np.array(result.texts("/entry/starts/verdict"), object)
    search = np.array(result.texts("/entry/starts/search"), object)
    same_shape(loss.shape, **{"/entry/starts/verdict": verdict, "/entry/starts/search": search})
    for name in set(verdict):
        if name not in VERDICT_LOOK:
            raise ResultError(f"/entry/starts/verdict: found '{name}', expected one of {', '.join(VERDICT_LOOK)}")
    return {"loss": loss, "verdict": verdict, "given": search == "given"}


def what(starts):
    """How many ends of descents there are, and given points, which are no ends."""
    given = np.count_nonzero(starts["given"])
    ends = len(starts["loss"]) - given
    return " and ".join([counted(ends, "end")] * (ends > 0 or given == 0) + [counted(given, "given point")] * (given > 0))


def shown(shares, search):
    """The rows of a kind of search that count any starts."""
    return [row for row in shares if row["search"] == search and row["count"] > 0]


def draw_losses(axes, starts, result, scale):
    """All ends by their loss, in the colour of their verdict."""
    finite = np.isfinite(starts["loss"])
    loss, verdict = starts["loss"][finite], starts["verdict"][finite]
    if loss.size == 0:
        say(axes, "no start ended where the loss is finite")
        axes.set_axis_off()
        return
    order = np.argsort(loss, kind="stable")
    unit = exponent_for(loss)
    loss, verdict = in_units(loss[order], unit), verdict[order]
    floor = ZERO * loss.max()
    is_zero = (verdict == "global minimum") & (loss <= floor)  # zero to rounding: its size says nothing
    positive = loss[~is_zero]
    log = positive.size > 0 and use_log(positive, scale)
    low = positive.min() / 10 if positive.size else 1
    height = np.where(is_zero, low if log else 0, loss)
    if log:
        axes.set_yscale("log")
    for name, (colour, marker, _) in VERDICT_LOOK.items():
        chosen = verdict == name
        if chosen.any():
            label = f"{name} ({np.count_nonzero(chosen)})"
            axes.plot(np.flatnonzero(chosen) + 1, height[chosen], marker, color=colour, label=label,
                      markerfacecolor="none", clip_on=False)
    lowest = in_units(result.number("/entry/catalogue/lowest_loss", finite=False), unit)
    if result.number("/entry/catalogue/lowest_is_global") and lowest > 0:
        axes.axhline(lowest, color=GREEN, linewidth=0.8, linestyle="--",
                     label=f"global minimum, f = {number_label(lowest, exponent=unit)}")
    zeros = " (f = 0 at the lower edge)" if log and is_zero.any() else ""
    given = starts["given"].all()
    axes.set_xlabel("given points, sorted" if given else "ends, sorted" if not starts["given"].any() else "ends and given points, sorted")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("loss $f$" + unit_text(unit) + zeros)
    axes.set_xlim(0.5, loss.size + 0.5)
    axes.grid(True, axis="y")
    legend_below(axes)


def draw_shares(axes, rows, search):
    """A bar for the share of each verdict, with its interval."""
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows):
        colour, _, hatch = VERDICT_LOOK[row["verdict"]]
        error = [[row["share"] - row["lower"]], [row["upper"] - row["share"]]]
        axes.barh(place, row["share"], color=colour, alpha=0.4, height=0.7, hatch=hatch, edgecolor="white", linewidth=0)
        axes.errorbar(row["share"], place, xerr=np.maximum(error, 0), color=colour, capsize=3)
    axes.set_yticks(places, [f"{row['verdict']}, {row['count']:.0f}" for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, 1)
    axes.grid(True, axis="x")
    axes.set_xlabel(f"share of {rows[0]['total']:.0f} {SEARCHES[search]}, with 95 % interval")
