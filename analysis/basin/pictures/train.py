"""basin-train: what happened along a descent, in one sheet."""
import numpy as np

from . import attention, epochs
from .model import BLOCKS, footer, is_attention, on_rows
from ..files import ResultError, same_shape
from .scales import use_log
from .style import (BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, block_label, block_look, new_figure,
                    number_label, say, set_log)
from .units import exponent_for, in_units, unit_text

COLUMNS = ("loss", "gradient_norm", "pl_ratio", "measured_rate", "guaranteed_rate", "distance")
SATURATION = ("mean_entropy", "largest_weight", "smallest_row_sum", "largest_row_sum")
MANY_BLOCKS = 8  # more have no legend
NTK = ("lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max", "predicted_rate")
LARGE_RATIO = 10  # largest to smallest rate from which their axis is logarithmic
SMALLEST = 1e-16  # rates nearer to 1 than this are 1


def pictures(result, scale):
    """(name, figure) of the picture of a run."""
    if "/entry/run/epoch" in result:
        return epochs.pictures(result, scale)
    run = read(result)
    status = result.text("/entry/status")
    title = (f"{result.text('/entry/title')}; {status} after {run['step'][-1]:.0f} steps, "
             f"f = {run['loss'][-1]:.4g}")
    lines = footer(result)
    figure = new_figure(7.8, title, lines)
    grid = figure.subplots(3, 2, sharex=True)
    draw_loss(grid[0, 0], run, scale)
    draw_gradient(grid[0, 1], run, scale)
    draw_rates(grid[1, 0], run)
    draw_ntk(grid[1, 1], run, scale, on_rows(result, "/entry/ntk_rows") if "lambda_min" in run else "")
    if is_attention(result):
        draw_saturation(grid[2, 0], run, result.text("/entry/model/kernel"))
    elif "/entry/attention" in result:
        attention.along_run(grid[2, 0], result, run["step"])
    else:
        say(grid[2, 0], "attention: none on record")
    draw_norms(grid[2, 1], run)
    for axes in grid[2]:
        axes.set_xlabel("step")
    if "/entry/certificate" in result:
        mark_certificate(grid[0, 0], result)
    for axes in grid.ravel():
        axes.grid(True)
        axes.margins(x=0.02)
        if axes.get_legend_handles_labels()[0]:
            columns = 4 if axes is grid[2, 1] else 2  # names of blocks are short
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=columns, borderaxespad=0.1,
                        borderpad=0.1, columnspacing=1)  # above the panel, where no curve can be hidden
    return [("descent", figure)]


def read(result):
    """Name -> (T) of everything on record; NaN where it does not apply."""
    run = {"step": result.numbers("/entry/run/step", 1)}
    names = (*COLUMNS, *(f"norm_{block}" for block in norms_of(result)))
    if is_attention(result):
        names += SATURATION
    if "/entry/run/lambda_min" in result:
        names += NTK
    if "/entry/run/held_out_loss" in result:
        names += ("held_out_loss",)
    for name in names:
        run[name] = result.numbers(f"/entry/run/{name}", 1, finite=False)
    same_shape(run["step"].shape, **{f"/entry/run/{name}": run[name] for name in names})
    if not np.isfinite(run["loss"]).all():
        raise ResultError("/entry/run/loss: found values NaN or infinite, expected none")
    return run


def norms_of(result):
    """The blocks whose norms are on record: the four of one attention layer, in their order, or all there are."""
    if is_attention(result):
        return BLOCKS
    return [name.removeprefix("norm_") for name in result.members("/entry/run") if name.startswith("norm_")]


def in_one_unit(run, *names):
    """The run with what of `names` there is in one unit, and that unit for the end of a label."""
    names = [name for name in names if name in run]
    unit = exponent_for(*(run[name] for name in names))
    return {**run, **{name: in_units(run[name], unit) for name in names}}, unit_text(unit)


def curve(axes, run, name, **look):
    """One quantity against the step, unless there is nothing of it."""
    values = run[name]
    if np.isfinite(values).any():
        marker = "." if values.size < 30 else ""
        axes.plot(run["step"], values, marker=marker, markersize=3, **look)


def scaled(axes, values, scale):
    """A logarithmic axis where the values ask for it."""
    if use_log(values[np.isfinite(values)], scale):
        set_log(axes.yaxis)


def draw_loss(axes, run, scale):
    run, unit = in_one_unit(run, "loss", "held_out_loss")
    held_out = "held_out_loss" in run
    curve(axes, run, "loss", color=BLACK, **({"label": "trained on"} if held_out else {}))
    if held_out:
        curve(axes, run, "held_out_loss", color=ORANGE, linestyle="--", label="held out")
    scaled(axes, run["loss"], scale)
    axes.set_ylabel("loss $f$" + unit)


def draw_gradient(axes, run, scale):
    run, unit = in_one_unit(run, "gradient_norm", "distance")
    if unit:
        axes.set_ylabel(unit.removeprefix(", "))
    curve(axes, run, "gradient_norm", color=BLUE, label=r"$|\nabla f|$")
    run = {**run, "distance": np.where(run["distance"] > 0, run["distance"], np.nan)}  # 0 at the start
    curve(axes, run, "distance", color=GREY, linestyle="--", label=r"distance $|\theta - \theta_0|$")
    scaled(axes, run["gradient_norm"], scale)


def draw_rates(axes, run):
    """1 - rate, in which a rate near 1 can be seen."""
    below = False
    for name, colour, style, label in (("measured_rate", BLACK, "-", "measured"),
                                       ("predicted_rate", ORANGE, "--", r"$(1 - \eta\lambda_{\min})^2$"),
                                       ("guaranteed_rate", GREEN, ":", "guaranteed")):
        if name in run:
            gain = 1 - run[name]
            below |= bool((gain < 0).any())
            shown = {"step": run["step"], name: np.where(gain > SMALLEST, gain, np.nan)}
            curve(axes, shown, name, color=colour, linestyle=style, label=label)
    if axes.lines:
        low, high = axes.dataLim.intervaly
        if high > LARGE_RATIO * low:
            set_log(axes.yaxis)
        else:
            axes.set_ylim(bottom=0)
        axes.set_ylabel("1 \N{MINUS SIGN} factor on $f$ in a step" + (" (rises not shown)" if below else ""))
    else:
        say(axes, "no rates: a single record")
        axes.set_yticks([])


def draw_ntk(axes, run, scale, on=""):
    run, unit = in_one_unit(run, "pl_ratio", "lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max")
    if on or unit:
        axes.set_ylabel(f"NTK{on}{unit}" if on else unit.removeprefix(", "))
    curve(axes, run, "pl_ratio", color=PURPLE, linestyle="-.", label=r"$|\nabla f|^2 / 2f$")
    values = run["pl_ratio"]
    if "lambda_min" in run:
        lower, upper = run["lambda_min_lower"], run["lambda_min_upper"]
        label = r"$\lambda_{\min} = 0$: singular" if (upper == 0).all() else r"$\lambda_{\min}$ of the NTK"
        curve(axes, run, "lambda_min", color=VERMILION, label=label)
        axes.fill_between(run["step"], lower, upper, color=VERMILION, alpha=0.25, linewidth=0)
        curve(axes, run, "lambda_max", color=GREY, linestyle="--", label=r"$\lambda_{\max}$")
        values = np.concatenate([values, run["lambda_min"], run["lambda_max"]])
    scaled(axes, values, scale)


def draw_saturation(axes, run, kernel):
    curve(axes, run, "mean_entropy", color=BLUE, label="mean entropy")
    curve(axes, run, "largest_weight", color=ORANGE, linestyle="--", label="largest weight")
    if kernel == "gaussian":
        curve(axes, run, "smallest_row_sum", color=GREEN, linestyle=":", label="smallest row sum")
        curve(axes, run, "largest_row_sum", color=GREEN, linestyle="-.", label="largest row sum")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("attention")


def draw_norms(axes, run):
    blocks = [name.removeprefix("norm_") for name in run if name.startswith("norm_")]
    run, unit = in_one_unit(run, *(f"norm_{block}" for block in blocks))
    for position, block in enumerate(blocks):
        colour, style, _ = block_look(block, position)
        label = block_label(block) if len(blocks) <= MANY_BLOCKS else None
        curve(axes, run, f"norm_{block}", color=colour, linestyle=style, label=label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("norms of the blocks" + unit)


def mark_certificate(axes, result):
    """Where convergence is proven from."""
    first = int(result.number("/entry/certificate/first_step"))
    if first >= 0:
        axes.axvline(first, color=GREEN, linewidth=1, label=f"proven from step {number_label(first)} on")
