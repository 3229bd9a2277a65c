"""What the tests share: the real command, a scratch directory, figures of example files."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ANALYSIS = Path(__file__).resolve().parents[2] / "analysis"
COMMAND = ANALYSIS / "basin-plot"
sys.path.insert(0, str(ANALYSIS))

from forked import forked  # noqa: E402
from basin.pictures import cli, style  # noqa: E402
from basin.files import open_result  # noqa: E402

__all__ = ["ANALYSIS", "COMMAND", "FileCase", "figures"]

style.apply()


class FileCase(unittest.TestCase):
    """A test with a scratch directory of its own."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = Path(scratch.name)

    def path(self, name):
        return self.directory / name

    def files(self, directory=None):
        return sorted(os.listdir(directory or self.directory))

    def command(self, *arguments, python=(), cwd=None, variables=()):
        """Run basin-plot as users do; its finished process, with text output."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | dict(variables)
        return subprocess.run([*python, COMMAND, *arguments], cwd=cwd or self.directory, env=environment,
                              capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=60)

    def basin_plot(self, *arguments, cwd=None):
        """As command(), in a process that has matplotlib already: reading it in takes a second."""
        return forked(cli.main, arguments, cwd or self.directory)

    def assert_one_line(self, process, code, *parts):
        """The process failed with `code` and one line on stderr that has all the parts."""
        self.assertEqual(process.returncode, code, process.stderr)
        self.assertEqual(process.stderr.count("\n"), 1, process.stderr)
        for part in parts:
            self.assertIn(part, process.stderr)


def figures(path, scale="auto"):
    """Name -> figure of all pictures of a result file."""
    with open_result(path) as result:
        made = dict(cli.PICTURES[result.tool](result, scale))
        if result.tool in cli.MORE_PICTURES:
            made.update((name, draw()) for name, draw in cli.MORE_PICTURES[result.tool](result, scale))
        return made
