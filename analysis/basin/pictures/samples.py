"""Samples of a problem whose inputs are pictures."""
import numpy as np

from ..files import ResultError
from .style import SMALL, counted, new_figure

ROWS, COLUMNS = 4, 6


def pictures(problem, scale):
    """The first samples, each with its label. `scale` has no meaning here."""
    greys, labels = read(problem)
    figure = new_figure(4.9, f"{problem.name}: the first {counted(min(len(greys), ROWS * COLUMNS), 'sample')} of {len(greys)}", [])
    axes = figure.subplots(ROWS, COLUMNS)
    for ax in axes.flat:
        ax.axis("off")
    for ax, grey, label in zip(axes.flat, greys, labels):
        ax.imshow(grey, cmap="gray", vmin=greys.min(), vmax=greys.max(), interpolation="nearest")
        ax.set_title(f"label {label}", fontsize=SMALL, pad=2)
    return [("samples", figure)]


def read(problem):
    """Grey values (N, rows, columns), and the label of each sample as text."""
    if "/data/images" in problem:
        greys = problem.numbers("/data/images", 4)[:, 0]
    elif "/data" in problem and problem.has_attribute("/data", "picture"):
        size = problem.count("/data", "picture")
        name = "/data/tokens" if "/data/tokens" in problem else "/data/X"
        values = problem.numbers(name, None)
        if size < 1 or values[0].size % size:
            raise ResultError(f"{name}: found shape {values.shape}, expected pictures of {size} rows")
        greys = values.reshape(len(values), size, -1)
    else:
        raise ResultError("found a problem file whose samples are no pictures, expected a result file, or pictures "
                          "(basin-problem pathfinder, images)")
    if "/data/labels" not in problem:
        return greys, [""] * len(greys)
    labels = problem.numbers("/data/labels", None).reshape(len(greys), -1)
    return greys, [" ".join(str(int(label)) for label in np.atleast_1d(row)[:3]) for row in labels]
