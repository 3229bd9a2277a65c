"""The look of every picture: sizes, fonts, colours that the colour-blind can tell apart, title and footer."""
import textwrap
import warnings
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

WIDTH = 6.3  # inches: the text block of an A4 page, so that fonts print at their nominal size
FONT_SIZE, SMALL = 9, 8  # points
LABEL_HEIGHT = 0.24  # inches: ticks, tick labels and the room around an axis label
MANY = 2000  # points from which a plot of them is stored as pixels: vectors would be megabytes

# Okabe-Ito: distinct for the common kinds of colour blindness.
BLACK, ORANGE, GREEN, BLUE, VERMILION, PURPLE, SKY = (
    "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#56B4E9")
GREY = "#707070"
FIELD = "viridis"  # perceptually uniform, and monotone in grey

# One look for each block in all pictures: (colour, line style, marker).
BLOCK_LOOK = {
    "W_Q": (BLUE, "--", "o"),
    "W_K": (ORANGE, "-.", "s"),
    "W_V": (GREEN, ":", "D"),
    "W_O": (PURPLE, (0, (5, 1, 1, 1, 1, 1)), "^"),
    "sum": (BLACK, "-", "x"),
}

# Verdict on a point where descent ends -> (colour, marker, hatch), in the order of the files' codes.
VERDICT_LOOK = {
    "global minimum": (GREEN, "o", ""),
    "best known minimum": (SKY, "D", ""),
    "suboptimal local minimum": (VERMILION, "v", ""),
    "saddle": (PURPLE, "x", ""),
    "degenerate": (ORANGE, "s", ""),
    "valley to infinity": (BLUE, ">", "//"),
    "not stationary": (GREY, "+", ""),
    "not finite": (BLACK, "1", ""),
    "global valley": ("#00574b", ">", "//"),  # of cross-entropy
}

# Verdict on a kernel -> colour, in the order of the files' codes.
DEFINITENESS_LOOK = {"singular": VERMILION, "not decided": "#d9d9d9", "in theory only": SKY,
                     "positive definite": BLUE}

# Sign of an eigenvalue -> (colour, marker, name).
SIGN_LOOK = {
    -1: (VERMILION, "v", "negative"),
    0: (GREY, "o", "not distinguishable from 0"),
    1: (BLUE, "^", "positive"),
}


def apply():
    """Set the style, all of it: nothing of what a user has set is left (launch.py keeps most of it from being read)."""
    matplotlib.use("Agg")
    set_all()


@contextmanager
def applied():
    """The style for the length of the with block; then what the user has set is back."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        set_all()
        yield


def set_all():
    """The style, in the place of whatever there is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that matplotlib is about to give up
        matplotlib.rcParams.update({name: value for name, value in dict.items(matplotlib.rcParamsDefault)
                                    if name != "backend"})
    warnings.filterwarnings("ignore", "Glyph .* missing")  # in names of files: drawn as a box, which will do
    matplotlib.rcParams.update({
        "font.size": FONT_SIZE,
        "axes.titlesize": FONT_SIZE,
        "axes.labelsize": FONT_SIZE,
        "figure.titlesize": FONT_SIZE + 1,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.frameon": False,
        "grid.color": "#d8d8d8",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 4,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.6,
        "pdf.fonttype": 42,  # TrueType, which journals ask for
        "svg.hashsalt": "basin",  # fixed, so that equal data give equal files
    })


def new_figure(height, title, footer, mathematics=False):
    """A figure of the standard width and `height` inches; constrained layout keeps its texts apart.
    `mathematics`: the title has some, between dollar signs, and its lines are as they are to be."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    figure.suptitle(title if mathematics else _wrap(title, FONT_SIZE + 1)).set_parse_math(mathematics)
    figure.supxlabel("\n".join(_wrap(line, SMALL) for line in footer), x=0.01, ha="left", fontsize=SMALL,
                     color=GREY, linespacing=1.3).set_parse_math(False)
    return figure


def legend_below(axes, handles=None, columns=2):
    """The legend of `axes` under its x label, where no data can be hidden."""
    handles = handles if handles is not None else axes.get_legend_handles_labels()[0]
    lines = axes.get_xlabel().count("\n") + 1
    under_label = ScaledTranslation(0, -(LABEL_HEIGHT + lines * FONT_SIZE * 1.2 / 72),
                                    axes.figure.dpi_scale_trans)
    return axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=columns,
                       bbox_transform=axes.transAxes + under_label)


def mark_point(axes, x, y, loss, exponent=0):
    """The mark of the parameters theta at (x, y), with their loss, in units of 10^exponent, in the legend."""
    axes.plot(x, y, "P", color="white", markeredgecolor="black", markersize=7, zorder=5, clip_on=False,
              label=rf"the point $\theta$, f = {number_label(loss, 6, exponent)}")


def counted(number, noun):
    """"1 end", "2 ends"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say(axes, text):
    """A panel without data says why."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL, color=GREY)


def set_log(axis):
    """Make `axis`, whose data is drawn, logarithmic. Over less than two decades labels are at 1, 2 and 5: powers of
    ten alone would be one or none."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number_label(value)))
        axis.set_minor_formatter(NullFormatter())


def block_label(name):
    """W_Q, and unions such as W_Q,W_K, as mathematics; other names unchanged."""
    if "," in name:
        return ", ".join(map(block_label, name.split(",")))
    letter, _, index = name.partition("_")
    return f"${letter}_{index}$" if name in BLOCK_LOOK and index else escape(name)


def block_look(name, position):
    """(colour, line style, marker) of a block: its own, or those of its position in a network of other layers."""
    looks = [look for key, look in BLOCK_LOOK.items() if key != "sum"]
    return BLOCK_LOOK.get(name, looks[position % len(looks)])


def escape(text):
    """`text` from a file, safe where matplotlib reads mathematics between dollar signs."""
    return text.replace("$", r"\$")


def number_labels(values, exponent=0):
    """Labels of ascending numbers in units of 10^exponent, with as many digits as tell neighbours apart."""
    gaps = np.diff(values)
    digits = np.ceil(np.log10(np.max(np.abs(values[1:]) / gaps))) + 1 if len(gaps) else 3
    return [number_label(value, int(np.clip(digits, 3, 15)), exponent) for value in values]


def number_label(value, digits=3, exponent=0):
    """A short label of a number in units of 10^exponent, with powers of ten as mathematics."""
    if not np.isfinite(value):
        return str(value)
    if value == 0 or (exponent == 0 and 1e-3 <= abs(value) < 1e4):
        return f"{value:.{max(digits, 4)}g}".replace("-", "\N{MINUS SIGN}")
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    power = f"10^{{{int(power) + exponent}}}"
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return {"1": f"${power}$", "-1": f"$-{power}$"}.get(mantissa, rf"${mantissa}{{\times}}{power}$")


def bound_label(value, upper, digits=3, exponent=0):
    """The label of a number, in units of 10^exponent, that others are at most (`upper`) or at least: rounded to its safe
    side, as the tools print it."""
    if np.isfinite(value) and exponent == 0 and 1e-3 <= abs(value) < 1e4:
        digits = max(digits, 4)  # as many as the label has
    return number_label(safe_side(value, upper, digits), digits, exponent)


def safe_side(value, upper, digits):
    """`value` with so many significant digits, never below it (`upper`) or never above it."""
    nearest = float(f"{value:.{digits - 1}e}")
    if not np.isfinite(value) or (nearest >= value if upper else nearest <= value):
        return nearest
    return float(Context(prec=digits, rounding=ROUND_CEILING if upper else ROUND_FLOOR).create_decimal(Decimal(value)))


def tiny_label(log10, digits=3):
    """A lower bound known by its logarithm, which may be too small for a double."""
    exponent = int(np.floor(log10))
    mantissa = np.floor(10 ** (log10 - exponent) * 10 ** (digits - 1)) / 10 ** (digits - 1)
    return rf"${mantissa:g}{{\times}}10^{{{exponent}}}$"


def printed_length(label):
    """The number of characters of a number's label, without the marks of mathematics."""
    return len(label.replace(r"{\times}", "x").translate(str.maketrans("", "", "${}^")))


def _wrap(text, size):
    """`text` broken into lines that fit the figure at a font `size` in points."""
    characters = int(WIDTH * 72 / (0.57 * size))  # DejaVu Sans: a character is about 0.57 of its size wide
    return textwrap.fill(" ".join(text.split()), characters)
