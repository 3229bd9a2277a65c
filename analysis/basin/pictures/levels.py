"""Round contour levels for a field."""
import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter

from .scales import log_range
from .style import number_labels

MOST_LEVELS = 12
FEWEST_LEVELS = 4
# Mantissas of the levels within a decade, densest first.
MANTISSAS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
CONSTANT = 1e-12  # range, relative to the values, that rounding explains
GAP_DECADES = 3
GAP_SHARE = 0.05


def linear_levels(low, high):
    """About ten round numbers, evenly apart; the first <= low, the last >= high."""
    if high - low <= CONSTANT * max(abs(low), abs(high)):
        spread = 0.1 * abs(high) or 1.0
        low, high = low - spread, high + spread
    return MaxNLocator(nbins=10, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)


def log_levels(low, high):
    """Up to MOST_LEVELS round numbers within (low, high), about evenly apart in the logarithm, and one on
    each side: the first <= low, the last >= high. 0 < low <= high."""
    for mantissas in MANTISSAS:
        levels = _enclose(log_ticks(low, high, mantissas), low, high)
        if len(levels) - 2 <= MOST_LEVELS:
            return levels if len(levels) - 2 >= FEWEST_LEVELS else linear_levels(low, high)
    first, last = _decades(low, high)
    step = -(-(last - first) // MOST_LEVELS)
    return np.array([float(f"1e{e}") for e in range(first, last + step, step)])


def label_log(axis, low, high):
    """Labels at 1, 2, 5 or denser round numbers on a logarithmic `axis` from `low` to `high` under two decades:
    at powers of ten alone it would have one, or none."""
    if log_range(np.array([low, high])) >= 2:
        return
    for mantissas in (*MANTISSAS[2::-1], None):
        ticks = log_ticks(low, high, mantissas) if mantissas else linear_levels(low, high)
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) >= 3:
            break
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(number_labels(ticks)))
    axis.set_minor_formatter(NullFormatter())


def log_floor(positive):
    """The value from which a logarithmic scale starts: the smallest, unless a few values lie decades under
    all others, as an exactly fitted centre does; those would spend the colours on an empty range."""
    ordered = np.sort(positive, axis=None)
    lowest = max(2, int(GAP_SHARE * ordered.size))
    gaps = np.diff(np.log10(ordered[:lowest]))
    wide = np.flatnonzero(gaps > GAP_DECADES)
    return ordered[wide[-1] + 1] if wide.size and log_range(ordered[wide[-1] + 1:]) > 0 else ordered[0]


def log_ticks(low, high, mantissas):
    """The numbers with these mantissas in all decades that (low, high) meets."""
    first, last = _decades(low, high)
    return np.array([float(f"{m}e{e}") for e in range(first, last + 1) for m in mantissas])


def _decades(low, high):
    """Exponents of the powers of ten that enclose (low, high)."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    return first - (float(f"1e{first}") > low), last + (float(f"1e{last}") < high)  # the logarithm is rounded


def _enclose(levels, low, high):
    """The part of ascending `levels` from the last <= low to the first >= high."""
    return levels[np.searchsorted(levels, low, "right") - 1:np.searchsorted(levels, high, "left") + 1]
