"""What other people's readers find in our files: the picture that they open, and dimensions with names."""

import json
import pathlib
import tempfile
import unittest

import h5py
import numpy as np

from support import ROOT, many_runs, run

SIZES = ("-N", 3, "-n", 3, "-D", 4, "-H", 2, "-d", 2, "--outputs", 1)
CLASSIFIER = ROOT / "data/classifier.json"
PLANE = ("--x", "-1:1:5", "--y", "-1:1:4")

# Arguments of the tools, by the name of the file they write, and the picture that it must open: the signal's place.
FILES = {
    "problem.h5": (("basin-problem", "teacher", *SIZES), "/data/X"),
    "evaluate.h5": (("basin-evaluate", "problem.h5", "--random", 2), "/entry/evaluation/gradient"),
    "ntk.h5": (("basin-ntk", "problem.h5", "--compare"), "/entry/ntk/sum"),
    "formed.h5": (("basin-ntk", "problem.h5", "--method", "formed"), "/entry/summary/lambda_min"),
    "matrix-free.h5": (("basin-ntk", "problem.h5", "--method", "matrix-free"), "/entry/summary/lambda_min"),
    "ends.h5": (("basin-hessian", "problem.h5", "--smallest", 2, "--largest", 2), "/entry/smallest/eigenvalue"),
    "full.h5": (("basin-hessian", "problem.h5", "--full", "--eigenvectors", "--norms", "--counts"),
                "/entry/spectrum/eigenvalue"),
    "density.h5": (("basin-hessian", "problem.h5", "--smallest", 2, "--density", "--probes", 2, "--steps", 20),
                   "/entry/density/density"),
    "norms.h5": (("basin-hessian", "problem.h5", "--norms"), "/entry/block_norms/frobenius"),
    "counts.h5": (("basin-hessian", "problem.h5", "--counts"), "/entry/signs/whole"),
    "train.h5": (("basin-train", "problem.h5", "--steps", 20, "--certify", "--final", "final.h5"), "/entry/run/loss"),
    "final.h5": (None, "/data/X"),
    "plane.h5": (("basin-slice", "problem.h5", *PLANE, "--quantities", "gradient"), "/entry/surface/train_loss"),
    "path.h5": (("basin-slice", "problem.h5", *PLANE, "--trajectory", "train.h5"), "/entry/surface/train_loss"),
    "line.h5": (("basin-slice", "problem.h5", "--x", "-1:1:5", "--v", "none"), "/entry/surface/train_loss"),
    "lines.h5": (("basin-slice", "problem.h5", "--x", "-1:1:5", "--lines", 3), "/entry/band/median"),
    "row.h5": (("basin-slice", "problem.h5", "--x", "-1:1:5", "--y", "0:0:1"), "/entry/surface/train_loss"),
    "part.h5": (("basin-slice", "problem.h5", *PLANE, "--part", "1/2", "--trajectory", "train.h5"),
                "/entry/surface/train_loss"),
    "other.h5": (("basin-slice", "problem.h5", *PLANE, "--part", "2/2", "--trajectory", "train.h5"),
                 "/entry/surface/train_loss"),
    "merged.h5": (("basin-slice", "merge", "part.h5", "other.h5"), "/entry/surface/train_loss"),
    "network.h5": (("basin-problem", "architecture", CLASSIFIER, "-N", 4, "--init", "pytorch"), "/data/tokens"),
    "classes.h5": (("basin-slice", "network.h5", *PLANE, "--quantities", "accuracy,gradient", "--v-blocks", "head.*"),
                   "/entry/surface/train_loss"),
    "stationary.h5": (("basin-stationary", "problem.h5", "--starts", 2), "/entry/losses/loss"),
    "curve.h5": (("basin-sweep", "teacher", "--sweep", "D=4:16:*2", "--repeats", 2, "-N", 2, "-n", 2),
                 "/entry/share_sum_positive_definite/share"),
    "image.h5": (("basin-sweep", "teacher", "--sweep", "input-scale=1:8:*2", "--sweep", "D=4:8:+2", "--sweep",
                  "kernel=softmax,gaussian", "--repeats", 1, "-N", 2, "-n", 2),
                 "/entry/share_sum_positive_definite/share"),
}


def opened(file):
    """The group that a viewer opens: `default`, followed from the root."""
    group = file
    while "default" in group.attrs:
        group = group[group.attrs["default"]]
    return group


def groups(file):
    """Every group by every path to it: of a dataset with several names, each counts."""
    found, left = [], [file]
    while left:
        group = left.pop()
        found.append(group)
        left += [group[name] for name in group if isinstance(group[name], h5py.Group)]
    return found


def plots(file):
    return [group for group in groups(file) if group.attrs.get("NX_class") == "NXdata"]


@many_runs
class Viewers(unittest.TestCase):
    """Of one file of each tool; made once."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="basin-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for name, (command, _) in FILES.items():
            if command:
                process = run(*command, "-o", name, cwd=cls.folder)
                assert process.returncode == 0, f"{command}: {process.stderr}"

    def files(self):
        """(name, open file), each in a subtest."""
        for name in FILES:
            with self.subTest(name), h5py.File(self.folder / name) as file:
                yield name, file

    def opened(self, name):
        file = h5py.File(self.folder / name)
        self.addCleanup(file.close)
        return file

    def test_every_file_opens_on_a_picture(self):
        for name, file in self.files():
            group = opened(file)
            self.assertEqual(group.attrs["NX_class"], "NXdata")
            self.assertEqual(f"{group.name}/{group.attrs['signal']}", FILES[name][1])

    def test_pictures_are_whole(self):
        """Every group that says it is a picture, also those that a reader has to look for."""
        for _, file in self.files():
            for group in plots(file):
                self.check_picture(group)

    def check_picture(self, group):
        names = [group.attrs["signal"], *group.attrs.get("auxiliary_signals", [])]
        for name in names:
            signal = group[name]
            self.assertGreater(signal.size, 0, signal.name)
            self.assertIn(signal.dtype.kind, "fiu", signal.name)
            self.assertEqual(signal.shape, group[names[0]].shape, signal.name)
            errors = f"{name}_errors"
            if errors in group:
                self.assertEqual(group[errors].shape, signal.shape, errors)
                self.assertFalse((group[errors][()] < 0).any(), errors)
        axes = group.attrs.get("axes", [])
        self.assertIn(len(axes), (0, group[names[0]].ndim), group.name)
        for i, axis in enumerate(axes):
            if axis == ".":
                continue
            self.assertEqual(group[axis].shape, (group[names[0]].shape[i],), f"{group.name}/{axis}")
            self.assertIn(group[axis].dtype.kind, "fiu", f"{group.name}/{axis}")
            self.assertEqual(group.attrs[f"{axis}_indices"], i)
        if group.name != "/data":
            self.assertIsInstance(group["title"].asstr()[()], str)
        style = json.loads(group.attrs.get("SILX_style", "{}"))
        self.assertLessEqual(set(style.get("axes_scale_types", [])), {"linear", "log"})  # silx knows no other
        self.assertLessEqual({style.get("signal_scale_type", "linear")}, {"linear", "log"})
        for key in ("axes_scale_types", "axes_scale_type"):
            self.assertIn(len(style.get(key, axes)), (0, len(axes)))

    def test_no_link_dangles(self):
        for _, file in self.files():
            for group in groups(file):
                for name in group:
                    self.assertIsInstance(group.get(name, getlink=True), h5py.HardLink, f"{group.name}/{name}")

    def test_dimensions_are_where_netcdf_looks(self):
        """Scales of a dataset have its lengths, are whole, and lie in the groups around *every* name of it, or netCDF
        refuses the file."""
        for _, file in self.files():
            for group in groups(file):
                around = []
                outer = group
                while True:
                    around += [outer[name] for name in outer if isinstance(outer[name], h5py.Dataset)]
                    if outer.name == "/":
                        break
                    outer = outer.parent
                for name in group:
                    if isinstance(group[name], h5py.Dataset):
                        self.check_dimensions(group[name], around)

    def check_dimensions(self, data, around):
        for i, references in enumerate(data.attrs.get("DIMENSION_LIST", [])):
            for reference in references:
                scale = data.file[reference]
                self.assertEqual(scale.attrs["CLASS"], b"DIMENSION_SCALE")
                self.assertEqual(scale.shape, (data.shape[i],), data.name)
                self.assertIn(scale, around, f"{data.name}: {scale.name}")
                self.assertEqual(scale.attrs["NAME"].decode(), scale.name.rpartition("/")[2])
        for back, index in data.attrs.get("REFERENCE_LIST", []):
            self.assertEqual(data.file[data.file[back].attrs["DIMENSION_LIST"][index][0]], data)

    def dimensions(self, data):
        return [dimension[0].name.rpartition("/")[2] if len(dimension) else "" for dimension in data.dims]

    def test_names_of_dimensions(self):
        for name, dataset, expected in (
                ("evaluate.h5", "evaluation/gradient", ["parameter"]),
                ("evaluate.h5", "evaluation/hessian_products", ["", "parameter"]),
                ("ntk.h5", "ntk_W_Q/eigenvalue", ["index"]),
                ("ntk.h5", "compared_gaussian/lambda_min", ["block"]),
                ("full.h5", "spectrum/eigenvalue_errors", ["index"]),
                ("full.h5", "spectrum/eigenvectors", ["index", ""]),
                ("full.h5", "block_norms/frobenius", ["row", "column"]),
                ("full.h5", "signs/modulo_symmetries", ["sign"]),
                ("density.h5", "density_symlog/density_errors", ["eigenvalue"]),
                ("train.h5", "run/loss", ["step"]),
                ("train.h5", "certificate/radius", ["step"]),
                ("plane.h5", "/train_loss", ["ycoordinates", "xcoordinates"]),
                ("plane.h5", "/computed", ["ycoordinates", "xcoordinates"]),
                ("part.h5", "surface/train_loss", ["ycoordinates", "xcoordinates"]),
                ("merged.h5", "/train_acc", ["ycoordinates", "xcoordinates"]),
                ("line.h5", "/train_loss", ["xcoordinates"]),
                ("lines.h5", "band/q05", ["xcoordinates"]),
                ("stationary.h5", "losses/loss", ["rank"]),
                ("curve.h5", "share_sum_positive_definite/share", ["D"]),
                ("image.h5", "share_sum_positive_definite/upper", ["input-scale", "D", "kernel"])):
            with self.subTest(f"{name}:{dataset}"):
                self.assertEqual(self.dimensions(self.opened(name)["entry"][dataset]), expected)

    def test_smallest_ntk_eigenvalues_with_names_and_errors(self):
        for name in ("formed.h5", "matrix-free.h5"):
            summary = self.opened(name)["entry/summary"]
            label = summary["kernel"].attrs["long_name"]
            for i, block in enumerate(summary["block"].asstr()):
                self.assertIn(f"{i} = {block}", label)
            known = np.isfinite(summary["lambda_min_errors"])
            value, error = summary["lambda_min"][known], summary["lambda_min_errors"][known]
            self.assertTrue(known[-1])
            self.assertTrue((value - error <= summary["lambda_min_lower"][known]).all())
            self.assertTrue((value + error >= summary["lambda_min_upper"][known]).all())

    def test_ntk_curves_have_errors(self):
        entry = self.opened("ntk.h5")["entry"]
        for name in (entry["ntk"].attrs["signal"], *entry["ntk"].attrs["auxiliary_signals"]):
            curve = entry[f"ntk_{name}"]
            self.assertEqual(entry[f"ntk/{name}_errors"], curve["eigenvalue_errors"])
            value, error = curve["eigenvalue"][()], curve["eigenvalue_errors"][()]
            self.assertTrue((value + error >= curve["upper"][()]).all())
            self.assertTrue((value - error <= curve["lower"][()]).all())

    def test_images_are_drawn_on_axes_of_equal_steps(self):
        """Viewers draw the cells of an image at equal distances: what is not equally spaced is numbered there, and
        long_name says which number means what."""
        for _, file in self.files():
            for group in plots(file):
                if group[group.attrs["signal"]].ndim > 1:
                    for axis in group.attrs.get("axes", []):
                        steps = np.diff(group[axis][()]) if axis != "." else [1.0]
                        np.testing.assert_allclose(steps, steps[0], rtol=1e-9, err_msg=group[axis].name)
        group = opened(self.opened("image.h5"))
        self.assertEqual(list(group.attrs["axes"]), ["input-scale_number", "D", "kernel_number"])
        self.assertEqual(group["input-scale_number"].attrs["long_name"], "input-scale: 0 = 1, 1 = 2, 2 = 4, 3 = 8")
        self.assertEqual(group["input-scale"][()].tolist(), [1, 2, 4, 8])
        self.assertEqual(group["kernel_number"].attrs["long_name"], "kernel: 0 = softmax, 1 = gaussian")

    def test_a_curve_over_a_geometric_axis_is_drawn_on_a_logarithmic_one(self):
        group = opened(self.opened("curve.h5"))
        self.assertEqual(list(group.attrs["axes"]), ["D"])
        self.assertEqual(json.loads(group.attrs["SILX_style"])["axes_scale_type"], ["log"])

    def test_shares_are_drawn_in_their_intervals(self):
        """As curves: bars to both sides would reach below 0 and above 1."""
        entry = self.opened("curve.h5")["entry"]
        group, cells = entry["share_sum_positive_definite"], entry["cells/sum/positive_definite"]
        self.assertEqual(list(group.attrs["auxiliary_signals"]), ["lower", "upper"])
        for name in ("lower", "upper"):
            np.testing.assert_array_equal(group[name], cells[f"share_{name}"])
        median = entry["median_sum_lambda_min"]
        self.assertEqual(list(median.attrs["auxiliary_signals"]), ["q05", "q25", "q75", "q95"])
        density = self.opened("density.h5")["entry/cumulative"]
        self.assertEqual(list(density.attrs["auxiliary_signals"]), ["lower", "upper"])

    def test_densities_can_be_read(self):
        """Per unit of eigenvalue over decades; per unit of asinh, with gaps of 1e-50, on linear values."""
        entry = self.opened("density.h5")["entry"]
        for name, values, axis in (("density", "log", "linear"), ("density_symlog", "linear", "symlog")):
            style = json.loads(entry[name].attrs["SILX_style"])
            self.assertEqual((style["signal_scale_type"], style["axes_scale_type"]), (values, [axis]))

    def test_block_norms_name_the_blocks(self):
        norms = self.opened("norms.h5")["entry/block_norms"]
        for axis in ("row", "column"):
            self.assertEqual(norms[axis].attrs["long_name"], f"{axis}: 0 = W_Q, 1 = W_K, 2 = W_V, 3 = W_O")

    def test_signs_are_the_counts(self):
        entry = self.opened("full.h5")["entry"]
        for row, name in enumerate(("whole", "modulo_symmetries")):
            self.assertEqual(entry[f"signs/{name}"][()].tolist(),
                             [entry[f"counts/{sign}"][row] for sign in ("negative", "zero", "positive")])

    def test_an_unfinished_slice_says_so(self):
        for name, group in (("part.h5", "surface"), ("plane.h5", "surface"), ("merged.h5", "surface")):
            title = self.opened(name)[f"entry/{group}/title"].asstr()[()]
            missing = ", incomplete, 10 of 20 points" if name == "part.h5" else ""
            self.assertEqual(title, "loss f on a plane through the point" + missing)

    def test_the_accuracy_of_a_network_is_a_picture_and_where_the_2018_scripts_look(self):
        file = self.opened("classes.h5")
        accuracy = file["train_acc"]
        self.assertEqual((accuracy.shape, accuracy.dtype), ((4, 5), np.float64))
        self.assertTrue(np.isin(accuracy[()] / 25, range(5)).all())  # in percent, of four samples
        self.assertEqual(accuracy, file["entry/accuracy/train_acc"])
        self.assertEqual(file["entry/accuracy"].attrs["signal"], "train_acc")
        np.testing.assert_array_equal(file["VTKHDF/PointData/train_acc"], accuracy[()].ravel())
        self.assertEqual(file["VTKHDF/Types"][()].tolist(), 12 * [9])
        self.assertTrue((file["train_loss"][()] > 0).all())  # else they take them for not computed

    def test_a_merged_slice_shows_what_one_run_shows(self):
        whole, merged = self.opened("path.h5"), self.opened("merged.h5")
        for group in plots(whole):
            other = merged[group.name]
            self.assertEqual(set(group), set(other))
            self.assertEqual({k: str(v) for k, v in group.attrs.items()}, {k: str(v) for k, v in other.attrs.items()})
            for name in group:
                self.assertEqual(self.dimensions(group[name]), self.dimensions(other[name]), name)


if __name__ == "__main__":
    unittest.main()
