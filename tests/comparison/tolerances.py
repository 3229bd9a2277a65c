"""What may differ between two builds, dataset by dataset, each with its reason (see tests/compare.py)."""

import re
from typing import Callable, NamedTuple, Optional

import numpy as np

RELATIVE = 1e-9  # of the largest value: condition numbers of 1e3 and sums of 1e3 terms may multiply rounding by 1e6
ABSOLUTE = 1e-14  # the problems are of size 1, and what they cancel to is rounding
DESCENT = 1e-4  # of the largest value, at the ends of descent
FACTOR = 3  # errors and bounds come from the rounding of the run itself


def scale_of(*arrays):
    """The largest finite absolute value: small entries beside large ones carry the rounding of these."""
    values = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    return values[np.isfinite(values)].max(initial=0.0)


def relative(tolerance):
    """|a - b| within so much of the largest value."""
    return lambda a, b, *_: np.abs(a - b) / (tolerance * scale_of(a, b) + ABSOLUTE)


def within(*errors, tolerance=0.0):
    """|a - b| within the sum of both errors, the first of these datasets that is beside the values, and so much of the
    largest value; where there is none, within RELATIVE of that."""

    def deviation(a, b, beside_a, beside_b):
        scale = scale_of(a, b)
        allowed = RELATIVE * scale + ABSOLUTE
        for error in errors:
            if error in beside_a and error in beside_b:
                total = np.abs(beside_a[error]) + np.abs(beside_b[error])
                total = total[:, None] if a.ndim == total.ndim + 1 == 2 else total  # one a row
                allowed = np.where(np.isfinite(total), total + (tolerance + 4 * np.finfo(float).eps) * scale, allowed)
                break
        return np.abs(a - b) / allowed

    return deviation


def factor(floor=0.0):
    """One within FACTOR of the other, or both below the floor."""

    def deviation(a, b, *_):
        a, b = np.maximum(np.abs(a), floor), np.maximum(np.abs(b), floor)
        with np.errstate(all="ignore"):
            return np.nan_to_num(np.abs(np.log(a / b)) / np.log(FACTOR), nan=np.inf)

    return deviation


def up_to_sign(tolerance):
    """Unit vectors, one a row."""
    return lambda a, b, *_: np.minimum(np.abs(a - b), np.abs(a + b)) / tolerance


def spans(tolerance, cluster=1e-4):
    """Eigenvectors up to sign, and to rotation where eigenvalues are within `cluster` |A|: what is outside the others' span."""

    def deviation(a, b, beside, _):
        values = beside["eigenvalue"]
        result = np.zeros(a.shape)
        gaps = np.flatnonzero(np.abs(np.diff(values)) > cluster * scale_of(values)) + 1
        for rows in np.split(np.arange(len(values)), gaps):
            outside = b[rows] - b[rows] @ a[rows].T @ a[rows]
            result[rows] = np.linalg.norm(outside, axis=1, keepdims=True) / tolerance
        return result

    return deviation


class Tolerance(NamedTuple):
    """How floating-point numbers of commands and datasets of such names (FILE:/DATASET, FILE:/GROUP@ATTRIBUTE) are compared."""

    commands: str
    names: str
    tolerance: Callable  # (a, b, datasets beside a, beside b) -> |a - b| relative to what is tolerated
    reason: str


# The first that fits decides; where none does, within(NAME_error, NAME_errors, NAME_bound or NAME_rounding).
TOLERANCES = [
    Tolerance("evaluate-float", "*", relative(1e-5), "single precision"),
    Tolerance("*", "*/eigenvectors", spans(1e-6), "residuals are 1e-10 |A|, and clusters are 1e-4 |A| apart"),
    Tolerance("*", "*/loss_error*", factor(1e-20), "at f = 0 the error is a square of rounding, and less is chance"),
    Tolerance("*", "*/residual", factor(1e-8), "how far below its tolerance, 1e-10 |A|, an eigenpair converges is chance"),
    *(Tolerance(commands, f"*/{name}", factor(1e-8), "the same") for commands in ("hessian-krylov*", "hessian-resume")
      for name in ("largest/eigenvalue_errors", "smallest/eigenvalue_errors", "ends/*_error", "*@joint_bound")),
    *(Tolerance("*", name, factor(), "errors, and what follows from them")
      for name in ("*_error", "*_errors", "*_eigenvalue_bound", "*@joint_bound", "*@resolution", "*rounding", "*tolerance")),
    *(Tolerance("*", name, relative(RELATIVE), "its errors are statistical, but the probes are the same")
      for name in ("*/block_norms/frobenius", "*/traces/*", "*/density", "*/density_symlog/density")),
    Tolerance("*", "*_log10*", relative(1e-4), "of bounds that are differences of nearly equal numbers"),
    Tolerance("*", "*@no_more_beyond", relative(1e-6), "from random vectors less what was found, whose eigenvectors have errors"),
    Tolerance("*", "*/certificate/*", relative(1e-7), "made of the lower bound on lambda_min, that is of its error, too"),
    *(Tolerance("*", f"*:/entry/{table}/{name}", within(error, tolerance=DESCENT), "and rounding grows along a descent")
      for table in ("starts", "entries", "losses")
      for name, error in (("loss", "loss_error"), ("gap", "loss_error"), ("gradient", "gradient_rounding"),
                          ("gradient_norm", "gradient_rounding"), ("residual_norm", "residual_rounding"),
                          ("smallest_eigenvalue", "smallest_eigenvalue_bound"))),
    Tolerance("*", "*/direction", up_to_sign(1e-4), "an eigenvector of either sign, where eigenvalues may be near to each other"),
    Tolerance("*", "*/escape_step", lambda a, b, *_: relative(1e-6)(np.abs(a), np.abs(b)), "its sign is that of the direction"),
    *(Tolerance("*", f"*/{name}", deviation, "a step more or less until a tolerance is met")
      for name, deviation in (("descent_steps", relative(0.2)), ("steps_shortened", relative(0.2)),
                              ("descent_loss", factor()), ("descent_gradient_norm", factor()))),
    *(Tolerance("*", f"*/{name}", relative(1e-3), "Newton's steps from a point that is stationary to rounding")
      for name in ("newton_step", "newton_decrement")),
    *(Tolerance("*", f"*:/entry/{table}/*", relative(DESCENT), "rounding grows along thousands of steps")
      for table in ("starts", "entries", "losses")),
    *(Tolerance("*", f"*:/{name}", relative(1e-6), "rounding grows along a descent")
      for name in ("entry/run/*", "trajectory/theta", "parameters/*")),
]


class Excuse(NamedTuple):
    """Of commands and files or datasets of such names, what is not compared: all, or what `pattern` finds in the text."""

    commands: str
    names: str
    reason: str
    pattern: Optional[str] = None


EXCUSES = [
    Excuse("*", "*/provenance/start_time", "when it was run"),
    Excuse("*", "*/provenance/duration", "how long it took"),
    Excuse("*", "*/provenance/build", "compiler and flags: what the builds may differ in"),
    Excuse("*", "*/provenance/version", "the version of the build"),
    Excuse("*", "*/specification", "the version of the build", r"(?m)^(version = |program = basin-\w+ ).*$"),
    Excuse("*-resume", "2.stderr", "what was in the journal when it was stopped",
           r"(?m)^.*in the journal.*\n|^going on from step \d+\n"),
    Excuse("slice-trajectory", "s.h5:/entry/slice/specification", "checksum of run.h5, which says when it was made",
           r"(?m)^trajectory = .*$"),
    Excuse("train-network", "e.h5:*/input_sha256", "checksum of end.h5, which says when it was made"),
    Excuse("train-flow", "h.h5:*/input_sha256", "checksum of end.h5, which says when it was made"),
    Excuse("train-flow", "h.h5:*/specification", "the same", r"(?m)^problem = .*$"),
    Excuse("study", "study.parts/plan.json", "version and build", r'(?<="version": ").*(?=")'),
    Excuse("*", "*.stderr", "progress, which comes by the clock",
           r"(?m)^.*: \d+ of \d+(, \d+ s, (at most|about) \d+ s left)?\n|^.*, \d+ s\n"),
]
EXCUSES_WITHIN_TOLERANCES = [  # further ones, without --bits
    Excuse("*", "*/provenance/lapack", "what the builds may differ in"),
    *(Excuse("hessian-exhausted", name, "Lanczos ends where rounding lets it: a step more or less")
      for name in ("1.stdout", "d.h5:*")),
    Excuse("stationary-from", "c.h5:*/specification", "a checksum of the bits of given points",
           r"(?m)^given (points|starts) = .*$"),
    *(Excuse("stationary-from", f"c.h5:/entry/{name}/seed", "the same") for name in ("starts", "entries")),
    Excuse("slice-*", "*/slice/specification", "a checksum of the bits of u and v", r"(?m)^directions = .*$"),
    Excuse("slice-blocks", "s.h5:/entry/directions/y", "any of the flat directions"),
    *(Excuse("slice-blocks", name, "the loss is flat along v, the lowest is anywhere", r" at \([^)]*\)")
      for name in ("1.stdout", "s.h5:/entry/verdict")),
    *(Excuse("*", f"*/smallest_row_sum_{name}", "where: under softmax all sums are 1, and rounding decides")
      for name in ("head", "sample", "token")),
    *(Excuse("*", f"*/losses/{name}", "the order of ends that are at f = 0 to rounding") for name in ("start", "verdict_code")),
    *(Excuse("*", f"*/{name}", "where Newton's step leads from a gradient that is rounding")
      for name in ("newton_contraction", "newton_distance", "newton_gradient", "gradient_slope", "finish_steps", "polish_steps",
                   "polish_length")),
]

# Numbers in text: what a last digit is, and the larger of these. The datasets beside the text are compared more sharply.
TEXT_RELATIVE = 1e-6
TEXT_ABSOLUTE = 1e-9  # the problems are of size 1: smaller numbers are gradients at stationary points, errors and the like
NUMBER = re.compile(r"(?<![\w.])([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(?!\w)")
ERROR = re.compile(r"(\+-|rounding|within|error) $")  # before a number: it is an error
