"""Progress of long work, where somebody may be watching."""
import sys
import time

_QUIET = 2.0  # seconds of work that nobody needs to hear about


def shown(progress):
    """A function of (done, total) for `progress`: such a function, True, False, or None: on a terminal or in a notebook."""
    if callable(progress):
        return progress
    if progress is None:
        progress = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    return _Line() if progress else None


class _Line:
    """A line on stderr that is written over."""

    def __init__(self):
        self._start = time.monotonic()
        self._written = False

    def __call__(self, done, total):
        seconds = time.monotonic() - self._start
        if seconds >= _QUIET and done < total:
            left = seconds * (total - done) / done
            print(f"\rbasin: {done} of {total} ({100 * done // total} %), about {left:.0f} s left   ", end="",
                  file=sys.stderr, flush=True)
            self._written = True
        elif self._written:
            print("\r" + " " * 70 + "\r", end="", file=sys.stderr, flush=True)
            self._written = False
