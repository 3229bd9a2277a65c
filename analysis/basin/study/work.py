"""Running the tools: each result a file that is there when it is whole, so that a study that was stopped goes on."""
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import h5py


class StudyError(Exception):
    """The study cannot go on; the message is one line."""


class WrongInput(StudyError):
    """The command line or a file is not what it should be."""


WRONG = 2  # exit code of a tool whose input or command line is wrong


@contextmanager
def reading(path):
    """The open part of a study at `path`; what is raised where it is read, as it is not what it should be, names it."""
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, OSError) and (error.errno is not None or "write" in str(error)):
            raise  # of the disk, or of the file that is made from it
        raise WrongInput(f"{path}: damaged, or not a file of this study ({' '.join(str(error).split())}); delete it, and "
                         "--resume makes it anew") from error


class Tools:
    """The executables, in one folder."""

    def __init__(self, folder):
        self._folder = folder
        self._running = set()
        self._stopped = False

    def run(self, tool, *arguments, fine=lambda code, errors: code == 0):
        """Run a tool; its exit code and standard output. `fine`: whether it did what it was to do, by its exit code
        and what it said on standard error."""
        command = [str(self._folder / tool if self._folder else tool), *map(str, arguments)]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise WrongInput(f"{command[0]}: {error.strerror}; build the tools, or say where they are with "
                             "--bin DIR") from error
        self._running.add(process)
        if self._stopped:
            process.terminate()
        try:
            printed, errors = process.communicate()
        except BaseException:  # a signal, while this is the main thread
            process.terminate()
            process.wait()
            raise
        self._running.discard(process)
        if not fine(process.returncode, errors):
            lines = errors.strip().splitlines() or [f"exit code {process.returncode}"]
            kind = WrongInput if process.returncode == WRONG else StudyError
            raise kind(f"{lines[-1]} ({' '.join(command)})")
        return process.returncode, printed

    def stop(self):
        """End what runs; a tool's finished starts are in its journal."""
        self._stopped = True
        for process in list(self._running):
            process.terminate()


def find_tools(folder):
    """Tools in `folder`, in this project's build, or on the path."""
    built = Path(__file__).resolve().parents[2] / "build/release/bin"
    if folder:
        if not (Path(folder) / "basin-stationary").exists():
            raise WrongInput(f"--bin {folder}: found no basin-stationary there")
        return Tools(Path(folder))
    if shutil.which("basin-stationary"):
        return Tools(None)
    return Tools(built)


class Parts:
    """The folder of a study's parts beside its result."""

    def __init__(self, output, design, version, resume, overwrite):
        self.folder = output.with_name(output.stem + ".parts")
        plan = {"version": version, **design.options()}
        path = self.folder / "plan.json"
        if self.folder.is_dir() and not path.exists() and all(map(is_leftover, self.folder.iterdir())):
            remove_leftovers(self.folder)  # stopped before there was a plan
            self.folder.rmdir()
        if self.folder.exists() and overwrite and not resume:
            if not path.exists():
                raise WrongInput(f"{self.folder}: found no plan.json in it, will not delete it")
            shutil.rmtree(self.folder)
        if self.folder.exists():
            try:
                found = json.loads(path.read_text())
                if not isinstance(found, dict):
                    raise ValueError(f"found a {type(found).__name__}")
            except (OSError, ValueError, RecursionError) as error:
                raise WrongInput(f"{path}: expected the plan of a study ({getattr(error, 'strerror', None) or error})") from error
            if not resume:
                raise WrongInput(f"{self.folder}: found parts of a study; --resume goes on, --overwrite begins anew")
            if found != plan:
                other = next(key for key in {**found, **plan} if found.get(key) != plan.get(key))
                raise WrongInput(f"{self.folder}: found parts of another study ({other} = {found.get(other)}, now "
                                 f"{plan.get(other)}); give --overwrite or another -o")
            remove_leftovers(self.folder)
        else:
            self.folder.mkdir(parents=True)
            replace(path, lambda part: part.write_text(json.dumps(plan, indent=1)))

    def path(self, name):
        return self.folder / name


def is_leftover(path):
    """Whether a file was being made, by us or a tool, when that was killed; journals and checkpoints are not."""
    return path.name.startswith("made-") or (path.name.startswith(".") and ".part-" in path.name)


def remove_leftovers(folder):
    for path in folder.iterdir():
        if is_leftover(path):
            path.unlink()


def remove_journal(path):
    """What a tool keeps beside a result until that is there; it is."""
    for ending in (".journal", ".checkpoint"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def replace(path, write):
    """Let `write` make a file that appears under `path` when it is whole."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def each(jobs, items, work, stop, label, quiet):
    """Do `work` for all items, `jobs` at a time, with progress on standard error; `stop` ends what runs."""
    start, done, shown = time.monotonic(), 0, 0.0
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                future.result()
                done += 1
                spent = time.monotonic() - start
                if not quiet and (spent - shown > 1 or done == len(items)):
                    left = spent / done * (len(items) - done)
                    print(f"{label}: {done} of {len(items)}, {spent:.0f} s, about {left:.0f} s left",
                          file=sys.stderr, flush=True)
                    shown = spent
        except BaseException:
            for future in futures:
                future.cancel()
            stop()
            raise
