"""What the tools found, cell by cell and run by run, and shares with their intervals."""
from dataclasses import dataclass

import numpy as np

from ..pictures.phase import wilson

from .work import reading

THRESHOLD = 1e-4  # of |Y|^2 / 2, above the lowest loss that is known
LOWEST = ("global minimum", "best known minimum")
# Of second order: f is certainly lower elsewhere, by however little. The gap of another point may be what is left of
# a slow descent.
CERTAIN = ("suboptimal local minimum", "saddle")
SUBOPTIMAL = (f"a strict minimum or a saddle above the lowest known loss, or more than {100 * THRESHOLD:g} % of |Y|^2/2 "
              "above it")


@dataclass(frozen=True)
class Share:
    """A share of starts and its 95 % interval."""
    passed: int
    judged: int
    value: float
    lower: float
    upper: float

    def __str__(self):
        return (f"{self.passed} of {self.judged} ({100 * self.value:.0f} %, {100 * self.lower:.0f} to "
                f"{100 * self.upper:.0f})")


def share(flags, clusters):
    """The share of starts with a flag. Starts of one problem (equal `clusters`) resemble each other: Wilson's
    interval with the number of starts divided by the design effect, the variance of the share between problems over
    that of independent starts (Korn and Graubard, Survey Methodology 24, 1998). Where no start or every start has
    the flag, nothing is known of that, and a problem counts as one start."""
    flags = np.asarray(flags, bool)
    judged, passed = flags.size, np.count_nonzero(flags)
    if judged == 0:
        return Share(0, 0, np.nan, np.nan, np.nan)
    value = passed / judged
    _, inverse = np.unique(clusters, return_inverse=True)
    problems = inverse.max() + 1
    if 0 < passed < judged:
        effect = 1.0
        if problems > 1:
            excess = np.bincount(inverse, flags - value)
            between = problems / (problems - 1) * (excess**2).sum() / judged**2
            effect = max(1.0, between / (value * (1 - value) / judged))
        effective = judged / effect
    else:
        effective = problems
    _, lower, upper = wilson(value * effective, effective)
    return Share(passed, judged, value, float(lower), float(upper))


@dataclass(frozen=True)
class Trap:
    """A point that stops descent above the lowest loss."""
    problem: int
    entry: int  # of the catalogue of that problem
    verdict: str
    starts: int  # that end there


@dataclass(frozen=True)
class CellResult:
    """Where the starts of a cell end, S in all."""
    cell: object
    paths: tuple  # of the catalogues, one for each problem
    problem: np.ndarray  # (S)
    seed: np.ndarray  # (S)
    verdicts: np.ndarray  # (S)
    losses: np.ndarray  # (S), at the ends; NaN where the loss overflowed
    gradients: np.ndarray  # (S), |grad f| there
    lowest: np.ndarray  # (problems), the global minimum, or the lowest loss found
    lowest_known: np.ndarray  # (problems), whether it is the global minimum
    scale: np.ndarray  # (problems), |Y|^2 / 2
    trap: Trap = None

    @property
    def starts(self):
        return self.losses.size

    @property
    def is_above_threshold(self):
        """Of each start: whether it ends well above the lowest known loss."""
        return ~(self.losses - self.lowest[self.problem] <= THRESHOLD * self.scale[self.problem])

    @property
    def is_suboptimal(self):
        """Of each start: whether it ends SUBOPTIMAL."""
        return self.is_above_threshold | np.isin(self.verdicts, CERTAIN)

    @property
    def is_undecided(self):
        """Of each start: whether it ends neither SUBOPTIMAL nor at a minimum that is the lowest known."""
        return ~self.is_suboptimal & ~np.isin(self.verdicts, LOWEST)

    def has(self, verdict):
        """Of each start: whether its end has a verdict."""
        return self.verdicts == verdict

    @property
    def clusters(self):
        """Of each start: the name of its problem."""
        return np.array([problem_name(self.cell, j) for j in self.problem])


def problem_name(cell, j):
    """A name of a problem, whatever the kernel and the trained blocks."""
    return f"{cell.targets} {cell.width} {cell.gain} {j}"


def share_of(results, flag):
    """The share of the starts of several cells with flag(result)."""
    if not results:
        return share([], [])
    return share(np.concatenate([flag(r) for r in results]), np.concatenate([r.clusters for r in results]))


def suboptimal_share(results):
    """The share of starts of several cells that end suboptimal."""
    return share_of(results, lambda r: r.is_suboptimal)


@dataclass(frozen=True)
class RunResult:
    """A descent with steps after which the loss is proven to fall."""
    run: object
    guaranteed: int  # steps with a guarantee
    broken: int  # of them, those that fell short of it
    slack: float  # median over the steps of measured over guaranteed decrease of log f; NaN: none


def read_run(run, path):
    """The RunResult of a file of basin-train."""
    with reading(path) as file:
        measured, proven = (file[f"entry/run/{name}_rate"][()] for name in ("measured", "guaranteed"))
        good = (measured > 0) & (measured < 1) & (proven > 0) & (proven < 1)
        ratios = np.log(measured[good]) / np.log(proven[good])
        return RunResult(run, int(file["entry/guaranteed_steps"][()]), int(file["entry/broken_guarantees"][()]),
                         float(np.median(ratios)) if ratios.size else float("nan"))


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)
