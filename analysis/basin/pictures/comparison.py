"""Several slices side by side with the same scales: softmax beside Gaussian kernel. A panel that hardly meets the
levels of all has, dashed, levels of its own."""
import textwrap
from dataclasses import replace

import numpy as np

from .contour import draw_lines, fill, span
from .field import field
from .model import is_attention, network
from ..files import ResultError
from .style import SMALL, mark_point, new_figure, number_label
from . import path, slice

FEW = 2  # levels
PLANE = ("problem", "x", "y", "u", "v", "seed")  # what makes a plane, of a specification
LINE = 75  # characters of panel titles side by side
FOOTER_LINE = 0.17  # inches


def kernel_or_layers(result):
    return result.text("/entry/model/kernel") if is_attention(result) else network(result)


def read(result):
    """The Slice in a result file, checked to be of two dimensions and not empty."""
    data = slice.read(result)
    if 1 in data.loss.shape or data.band:
        raise ResultError("found a line, expected slices of two dimensions for --compare")
    if data.loss.count() == 0:
        raise ResultError("/train_loss: found no finite computed value, expected some for --compare")
    return data


def draw(results, scale, title=None):
    """The figure for slices of two dimensions, one panel each, levels and colours in common."""
    slices = [read(result) for result in results]
    units = [max(getattr(data, unit) for data in slices) for unit in ("unit", "step_unit")]
    slices = [slice.in_unit(data, *units) for data in slices]
    together = np.ma.concatenate([data.loss.ravel() for data in slices])
    shown = field(together, np.nan, scale, units[0])  # levels for all
    same = len({plane(result) for result in results}) == 1
    footer = [data.footer[0] if same else "; ".join((*data.footer, data.words)) for data in slices]
    figure = new_figure(1.4 + 5 / len(slices) + (0 if same else 2 * FOOTER_LINE * len(slices)),
                        title or ("The same plane family, side by side" if same else "Loss slices, side by side"),
                        footer)
    panels = figure.subplots(1, len(slices), sharex=True, sharey=True, squeeze=False)[0]
    limits = [span(np.concatenate([getattr(data, step) for data in slices])) for step in "ab"]
    for axes, data, result in zip(panels, slices, results):
        filled = fill(axes, data, on_levels(shown, data))
        axes.set_title(textwrap.fill(f"{kernel_or_layers(result)}, f = {number(data.centre, data)} at the point, "
                                     f"{number(data.loss.min(), data)} to {number(data.loss.max(), data)} on the plane",
                                     LINE // len(slices)),
                       fontsize=SMALL)
        axes.set(xlabel=data.step_label("a"), xlim=limits[0], ylim=limits[1])
        if np.allclose(*limits):
            axes.set_aspect("equal")
        if data.path:
            path.mark(axes, data.path)
        if min(data.a) <= 0 <= max(data.a) and min(data.b) <= 0 <= max(data.b):
            mark_point(axes, 0, 0, data.centre, data.unit)
    panels[0].set_ylabel(slices[0].step_label("b"))
    bar = figure.colorbar(filled, cax=panels[-1].inset_axes((1.06, 0, 0.07, 1)), label=shown.label)
    bar.set_ticks(shown.levels, labels=shown.level_labels)
    bar.ax.minorticks_off()
    for axes, data in zip(panels, slices):
        own = on_levels(shown, data)
        draw_lines(axes, data, own)
        if np.count_nonzero((shown.levels > own.values.min()) & (shown.levels < own.values.max())) < FEW:
            finer = field(data.loss, np.nan, scale, data.unit).levels
            draw_lines(axes, data, own, np.setdiff1d(finer, shown.levels), "dashed")
            axes.set_xlabel(axes.get_xlabel() + "\n(dashed: levels of its own)")
    return figure


def number(value, data):
    """A loss of a Slice, in few digits."""
    return number_label(value, 4, data.unit) if data.unit else f"{value:.4g}"


def plane(result):
    """What plane a slice is on: kernels may differ."""
    lines = result.text("/entry/slice/specification").splitlines()
    specification = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return tuple(specification.get(name) for name in PLANE)


def on_levels(shown, data):
    """The Field of a Slice, with the levels of the Field `shown`."""
    return replace(shown, values=np.ma.maximum(data.loss, shown.levels[0]) if shown.log else data.loss)
