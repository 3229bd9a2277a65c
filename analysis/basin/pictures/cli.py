"""The command line of basin-plot."""
import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from . import comparison, evaluation, hessian, ntk, samples, slice, stationary, study, style, sweep, train
from .output import NoPicture, check_replaceable, write
from ..files import ResultError, open_result

PICTURES = {
    "basin-evaluate": evaluation.pictures,
    "basin-hessian": hessian.pictures,
    "basin-ntk": ntk.pictures,
    "basin-slice": slice.pictures,
    "basin-stationary": stationary.pictures,
    "basin-study": study.pictures,
    "basin-sweep": sweep.pictures,
    "basin-train": train.pictures,
    "problem": samples.pictures,  # a problem file, not a result
}
MORE_PICTURES = {"basin-sweep": sweep.more_pictures}  # which --all asks for
EPILOG = """example:
  basin-slice problem.h5 -o slice.h5
  basin-plot slice.h5 --format pdf
writes slice_contour.pdf and slice_surface.pdf. Pictures of the same names are replaced, other files never

exit code: 0 done, 1 the work failed, 2 wrong command line or wrong input"""
FORMATS = ("png", "pdf", "svg")
DONE, FAILED, WRONG_INPUT = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line."""

    def error(self, message):
        self.exit(WRONG_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments=None):
    """Run basin-plot; the exit code is 0 done, 1 the work failed, 2 wrong command line or input."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
        stream.reconfigure(errors="surrogateescape")  # file names need not be text
    options = parse(arguments)
    style.apply()
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        if options.compare:
            return compare(options)
        return max([plot(path, options) for path in options.results])
    except KeyboardInterrupt:
        return complain(options.results[0], "stopped; the pictures whose paths were printed are whole", FAILED)


def parse(arguments):
    """The checked options."""
    parser = Parser(prog="basin-plot", allow_abbrev=False, epilog=EPILOG,
                    formatter_class=argparse.RawDescriptionHelpFormatter,
                    description="Draw the pictures of Basin result files; print the path of each picture.")
    parser.add_argument("results", nargs="+", metavar="RESULT.h5", help="result file of any Basin tool, or a problem file of pictures")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path,
                        help="directory for the pictures, made if missing (default: beside each result)")
    parser.add_argument("--format", type=formats, default=["png", "pdf"], metavar="LIST",
                        help="comma separated: png, pdf, svg (default: png,pdf)")
    parser.add_argument("--dpi", type=dpi, default=300, metavar="N",
                        help="pixels per inch of png, and of pixel parts in pdf and svg (default: 300)")
    parser.add_argument("--all", action="store_true",
                        help="every picture: of a sweep also where each condition holds")
    parser.add_argument("--compare", action="store_true",
                        help="one picture instead: the slices side by side with the same scales")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--log", dest="scale", action="store_const", const="log",
                       help="logarithmic scale of loss, eigenvalues, gradient (default: by the data's range)")
    scale.add_argument("--linear", dest="scale", action="store_const", const="linear", help="linear scale")
    parser.set_defaults(scale="auto")
    options = parser.parse_args(arguments)
    stems = [stem(path, options.output) for path in options.results]
    for first, second in ((a, b) for i, a in enumerate(stems) for b in stems[:i]):
        if first == second:
            parser.error(f"two result files would write the same pictures {first}_*")
    if options.output and options.output.exists() and not options.output.is_dir():
        parser.error(f"--output {options.output} is not a directory")
    return options


def formats(text):
    """The list of formats in a comma separated text."""
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"found '{name}', expected some of {', '.join(FORMATS)}")
    return names


def dpi(text):
    """A resolution that a picture can have."""
    if not text.isdecimal() or not 50 <= int(text) <= 1200:
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number from 50 to 1200")
    return int(text)


def stem(path, directory):
    """Where the pictures of the result at `path` go, without the part that names the picture."""
    return (directory or Path(path).parent) / Path(path).stem


def pictures_of(result, scale):
    """The (name, figure) of each picture, and the (name, function that draws it) of those that --all asks for."""
    if result.tool not in PICTURES:
        raise ResultError(f"found a result of {result.tool}, expected one of {', '.join(PICTURES)}")
    figures = PICTURES[result.tool](result, scale)
    return figures, MORE_PICTURES[result.tool](result, scale) if result.tool in MORE_PICTURES else []


def plot(path, options):
    """Draw and write the pictures of one result file; the exit code."""
    try:
        with open_result(path, ("result", "problem")) as result:
            figures, more = pictures_of(result, options.scale)
            if options.all:
                figures += [(name, draw()) for name, draw in more]
        write_all(figures, stem(path, options.output), options)
        if more and not options.all:
            announce(f"left out: {', '.join(name for name, _ in more)}; --all draws them, too")
    except (ResultError, NoPicture) as error:
        return complain(path, error, WRONG_INPUT)
    except OSError as error:
        return complain(path, cannot_write(error), FAILED)
    except Exception as error:  # not foreseen: still one line, and the other files get their turn
        return complain(path, f"cannot be drawn: {type(error).__name__}: {error}", FAILED)
    return DONE


def compare(options):
    """Draw and write the comparison of all result files, beside the first; the exit code."""
    path = options.results[0]
    try:
        with ExitStack() as stack:
            results = [stack.enter_context(open_result(path)) for path in options.results]
            for path, result in zip(options.results, results):
                if result.tool != "basin-slice":
                    raise ResultError(f"found a result of {result.tool}, expected one of basin-slice for --compare")
                comparison.read(result)  # so that the file is named that is wrong
            path = options.results[0]
            figure = comparison.draw(results, options.scale)
        write_all([("comparison", figure)], stem(path, options.output), options)
    except (ResultError, NoPicture) as error:
        return complain(path, error, WRONG_INPUT)
    except OSError as error:
        return complain(path, cannot_write(error), FAILED)
    except Exception as error:
        return complain(path, f"cannot be drawn: {type(error).__name__}: {error}", FAILED)
    return DONE


def write_all(figures, base, options):
    """Write each (name, figure) in every format, to paths that start with `base`; print the paths."""
    os.makedirs(base.parent, exist_ok=True)
    planned = [(figure, base.with_name(f"{base.name}_{name}.{ending}")) for name, figure in figures for ending in options.format]
    for _, path in planned:
        check_replaceable(path)
    for figure, path in planned:
        announce(write(figure, path, options.dpi))


def announce(text):
    """A line on stdout, at once."""
    try:
        print(text, flush=True)
    except OSError as error:
        sys.stdout = None  # or it is tried again at the end
        raise OSError(error.errno, error.strerror, "standard output") from error


def cannot_write(error):
    """An OSError in words: what could not be written, and why."""
    return f"cannot write {error.filename or 'the pictures'}: {error.strerror or error}"


def complain(path, error, code):
    """One line on stderr."""
    print(" ".join(f"basin-plot: {path}: {error}".splitlines()), file=sys.stderr)
    return code
