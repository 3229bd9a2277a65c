"""What the tools answer, of a point: each function runs one tool, with the same bits, and returns what `basin.read` reads.

    h = basin.hessian(point, largest=3, counts=True)
    h                                     # the tool's own words, the verdict first
    h.largest.eigenvalue                  # a field of the file
    h.plot()

Options are those of the tool, with _ for -: `modulo_symmetries=True` is --modulo-symmetries; a list stands for several
words, a dictionary for NAME=VALUE; `basin-hessian --help` has them all. Common to all:

    point: a `Point`, or the path of a problem file.
    output: the path of the result file, which must not be there (but for `overwrite=True`); None: a file that lasts as long as
        the result.
    progress: True or False; None: on a terminal or in a notebook. Ctrl-C stops the tool; with `output` and where the
        tool has it, `resume=True` goes on.

They raise ValueError for wrong input and RuntimeError for work that failed, with the words of the tool.
"""
import os

from . import tools
from .points import Point, load_temporary
from .results import read


def evaluate(point, *, output=None, progress=None, **options):
    """Loss, gradient and outputs of the point, with what rounding does to them: basin-evaluate."""
    return _run("evaluate", point, output, progress, options)


def hessian(point, *, output=None, progress=None, **options):
    """The spectrum of the Hessian: basin-hessian. largest, smallest: so many eigenvalues; counts, density, norms, full: True;
    per_block: True, a pattern or a list of patterns: then all these are of each block, in the table `per_block`, and not
    of the whole matrix."""
    return _run("hessian", point, output, progress, options)


def ntk(point, *, output=None, progress=None, **options):
    """The ends of the neural tangent kernel, and the conditions that they hang on: basin-ntk."""
    return _run("ntk", point, output, progress, options)


def slice(point, *, output=None, progress=None, **options):  # noqa: A001  the name of the tool
    """The loss on a plane around the point: basin-slice. x, y: "-1:1:41", from, to, number of points."""
    return _run("slice", point, output, progress, options)


def train(point, *, output=None, progress=None, **options):
    """Full-batch descent from the point: basin-train. The result's `point` is where it ended."""
    folder = tools.Folder()
    final = os.fspath(options.setdefault("final", folder / "final.h5"))
    result = _run("train", point, output, progress, options)
    if final.endswith(".h5"):
        result.point = load_temporary(final, train=point.trained if isinstance(point, Point) else options.get("train"))
    return result


def stationary(point, *, output=None, progress=None, **options):
    """Where descent from many starts ends, and what these points are: basin-stationary."""
    return _run("stationary", point, output, progress, options)


def _run(tool, point, output, progress, options):
    folder = tools.Folder()
    problem = point
    if isinstance(point, Point):
        problem = point.same_file()
        if problem is None:
            problem = folder / "problem.h5"
            point.save(problem)
        if len(point.trained) < len(point.blocks):
            if "train" in options:
                raise ValueError("train=: the point says which blocks are trained; see with_trainable")
            options["train"] = ",".join(point.trained)
    path = folder / "result.h5" if output is None else os.fspath(output)
    tools.run(tool, [problem, "-o", path, *tools.words_of(options)], progress)
    return read(path, folder if output is None else None)
