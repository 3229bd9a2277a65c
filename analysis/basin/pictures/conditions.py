"""basin-ntk: the smallest eigenvalue of each kernel, its proven bounds, and the conditions it hangs on."""
from dataclasses import dataclass

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from .mathematics import text_width, typeset, wrap_typeset
from ..files import ResultError
from .scales import symlog_exponents, use_log
from .style import (BLOCK_LOOK, BLUE, DEFINITENESS_LOOK, FONT_SIZE, GREEN, GREY, SMALL, VERMILION, WIDTH, block_label,
                    bound_label, new_figure, number_label, tiny_label)
from .units import exponent_for, in_units, unit_text

# Role of a condition -> (sign, the same as a marker, meaning); left of the sign: K is positive definite.
ROLES = {
    "necessary": ("\N{RIGHTWARDS DOUBLE ARROW}", r"$\Rightarrow$", "necessary"),
    "equivalent": ("\N{LEFT RIGHT DOUBLE ARROW}", r"$\Leftrightarrow$", "necessary and sufficient"),
    "sufficient": ("\N{LEFTWARDS DOUBLE ARROW}", r"$\Leftarrow$", "sufficient, if all hold"),
}
# Whether a condition holds -> (mark, colour).
HOLDS = {True: ("\N{CHECK MARK}", BLUE), False: ("\N{BALLOT X}", VERMILION)}
FRAME = {"facecolor": "#fbe3d6", "edgecolor": VERMILION, "linewidth": 0.8}  # of the condition that decides
LEAST = r"$\lambda_\mathrm{min}$"

LINE = 0.14   # inches from one line of the table to the next
BASELINE = 0.27  # lines from the middle of a line
GAP = 0.4  # lines between kernels
LEGEND_LINE, TITLE_LINE = 0.17, 0.17  # inches
OTHER = 1.19  # inches: axis, footer and room
MARK, ARROW, SPACE = 0.14, 0.17, 0.06  # inches: columns of the table, and between the others
LONGEST = 2.95  # inches of a statement; longer ones are broken
ZERO, ZERO_END, START, END = 0.07, 0.15, 0.22, 0.95  # shares of a logarithmic axis: 0, its end, the values
SIDES = 0.35  # inches: room beside the panels
TINY = 1e-290  # what is smaller is drawn at 0: the ends of an axis would underflow
TICK_ROOM = 0.45  # inches for the label of a tick


@dataclass(frozen=True)
class Condition:
    """What a kernel that is positive definite depends on, as its role says: measured >= threshold."""
    statement: str
    role: str
    measured: float
    threshold: float
    holds: bool
    exact: bool = True  # else `measured` is a rank, which rounding may make smaller


@dataclass(frozen=True)
class Ends:
    """The ends of one kernel's spectrum, with the conditions and the proven lower bounds of the smallest."""
    name: str
    least: float  # NaN: only the bounds are known
    lower: float
    upper: float
    largest: float
    rank: float  # certain; -1 where only the ends are known
    lower_log10: float  # of the lower bound, where that underflows, too
    definiteness: str  # one of DEFINITENESS_LOOK
    conditions: list
    bounds: list  # numbers
    unit: int = 0  # all of these are in units of 10^unit

    @property
    def positive(self):
        """Whether the kernel is certainly positive definite, if in theory only."""
        return np.isfinite(self.lower_log10)

    @property
    def zero(self):
        """Whether the smallest eigenvalue is exactly 0."""
        return self.definiteness == "singular"

    @property
    def colour(self):
        """Of the marks of its smallest eigenvalue."""
        return GREY if self.definiteness == "not decided" else DEFINITENESS_LOOK[self.definiteness]

    @property
    def obstacle(self):
        """The condition that stands in the way of a positive definite kernel, None when there is none: the first, or of
        those that make it exactly singular the one that bounds its rank most."""
        if self.positive:
            return None
        failing = [condition for condition in self.conditions if condition.role != "sufficient" and not condition.holds]
        exact = [condition for condition in failing if condition.exact] if self.zero else []
        return min(exact, key=lambda condition: condition.measured / condition.threshold) if exact else next(iter(failing), None)

    @property
    def verdict(self):
        """Lines, with mathematics: what is known of the smallest eigenvalue, and why."""
        name, at_most = block_label(self.name), "\N{LESS-THAN OR EQUAL TO}"
        upper = bound_label(self.upper, upper=True, exponent=self.unit)
        if self.positive:
            proven = max(self.bounds, default=0)
            known = f"{name}: positive definite{' in theory only' if self.definiteness == 'in theory only' else ''}, "
            if self.upper - self.lower <= 0.2 * self.least:
                known += f"{LEAST} = {number_label(self.least, exponent=self.unit)}"
            elif self.lower > 0:
                known += f"{bound_label(self.lower, upper=False, exponent=self.unit)} {at_most} {LEAST} {at_most} {upper}"
            else:
                known += f"{tiny_label(self.lower_log10 + self.unit)} {at_most} {LEAST} {at_most} {upper}"
            why = f" (conditions prove \N{GREATER-THAN OR EQUAL TO} {bound_label(proven, upper=False, exponent=self.unit)})"
            return [known + why if proven > 0 else known]
        known = f"singular, {LEAST} = 0" if self.zero else f"not decided, 0 {at_most} {LEAST} {at_most} {upper}"
        why = f"{self.obstacle.statement} fails{'' if self.zero else ', to rounding'}" if self.obstacle else ""
        return [f"{name}: {known}", *(wrap_typeset(why, WIDTH - 0.2, FONT_SIZE + 1) if why else [])]


def read(result):
    """The Ends of all kernels, in the order of the summary."""
    rows = result.table("/entry/summary", ["block"],
                        ["lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max",
                         "rank", "lambda_max_upper"], perhaps=["lambda_min", "lambda_max"])
    for row in rows:
        bound = row.pop("lambda_max_upper")
        if not np.isfinite(row["lambda_max"]):
            row["lambda_max"] = bound
    if "/entry/summary/definiteness" in result:
        more = result.table("/entry/summary", ["verdict"], ["lambda_min_lower_log10"], perhaps=["lambda_min_lower_log10"])
        for row, known in zip(rows, more):
            if known["verdict"] not in DEFINITENESS_LOOK:
                raise ResultError(f"/entry/summary/verdict: found '{known['verdict']}', "
                                  f"expected one of {', '.join(DEFINITENESS_LOOK)}")
            row.update(lower_log10=known["lambda_min_lower_log10"], definiteness=known["verdict"])
    else:  # a file of a version before the four verdicts
        for row in rows:
            lower, upper = row["lambda_min_lower"], row["lambda_min_upper"]
            row.update(lower_log10=np.log10(lower) if lower > 0 else -np.inf,
                       definiteness="positive definite" if lower > 0 else "not decided" if upper > 0 else "singular")
    names = [row["block"] for row in rows]
    for name in names if "/entry/rows" not in result else ():  # which networks of other blocks have
        if not set(name.split(",")) <= set(BLOCK_LOOK):
            raise ResultError(f"/entry/summary/block: found '{name}', "
                              f"expected some of {', '.join(BLOCK_LOOK)}, or unions of them")
    exact = ["exact"] if "/entry/conditions/exact" in result else []
    conditions = by_block(result, "conditions", names, ["statement", "role"], ["measured", "threshold", "holds", *exact])
    bounds = by_block(result, "bounds", names, [], ["value"])
    unit = exponent_for([row["lambda_max"] for row in rows])
    for row in rows:
        row.update({key: in_units(row[key], unit) for key in ("lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max")},
                   lower_log10=row["lower_log10"] - unit)
    return [Ends(*row.values(), [read_condition(condition) for condition in conditions[name]],
                 [in_units(bound["value"], unit) for bound in bounds[name]], unit) for name, row in zip(names, rows)]


def by_block(result, table, names, texts, numbers):
    """Name of a kernel -> its rows of the table."""
    rows = {name: [] for name in names}
    for row in result.table(f"/entry/{table}", ["block", *texts], numbers, empty=True):
        if row["block"] not in rows:
            raise ResultError(f"/entry/{table}/block: found '{row['block']}', "
                              "expected names in /entry/summary/block")
        rows[row["block"]].append(row)
    return rows


def read_condition(row):
    """The Condition in a row of the table."""
    if row["role"] not in ROLES:
        raise ResultError(f"/entry/conditions/role: found '{row['role']}', "
                          f"expected one of {', '.join(ROLES)}")
    return Condition(row["statement"], row["role"], row["measured"], row["threshold"], row["holds"] != 0, row.get("exact", 1) != 0)


def draw(kernels, scale, footer, on=""):
    """The figure for the Ends of kernels: a line for each condition. on: " on logit differences", what they are of."""
    title = [f"Smallest eigenvalues of the {'NTK' if on else 'neural tangent kernel'} K{on}, and their conditions",
             *kernels[-1].verdict]
    table = Table(kernels)
    handles = legend_handles(kernels)
    heights = LINE * table.height, LEGEND_LINE * -(-len(handles) // 3)
    figure = new_figure(sum(heights) + TITLE_LINE * len(title) + OTHER, "\n".join(title), footer,
                        mathematics=True)
    label_width = max(text_width(block_label(kernel.name), SMALL) for kernel in kernels)
    panel_width = WIDTH - table.width - label_width - SIDES
    places = figure.subplot_mosaic([["ends", "table"], ["legend", "legend"]], height_ratios=heights,
                                   width_ratios=(panel_width, table.width))
    draw_ends(places["ends"], kernels, table.centres, scale, max(2, int(panel_width / TICK_ROOM)))
    table.draw(places["table"])
    for axes in (places["ends"], places["table"]):
        axes.set_ylim(table.height, 0)
        for edge in table.edges:
            axes.axhline(edge, color="#d8d8d8", linewidth=0.6, zorder=0)
    places["legend"].set_axis_off()
    across = blended_transform_factory(figure.transFigure, places["legend"].transAxes)
    legend = places["legend"].legend(handles=handles, loc="center", bbox_to_anchor=(0.5, 0.5), bbox_transform=across, ncol=3,
                                     columnspacing=1.2, handlelength=1.6, handletextpad=0.6)
    legend.set_in_layout(False)  # it has the whole width
    return figure


def draw_ends(axes, kernels, centres, scale, ticks):
    """What is known of both ends of the spectra, each at its height in `centres`; up to `ticks` ticks."""
    values = np.array([value for kernel in kernels
                       for value in (kernel.lower, kernel.upper, kernel.largest, *kernel.bounds)])
    values = np.where(values > TINY, values, 0)
    logarithmic = use_log(values, "log" if scale == "auto" and (values > 0).any() else scale)
    zero = (set_log if logarithmic else set_linear)(axes, values, ticks)
    for kernel, height in zip(kernels, centres):
        draw_kernel(axes, kernel, height, zero)
    axes.set_xlabel(r"eigenvalue $\lambda$ of K" + unit_text(kernels[0].unit))
    axes.set_yticks(centres, [block_label(kernel.name) for kernel in kernels])
    axes.tick_params(axis="y", length=0)


def set_log(axes, values, ticks):
    """A logarithmic x axis for values (k) of 0 and more, with a place for 0 at its left if some are; that
    place."""
    positive, start = values[values > 0], START if (values == 0).any() else 1 - END
    low, high = np.log10(positive.min()), np.log10(positive.max())
    middle, half = (low + high) / 2, max(high - low, 2) / 2
    decades = 2 * half / (END - start)
    left = middle - half - start * decades
    axes.set_xscale("log")
    axes.set_xlim(10**left, 10 ** (left + decades))
    first = 10 ** np.ceil(left + (start + 0.1) * decades)
    exponents = symlog_exponents(first, 10 ** (left + decades), ticks)[::-1]
    places, labels = list(10.0**exponents), [f"$10^{{{exponent}}}$" for exponent in exponents]
    place = 10 ** (left + ZERO * decades)
    if start == START:
        axes.axvspan(10**left, 10 ** (left + ZERO_END * decades), color="#f0f0f0", linewidth=0, zorder=0)
        places, labels = [place, *places], ["0", *labels]
    axes.set_xticks(places, labels)
    axes.xaxis.set_minor_locator(NullLocator())
    return place


def set_linear(axes, values, ticks):
    """A linear x axis from 0 for the values (k); the place of 0."""
    top = values.max() or 1
    axes.set_xlim(-0.05 * top, 1.05 * top)
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
    axes.xaxis.set_major_formatter(lambda value, _: number_label(value))
    return 0.0


def draw_kernel(axes, kernel, height, zero):
    """One kernel's marks at a height, 0 at the place `zero`; bounds are a little lower, to be seen."""
    def place(value):
        return value if value > TINY else zero

    axes.plot(place(kernel.largest), height, "|", color=GREY, alpha=0.6, markersize=9, label="largest")
    axes.plot([place(bound) for bound in kernel.bounds], np.full(len(kernel.bounds), height + 0.55), ">", color=GREEN, markerfacecolor="none",
              markeredgewidth=0.8, label="bounds")
    if kernel.zero:
        axes.plot(zero, height, "X", color=kernel.colour, markersize=8, label="zero")
    elif kernel.positive:
        axes.plot([place(kernel.lower), place(kernel.upper)], [height, height], color=kernel.colour, linewidth=3, alpha=0.4,
                  solid_capstyle="butt", label="enclosure")
        if kernel.least > TINY:
            axes.plot(kernel.least, height, "o", color=kernel.colour, markersize=5, label="least")
    else:
        axes.plot([zero, place(kernel.upper)], [height, height], color=kernel.colour, linewidth=1, label="enclosure")
        axes.plot(place(kernel.upper), height, "<", color=kernel.colour, markerfacecolor="white", markersize=6,
                  label="upper")


class Table:
    """The conditions of kernels in lines, and the places of the lines: y is counted in lines, downwards."""

    def __init__(self, kernels):
        self._lines = [[(condition, wrap_typeset(condition.statement, LONGEST))
                        for condition in kernel.conditions] for kernel in kernels]
        self._obstacles = [kernel.obstacle for kernel in kernels]
        heights = [max(2, sum(len(lines) for _, lines in rows)) + GAP for rows in self._lines]
        self.edges = np.concatenate(([0], np.cumsum(heights)))  # (kernels + 1)
        self.centres = (self.edges[:-1] + self.edges[1:]) / 2  # (kernels)
        self.height = self.edges[-1]
        rows = [row for rows in self._lines for row in rows]
        widest = {"statement": max((text_width(line) for _, lines in rows for line in lines), default=0)}
        for column, text in (("measured", measured_text), ("threshold", threshold_text)):
            widest[column] = max((text_width(text(condition), weight="bold") for condition, _ in rows),
                                 default=0)
        self._threshold = widest["threshold"] + SPACE / 2
        self.width = MARK + ARROW + sum(widest.values()) + 4 * SPACE

    def draw(self, axes):
        """The lines on `axes`, whose y is to be set to lines."""
        axes.set_axis_off()
        left = axes.get_yaxis_transform()
        inches = axes.figure.dpi_scale_trans

        def put(share, x, y, text, **look):
            axes.text(share, y + BASELINE, text, transform=left + ScaledTranslation(x, 0, inches),
                      fontsize=SMALL, **look)

        for edge, rows, obstacle in zip(self.edges, self._lines, self._obstacles):
            y = edge + GAP / 2 + 0.5 + (max(0, 2 - sum(len(lines) for _, lines in rows))) / 2
            for condition, lines in rows:
                mark, colour = HOLDS[condition.holds]
                if condition is obstacle:
                    axes.add_patch(Rectangle((0, y - 0.42), 1, len(lines) - 0.06, transform=left,
                                             clip_on=False, **FRAME))
                weight = "bold" if condition is obstacle else "normal"
                put(0, SPACE / 2, y, mark, color=colour, weight="bold")
                put(0, MARK + SPACE / 2, y, ROLES[condition.role][0], color=GREY)
                put(1, -self._threshold - SPACE / 2, y, measured_text(condition), ha="right", weight=weight)
                put(1, -self._threshold, y, threshold_text(condition), weight=weight)
                for line in lines:
                    put(0, MARK + ARROW + SPACE / 2, y, line)
                    y += 1


def measured_text(condition):
    """The number that was measured."""
    return f"{condition.measured:.10g}"


def threshold_text(condition):
    """The number that it has to reach, after the relation between them."""
    relation = "\N{GREATER-THAN OR EQUAL TO}" if condition.holds else "<"
    return f"{relation} {condition.threshold:.10g}"


def legend_handles(kernels):
    """A handle for each kind of mark that occurs."""
    def mark(marker, colour, label, **look):
        return Line2D([], [], linestyle="", marker=marker, color=colour, label=label, **look)

    handles = []
    for verdict, label in (("positive definite", f"{LEAST}, enclosed"),
                           ("in theory only", f"{LEAST} > 0 in theory only")):
        if any(kernel.definiteness == verdict for kernel in kernels):
            handles.append(Line2D([], [], color=DEFINITENESS_LOOK[verdict], marker="o", markersize=5, label=label))
    if any(kernel.definiteness == "not decided" for kernel in kernels):
        handles.append(Line2D([], [], color=GREY, marker="<", markerfacecolor="white", markersize=6,
                              linewidth=1, label="upper bound, 0 not excluded"))
    if any(kernel.zero for kernel in kernels):
        handles.append(mark("X", VERMILION, f"{LEAST} exactly 0", markersize=8))
    handles.append(mark(">", GREEN, "proven lower bounds", markerfacecolor="none",
                        markeredgewidth=0.8))
    handles.append(mark("|", GREY, r"$\lambda_\mathrm{max}$", alpha=0.6, markersize=9))
    roles = {condition.role for kernel in kernels for condition in kernel.conditions}
    handles.extend(mark(arrow, GREY, meaning, markersize=8, markeredgewidth=0)
                   for role, (_, arrow, meaning) in ROLES.items() if role in roles)
    for singular, label in ((True, "makes the kernel singular"), (False, "fails, to rounding")):
        if any(kernel.obstacle and kernel.zero == singular for kernel in kernels):
            handles.append(Patch(**FRAME, label=label))
    return handles
