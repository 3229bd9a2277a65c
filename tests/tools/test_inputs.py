"""What is read of input files: all that belongs to the model, all bytes in the checksum, once, at the start."""

import hashlib
import os
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, ToolTest, random_problem, write_problem


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class ParametersTest(ToolTest):
    def test_what_is_no_part_of_the_model_is_refused_by_name(self):
        for group in ("parameters", "teacher", "minimum"):
            for name in ("b_Q", "W_q", "mask"):
                with self.subTest(group=group, name=name):
                    path, _ = self.problem()
                    with h5py.File(path, "a") as file:
                        file.require_group("minimum").attrs.update(loss=0.0, reason="", kernel="softmax")
                        file[f"{group}/{name}"] = np.ones(3)
                    self.refused(2, f"/{group}: found a member '{name}'", "basin-evaluate", path, "-o", "o.h5")
        for name in ("Kernel", "scale", "causal"):
            path, _ = self.problem()
            with h5py.File(path, "a") as file:
                file["parameters"].attrs[name] = 1.0
            self.refused(2, f"/parameters: found an attribute '{name}'", "basin-evaluate", path, "-o", "o.h5")

    def test_attributes_that_programs_put_on_groups_are_no_fault(self):
        path, _ = self.problem()
        with h5py.File(path, "a") as file:
            file["parameters"].attrs.update(NX_class="NXcollection", CLASS="GROUP", TITLE="", VERSION="1.0", _NCProperties="x",
                                            MATLAB_class="struct", comment="mine")
        self.done("basin-evaluate", path, "-o", "o.h5")


class ChecksumTest(ToolTest):
    def recorded(self, name, group="entry/provenance"):
        return self.results(name, f"{group}/input_sha256").decode()

    def test_files_behind_links_count(self):
        problem = random_problem()
        write_problem(self.path("p.h5"), problem)
        with h5py.File(self.path("p.h5"), "a") as file:
            del file["data/X"]
            file["data/X"] = h5py.ExternalLink("x.h5", "/X")
        for k in (1, 2):
            with h5py.File(self.path("x.h5"), "w") as file:
                file["X"] = k * problem["X"]
            self.done("basin-evaluate", "p.h5", "-o", f"o{k}.h5")
            lines = "".join(f"{sha256(self.path(name).read_bytes())}  {name}\n" for name in ("p.h5", "x.h5"))
            self.assertEqual(self.recorded(f"o{k}.h5"), sha256(lines.encode()))

    def test_a_single_file_has_its_own_checksum(self):
        path, _ = self.problem()
        self.done("basin-evaluate", path, "-o", "o.h5")
        self.assertEqual(self.recorded("o.h5"), sha256(path.read_bytes()))

    def test_all_arrays_of_an_import_count(self):
        problem = random_problem()
        arrays = {"X": problem["X"], "Y": problem["Y"], **problem["weights"]}
        for name, values in arrays.items():
            np.save(self.path(f"{name}.npy"), values)
        options = [word for name in arrays for word in (f"--{name}", f"{name}.npy")]
        seen = set()
        for name in [None, *arrays]:
            if name:
                np.save(self.path(f"{name}.npy"), 2 * arrays[name])
            self.done("basin-problem", "import", *options, "-o", "p.h5", "--overwrite")
            seen.add(self.recorded("p.h5", "provenance"))
        self.assertEqual(len(seen), 7)

    def stopped(self, *options):
        """A long run on p.h5 that has read it, and is halted."""
        process = subprocess.Popen([BIN / "basin-train", "p.h5", "-o", "r.h5", "-q", "--tolerance", "1e-300", *options],
                                   cwd=self.folder, stderr=subprocess.PIPE, text=True)
        while not self.path("r.h5.checkpoint").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
        self.addCleanup(process.wait)
        return process

    def goes_on(self, process):
        os.kill(process.pid, signal.SIGCONT)
        _, said = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, said)

    def test_a_problem_that_is_replaced_or_deleted_while_a_run_goes_on_does_not_matter(self):
        for fate in ("replaced", "overwritten", "deleted"):
            with self.subTest(fate):
                path, problem = self.problem("p.h5")
                with h5py.File(path, "a") as file:
                    minimum = file.create_group("minimum")
                    minimum.attrs.update(loss=0.25, reason="as I say", kernel="gaussian", bandwidth=2.0)
                before = path.read_bytes()
                process = self.stopped("--steps", "20000", "--final", "end.h5", "--overwrite")
                other, _ = self.problem("q.h5", seed=7, D=6)
                if fate == "deleted":
                    path.unlink()
                elif fate == "replaced":
                    other.rename(path)
                else:
                    path.write_bytes(other.read_bytes())
                self.goes_on(process)
                self.assertEqual(self.recorded("r.h5"), sha256(before))
                self.assertEqual(self.recorded("end.h5", "provenance"), sha256(before))
                with h5py.File(self.path("end.h5")) as end:
                    np.testing.assert_array_equal(end["data/X"][()], problem["X"])
                    self.assertEqual(end["minimum"].attrs["reason"], "as I say")
                    self.assertEqual(end["minimum"].attrs["bandwidth"], 2.0)


class DamagedResultsTest(ToolTest):
    def damaged(self, source, dataset, value):
        """m.h5: the file with another dataset."""
        self.path("m.h5").write_bytes(self.path(source).read_bytes())
        with h5py.File(self.path("m.h5"), "a") as file:
            del file[dataset]
            if value is not None:
                file[dataset] = value

    def test_catalogues(self):
        self.done("basin-problem", "teacher", "-N", 2, "-n", 2, "-D", 3, "-H", 1, "-d", 2, "-o", "p.h5")
        for seed in (1, 2):
            self.done("basin-stationary", "p.h5", "--starts", 2, "--seed", seed, "-o", f"c{seed}.h5")
        for dataset, value in (("catalogue/heads", np.zeros(0)), ("catalogue/rows", 2.0**62), ("catalogue/tokens", np.nan),
                               ("starts/kind_code", np.zeros(0)), ("starts/kind_code", [7, 0]), ("starts/valley_code", [-1, 0]),
                               ("starts/search_code", [0, 99]), ("starts/counts_from_code", [0.0, 6.0]),
                               ("starts/source", [-1.0, 5.0]), ("starts/negative", [np.nan, 0]), ("starts/loss", [np.nan, np.nan]),
                               ("starts/seed", [-1.0, 3.0]), ("starts/weights", np.zeros((2, 0))), ("starts/function", np.zeros(4)),
                               ("starts/gradient", None), ("catalogue/known_minimum", -1.0)):
            with self.subTest(dataset=dataset, value=value):
                self.damaged("c1.h5", f"entry/{dataset}", value)
                self.refused(2, f"m.h5: /entry/{dataset}", "basin-stationary", "merge", "m.h5", "c2.h5", "-o", "o.h5")

    def test_slices_and_sweeps(self):
        self.done("basin-problem", "teacher", "-N", 2, "-n", 2, "-D", 3, "-H", 1, "-d", 2, "-o", "p.h5")
        for part in ("1", "2"):
            self.done("basin-slice", "p.h5", "--x", "-1:1:3", "--y", "-1:1:3", "--part", f"{part}/2", "-o", f"s{part}.h5")
            self.done("basin-sweep", "teacher", "--sweep", "D=2,3", "--repeats", 2, "-N", 2, "-n", 2, "-d", 2, "--part", f"{part}/2",
                      "-o", f"w{part}.h5")
        for dataset, value in (("entry/center_loss", np.zeros(0)), ("entry/center_loss", np.nan), ("train_loss", np.zeros(9)),
                               ("computed", np.full((3, 3), 2)), ("computed", h5py.Empty("f8"))):
            with self.subTest(dataset=dataset, value=value):
                self.damaged("s1.h5", dataset, value)
                self.refused(2, f"m.h5: /{dataset}", "basin-slice", "merge", "m.h5", "s2.h5", "-o", "o.h5")
        for old, new in ((":3\n", ":4611686018427387904\n"), ("seed = 0", "seed = -1"), ("train_loss", "")):
            with self.subTest(new=new):
                text = self.results("s1.h5", "entry/slice/specification").decode()
                self.assertIn(old, text)
                self.damaged("s1.h5", "entry/slice/specification", text.replace(old, new))
                self.refused(2, "m.h5", "basin-slice", "merge", "m.h5", "s2.h5", "-o", "o.h5")
        for old, new in (("repeats = 2", "repeats = 4611686018427387904"), ("repeats = 2", "repeats = two"),
                         ("seed = 0", "seed = 99999999999999999999"), ("embedding=2,3", "embedding=2:3:*1")):
            with self.subTest(new=new):
                text = self.results("w1.h5", "entry/sweep/specification").decode()
                self.assertIn(old, text)
                self.damaged("w1.h5", "entry/sweep/specification", text.replace(old, new))
                self.refused(2, "m.h5: /entry/sweep/specification", "basin-sweep", "merge", "m.h5", "w2.h5", "-o", "o.h5")
        for dataset, value in (("computed", np.full((2, 2), 0.5)), ("sum/lambda_min", np.zeros(4))):
            with self.subTest(dataset=dataset):
                self.damaged("w1.h5", f"entry/draws/{dataset}", value)
                self.refused(2, f"m.h5: /entry/draws/{dataset}", "basin-sweep", "merge", "m.h5", "w2.h5", "-o", "o.h5")

    def test_checkpoints(self):
        path, _ = self.problem("p.h5")
        run = ["p.h5", "-o", "r.h5", "-q", "--tolerance", "1e-300", "--steps", "20000", "--method", "momentum"]
        process = subprocess.Popen([BIN / "basin-train", *run], cwd=self.folder)
        while not self.path("r.h5.checkpoint").exists():
            time.sleep(0.002)
        process.kill()
        process.wait()
        whole, journal = self.path("r.h5.checkpoint").read_bytes(), self.path("r.h5.journal").read_bytes()
        for dataset, value in (("numbers/broken", None), ("numbers/rises", 3.0), ("counts", np.zeros(0)), ("step", np.zeros(0)),
                               ("vectors/velocity", 1.0), ("theta", np.zeros(3)), ("memory", None), ("records", np.zeros(4)),
                               ("checksum", None)):
            with self.subTest(dataset=dataset, value=value):
                self.path("r.h5.checkpoint").write_bytes(whole)
                self.path("r.h5.journal").write_bytes(journal)
                with h5py.File(self.path("r.h5.checkpoint"), "a") as file:
                    if dataset not in file:
                        continue
                    del file[dataset]
                    if value is not None:
                        file[dataset] = value
                self.refused(2, "r.h5.checkpoint: ", "basin-train", *run, "--resume")
        with self.subTest("one number changed in its last bit"):
            self.path("r.h5.checkpoint").write_bytes(whole)
            with h5py.File(self.path("r.h5.checkpoint"), "a") as file:
                file["theta"][0] = np.nextafter(file["theta"][0], 9)
            self.refused(2, "r.h5.checkpoint: damaged", "basin-train", *run, "--resume")

    def test_strings_of_files_are_shown_in_one_line_of_text(self):
        path, _ = self.problem("p.h5")
        self.done("basin-train", "p.h5", "--steps", 3, "-o", "run.h5")
        for value in (b"\xff\x01\x1b[31m\n" + bytes(range(128, 256)), "x" * 100000, "two\nlines"):
            with self.subTest(value=value[:10]):
                self.path("m.h5").write_bytes(self.path("run.h5").read_bytes())
                with h5py.File(self.path("m.h5"), "a") as file:
                    del file["entry/model/kernel"]
                    kind = h5py.string_dtype("utf-8")
                    file.create_dataset("entry/model/kernel", data=value, dtype=kind)
                process = subprocess.run([BIN / "basin-slice", "p.h5", "--trajectory", "m.h5", "--u", "pca:1", "-o", "o.h5"],
                                         cwd=self.folder, capture_output=True, text=True)
                self.assertEqual(process.returncode, 2)
                self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
                self.assertTrue(process.stderr[:-1].isprintable())
                self.assertLess(len(process.stderr), 400)


if __name__ == "__main__":
    unittest.main()
