"""basin-hessian: read the eigenvalues and choose the pictures."""
from dataclasses import replace

import numpy as np

from . import depth, extremes, per_block, sheet, spectrum
from .model import footer
from ..files import ResultError, same_shape
from .units import exponent_for, in_units

OPERATORS = {"hessian": "Hessian", "gauss-newton": "Gauss-Newton matrix", "residual": "residual part"}
SHEET = ("counts", "density", "block_norms", "parts")  # what only the sheet shows


def pictures(result, scale):
    """(name, figure) of each picture of the Hessian or a part of it."""
    found = [name for name in ("largest", "smallest", "spectrum") if f"/entry/{name}" in result]
    on_sheet = any(f"/entry/{name}" in result for name in SHEET)
    by_block = "/entry/per_block" in result
    if not found and not on_sheet and not by_block:
        raise ResultError("found no /entry/largest, /entry/smallest or /entry/spectrum, expected one of them")
    lines = footer(result)
    drawn = per_block.pictures(result, scale, lines) if by_block else []
    parts = sheet.read_parts(result) if on_sheet else []
    if parts:
        drawn.append(("sheet", sheet.draw(parts, f"Spectrum of the {whole_matrix(result, found)}", lines)))
    if "/entry/block_norms/trace" in result and not by_block:  # files of before have norms alone
        drawn += over_depth(result, scale, lines)
    if not found:
        return drawn
    ends = {name: read_end(result, name) for name in found if name != "spectrum"}
    unit = exponent_for(*(part for end in ends.values() for part in (end.values, end.errors)))
    ends = {name: replace(end, values=in_units(end.values, unit), errors=in_units(end.errors, unit)) for name, end in ends.items()}
    if any(end.values.size for end in ends.values()) or ("spectrum" not in found and not on_sheet):
        drawn.append(("extremes", extremes.draw(matrix_name(result, next(iter(ends))), ends, scale, lines, unit)))
    if "spectrum" in found:
        values, errors = read_eigenvalues(result, "spectrum")
        unit = exponent_for(values, errors)
        values, errors = in_units(values, unit), in_units(errors, unit)
        operator = matrix_name(result, "spectrum")
        drawn.append(("spectrum", spectrum.draw_sorted(operator, values, errors, scale, lines, unit)))
        drawn.append(("histogram", spectrum.draw_histogram(operator, values, errors, scale, lines, unit)))
    return drawn


def over_depth(result, scale, lines):
    """The picture of traces and norms of the diagonal blocks, where the network has layers that are repeated."""
    group = "/entry/block_norms"
    names = result.texts(f"{group}/blocks")
    norms, norm_errors = (np.diagonal(result.numbers(f"{group}/{key}", 2)) for key in ("frobenius", "frobenius_errors"))
    traces, trace_errors = (result.numbers(f"{group}/{key}", 1) for key in ("trace", "trace_errors"))
    same_shape((len(names),), **{f"{group}/frobenius": norms, f"{group}/trace": traces, f"{group}/trace_errors": trace_errors})
    return depth.pictures(f"Blocks of the {whole_matrix(result, [])}, over depth", names,
                          [("trace", traces, trace_errors), ("Frobenius norm", norms, norm_errors)], scale, lines)


def matrix_name(result, name):
    """The matrix that the eigenvalues in /entry/`name` are of, in words."""
    group = f"/entry/{name}"
    if result.has_attribute(group, "matrix"):
        return result.attribute(group, "matrix")
    operator = result.attribute(group, "operator")  # in files of older versions
    restricted = result.has_attribute(group, "symmetry") and result.count(group, "symmetry") > 0
    return OPERATORS.get(operator, operator) + (" modulo symmetries" if restricted else "")


def whole_matrix(result, found):
    """The matrix that /entry is about, or the block of it; parts of the sheet may be of its restriction, and say so."""
    operator = result.text("/entry/matrix") if "/entry/matrix" in result else result.attribute(f"/entry/{found[0]}", "operator")
    block = result.text("/entry/block") if "/entry/block" in result else ""
    return (f"{block} block of the " if block else "") + OPERATORS.get(operator, operator)


def read_end(result, name):
    """The End in /entry/largest or /entry/smallest; it may be empty, when nothing converged."""
    values, errors = read_eigenvalues(result, name, empty=True)
    converged = result.numbers(f"/entry/{name}/converged", 1, empty=True) != 0
    same_shape(values.shape, **{f"/entry/{name}/converged": converged})
    return extremes.End(values, errors, converged, result.count(f"/entry/{name}", "requested"))


def read_eigenvalues(result, name, empty=False):
    """Eigenvalues and their errors, each (k)."""
    values = result.numbers(f"/entry/{name}/eigenvalue", 1, empty=empty)
    errors = result.numbers(f"/entry/{name}/eigenvalue_errors", 1, empty=empty)
    same_shape(values.shape, **{f"/entry/{name}/eigenvalue_errors": errors})
    return values, errors
