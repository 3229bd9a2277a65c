"""basin-study with the real tools, in small."""
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, ROOT, ToolTest, many_runs

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
    def test_small_study_whole_and_in_pieces(self):
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
        # Interrupted, gone on with, and one job at a time: the same.
        process = subprocess.Popen([STUDY, "-o", "again.h5", *SMALL, "--jobs", "1"], cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not list(self.path(".").glob("again.parts/catalogue-*.h5")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertIn("--resume goes on", process.stderr.read().splitlines()[-1])
        process.stderr.close()
        self.assertFalse(self.path("again.h5").exists())
        self.assertEqual(self.study("-o", "again.h5", *SMALL, "--jobs", "1").returncode, 2)
        done = self.study("-o", "again.h5", *SMALL, "--jobs", "1", "--resume", "--quiet")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assert_same("study.h5", "again.h5")

    def test_a_tool_that_fails_is_named(self):
        done = self.study("-o", "study.h5", *SMALL, "--bin", "/usr/bin")
        self.assertEqual(done.returncode, 2)
        self.assertIn("found no basin-stationary there", done.stderr)


if __name__ == "__main__":
    unittest.main()
