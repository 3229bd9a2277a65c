"""Damaged files of every kind that a tool reads: no crash, no hang, no nonsense, one line that names the file."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import h5py
import numpy as np

import mutations
from support import BIN, long_test, run

COUNT = int(os.environ.get("BASIN_MUTATIONS", "3000"))  # of the long form
SLOWEST = 20 * int(os.environ.get("BASIN_PATIENCE", "1"))  # seconds of a run

SMALL = ("-N", 2, "-n", 2, "-D", 3, "-H", 1, "-d", 2, "--outputs", 1)
GRID = ("--x", "-1:1:5", "--y", "-1:1:4")
FINE = ("--x", "-1:1:30", "--y", "-1:1:30", "--quantities", "eigenvalues")
DENSITY = ("--density", "--largest", 2, "--resume")
DESCENT = ("--steps", 2000, "--tolerance", 0, "--checkpoint-every", 20, "--method", "momentum")

# Work that fails on legal input, and says so (exit code 1).
TOO_LARGE = ("too large", "not finite", "overflow", "representable", "out of range", "double precision")


def killed(folder, name, suffixes, tool, *args):
    """Names what a run leaves that is killed in the middle, NAME.journal and so on."""
    output = "killed.h5"
    process = subprocess.Popen([BIN / tool, *map(str, args), "-o", output, "-q"], cwd=folder, stderr=subprocess.DEVNULL)
    for _ in range(2000):
        time.sleep(0.005)
        sizes = [(folder / (output + s)).stat().st_size if (folder / (output + s)).exists() else 0 for s in suffixes]
        if all(size > 0 for size in sizes) and sizes[0] > 1500:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    for suffix in suffixes:
        os.rename(folder / (output + suffix), folder / (name + suffix))
    for path in folder.glob(output + "*"):
        path.unlink()


class Case:
    """A kind of file: how one is damaged, and the commands that read it."""

    def __init__(self, source, name, change, *commands, beside=()):
        self.source, self.name, self.change, self.commands, self.beside = source, name, change, commands, beside


def cases():
    h5 = mutations.change_hdf5
    grid, line = ("--x", "-1:1:3", "--y", "-1:1:3"), ("--x", "-1:1:3")
    return {
        "problem": Case("p.h5", "m.h5", h5, ("basin-evaluate", "m.h5"), ("basin-train", "m.h5", "--steps", 3),
                        ("basin-slice", "m.h5", *grid), ("basin-ntk", "m.h5"), ("basin-slice", "q.h5", "--to", "m.h5", *line),
                        ("basin-stationary", "p.h5", "--at", "m.h5"), ("basin-hessian", "m.h5", "--full")),
        "vectors": Case("v.h5", "m.h5", h5, ("basin-evaluate", "p.h5", "--direction", "m.h5:/v"),
                        ("basin-slice", "p.h5", "--u", "m.h5:/v:2", *grid),
                        ("basin-stationary", "p.h5", "--at", "m.h5:/v:1")),
        "run": Case("run.h5", "m.h5", h5, ("basin-slice", "p.h5", "--trajectory", "m.h5", "--u", "pca:1", *grid),
                    ("basin-stationary", "p.h5", "--at", "m.h5:/trajectory/theta:0")),
        "slice": Case("s1.h5", "m.h5", h5, ("basin-slice", "merge", "m.h5", "s2.h5"),
                      ("basin-slice", "merge", "s2.h5", "m.h5")),
        "catalogue": Case("c1.h5", "m.h5", h5, ("basin-stationary", "merge", "m.h5", "c2.h5"),
                          ("basin-stationary", "merge", "c2.h5", "m.h5"),
                          ("basin-stationary", "p.h5", "--at", "m.h5:/entry/starts/weights")),
        "sweep": Case("w1.h5", "m.h5", h5, ("basin-sweep", "merge", "m.h5", "w2.h5"),
                      ("basin-sweep", "merge", "w2.h5", "m.h5")),
        "checkpoint": Case("left.checkpoint", "o.h5.checkpoint", h5,
                           ("basin-train", "p.h5", *DESCENT, "--resume"), beside=(("left.journal", "o.h5.journal"),)),
        "rows": Case("left.journal", "o.h5.journal", mutations.change_lines,
                     ("basin-train", "p.h5", *DESCENT, "--resume"), beside=(("left.checkpoint", "o.h5.checkpoint"),)),
        "journal": Case("slice.journal", "o.h5.journal", mutations.change_lines,
                        ("basin-slice", "p.h5", *FINE, "--resume")),
        "products": Case("products.journal", "o.h5.journal", mutations.change_bytes,
                         ("basin-hessian", "big.h5", *DENSITY)),
        "array": Case("X.npy", "m.npy", mutations.change_npy,
                      ("basin-problem", "import", "--X", "m.npy", "--Y", "Y.npy", "-H", 1, "-d", 2)),
        "text": Case("review.txt", "reviews/pos/1.txt", mutations.change_bytes,
                     ("basin-problem", "text", "reviews", "-N", 4, "-n", 2, "-D", 3, "-H", 1, "-d", 2)),
        "config": Case("options.cfg", "m.cfg", mutations.change_lines, ("basin-evaluate", "p.h5", "--config", "m.cfg")),
    }


class DamageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = folder = pathlib.Path(tempfile.mkdtemp(prefix="basin-damage-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.environ.setdefault("OMP_NUM_THREADS", "1")

        def make(output, tool, *args):
            process = run(tool, *args, "-o", output, "-q", cwd=folder)
            assert process.returncode == 0, process.stderr

        make("p.h5", "basin-problem", "teacher", *SMALL)
        with h5py.File(folder / "p.h5") as file:
            X, Y = file["data/X"][()], file["data/Y"][()]
            size = sum(file["parameters"][name].size for name in file["parameters"])
        shutil.copy(folder / "p.h5", folder / "q.h5")
        with h5py.File(folder / "q.h5", "a") as file:
            file["parameters/W_Q"][...] *= 2
        np.save(folder / "X.npy", X)
        np.save(folder / "Y.npy", Y)
        with h5py.File(folder / "v.h5", "w") as file:
            file["v"] = np.random.default_rng(0).standard_normal((3, size))
        make("run.h5", "basin-train", "p.h5", "--steps", 20, "--checkpoint-every", 2)
        for part in (1, 2):
            make(f"s{part}.h5", "basin-slice", "p.h5", *GRID, "--part", f"{part}/2")
            make(f"c{part}.h5", "basin-stationary", "p.h5", "--starts", 2, "--seed", part)
            make(f"w{part}.h5", "basin-sweep", "teacher", "--sweep", "D=2,3", "--repeats", 2, "-N", 2, "-n", 2, "-d", 2,
                 "--part", f"{part}/2")
        killed(folder, "left", (".journal", ".checkpoint"), "basin-train", "p.h5", *DESCENT)
        killed(folder, "slice", (".journal",), "basin-slice", "p.h5", *FINE)
        make("big.h5", "basin-problem", "teacher", "-N", 4, "-n", 4, "-D", 16, "-H", 2, "-d", 8)
        killed(folder, "products", (".journal",), "basin-hessian", "big.h5", *DENSITY)
        (folder / "reviews/pos").mkdir(parents=True)
        (folder / "reviews/neg").mkdir()
        for place in ("pos/1", "pos/2", "neg/1", "neg/2"):
            (folder / f"reviews/{place}.txt").write_text(f"A good film \u2014 or is it\u2019s {place}?\n", encoding="utf-8")
        shutil.copy(folder / "reviews/pos/1.txt", folder / "review.txt")
        (folder / "options.cfg").write_text("train = W_Q,W_K\nrandom = 2\nseed = 3\nprecision = double\n")

    def once(self, kind, case, seed=0, read=False):
        """One mutation of a kind of file, and what a tool makes of it; the complaint, or nothing."""
        draw = random.Random(f"{kind} {seed}")
        with tempfile.TemporaryDirectory(prefix="basin-damaged-") as name:
            folder = pathlib.Path(name)
            for path in self.folder.iterdir():
                (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
            shutil.copy(folder / case.source, folder / case.name)
            for source, target in case.beside:
                shutil.copy(folder / source, folder / target)
            did = case.change(draw, folder / case.name)
            tool, *args = draw.choice(case.commands)
            start = time.monotonic()
            try:
                process = subprocess.run([BIN / tool, *map(str, args), "-o", "o.h5", "-q"], cwd=folder, capture_output=True,
                                         timeout=3 * SLOWEST)
                complaint = self.complaint(folder, case, process)
                if read and process.returncode != 0:
                    complaint = process.stderr.decode()
                if time.monotonic() - start > SLOWEST:
                    complaint = complaint or f"took {time.monotonic() - start:.0f} s"
            except subprocess.TimeoutExpired:
                complaint = "hangs"
            if not complaint:
                return ""
            if keep := os.environ.get("BASIN_KEEP"):
                shutil.copytree(folder, pathlib.Path(keep) / f"{kind}-{seed}", dirs_exist_ok=True)
            return f"{kind} {seed}: {did}: {tool} {' '.join(map(str, args))}: {complaint}"

    def complaint(self, folder, case, process):
        code, said = process.returncode, process.stderr
        if code not in (0, 1, 2):
            return f"exit code {code}: {said[-400:]!r}"
        if code == 0:
            return self.nonsense(folder / "o.h5")
        try:
            lines = said.decode().splitlines()
        except UnicodeDecodeError:
            return f"not text: {said[:300]!r}"
        if len(lines) != 1 or not lines[0].isprintable() or len(lines[0]) > 1000:
            return f"not one line of text: {said[:300]!r}"
        if code == 1 and not any(words in lines[0] for words in TOO_LARGE):
            return f"exit code 1: {lines[0]}"
        names = (os.path.basename(case.name), os.path.basename(case.name).split(".")[0] + ".", "gone.", "Y.npy", "reviews:", "--")
        if not any(name in lines[0] for name in names):
            return f"names no file: {lines[0]}"
        return ""

    def nonsense(self, path):
        """What a result should not say."""
        with h5py.File(path) as file:
            verdict = file["entry/verdict"][()].decode() if "entry/verdict" in file else ""
            if "nan" in verdict.replace(",", " ").split():
                return f"a verdict with NaN: {verdict[:200]}"
            for name in ("entry/evaluation/loss", "entry/center_loss", "entry/run/loss"):
                if name in file and not np.isfinite(file[name][()]).all():
                    return f"{name} is not finite"
        return ""

    def check(self, seeds):
        found = [c for seed in seeds for kind, case in cases().items() if (c := self.once(kind, case, seed))]
        self.assertEqual(found, [], f"{len(found)} complaints:\n" + "\n".join(found))

    def test_undamaged_files_are_read(self):
        for kind, case in cases().items():
            for command in case.commands:
                whole = Case(case.source, case.name, lambda *_: "nothing", command, beside=case.beside)
                with self.subTest(kind=kind, command=command):
                    self.assertEqual(self.once(kind, whole, read=True), "")

    def test_a_damaged_file_is_refused_in_one_line_or_does_not_matter(self):
        self.check(range(3 if "BASIN_SANITIZED" in os.environ else 8))

    @long_test
    def test_many_damaged_files_are_refused_in_one_line_or_do_not_matter(self):
        self.check(range(8, 8 + COUNT // len(cases())))


if __name__ == "__main__":
    unittest.main()
