"""What was found of each claim, in words, also where it does not hold."""
from dataclasses import dataclass

import numpy as np

from .design import BLOCKS
from .results import CERTAIN, problem_name, share, share_of, suboptimal_share

ALL = ",".join(BLOCKS)
NAMES = {"softmax": "softmax", "gaussian": "Gaussian"}
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
NOT_REFUTED = "not refuted"  # and by how much it may fail
DIFFERS = "differs between sets of blocks"
ENDS = "suboptimal ends"


@dataclass(frozen=True)
class Claim:
    statement: str
    verdict: str  # HOLDS, FAILS, OPEN, DIFFERS or NOT_REFUTED (at most ...)
    found: str

    @property
    def text(self):
        return f"{self.statement}: {self.verdict}\n  {self.found}"


def claims(design, results, runs):
    """Every claim that this design can test. results: CellResult of all cells; runs: RunResult of the descents
    on record."""
    main = pick(results, gain=design.gain)
    made = [kernels_in_queries(design, main), *large_width(design, main), *width_helps(design, main),
            *scale_helps(design, results), *kernels_by_scale(design, results), few_keys(design, results), strict_minima(results),
            strict_minima_of_wide_inputs(design, results), ends_without_minimum(results), guarantees(runs)]
    return [claim for claim in made if claim]


def pick(results, **wanted):
    """The results whose cell has these values; a function tests."""
    def fits(cell):
        return all(value(getattr(cell, name)) if callable(value) else getattr(cell, name) == value
                   for name, value in wanted.items())
    return [result for result in results if fits(result.cell)]


def smaller(few, many):
    """Whether one share is smaller than another: if their intervals do not meet."""
    return HOLDS if few.upper < many.lower else FAILS if many.upper < few.lower else OPEN


def never(bad):
    """Whether a share is 0. One case refutes it; no number of starts proves it."""
    return FAILS if bad.passed else f"{NOT_REFUTED} (at most {100 * bad.upper:.0f} %)"


def kernels_in_queries(design, results):
    """The paper's comparison of kernels where only the queries are trained."""
    softmax, gaussian = (suboptimal_share(pick(results, kernel=kernel, train="W_Q", targets="teacher",
                                               width=lambda D: D >= design.full_rank))
                         for kernel in ("softmax", "gaussian"))
    if not (softmax.judged and gaussian.judged):
        return None
    return Claim("W_Q alone, D >= N n: descent ends in suboptimal points under softmax, less often under the Gaussian "
                 "kernel", smaller(gaussian, softmax), f"{ENDS}: softmax {softmax}, Gaussian {gaussian}")


def large_width(design, results):
    """D >= N n: both kernels reach a global minimum."""
    for train in sorted({r.cell.train for r in results}, key=len):
        wide = pick(results, train=train, targets="teacher", width=lambda D: D >= design.full_rank)
        if not wide:
            continue
        found = [f"{NAMES[kernel]} {suboptimal_share(pick(wide, kernel=kernel))}" for kernel in design.kernels]
        undecided = share_of(wide, lambda r: r.is_undecided)
        yield Claim(f"{train}, D >= N n: descent reaches a global minimum under every kernel",
                    never(suboptimal_share(wide)), f"{ENDS}: {', '.join(found)}; {undecided.passed} of all ends are "
                    "neither suboptimal nor a global minimum to rounding")


def width_helps(design, results):
    """Fewer suboptimal ends with a larger D, by set of blocks."""
    low, high = min(design.widths), max(design.widths)
    if low == high:
        return
    for targets in design.targets:
        for kernel in design.kernels:
            found, verdicts = [], []
            for train in design.train:
                few, many = (suboptimal_share(pick(results, targets=targets, kernel=kernel, train=train, width=D))
                             for D in (low, high))
                verdicts.append(smaller(many, few))
                found.append(f"{train} ({verdicts[-1]}): {few} at D = {low}, {many} at D = {high}")
            yield Claim(f"{NAMES[kernel]}, {targets} targets: a larger D leaves fewer suboptimal ends",
                        verdicts[0] if len(set(verdicts)) == 1 else DIFFERS, f"{ENDS}, {'; '.join(found)}")


def scale_helps(design, results):
    """Fewer suboptimal ends with smaller queries and keys of teacher and starts."""
    gains = sorted({design.gain, *design.more_gains})
    if len(gains) == 1:
        return
    for kernel in design.kernels:
        wide = pick(results, kernel=kernel, targets="teacher", width=max(design.widths))
        shares = [suboptimal_share(pick(wide, gain=gain)) for gain in gains]
        yield Claim(f"{NAMES[kernel]}: smaller queries and keys of teacher and starts leave fewer suboptimal ends",
                    smaller(shares[0], shares[-1]),
                    f"{ENDS}, " + "; ".join(f"gain {gain:g}: {found}" for gain, found in zip(gains, shares)))


def kernels_by_scale(design, results):
    """The kernels beside each other at each scale of queries and keys, by set of blocks."""
    if len(design.kernels) == 1 or "teacher" not in design.targets:
        return
    high = max(design.widths)
    for gain in sorted({design.gain, *design.more_gains}):
        found, verdicts = [], []
        for train in design.train:
            softmax, gaussian = (suboptimal_share(pick(results, kernel=kernel, targets="teacher", width=high, gain=gain,
                                                       train=train)) for kernel in ("softmax", "gaussian"))
            verdicts.append(smaller(gaussian, softmax))
            found.append(f"{train} ({verdicts[-1]}): softmax {softmax}, Gaussian {gaussian}")
        yield Claim(f"D = {high}, gain {gain:g} on queries and keys: the Gaussian kernel leaves fewer suboptimal ends than softmax",
                    verdicts[0] if len(set(verdicts)) == 1 else DIFFERS, f"{ENDS}, {'; '.join(found)}")


def few_keys(design, results):
    """Softmax, W_Q alone, keys in general position: no stationary point is suboptimal."""
    cells = pick(results, kernel="softmax", train="W_Q", width=lambda D: D >= design.full_rank)
    if not cells or design.tokens > design.head_dim + 1:
        return None
    bad = share_of(cells, lambda r: np.isin(r.verdicts, CERTAIN))
    return Claim("softmax, W_Q alone, D >= N n, n <= d + 1: no stationary point is suboptimal; bad ends lie at infinity",
                 never(bad), f"suboptimal strict minima and saddles: {bad}; {ENDS}: {suboptimal_share(cells)}")


def is_strict_minimum(result):
    return result.has("suboptimal local minimum")


def strict_minima(results):
    """Where suboptimal strict minima were found."""
    taught = pick(results, targets="teacher")
    alone, more = (share_of(pick(taught, train=train), is_strict_minimum)
                   for train in ("W_Q", lambda train: train != "W_Q"))
    if not (alone.judged and more.judged):
        return None
    return Claim("teacher targets: suboptimal strict local minima are rarer when more than W_Q is trained",
                 smaller(more, alone), f"strict minima above the lowest loss: W_Q alone {alone}, more blocks {more}")


def strict_minima_of_wide_inputs(design, results):
    """Suboptimal strict minima at D >= N n."""
    wide = pick(results, targets="teacher", width=lambda D: D >= design.full_rank)
    if not wide:
        return None
    counts = [f"{train}: {share_of(pick(wide, train=train), is_strict_minimum)}" for train in design.train]
    return Claim("teacher targets, D >= N n: no descent ends in a suboptimal strict local minimum",
                 never(share_of(wide, is_strict_minimum)),
                 f"strict minima above the lowest loss, {'; '.join(counts)}; {ENDS} in all: {suboptimal_share(wide)}")


def ends_without_minimum(results):
    """Valleys among the suboptimal ends with teacher targets."""
    cells = pick(results, targets="teacher", train=lambda train: train != "W_Q")
    ends = [(r.has("valley to infinity")[r.is_suboptimal], r.clusters[r.is_suboptimal]) for r in cells]
    if not any(flags.size for flags, _ in ends):
        return None
    valleys = share(*(np.concatenate(part) for part in zip(*ends)))
    return Claim("teacher targets, more than W_Q trained: most suboptimal ends are valleys to infinity, not minima",
                 HOLDS if valleys.lower > 0.5 else FAILS if valleys.upper < 0.5 else OPEN,
                 f"valleys among {ENDS}: {valleys}")


def guarantees(runs):
    """No step of the descents on record breaks its guarantee."""
    if not runs:
        return None
    steps, broken = sum(r.guaranteed for r in runs), sum(r.broken for r in runs)
    certified = sum(r.run.kind == "certificate" for r in runs)
    slack = sorted(r.slack for r in runs if r.slack == r.slack)
    middle = f"; the loss falls {slack[len(slack) // 2]:.3g} times as fast as guaranteed (median run)" if slack else ""
    bad = share([r.broken > 0 for r in runs], [problem_name(r.run.cell, r.run.problem) for r in runs])
    return Claim("with the steps that theory allows, the guaranteed rate is never violated", never(bad),
                 f"{broken} of {steps} steps broke it; runs with such a step: {bad}; {certified} runs take the step that is "
                 f"proven to reach zero loss{middle}")
