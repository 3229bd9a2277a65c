"""Round contour levels for a field."""
import numpy as np
from matplotlib.ticker import MaxNLocator

from .scales import log_range

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
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    for mantissas in MANTISSAS:
        levels = _enclose(np.array([float(f"{m}e{e}") for e in range(first, last + 1) for m in mantissas]),
                          low, high)
        if len(levels) - 2 <= MOST_LEVELS:
            return levels if len(levels) - 2 >= FEWEST_LEVELS else linear_levels(low, high)
    step = -(-(last - first) // MOST_LEVELS)
    return np.array([float(f"1e{e}") for e in range(first, last + step, step)])


def log_floor(positive):
    """The value from which a logarithmic scale starts: the smallest, unless a few values lie decades under
    all others, as an exactly fitted centre does; those would spend the colours on an empty range."""
    ordered = np.sort(positive, axis=None)
    lowest = max(2, int(GAP_SHARE * ordered.size))
    gaps = np.diff(np.log10(ordered[:lowest]))
    wide = np.flatnonzero(gaps > GAP_DECADES)
    return ordered[wide[-1] + 1] if wide.size and log_range(ordered[wide[-1] + 1:]) > 0 else ordered[0]


def _enclose(levels, low, high):
    """The part of ascending `levels` from the last <= low to the first >= high."""
    return levels[np.searchsorted(levels, low, "right") - 1:np.searchsorted(levels, high, "left") + 1]
