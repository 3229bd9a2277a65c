"""Files of a run: they appear whole, where they are asked for, and nothing that is there is lost."""

import os
import resource
import signal
import stat
import subprocess
import time
import unittest

import h5py
import numpy as np
from support import BIN, ToolTest, many_runs, run, wait_for_record

# Calls that an old kernel, a file system or a sandbox does not have: errno from the environment.
MISSING_CALLS = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
static int refuse(const char* name) { const char* e = getenv(name); return e ? errno = atoi(e) : 0; }
int renameat2(int a, const char* b, int c, const char* d, unsigned f) { refuse("RENAME2"); return -1; }
int link(const char* a, const char* b) { refuse("LINK"); return -1; }
int fsync(int fd) { return refuse("FSYNC") ? -1 : 0; }
"""


def start(tool, *args, cwd):
    return subprocess.Popen([str(BIN / tool), *map(str, args)], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


class Whole(ToolTest):
    def setUp(self):
        super().setUp()
        self.problem()

    def evaluate(self, output, *args, **kwargs):
        return run("basin-evaluate", "problem.h5", "-o", output, *args, cwd=self.folder, **kwargs)

    def test_through_links(self):
        self.path("scratch").mkdir()
        os.symlink("scratch/result.h5", self.path("link.h5"))  # dangling
        self.done("basin-evaluate", "problem.h5", "-o", "link.h5")
        self.assertTrue(self.path("link.h5").is_symlink())
        first = self.path("scratch/result.h5").read_bytes()
        self.refused(2, "link.h5: exists already", "basin-evaluate", "problem.h5", "-o", "link.h5")
        os.symlink("link.h5", self.path("second.h5"))
        self.done("basin-evaluate", "problem.h5", "-o", "second.h5", "--overwrite", "--random", 2)
        self.assertTrue(self.path("link.h5").is_symlink() and self.path("second.h5").is_symlink())
        self.assertNotEqual(self.path("scratch/result.h5").read_bytes(), first)
        os.symlink("b.h5", self.path("a.h5"))
        os.symlink("a.h5", self.path("b.h5"))
        self.refused(2, "a.h5: symbolic links that lead round in a circle", "basin-evaluate", "problem.h5", "-o", "a.h5")
        os.symlink("gone/x.h5", self.path("c.h5"))
        self.refused(2, "c.h5: there is no folder gone", "basin-evaluate", "problem.h5", "-o", "c.h5")
        self.assertEqual([p.name for p in self.path("scratch").iterdir()], ["result.h5"])

    def test_permissions_stay(self):
        for mode in (0o600, 0o640, 0o664):
            self.path("r.h5").write_bytes(b"")
            os.chmod(self.path("r.h5"), mode)
            self.done("basin-evaluate", "problem.h5", "-o", "r.h5", "--overwrite")
            self.assertEqual(stat.S_IMODE(self.path("r.h5").stat().st_mode), mode)

    def test_the_longest_names(self):
        for name in ("x" * 252 + ".h5", "x" * 240 + ".h5", "\u00e9" * 127, "x" * 235):
            self.assertEqual(self.evaluate(name).returncode, 0)
            self.assertTrue(h5py.is_hdf5(self.path(name)))
            trained = ("problem.h5", "-o", name, "--overwrite", "--steps", 3)
            self.done("basin-train", *trained)
            self.done("basin-train", *trained, "--resume")
            self.no_leftovers("problem.h5", name)
            os.remove(self.path(name))
        self.refused(2, ": File name too long", "basin-evaluate", "problem.h5", "-o", "x" * 256)

    def test_calls_that_a_system_does_not_have(self):
        self.path("calls.c").write_text(MISSING_CALLS)
        subprocess.run(["g++", "-xc", "-shared", "-fPIC", "-o", "calls.so", "calls.c"], cwd=self.folder, check=True)
        environment = dict(os.environ, LD_PRELOAD=str(self.path("calls.so")))
        if "BASIN_SANITIZED" in os.environ:
            environment["ASAN_OPTIONS"] = "verify_asan_link_order=0"
        for number in (22, 38, 95, 1):  # EINVAL, ENOSYS, EOPNOTSUPP, EPERM
            environment.update(RENAME2=str(number), LINK=str(number), FSYNC=str(number))
            process = self.evaluate(f"{number}.h5", env=environment)
            self.assertEqual((process.returncode, process.stderr), (0, ""))
            self.assertTrue(h5py.is_hdf5(self.path(f"{number}.h5")))
        environment["FSYNC"] = "5"  # EIO is a failure
        process = self.evaluate("r.h5", env=environment)
        self.assertEqual(process.returncode, 1)
        self.assertIn("r.h5: cannot be written: Input/output error", process.stderr)
        self.assertFalse([p.name for p in self.folder.iterdir() if ".part-" in p.name or p.name == "r.h5"])

    def test_a_full_disk_leaves_nothing(self):
        self.done("basin-slice", "problem.h5", "-o", "1.h5", "--part", "1/2", "--x", "-1:1:5", "--y", "-1:1:5")
        self.done("basin-slice", "problem.h5", "-o", "2.h5", "--part", "2/2", "--x", "-1:1:5", "--y", "-1:1:5")
        self.done("basin-stationary", "problem.h5", "-o", "3.h5", "--starts", 2, "--train", "W_O")
        self.done("basin-stationary", "problem.h5", "-o", "4.h5", "--starts", 2, "--train", "W_O", "--seed", 1)
        here = {p.name for p in self.folder.iterdir()}
        for command in (["basin-problem", "teacher"], ["basin-evaluate", "problem.h5"], ["basin-hessian", "problem.h5", "--full"],
                        ["basin-slice", "merge", "1.h5", "2.h5"], ["basin-stationary", "merge", "3.h5", "4.h5"]):
            for limit in (0, 100, 2000, 9000):
                self.refused(1, "x.h5: ", command[0], *command[1:], "-o", "x.h5", "-q",
                             preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
                self.assertEqual({p.name for p in self.folder.iterdir()}, here, (command, limit))

    def test_what_another_program_made_in_the_meantime(self):
        self.done("basin-problem", "teacher", "-o", "large.h5", "-D", 48)
        process = start("basin-ntk", "large.h5", "-o", "r.h5", "--method", "dense", cwd=self.folder)
        seen = 0  # times in a row: that the place can be written is tried with such a file, too, for a moment
        while seen < 20:
            seen = seen + 1 if any(".part-" in p.name for p in self.folder.iterdir()) else 0
            time.sleep(0.001)
        self.path("r.h5").write_text("precious")
        message = process.communicate()[1]
        self.assertEqual(process.returncode, 1)
        self.assertIn("r.h5: another program has made it in the meantime; this result is in r.h5.2", message)
        self.assertEqual(self.path("r.h5").read_text(), "precious")
        self.assertTrue(h5py.is_hdf5(self.path("r.h5.2")))

    def test_what_killed_runs_left_goes_with_the_next(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        for name in (f".r.h5.part-{ended.pid}", f".r.h5.part-{ended.pid}-0123abcd"):
            self.path(name).write_bytes(b"partial")
        kept = (f".r.h5.part-{os.getpid()}-0123abcd", ".r.h5.part-mine", f".other.h5.part-{ended.pid}-0123abcd")
        for name in kept:
            self.path(name).write_bytes(b"of somebody who is alive, or of another file")
        self.done("basin-evaluate", "problem.h5", "-o", "r.h5")
        self.no_leftovers("problem.h5", "r.h5", *kept)


class InputsAndOutputs(ToolTest):
    def test_an_input_is_never_an_output(self):
        self.problem()
        self.problem("other.h5", seed=1)
        self.done("basin-train", "problem.h5", "-o", "run.h5", "--steps", 3)
        with h5py.File(self.path("v.h5"), "w") as file:
            file["v"] = np.ones((sum(v.size for v in self.weights().values())))
        self.path("options.cfg").write_text("seed = 1\n")
        np.save(self.path("X.npy"), np.ones((2, 3, 4)))
        np.save(self.path("Y.npy"), np.ones((2, 3, 1)))
        self.path("reviews/pos").mkdir(parents=True)
        self.path("reviews/neg").mkdir(parents=True)
        for sign in ("pos", "neg"):
            self.path(f"reviews/{sign}/1.txt").write_text("a film to see")
        os.symlink("other.h5", self.path("symbolic.h5"))
        os.link(self.path("other.h5"), self.path("hard.h5"))
        before = {p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}
        grid = ("--x", "0:1:2", "--y", "0:1:2")
        for output, *command in (
                ("problem.h5", "basin-ntk", "problem.h5"),
                ("other.h5", "basin-slice", "problem.h5", "--to", "other.h5", *grid),
                ("symbolic.h5", "basin-slice", "problem.h5", "--to", "other.h5", *grid),
                ("hard.h5", "basin-slice", "problem.h5", "--to", "other.h5", *grid),
                ("run.h5", "basin-slice", "problem.h5", "--trajectory", "run.h5", "--u", "pca:1", *grid),
                ("v.h5", "basin-slice", "problem.h5", "--u", "v.h5:/v", *grid),
                ("v.h5", "basin-evaluate", "problem.h5", "--direction", "v.h5:/v"),
                ("other.h5", "basin-stationary", "problem.h5", "--at", "other.h5"),
                ("run.h5", "basin-stationary", "problem.h5", "--from", "run.h5:/trajectory/theta:0"),
                ("options.cfg", "basin-evaluate", "problem.h5", "--config", "options.cfg"),
                ("X.npy", "basin-problem", "import", "--X", "X.npy", "--Y", "Y.npy"),
                ("reviews/pos/1.txt", "basin-problem", "text", "reviews"),
                ("reviews/neg/1.txt", "basin-sweep", "text", "reviews", "--sweep", "D=4"),
                ("run.h5", "basin-slice", "merge", "run.h5", "other.h5"),
                ("run.h5", "basin-stationary", "merge", "other.h5", "run.h5"),
                ("run.h5", "basin-sweep", "merge", "other.h5", "run.h5")):
            self.refused(2, f"{output}: is read as --", command[0], *command[1:], "-o", output, "--overwrite")
        self.refused(2, "other.h5: is read as --at other.h5; give another name with --escape", "basin-stationary", "problem.h5", "--at", "other.h5",
                     "-o", "r.h5", "--escape", "other.h5", "--overwrite")
        self.refused(2, "problem.h5: is read as --problem problem.h5", "basin-train", "problem.h5", "-o", "r.h5", "--final", "problem.h5", "--overwrite")
        self.refused(2, "--final ./r.h5: is --output as well", "basin-train", "problem.h5", "-o", "r.h5", "--final", "./r.h5")
        self.assertEqual({p: p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}, before)

    def weights(self):
        with h5py.File(self.path("problem.h5")) as file:
            return {name: block[()] for name, block in file["parameters"].items()}


class GoingOn(ToolTest):
    def test_a_foreign_file_is_never_replaced(self):
        self.done("basin-problem", "construct", "softmax-saddle", "-o", "problem.h5")
        train = ["basin-train", "problem.h5", "-o", "run.h5", "--train", "W_Q", "--steps", 2, "--final"]
        escape = ["basin-stationary", "problem.h5", "-o", "c.h5", "--train", "W_Q,W_K", "--at", "problem.h5", "--escape"]
        for command in (train, escape):
            self.path("mine.h5").write_text("precious")
            self.refused(2, "mine.h5: exists already and is not the result of this run", *command, "mine.h5", "--resume")
            self.assertEqual(self.path("mine.h5").read_text(), "precious")
            self.done(*command, "end.h5")
            first = self.path("end.h5").read_bytes()
            os.remove(self.path(command[3]))  # as if it had been killed between the two
            self.done(*command, "end.h5", "--resume")
            self.assertNotEqual(self.path("end.h5").read_bytes(), b"")
            with h5py.File(self.path("end.h5")) as file:
                self.assertIn("version = ", file["provenance/specification"].asstr()[()])
            self.assertEqual(len(self.path("end.h5").read_bytes()), len(first))
            os.remove(self.path("end.h5"))

    def test_a_finished_run_is_not_done_again(self):
        self.problem()
        for command in (["basin-train", "problem.h5", "--steps", 3], ["basin-stationary", "problem.h5", "--starts", 1, "--train", "W_O"],
                        ["basin-slice", "problem.h5", "--x", "0:1:2", "--y", "0:1:2"], ["basin-hessian", "problem.h5", "--largest", 1],
                        ["basin-sweep", "teacher", "-N", 2, "-n", 2, "--sweep", "D=4", "--repeats", 1]):
            self.done(*command, "-o", "r.h5", "--resume")
            whole = self.path("r.h5").read_bytes()
            process = run(*command, "-o", "r.h5", "--resume", cwd=self.folder)
            self.assertEqual((process.returncode, process.stdout, process.stderr), (0, "", "r.h5 is finished\n"), command)
            self.assertEqual(self.path("r.h5").read_bytes(), whole)
            self.refused(2, "r.h5: exists already; give another name or --overwrite", *command, "-o", "r.h5")
            self.refused(2, "r.h5: exists already and is ", *command, "-o", "r.h5", "--resume", "--seed", 5)
            self.done(*command, "-o", "r.h5", "--resume", "--overwrite")
            os.remove(self.path("r.h5"))
        self.no_leftovers("problem.h5")

    def test_a_run_that_fails_at_its_start_leaves_no_journal(self):
        path, problem = self.problem()
        with h5py.File(path) as file, h5py.File(self.path("huge.h5"), "w") as huge:
            for group in ("data", "parameters"):
                file.copy(group, huge)
            huge["data/Y"][...] *= 1e152
            huge["parameters/W_O"][...] *= 1e152
        failed = run("basin-train", "huge.h5", "-o", "r.h5", "--steps", 5, "--certify", cwd=self.folder)
        self.assertNotEqual(failed.returncode, 0)
        self.no_leftovers("problem.h5", "huge.h5")
        # nor does the beginning of a journal, which a killed run may leave, block another run
        process = start("basin-train", path, "-o", "r.h5", "--steps", 100000, "--tolerance", 0, cwd=self.folder)
        while not self.path("r.h5.journal").exists() or b"specification" not in self.path("r.h5.journal").read_bytes():
            time.sleep(0.001)
        process.kill()
        process.communicate()
        journal = self.path("r.h5.journal").read_bytes()
        header = journal[: journal.index(b"\n", journal.index(b"\nspecification ") + 1) + 1]
        for name in ("r.h5.journal", "r.h5.checkpoint"):
            self.path(name).unlink(missing_ok=True)
        self.path("r.h5.journal").write_bytes(header)
        self.done("basin-train", path, "-o", "r.h5", "--steps", 5)

    def test_an_interrupt_says_how_to_go_on(self):
        self.done("basin-problem", "teacher", "-o", "p.h5")
        self.problem("small.h5")  # of which the first record takes no minutes
        for tool, args in (("basin-train", ["p.h5", "--steps", 1000000, "--tolerance", 0, "--step", 1e-6]),
                           ("basin-slice", ["small.h5", "--quantities", "eigenvalues", "--x", "-1:1:2001"]),
                           ("basin-stationary", ["small.h5", "--starts", 100000]),
                           ("basin-sweep", ["teacher", "--sweep", "D=16:64:8", "--repeats", 500])):
            for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process = start(tool, *args, "-o", "r.h5", "--quiet", cwd=self.folder)
                wait_for_record(self.path("r.h5.journal"), process)
                process.send_signal(sig)
                message = process.communicate()[1]
                self.assertEqual(message, f"{tool}: interrupted; what is finished is in r.h5.journal: the same command with --resume goes on\n")
                self.assertEqual(process.returncode, -sig)
                for name in ("r.h5", "r.h5.journal", "r.h5.checkpoint"):
                    self.path(name).unlink(missing_ok=True)
        self.no_leftovers("p.h5", "small.h5")

    @many_runs
    def test_a_stalled_run_counts_its_evaluations_once(self):
        self.problem(N=2, n=2, D=3, H=1, d=2, D_out=1)
        args = ["problem.h5", "-o", "r.h5", "--method", "line-search", "--tolerance", 0, "--steps", 100000]
        self.done("basin-train", *args)
        self.assertEqual(self.results("r.h5", "entry/status"), b"stalled")
        counts = self.results("r.h5", "entry/verdict").decode().split(" gradients, ")
        # killed between its last checkpoint and its result: a disk that is full just then stands for it
        size = self.path("r.h5").stat().st_size
        os.remove(self.path("r.h5"))
        largest = max(size - 4096, 1)
        self.refused(1, "r.h5: ", "basin-train", *args, "-q", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)))
        self.assertTrue(self.path("r.h5.checkpoint").exists())
        self.done("basin-train", *args, "--resume")
        self.assertEqual(self.results("r.h5", "entry/verdict").decode().split(" gradients, "), counts)
        self.no_leftovers("problem.h5", "r.h5")


if __name__ == "__main__":
    unittest.main()
