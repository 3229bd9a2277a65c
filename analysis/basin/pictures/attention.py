"""How sharp attention is, layer by layer: along a run, and over depth."""
import numpy as np

from ..files import ResultError, same_shape
from .style import VERDICT_LOOK, say

LEGEND = 4  # layers that have a label each; of more the first and the last
ROUNDING = 1e-9
TITLE = "share of saturated rows"


def along_run(axes, result, steps):
    """The share of saturated rows, and the mean entropy (1 uniform, 0 on one token), against the step: curves for each
    layer, darker the deeper it is."""
    layers = result.texts("/entry/attention/layer")
    shares, entropies = (table(result, f"/entry/attention/{name}", (steps.size, len(layers)))
                         for name in ("saturated", "entropy"))
    if not np.isfinite(shares).any():
        say(axes, "attention: none that moves\nand has a choice")
        return
    for position, (layer, values) in enumerate(zip(layers, shares.T)):
        labelled = len(layers) <= LEGEND or position in (0, len(layers) - 1)
        look = {"color": depth_colour(position, len(layers)), "marker": "." if steps.size < 30 else "", "markersize": 3}
        axes.plot(steps, values, label=layer if labelled else None, **look)
        axes.plot(steps, entropies[:, position], linestyle="--", **look)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("saturated rows (solid), entropy (dashed)")


def over_depth(axes, result, verdicts):
    """The same at the ends of a search, against the layer, in the colour of their verdict."""
    layers = result.text("/entry/catalogue/attention_layers").split("\n")
    shares = table(result, "/entry/starts/attention/saturated", (len(verdicts), len(layers)))
    for name, (colour, marker, _) in VERDICT_LOOK.items():
        for row in shares[verdicts == name]:
            axes.plot(range(len(layers)), row, marker + "-", color=colour, markerfacecolor="none", linewidth=0.7)
    shown = range(len(layers)) if len(layers) <= LEGEND else (0, len(layers) - 1)
    axes.set_xticks(list(shown), [layers[position] for position in shown])
    axes.set_xlim(-0.5, len(layers) - 0.5)
    axes.set_ylim(-0.05, 1.05)
    axes.set_ylabel(TITLE)
    axes.grid(True, axis="y")


def has_depth(result):
    return "/entry/starts/attention/saturated" in result


def table(result, name, shape):
    values = result.numbers(name, 2, finite=False)
    same_shape(shape, **{name: values})
    known = values[np.isfinite(values)]
    if ((known < -ROUNDING) | (known > 1 + ROUNDING)).any():
        raise ResultError(f"{name}: found numbers outside of 0 to 1")
    return values


def depth_colour(position, count):
    """From light to dark blue."""
    light = 0.75 * (1 - (position + 1) / count)
    return tuple(light + (1 - light) * part for part in (0.0, 0.3, 0.6))
