"""basin-hessian --per-block: the spectra of the diagonal blocks, a row for each, over depth, and how different they are."""
import numpy as np
from matplotlib.colors import LogNorm

from . import depth
from ..files import ResultError, same_shape
from .scales import set_symlog, use_symlog
from .sheet import short_name
from .style import BLACK, FIELD, SMALL, VERMILION, block_label, legend_below, new_figure
from .units import exponent_for, in_units, unit_text

NAMED, NAMED_COLUMNS = 80, 40  # rows and columns of a picture that have room for their names
POINTS = 300  # of the axis of eigenvalues
COLUMNS = ("trace", "frobenius_norm", "largest", "smallest")


class Blocks:
    """The table of the blocks of one matrix; eigenvalues, traces and norms in units of 10^unit."""

    def __init__(self, result, group):
        self.matrix = result.attribute(group, "matrix")
        self.names = result.texts(f"{group}/block")
        columns = {name: result.numbers(f"{group}/{name}", 1) for name in COLUMNS}
        errors = {name: result.numbers(f"{group}/{name}_errors", 1) for name in COLUMNS}
        self.share = {key: result.numbers(f"{group}/negative_share{key}", 1, finite=False) for key in ("", "_lower", "_upper")}
        same_shape((len(self.names),), **{f"{group}/{name}": values for name, values in {**columns, **self.share}.items()},
                   **{f"{group}/{name}_errors": values for name, values in errors.items()})
        self.unit = exponent_for(*columns.values())
        self.columns = {name: in_units(values, self.unit) for name, values in columns.items()}
        self.errors = {name: in_units(values, self.unit) for name, values in errors.items()}
        self.rules = [self.rule(result, f"{group}/spectra/{name}/quadrature") for name in self.names]
        self.distances = None
        if f"{group}/heterogeneity" in result:
            self.distances = result.numbers(f"{group}/heterogeneity/distance", 2)
            same_shape((len(self.names),) * 2, **{f"{group}/heterogeneity/distance": self.distances})

    def rule(self, result, group):
        """Nodes and weights (k) of the quadrature of a block, if there is one."""
        if group not in result:
            return None
        nodes, weights = (result.numbers(f"{group}/{name}", 2, finite=False) for name in ("nodes", "weights"))
        same_shape(nodes.shape, **{f"{group}/weights": weights})
        there = np.isfinite(nodes)
        return in_units(nodes[there], self.unit), weights[there] / weights[there].sum()


def pictures(result, scale, lines):
    """(name, figure) of each picture of the blocks, of all the matrices that there are."""
    drawn = []
    groups = [("", "/entry/per_block")]
    if "/entry/parts" in result:
        groups += [("_" + name, f"/entry/parts/{name}/per_block") for name in result.members("/entry/parts")]
    for ending, group in groups:
        if group not in result:
            continue
        blocks = Blocks(result, group)
        drawn.append(("blocks" + ending, draw_blocks(blocks, lines)))
        drawn += [(name + ending, figure) for name, figure in over_depth(blocks, scale, lines)]
        if blocks.distances is not None:
            drawn.append(("heterogeneity" + ending, draw_distances(blocks, lines)))
    if not drawn:
        raise ResultError("/entry/per_block is missing")
    return drawn


def over_depth(blocks, scale, lines):
    """The picture over the number of the layer, where layers are repeated."""
    quantities = [(label, blocks.columns[name], blocks.errors[name]) for label, name in
                  (("largest\neigenvalue", "largest"), ("smallest\neigenvalue", "smallest"), ("trace", "trace"),
                   ("Frobenius norm", "frobenius_norm"))]
    if np.isfinite(blocks.share[""]).any():
        quantities.append(("share below 0", blocks.share[""], None))
    return depth.pictures(f"Blocks of the {blocks.matrix}, over depth", blocks.names, quantities, scale, lines)


def draw_blocks(blocks, lines):
    """A row for each block: its ends, and its density as colour where that was estimated."""
    rows = len(blocks.names)
    figure = new_figure(1.9 + 0.17 * min(rows, NAMED), f"Spectra of the blocks of the {blocks.matrix}", lines)
    axes = figure.subplots()
    ends = np.concatenate([blocks.columns["smallest"], blocks.columns["largest"]])
    errors = np.concatenate([blocks.errors["smallest"], blocks.errors["largest"]])
    dense = any(blocks.rules)
    if dense or use_symlog(ends, errors, "auto"):
        threshold = 1e-6 * np.abs(ends).max() if dense else 0
        set_symlog(axes.xaxis, ends, np.maximum(errors, threshold))
    if dense:
        draw_densities(axes, blocks, ends)
    place = np.arange(rows)
    axes.axvline(0, color="black", linewidth=0.7)
    for name, marker, colour in (("smallest", "<", VERMILION), ("largest", ">", BLACK)):
        axes.errorbar(blocks.columns[name], place, xerr=blocks.errors[name], linestyle="none", marker=marker, color=colour,
                      markersize=3.5, elinewidth=0.7, label=f"{name} eigenvalue", zorder=3)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xlabel(r"eigenvalue $\lambda$" + unit_text(blocks.unit))
    if rows <= NAMED:
        axes.set_yticks(place, [block_label(name if len(name) <= 36 else "..." + name[-33:]) for name in blocks.names], fontsize=SMALL)
    else:
        axes.set_ylabel(f"block, 0: {short_name(blocks.names[0])} to {rows - 1}: {short_name(blocks.names[-1])}")
        axes.yaxis.get_major_locator().set_params(integer=True)
    legend_below(axes)
    return figure


def draw_densities(axes, blocks, ends):
    """The share of the eigenvalues of each block per unit of asinh(lambda / scale), as colour."""
    largest = np.abs(ends).max() or 1.0
    zero = 1e-6 * largest
    low, high = (np.arcsinh(end / zero) for end in (min(ends.min(), 0), max(ends.max(), 0)))
    width = max(high - low, 1e-3) / 60
    edges = np.linspace(low - 3 * width, high + 3 * width, POINTS + 1)
    points = (edges[1:] + edges[:-1]) / 2
    field = np.full((len(blocks.names), POINTS), np.nan)
    for row, rule in enumerate(blocks.rules):
        if rule is not None:
            nodes, weights = np.arcsinh(rule[0] / zero), rule[1]
            kernel = np.exp(-(((points[:, None] - nodes) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
            field[row] = kernel @ weights
    top = np.nanmax(field)
    image = axes.pcolormesh(zero * np.sinh(edges), np.arange(len(blocks.names) + 1) - 0.5, np.maximum(field, 1e-4 * top),
                            norm=LogNorm(1e-4 * top, top), cmap=FIELD, rasterized=True, alpha=0.8, linewidth=0)
    axes.figure.colorbar(image, ax=axes, fraction=0.04, label=r"share per unit of $\mathrm{asinh}(\lambda / \lambda_0)$, $\lambda_0 = 10^{-6}$ of the largest")


def draw_distances(blocks, lines):
    """Jensen-Shannon distances of the densities of all pairs of blocks."""
    rows = len(blocks.names)
    named = rows <= NAMED_COLUMNS
    pairs = blocks.distances[np.triu_indices(rows, 1)]
    figure = new_figure(5.4, f"How different the blocks of the {blocks.matrix} are, on average {pairs.mean():.2f}", lines)
    axes = figure.subplots()
    image = axes.imshow(blocks.distances, cmap=FIELD, vmin=0, vmax=1)
    axes.figure.colorbar(image, ax=axes, fraction=0.05, label="distance of the densities (Jensen-Shannon)")
    if named:
        labels = [block_label(short_name(name)) for name in blocks.names]
        axes.set_xticks(range(rows), labels, rotation=90, fontsize=SMALL)
        axes.set_yticks(range(rows), labels, fontsize=SMALL)
    else:
        axes.set_xlabel(f"block, 0: {short_name(blocks.names[0])} to {rows - 1}: {short_name(blocks.names[-1])}")
    return figure
