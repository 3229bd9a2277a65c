#!/usr/bin/python3
"""Runs the same commands with the tools of two builds, and compares all that they write, print and end with.

    tests/compare.py BIN_BEFORE BIN_AFTER [--bits] [--only NAME,...] [--keep DIR] [--list]

For a change that should change nothing: --bits, every dataset, attribute and printed line bit for bit. For one that should
change nothing but rounding: without, within TOLERANCES, each with its reason. What is not compared is in EXCUSES, one by one;
they are listed at the end with what they hid. The problems that commands start from are made once, by BIN_BEFORE, so that a
difference is named where it arises; basin-study is that of this checkout. --only takes patterns, say 'hessian-*'; --keep
keeps the files. Exit code: 0 all equal, 1 something differs, 2 wrong usage.
"""

import argparse
import contextlib
import fnmatch
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Callable, NamedTuple, Optional

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]

# ---------------------------------------------------------------------------------------------------------------------
# What is run
# ---------------------------------------------------------------------------------------------------------------------

SMALL = "-N 2 -n 3 -D 8 -H 2 -d 4 --outputs 2 --seed 3"
TINY = "-n 3 -H 1 -d 2"  # with sizes and seeds at which the ends of descent do not hang on rounding; few are so
WIDE = "-N 16 -n 6 -D 32 -H 2 -d 8 --outputs 4 --seed 3"  # P = 1600: beyond the dense eigensolver

INPUTS = {
    "softmax.h5": f"teacher {SMALL}",
    "gaussian.h5": f"teacher {SMALL} --kernel gaussian",
    "other.h5": f"teacher {SMALL} --init-seed 9",
    "third.h5": f"teacher {SMALL} --init-seed 10",
    "random.h5": f"teacher {SMALL} --targets random",
    "tiny.h5": f"teacher {TINY} -N 2 -D 8 --outputs 2 --seed 2",
    "tiny-gaussian.h5": f"teacher {TINY} -N 3 -D 4 --outputs 2 --seed 1 --kernel gaussian",
    "tiny-random.h5": f"teacher {TINY} -N 4 -D 4 --outputs 1 --targets random",
    "wide.h5": f"teacher {WIDE}",
    "wide-gaussian.h5": f"teacher {WIDE} --kernel gaussian --target-kernel softmax",
    "text.h5": "text reviews -N 6 -n 5 -D 12 -H 1 -d 4",
    "trap.h5": "construct softmax-trap",
}

ENDS = "--largest 3 --smallest 3"
GRID = "-N 3 -n 3 --outputs 2 -H 1 -d 4 --sweep D=6,9 --sweep kernel=softmax,gaussian"
SWEEP = f"{GRID} --sweep input-scale=1:9:*3"
RECORDS = "--record-every 5 --checkpoint-every 20"


def resumed(step):
    """A step that is killed, and gone on with."""
    return [f"stop {step} --resume", f"{step} --resume"]


# Name -> the steps of a command, one after another in a folder of its own: a tool without `basin-` and its arguments.
# `stop` before it: killed once its journal grows, so that --resume has something to go on with; `fails`: must not end with 0.
COMMANDS = {
    "help": [f"{tool} --help" for tool in ("problem", "evaluate", "ntk", "hessian", "slice", "train", "stationary", "sweep")],
    "refusals": [
        "fails problem teacher -o p.h5 -N 0",
        "fails problem construct no-such-point -o p.h5",
        "fails evaluate none.h5 -o e.h5",
        "fails ntk softmax.h5 -o n.h5 --kernel cubic",
        "fails ntk wide.h5 -o n.h5 --method singular-values --memory 1M",
        "fails ntk softmax.h5 -o n.h5 --kernels sum --assert positive-definite,certified",
        "fails hessian softmax.h5 -o h.h5",
        "fails slice softmax.h5 -o s.h5 --x 1:-1:5",
        "fails train softmax.h5 -o r.h5 --step certificate",
        "fails stationary softmax.h5 -o c.h5 --at trap.h5",
        "fails sweep teacher -o w.h5 --sweep colour=red,blue",
        "fails sweep merge trap.h5 -o w.h5",
    ],
    "problem-teacher": [
        f"problem teacher -o plain.h5 {SMALL}",
        f"problem teacher -o noisy.h5 {SMALL} --kernel gaussian --bandwidth 1.5 --target-kernel softmax --target-heads 3"
        " --noise 0.1 --input-scale 2 --init orthogonal --gain W_O=2 --target-gain W_Q=3",
        f"problem teacher -o drawn.h5 {SMALL} --targets random --target-scale 3 --init xavier --data-seed 7 --init-seed 8",
        f"problem teacher -o bare.h5 {SMALL} --no-weights --target-init xavier --target-seed 4",
    ],
    "problem-construct": [f"problem construct {name} -o {name}.h5" for name in
                          ("softmax-trap", "gaussian-trap", "softmax-saddle", "zero-scores")],
    "problem-text": ["problem text reviews -o words.h5 -N 6 -n 8 -D 16 -H 2 -d 4 --word-scale 2 --seed 2"],
    "problem-import": [
        "problem import --X X.npy --Y Y.npy -o drawn.h5 -H 2 -d 3 --kernel gaussian --init xavier",
        "problem import --X X.npy --Y Y.npy --W_Q W_Q.npy --W_K W_K.npy --W_V W_V.npy --W_O W_O.npy -o given.h5",
    ],
    "evaluate-softmax": ["evaluate softmax.h5 -o e.h5 --random 2",
                         "evaluate other.h5 -o f.h5 --direction e.h5:/entry/evaluation/gradient"],
    "evaluate-gaussian": ["evaluate gaussian.h5 -o e.h5 --random 2 --train W_Q,W_O --seed 4"],
    "evaluate-drawn": ["evaluate random.h5 -o e.h5 --random 1 --kernel gaussian --init orthogonal"
                       " --heads 3 --head-dim 2 --gain W_K=2"],
    "evaluate-wide": ["evaluate wide-gaussian.h5 -o e.h5 --random 2 --memory 200K --threads 2"],
    "evaluate-float": ["evaluate wide.h5 -o e.h5 --random 1 --precision float"],
    "hessian-dense": [f"hessian softmax.h5 -o h.h5 {ENDS} --counts --norms --operator all",
                      "hessian softmax.h5 -o d.h5 --density"],
    "hessian-exhausted": ["hessian softmax.h5 -o d.h5 --density --operator gauss-newton"],
    "hessian-full": ["hessian gaussian.h5 -o h.h5 --full --eigenvectors --train W_Q,W_K --operator all"],
    "hessian-modulo": [f"hessian gaussian.h5 -o h.h5 {ENDS} --counts --density --modulo-symmetries --threads 2"],
    "hessian-block": ["hessian random.h5 -o h.h5 --full --norms --counts --block W_V --train W_Q+W_V"],
    "hessian-trap": ["hessian trap.h5 -o h.h5 --full --counts --train W_Q",
                     "hessian trap.h5 -o g.h5 --counts --kernel gaussian --train W_Q,W_K"],
    "hessian-krylov": [f"hessian wide.h5 -o h.h5 {ENDS} --eigenvectors --norms --norm-probes 5 --memory 5M --threads 2"],
    "hessian-krylov-density": ["hessian wide-gaussian.h5 -o h.h5 --density --probes 3 --steps 40 --operator gauss-newton"],
    "hessian-krylov-counts": ["hessian softmax.h5 -o h.h5 --smallest 2 --counts --modulo-symmetries --dense-limit 0"],
    "hessian-inertia": ["hessian wide-gaussian.h5 -o h.h5 --counts --norms"],
    "hessian-resume": resumed(f"hessian wide.h5 -o h.h5 {ENDS} --density --norms --operator all --dense-limit 0"),
    "ntk-softmax": ["ntk softmax.h5 -o n.h5"],
    "ntk-unions": ["ntk gaussian.h5 -o n.h5 --kernels unions --compare --suggest"],
    "ntk-certificate": ["ntk softmax.h5 -o n.h5 --train W_V --suggest --assert certified"],
    "ntk-singular-values": ["ntk wide-gaussian.h5 -o n.h5 --method singular-values --kernels sum --threads 2"],
    "ntk-formed": ["ntk wide.h5 -o n.h5 --method formed",
                   "ntk wide-gaussian.h5 -o g.h5 --method formed --kernels sum"],
    "ntk-matrix-free": ["ntk wide.h5 -o n.h5 --method matrix-free",
                        "ntk wide-gaussian.h5 -o g.h5 --memory 3M --max-products 200"],
    "ntk-text": ["ntk text.h5 -o n.h5 --compare"],
    "slice-plane": ["slice softmax.h5 -o s.h5 --x -1:1:21 --y -1:1:15",
                    "slice gaussian.h5 -o g.h5 --normalise gauge --x -1:1:9 --y -1:1:9 --threads 2"],
    "slice-quantities": ["slice softmax.h5 -o s.h5 --u largest --v smallest --quantities eigenvalues,gradient,ntk"
                         " --x -1:1:5 --y -1:1:5"],
    "slice-blocks": ["slice gaussian.h5 -o s.h5 --train W_Q,W_K --u gradient --v symmetry --orthogonalise"
                     " --quantities gradient --x -1:1:9 --y -1:1:9"],
    "slice-lines": ["slice gaussian.h5 -o s.h5 --lines 8 --x -1:1:21"],
    "slice-points": [
        "slice softmax.h5 -o line.h5 --to other.h5 --x -0.5:1.5:21 --quantities gradient",
        "slice softmax.h5 -o plane.h5 --to other.h5 --to third.h5 --x 0:1:9 --y 0:1:9",
    ],
    "slice-trajectory": [
        "train softmax.h5 -o run.h5 --steps 60 --checkpoint-every 3",
        "slice softmax.h5 -o s.h5 --trajectory run.h5 --u pca:1 --v pca:2 --x -0.5:1.25:15 --y -0.5:1:15",
    ],
    "slice-text": ["slice text.h5 -o s.h5 --quantities accuracy --normalise block --x -1:1:9 --y -1:1:9 --seed 2"],
    "slice-parts": [*(f"slice softmax.h5 -o part{i}.h5 --part {i}/3 --x -1:1:11 --y -1:1:9 --quantities gradient"
                      for i in (1, 2, 3)),
                    "slice merge part1.h5 part2.h5 part3.h5 -o s.h5"],
    "slice-resume": resumed("slice wide.h5 -o s.h5 --quantities gradient --x -1:1:51 --y -1:1:51"),
    "train-flow": [f"train softmax.h5 -o r.h5 --steps 150 --certify {RECORDS} --final end.h5",
                   "hessian end.h5 -o h.h5 --smallest 3 --counts"],
    "train-gaussian": [f"train gaussian.h5 -o r.h5 --steps 100 --ntk --train W_Q,W_K {RECORDS}"],
    "train-guaranteed": [f"train softmax.h5 -o r.h5 --steps 60 --step guaranteed {RECORDS}"],
    "train-certificate": [f"train softmax.h5 -o r.h5 --steps 60 --step certificate --train W_V --certify {RECORDS}"],
    "train-fixed": [f"train random.h5 -o r.h5 --steps 100 --step 0.01 --kernel gaussian {RECORDS}"],
    "train-line-search": [f"train softmax.h5 -o r.h5 --steps 60 --method line-search --ntk {RECORDS}"],
    "train-momentum": [f"train gaussian.h5 -o r.h5 --steps 60 --method momentum --momentum 0.8 {RECORDS}"],
    "train-adam": [f"train softmax.h5 -o r.h5 --steps 60 --method adam --step 0.01 {RECORDS}"],
    "train-lbfgs": [f"train gaussian.h5 -o r.h5 --steps 40 --method lbfgs --pairs 5 --certify {RECORDS}"],
    "train-newton": ["train softmax.h5 -o r.h5 --method newton --record-every 1 --final end.h5"],
    "train-resume": resumed("train wide.h5 -o r.h5 --steps 600 --record-every 2 --checkpoint-every 20 --final end.h5"),
    "stationary-starts": ["stationary tiny.h5 -o c.h5 --starts 4 --threads 2",
                          "stationary tiny-gaussian.h5 -o g.h5 --starts 4 --train W_Q,W_K"],
    "stationary-saddles": ["stationary tiny-random.h5 -o c.h5 --starts 3 --search saddles",
                           "stationary tiny-random.h5 -o g.h5 --starts 3 --search saddles --kernel gaussian"],
    "stationary-trap": ["stationary trap.h5 -o c.h5 --train W_Q --at trap.h5",
                        "stationary trap.h5 -o g.h5 --train W_Q --starts 1 --gain W_Q=3"],
    "stationary-escape": ["stationary trap.h5 -o c.h5 --train W_Q,W_K --at trap.h5 --escape away.h5"],
    "stationary-newton": ["stationary tiny.h5 -o c.h5 --starts 2 --method newton",
                          "stationary tiny.h5 -o l.h5 --starts 2 --method lbfgs --train W_V"],
    "stationary-from": [
        "train tiny-gaussian.h5 -o run.h5 --steps 20 --checkpoint-every 10 --train W_Q,W_K",
        "stationary tiny-gaussian.h5 -o c.h5 --train W_Q,W_K --from run.h5:/trajectory/theta --at run.h5:/trajectory/theta:1",
    ],
    "stationary-merge": [*(f"stationary tiny.h5 -o {seed}.h5 --starts 2 --seed {seed}" for seed in (1, 2)),
                         "stationary merge 1.h5 2.h5 -o c.h5"],
    "stationary-resume": resumed("stationary tiny.h5 -o c.h5 --starts 12"),
    "sweep-teacher": [f"sweep teacher -o w.h5 {SWEEP} --repeats 3 --threads 2"],
    "sweep-text": ["sweep text reviews -o w.h5 -N 4 -n 4 -d 2 --sweep D=8,16+H=1,2 --sweep train=W_V,W_Q+W_K --repeats 2"],
    "sweep-parts": [*(f"sweep teacher -o part{i}.h5 {SWEEP} --repeats 2 --part {i}/2 --seed 3" for i in (1, 2)),
                    "sweep merge part1.h5 part2.h5 -o w.h5"],
    "sweep-resume": resumed(f"sweep teacher -o w.h5 {GRID} --repeats 120"),
    "study": ["study -o study.h5 -N 2 -n 2 -H 1 -d 2 --outputs 1 --widths 4 --problems 1 --starts 3 --runs 1 --steps 10"
              " --train W_Q --targets random --more-gains none --no-pictures --jobs 1"],
}

# ---------------------------------------------------------------------------------------------------------------------
# What may differ
# ---------------------------------------------------------------------------------------------------------------------

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

# ---------------------------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What a step of COMMANDS says."""

    tool: str
    arguments: list
    end: str  # `stop`, `fails` or `ends`

    @staticmethod
    def of(text):
        words = shlex.split(text)
        end = words.pop(0) if words[0] in ("stop", "fails") else "ends"
        return Step("basin-" + words[0], words[1:], end)

    def ended(self, code):
        """Whether that is how it should end."""
        return {"stop": code == -signal.SIGKILL, "fails": code > 0, "ends": code == 0}[self.end]


def executable(build, tool):
    return ROOT / "analysis/basin-study" if tool == "basin-study" else build / tool


def run(build, steps, folder):
    """Runs the steps in a folder; what each prints and ends with is in NUMBER.stdout, NUMBER.stderr, NUMBER.exit there."""
    environment = {**os.environ, "PATH": f"{build}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for number, step in enumerate(steps, 1):
        out, err, end = (folder / f"{number}.{name}" for name in ("stdout", "stderr", "exit"))
        try:
            with open(out, "wb") as stdout, open(err, "wb") as stderr:
                process = subprocess.Popen([step.tool, *step.arguments], executable=executable(build, step.tool), cwd=folder,
                                           env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        except OSError as error:
            end.write_text(f"{error.strerror}\n")
            continue
        try:
            if step.end == "stop":
                stop(process, folder)
            code = process.wait(600)
        except subprocess.TimeoutExpired:
            code = "not at all"
        finally:
            process.kill()
            process.wait()
        if step.end == "stop":  # what it had printed by then is chance
            out.unlink()
            err.unlink()
        end.write_text(f"{code}\n")


def stop(process, folder):
    """Kills the process once its journal has grown some times."""
    sizes = set()
    while process.poll() is None and len(sizes) < 5:
        for path in folder.glob("*.journal"):
            with contextlib.suppress(FileNotFoundError):
                sizes.add(path.stat().st_size)
        time.sleep(0.002)
    process.kill()


def make_inputs(build, folder):
    """The files that commands start from; what is wrong, if they cannot be made."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "data/reviews", folder / "reviews")
    random = np.random.default_rng(1)
    shapes = {"X": (3, 4, 5), "Y": (3, 4, 2), "W_Q": (2, 5, 3), "W_K": (2, 5, 3), "W_V": (2, 5, 3), "W_O": (2, 3, 2)}
    for name, shape in shapes.items():
        np.save(folder / f"{name}.npy", random.standard_normal(shape))
    for name, arguments in INPUTS.items():
        command = [build / "basin-problem", *arguments.split(), "-o", name]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if process.returncode != 0:
            return f"{name} cannot be made: {process.stderr.strip()}"
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Comparing
# ---------------------------------------------------------------------------------------------------------------------


SHOWN = 6  # differences of a command
WIDTH = 100  # characters of a line that differs


class Value(NamedTuple):
    """Of a dataset, an attribute, a link or a text."""

    kind: str  # type and shape
    data: object  # an array of numbers, or a list of strings


def value_of(kind, data):
    data = np.asarray(data)
    if data.dtype.kind in "OSU":
        texts = (text.decode(errors="backslashreplace") if isinstance(text, bytes) else str(text) for text in data.flat)
        return Value(kind, list(texts))
    return Value(kind, data)


def contents(path):
    """/DATASET, /GROUP or /OBJECT@ATTRIBUTE -> Value of everything in a file; what refers to objects by their names."""
    found, names, referring = {}, {}, []

    def address(item):
        return h5py.h5o.get_info(item.id).addr

    def visit(name, item):
        names[address(item)] = name
        for key in item.attrs:
            if key in ("DIMENSION_LIST", "REFERENCE_LIST"):
                referring.append((name, item, key))
            else:
                raw = item.attrs.get_id(key)
                found[f"{name}@{key}"] = value_of(f"{raw.dtype} {raw.shape}", item.attrs[key])
        if isinstance(item, h5py.Dataset):
            found[name] = value_of(f"{item.dtype} {item.shape}", item[()])
            return
        found[name] = Value("group", [])
        for key in item:
            link, child = item.get(key, getlink=True), f"{name.rstrip('/')}/{key}"
            if not isinstance(link, h5py.HardLink):
                found[child] = Value("link", [f"{getattr(link, 'filename', '')}:{link.path}"])
            elif (known := names.get(address(item[key]))) is not None:
                found[child] = Value("link", [known])
            else:
                visit(child, item[key])

    with h5py.File(path) as file:
        visit("/", file)
        for name, item, key in referring:
            if key == "DIMENSION_LIST":
                others = [names[address(file[scale])] for scales in item.attrs[key] for scale in scales]
            else:
                others = sorted(f"{names[address(file[user])]} {axis}" for user, axis in item.attrs[key])
            found[f"{name}@{key}"] = Value("references", others)
    return found


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def groups_of(items):
    """Group -> the arrays of numbers in it by their names."""
    groups = {}
    for name, value in items.items():
        if isinstance(value.data, np.ndarray) and "@" not in name:
            group, _, leaf = name.rpartition("/")
            groups.setdefault(group, {})[leaf] = value.data
    return groups


def fits(rule, command, name):
    return fnmatch.fnmatchcase(command, rule.commands) and fnmatch.fnmatchcase(name, rule.names)


def tolerance_of(command, name):
    leaf = name.rpartition("/")[2]
    default = within(*(leaf + end for end in ("_error", "_errors", "_bound", "_rounding")))
    return next((rule.tolerance for rule in TOLERANCES if fits(rule, command, name)), default)


def deviation_of_numbers(a, b, tolerance):
    """Of each, relative to what is tolerated; infinite where only one is NaN or infinite."""
    finite = np.isfinite(a) & np.isfinite(b)
    result = np.where(finite, tolerance(np.where(finite, a, 0), np.where(finite, b, 0)), np.inf)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, result)


def deviation_of_lines(a, b):
    """The largest of the numbers in them, relative to what is tolerated; infinite where words or whole numbers differ."""
    a, b = NUMBER.split(a), NUMBER.split(b)
    if a[::2] != b[::2]:
        return np.inf
    return max((deviation_of_printed(x, y, ERROR.search(before)) for before, x, y in zip(a[::2], a[1::2], b[1::2])), default=0)


def deviation_of_printed(a, b, is_error):
    """Of two numbers as they are printed."""
    if a == b:
        return 0.0
    if not re.search("[.e]", a + b):
        return np.inf
    digits = max(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
                 for mantissa, _, exponent in (a.partition("e"), b.partition("e")))
    a, b = float(a), float(b)
    deviation = abs(a - b) / max(1.01 * digits, TEXT_RELATIVE * max(abs(a), abs(b)), TEXT_ABSOLUTE)
    return min(deviation, float(factor()(a, b))) if is_error else deviation


class Comparison:
    """Of what a command left in two folders; `differences` are in words."""

    def __init__(self, command, bits, hidden):
        self.command, self.bits = command, bits
        self.hidden = hidden  # excuse -> how many differences it hid; a key once it fits anything
        self.differences, self.files, self.datasets = [], 0, 0
        self.largest, self.at = 0.0, ""

    def folders(self, before, after, inputs):
        files = [files_in(folder) - inputs for folder in (before, after)]
        self.pairs(*({name: None for name in names} for names in files))
        for name in sorted(files[0] & files[1]):
            if name.endswith(".h5"):
                self.files += 1
                self.file(name, contents(before / name), contents(after / name))
            else:
                texts = ((folder / name).read_text(errors="backslashreplace") for folder in (before, after))
                self.item(name, *(Value("text", [text]) for text in texts), {}, {})

    def pairs(self, before, after, prefix=""):
        """The names in both; those in one of them are differences."""
        for name in sorted(before.keys() ^ after.keys()):
            self.differences.append(f"{prefix}{name}: only {'before' if name in before else 'after'}")
        return sorted(before.keys() & after.keys())

    def file(self, file, before, after):
        groups = [groups_of(items) for items in (before, after)]
        for name in self.pairs(before, after, f"{file}:"):
            self.datasets += "@" not in name and before[name].kind != "group"
            self.item(f"{file}:{name}", before[name], after[name], *(group.get(name.rpartition("/")[0], {}) for group in groups))

    def item(self, name, a, b, *beside):
        """Compares two values, and again without what is excused."""
        differs = self.difference(name, a, b, beside)
        for excuse in EXCUSES + (not self.bits) * EXCUSES_WITHIN_TOLERANCES:
            if not fits(excuse, self.command, name):
                continue
            self.hidden.setdefault(excuse, 0)
            if differs and excuse.pattern:
                a, b = (Value(side.kind, [re.sub(excuse.pattern, "", text) for text in side.data]) for side in (a, b))
                less = self.difference(name, a, b, beside)
            else:
                less = None
            self.hidden[excuse] += differs is not None and less != differs
            differs = less
        if differs:
            deviation, words = differs
            self.differences.append(f"{name}: {words}")
            if deviation > self.largest:
                self.largest, self.at = deviation, name

    def difference(self, name, a, b, beside):
        """None, or (deviation relative to what is tolerated, in words)."""
        if a.kind != b.kind:
            return np.inf, f"{a.kind} before, {b.kind} after"
        texts = isinstance(a.data, list)
        if a.data == b.data if texts else a.data.tobytes() == b.data.tobytes():
            return None
        if texts:
            a, b = ([line for text in side.data for line in (*text.splitlines(keepends=True), "")] for side in (a, b))
            a, b = (lines + ["(no line)"] * (max(len(a), len(b)) - len(lines)) for lines in (a, b))
            deviations = np.array([deviation_of_lines(*pair) for pair in zip(a, b)])
            wrong = np.array([x != y for x, y in zip(a, b)]) if self.bits else deviations > 1
        else:
            shape = np.shape(a.data) or (1,)
            a, b = (side.data.reshape(shape) for side in (a, b))
            if a.dtype.kind != "f":
                deviations = np.where(a == b, 0, np.inf)
            else:
                tolerance = tolerance_of(self.command, name)
                with np.errstate(all="ignore"):
                    deviations = deviation_of_numbers(a, b, lambda *numbers: tolerance(*numbers, *beside))
            wrong = bits_differ(a, b) if self.bits else deviations > 1
        if not wrong.any():
            if deviations.max() > self.largest:
                self.largest, self.at = float(deviations.max()), name
            return None
        return float(deviations.max()), describe(a, b, wrong, deviations)


def bits_differ(a, b):
    a, b = (np.ascontiguousarray(side).view(np.uint8).reshape(*side.shape, -1) for side in (a, b))
    return (a != b).any(-1)


def describe(a, b, wrong, deviations):
    """How many entries differ, and the worst of them."""
    count = int(wrong.sum())
    place = tuple(int(i) for i in np.argwhere(wrong)[np.argmax(deviations[wrong])])
    if isinstance(a, list):
        x, y = (line[place[0]].rstrip("\n") for line in (a, b))
        start = max(0, len(os.path.commonprefix([x, y])) - WIDTH // 2)
        x, y = (repr(line[start : start + WIDTH]) for line in (x, y))
    else:
        x, y = (repr(side[place].item()) for side in (a, b))
    where = f"{count} of {wrong.size} differ, worst [{', '.join(map(str, place))}] " if wrong.size > 1 else ""
    return f"{where}{x} before, {y} after: {deviations[place]:.3g} x the tolerance"


# ---------------------------------------------------------------------------------------------------------------------
# The command line
# ---------------------------------------------------------------------------------------------------------------------


def tools_in(build):
    """Their names, but of the benchmark, which writes no results."""
    return {path.name for path in build.glob("basin-*") if path.is_file() and os.access(path, os.X_OK)} - {"basin-benchmark"}


def compare(name, builds, folder, bits, hidden):
    """The comparison of one command, and the seconds that it took in each build."""
    steps = [Step.of(text) for text in COMMANDS[name]]
    sides, seconds = [folder / side / name for side in ("before", "after")], []
    for build, side in zip(builds, sides):
        shutil.copytree(folder / "inputs", side)
        started = time.monotonic()
        run(build, steps, side)
        seconds.append(time.monotonic() - started)
    comparison = Comparison(name, bits, hidden)
    comparison.folders(*sides, files_in(folder / "inputs"))
    for number, step in enumerate(steps, 1):
        for side in sides:
            code = (side / f"{number}.exit").read_text().strip()
            if not re.fullmatch(r"-?\d+", code) or not step.ended(int(code)):
                comparison.differences.append(f"step {number} {side.parent.name}: ended with {code}, which it should not")
    return comparison, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="BIN_BEFORE", type=pathlib.Path, nargs="?", help="folder of the tools of one build")
    parser.add_argument("after", metavar="BIN_AFTER", type=pathlib.Path, nargs="?", help="of the other")
    parser.add_argument("--bits", action="store_true", help="equal bit for bit, not within tolerances")
    parser.add_argument("--only", metavar="NAME,...", default="*", help="these commands; patterns")
    parser.add_argument("--keep", metavar="DIR", type=pathlib.Path, help="keep the files in this folder, which is made")
    parser.add_argument("--list", action="store_true", help="list the commands and run nothing")
    options = parser.parse_args()
    unknown = [pattern for pattern in options.only.split(",") if not fnmatch.filter(COMMANDS, pattern)]
    if unknown:
        parser.error(f"--only {','.join(unknown)}: no such command; --list lists them")
    names = [name for name in COMMANDS if any(fnmatch.fnmatchcase(name, pattern) for pattern in options.only.split(","))]
    if options.list:
        for name in names:
            print(name, *COMMANDS[name], sep="\n  ")
        return 0
    if not options.after:
        parser.error("BIN_BEFORE and BIN_AFTER are needed")
    builds = [build.resolve() for build in (options.before, options.after)]
    for build in builds:
        if "basin-problem" not in tools_in(build):
            parser.error(f"{build}: no basin-problem there")
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep}: is there already")
    folder = options.keep.absolute() if options.keep else pathlib.Path(tempfile.mkdtemp(prefix="basin-compare-"))
    try:
        if error := make_inputs(builds[0], folder / "inputs"):
            parser.error(error)
        return compare_all(names, builds, folder, options)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def compare_all(names, builds, folder, options):
    hidden, failed, total, files, datasets = {}, [], [0.0, 0.0], 0, 0
    tools = [tools_in(build) for build in builds]
    for tool in sorted(tools[0] ^ tools[1]):
        failed.append(tool)
        print(f"{tool}: only {'before' if tool in tools[0] else 'after'}")
    for name in names:
        comparison, seconds = compare(name, builds, folder, options.bits, hidden)
        total = [sum(pair) for pair in zip(total, seconds)]
        files, datasets = files + comparison.files, datasets + comparison.datasets
        count = len(comparison.differences)
        verdict = f"{count} difference{'s' * (count != 1)}" if count else "ok"
        if comparison.largest > 0 and not (options.bits and not count):
            verdict += f"; at most {comparison.largest:.2g} x the tolerance ({comparison.at})"
        spent = f"{seconds[0]:.1f} and {seconds[1]:.1f} s"
        print(f"{name}: {comparison.files} files, {comparison.datasets} datasets, {spent}: {verdict}")
        for difference in comparison.differences[:SHOWN]:
            print(f"    {difference}")
        if count > SHOWN:
            print(f"    ... and {count - SHOWN} more")
        if count:
            failed.append(name)
        sys.stdout.flush()
        if not options.keep:
            for side in ("before", "after"):
                shutil.rmtree(folder / side / name)
    print("not compared, or only in part:")
    for excuse in EXCUSES + (not options.bits) * EXCUSES_WITHIN_TOLERANCES:
        if excuse in hidden or options.only == "*":
            used = f"{hidden[excuse]} differences" if excuse in hidden else "UNUSED: nothing has such a name"
            what = " ".join((excuse.commands, excuse.names, *([repr(excuse.pattern)] if excuse.pattern else [])))
            print(f"  {what}: {excuse.reason} ({used})")
    how = "bit for bit" if options.bits else "within tolerances"
    result = f"differences in {', '.join(failed)}" if failed else "all equal"
    print(f"{len(names)} commands, {files} files, {datasets} datasets in {total[0]:.0f} and {total[1]:.0f} s, {how}: {result}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
