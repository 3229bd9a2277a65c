"""basin-evaluate: the gradient of the loss, block by block."""
import numpy as np

from . import depth
from .model import footer, trainable_blocks
from ..files import ResultError
from .scales import use_log
from .style import MANY, SMALL, block_label, block_look, new_figure, number_label
from .units import exponent_for, in_units

MANY_BLOCKS = 6  # from which on their names stand upright, without shapes and numbers


def pictures(result, scale):
    """(name, figure) of each picture of an evaluation."""
    blocks = read_blocks(result)
    gradient = np.concatenate([block.ravel() for block in blocks.values()])
    norms = np.array([np.linalg.norm(block) for block in blocks.values()])
    over_depth = depth.pictures("Gradient of the loss by block, over depth", list(blocks), [("norm of the gradient", norms, None)],
                                scale, footer(result))
    unit = exponent_for(gradient)
    blocks = {name: in_units(block, unit) for name, block in blocks.items()}
    gradient = in_units(gradient, unit)
    loss = result.number("/entry/evaluation/loss")
    title = (f"Gradient of the loss by block: f(\N{GREEK SMALL LETTER THETA}) = {loss:.4g}, "
             f"|\N{NABLA}f| = {np.linalg.norm(gradient):.4g}" + (f" in units of 10^{unit}, as all below" if unit else ""))
    if len(blocks) > MANY_BLOCKS:  # one above the other, the names between them
        figure = new_figure(6.5, title, footer(result))
        entries, norms = figure.subplots(2, 1, height_ratios=(1.4, 1))
    else:
        figure = new_figure(3.8, title, footer(result))
        entries, norms = figure.subplots(1, 2, width_ratios=(2.2, 1))
    draw_entries(entries, blocks, use_log(np.abs(gradient), scale))
    draw_norms(norms, blocks, scale)
    return [("gradient", figure), *over_depth]


def read_blocks(result):
    """Name -> gradient of the block (any shape), in the order of the parameters; together they must be
    the whole gradient (P)."""
    group = "/entry/evaluation"
    gradient = result.numbers(f"{group}/gradient", 1)
    blocks = {name: result.numbers(f"{group}/gradient_blocks/{name}", None)
              for name in trainable_blocks(result)}
    size = sum(block.size for block in blocks.values())
    if size != gradient.size:
        raise ResultError(f"{group}/gradient_blocks: found {size} entries, expected {gradient.size} "
                          "as in gradient")
    return blocks


def draw_entries(axes, blocks, log):
    """Every entry; each block has the same width, whatever its size, so that all names have room."""
    for position, (name, block) in enumerate(blocks.items()):
        if position > 0:
            axes.axvline(position, color="black", linewidth=0.7)
        entries = np.abs(block.ravel()) if log else block.ravel()
        place = position + (np.arange(entries.size) + 0.5) / entries.size
        drawn = entries > 0 if log else np.full(entries.size, True)
        colour, _, marker = block_look(name, position)
        axes.plot(place[drawn], entries[drawn], marker, color=colour, markersize=2, markeredgewidth=0,
                  rasterized=entries.size > MANY)
    if log:
        axes.set_yscale("log")
    else:
        axes.axhline(0, color="black", linewidth=0.7)
    axes.set_xlim(0, len(blocks))
    if len(blocks) > MANY_BLOCKS:
        axes.set_xticks(np.arange(len(blocks)) + 0.5, [block_label(name) for name in blocks], rotation=90, fontsize=SMALL)
    else:
        axes.set_xticks(np.arange(len(blocks)) + 0.5, [entry_label(*item) for item in blocks.items()])
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel="" if len(blocks) > MANY_BLOCKS else "entries of each block, with its shape, in C order",
             ylabel="|gradient entry|" if log else "gradient entry")


def entry_label(name, block):
    """The block's name and shape, with the number of zeros, which a logarithmic axis cannot show."""
    zeros = np.count_nonzero(block == 0)
    shape = "\N{MULTIPLICATION SIGN}".join(map(str, block.shape))
    return f"{block_label(name)}\n{shape}" + (f"\n{zeros} zero" if zeros else "")


def draw_norms(axes, blocks, scale):
    """A bar for the norm of each block."""
    norms = np.array([np.linalg.norm(block) for block in blocks.values()])
    colours = [block_look(name, position)[0] for position, name in enumerate(blocks)]
    bars = axes.bar([block_label(name) for name in blocks], norms, color=colours, width=0.6)
    if use_log(norms, scale):
        axes.set_yscale("log")
    if len(blocks) > MANY_BLOCKS:
        axes.set_xlim(-0.5, len(blocks) - 0.5)
        axes.set_xticks([])
    else:
        axes.bar_label(bars, [number_label(float(f"{norm:.2g}")) for norm in norms], fontsize=SMALL, padding=2)
    axes.margins(y=0.12)
    axes.set_ylabel("norm of the gradient" + (" of the block" if len(blocks) <= MANY_BLOCKS else ""))
