"""The command line of basin-study."""
import argparse
import datetime
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from ..pictures import style
from ..pictures.cli import Parser, write_all
from ..pictures.output import NoPicture
from ..files import ResultError, open_result
from ..pictures.study import pictures

from .catalogue import read_cell
from .claims import claims, pick
from .collect import write_study
from .design import BLOCKS, Design
from .measure import Measurement
from .results import SUBOPTIMAL, THRESHOLD, read_run, share_of, suboptimal_share
from .work import Parts, StudyError, WrongInput, each, find_tools, replace

DONE, FAILED, WRONG_INPUT = 0, 1, 2
DESCRIPTION = """Measure the claims of Song, Han, Zhang, Ding and Hong (NeurIPS 2024) on where descent ends: under a
softmax and a Gaussian kernel, at embedding dimensions D from below to above N n, for several sets of trained blocks,
with targets of a teacher of the same kernel (the global minimum is 0) and with random targets, from the same starts,
for several draws of data and teacher. From each start basin-stationary descends along the gradient flow, and judges the
end; from the first starts of each cell basin-train descends with steps after
which the loss is proven to fall; basin-slice looks around points that trap descent, under both kernels."""
EPILOG = """example:
  basin-study -o study.h5
writes study.h5, the pictures study_*.png and study_*.pdf, and prints what was found of each claim. The problems,
catalogues, runs and slices it is made of are in study.parts; a study that was stopped goes on with --resume.

exit code: 0 done, 1 the work failed, 2 wrong command line or wrong input"""


def main(arguments=None):
    """Run basin-study; the exit code."""
    options = parse(arguments)
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        study(options)
    except WrongInput as error:
        return complain(error, WRONG_INPUT)
    except (StudyError, ResultError, NoPicture) as error:
        return complain(error, FAILED)
    except OSError as error:
        return complain(f"{error.filename or options.output}: {error.strerror or error}", FAILED)
    except KeyboardInterrupt:
        parts = options.output.with_name(options.output.stem + ".parts")
        return complain(f"stopped; the same command with --resume goes on with what is in {parts}", FAILED)
    return DONE


def complain(error, code):
    """One line on stderr."""
    print(" ".join(f"basin-study: {error}".splitlines()), file=sys.stderr)
    return code


def parse(arguments):
    """The checked options."""
    parser = Parser(prog="basin-study", allow_abbrev=False, description=DESCRIPTION, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="STUDY.h5", help="the file to write")
    sizes = (("-N", "samples", 2, "samples"), ("-n", "tokens", 4, "tokens per sample"), ("-H", "heads", 2, "heads"),
             ("-d", "head-dim", 2, "dimension of a head"))
    for letter, name, default, text in sizes:
        parser.add_argument(letter, f"--{name}", type=positive, default=default, metavar=letter[1],
                            help=f"{text} (default: {default})")
    parser.add_argument("--outputs", type=positive, default=2, metavar="D_out", help="outputs per token (default: 2)")
    parser.add_argument("--widths", type=widths, default=(2, 4, 6, 8, 12, 16), metavar="LIST",
                        help="embedding dimensions D (default: 2,4,6,8,12,16)")
    parser.add_argument("--kernels", type=words("softmax", "gaussian"), default=("softmax", "gaussian"), metavar="LIST",
                        help="kernels (default: softmax,gaussian)")
    parser.add_argument("--targets", type=words("teacher", "random"), default=("teacher", "random"), metavar="LIST",
                        help="kinds of targets (default: teacher,random)")
    parser.add_argument("--train", type=blocks, action="append", metavar="BLOCKS",
                        help="trained blocks; repeatable (default: W_Q, W_Q,W_K and all). Blocks that are not trained "
                             "are the teacher's")
    parser.add_argument("--gain", type=scale, default=1.0, metavar="G",
                        help="factor on W_Q and W_K of teacher and starts (default: 1)")
    parser.add_argument("--more-gains", type=scales, default=(0.5, 2.0), metavar="LIST",
                        help="further ones, for teacher targets at the largest width (default: 0.5,2; none for none)")
    parser.add_argument("--problems", type=positive, default=20, metavar="K",
                        help="draws of data and teacher in each cell (default: 20)")
    parser.add_argument("--starts", type=positive, default=100, metavar="S", help="starts in each cell, shared out among its problems (default: 100)")
    parser.add_argument("--runs", type=positive, default=2, metavar="R",
                        help="descents on record with guaranteed steps in each cell (default: 2)")
    parser.add_argument("--steps", type=positive, default=300, metavar="T", help="their steps (default: 300)")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="seed of all random numbers (default: 0)")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, metavar="J",
                        help="cells at a time (default: all cores); the results do not depend on it")
    parser.add_argument("--bin", metavar="DIR", help="folder of the tools (default: the path, or this project's build)")
    parser.add_argument("--resume", action="store_true", help="go on with a study that was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the result and its parts if they exist")
    parser.add_argument("--no-pictures", action="store_true", help="leave the pictures to basin-plot")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    options = parser.parse_args(arguments)
    options.train = tuple(dict.fromkeys(options.train or ("W_Q", "W_Q,W_K", ",".join(BLOCKS))))
    options.command_line = shlex.join(["basin-study", *(sys.argv[1:] if arguments is None else arguments)])
    if options.problems > options.starts:
        parser.error(f"--problems {options.problems}: expected at most --starts, {options.starts}")
    if options.runs > options.problems:
        parser.error(f"--runs {options.runs}: expected at most --problems, {options.problems}")
    return options


def positive(text):
    return whole(text, 1)


def natural(text):
    return whole(text, 0)


def whole(text, least):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"found '{text}', expected a whole number from {least} on")
    return int(text)


def scale(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"found '{text}', expected a positive number")
    return value


def scales(text):
    return () if text == "none" else tuple(sorted({scale(part) for part in text.split(",")}))


def widths(text):
    return tuple(sorted({positive(part) for part in text.split(",")}))


def words(*allowed):
    def read(text):
        found = tuple(dict.fromkeys(text.split(",")))
        for word in found:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"found '{word}', expected some of {', '.join(allowed)}")
        return found
    return read


def blocks(text):
    if text == "all":
        return ",".join(BLOCKS)
    found = text.replace("+", ",").split(",")
    for block in found:
        if block not in BLOCKS:
            raise argparse.ArgumentTypeError(f"found '{block}', expected some of {', '.join(BLOCKS)}, or all")
    return ",".join(block for block in BLOCKS if block in found)


def study(options):
    """Do the work, write the result, say what was found."""
    if options.output.exists() and not options.overwrite:
        raise WrongInput(f"{options.output} exists; --overwrite replaces it")
    if not options.output.parent.is_dir():
        raise WrongInput(f"{options.output}: there is no directory {options.output.parent}")
    design = Design(options.samples, options.tokens, options.head_dim, options.heads, options.outputs, options.widths,
                    options.kernels, options.targets, options.train, options.gain,
                    tuple(gain for gain in options.more_gains if gain != options.gain), options.problems, options.starts,
                    options.runs, options.steps, options.seed)
    start, clock = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    tools = find_tools(options.bin)
    version = tools.run("basin-stationary", "--version")[1].strip()
    parts = Parts(options.output, design, version, options.resume, options.overwrite)
    work = Measurement(design, tools, parts)
    cells = design.cells()
    kinds = list({cell.kind: cell for cell in cells}.values())
    each(options.jobs, kinds, work.make_problems, tools.stop, "problems", options.quiet)
    each(options.jobs, cells, work.search, tools.stop, "cells", options.quiet)
    results = [read_cell(cell, *reversed(list(zip(*work.problems(cell))))) for cell in cells]
    each(options.jobs, work.runs(), work.descend, tools.stop, "descents", options.quiet)
    runs = [(read_run(run, work.run(run)), work.run(run)) for run in work.runs() if work.run(run).exists()]
    slices = work.slices(results)
    found = claims(design, results, [result for result, _ in runs])
    provenance = {"program": "basin-study", "version": version, "format_version": "1.0",
                  "command_line": options.command_line, "start_time": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                  "duration": time.monotonic() - clock, "seed": design.seed}
    replace(options.output, lambda part: write_study(part, design, results, runs, slices, found, provenance))
    print(f"suboptimal: {SUBOPTIMAL}")
    print(f"found at {design.sizes}; other sizes may differ")
    for claim in found:
        print(claim.text)
    print_table(design, results)
    if not options.no_pictures:
        style.apply()
        with open_result(options.output) as result:
            options.format, options.dpi = ("png", "pdf"), 300
            write_all(pictures(result, "auto"), options.output.with_suffix(""), options)


def print_table(design, results):
    """Shares of suboptimal ends, and of those above the threshold."""
    print(f"share of starts that end suboptimal, in % (95 % interval); share of those more than {100 * THRESHOLD:g} % above:")
    width = max(len(train) for train in design.train)
    header = "".join(f"  D = {D:<15d}" for D in sorted(design.widths))
    print(f"{'targets':8s} {'train':{width}s} {'kernel':9s}{header}".rstrip())
    for targets in design.targets:
        for train in design.train:
            for kernel in design.kernels:
                row = [(suboptimal_share([r]), share_of([r], lambda r: r.is_above_threshold).value)
                       for r in pick(results, targets=targets, train=train, kernel=kernel, gain=design.gain)]
                cells = "".join(f"  {f'{100 * s.value:.0f} ({100 * s.lower:.0f} to {100 * s.upper:.0f}); {100 * above:.0f}':<19s}"
                                for s, above in row)
                print(f"{targets:8s} {train:{width}s} {kernel:9s}{cells}".rstrip())
