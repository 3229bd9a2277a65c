"""basin-study with the real tools, in small."""
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy as np

from support import BIN, ROOT, ToolTest, many_runs

sys.path += [str(ROOT / "tests/analysis"), str(ROOT / "analysis")]
from forked import forked  # noqa: E402
from basin.study.cli import main  # noqa: E402

STUDY = ROOT / "analysis/basin-study"
SMALL = ("-N", "2", "-n", "2", "-H", "1", "-d", "2", "--outputs", "1", "--widths", "4", "--problems", "2", "--starts", "4", "--runs", "1",
         "--steps", "10", "--train", "W_Q", "--train", "all", "--more-gains", "2", "--no-pictures", "--bin", str(BIN))


def numbers(path):
    """Name -> values of all numbers but those that say when and how long."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and "provenance" not in name:
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


class Study(ToolTest):
    def study(self, *arguments):
        return subprocess.run([STUDY, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def assert_same(self, first, second):
        first, second = numbers(self.path(first)), numbers(self.path(second))
        self.assertEqual(first.keys(), second.keys())
        for name, values in first.items():
            np.testing.assert_array_equal(values, second[name], name)

    @many_runs
    def test_small_study(self):
        done = self.study("-o", "study.h5", *SMALL, "--jobs", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("with the steps that theory allows, the guaranteed rate is never violated: not refuted", done.stdout)
        self.assertIn("cells: 12 of 12", done.stderr)
        self.assertRegex(done.stdout, "found at N = [0-9]+, n = [0-9]+, H = [0-9]+, d = [0-9]+, D_out = [0-9]+; other sizes may differ")
        with h5py.File(self.path("study.h5")) as file:
            entry = file["entry"]
            self.assertEqual(len(entry["starts"]), 12)
            self.assertTrue((entry["cells/starts"][()] == 4).all())
            tables = {name: table for name, table in entry["starts"].items() if "teacher" in name}
            for table in tables.values():  # the teacher is one of the model's points
                self.assertTrue((table["lowest_loss"][()] == 0).all() and table["lowest_is_global"][()].all())
            self.assertIn(b"certificate", entry["runs/kind"][()])
            self.assertTrue((entry["runs/guaranteed_steps"][()] > 0).all())
            seeds = [tables[f"{kernel}-teacher-D4-gain1-W_Q"]["seed"][()] for kernel in ("softmax", "gaussian")]
            np.testing.assert_array_equal(*seeds)
            self.assertEqual(len(set(seeds[0])), 4)

    # A study of seconds, with a slice around a trap.
    TINY = ("-N", "1", "-n", "3", "-H", "1", "-d", "1", "--outputs", "1", "--widths", "3", "--problems", "1", "--starts", "8",
            "--runs", "1", "--steps", "200", "--train", "W_Q", "--targets", "teacher", "--kernels", "gaussian", "--gain", "2",
            "--more-gains", "none", "--no-pictures", "--jobs", "1", "--seed", "1", "--quiet")

    def tools_of_which_one_kills(self, victim, waits_for):
        """A folder of the tools; VICTIM, once there is something in its file *WAITS_FOR, kills itself and the study."""
        folder = self.path(f"bin-{victim}-{waits_for}")
        folder.mkdir()
        for tool in BIN.glob("basin-*"):
            (folder / tool.name).symlink_to(tool)
        (folder / victim).unlink()
        (folder / victim).write_text(f"""#!/bin/bash
{BIN / victim} "$@" & tool=$!
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; [ "$1" = --version ] && {{ wait; exit; }}; shift; done
until [ -s "$out{waits_for}" ] || ! kill -0 $tool 2>/dev/null; do :; done
kill -9 $tool; wait $tool 2>/dev/null; kill -9 $PPID
""")
        (folder / victim).chmod(0o755)
        return folder

    @many_runs
    def test_a_study_that_was_killed_goes_on(self):
        """Killed with a catalogue, a descent, a slice half done, or just whole: the numbers of a study in one piece, two jobs
        at a time, and nothing is left over."""
        done = self.study("-o", "study.h5", *self.TINY, "--bin", BIN, "--jobs", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(list(self.path("study.parts").glob("slice-*.h5")), "choose a seed with a trap")
        for place, kill in enumerate((("basin-stationary", ".journal"), ("basin-train", ".journal"), ("basin-train", ""),
                                      ("basin-slice", ".journal"))):
            killed = self.study("-o", "again.h5", *self.TINY, "--bin", self.tools_of_which_one_kills(*kill),
                                *(["--resume"] if place else []))
            self.assertEqual(killed.returncode, -signal.SIGKILL, killed.stderr)
            self.assertFalse(self.path("again.h5").exists())
        for name in (".catalogue-x.h5.part-1-2", ".run-x.h5.journal.part-12-ab", "made-x.h5"):
            self.path("again.parts/" + name).touch()
        self.assertEqual(self.study("-o", "again.h5", *self.TINY, "--bin", BIN).returncode, 2)  # without --resume
        done = self.study("-o", "again.h5", *self.TINY, "--bin", BIN, "--resume")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_same("study.h5", "again.h5")
        names = [sorted(path.name for path in self.path(folder).iterdir()) for folder in ("study.parts", "again.parts")]
        self.assertEqual(*names)

    def test_a_study_that_was_killed_before_its_plan_begins(self):
        self.path("study.parts").mkdir()
        self.path("study.parts/.plan.json.part-12-ab").touch()
        done = self.study("-o", "study.h5", *self.TINY, "--bin", BIN, "--resume")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual([path.name for path in self.path("study.parts").glob(".*")], [])

    @many_runs
    def test_damaged_parts_are_named(self):
        self.assertEqual(self.study("-o", "study.h5", *self.TINY, "--bin", BIN).returncode, 0)
        self.path("study.h5").unlink()
        parts = self.path("study.parts")

        def cut(path):
            path.write_bytes(path.read_bytes()[:3000])

        def without(name):
            def change(path):
                with h5py.File(path, "r+") as file:
                    del file[name]
            return change

        def instead(name, value):
            def change(path):
                with h5py.File(path, "r+") as file:
                    del file[name]
                    file[name] = value
            return change

        cases = [("catalogue", change) for change in (cut, without("entry/starts/seed"), instead("entry/starts/verdict", 3.0),
                                                      instead("entry/starts/loss", [1.0]), without("entry/catalogue/lowest_loss"),
                                                      instead("entry/catalogue/lowest_loss", h5py.Empty(float)),
                                                      lambda path: path.write_text("no HDF5"))]
        cases += [("run", cut), ("run", without("entry/run/loss")), ("run", instead("entry/run/measured_rate", [1.0])),
                  ("run", instead("entry/guaranteed_steps", [3, 4])), ("problem", cut), ("problem", without("data/Y")),
                  ("slice", cut), ("slice", without("entry/slice"))]
        for kind, change in cases:
            path = next(iter(parts.glob(f"{kind}-*.h5")))
            whole = path.read_bytes()
            change(path)
            self.refused(2, f"{parts.name}/{path.name}: damaged", "basin-study", "-o", "study.h5", *self.TINY, "--bin", BIN, "--resume")
            path.write_bytes(whole)
        plan = parts / "plan.json"
        whole = plan.read_text()
        for text in ("[]", "3", "", "{", '"study"', "\udcff"):
            plan.write_text(text, errors="surrogateescape")
            self.refused(2, "study.parts/plan.json: expected the plan of a study", "basin-study", "-o", "study.h5", *self.TINY, "--bin", BIN,
                         "--resume")
        plan.write_text(whole)
        catalogue = next(iter(parts.glob("catalogue-*.h5")))
        catalogue.unlink()  # as the message says
        self.assertEqual(self.study("-o", "study.h5", *self.TINY, "--bin", BIN, "--resume").returncode, 0)

    def refused(self, code, message, tool, *args, **kwargs):
        """As of the tools; basin-study is not one of them."""
        process = forked(main, [str(argument) for argument in args], self.folder)
        self.assertEqual((process.returncode, process.stdout), (code, ""), process.stderr)
        self.assertEqual(process.stderr.count("\n"), 1, process.stderr)
        self.assertTrue(process.stderr.startswith(f"{tool}: {message}"), process.stderr)

    def test_signals_say_how_to_go_on_and_leave_no_tool_behind(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            name = f"s{number:d}"
            process = subprocess.Popen([STUDY, "-o", f"{name}.h5", *SMALL, "--quiet", "--jobs", "2", "--steps", "1000000"],
                                       cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            while not list(self.path(".").glob(f"{name}.parts/*.journal")) and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            self.assertEqual((process.returncode, errors),
                             (1, f"basin-study: stopped; the same command with --resume goes on with what is in {name}.parts\n"))
            self.assertFalse([command for command in self.running() if f"{name}.parts".encode() in command])

    def running(self):
        """The command lines of the processes in the folder of the test."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").resolve() == self.folder.resolve():
                    yield (process / "cmdline").read_bytes()
            except OSError:  # it has ended, or is another user's
                pass

    def test_a_tool_that_fails_is_named(self):
        done = self.study("-o", "study.h5", *SMALL, "--bin", "/usr/bin")
        self.assertEqual(done.returncode, 2)
        self.assertIn("found no basin-stationary there", done.stderr)


if __name__ == "__main__":
    unittest.main()
