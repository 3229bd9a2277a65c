"""The loss on a plane as it is drawn: its scale, contour levels and colours."""
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from .levels import CONSTANT, linear_levels, log_floor, log_levels
from ..files import ResultError
from .scales import use_log
from .style import number_labels

SMALL_RANGE = 1e-3  # of the values: from here down labels of the loss itself would repeat the same digits


@dataclass(frozen=True)
class Field:
    """Values to draw; all lie within the levels, except that those `below` have been raised to them."""
    values: np.ma.MaskedArray  # (ny, nx)
    levels: np.ndarray  # ascending
    log: bool
    label: str
    below: bool = False
    unit: int = 0  # values and levels are in units of 10^unit

    @property
    def norm(self):
        """From values to the range of a colour map."""
        return (LogNorm if self.log else Normalize)(self.levels[0], self.levels[-1])

    @property
    def level_labels(self):
        """Labels of the levels; the lowest says when values lie below it."""
        labels = number_labels(self.levels, self.unit)
        return [f"\N{LESS-THAN OR EQUAL TO} {labels[0]}" if self.below else labels[0], *labels[1:]]


def field(loss, centre, scale, unit=0):
    """The Field for a loss (ny, nx) in units of 10^unit, masked where unusable, with the value `centre` at the point."""
    values = loss.compressed()
    size, spread = np.abs(values).max(), np.ptp(values)
    if use_log(values, scale):
        if spread < SMALL_RANGE * size:
            raise ResultError(f"found a relative range of {spread / size:.1g}, expected at least "
                              f"{SMALL_RANGE:g} for --log")
        levels = log_levels(log_floor(values[values > 0]), values.max())
        return Field(np.ma.maximum(loss, levels[0]), levels, True, "loss f", values.min() < levels[0], unit)
    if CONSTANT * size < spread < SMALL_RANGE * size and np.isfinite(centre):
        loss = loss - centre
        return Field(loss, linear_levels(loss.min(), loss.max()), False, r"loss f $-$ f($\theta$)", unit=unit)
    return Field(loss, linear_levels(loss.min(), loss.max()), False, "loss f", unit=unit)
