"""Several slices side by side with the same scales: softmax beside Gaussian kernel. A panel that hardly meets the
levels of all has, dashed, levels of its own."""
from dataclasses import replace

import numpy as np

from .contour import draw_lines, span
from .field import field
from .results import ResultError
from .style import FIELD, SMALL, mark_point, new_figure
from . import path, slice

FEW = 2  # levels


def draw(results, scale, title="The same plane family, side by side"):
    """The figure for slices of two dimensions, one panel each, levels and colours in common."""
    slices = [slice.read(result) for result in results]
    for data in slices:
        if 1 in data.loss.shape or data.lines:
            raise ResultError("found a line, expected slices of two dimensions for --compare")
    together = np.ma.concatenate([data.loss.ravel() for data in slices])
    shown = field(together, np.nan, scale)  # levels for all
    figure = new_figure(1.4 + 5 / len(slices), title, [data.footer[0] for data in slices])
    panels = figure.subplots(1, len(slices), sharex=True, sharey=True, squeeze=False)[0]
    for axes, data, result in zip(panels, slices, results):
        own = on_levels(shown, data)
        filled = axes.contourf(data.a, data.b, own.values, levels=own.levels, norm=own.norm, cmap=FIELD)
        axes.set_title(f"{result.text('/entry/model/kernel')}, f = {data.centre:.4g} at the point,\n"
                       f"{data.loss.min():.4g} to {data.loss.max():.4g} on the plane", fontsize=SMALL)
        axes.set(xlabel="step $a$ along $u$", xlim=span(data.a), ylim=span(data.b))
        if np.allclose(span(data.a), span(data.b)):
            axes.set_aspect("equal")
        if data.path:
            path.mark(axes, data.path)
        if min(data.a) <= 0 <= max(data.a) and min(data.b) <= 0 <= max(data.b):
            mark_point(axes, 0, 0, data.centre)
    panels[0].set_ylabel("step $b$ along $v$")
    bar = figure.colorbar(filled, cax=panels[-1].inset_axes((1.06, 0, 0.07, 1)), label=shown.label)
    bar.set_ticks(shown.levels, labels=shown.level_labels)
    bar.ax.minorticks_off()
    for axes, data in zip(panels, slices):
        own = on_levels(shown, data)
        draw_lines(axes, data, own)
        if np.count_nonzero((shown.levels > own.values.min()) & (shown.levels < own.values.max())) < FEW:
            finer = field(data.loss, np.nan, scale).levels
            draw_lines(axes, data, own, np.setdiff1d(finer, shown.levels), "dashed")
            axes.set_xlabel("step $a$ along $u$\n(dashed: levels of its own)")
    return figure


def on_levels(shown, data):
    """The Field of a Slice, with the levels of the Field `shown`."""
    return replace(shown, values=np.ma.maximum(data.loss, shown.levels[0]) if shown.log else data.loss)
