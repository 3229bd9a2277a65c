"""What the tests of the tools share: running them, making problem files with h5py, and the model in NumPy."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BASIN_BIN", ROOT / "build/release/bin"))
ORACLES = ROOT.parent / "shared/oracles"
REVIEWS = ROOT / "data/reviews"
BLOCKS = ("W_Q", "W_K", "W_V", "W_O")

# For tests that run a tool many times over: the sanitizers see in the other tests what it does, in a fraction of the time.
many_runs = unittest.skipIf("BASIN_SANITIZED" in os.environ, "many runs of what other tests run, too")

# What takes minutes, for tests/run.sh --long.
long_test = unittest.skipUnless("BASIN_LONG" in os.environ, "tests/run.sh --long runs it")


def run(tool, *args, cwd=None, **kwargs):
    """The finished process of a tool, its output as text."""
    command = [str(BIN / tool), *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **{"timeout": 300, **kwargs})


def wait_for_record(journal, process):
    """Waits until a run has a record in its journal: one that holds the head alone is started anew."""
    end = time.monotonic() + 240
    while not journal.exists() or journal.read_bytes().partition(b"\nspecification ")[2].count(b"\n") < 2:
        assert process.poll() is None, "the run has ended before its first record"
        assert time.monotonic() < end, "no record in four minutes"
        time.sleep(0.002)


def attributes(item):
    """Name -> value of the attributes of an object, for comparing files: of its dimension scales the names."""
    found = {name: np.asarray(value).tolist() for name, value in item.attrs.items()
             if name not in ("DIMENSION_LIST", "REFERENCE_LIST")}
    if "DIMENSION_LIST" in item.attrs:
        found["DIMENSION_LIST"] = [[item.file[scale].attrs["NAME"] for scale in scales]
                                   for scales in item.attrs["DIMENSION_LIST"]]
    return found


class ToolTest(unittest.TestCase):
    """A test with a folder of its own, self.path(name), and tools that must end as expected."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="basin-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return self.folder / name

    def done(self, tool, *args):
        """Runs a tool that must succeed; its standard output."""
        process = run(tool, *args, cwd=self.folder)
        self.assertEqual(process.returncode, 0, process.stderr)
        return process.stdout

    def refused(self, code, message, tool, *args, **kwargs):
        """Runs a tool that must fail with this exit code and one line that contains the message."""
        process = run(tool, *args, cwd=self.folder, **kwargs)
        self.assertEqual(process.returncode, code, process.stderr)
        self.assertEqual(process.stdout, "")
        lines = process.stderr.splitlines()
        self.assertEqual(len(lines), 1, process.stderr)
        self.assertTrue(lines[0].startswith(tool + ": "), lines[0])
        self.assertIn(message, lines[0])

    def kill_midway(self, tool, *args, output="killed.h5", times=2):
        """Starts a run and kills it once its journal has grown by some records, so many times; with --resume it goes on."""
        journal, kills = self.path(output + ".journal"), 0

        def length():
            return journal.stat().st_size if journal.exists() else 0

        for _ in range(times):
            before = length()
            process = subprocess.Popen([str(a) for a in (BIN / tool, *args, "-o", output, "--resume", "--quiet")], cwd=self.folder,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None and length() < before + 2000:
                time.sleep(0.001)
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        self.assertGreaterEqual(kills, 1, "the run was too short to be killed")

    def no_leftovers(self, *expected):
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted(expected))

    def problem(self, name="problem.h5", **options):
        """A problem file made with h5py; returns (path, problem dictionary)."""
        problem = random_problem(**options)
        write_problem(self.path(name), problem)
        return self.path(name), problem

    def results(self, name, *datasets):
        with h5py.File(self.path(name)) as file:
            values = [file[dataset][()] for dataset in datasets]
        return values[0] if len(values) == 1 else values


def random_problem(N=3, n=4, D=5, H=2, d=3, D_out=2, kernel="softmax", sigma=None, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"W_Q": (H, D, d), "W_K": (H, D, d), "W_V": (H, D, d), "W_O": (H, d, D_out)}
    return {
        "X": rng.standard_normal((N, n, D)),
        "Y": rng.standard_normal((N, n, D_out)),
        "weights": {name: rng.standard_normal(s) / np.sqrt(s[1]) for name, s in shapes.items()},
        "kernel": kernel,
        "sigma": sigma,
    }


def write_problem(path, problem):
    with h5py.File(path, "w") as file:
        file["data/X"], file["data/Y"] = problem["X"], problem["Y"]
        group = file.create_group("parameters")
        group.attrs["kernel"] = problem["kernel"]
        if problem["sigma"]:
            group.attrs["bandwidth"] = problem["sigma"]
        for name, values in problem["weights"].items():
            group[name] = values


def theta_of(weights, blocks=BLOCKS):
    return np.concatenate([weights[name].ravel() for name in blocks])


def weights_at(problem, theta, blocks=BLOCKS):
    """The weights with these blocks replaced by theta (real or complex)."""
    weights, start = dict(problem["weights"]), 0
    for name in blocks:
        shape = weights[name].shape
        size = np.prod(shape)
        weights[name] = theta[start : start + size].reshape(shape)
        start += size
    return weights


def outputs(problem, weights):
    """F (N, n, D_out), for complex weights too: everything here is analytic."""
    X = problem["X"]
    d = weights["W_Q"].shape[2]
    F = 0
    for h in range(weights["W_Q"].shape[0]):
        Q, K = X @ weights["W_Q"][h], X @ weights["W_K"][h]
        if problem["kernel"] == "softmax":
            A = np.exp(Q @ K.transpose(0, 2, 1) / np.sqrt(d))
            A = A / A.sum(axis=2, keepdims=True)
        else:
            variance = problem["sigma"] ** 2 if problem["sigma"] else np.sqrt(d)
            difference = Q[:, :, None, :] - K[:, None, :, :]
            A = np.exp(-(difference**2).sum(axis=3) / (2 * variance))
        F = F + A @ (X @ weights["W_V"][h]) @ weights["W_O"][h]
    return F


def jacobian(problem, blocks=BLOCKS, theta=None):
    """J (m, P) by the complex step, Im F(theta + i h e_j) / h: no cancellation, right to rounding."""
    theta = theta_of(problem["weights"], blocks) if theta is None else theta
    step = 1e-30
    columns = []
    for j in range(theta.size):
        moved = theta.astype(complex)
        moved[j] += 1j * step
        columns.append(outputs(problem, weights_at(problem, moved, blocks)).imag.ravel() / step)
    return np.array(columns).T


def gradient(problem, blocks=BLOCKS, theta=None):
    theta = theta_of(problem["weights"], blocks) if theta is None else theta
    residual = (outputs(problem, weights_at(problem, theta, blocks)) - problem["Y"]).ravel()
    return jacobian(problem, blocks, theta).T @ residual


def hessian_product(problem, v, blocks=BLOCKS):
    """Fourth-order central difference of complex-step gradients: about 1e-11."""
    theta, h = theta_of(problem["weights"], blocks), 1e-3
    g = {t: gradient(problem, blocks, theta + t * h * v) for t in (-2, -1, 1, 2)}
    return (8 * (g[1] - g[-1]) - (g[2] - g[-2])) / (12 * h)
