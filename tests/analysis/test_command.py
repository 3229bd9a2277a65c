"""The command basin-plot: what it writes, its exit codes, its errors of one line."""
import os
import shutil
import struct
import subprocess
import sys
import unittest

import h5py
import numpy as np

import examples
from support import COMMAND, FileCase, output

SYSTEM_PYTHON = "/usr/bin/python3"


def png_size(path):
    """(width, height) of a png in pixels."""
    return struct.unpack(">II", path.read_bytes()[16:24])


def drop(*names):
    """A change of a file: without the named objects."""
    return lambda file: [file.__delitem__(name) for name in names]


def put(name, value):
    """A change of a file: with another dataset in place of the named one."""
    return lambda file: (file.__delitem__(name), file.__setitem__(name, value))


def nothing_converged(path):
    """A basin-hessian result without an eigenvalue."""
    return examples.hessian_file(path, largest=([], [], [], 3), smallest=([], [], [], 3))


class Pictures(FileCase):
    def test_every_tool_gets_its_pictures(self):
        examples.slice_file(self.path("plane.h5"))
        examples.slice_file(self.path("line.h5"), np.arange(1.0, 6)[None], np.arange(-2, 3), [0])
        examples.ntk_file(self.path("ntk.h5"))
        examples.hessian_file(self.path("few.h5"))
        examples.hessian_file(self.path("all.h5"), full=True)
        examples.evaluate_file(self.path("evaluation.h5"))
        examples.sweep_file(self.path("sweep.h5"))
        inputs = self.files()
        process = self.basin_plot(*inputs, "--dpi", "60")
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        names = ["plane_contour", "plane_surface", "line_line", "ntk_eigenvalues", "ntk_conditions",
                 "few_extremes", "all_extremes", "all_spectrum", "all_histogram", "evaluation_gradient",
                 "sweep_phase_positive_definite", "sweep_lambda_min"]
        expected = sorted(f"{name}.{ending}" for name in names for ending in ("png", "pdf"))
        self.assertEqual(sorted(process.stdout.split()), expected)
        self.assertEqual(self.files(), sorted(inputs + expected))
        for name in expected:
            start = b"%PDF" if name.endswith("pdf") else b"\x89PNG"
            self.assertTrue(self.path(name).read_bytes().startswith(start), name)

    def test_goes_beside_the_result_whatever_the_working_directory(self):
        self.path("here").mkdir()
        examples.evaluate_file(self.path("here/e.h5"))
        process = self.basin_plot(self.path("here/e.h5"), "--format", "svg", cwd="/")
        self.assertEqual(process.stdout, f"{self.path('here/e_gradient.svg')}\n")
        self.assertEqual(self.files(self.path("here")), ["e.h5", "e_gradient.svg"])

    def test_output_directory_format_and_dpi(self):
        examples.evaluate_file(self.path("e.h5"))
        process = self.basin_plot("e.h5", "-o", "new/pictures", "--format", "png", "--dpi", "100")
        self.assertEqual(process.stdout, "new/pictures/e_gradient.png\n")
        self.assertEqual(self.files(self.path("new/pictures")), ["e_gradient.png"])
        self.assertEqual(png_size(self.path("new/pictures/e_gradient.png"))[0], 630)

    def test_scale_options_change_the_picture(self):
        examples.evaluate_file(self.path("e.h5"))  # eleven decades: auto is logarithmic
        pictures = []
        for option in ((), ("--log",), ("--linear",)):
            self.basin_plot("e.h5", "--format", "png", "--dpi", "60", *option)
            pictures.append(self.path("e_gradient.png").read_bytes())
        self.assertEqual(pictures[0], pictures[1])
        self.assertNotEqual(pictures[0], pictures[2])

    def test_equal_data_give_equal_files(self):
        examples.slice_file(self.path("s.h5"))
        for directory in ("one", "two"):
            self.basin_plot("s.h5", "-o", directory, "--format", "pdf,svg,png", "--dpi", "60")
        names = self.files(self.path("one"))
        self.assertEqual(len(names), 6)
        for name in names:
            data = self.path("one").joinpath(name).read_bytes()
            self.assertEqual(data, self.path("two").joinpath(name).read_bytes(), name)
            self.assertNotIn(b"CreationDate", data)
        self.assertIn(b"FontFile2", self.path("one/s_contour.pdf").read_bytes())  # embedded TrueType
        self.assertNotIn(b"/Type3", self.path("one/s_contour.pdf").read_bytes())

    def test_names_and_texts_that_are_not_plain(self):
        name = os.fsencode(self.directory) + b"/a $x_{ \xff.h5"
        examples.slice_file(self.path("s.h5"), normalisation="filter $\\nonsense{",
                            input_file="50% $a_ \u4e2d.h5")
        os.rename(self.path("s.h5"), name)
        process = self.basin_plot(name, "--format", "pdf")
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        self.assertIn("/a $x_{ \udcff_contour.pdf\n", process.stdout)
        self.assertEqual(len(self.files()), 3)

    def test_help_has_an_example(self):
        process = self.basin_plot("--help")
        self.assertEqual(process.returncode, 0)
        self.assertIn("basin-plot slice.h5", process.stdout)


class WrongInput(FileCase):
    def assert_complaints(self, cases, code=2):
        """One run on all of the files: `code`, and one line for each case (file, part of the line)."""
        process = self.basin_plot(*(name for name, _ in cases), "--format", "png", "--dpi", "60")
        self.assertEqual(process.returncode, code, process.stderr)
        lines = process.stderr.splitlines()
        self.assertEqual(len(lines), len(cases), process.stderr)
        for line, (name, part) in zip(lines, cases):
            self.assertTrue(line.startswith(f"basin-plot: {name}: "), line)
            self.assertIn(part, line)
        self.assertEqual(process.stdout, "")

    def broken(self, name, change, make=examples.slice_file):
        """An example file under the name, with a change."""
        with h5py.File(make(self.path(name)), "r+") as file:
            change(file)

    def test_command_line(self):
        examples.evaluate_file(self.path("e.h5"))
        self.path("file").touch()
        for arguments, part in (((), "RESULT.h5"), (("e.h5", "--format", "png,gif"), "'gif'"),
                                (("e.h5", "--dpi", "0"), "'0'"), (("e.h5", "--dpi", "many"), "'many'"),
                                (("e.h5", "--log", "--linear"), "--log"), (("e.h5", "--lin"), "--lin"),
                                (("e.h5", "./e.h5"), "e_*"), (("e.h5", "-o", "file"), "not a directory")):
            with self.subTest(arguments):
                self.assert_one_line(self.basin_plot(*arguments), 2, part)
        self.assertEqual(self.files(), ["e.h5", "file"])

    def test_files_that_are_no_results(self):
        self.path("text.h5").write_text("no HDF5\n")
        self.path("directory").mkdir()
        whole = examples.slice_file(self.path("whole.h5")).read_bytes()
        self.path("cut.h5").write_bytes(whole[:len(whole) // 2])
        with h5py.File(self.path("foreign.h5"), "w") as file:
            file["train_loss"] = np.ones((3, 3))
        with h5py.File(self.path("problem.h5"), "w") as file:
            file.attrs.update(basin_file="problem", basin_format="2.0")  # what it is comes first
        self.assert_complaints((("missing.h5", "no such file"), ("directory", "directory"),
                                ("text.h5", "not an HDF5 file"), ("cut.h5", "cannot be read"),
                                ("foreign.h5", "basin_file"),
                                ("problem.h5", "found a Basin problem file, expected a result file")))

    def test_format_versions(self):
        cases = []
        for version in ("2.0", "10.0", "0.9", "x"):
            self.broken(version, lambda file: file.attrs.modify("basin_format", version))
            cases.append((version, f"found format version {version}, expected 1.x"))
        self.broken("none", lambda file: file.attrs.__delitem__("basin_format"))
        self.assert_complaints((*cases, ("none", "expected 1.x")))
        self.broken("later.h5", lambda file: file.attrs.modify("basin_format", "1.7"), examples.evaluate_file)
        self.assertEqual(self.basin_plot("later.h5", "--format", "svg").returncode, 0)

    def test_contents(self):
        cases = (
            ("unknown tool", lambda file: file.attrs.modify("basin_tool", "basin-new"), "basin-new"),
            ("no tool", lambda file: file.attrs.__delitem__("basin_tool"), "basin_tool"),
            ("missing loss", drop("train_loss"), "/train_loss is missing"),
            ("missing model", drop("entry/model"), "/entry/model/kernel is missing"),
            ("empty loss", put("train_loss", np.empty((0, 51))), "/train_loss: found an empty array"),
            ("void loss", put("train_loss", h5py.Empty(float)), "/train_loss: found an empty dataset"),
            ("transposed", put("train_loss", np.ones((51, 50))), "found shape (51, 50), expected (51, 51)"),
            ("flat", put("train_loss", np.ones(51)), "/train_loss: found shape (51,)"),
            ("words", put("train_loss", "high"), "/train_loss: found type object, expected numbers"),
            ("mask", put("computed", np.ones((2, 2), "u1")), "/computed: found shape (2, 2)"),
            ("nothing done", put("computed", np.zeros((51, 51), "u1")), "no finite computed value"),
            ("NaN step", put("xcoordinates", np.full(51, np.nan)), "51 of 51 values NaN"),
            ("disorder", put("ycoordinates", np.zeros(51)), "/ycoordinates: found steps out of order"),
            ("number for text", put("entry/directions/x_origin", 3), "expected strings"),
            ("list for text", put("entry/directions/x_normalisation", ["a", "b"]), "expected one string"),
            ("strange block", put("entry/model/trainable", "W_X"), "'W_X'"),
        )
        for name, change, _ in cases:
            self.broken(name, change)
        self.assert_complaints([(name, part) for name, _, part in cases])
        self.assertEqual(self.files(), sorted(name for name, _, _ in cases))

    def test_contents_of_the_other_tools(self):
        cases = (
            (examples.ntk_file, drop("entry/ntk_W_K/lower"), "/entry/ntk_W_K/lower is missing"),
            (examples.ntk_file, put("entry/summary/lambda_max", [1, 2]), "lambda_max: found shape (2,)"),
            (examples.ntk_file, put("entry/summary/block", 5 * ["W_Q,W_X"]), "block: found 'W_Q,W_X'"),
            (examples.ntk_file, drop("entry/conditions"), "/entry/conditions/block is missing"),
            (examples.ntk_file, drop("entry/bounds/value"), "/entry/bounds/value is missing"),
            (examples.ntk_file, put("entry/conditions/statement", ["a"]), "statement: found shape (1,)"),
            (examples.ntk_file, put("entry/conditions/role", 16 * ["odd"]), "role: found 'odd', expected"),
            (examples.ntk_file, put("entry/conditions/block", 16 * ["W_X"]), "block: found 'W_X', expected"),
            (examples.ntk_file, put("entry/bounds/value", np.ones((15, 2))), "value: found shape (15, 2)"),
            (examples.ntk_file, put("entry/ntk_sum/upper", [np.inf]), "/entry/ntk_sum/upper: found 1 of 1"),
            (examples.hessian_file, drop("entry/largest", "entry/smallest"), "expected one of them"),
            (examples.hessian_file, drop("entry/smallest/converged"), "/entry/smallest/converged is missing"),
            (nothing_converged, drop(), "largest and smallest: found no eigenvalue"),
            (examples.evaluate_file, drop("entry/evaluation/gradient_blocks/W_V"), "W_V is missing"),
            (examples.evaluate_file, put("entry/evaluation/gradient", [1.0]), "expected 1 as in gradient"),
        )
        for number, (make, change, _) in enumerate(cases):
            self.broken(f"{number}.h5", change, make)
        self.assert_complaints([(f"{number}.h5", part) for number, (_, _, part) in enumerate(cases)])

    def test_log_without_a_positive_value(self):
        for name, value in (("zero", 0.0), ("flat", 7.0)):
            examples.slice_file(self.path(name), np.full((3, 3), value), range(3), range(3))
        process = self.basin_plot("zero", "flat", "--log")
        self.assertEqual((process.returncode, process.stdout), (2, ""))
        pattern = "^.*zero: found no value above 0.*\n.*flat: found a relative range.*\n$"
        self.assertRegex(process.stderr, pattern)
        self.assertEqual(self.basin_plot("zero", "flat", "--format", "svg").returncode, 0)

    def test_one_wrong_file_does_not_keep_the_others_from_being_drawn(self):
        examples.evaluate_file(self.path("e.h5"))
        process = self.basin_plot("missing.h5", "e.h5", "--format", "png", "--dpi", "60")
        self.assert_one_line(process, 2, "missing.h5")
        self.assertEqual(process.stdout, "e_gradient.png\n")


class FailedWork(FileCase):
    def test_no_place_to_write(self):
        examples.evaluate_file(self.path("e.h5"))
        self.path("file").touch()
        process = self.basin_plot("e.h5", "-o", "file/below")
        self.assert_one_line(process, 1, "cannot write", "Not a directory")

    def test_a_picture_is_whole_or_absent(self):
        class FullDisk:
            """A figure that fails when half is written."""

            def savefig(self, path, **_):
                path.write_bytes(b"half")
                raise OSError("No space left on device")

        self.path("old_x.png").write_bytes(b"old")
        for name in ("old_x.png", "new_x.png"):
            with self.assertRaises(OSError):
                output.write(FullDisk(), self.path(name), 60)
        self.assertEqual(self.files(), ["old_x.png"])
        self.assertEqual(self.path("old_x.png").read_bytes(), b"old")


@unittest.skipUnless(os.access(SYSTEM_PYTHON, os.X_OK), "no system python")
class Interpreter(FileCase):
    """-S hides the packages of an interpreter, as one without h5py would lack them."""

    def test_system_python_without_the_packages(self):
        process = self.basin_plot("--help", python=(SYSTEM_PYTHON, "-S"))
        self.assert_one_line(process, 1, "python3-h5py python3-matplotlib")

    def test_another_python_without_the_packages_hands_over(self):
        other = self.path("python3")
        other.symlink_to(shutil.which(sys.executable))
        examples.evaluate_file(self.path("e.h5"))
        process = self.basin_plot("e.h5", "--format", "svg", python=(other, "-S"))
        self.assertEqual((process.returncode, process.stdout), (0, "e_gradient.svg\n"), process.stderr)

    def test_through_a_link(self):
        self.path("basin-plot").symlink_to(COMMAND)
        process = subprocess.run([self.path("basin-plot"), "--help"], capture_output=True, text=True)
        self.assertEqual((process.returncode, process.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
