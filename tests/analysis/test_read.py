"""Result files in Python: fields, words, tables, pictures, and what is refused."""
import copy
import gc
import os
import pickle
import shutil
import subprocess
import sys
import unittest
from unittest import mock

import h5py
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

import examples
from support import ANALYSIS, FileCase

import basin
from basin.files import ResultError
from basin.tools import Folder

try:
    import pandas
except ImportError:
    pandas = None

MAKERS = {"basin-evaluate": examples.evaluate_file, "basin-hessian": examples.sheet_file, "basin-ntk": examples.ntk_file,
          "basin-slice": examples.slice_file, "basin-stationary": examples.stationary_file, "basin-sweep": examples.sweep_file,
          "basin-train": examples.train_file}


class ReadCase(FileCase):
    def sheet(self, verdict=None):
        """A result of basin-hessian, with a verdict of its own."""
        path = examples.sheet_file(self.path("sheet.h5"))
        if verdict is not None:
            with h5py.File(path, "a") as file:
                file["entry/verdict"][()] = verdict
        return path

    def assert_refused(self, kind, *parts):
        """A context: raises `kind` with one line that has all the parts."""
        pattern = "".join(f"(?=.*{part})" for part in parts)
        return self.assertRaisesRegex(kind, rf"\A{pattern}[^\n]*\Z")


class Import(unittest.TestCase):
    def run_code(self, code):
        """What it prints in a Python of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ANALYSIS)}
        return subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    def test_import_loads_nothing_else(self):
        others = ("numpy", "h5py", "matplotlib", "pandas", "_basin")
        code = f"import sys, basin; dir(basin); print([name for name in {others} if name in sys.modules], 'read' in dir(basin))"
        self.assertEqual(self.run_code(code), "[] True\n")

    def test_what_is_compiled_is_not_needed_to_read(self):
        code = "import sys; sys.modules['_basin'] = None; import basin; basin.read, basin.Result"
        self.run_code(code)

    def test_unknown_name(self):
        with self.assertRaisesRegex(AttributeError, "module 'basin' has no attribute 'reed'"):
            basin.reed


class Fields(ReadCase):
    def test_every_dataset_of_every_tool(self):
        for tool, maker in MAKERS.items():
            path = maker(self.path(f"{tool}.h5"))
            result = basin.read(path)
            self.assertEqual((result.tool, result.path), (tool, str(path)))
            compared = 0
            with h5py.File(path) as file:
                def compare(name, found):
                    nonlocal compared
                    if isinstance(found, h5py.Dataset):
                        value = result[f"/entry/{name}"]
                        truth = (found.asstr() if h5py.check_string_dtype(found.dtype) else found)[()]
                        np.testing.assert_array_equal(value, truth, err_msg=name)
                        self.assertEqual(np.ndim(value), np.ndim(truth), name)
                        compared += 1
                file["entry"].visititems(compare)
            self.assertGreater(compared, 20, tool)

    def test_attributes_keys_and_paths_are_the_same(self):
        result = basin.read(self.sheet())
        np.testing.assert_array_equal(result.largest.eigenvalue, [412.7, 412.7, 412.7, 64.1])
        for same in (result["largest"]["eigenvalue"], result["largest/eigenvalue"], result["/entry/largest/eigenvalue"]):
            np.testing.assert_array_equal(same, result.largest.eigenvalue)
        np.testing.assert_array_equal(result.parts.gauss_newton.largest.eigenvalue, [400, 3.5])
        self.assertIs(type(result.model.bandwidth), float)
        self.assertIs(type(result.model.N), int)
        self.assertEqual(result.model.kernel, "softmax")
        self.assertEqual(list(result.block_norms.blocks), list(examples.BLOCK_SHAPES))
        self.assertEqual(basin.read(examples.slice_file(self.path("slice.h5")))["/"].train_loss.shape, (51, 51))

    def test_names_are_completed(self):
        result = basin.read(self.sheet())
        self.assertLessEqual({"largest", "counts", "plot", "to_pandas"}, set(dir(result)))
        self.assertLessEqual({"gauss_newton", "residual"}, set(dir(result.parts)))
        summary = basin.read(examples.ntk_file(self.path("ntk.h5"), examples.ntk_spectra(unions=True)))
        self.assertIn("ntk_W_Q,W_K", summary)
        self.assertEqual([name for name in dir(summary) if not name.isidentifier()], [])

    def test_what_is_there(self):
        result = basin.read(self.sheet())
        for name in ("largest", "largest/eigenvalue", "/entry/largest"):
            self.assertIn(name, result)
        for name in ("larges", "largest/value", "largest/eigenvalue/x", "/largest"):
            self.assertNotIn(name, result)
        self.assertEqual(set(result.keys()), set(result))

    def test_attributes(self):
        result = basin.read(examples.sweep_file(self.path("sweep.h5")))
        self.assertEqual(result.attributes["NX_class"], "NXentry")
        self.assertEqual(result.attributes_of("axes/D")["option"], "D")
        self.assertEqual(result["/"].attributes["basin_tool"], "basin-sweep")
        with self.assertRaisesRegex(KeyError, "sweep.h5: /entry has no axes/E"):
            result.attributes_of("axes/E")

    def test_what_is_not_there(self):
        result = basin.read(self.sheet())
        with self.assertRaisesRegex(AttributeError, r"sheet.h5: /entry has no larges; it has .*largest"):
            result.larges
        for name, words in (("larges", "/entry has no larges"), ("largest/value", "/entry/largest has no value"),
                            ("largest/eigenvalue/x", "/entry/largest has no eigenvalue/x")):
            with self.assertRaisesRegex(KeyError, "sheet.h5: " + words):
                result[name]

    def test_large_arrays_are_read_when_asked_for(self):
        path = self.sheet()
        with h5py.File(path, "a") as file:
            file["entry/vectors"] = np.ones((300, 1000))
        result = basin.read(path)
        read = []
        value = basin.files.Result.value
        with mock.patch.object(basin.files.Result, "value", lambda self, name: read.append(name) or value(self, name)):
            repr(result), "vectors" in result, dir(result), result.largest, result.keys()
            self.assertNotIn("/entry/vectors", read)
            self.assertEqual(result.vectors.sum(), 300000)
            self.assertEqual(read.count("/entry/vectors"), 1)

    def test_nothing_stays_open(self):
        path = self.sheet()
        result = basin.read(path)
        self.assertEqual(result.largest.index[0], 1)
        self.assertNotIn(str(path), [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")])

    def test_another_working_folder(self):
        self.sheet()
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.directory)
        result = basin.read("sheet.h5")
        os.chdir(before)
        self.assertEqual(result.largest.eigenvalue[0], 412.7)

    def test_a_temporary_folder_lasts_as_long_as_what_is_in_it(self):
        folder = Folder()
        path = examples.hessian_file(folder / "hessian.h5")
        largest = basin.read(path, folder).largest
        del folder
        gc.collect()
        self.assertEqual(largest.eigenvalue[0], 412.7)
        del largest
        gc.collect()
        self.assertFalse(os.path.exists(path))

    def test_copies(self):
        path = self.sheet()
        with h5py.File(path, "a") as file:  # what ties axes to data are references, which belong to their file
            file["entry/largest/index"].make_scale()
            file["entry/largest/eigenvalue"].dims[0].attach_scale(file["entry/largest/index"])
        result = basin.read(path)
        for same in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
            np.testing.assert_array_equal(same.largest.eigenvalue, result.largest.eigenvalue)
            self.assertEqual(repr(same), repr(result))


class Words(ReadCase):
    SAID = "negative curvature, <A> & co\n  and more\n"

    def test_the_verdict_leads(self):
        lines = repr(basin.read(self.sheet(self.SAID))).split("\n")
        self.assertEqual(lines[:2], ["negative curvature, <A> & co", "  and more"])
        self.assertIn("basin-hessian", lines[2])
        self.assertIn("largest", lines[2])

    def test_html_is_escaped_and_leads_with_the_verdict(self):
        html = basin.read(self.sheet(self.SAID))._repr_html_()
        self.assertTrue(html.startswith("<div><b>negative curvature, &lt;A&gt; &amp; co</b>"), html)
        self.assertNotIn("<A>", html)

    def test_groups(self):
        said = repr(basin.read(self.sheet()).largest)
        self.assertIn("eigenvalue: float64 (4,)", said)


class Tables(ReadCase):
    def setUp(self):
        super().setUp()
        self.path_of_blocks = examples.per_block_file(self.path("blocks.h5"), density=False)
        self.blocks = basin.read(self.path_of_blocks).per_block

    def test_rows(self):
        rows = self.blocks.table()
        with h5py.File(self.path_of_blocks) as file:
            group = file["entry/per_block"]
            self.assertEqual([row["block"] for row in rows], list(group["block"].asstr()))
            self.assertEqual([row["trace"] for row in rows], list(group["trace"]))
            self.assertEqual(set(rows[0]), set(group))

    def test_what_is_no_column_is_left_out(self):
        path = examples.slice_file(self.path("slice.h5"))
        self.assertEqual(set(basin.read(path).directions.columns()), {"x", "y"})

    @unittest.skipUnless(pandas, "needs pandas")
    def test_pandas(self):
        frame = self.blocks.to_pandas()
        self.assertIsInstance(frame, pandas.DataFrame)
        self.assertEqual(len(frame), len(self.blocks.table()))
        np.testing.assert_array_equal(frame["largest"], self.blocks.largest)

    def test_without_pandas(self):
        with mock.patch.dict(sys.modules, {"pandas": None}):
            with self.assertRaisesRegex(ImportError, "python3-pandas.*table"):
                self.blocks.to_pandas()
            self.assertEqual(len(self.blocks.table()), 10)

    def test_no_table(self):
        with self.assert_refused(ValueError, "sheet.h5", "/entry/provenance is no table"):
            basin.read(self.sheet()).provenance.table()


class Pictures(ReadCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(pyplot.close, "all")

    def test_axes_of_every_tool(self):
        for tool, maker in MAKERS.items():
            axes = basin.read(maker(self.path(f"{tool}.h5"))).plot()
            for one in axes if isinstance(axes, list) else [axes]:
                self.assertIsInstance(one, Axes, tool)
            figure = (axes[0] if isinstance(axes, list) else axes).figure
            self.assertIs(pyplot.gcf(), figure, tool)
        self.assertEqual(len(pyplot.get_fignums()), len(MAKERS))  # those that were asked for

    def test_which(self):
        result = basin.read(examples.slice_file(self.path("slice.h5")))
        self.assertEqual({one.name for one in result.plot("surface").figure.axes}, {"3d"})
        self.assertEqual(result.plot().name, "rectilinear")
        sweep = basin.read(examples.sweep_file(self.path("sweep.h5")))
        self.assertIsInstance(sweep.plot("lambda_min"), list)

    def test_log(self):
        result = basin.read(examples.hessian_file(self.path("hessian.h5")))
        scales = {}
        for log in (True, False):
            axes = result.plot("extremes", log=log)
            scales[log] = {one.get_yscale() for one in (axes if isinstance(axes, list) else [axes])}
        self.assertIn("symlog", scales[True])
        self.assertEqual(scales[False], {"linear"})
        with self.assert_refused(ValueError, "log: found 'yes'"):
            result.plot(log="yes")

    def test_settings_are_left_alone(self):
        result = basin.read(examples.train_file(self.path("train.h5")))
        mine = {"font.size": 17, "xtick.direction": "in", "ytick.direction": "in", "lines.linewidth": 5}
        with matplotlib.rc_context(mine), mock.patch.dict(os.environ, {"MPLBACKEND": "svg"}):
            before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
            figure = result.plot()[0].figure
            self.assertEqual(dict(matplotlib.rcParams), before)
            self.assertEqual((matplotlib.get_backend(), os.environ["MPLBACKEND"]), (backend, "svg"))
            figure.canvas.draw()  # later, by the user
            ticks = [tick for one in figure.axes for axis in (one.xaxis, one.yaxis)
                     for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]]
            self.assertEqual({tick.get_tickdir() for tick in ticks}, {"out"})

    def test_settings_are_back_after_a_failure(self):
        before = dict(matplotlib.rcParams)
        with matplotlib.rc_context({"font.size": 17}):
            with self.assert_refused(ValueError, "sheet.h5: no picture 'nope'", "sheet, extremes"):
                basin.read(self.sheet()).plot("nope")
            self.assertEqual(matplotlib.rcParams["font.size"], 17)
        self.assertEqual(dict(matplotlib.rcParams), before)
        self.assertEqual(pyplot.get_fignums(), [])

    def test_shown_once_where_figures_show_themselves(self):
        """Notebooks show what pyplot makes while it is interactive."""
        result = basin.read(examples.slice_file(self.path("slice.h5")))
        shown = []
        with pyplot.ion():
            plain = pyplot.new_figure_manager
            with mock.patch.object(pyplot, "new_figure_manager",
                                   lambda *words, **options: shown.append(pyplot.isinteractive()) or plain(*words, **options)):
                result.plot()
        self.assertEqual(shown, [True])

    def test_a_file_that_cannot_be_drawn(self):
        path = self.sheet()
        with h5py.File(path, "a") as file:
            del file["entry/largest"], file["entry/smallest"]
            del file["entry/counts"], file["entry/density"], file["entry/density_symlog"], file["entry/block_norms"]
            del file["entry/parts"]
        with self.assert_refused(ResultError, "sheet.h5: "):
            basin.read(path).plot()
        with h5py.File(path, "a") as file:
            file.attrs["basin_tool"] = "basin-other"
        with self.assert_refused(ResultError, "sheet.h5: found a result of basin-other, expected one of basin-evaluate"):
            basin.read(path).plot()


class Refused(ReadCase):
    def test_no_result(self):
        text = self.path("text.h5")
        text.write_text("no HDF5")
        problem, plain, later, bare = (self.path(name) for name in ("problem.h5", "plain.h5", "later.h5", "bare.h5"))
        with h5py.File(problem, "w") as file:
            file.attrs.update(basin_file="problem", basin_format="1.0")
        h5py.File(plain, "w").close()
        shutil.copy(self.sheet(), later)
        with h5py.File(later, "a") as file:
            file.attrs["basin_format"] = "2.0"
        with h5py.File(bare, "w") as file:
            file.attrs.update(basin_file="result", basin_format="1.0", basin_tool="basin-hessian")
        for path, words in ((text, "not an HDF5 file, expected a Basin result file"), (problem, "found a Basin problem file"),
                            (plain, "no root attribute basin_file"), (later, "found format version 2.0, expected 1.x"),
                            (bare, "/entry/verdict is missing"), (self.path("none.h5"), "no such file"),
                            (self.directory, "found a directory")):
            with self.subTest(path.name), self.assert_refused(ValueError, f"{path}: {words}"):
                basin.read(path)

    def test_files_that_are_gone_or_others(self):
        path = self.sheet()
        result = basin.read(path)
        examples.ntk_file(path)
        with self.assert_refused(ResultError, f"{path}: has changed since it was read"):
            result.largest.eigenvalue
        path.unlink()
        with self.assert_refused(ResultError, f"{path}: no such file"):
            result.largest.eigenvalue
        with self.assert_refused(ResultError, f"{path}: no such file"):
            result.plot()


if __name__ == "__main__":
    unittest.main()
