#!/usr/bin/python3
"""Runs the same commands with the tools of two builds, and compares all that they write, print and end with.

    tests/compare.py BIN_BEFORE BIN_AFTER [--bits] [--only NAME,...] [--keep DIR] [--list]

For a change that should change nothing: --bits, every dataset, attribute and printed line bit for bit. For one that should
change nothing but rounding: without, within tolerances. These, and what is not compared, are in comparison/tolerances.py, one
by one, each with its reason; what was not compared is listed at the end with how much it hid. The commands are in
comparison/commands.py; the problems that they start from are made once, by BIN_BEFORE, so that a difference is named where it
arises; basin-study is that of this checkout. --only takes patterns, say 'hessian-*'; --keep keeps the files. Exit code: 0 all
equal, 1 something differs, 2 wrong usage.
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
from typing import NamedTuple

import h5py
import numpy as np

from comparison.commands import COMMANDS, INPUTS
from comparison.tolerances import (ERROR, EXCUSES, EXCUSES_WITHIN_TOLERANCES, NUMBER, TEXT_ABSOLUTE, TEXT_RELATIVE, TOLERANCES,
                                   factor, within)

ROOT = pathlib.Path(__file__).resolve().parents[1]

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
    shutil.copy(ROOT / "data/classifier.json", folder)
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
