"""What was found of each claim, in words, also where it does not hold."""
from dataclasses import dataclass

import numpy as np

from .design import BLOCKS
from .results import share, share_of, suboptimal_share

ALL = ",".join(BLOCKS)
NAMES = {"softmax": "softmax", "gaussian": "Gaussian"}
HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
DIFFERS = "differs between sets of blocks"


@dataclass(frozen=True)
class Claim:
    statement: str
    verdict: str  # HOLDS, FAILS, OPEN or DIFFERS
    found: str

    @property
    def text(self):
        return f"{self.statement}: {self.verdict}\n  {self.found}"


def claims(design, results, runs):
    """Every claim that this design can test. results: CellResult of all cells; runs: RunResult of the descents
    on record."""
    main = pick(results, gain=design.gain)
    made = [kernels_in_queries(design, main), *large_width(design, main), *width_helps(design, main),
            *scale_helps(design, results), few_keys(design, results), strict_minima(results),
            strict_minima_of_wide_inputs(design, results), ends_without_minimum(results), guarantees(runs)]
    return [claim for claim in made if claim]


def pick(results, **wanted):
    """The results whose cell has these values; a function tests."""
    def fits(cell):
        return all(value(getattr(cell, name)) if callable(value) else getattr(cell, name) == value
                   for name, value in wanted.items())
    return [result for result in results if fits(result.cell)]


def kernels_in_queries(design, results):
    """The paper's comparison of kernels where only the queries are trained."""
    softmax, gaussian = (suboptimal_share(pick(results, kernel=kernel, train="W_Q", targets="teacher",
                                               width=lambda D: D >= design.full_rank))
                         for kernel in ("softmax", "gaussian"))
    if not (softmax.judged and gaussian.judged):
        return None
    verdict = HOLDS if gaussian.upper < softmax.lower else FAILS if softmax.upper < gaussian.lower else OPEN
    return Claim("W_Q alone, D >= N n: descent ends in suboptimal points under softmax, less often under the Gaussian "
                 "kernel", verdict, f"suboptimal ends: softmax {softmax}, Gaussian {gaussian}")


def large_width(design, results):
    """D >= N n: both kernels reach a global minimum."""
    for train in sorted({r.cell.train for r in results}, key=len):
        wide = pick(results, train=train, targets="teacher", width=lambda D: D >= design.full_rank)
        if not wide:
            continue
        found = [f"{NAMES[kernel]} {suboptimal_share(pick(wide, kernel=kernel))}" for kernel in design.kernels]
        bad = suboptimal_share(wide).passed
        yield Claim(f"{train}, D >= N n: descent reaches a global minimum under every kernel",
                    FAILS if bad else HOLDS, f"suboptimal ends: {', '.join(found)}")


def width_helps(design, results):
    """Fewer suboptimal ends with a larger D, by set of blocks."""
    low, high = min(design.widths), max(design.widths)
    if low == high:
        return
    for targets in design.targets:
        for kernel in design.kernels:
            found, verdicts = [], set()
            for train in design.train:
                few, many = (suboptimal_share(pick(results, targets=targets, kernel=kernel, train=train, width=D))
                             for D in (low, high))
                verdicts.add(HOLDS if many.upper < few.lower else FAILS if few.upper < many.lower else OPEN)
                found.append(f"{train}: {few} at D = {low}, {many} at D = {high}")
            yield Claim(f"{NAMES[kernel]}, {targets} targets: a larger D leaves fewer suboptimal ends",
                        verdicts.pop() if len(verdicts) == 1 else DIFFERS, "; ".join(found))


def scale_helps(design, results):
    """Fewer suboptimal ends with smaller queries and keys of teacher and starts."""
    gains = sorted({design.gain, *design.more_gains})
    if len(gains) == 1:
        return
    for kernel in design.kernels:
        wide = pick(results, kernel=kernel, targets="teacher", width=max(design.widths))
        shares = [suboptimal_share(pick(wide, gain=gain)) for gain in gains]
        verdict = (HOLDS if shares[0].upper < shares[-1].lower else FAILS if shares[-1].upper < shares[0].lower
                   else OPEN)
        yield Claim(f"{NAMES[kernel]}: smaller queries and keys of teacher and starts leave fewer suboptimal ends",
                    verdict, "; ".join(f"gain {gain:g}: {found}" for gain, found in zip(gains, shares)))


def few_keys(design, results):
    """Softmax, W_Q alone, keys in general position: no stationary point is suboptimal."""
    cells = pick(results, kernel="softmax", train="W_Q", width=lambda D: D >= design.full_rank)
    if not cells or design.tokens > design.head_dim + 1:
        return None
    bad, ends = share_of(cells, is_strict_minimum).passed, suboptimal_share(cells)
    return Claim("softmax, W_Q alone, D >= N n, n <= d + 1: no stationary point is suboptimal; bad ends lie at infinity",
                 FAILS if bad else HOLDS, f"{bad} suboptimal minima; suboptimal ends: {ends}")


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
                 HOLDS if more.upper < alone.lower else FAILS if alone.upper < more.lower else OPEN,
                 f"W_Q alone {alone}, more blocks {more}")


def strict_minima_of_wide_inputs(design, results):
    """Suboptimal strict minima at D >= N n."""
    wide = pick(results, targets="teacher", width=lambda D: D >= design.full_rank)
    if not wide:
        return None
    counts = {train: share_of(pick(wide, train=train), is_strict_minimum) for train in design.train}
    return Claim("teacher targets, D >= N n: no descent ends in a suboptimal strict local minimum",
                 FAILS if any(count.passed for count in counts.values()) else HOLDS,
                 "; ".join(f"{train}: {count}" for train, count in counts.items())
                 + f"; suboptimal ends in all: {suboptimal_share(wide)}")


def ends_without_minimum(results):
    """Valleys among the suboptimal ends with teacher targets."""
    cells = pick(results, targets="teacher", train=lambda train: train != "W_Q")
    ends = [(r.has("valley to infinity")[r.is_suboptimal], r.clusters[r.is_suboptimal]) for r in cells]
    if not any(flags.size for flags, _ in ends):
        return None
    valleys = share(*(np.concatenate(part) for part in zip(*ends)))
    return Claim("teacher targets, more than W_Q trained: most suboptimal ends are valleys to infinity, not minima",
                 HOLDS if valleys.lower > 0.5 else FAILS if valleys.upper < 0.5 else OPEN,
                 f"valleys among them: {valleys}")


def guarantees(runs):
    """No step of the descents on record breaks its guarantee."""
    if not runs:
        return None
    steps, broken = sum(r.guaranteed for r in runs), sum(r.broken for r in runs)
    certified = sum(r.run.kind == "certificate" for r in runs)
    slack = sorted(r.slack for r in runs if r.slack == r.slack)
    middle = f"; the loss falls {slack[len(slack) // 2]:.3g} times as fast as guaranteed (median run)" if slack else ""
    return Claim("with the steps that theory allows, the guaranteed rate is never violated",
                 FAILS if broken else HOLDS, f"{broken} of {steps} steps of {len(runs)} runs broke it, {certified} of them with the step that is proven "
                 f"to reach zero loss{middle}")
