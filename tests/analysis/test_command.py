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
from support import COMMAND, FileCase, figures

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


class Pictures(FileCase):
    def test_every_tool_gets_its_pictures(self):
        steps = np.linspace(-1, 1, 9)
        examples.slice_file(self.path("plane.h5"), examples.bowl(steps, steps), steps, steps)
        examples.slice_file(self.path("line.h5"), np.arange(1.0, 6)[None], np.arange(-2, 3), [0])
        examples.ntk_file(self.path("ntk.h5"))
        examples.hessian_file(self.path("few.h5"))
        examples.hessian_file(self.path("all.h5"), full=True)
        examples.evaluate_file(self.path("evaluation.h5"))
        examples.sweep_file(self.path("sweep.h5"), {"D": [1, 2]}, shares=[0, 1], blocks=("sum",))
        inputs = self.files()
        formats = {("evaluation.h5", "line.h5", "plane.h5"): ("png", "pdf"),  # as they are without --format
                   ("all.h5", "few.h5", "ntk.h5", "sweep.h5"): ("png",)}
        names = {"plane.h5": ["contour", "surface"], "line.h5": ["line"], "ntk.h5": ["eigenvalues", "conditions"],
                 "few.h5": ["extremes"], "all.h5": ["extremes", "spectrum", "histogram"], "evaluation.h5": ["gradient"],
                 "sweep.h5": ["phase_positive_definite", "lambda_min"]}
        drawn = []
        for files, endings in formats.items():
            process = self.command(*files, "--dpi", "60", *(() if len(endings) == 2 else ("--format", *endings)))
            self.assertEqual((process.returncode, process.stderr), (0, ""))
            expected = [f"{file[:-3]}_{name}.{ending}" for file in files for name in names[file] for ending in endings]
            self.assertEqual(sorted(process.stdout.split()), sorted(expected))
            drawn += expected
        self.assertEqual(self.files(), sorted(inputs + drawn))
        for name in drawn:
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


    def test_a_sweep_gets_two_pictures_and_all_on_request(self):
        examples.sweep_file(self.path("s.h5"), {"D": [1, 2]}, shares=[0, 1], blocks=("W_Q", "sum"))
        with h5py.File(self.path("s.h5"), "r+") as file:
            text = file["entry/sweep/specification"][()].decode()
            for condition in ("parameters", "rank_X"):
                file[f"entry/draws/sum/{condition}"] = np.ones((2, 20))
                text = f"quantity sum/{condition} = verdict\n{text}"  # before the main verdict
            del file["entry/sweep/specification"]
            file["entry/sweep/specification"] = text
        process = self.basin_plot("s.h5", "--format", "svg")
        first = ["s_phase_positive_definite.svg", "s_lambda_min.svg"]
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        self.assertEqual(process.stdout.splitlines(), [*first, "left out: phase_rank_X, phase_parameters; --all draws them, too"])
        process = self.basin_plot("s.h5", "--format", "svg", "--all")
        self.assertEqual(process.stdout.splitlines(), [*first, "s_phase_rank_X.svg", "s_phase_parameters.svg"])
        examples.evaluate_file(self.path("e.h5"))  # of which nothing is left out
        self.assertEqual(self.basin_plot("e.h5", "--format", "svg").stdout, "e_gradient.svg\n")

    def test_comparison_names_the_file_that_is_wrong(self):
        for name in ("a.h5", "b.h5", "c.h5"):
            examples.slice_file(self.path(name))
        with h5py.File(self.path("b.h5"), "r+") as file:
            del file["train_loss"]
        process = self.basin_plot("--compare", "a.h5", "b.h5", "c.h5")
        self.assert_one_line(process, 2, "basin-plot: b.h5: /train_loss is missing")

    def test_settings_of_the_user_change_nothing(self):
        """A matplotlibrc in the working directory or in the home, styles, a backend: the same bytes, and no word."""
        examples.evaluate_file(self.path("e.h5"))
        odd = ("text.usetex: True\nfont.family: NoSuchFont\nsavefig.format: gif\nsavefig.bbox: tight\nbackend: qtagg\n"
               "interactive: True\naxes.formatter.use_locale: True\naxes.formatter.limits: 1, 1\nlines.linewidth: 9\n"
               "axes.facecolor: red\nno.such.key: 1\nfont.size: many\n")
        self.path("work").mkdir()
        self.path("work/matplotlibrc").write_text(odd)
        styles = self.path("home/.config/matplotlib/stylelib")
        styles.mkdir(parents=True)
        (styles / "mine.mplstyle").write_bytes(b"bad \xff\n")
        self.path("home/.config/matplotlib/matplotlibrc").write_text(odd)
        arguments = (self.path("e.h5"), "--format", "png,pdf,svg", "--dpi", "60", "-o")
        plain = self.command(*arguments, self.path("plain"))
        self.assertEqual((plain.returncode, plain.stderr), (0, ""))
        names = self.files(self.path("plain"))
        settings = ({"HOME": str(self.path("home")), "MPLBACKEND": "garbage", "LC_ALL": "C", "PYTHONWARNINGS": "always"},
                    {"MATPLOTLIBRC": str(self.path("work/matplotlibrc")), "MPLBACKEND": "qtagg", "DISPLAY": "",
                     "MPLCONFIGDIR": "/dev/null/none"})
        for number, variables in enumerate(settings):
            there = self.path(str(number))
            process = self.command(*arguments, there, cwd=self.path("work"), variables=variables)
            self.assertEqual((process.returncode, process.stderr), (0, ""), variables)
            self.assertEqual(self.files(there), names)
            for name in names:
                self.assertEqual((there / name).read_bytes(), self.path("plain").joinpath(name).read_bytes(), (variables, name))


class Nothing(FileCase):
    """Results that hold nothing to draw are drawn, and say so."""

    def texts(self, figure):
        return " ".join(text.get_text() for axes in figure.axes for text in axes.texts)

    def test_a_slice_of_which_nothing_is_computed(self):
        path = examples.slice_file(self.path("s.h5"), computed=np.zeros((51, 51)))
        self.assertIn("0 of 2601 points computed", self.texts(figures(path)["contour"]))
        path = examples.slice_file(self.path("nan.h5"), np.full((1, 5), np.nan), np.arange(5), [0])
        self.assertIn("5 of 5 points computed, none with a finite loss", self.texts(figures(path)["line"]))
        self.assert_one_line(self.basin_plot("--compare", "s.h5"), 2, "s.h5: /train_loss: found no finite computed value")

    def test_a_hessian_of_which_no_eigenvalue_converged(self):
        path = examples.hessian_file(self.path("h.h5"), largest=([], [], [], 3), smallest=([], [], [], 3))
        self.assertIn("no eigenvalue converged", self.texts(figures(path)["extremes"]))

    def test_a_sweep_of_which_no_draw_is_computed(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2]}, shares=[0, 1], computed=np.zeros((2, 20), "u1"))
        made = figures(path)
        self.assertEqual(list(made), ["phase"])
        self.assertIn("no draw with a verdict", self.texts(made["phase"]))

    def test_a_catalogue_of_given_points_alone(self):
        path = examples.stationary_file(self.path("c.h5"), losses=[0.25], verdicts=["saddle"], shares=False)
        with h5py.File(path, "r+") as file:  # a table without rows, as basin-stationary --at writes it
            for name in ("search", "verdict"):
                file.create_dataset(f"entry/shares/{name}", (0,), h5py.string_dtype())
            for name in ("count", "total", "share", "lower", "upper"):
                file[f"entry/shares/{name}"] = np.zeros(0)
        figure = figures(path)["ends"]
        self.assertEqual(len(figure.axes), 1)
        self.assertTrue(figure._suptitle.get_text().endswith(": 1 end"))

    def test_a_kernel_without_conditions_and_bounds(self):
        path = examples.ntk_file(self.path("n.h5"))
        with h5py.File(path, "r+") as file:
            for table in ("conditions", "bounds"):
                for name in list(file[f"entry/{table}"]):
                    kind = file[f"entry/{table}/{name}"].dtype
                    del file[f"entry/{table}/{name}"]
                    file.create_dataset(f"entry/{table}/{name}", (0,), kind)
        figures(path)["conditions"].draw_without_rendering()


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
                                ("problem.h5", "found a problem file whose samples are no pictures, expected a result file")))

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
        examples.evaluate_file(self.path("e.h5"))
        self.path("e_gradient.png").write_bytes(b"\x89PNG old")
        limit = "ulimit -f 8; exec \"$@\""  # files of 8 kB at most: writing fails halfway, as on a full disk
        process = subprocess.run(["bash", "-c", limit, "bash", COMMAND, "e.h5"], cwd=self.directory, capture_output=True, text=True)
        self.assert_one_line(process, 1, "e.h5: cannot write", "File too large")
        self.assertEqual(process.stdout, "")
        self.assertEqual(self.files(), ["e.h5", "e_gradient.png"])
        self.assertEqual(self.path("e_gradient.png").read_bytes(), b"\x89PNG old")

    def test_only_pictures_are_replaced(self):
        """An input is never an output, nor is any other file that is no picture; through a link neither."""
        path = examples.evaluate_file(self.path("e.h5"))
        examples.evaluate_file(self.path("e_gradient.png"))  # a result with the name of a picture
        before = self.path("e_gradient.png").read_bytes()
        process = self.basin_plot("e.h5", "e_gradient.png", "--format", "png")
        self.assertEqual(process.returncode, 2)
        self.assertIn("e.h5: e_gradient.png is there and is no picture; it is not replaced\n", process.stderr)
        self.assertEqual(self.path("e_gradient.png").read_bytes(), before)
        self.path("e_gradient.svg").symlink_to("e.h5")
        before = path.read_bytes()
        self.assert_one_line(self.basin_plot("e.h5", "--format", "svg"), 2, "e_gradient.svg is there and is no picture")
        self.assertEqual(path.read_bytes(), before)
        self.path("e_gradient.pdf").mkdir()
        self.assert_one_line(self.basin_plot("e.h5", "--format", "pdf"), 2, "e_gradient.pdf: found a directory")

    def test_a_link_to_a_picture_stays_a_link_and_permissions_stay(self):
        examples.evaluate_file(self.path("e.h5"))
        self.path("there").mkdir()
        self.path("there/p.png").touch(0o600)
        self.path("e_gradient.png").symlink_to("there/p.png")
        self.assertEqual(self.basin_plot("e.h5", "--format", "png", "--dpi", "60").returncode, 0)
        self.assertTrue(self.path("e_gradient.png").is_symlink())
        self.assertTrue(self.path("there/p.png").read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(self.path("there/p.png").stat().st_mode & 0o777, 0o600)

    def test_a_name_as_long_as_can_be(self):
        name = 242 * "n"
        examples.evaluate_file(self.path(f"{name}.h5"))
        self.assertEqual(self.basin_plot(f"{name}.h5", "--format", "png", "--dpi", "60").returncode, 0)
        self.assertEqual(len(self.files()), 2)

    def test_standard_output_that_is_full(self):
        examples.evaluate_file(self.path("e.h5"))
        with open("/dev/full", "w") as full:
            process = subprocess.run([COMMAND, "e.h5", "--format", "png"], cwd=self.directory, stdout=full, stderr=subprocess.PIPE,
                                     text=True)
        self.assert_one_line(process, 1, "cannot write standard output: No space left on device")


@unittest.skipUnless(os.access(SYSTEM_PYTHON, os.X_OK), "no system python")
class Interpreter(FileCase):
    """-S hides the packages of an interpreter, as one without h5py would lack them."""

    def test_system_python_without_the_packages(self):
        process = self.command("--help", python=(SYSTEM_PYTHON, "-S"))
        self.assert_one_line(process, 1, "python3-h5py python3-matplotlib")

    def test_another_python_without_the_packages_hands_over(self):
        other = self.path("python3")
        other.symlink_to(shutil.which(sys.executable))
        examples.evaluate_file(self.path("e.h5"))
        process = self.command("e.h5", "--format", "svg", python=(other, "-S"))
        self.assertEqual((process.returncode, process.stdout), (0, "e_gradient.svg\n"), process.stderr)

    def test_through_a_link(self):
        self.path("basin-plot").symlink_to(COMMAND)
        process = subprocess.run([self.path("basin-plot"), "--help"], capture_output=True, text=True)
        self.assertEqual((process.returncode, process.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
