"""Reading catalogues of basin-stationary."""
from dataclasses import replace

import numpy as np

from .results import CellResult, Trap, text
from .work import reading

VERDICTS = ("global minimum", "best known minimum", "suboptimal local minimum", "saddle", "degenerate",
            "valley to infinity", "not stationary", "not finite")
TRAPS = ("suboptimal local minimum", "valley to infinity")  # the first kind that there is


def read_cell(cell, paths, problems):
    """The CellResult of the catalogues of a cell and of their problems, in order."""
    starts, totals, entries = [], [], []
    for place, (path, problem) in enumerate(zip(paths, problems)):
        with reading(problem) as file:
            scale = float((file["data/Y"][()] ** 2).sum() / 2)
        with reading(path) as file:
            found, catalogue = file["entry/starts"], file["entry/catalogue"]
            count = found["loss"].size
            columns = (np.full(count, place), found["seed"][()].astype(np.uint64),
                       np.array([text(verdict) for verdict in found["verdict"][()]]), found["loss"][()].astype(float),
                       found["gradient_norm"][()].astype(float))
            for column in (*columns, found["entry"]):
                if column.shape != (count,):
                    raise ValueError(f"a column of starts has shape {column.shape}, expected {(count,)}")
            starts.append(columns)
            totals.append((float(catalogue["lowest_loss"][()]), bool(catalogue["lowest_is_global"][()]), scale))
            entries.append(found["entry"][()].astype(int))
    result = CellResult(cell, tuple(paths), *map(np.concatenate, zip(*starts)), *map(np.array, zip(*totals)))
    return replace(result, trap=find_trap(result, np.concatenate(entries)))


def find_trap(result, entry_of):
    """The minimum well above the lowest loss that most starts reach, else such a valley."""
    for verdict in TRAPS:
        chosen = result.is_above_threshold & result.has(verdict)
        points = list(zip(result.problem[chosen], entry_of[chosen]))
        if points:
            problem, entry = max(sorted(set(points)), key=points.count)
            return Trap(int(problem), int(entry), verdict, points.count((problem, entry)))
    return None


def entry_weights(path, entry):
    """All weights of the point that represents an entry."""
    with reading(path) as file:
        return file["entry/entries/weights"][entry]


def first_seed(path):
    """The seed of the first start."""
    with reading(path) as file:
        return int(file["entry/starts/seed"][0])
