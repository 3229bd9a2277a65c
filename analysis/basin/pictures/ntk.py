"""basin-ntk: read the spectra, choose the pictures, and draw the spectra."""
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from . import conditions, depth
from .model import footer, on_rows
from ..files import same_shape
from .scales import use_log
from .style import (BLOCK_LOOK, DEFINITENESS_LOOK, GREY, block_label, block_look, bound_label, legend_below, new_figure,
                    number_label)
from .units import exponent_for, in_units, unit_text

MARKERS = 16  # on a curve
MOST = 8  # kernels in a picture


@dataclass(frozen=True)
class Kernel:
    """One kernel's spectrum (m), descending."""
    name: str
    eigenvalues: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    unit: int = 0  # eigenvalues and bounds are in units of 10^unit
    singular: bool = False  # for certain, by conditions, whatever the bounds are

    @property
    def nonzero(self):
        """(m) where an eigenvalue is certainly above 0."""
        return self.lower > 0

    @property
    def bounded(self):
        """(m) where only an upper bound is known: the eigenvalue cannot be told from 0."""
        return (self.lower <= 0) & (self.upper > 0)

    @property
    def zero(self):
        """(m) where an eigenvalue is exactly 0."""
        return self.upper <= 0

    @property
    def rounding(self):
        """What is smaller is below rounding of the largest eigenvalue."""
        return np.finfo(float).eps * self.upper[0]

    @property
    def label(self):
        """Smallest eigenvalue and rank, as far as they are known."""
        if self.singular:
            least = "= 0, singular"
        elif self.nonzero[-1]:
            least = f"= {number_label(self.eigenvalues[-1], exponent=self.unit)}"
            least += "" if self.lower[-1] > self.rounding else " (in theory only)"
        elif self.bounded[-1]:
            least = f"\N{LESS-THAN OR EQUAL TO} {bound_label(self.upper[-1], upper=True, exponent=self.unit)}"
        else:
            least = f"= 0 ({np.count_nonzero(self.zero)} exactly 0)"
        rank = f"rank {np.count_nonzero(self.nonzero)} of {self.eigenvalues.size}"
        return rf"{block_label(self.name)}: $\lambda_\mathrm{{min}}$ {least}, {rank}"


def pictures(result, scale):
    """(name, figure) of each picture of an NTK result."""
    ends = conditions.read(result)
    lines, on = footer(result), on_rows(result, "/entry/rows")
    over_depth = draw_depth(ends, scale, lines, on) if "/entry/rows" in result else []
    if len(ends) > MOST and "/entry/rows" in result:
        # of singular ones those that are most of the sum
        least = sorted(ends[:-1], key=lambda end: (end.upper, -end.largest))[:MOST - 1]
        which = ("singular kernels of the largest eigenvalues" if all(end.zero for end in least) else
                 "kernels of the smallest eigenvalues")
        lines = [*lines, f"the {MOST - 1} {which} and the sum, of {len(ends)} in the file"]
        ends = [*(end for end in ends[:-1] if end in least), ends[-1]]
    drawn = [("conditions", conditions.draw(ends, scale, lines, on))]
    if "/entry/ntk" in result:  # singular values were computed
        kernels = [read_kernel(result, end.name) for end in ends if end.name in BLOCK_LOOK or "/entry/rows" in result]
        unit = exponent_for(*(kernel.upper for kernel in kernels))
        singular = {end.name for end in ends if end.zero}
        kernels = [Kernel(kernel.name, *(in_units(values, unit) for values in (kernel.eigenvalues, kernel.lower, kernel.upper)),
                          unit, kernel.name in singular and kernel.upper[-1] > 0) for kernel in kernels]
        drawn.insert(0, ("eigenvalues", draw(kernels, scale, lines, on)))
    return drawn + over_depth


def draw_depth(ends, scale, lines, on):
    """The picture of the largest eigenvalues of kernels of single blocks over depth, and of the smallest if some are known to
    be above 0."""
    unit = unit_text(ends[0].unit)
    largest = np.array([end.largest for end in ends])
    smallest = np.array([end.least if end.positive else np.nan for end in ends])
    quantities = [(r"$\lambda_\mathrm{max}$" + unit, largest, None)]
    if np.isfinite(smallest).any():
        quantities.append((r"$\lambda_\mathrm{min}$, where above 0" + unit, smallest, None))
    return depth.pictures(f"Kernels of single blocks{on}, over depth", [end.name for end in ends], quantities, scale, lines)


def read_kernel(result, name):
    """The Kernel of the block `name`, or of their "sum"."""
    group = f"/entry/ntk_{name}"
    values, lower, upper = (result.numbers(f"{group}/{part}", 1) for part in ("eigenvalue", "lower", "upper"))
    same_shape(values.shape, **{f"{group}/lower": lower, f"{group}/upper": upper})
    return Kernel(name, values, lower, upper)


def draw(kernels, scale, lines, on=""):
    """The figure of the spectra of Kernels. on: " on logit differences", what they are of."""
    figure = new_figure(4.6 + (0.25 if long_names(kernels) else 0.16) * len(kernels), f"Spectrum of the neural tangent kernel K = J J\u1d40{on}",
                        lines)
    axes = figure.add_subplot()
    bounds = np.concatenate([kernel.upper for kernel in kernels])
    if use_log(bounds, scale):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.05 * bounds.max() or 1)
    for position, kernel in enumerate(kernels):
        draw_kernel(axes, kernel, block_look(kernel.name, position), position / len(kernels))
    axes.set(xlabel="number of the eigenvalue, descending", ylabel=r"eigenvalue $\lambda$ of K" + unit_text(kernels[0].unit))
    rounding = kernels[-1].rounding
    shaded = (bounds[bounds > 0] <= rounding).any()
    if shaded:
        axes.set_ylim(bottom=axes.get_ylim()[0])  # as it is
        axes.axhspan(axes.get_ylim()[0], rounding, color=DEFINITENESS_LOOK["in theory only"], alpha=0.25, linewidth=0,
                     zorder=0)
    size = max(kernel.eigenvalues.size for kernel in kernels)
    axes.set_xlim(1 - max(0.5, 0.02 * size), size + max(0.5, 0.02 * size))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    handles = legend_handles(kernels)
    if shaded:
        handles.append(Patch(color=DEFINITENESS_LOOK["in theory only"], alpha=0.25, linewidth=0,
                             label=rf"below rounding of $\lambda_\mathrm{{max}}$ ({block_label(kernels[-1].name)})"))
    legend_below(axes, handles, columns=1 if long_names(kernels) else 2)
    return figure


def long_names(kernels):
    """Whether two of their labels do not fit beside each other."""
    return any(len(kernel.name) > 8 for kernel in kernels)


def draw_kernel(axes, kernel, look, phase):
    """One spectrum: a line with its band where eigenvalues are above 0, triangles at the upper bounds of
    those that cannot be told from 0. `phase` in [0, 1) sets markers of different curves apart."""
    colour, line, marker = look
    number = np.arange(1, kernel.eigenvalues.size + 1)
    every = max(1, number.size // MARKERS)
    known = kernel.nonzero
    axes.plot(number[known], kernel.eigenvalues[known], color=colour, linestyle=line, marker=marker,
              markevery=(int(phase * every), every), markerfacecolor="none")
    axes.fill_between(number[known], kernel.lower[known], kernel.upper[known], color=colour, alpha=0.3,
                      linewidth=0)
    bounded = kernel.bounded
    axes.plot(number[bounded], kernel.upper[bounded], linewidth=0.5, linestyle=line, marker="v", color=colour,
              markevery=(int(phase * every), every), markerfacecolor="none", markersize=5)


def legend_handles(kernels):
    """A handle for each kernel, then one for each kind of mark that occurs."""
    handles = []
    for position, kernel in enumerate(kernels):
        colour, line, marker = block_look(kernel.name, position)
        handles.append(Line2D([], [], color=colour, linestyle=line, marker=marker, markerfacecolor="none",
                              label=kernel.label))
    if any(kernel.nonzero.any() for kernel in kernels):
        handles.append(Patch(color=GREY, alpha=0.3, linewidth=0, label="lower to upper bound"))
    if any(kernel.bounded.any() for kernel in kernels):
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="v", markerfacecolor="none",
                              label="upper bound where 0 is not excluded"))
    return handles
