"""basin-study: where descent ends under both kernels, how fast it gets there, and the traps from near by."""
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import comparison
from ..files import same_shape
from .style import BLACK, BLUE, GREY, SMALL, VERDICT_LOOK, VERMILION, block_label, new_figure, set_log

LOOK = {"softmax": (BLUE, "-", "o"), "gaussian": (VERMILION, "--", "s")}
NAMES = {"softmax": "softmax kernel", "gaussian": "Gaussian kernel"}
TARGETS = {"teacher": "teacher targets", "random": "random targets"}
SHIFT = 0.06  # between the intervals of kernels, of the distance of widths
ALL = "all blocks"
TEACHER = (1, 0)  # in slices around traps
MOST_RUNS = 8  # curves in a panel
VERDICTS = [name for name in VERDICT_LOOK if name != "global valley"]  # studies are of squared loss


class Study:
    """The tables of a study."""

    def __init__(self, result):
        self.result = result
        self.full_rank = result.number("/entry/design/full_rank")
        self.kernels, self.targets, self.train = (result.texts(f"/entry/design/{name}")
                                                  for name in ("kernels", "targets", "train"))
        self.widths = np.sort(result.numbers("/entry/design/widths", 1))
        self.suboptimal = result.text("/entry/design/suboptimal")
        rows = result.table("/entry/cells", ["name", "kernel", "targets", "train"],
                            ["D", "gain", "starts", "share", "share_lower", "share_upper"])
        self.gain = result.number("/entry/design/gain")
        self.gains = np.sort([self.gain, *result.numbers("/entry/design/more_gains", 1, empty=True)])
        counts, suboptimal = (self.read_counts(name, len(rows)) for name in ("verdicts", "suboptimal_verdicts"))
        self.cells = {}
        for place, row in enumerate(rows):
            row["suboptimal"] = {verdict: suboptimal[verdict][place] for verdict in counts}
            row["others"] = {verdict: counts[verdict][place] - suboptimal[verdict][place] for verdict in counts}
            self.cells[row["targets"], row["train"], row["kernel"], row["D"], row["gain"]] = row

    def read_counts(self, name, cells):
        """Verdict -> (cells) of starts."""
        paths = {verdict: f"/entry/cells/{name}/{verdict.replace(' ', '_')}" for verdict in VERDICTS}
        counts = {verdict: self.result.numbers(path, 1) for verdict, path in paths.items()}
        same_shape((cells,), **{path: counts[verdict] for verdict, path in paths.items()})
        return counts

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

    def definition(self):
        """Lines: what suboptimal is."""
        return [f"suboptimal: {self.suboptimal}"]


def pictures(result, scale):
    """(name, figure) of each picture of a study."""
    study = Study(result)
    made = [("shares", draw_shares(study)), ("verdicts", draw_verdicts(study)), ("rates", draw_rates(study))]
    if study.gains.size > 1 and "teacher" in study.targets:
        made.append(("scales", draw_scales(study)))
    names = result.members("/entry/slices")
    for trap in study.kernels:
        slices = [f"/entry/slices/{trap}_{kernel}" for kernel in study.kernels if f"{trap}_{kernel}" in names]
        if slices:
            made.append((f"trap_{trap}", draw_trap(study, trap, slices, scale)))
    return made


def draw_trap(study, kernel, slices, scale):
    """The loss around a point that stops descent under a kernel, and the teacher, under both kernels."""
    parts = [study.result.part(name) for name in slices]
    verdict, train = study.result.attribute(slices[0], "verdict"), parts[0].text("/entry/model/trainable")
    figure = comparison.draw(parts, scale, f"{ALL if is_all(train) else train} trained: around a {verdict} (+) of the "
                                           f"{NAMES[kernel]}, under both kernels at the same weights; star: the teacher")
    for place, axes in enumerate(figure.axes[:len(parts)]):  # one plane, though its problems are two
        _, dashed, meaning = axes.get_xlabel().partition("\n(dashed")
        axes.set(xlabel="step $a$ towards the teacher" + dashed + meaning, ylabel="" if place else "step $b$ along $v$")
        axes.plot(*TEACHER, "*", color="white", markeredgecolor=BLACK, markersize=10, zorder=5)
    return figure


def panels(study, title, handles, columns):
    """A figure and a grid of its panels, targets by trained blocks, with a legend under them."""
    lines = -(-len(handles) // columns)
    figure = new_figure(1.55 + 1.75 * len(study.targets) + 0.2 * lines, title, study.footer() + study.definition())
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
    return ALL if is_all(train) else block_label(train)


def is_all(train):
    return train.count(",") == 3


def draw_shares(study):
    """The share of starts that end suboptimal, against D."""
    handles = [Line2D([], [], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], marker=LOOK[kernel][2],
                      label=f"{NAMES[kernel]}, 95 % interval") for kernel in study.kernels]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="$D = Nn$"))
    figure, grid = panels(study, "Share of starts that end suboptimal", handles, 3)
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
    """A curve of shares with their intervals at 0, 1, ...; those of the kernels side by side."""
    colour, style, marker = LOOK[kernel]
    value, low, high = (100 * column(name) for name in ("share", "share_lower", "share_upper"))
    places = np.arange(value.size)
    axes.plot(places, value, linestyle=style, marker=marker, color=colour, clip_on=False)
    axes.vlines(places + (SHIFT if kernel == "gaussian" else -SHIFT), low, high, color=colour, linewidth=1, alpha=0.45)
    axes.set(ylim=(0, 100), xlim=(-0.3, places[-1] + 0.3))


def draw_scales(study):
    """The share of suboptimal ends against the scale of queries and keys."""
    figure = new_figure(3.45, "Suboptimal ends and the scale of queries and keys of teacher and starts",
                        study.footer() + study.definition())
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
    """What the ends are, against D: a bar for each kernel, suboptimal ends on top."""
    shown = [name for name in VERDICTS
             if any(row["others"][name] + row["suboptimal"][name] for row in study.cells.values())]
    handles = [Patch(facecolor=VERDICT_LOOK[name][0], hatch=VERDICT_LOOK[name][2], edgecolor="white", label=name)
               for name in shown]
    handles.append(Line2D([], [], color=BLACK, linewidth=1.5, label="suboptimal above this line"))
    figure, grid = panels(study, f"What the ends are; left bars: {NAMES[study.kernels[0]]}" +
                          (f", right bars: {NAMES[study.kernels[1]]}" if len(study.kernels) > 1 else ""), handles, 3)
    places, width = np.arange(study.widths.size), 0.8 / len(study.kernels)
    for row, targets in zip(grid, study.targets):
        for axes, train in zip(row, study.train):
            for k, kernel in enumerate(study.kernels):
                middle = places + (k - (len(study.kernels) - 1) / 2) * width
                starts = study.along_width(targets, train, kernel, lambda cell: cell["starts"])
                bottom = np.zeros(places.size)
                for part in ("others", "suboptimal"):
                    for name in shown:
                        count = study.along_width(targets, train, kernel, lambda cell: cell[part][name])
                        axes.bar(middle, 100 * count / starts, 0.92 * width, bottom, color=VERDICT_LOOK[name][0],
                                 hatch=VERDICT_LOOK[name][2], edgecolor="white", linewidth=0)
                        bottom = bottom + 100 * count / starts
                    if part == "others":
                        axes.hlines(bottom, middle - width / 2, middle + width / 2, color=BLACK, linewidth=1.5)
            axes.set_ylim(0, 100)
            axes.set_xticks(places, [f"{D:.0f}" for D in study.widths])
        row[0].set_ylabel("share of starts, %")
    return figure


def draw_rates(study):
    """Descents on record: the loss, and how the measured rate compares with the guaranteed one."""
    runs = study.result.table("/entry/runs", ["name", "cell", "kind"], ["broken_guarantees"], empty=True)
    cells = {row["name"]: row for row in study.cells.values()}
    figure = new_figure(5.2, "Descents with steps after which the loss is proven to fall. Above: "
                             f"{TARGETS[study.targets[0]]}, D = {study.widths[-1]:.0f}; below: all cells", study.footer())
    grid = figure.add_gridspec(3, len(study.train), height_ratios=[1.75, 1.75, 0.2])
    handles = [Line2D([], [], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], marker=LOOK[kernel][2], markersize=3,
                      label=NAMES[kernel]) for kernel in study.kernels]
    legend_row(figure, grid[2, :], handles, 2)
    losses = rates = None
    for place, train in enumerate(study.train):
        chosen = [(run, cells[run["cell"]]) for run in runs if cells[run["cell"]]["train"] == train]
        losses = figure.add_subplot(grid[0, place], sharex=losses, sharey=losses)
        draw_run_losses(losses, study, chosen)
        losses.set(title=trained(train), xlabel="step")
        rates = figure.add_subplot(grid[1, place], sharex=rates, sharey=rates)
        draw_run_rates(rates, study, chosen)
        broken = sum(run["broken_guarantees"] for run, _ in chosen)
        rates.set(title=f"{len(chosen)} runs; steps below\nthe line: {broken:.0f}",
                  xlabel="1 \N{MINUS SIGN} guaranteed factor")
        for axes in (losses, rates):
            axes.title.set_fontsize(SMALL)
            axes.tick_params(labelleft=place == 0)
            axes.grid(True)
        if place == 0:
            losses.set_ylabel("loss $f / f_0$")
            rates.set_ylabel("1 \N{MINUS SIGN} measured factor\non $f$ in a step")
    set_log(losses.yaxis)
    for axis in (rates.xaxis, rates.yaxis):
        set_log(axis)
    return figure


def draw_run_losses(axes, study, runs):
    """The loss along descents from starts, at the largest width, with the first targets."""
    for kernel in study.kernels:
        names = [run["name"] for run, cell in runs if run["kind"] == "guaranteed" and cell["kernel"] == kernel
                 and (cell["targets"], cell["D"], cell["gain"]) == (study.targets[0], study.widths[-1], study.gain)]
        for name in names[:MOST_RUNS]:
            step, loss = (study.result.numbers(f"/entry/runs/records/{name}/{column}", 1) for column in ("step", "loss"))
            axes.plot(step, loss / loss[0], color=LOOK[kernel][0], linestyle=LOOK[kernel][1], linewidth=0.9)


def draw_run_rates(axes, study, runs):
    """The measured rate of every step against the guaranteed one."""
    for run, cell in runs:
        colour, _, marker = LOOK[cell["kernel"]]
        measured, proven = (1 - study.result.numbers(f"/entry/runs/records/{run['name']}/{name}_rate", 1, finite=False)
                            for name in ("measured", "guaranteed"))
        good = (measured > 0) & (proven > 0)
        axes.plot(proven[good], measured[good], marker, color=colour, markersize=1.5, alpha=0.4, markeredgewidth=0,
                  rasterized=True)
    lowest = axes.dataLim.min.min()
    if np.isfinite(lowest):
        axes.plot([lowest, 1], [lowest, 1], color=BLACK, linewidth=0.8)
