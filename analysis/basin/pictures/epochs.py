"""basin-train --batch: loss and accuracy along a training, epoch by epoch."""
import numpy as np

from ..files import ResultError, same_shape
from .model import footer
from .scales import use_log
from .style import BLACK, GREY, ORANGE, new_figure, set_log

CURVES = (("", BLACK, "-", "trained on"), ("held_out_", ORANGE, "--", "held out"))


def pictures(result, scale):
    """(name, figure) of the picture of a run."""
    run = read(result)
    accuracy = "accuracy" in run
    figure = new_figure(3.6, f"{result.text('/entry/title')}; {run['epoch'][-1]:.0f} epochs, {run['step'][-1]:.0f} steps", footer(result))
    panels = np.atleast_1d(figure.subplots(1, 1 + accuracy))
    draw(panels[0], run, "loss", "loss $f$")
    panels[0].plot(run["epoch"][1:], run["batch_loss"][1:], color=GREY, linewidth=0.8, label="batches, mean")
    if use_log(run["loss"], scale):
        set_log(panels[0].yaxis)
    if accuracy:
        draw(panels[1], {name: 100 * values if "accuracy" in name else values for name, values in run.items()}, "accuracy",
             "accuracy, %")
    for axes in panels:
        axes.set_xlabel("epoch")
        axes.grid(True)
        axes.margins(x=0.02)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=3, borderaxespad=0.1, borderpad=0.1, columnspacing=1)
    return [("training", figure)]


def read(result):
    """Name -> (T) of what is on record."""
    names = ["epoch", "step", "loss", "batch_loss"]
    names += [name for name in ("accuracy", "held_out_loss", "held_out_accuracy") if f"/entry/run/{name}" in result]
    run = {name: result.numbers(f"/entry/run/{name}", 1, finite=False) for name in names}
    same_shape(run["step"].shape, **{f"/entry/run/{name}": values for name, values in run.items()})
    if not np.isfinite(run["loss"]).all():
        raise ResultError("/entry/run/loss: found values NaN or infinite, expected none")
    return run


def draw(axes, run, quantity, label):
    """A quantity of both sets of data against the epoch."""
    for prefix, colour, style, name in CURVES:
        if prefix + quantity in run:
            marker = "." if run["epoch"].size < 30 else ""
            axes.plot(run["epoch"], run[prefix + quantity], color=colour, linestyle=style, marker=marker, markersize=3, label=name)
    axes.set_ylabel(label)
