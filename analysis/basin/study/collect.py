"""The one file of a study: tables and plots for viewers, and what its parts hold."""
import h5py
import numpy as np

from .catalogue import VERDICTS
from .design import Cell
from .results import SUBOPTIMAL, suboptimal_share
from .work import reading

FORMAT = "1.0"
COPIED = ("step", "loss", "gradient_norm", "measured_rate", "guaranteed_rate")  # of each descent on record


def write_study(path, design, results, runs, slices, claims, provenance):
    """Write the result file. runs: (RunResult, path); slices: name -> (path, CellResult of the trap); provenance:
    name -> text or number."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "default": "entry", "basin_file": "result",
                           "basin_format": FORMAT, "basin_tool": "basin-study"})
        entry = group(file, "entry", "NXentry", default=plot_name(results[0].cell))
        entry["title"] = "Where descent ends, under a softmax and a Gaussian kernel"
        entry["verdict"] = "\n".join(claim.text for claim in claims)
        write_provenance(entry, design, provenance)
        write_design(entry, design)
        write_cells(entry, results)
        write_shares(entry, design, results)
        table = group(entry, "claims", "NXcollection")
        for name in ("statement", "verdict", "found"):
            strings(table, name, [getattr(claim, name) for claim in claims])
        write_starts(entry, results)
        write_runs(entry, runs)
        copies = group(entry, "slices", "NXcollection")
        for name, (part, trapped) in slices.items():
            with reading(part) as source:
                copy = group(copies, name, "NXcollection", cell=trapped.cell.name, verdict=trapped.trap.verdict,
                             starts=np.int64(trapped.trap.starts))
                copy.attrs.update({key: source.attrs[key] for key in source.attrs if key.startswith("basin_")})
                for member in source:
                    if member != "VTKHDF":
                        source.copy(member, copy)
                copy.visititems(without_references)


def without_references(_, copied):
    """Forget the dimension scales of a copy: they refer to places in the file it comes from, and netCDF refuses
    the whole file for it."""
    for name in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
        copied.attrs.pop(name, None)


def group(parent, name, kind, **attributes):
    made = parent.create_group(name)
    made.attrs.update({"NX_class": kind, **attributes})
    return made


def strings(parent, name, values):
    parent.create_dataset(name, data=list(values), dtype=h5py.string_dtype())


def write_provenance(entry, design, provenance):
    table = group(entry, "provenance", "NXcollection")
    for name, value in provenance.items():
        table[name] = value
    options = group(table, "options", "NXcollection")
    for name, value in design.options().items():
        options[name] = value


def write_design(entry, design):
    table = group(entry, "design", "NXcollection")
    table["full_rank"] = np.int64(design.full_rank)
    strings(table, "kernels", design.kernels)
    strings(table, "targets", design.targets)
    strings(table, "train", design.train)
    table["widths"] = np.int64(design.widths)
    table["gain"] = float(design.gain)
    table["more_gains"] = np.array(design.more_gains, float)
    table["suboptimal"] = SUBOPTIMAL


def write_cells(entry, results):
    """A row for each cell."""
    table = group(entry, "cells", "NXcollection")
    for name in ("name", "kernel", "targets", "train"):
        strings(table, name, [getattr(r.cell, name) for r in results])
    table["D"] = np.int64([r.cell.width for r in results])
    table["gain"] = [r.cell.gain for r in results]
    table["starts"] = np.int64([r.starts for r in results])
    shares = [suboptimal_share([r]) for r in results]
    table["suboptimal"] = np.int64([s.passed for s in shares])
    for name, part in (("share", "value"), ("share_lower", "lower"), ("share_upper", "upper")):
        table[name] = [getattr(s, part) for s in shares]
    for name in ("above_threshold", "undecided"):
        table[name] = np.int64([np.count_nonzero(getattr(r, f"is_{name}")) for r in results])
    counts, suboptimal = (group(table, name, "NXcollection") for name in ("verdicts", "suboptimal_verdicts"))
    for verdict in VERDICTS:
        name = verdict.replace(" ", "_")
        counts[name] = np.int64([np.count_nonzero(r.has(verdict)) for r in results])
        suboptimal[name] = np.int64([np.count_nonzero(r.has(verdict) & r.is_suboptimal) for r in results])


def write_starts(entry, results):
    """Of each cell, every start, and its problems."""
    tables = group(entry, "starts", "NXcollection")
    for r in results:
        table = group(tables, r.cell.name, "NXcollection")
        table["problem"], table["seed"] = np.int64(r.problem), r.seed
        table["loss"], table["gradient_norm"] = r.losses, r.gradients
        for name in ("suboptimal", "above_threshold", "undecided"):
            table[name] = np.uint8(getattr(r, f"is_{name}"))
        strings(table, "verdict", r.verdicts)
        table["lowest_loss"], table["lowest_is_global"] = r.lowest, np.uint8(r.lowest_known)
        table["targets_scale"] = r.scale


def plot_name(cell):
    return f"share_{cell.targets}_{cell.train.replace(',', '+')}"


def write_shares(entry, design, results):
    """A plot for each kind of target and set of blocks: the share of suboptimal ends against D, a curve for
    each kernel."""
    for targets in design.targets:
        for train in design.train:
            rows = [[next(r for r in results if r.cell == Cell(kernel, targets, train, D, design.gain))
                     for D in sorted(design.widths)] for kernel in design.kernels]
            shares = [[suboptimal_share([r]) for r in row] for row in rows]
            value, lower, upper = ([[getattr(s, name) for s in row] for row in shares]
                                   for name in ("value", "lower", "upper"))
            made = group(entry, plot_name(rows[0][0].cell), "NXdata", signal="share", axes=["kernel", "D"])
            made["share"], made["lower"], made["upper"] = value, lower, upper
            # Curves, not cells of an image, which viewers draw at equal distances.
            made["share"].attrs["interpretation"] = "spectrum"
            made["D"] = np.int64(sorted(design.widths))
            made["kernel"] = np.arange(len(rows), dtype=float)
            made["kernel"].attrs["long_name"] = "kernel: " + ", ".join(
                f"{i} {kernel}" for i, kernel in enumerate(design.kernels))
            made["title"] = f"share of starts that end suboptimal ({SUBOPTIMAL}): {targets} targets, {train} trained"


def write_runs(entry, runs):
    """The descents on record, and a row for each."""
    table = group(entry, "runs", "NXcollection")
    strings(table, "name", [r.run.name for r, _ in runs])
    strings(table, "cell", [r.run.cell.name for r, _ in runs])
    strings(table, "kind", [r.run.kind for r, _ in runs])
    table["guaranteed_steps"] = np.int64([r.guaranteed for r, _ in runs])
    table["broken_guarantees"] = np.int64([r.broken for r, _ in runs])
    table["slack"] = [r.slack for r, _ in runs]
    records = group(table, "records", "NXcollection")
    for result, path in runs:
        copy = group(records, result.run.name, "NXdata", signal="loss", axes=["step"])
        with reading(path) as source:
            for name in COPIED:
                copy[name] = source[f"entry/run/{name}"][()]
