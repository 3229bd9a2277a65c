"""Numbers near the ends of double precision are drawn in units of a power of ten: their sums, differences and margins, which
matplotlib takes, neither overflow nor underflow then."""
import numpy as np

FAR = 100  # decades: magnitudes whose largest is no further than this from 1 are drawn as they are


def exponent_for(*arrays):
    """The exponent of ten of the unit in which to draw the values of arrays together; 0 as a rule."""
    largest = max((np.abs(values[np.isfinite(values)]).max(initial=0.0) for values in map(np.asarray, arrays)), default=0.0)
    exponent = int(np.floor(np.log10(largest))) if largest > 0 else 0
    return exponent if abs(exponent) > FAR else 0


def in_units(values, exponent):
    """`values` in units of 10^exponent."""
    if exponent == 0:
        return values
    # in more digits than a double has: a bound that is a round number stays one
    return (np.asanyarray(values, np.longdouble) * np.longdouble(10) ** -exponent).astype(float)


def unit_text(exponent):
    """For the end of an axis label."""
    return rf", in $10^{{{exponent}}}$" if exponent else ""
