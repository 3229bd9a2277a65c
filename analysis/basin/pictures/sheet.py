"""basin-hessian: one sheet with the ends, counts, densities and norms of the Hessian and of its two parts."""
from dataclasses import dataclass, field, replace

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..files import ResultError, same_shape
from .scales import set_symlog
from .style import (BLACK, BLUE, FIELD, GREEN, GREY, SIGN_LOOK, SMALL, VERMILION, block_label, legend_below,
                    new_figure, safe_side)
from .units import exponent_for, in_units, unit_text

# Matrix -> (short name, colour, line style).
MATRIX_LOOK = {
    "hessian": ("$H$", BLACK, "-"),
    "gauss-newton": (r"$G = J^T H_\ell J$", BLUE, "--"),  # J^T J for squared loss
    "residual": (r"$R = H - G$", VERMILION, ":"),
}
# What is counted -> (colour, hatch, name).
COUNT_LOOK = {
    "negative": (SIGN_LOOK[-1][0], "\\\\\\", "negative"),
    "symmetry": (GREEN, "...", "symmetry"),
    "zero": (GREY, "xxx", "zero"),
    "positive": (SIGN_LOOK[1][0], None, "positive"),
}
MANY_BLOCKS = 8  # more have no room for their names and numbers
FEW = 30  # points of a curve that are seen one by one
UNKNOWN_LOOK = ("#d0d0d0", "///", "not determined")  # where not all could be counted


@dataclass
class Part:
    """What a result holds of one matrix."""
    matrix: str
    ends: dict = field(default_factory=dict)  # "largest", "smallest" -> (values, errors, converged), each (k)
    spectrum: tuple = None  # all values and their errors, each (k)
    counts: list = field(default_factory=list)  # of the matrix, of its restriction, or both
    # "ends", "spectrum", "densities" -> whether they are of the restriction: modulo symmetries
    restricted: dict = field(default_factory=dict)
    densities: dict = field(default_factory=dict)  # "density", "density_symlog" -> curve
    norms: tuple = None  # names, norms (b, b), errors (b, b)
    unit: int = 0  # eigenvalues, norms and their errors are in units of 10^unit

    def label(self, what):
        """The matrix that these results are of."""
        return matrix_label(self.matrix, self.restricted.get(what, False))


@dataclass
class Counts:
    """How many eigenvalues of each sign the matrix has, or its restriction."""
    restricted: bool
    numbers: dict  # of COUNT_LOOK -> number; positive is what is left where one of the others is not exact
    exact: dict  # "negative", "zero" -> False where it is the least there are
    elsewhere: bool  # of the balanced point


def matrix_label(matrix, restricted):
    """The short name of a matrix, which says whether symmetry directions are set aside."""
    return MATRIX_LOOK[matrix][0] + (" mod. sym." if restricted else "")


def read_parts(result):
    """The Part of /entry, and those of /entry/parts if there are some."""
    groups = ["/entry"]
    if "/entry/parts" in result:
        groups += [f"/entry/parts/{name}" for name in result.members("/entry/parts")]
    parts = [read_part(result, group) for group in groups]
    parts = [part for part in parts if part.ends or part.spectrum or part.counts or part.densities or part.norms]
    unit = exponent_for(*(values for part in parts for values in sizes(part)))
    return [in_unit(part, unit) for part in parts]


def sizes(part):
    """Arrays of all that has the dimension of an eigenvalue."""
    return [*(values for end in part.ends.values() for values in end[:2]), *([part.spectrum[0]] if part.spectrum else []),
            *(curve["eigenvalue"] for curve in part.densities.values()), *([part.norms[1]] if part.norms else [])]


def in_unit(part, unit):
    """The Part with eigenvalues, norms and their errors in units of 10^unit."""
    def curve(name, old):
        per = 0 if name == "density_symlog" else -unit  # symlog: per unit of asinh(eigenvalue / scale), a share as it is
        return {key: in_units(values, unit if key == "eigenvalue" else per) for key, values in old.items()}

    return replace(part, unit=unit, ends={end: (in_units(values, unit), in_units(errors, unit), converged)
                                          for end, (values, errors, converged) in part.ends.items()},
                   spectrum=part.spectrum and tuple(in_units(values, unit) for values in part.spectrum),
                   densities={name: curve(name, old) for name, old in part.densities.items()},
                   norms=part.norms and (part.norms[0], *(in_units(values, unit) for values in part.norms[1:])))


def read_part(result, group):
    """The Part in a group."""
    matrix = group.rpartition("/")[2]
    if group == "/entry":
        matrix = result.text("/entry/matrix") if "/entry/matrix" in result else "hessian"
    if matrix not in MATRIX_LOOK:
        raise ResultError(f"{group}: found a matrix '{matrix}', expected one of {', '.join(MATRIX_LOOK)}")
    part = Part(matrix)
    for end in ("largest", "smallest"):
        if f"{group}/{end}" in result:
            values = result.numbers(f"{group}/{end}/eigenvalue", 1, empty=True)
            errors = result.numbers(f"{group}/{end}/eigenvalue_errors", 1, empty=True)
            converged = result.numbers(f"{group}/{end}/converged", 1, empty=True) != 0
            same_shape(values.shape, **{f"{group}/{end}/eigenvalue_errors": errors, f"{group}/{end}/converged": converged})
            part.ends[end] = (values, errors, converged)
    for name, what in (("largest", "ends"), ("smallest", "ends"), ("spectrum", "spectrum"), ("quadrature", "densities")):
        if f"{group}/{name}" in result and result.has_attribute(f"{group}/{name}", "symmetry"):
            part.restricted[what] = result.count(f"{group}/{name}", "symmetry") > 0
    if f"{group}/spectrum" in result:
        values, errors = (result.numbers(f"{group}/spectrum/{key}", 1) for key in ("eigenvalue", "eigenvalue_errors"))
        same_shape(values.shape, **{f"{group}/spectrum/eigenvalue_errors": errors})
        part.spectrum = (values, errors)
    if f"{group}/counts" in result:
        balanced = ["elsewhere"] if f"{group}/counts/elsewhere" in result else []
        names = list(COUNT_LOOK) + ["negative_exact", "zero_exact"] + balanced
        part.counts = [Counts(row["symmetry"] > 0, {name: row[name] for name in COUNT_LOOK},
                              {name: bool(row[f"{name}_exact"]) for name in ("negative", "zero")},
                              any(row[name] > 0 for name in balanced))
                       for row in result.table(f"{group}/counts", ["of"], names)]
    for name in ("density", "density_symlog"):
        if f"{group}/{name}" in result:
            curve = {key: result.numbers(f"{group}/{name}/{key}", 1)
                     for key in ("eigenvalue", "density", "noise", "truncation")}
            same_shape(curve["eigenvalue"].shape, **{f"{group}/{name}/{key}": c for key, c in curve.items()})
            part.densities[name] = curve
    if f"{group}/block_norms" in result:
        names = result.texts(f"{group}/block_norms/blocks")
        norms, errors = (result.numbers(f"{group}/block_norms/{key}", 2) for key in ("frobenius", "frobenius_errors"))
        same_shape((len(names), len(names)), **{f"{group}/block_norms/frobenius": norms,
                                                f"{group}/block_norms/frobenius_errors": errors})
        part.norms = (names, norms, errors)
    return part


def draw(parts, title, footer):
    """The sheet: a row each for ends and counts, whole spectra, densities, and norms, as far as there are."""
    first = []
    if any(part.ends for part in parts):
        first.append("ends")
    if any(part.counts for part in parts):
        first.append("counts")
    densities = [part for part in parts if part.densities]
    norms = [part for part in parts if part.norms]
    spectra = [part for part in parts if part.spectrum]
    rows = [row for row in (first, ["spectra"] if spectra else [], ["symlog"] if densities else [], ["linear", "logarithmic"] if densities else [],
                            [f"norms {part.matrix}" for part in norms]) if row]
    bars = sum(len(part.counts) for part in parts)
    heights = {"ends": max(1.9, 0.4 * bars), "counts": max(1.9, 0.4 * bars), "spectra": 1.9, "symlog": 1.8, "linear": 1.6}
    figure = new_figure(1.0 + sum(heights.get(row[0], 1.7) + 0.55 for row in rows), title, footer)
    grid = figure.add_gridspec(len(rows), 1, height_ratios=[heights.get(row[0], 1.7) for row in rows])
    for place, row in zip(grid, rows):
        inside = place.subgridspec(1, len(row), width_ratios=[1.6 if name == "ends" else 1 for name in row])
        for cell, name in zip(inside, row):
            axes = figure.add_subplot(cell)
            if name == "ends":
                draw_ends(axes, parts)
            elif name == "counts":
                draw_counts(axes, parts)
            elif name == "spectra":
                draw_spectra(axes, spectra)
            elif name.startswith("norms"):
                draw_norms(axes, next(part for part in norms if name == f"norms {part.matrix}"))
            else:
                draw_density(axes, densities, name)
    return figure


def draw_ends(axes, parts):
    """Largest and smallest eigenvalues of each matrix in a column of its own, with errors; equal ones are counted."""
    shown = [part for part in parts if part.ends]
    values = np.concatenate([end[0] for part in shown for end in part.ends.values()])
    errors = np.concatenate([end[1] for part in shown for end in part.ends.values()])
    if values.size:
        set_symlog(axes.yaxis, values, errors)
    axes.axhline(0, color="black", linewidth=0.7)
    for column, part in enumerate(shown):
        _, colour, _ = MATRIX_LOOK[part.matrix]
        for side, end, marker in ((-1, "smallest", "v"), (1, "largest", "^")):
            if end not in part.ends:
                continue
            found = clusters(*part.ends[end])
            places = column + side * np.linspace(0.38, 0.06, len(found))  # the outermost one outside
            for place, (value, error, converged, times) in zip(places, found):
                axes.errorbar(place, value, error, fmt=marker, color=colour, markersize=4, capsize=2, elinewidth=0.8,
                              markerfacecolor=colour if converged else "none")
                if times > 1:
                    axes.annotate(f"\N{MULTIPLICATION SIGN}{times}", (place, value), (0, -5 * side), ha="center",
                                  va="top" if side > 0 else "bottom", textcoords="offset points", fontsize=SMALL)
    axes.set_xticks(range(len(shown)), [part.label("ends").replace(" mod", "\nmod") for part in shown])
    axes.set_xlim(-0.6, len(shown) - 0.4)
    done = all(end[2].all() for part in shown for end in part.ends.values())
    axes.set(title="ends: largest \N{BLACK UP-POINTING TRIANGLE}, smallest \N{BLACK DOWN-POINTING TRIANGLE}"
             + ("" if done else "\n(hollow: not converged)"), ylabel="$\\lambda$ with error bound" + unit_text(parts[0].unit))


def clusters(values, errors, converged):
    """[value, error, converged, times]: runs of values that are equal within their errors, or to nine digits."""
    found = []
    for value, error, done in zip(values, errors, converged):
        if found and done and found[-1][2] and abs(value - found[-1][0]) <= max(error + found[-1][1], 1e-9 * abs(value)):
            found[-1][1] = max(found[-1][1], error)
            found[-1][3] += 1
        else:
            found.append([value, error, done, 1])
    return found


def draw_spectra(axes, parts):
    """All eigenvalues of each matrix, ascending."""
    set_symlog(axes.yaxis, *(np.concatenate([part.spectrum[i] for part in parts]) for i in range(2)))
    axes.axhline(0, color="black", linewidth=0.7)
    for part in parts:
        _, colour, line = MATRIX_LOOK[part.matrix]
        values = part.spectrum[0]
        axes.plot(np.arange(1, values.size + 1), values, color=colour, linestyle=line, linewidth=1,
                  marker="." if values.size < FEW else "", label=part.label("spectrum"))
    axes.set(title="whole spectra", xlabel="number of the eigenvalue, ascending", ylabel=r"eigenvalue $\lambda$" + unit_text(parts[0].unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="upper left")


def draw_counts(axes, parts):
    """A bar for each matrix and for its restriction: how many eigenvalues are negative, symmetry modes, further zeros
    and positive, or not determined. What is too narrow for its number has it above the bar."""
    shown = [(matrix_label(part.matrix, counts.restricted), counts) for part in parts for counts in part.counts]
    for row, (_, counts) in enumerate(reversed(shown)):
        left, total, narrow = 0, sum(counts.numbers.values()), []
        for name, count in counts.numbers.items():
            open_end = name == "positive" and not all(counts.exact.values())  # whatever was not counted
            colour, hatch, title = UNKNOWN_LOOK if open_end else COUNT_LOOK[name]
            axes.barh(row, count, 0.6, left=left, color=colour, alpha=0.75, hatch=hatch, edgecolor="white", linewidth=0.4)
            label = ("" if counts.exact.get(name, True) else "\N{GREATER-THAN OR EQUAL TO} ") + f"{count:.0f}"
            if count > 0.12 * total:
                axes.text(left + count / 2, row, label, ha="center", va="center", fontsize=SMALL,
                          bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1})
            elif count > 0 or not counts.exact.get(name, True):
                narrow.append(f"{label} {title}")
            left += count
        axes.text(0, row + 0.33, ", ".join(narrow), va="bottom", fontsize=SMALL)
    axes.set_yticks(range(len(shown)), [label.replace(" mod", "\nmod") for label, _ in reversed(shown)])
    axes.set_ylim(-0.5, len(shown) - 0.25)
    where = ", at the balanced point" if any(c.elsewhere for _, c in shown) else ""
    axes.set(title="how many of each sign" + (f"\n(mod. sym.: modulo symmetries{where})" if any(c.restricted for _, c in shown) else ""),
             xlabel="eigenvalues")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    looks = [*COUNT_LOOK.values()] + ([] if all(all(counts.exact.values()) for _, counts in shown) else [UNKNOWN_LOOK])
    legend_below(axes, [Patch(facecolor=c, alpha=0.75, hatch=h, edgecolor="white", label=n) for c, h, n in looks], columns=2)


def draw_density(axes, parts, kind):
    """Densities with two bands: noise of the probes inside, quadrature added outside."""
    name = "density_symlog" if kind == "symlog" else "density"
    curves = [(part, part.densities[name]) for part in parts if name in part.densities]
    everything = np.concatenate([curve["eigenvalue"] for _, curve in curves])
    if kind == "symlog":
        threshold = 1e-6 * np.abs(everything).max()
        set_symlog(axes.xaxis, everything, np.full(everything.size, threshold))
    axes.axvline(0, color="black", linewidth=0.7)
    top = max(curve["density"].max() for _, curve in curves)
    for part, curve in curves:
        label, (_, colour, line) = part.label("densities"), MATRIX_LOOK[part.matrix]
        x, y = curve["eigenvalue"], curve["density"]
        noise, all_of_it = 1.96 * curve["noise"], 1.96 * curve["noise"] + curve["truncation"]
        floor = 1e-6 * top if kind == "logarithmic" else 0
        axes.fill_between(x, np.maximum(y - all_of_it, floor), y + all_of_it, color=colour, alpha=0.15, linewidth=0)
        axes.fill_between(x, np.maximum(y - noise, floor), y + noise, color=colour, alpha=0.3, linewidth=0)
        axes.plot(x, np.maximum(y, floor), color=colour, linestyle=line, linewidth=1, label=label)
    if kind == "logarithmic":
        axes.set_yscale("log")
        axes.set_ylim(1e-5 * top, 3 * top)
    else:
        axes.set_ylim(0, 1.6 * top)
    axes.set_xlabel(r"eigenvalue $\lambda$" + unit_text(parts[0].unit))
    per = (r"per unit of $\mathrm{asinh}(\lambda / \lambda_0)$" if kind == "symlog" else
           rf"per $10^{{{parts[0].unit}}}$ of $\lambda$" if parts[0].unit else r"per unit of $\lambda$")
    if kind == "symlog":
        axes.set_title("density: bands of probe noise (95 %, dark) and quadrature (light)")
        axes.set_ylabel("share " + per, fontsize=SMALL)
        axes.legend(loc="upper left")
    elif kind == "linear":
        axes.set_ylabel("share " + per)


def draw_norms(axes, part):
    """The matrix of Frobenius norms of blocks, with relative errors where they are estimates; of many blocks colours
    and numbers of the blocks alone."""
    names, norms, errors = part.norms
    largest = norms.max() or 1
    power = int(np.floor(np.log10(largest)))
    image = axes.imshow(norms / 10.0**power, cmap=FIELD, vmin=0, vmax=largest / 10.0**power)
    unit = f", in $10^{{{power + part.unit}}}$" if power + part.unit else ""
    axes.set_title(f"norms: {MATRIX_LOOK[part.matrix][0]}{unit}")
    axes.tick_params(length=0)
    if len(names) > MANY_BLOCKS:
        axes.figure.colorbar(image, ax=axes, fraction=0.05)
        axes.set_xlabel(f"block, 0: {short_name(names[0])}\nto {len(names) - 1}: {short_name(names[-1])}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
        return
    for row in range(len(names)):
        for column in range(len(names)):
            text = f"{norms[row, column] / 10.0**power:.2f}"
            if errors[row, column] > 0.0005 * norms[row, column] > 0:
                text += f"\n\N{PLUS-MINUS SIGN}{percent(errors[row, column] / norms[row, column])}"
            dark = norms[row, column] < 0.6 * largest
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color="white" if dark else "black")
    axes.set_xticks(range(len(names)), [block_label(name) for name in names])
    axes.set_yticks(range(len(names)), [block_label(name) for name in names])


def short_name(name):
    """The end of a name that would be wider than its picture."""
    return name if len(name) <= 20 else "..." + name[-17:]


def percent(share):
    """An error that is rounded up: one digit below 1 %, whole numbers above, and no more than three digits."""
    value = 100 * share
    return f"{safe_side(value, True, 1):.1g}%" if value <= 0.9 else f"{np.ceil(value - 1e-9):.0f}%" if value <= 999 else ">999%"
