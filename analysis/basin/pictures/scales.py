"""When an axis is logarithmic, and where its ticks are."""
import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from ..files import ResultError

LARGE_RATIO = 30  # largest to smallest value from which a logarithmic axis shows more


def use_log(values, scale):
    """Whether to draw `values` (any shape) on a logarithmic axis, for scale "auto", "log" or "linear"."""
    positive = values[values > 0]
    if scale == "linear":
        return False
    if scale == "log":
        if positive.size == 0:
            raise ResultError("found no value above 0, expected some for --log")
        return True
    if positive.size == 0 or (values < 0).any():
        return False
    return log_range(positive) > np.log10(LARGE_RATIO)


def use_symlog(values, errors, scale):
    """Whether to draw signed values (k) with `errors` (k) on a symmetric logarithmic axis: when those that
    are not 0 within their errors differ in sign or much in size."""
    if scale != "auto":
        return scale == "log"
    certain = values[np.abs(values) > errors]
    if certain.size == 0:
        return False
    return certain.min() < 0 < certain.max() or log_range(np.abs(certain)) > np.log10(LARGE_RATIO)


def log_range(positive):
    """Decades that the positive values span."""
    return np.log10(positive.max()) - np.log10(positive.min())


def symlog_threshold(values, errors):
    """The power of ten below which a symmetric logarithmic axis is linear: under it are only values that
    cannot be told from 0 (errors as large as themselves) or that rounding makes meaningless."""
    sizes = np.abs(values)
    certain = sizes[sizes > errors]
    if certain.size == 0:
        certain = errors[errors > 0] if (errors > 0).any() else np.ones(1)
    smallest = max(certain.min(), sizes.max() * np.finfo(float).eps)
    return 10.0 ** np.floor(np.log10(smallest))


def set_symlog(axis, values, errors):
    """Make `axis` (an x or y axis without data as yet) symmetric logarithmic for the values."""
    threshold = symlog_threshold(values, errors)
    getattr(axis.axes, f"set_{axis.axis_name}scale")("symlog", linthresh=threshold)
    exponents = symlog_exponents(threshold, np.abs(values).max())
    ticks = 10.0**exponents
    labels = [f"$10^{{{exponent}}}$" for exponent in exponents]
    negative = ["$-" + label[1:] for label in labels]
    axis.set_major_locator(FixedLocator(np.concatenate((-ticks, [0.0], ticks))))
    axis.set_major_formatter(FixedFormatter([*negative, "0", *labels]))
    axis.set_minor_locator(NullLocator())


def symlog_exponents(threshold, top, most=5):
    """Up to `most` exponents of ten, evenly apart, for ticks from `threshold` (a power of ten) to `top`."""
    first = round(np.log10(threshold))
    last = max(first, int(np.floor(np.log10(max(top, threshold)) + 1e-9)))
    step = -(-(last - first + 1) // most)
    return np.arange(last, first - 1, -step)
