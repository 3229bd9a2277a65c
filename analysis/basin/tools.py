"""The command-line tools, run from Python."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from functools import lru_cache
from pathlib import Path

from . import native
from .words import in_python

WRONG_INPUT = 2


class Folder:
    """A temporary folder that is there for as long as this is."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="basin-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __truediv__(self, name):
        return os.path.join(self.path, name)


@lru_cache(maxsize=None)
def directory():
    """Where the tools are: beside the compiled part in its build, below the same prefix, or on PATH.

    Raises ImportError where they are not, or are of another version than the package.
    """
    module = native.module()
    here = Path(module.__file__).resolve().parent
    on_path = shutil.which("basin-hessian")
    places = [here.parent / "bin", here.parents[2] / "bin"] + ([Path(on_path).parent] if on_path else [])
    for place in places:
        if os.access(place / "basin-hessian", os.X_OK):
            said = subprocess.run([place / "basin-hessian", "--version"], capture_output=True, text=True, check=False)
            version = (said.stdout.split() + ["nothing"] * 2)[1]
            if version != module.__version__:
                raise ImportError(f"{place / 'basin-hessian'} is of version {version}, the package of {module.__version__}")
            return place
    raise ImportError(f"the tools (basin-hessian, ...) are in none of {', '.join(map(str, places))}")


def words_of(options):
    """Options of a tool as words of its command line: per_block=True -> --per-block, density=False -> nothing, lists and
    tuples -> several words, dictionaries -> NAME=VALUE."""
    words = []
    for name, value in options.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, dict):
            words += [f"{option}={key}={entry}" for key, entry in value.items()]
        elif isinstance(value, (list, tuple)):
            words += [option, *map(str, value)]
        else:
            words.append(f"{option}={value}")
    return words


def run(tool, words, progress=None):
    """Runs basin-`tool`, and returns what it says. `progress`: its lines go to stderr; None: on a terminal or in a notebook.

    An interrupt reaches the tool, which leaves what `resume` goes on from. Raises ValueError for wrong input and
    RuntimeError for work that failed, with what the tool says of it.
    """
    if progress is None:
        progress = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    command = [directory() / f"basin-{tool}", *words, "--threads", str(native.threads())]
    errors = []

    def listen(stream):
        for line in stream:
            errors.append(line)
            if progress:
                print(line, end="", file=sys.stderr, flush=True)

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", start_new_session=True) as process:
        listener = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
        listener.start()
        try:
            said = process.stdout.read()
            process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        finally:
            listener.join()
    if process.returncode != 0:
        reason = errors[-1].strip() if errors else f"ended with {process.returncode}"
        prefix = f"basin-{tool}: "
        reason = reason[len(prefix):] if reason.startswith(prefix) else reason
        kind = native.module().InputError if process.returncode == WRONG_INPUT else native.module().WorkError
        raise kind(in_python(reason))
    return said
