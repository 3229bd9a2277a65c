"""basin-slice: the loss on a line or a plane through a point."""
import re
import textwrap
from dataclasses import dataclass, replace

import numpy as np

from . import band, contour, curvature, line, path, surface
from .model import footer
from ..files import ResultError, same_shape
from .style import counted, escape, new_figure, safe_side, say
from .units import exponent_for, in_units, unit_text

MAX_LABEL = 60  # characters in a line of an axis label
DIGITS = 5  # of an eigenvalue in the words of a direction


@dataclass(frozen=True)
class Slice:
    """f(theta + a u + b v) on a grid, with what is drawn around it."""
    a: np.ndarray  # (nx) steps along u
    b: np.ndarray  # (ny) steps along v
    loss: np.ma.MaskedArray  # (ny, nx), masked where unusable
    computed: np.ndarray  # (ny, nx), bool
    centre: float  # f(theta)
    directions: dict  # step "a", "b" -> what its direction is, in words
    footer: list
    band: dict = None  # of random lines, which the rows are then: quantile "q05", ..., "median" -> (nx)
    path: object = None  # the Path of a training run
    unit: int = 0  # all losses are in units of 10^unit
    step_unit: int = 0  # and all steps in units of 10^step_unit

    def label(self, step):
        """The axis label of the step "a" or "b"."""
        return textwrap.fill(f"{self.step_label(step)} ({escape(self.directions[step])})", MAX_LABEL)

    def step_label(self, step):
        """The same without what the direction is."""
        return f"step ${step}$ along ${dict(a='u', b='v')[step]}${unit_text(self.step_unit)}"

    @property
    def words(self):
        """What both directions are, for pictures without room at their axes."""
        u, v = self.directions.values()
        return f"u and v: {u}" if u == v else f"u: {u}; v: {v}"


def pictures(result, scale):
    """(name, figure) of each picture of a slice."""
    data = read(result)
    if data.loss.count() == 0:
        return [(nothing_name(data), draw_nothing(data))]
    along_path = [("trajectory", path.draw(data, scale))] if data.path else []
    if data.band:
        return [("band", band.draw(data, scale)), *along_path]
    if 1 in data.loss.shape:
        return [("line", line.draw(data, scale)), *curvature.pictures(result, data), *along_path]
    return [("contour", contour.draw(data, scale)), ("surface", surface.draw(data, scale)),
            *curvature.pictures(result, data), *along_path]


def nothing_name(data):
    """The name of the picture that there will be when the slice is whole."""
    return "band" if data.band else "line" if 1 in data.loss.shape else "contour"


def draw_nothing(data):
    """A figure that says that there is nothing to draw: a share of a slice, or an overflow everywhere."""
    figure = new_figure(2.4, "Loss slice without a value to draw", [*data.footer, data.words])
    axes = figure.add_subplot()
    axes.set_axis_off()
    done = np.count_nonzero(data.computed)
    say(axes, f"{done} of {counted(data.computed.size, 'point')} computed"
              + (", none with a finite loss" if done else ""))
    return figure


def read(result):
    """The Slice in a result file."""
    a = result.numbers("/xcoordinates", 1)
    line_only = "/ycoordinates" not in result
    b = np.zeros(1) if line_only else result.numbers("/ycoordinates", 1)
    for name, steps in (("/xcoordinates", a), ("/ycoordinates", b)):
        if not (np.all(np.diff(steps) > 0) or np.all(np.diff(steps) < 0)):
            raise ResultError(f"{name}: found steps out of order, expected increasing or decreasing ones")
    dimensions = 1 if line_only else 2
    loss = result.numbers("/train_loss", dimensions, finite=False)
    computed = result.numbers("/computed", dimensions) != 0
    same_shape((b.size, a.size)[-dimensions:], **{"/train_loss": loss, "/computed": computed})
    loss, computed = np.atleast_2d(loss), np.atleast_2d(computed)
    loss = mask_unusable(loss, computed)
    cosine = result.number("/entry/directions/cosine", finite=False)
    groups = result.members("/entry")
    lines = footer(result)
    if np.isfinite(cosine) and 1 not in loss.shape and "band" not in groups:
        lines[0] += f"; cos(u, v) = {round(cosine, 12) + 0:.3g}"
    data = Slice(a, b, loss, computed, result.number("/entry/center_loss", finite=False),
                 {"a": direction(result, "x"), "b": direction(result, "y")}, lines,
                 band.read(result, a) if "band" in groups else None, path.read(result) if "trajectory" in groups else None)
    return in_unit(data, exponent_for(loss.filled(0)), exponent_for(a, b))


def in_unit(data, unit, step_unit):
    """The Slice in other units of losses and steps."""
    loss, step = unit - data.unit, step_unit - data.step_unit
    return replace(data, a=in_units(data.a, step), b=in_units(data.b, step), loss=in_units(data.loss, loss),
                   centre=in_units(data.centre, loss), unit=unit, step_unit=step_unit,
                   band=data.band and {name: in_units(values, loss) for name, values in data.band.items()},
                   path=data.path and replace(data.path, loss=in_units(data.path.loss, loss), a=in_units(data.path.a, step),
                                              b=in_units(data.path.b, step)))


def direction(result, name):
    """The direction "x" or "y" in words: where it is from, and how it is normalised."""
    origin, normalisation = (result.text(f"/entry/directions/{name}_{what}") for what in ("origin", "normalisation"))
    origin = re.sub(r"(\S+) \+- (\S+)", with_error, origin)
    origin = re.sub(r"(?<=\bto )[^\s:]*/", "", origin)  # the name of a file says enough
    return origin if normalisation == "none" else f"{origin}; normalisation: {normalisation}"


def with_error(match):
    """"VALUE +- ERROR" in few digits; the error where these digits show it."""
    value, error = map(float, match.groups())
    text = f"{value:.{DIGITS}g}"
    shown = text.replace("-", "\N{MINUS SIGN}")
    if error < abs(value) / 10**DIGITS:
        return shown
    error += abs(float(text) - value)  # what is cut off
    return f"{shown} \N{PLUS-MINUS SIGN} {safe_side(error, True, 2):.2g}"


def mask_unusable(loss, computed):
    """`loss` (ny, nx) masked where it is NaN or infinite, or not `computed` (a sentinel stands there)."""
    return np.ma.masked_where(~computed | ~np.isfinite(loss), loss)
