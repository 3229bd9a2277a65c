"""Long runs that are killed at random moments and resumed end with the same bits, and leave nothing behind."""

import random
import signal
import subprocess
import time

import h5py

from support import BIN, ToolTest, long_test


def results(path):
    """All that a result says, but for how and when it was made."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and "provenance" not in name and item.dtype.kind in "fiuS":
            found[name] = (item.shape, item[()].tobytes())

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@long_test
class Kills(ToolTest):
    KILLS = 20  # of each run, before it may end

    def check(self, tool, *args):
        """Kills come at moments that leave time to get on, but not to end."""
        started = time.monotonic()
        self.done(tool, *args, "-o", "whole.h5", "--quiet")
        whole = time.monotonic() - started
        command = [str(a) for a in (BIN / tool, *args, "-o", "killed.h5", "--resume", "--quiet")]
        moments, kills = random.Random(tool), 0
        while not self.path("killed.h5").exists():
            process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                code = process.wait(moments.uniform(0, 2 * whole / self.KILLS + 0.02) if kills < self.KILLS else 600)
                self.assertEqual(code, 0, process.stderr.read())
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            finally:
                process.stderr.close()
        self.done(tool, *args, "-o", "killed.h5", "--resume", "--quiet")  # clears up if it was killed at its very end
        self.assertGreaterEqual(kills, self.KILLS / 2)
        self.assertGreater(len(results(self.path("whole.h5"))), 10)
        self.assertEqual(results(self.path("killed.h5")), results(self.path("whole.h5")))
        self.no_leftovers("problem.h5", "killed.h5", "whole.h5")

    def test_slice(self):
        path, _ = self.problem(N=40, n=12, D=12, d=4)
        self.check("basin-slice", path, "--x", "-1:1:81", "--y", "-1:1:81", "--quantities", "gradient")

    def test_train(self):
        path, _ = self.problem(N=8, n=8, D=12, H=2, d=6, D_out=4)
        self.check("basin-train", path, "--steps", 2000, "--tolerance", 0, "--record-every", 10, "--checkpoint-every", 20)

    def test_stationary(self):
        path, _ = self.problem(N=3, n=3, D=4, H=2, d=2, D_out=1)
        self.check("basin-stationary", path, "--train", "W_Q,W_K", "--starts", 60, "--search", "both", "--threads", 1)

    def test_hessian(self):
        path, _ = self.problem(N=24, n=12, D=16, H=2, d=6, D_out=6)
        self.check("basin-hessian", path, "--largest", 3, "--smallest", 3, "--density", "--norms", "--counts", "--dense-limit", 0)

    def test_sweep(self):
        self.problem()
        self.check("basin-sweep", "teacher", "-N", 4, "-n", 4, "--outputs", 4, "--sweep", "D=16:64:*2", "--sweep", "kernel=softmax,gaussian",
                   "--repeats", 100)
