"""The path of a training run beside a slice: on the plane, and what the plane hides."""
from dataclasses import dataclass

import numpy as np

from .levels import label_log
from ..files import same_shape
from .scales import use_log
from .style import BLUE, ORANGE, SMALL, VERMILION, new_figure
from .units import exponent_for, in_units, unit_text


@dataclass(frozen=True)
class Path:
    """Points of a training run, projected on the plane."""
    step: np.ndarray  # (T)
    loss: np.ndarray  # (T), at the true points
    a: np.ndarray  # (T)
    b: np.ndarray  # (T)
    distance: np.ndarray  # (T), from the plane
    share: float  # of the variance, in the plane


def read(result):
    """The Path in a result file."""
    names = ("step", "loss", "proj_xcoord", "proj_ycoord", "distance")
    columns = {name: result.numbers(f"/entry/trajectory/{name}", 1, finite=name != "loss") for name in names}
    same_shape(columns["step"].shape, **{f"/entry/trajectory/{name}": column for name, column in columns.items()})
    return Path(*columns.values(), result.number("/entry/trajectory/variance_share", finite=False))


def share_text(path):
    """What share of the path's variance is in the plane, in words."""
    return "its points are one" if np.isnan(path.share) else f"{100 * path.share:.4g} % of the variance of all weights"


def mark(axes, path):
    """The projected path on axes of the steps a and b."""
    axes.plot(path.a, path.b, "-", color="white", linewidth=2.6, zorder=3)
    axes.plot(path.a, path.b, "-", color=VERMILION, marker="o", markersize=2.5, linewidth=1.2, zorder=4,
              label=f"training path, projected ({share_text(path)})")


def draw(data, scale):
    """The figure of the loss along the true path and of its distance from the plane."""
    path = data.path
    figure = new_figure(4.2, "Training path: loss, and distance from the plane", data.footer)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    loss = np.ma.masked_invalid(path.loss)
    log = use_log(loss.compressed(), scale) if loss.count() else False
    upper.plot(path.step, loss, "-o", color=BLUE, markersize=3)
    upper.set(ylabel="loss f on the path" + unit_text(data.unit), yscale="log" if log else "linear")
    if log:
        label_log(upper.yaxis, *upper.get_ylim())
    far = exponent_for(path.distance)
    lower.plot(path.step, in_units(path.distance, far), "-o", color=ORANGE, markersize=3)
    lower.set(xlabel="step", ylabel="distance" + unit_text(far), ylim=(0, None))
    lower.set_title(f"in the plane: {share_text(path)}", fontsize=SMALL, loc="right")
    return figure
