"""basin-slice: the loss on a line or a plane through a point."""
import textwrap
from dataclasses import dataclass

import numpy as np

from . import contour, line, surface
from .model import footer
from .results import ResultError, same_shape
from .style import escape

MAX_LABEL = 60  # characters in a line of an axis label


@dataclass(frozen=True)
class Slice:
    """f(theta + a u + b v) on a grid, with what is drawn around it."""
    a: np.ndarray  # (nx) steps along u
    b: np.ndarray  # (ny) steps along v
    loss: np.ma.MaskedArray  # (ny, nx), masked where unusable
    computed: np.ndarray  # (ny, nx), bool
    centre: float  # f(theta)
    normalisation: str  # of u and v
    footer: list

    def label(self, step):
        """The axis label of the step "a" or "b"."""
        direction = {"a": "u", "b": "v"}[step]
        label = f"step ${step}$ along ${direction}$ (normalisation: {escape(self.normalisation)})"
        return textwrap.fill(label, MAX_LABEL)


def pictures(result, scale):
    """(name, figure) of each picture of a slice."""
    data = read(result)
    if 1 in data.loss.shape:
        return [("line", line.draw(data, scale))]
    return [("contour", contour.draw(data, scale)), ("surface", surface.draw(data, scale))]


def read(result):
    """The Slice in a result file."""
    a, b = result.numbers("/xcoordinates", 1), result.numbers("/ycoordinates", 1)
    for name, steps in (("/xcoordinates", a), ("/ycoordinates", b)):
        if not (np.all(np.diff(steps) > 0) or np.all(np.diff(steps) < 0)):
            raise ResultError(f"{name}: found steps out of order, expected increasing or decreasing ones")
    loss = result.numbers("/train_loss", 2, finite=False)
    computed = result.numbers("/computed", 2) != 0
    same_shape((b.size, a.size), **{"/train_loss": loss, "/computed": computed})
    loss = mask_unusable(loss, computed)
    if loss.count() == 0:
        raise ResultError("/train_loss: found no finite computed value, expected at least one")
    cosine = result.number("/entry/directions/cosine", finite=False)
    lines = footer(result)
    if np.isfinite(cosine) and 1 not in loss.shape:
        lines[0] += f"; cos(u, v) = {cosine:.3g}"
    return Slice(a, b, loss, computed, result.number("/entry/center_loss", finite=False),
                 result.text("/entry/directions/normalisation"), lines)


def mask_unusable(loss, computed):
    """`loss` (ny, nx) masked where it is NaN or infinite, or not `computed` (a sentinel stands there)."""
    return np.ma.masked_where(~computed | ~np.isfinite(loss), loss)
