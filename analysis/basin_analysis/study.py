"""basin-study: where descent ends under both kernels, how fast it gets there, and the traps from near by."""
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import comparison
from .results import same_shape
from .style import (BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SMALL, VERMILION, block_label, new_figure)

LOOK = {"softmax": (BLUE, "-", "o"), "gaussian": (VERMILION, "--", "s")}
NAMES = {"softmax": "softmax kernel", "gaussian": "Gaussian kernel"}
TARGETS = {"teacher": "teacher targets", "random": "random targets"}
VERDICTS = {  # colour, hatch
    "global_minimum": (GREEN, ""),
    "best_known_minimum": ("#9bd5bf", ""),
    "suboptimal_local_minimum": (VERMILION, ""),
    "saddle": (PURPLE, ""),
    "degenerate": (ORANGE, ""),
    "valley_to_infinity": (BLUE, "//"),
    "not_stationary": ("#c8c8c8", ""),
    "not_finite": (BLACK, ""),
}
MOST_RUNS = 8  # curves in a panel


class Study:
    """The tables of a study."""

    def __init__(self, result):
        self.result = result
        self.full_rank = result.number("/entry/design/full_rank")
        self.kernels, self.targets, self.train = (result.texts(f"/entry/design/{name}")
                                                  for name in ("kernels", "targets", "train"))
        self.widths = np.sort(result.numbers("/entry/design/widths", 1))
        verdicts = result.members("/entry/cells/verdicts")
        self.verdicts = [name for name in VERDICTS if name in verdicts]
        rows = result.table("/entry/cells", ["name", "kernel", "targets", "train"], ["D", "gain", "starts", "share", "share_lower",
                                                                             "share_upper"])
        self.gain = result.number("/entry/design/gain")
        self.gains = np.sort([self.gain, *result.numbers("/entry/design/more_gains", 1, empty=True)])
        counts = {name: result.numbers(f"/entry/cells/verdicts/{name}", 1) for name in self.verdicts}
        same_shape((len(rows),), **{f"/entry/cells/verdicts/{name}": count for name, count in counts.items()})
        self.cells = {}
        for place, row in enumerate(rows):
            row["counts"] = {name: count[place] for name, count in counts.items()}
            self.cells[row["targets"], row["train"], row["kernel"], row["D"], row["gain"]] = row

    def along_width(self, targets, train, kernel, value):
        """value(cell) at each width, at the study's gain."""
        return np.array([value(self.cells[targets, train, kernel, D, self.gain]) for D in self.widths])

    def along_gain(self, train, kernel, value):
        """value(cell) at each gain, with teacher targets at the largest width."""
        return np.array([value(self.cells["teacher", train, kernel, self.widths[-1], gain]) for gain in self.gains])

    def footer(self):
        """Lines: sizes, and what was done."""
        options = {name: self.result.text(f"/entry/provenance/options/{name}")
                   for name in ("samples", "tokens", "heads", "head_dim", "outputs", "starts", "problems", "seed")}
        return [f"N = {options['samples']}, n = {options['tokens']}, H = {options['heads']}, d = {options['head_dim']}, "
                f"D_out = {options['outputs']}; {options['starts']} starts on {options['problems']} draws of data and teacher for each "
                f"share, the same for both kernels; gain on W_Q and W_K {self.gain:g} unless said otherwise; seed "
                f"{options['seed']}"]


def pictures(result, scale):
    """(name, figure) of each picture of a study."""
    study = Study(result)
    made = [("shares", draw_shares(study)), ("verdicts", draw_verdicts(study)), ("rates", draw_rates(study))]
    if study.gains.size > 1 and "teacher" in study.targets:
        made.append(("scales", draw_scales(study)))
    names = result.members("/entry/slices")
    for trap in dict.fromkeys(name.partition("_")[0] for name in names):
        parts = [result.part(f"/entry/slices/{name}") for name in names if name.startswith(f"{trap}_")]
        made.append((f"trap_{trap}", comparison.draw(
            parts, scale, f"Around a point (+) that stops descent under the {NAMES[trap]}, the teacher at a = 1, b = 0: "
                          "both kernels, same weights and teacher")))
    return made


def panels(study, title, handles, columns):
    """A figure and a grid of its panels, targets by trained blocks, with a legend under them."""
    lines = -(-len(handles) // columns)
    figure = new_figure(1.2 + 1.75 * len(study.targets) + 0.2 * lines, title, study.footer())
    grid = figure.add_gridspec(len(study.targets) + 1, len(study.train),
                               height_ratios=[1.75] * len(study.targets) + [0.2 * lines])
    legend_row(figure, grid[-1, :], handles, columns)
    made = np.empty((len(study.targets), len(study.train)), object)
    for i, targets in enumerate(study.targets):
        for j, train in enumerate(study.train):
            axes = made[i, j] = figure.add_subplot(grid[i, j], sharex=made[0, 0], sharey=made[0, 0])
            axes.set_title(f"{TARGETS[targets]}, {trained(train)}", fontsize=SMALL)
            axes.tick_params(labelleft=j == 0, labelbottom=i + 1 == len(study.targets))
            if i + 1 == len(study.targets):
                axes.set_xlabel("embedding dimension $D$")
    return figure, made


def legend_row(figure, place, handles, columns):
    """A legend in a place of its own, where no data can be hidden."""
    room = figure.add_subplot(place)
    room.axis("off")
    room.legend(handles=handles, loc="upper center", ncol=columns, borderaxespad=0).set_in_layout(False)


def trained(train):
    return "all blocks" if train.count(",") == 3 else block_label(train)


def draw_shares(study):
    """The share of starts that end suboptimal, against D."""
    handles = [Line2D([], [], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], marker=LOOK[kernel][2],
                      label=f"{NAMES[kernel]}, 95 % interval") for kernel in study.kernels]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="$D = Nn$"))
    figure, grid = panels(study, "Share of starts that end suboptimal: well above the lowest known loss", handles, 3)
    places = np.arange(study.widths.size)
    for row, targets in zip(grid, study.targets):
        for axes, train in zip(row, study.train):
            for kernel in study.kernels:
                draw_share(axes, kernel, lambda name: study.along_width(targets, train, kernel, lambda cell: cell[name]))
            mark_full_rank(axes, study)
            axes.set_xticks(places, [f"{D:.0f}" for D in study.widths])
            axes.grid(True)
        row[0].set_ylabel("share, %")
    return figure


def draw_share(axes, kernel, column):
    """A curve of shares with their intervals at 0, 1, ..."""
    colour, style, marker = LOOK[kernel]
    value, low, high = (100 * column(name) for name in ("share", "share_lower", "share_upper"))
    places = np.arange(value.size)
    axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(places, value, linestyle=style, marker=marker, color=colour, clip_on=False)
    axes.set(ylim=(0, 100), xlim=(-0.3, places[-1] + 0.3))


def draw_scales(study):
    """The share of suboptimal ends against the scale of queries and keys."""
    figure = new_figure(3.1, "Suboptimal ends and the scale of queries and keys of teacher and starts", study.footer())
    grid = figure.add_gridspec(2, len(study.train), height_ratios=[1.75, 0.2])
    handles = [Line2D([], [], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], marker=LOOK[kernel][2],
                      label=f"{NAMES[kernel]}, 95 % interval") for kernel in study.kernels]
    legend_row(figure, grid[1, :], handles, 2)
    for place, train in enumerate(study.train):
        axes = figure.add_subplot(grid[0, place])
        for kernel in study.kernels:
            draw_share(axes, kernel, lambda name: study.along_gain(train, kernel, lambda cell: cell[name]))
        axes.set_title(f"teacher targets, {trained(train)}", fontsize=SMALL)
        axes.set_xticks(np.arange(study.gains.size), [f"{gain:g}" for gain in study.gains])
        axes.set_xlabel(f"gain; $D = {study.widths[-1]:.0f}$")
        axes.tick_params(labelleft=place == 0)
        if place == 0:
            axes.set_ylabel("share, %")
        axes.grid(True)
    return figure


def mark_full_rank(axes, study):
    """A line at D = N n, between widths if it is none of them."""
    if study.widths.size > 1 and study.widths[0] <= study.full_rank <= study.widths[-1]:
        place = np.interp(study.full_rank, study.widths, np.arange(study.widths.size))
        axes.axvline(place, color=GREY, linestyle=":", linewidth=1)


def draw_verdicts(study):
    """What the ends are, against D: a bar for each kernel."""
    shown = [name for name in study.verdicts if any(row["counts"][name] for row in study.cells.values())]
    handles = [Patch(facecolor=VERDICTS[name][0], hatch=VERDICTS[name][1], edgecolor="white",
                     label=name.replace("_", " ")) for name in shown]
    figure, grid = panels(study, f"What the ends are; left bars: {NAMES[study.kernels[0]]}" +
                          (f", right bars: {NAMES[study.kernels[1]]}" if len(study.kernels) > 1 else ""), handles, 3)
    places, width = np.arange(study.widths.size), 0.8 / len(study.kernels)
    for row, targets in zip(grid, study.targets):
        for axes, train in zip(row, study.train):
            for k, kernel in enumerate(study.kernels):
                starts = study.along_width(targets, train, kernel, lambda cell: cell["starts"])
                bottom = np.zeros(places.size)
                for name in shown:
                    share = 100 * study.along_width(targets, train, kernel, lambda cell, name=name: cell["counts"][name]) / starts
                    axes.bar(places + (k - (len(study.kernels) - 1) / 2) * width, share, 0.92 * width, bottom,
                             color=VERDICTS[name][0], hatch=VERDICTS[name][1], edgecolor="white", linewidth=0)
                    bottom += share
            axes.set_ylim(0, 100)
            axes.set_xticks(places, [f"{D:.0f}" for D in study.widths])
        row[0].set_ylabel("share of starts, %")
    return figure


def draw_rates(study):
    """Descents on record: the loss, and how the measured rate compares with the guaranteed one."""
    result = study.result
    runs = result.table("/entry/runs", ["name", "cell", "kind"], ["broken_guarantees"])
    cells = {row["name"]: row for row in study.cells.values()}
    figure = new_figure(3.6, "Descents with steps after which the loss is proven to fall", study.footer())
    grid = figure.add_gridspec(2, 2, height_ratios=[2.4, 0.2])
    losses, rates = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    largest = {}
    for run in runs:
        cell = cells[run["cell"]]
        if (run["kind"], cell["targets"], cell["D"], cell["gain"]) == ("guaranteed", study.targets[0], study.widths[-1],
                                                                      study.gain):
            largest.setdefault(cell["kernel"], []).append(run["name"])
    for kernel, names in largest.items():
        for name in names[:MOST_RUNS]:
            record = f"/entry/runs/records/{name}"
            step, loss = result.numbers(f"{record}/step", 1), result.numbers(f"{record}/loss", 1)
            losses.plot(step, loss / loss[0], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], linewidth=0.9)
    losses.set(yscale="log", xlabel="step", ylabel="loss $f / f_0$")
    losses.set_title(f"loss; {TARGETS[study.targets[0]]}, $D = {study.widths[-1]:.0f}$", fontsize=SMALL)
    everything = []
    for run in runs:
        record, kernel = f"/entry/runs/records/{run['name']}", cells[run["cell"]]["kernel"]
        measured, proven = (1 - result.numbers(f"{record}/{name}_rate", 1, finite=False)
                            for name in ("measured", "guaranteed"))
        good = (measured > 0) & (proven > 0)
        if good.any():
            rates.plot(proven[good], measured[good], LOOK[kernel][2], color=LOOK[kernel][0], markersize=1.5, alpha=0.4,
                       markeredgewidth=0, rasterized=True)
            everything.append(np.concatenate([measured[good], proven[good]]))
    if everything:
        ends = np.concatenate(everything)
        rates.plot([ends.min(), 1], [ends.min(), 1], color=BLACK, linewidth=0.8)
        rates.set(xscale="log", yscale="log")
    broken = sum(run["broken_guarantees"] for run in runs)
    rates.set(xlabel="1 \N{MINUS SIGN} guaranteed factor on $f$ in a step", ylabel="1 \N{MINUS SIGN} measured factor")
    rates.set_title(f"all {len(runs)} runs; steps below the line: {broken:.0f}", fontsize=SMALL)
    handles = [Line2D([], [], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], marker=LOOK[kernel][2], markersize=3,
                      label=NAMES[kernel]) for kernel in study.kernels]
    legend_row(figure, grid[1, :], handles, 2)
    for axes in (losses, rates):
        axes.grid(True)
    return figure
