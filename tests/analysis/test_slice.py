"""Pictures of loss slices: levels, masks, and what is drawn."""
import unittest

import h5py
import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.transforms import Bbox
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from support import FileCase, figures  # first, because it finds basin
import examples
from basin.pictures import comparison
from basin.pictures.field import field
from basin.pictures.labels import crowded, distance, resample, straight
from basin.pictures.levels import linear_levels, log_floor, log_levels
from basin.files import open_result
from basin.pictures.scales import use_log
from basin.pictures.slice import mask_unusable
from basin.pictures.style import number_label, number_labels
from basin.pictures.surface import MOST_POINTS, quads, thin


class Levels(unittest.TestCase):
    def test_log_levels_are_round_and_cover_the_range(self):
        self.assertEqual(list(log_levels(0.012, 88)),
                         [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
        self.assertEqual(list(log_levels(1, 1e8)), [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8])

    def test_number_of_log_levels(self):
        for decades in (0.1, 0.5, 1.5, 3, 6, 12, 40, 300, 600):
            low = 3.7 * 10 ** -(decades / 2)
            high = low * 10 ** (decades / 2) * 10 ** (decades / 2)
            levels = log_levels(low, high)
            inside = levels[(levels > low) & (levels < high)]
            with self.subTest(decades):
                self.assertTrue(levels[0] <= low and levels[-1] >= high)
                self.assertTrue(3 <= len(inside) <= 12, levels)
                self.assertTrue((np.diff(levels) > 0).all())

    def test_linear_levels_cover_the_range_of_a_constant_too(self):
        for low, high in ((2.87, 3.15), (-5, 1e3), (2, 2), (0, 0), (-1e-9, -1e-9)):
            levels = linear_levels(low, high)
            with self.subTest(low=low, high=high):
                self.assertTrue(levels[0] <= low and levels[-1] >= high)
                self.assertTrue(4 <= len(levels) <= 13, levels)

    def test_a_few_values_far_below_do_not_stretch_the_scale(self):
        values = np.geomspace(1e-2, 1e2, 100)
        self.assertEqual(log_floor(values), 1e-2)
        self.assertEqual(log_floor(np.append(values, 1e-29)), 1e-2)
        self.assertEqual(log_floor(np.append(values, [1e-29, 1e-4])), 1e-4)
        self.assertEqual(log_floor(np.append(values, 1e-8 * values)), 1e-10)  # not few
        self.assertEqual(log_floor(np.geomspace(1e-300, 1, 101)), 1e-300)  # gaps of three decades throughout

    def test_choice_of_scale(self):
        for values, logarithmic in (([1, 29], False), ([1, 31], True), ([0, 1, 31], True), ([0, 0], False),
                                    ([-1, 31, 1], False), ([1e-300, 1e300], True)):
            with self.subTest(values):
                self.assertEqual(use_log(np.array(values, float), "auto"), logarithmic)
        self.assertFalse(use_log(np.array([1, 31.0]), "linear"))
        self.assertTrue(use_log(np.array([1, 2.0]), "log"))


class Labels(unittest.TestCase):
    def test_numbers(self):
        for value, label in ((0.05, "0.05"), (1000, "1000"), (-2.5, "\u22122.5"), (1e-5, "$10^{-5}$"),
                             (-1e7, "$-10^{7}$"), (3e-7, r"$3{\times}10^{-7}$"), (0, "0"),
                             (1.234e10, r"$1.23{\times}10^{10}$"), (np.nan, "nan")):
            with self.subTest(value):
                self.assertEqual(number_label(value), label)

    def test_neighbours_differ(self):
        for levels in ([0.5, 1, 2], 1e4 + np.arange(5), 2 + 1e-7 * np.arange(6), 3e8 + 3e3 * np.arange(9)):
            with self.subTest(levels=levels):
                self.assertEqual(len(set(number_labels(np.array(levels)))), len(levels))


class Fields(unittest.TestCase):
    def test_mask(self):
        loss = np.array([[1, -1, 3], [np.nan, np.inf, 0]])
        computed = np.array([[True, False, True], [True, True, True]])
        self.assertEqual(mask_unusable(loss, computed).mask.tolist(), [[0, 1, 0], [1, 1, 0]])

    def test_zero_is_raised_to_the_lowest_level_and_said_to_be(self):
        shown = field(np.ma.array([[0, 0.2, 1], [30, 50, 90]]), 0.0, "auto")
        self.assertTrue(shown.log)
        self.assertIsInstance(shown.norm, LogNorm)
        self.assertEqual(shown.values.min(), shown.levels[0])
        self.assertTrue(0 < shown.levels[0] <= 0.2)
        self.assertTrue(shown.level_labels[0].startswith("\u2264"))

    def test_masked_values_play_no_part(self):
        loss = np.ma.masked_greater(np.array([[1.0, 2], [3, 1e300]]), 1e9)
        shown = field(loss, 1.0, "auto")
        self.assertFalse(shown.log)
        self.assertLessEqual(shown.levels[-1], 4)

    def test_a_small_range_is_drawn_against_the_centre(self):
        shown = field(np.ma.array([[1000, 1000.01], [1000.02, 1000.03]]), 1000.01, "auto")
        np.testing.assert_allclose(shown.values, [[-0.01, 0], [0.01, 0.02]], atol=1e-12)
        self.assertIn("f($\\theta$)", shown.label)
        self.assertEqual(field(np.ma.array([[2.0, 2], [2, 2]]), 2.0, "auto").label, "loss f")


class Contour(FileCase):
    def test_axes_marks_and_levels(self):
        axes, = figures(examples.slice_file(self.path("s.h5")))["contour"].axes
        self.assertEqual(axes.get_xlabel(), "step $a$ along $u$ (random; normalisation: filter)")
        self.assertEqual(axes.get_ylabel(), "step $b$ along $v$ (random; normalisation: filter)")
        self.assertEqual(axes.get_aspect(), 1)
        bar, = axes.child_axes
        self.assertEqual(bar.get_ylabel(), "loss f")
        mark, = axes.get_lines()
        self.assertEqual((mark.get_xdata(), mark.get_ydata()), (0, 0))
        self.assertIn("0.012", mark.get_label())
        self.assertGreater(len(axes.texts), 5)

    def test_rectangle_is_drawn_with_columns_along_x(self):
        a, b = np.linspace(-1, 1, 11), np.linspace(0, 30, 7)
        path = examples.slice_file(self.path("s.h5"), np.tile(a, (7, 1)) + 3, a, b)
        axes, = figures(path)["contour"].axes
        self.assertEqual((axes.get_xlim(), axes.get_ylim()), ((-1, 1), (0, 30)))
        self.assertEqual(axes.get_aspect(), "auto")
        lines = [path.vertices for item in axes.collections if not item.get_fill()
                 for path in item.get_paths()]
        self.assertGreater(len(lines), 3)
        for line in lines:  # the loss depends on a alone
            self.assertLess(np.ptp(line[:, 0]), 1e-9)

    def test_missing_points_are_marked(self):
        loss, computed = np.arange(1.0, 31).reshape(5, 6), np.ones((5, 6))
        loss[0], computed[0] = -1, 0
        loss[2, 3], loss[3, 4] = np.nan, np.inf
        path = examples.slice_file(self.path("s.h5"), loss, range(1, 7), range(1, 6), computed)
        axes, = figures(path)["contour"].axes
        marks = {line.get_label(): line for line in axes.get_lines()}
        self.assertEqual(set(marks), {"not computed (6 of 30 points)", "NaN or infinite (2 of 30 points)"})
        self.assertEqual(marks["NaN or infinite (2 of 30 points)"].get_xydata().tolist(), [[4, 3], [5, 4]])
        self.assertEqual(set(marks["not computed (6 of 30 points)"].get_ydata()), {1})


class PlacesForLabels(unittest.TestCase):
    def test_resampling_keeps_the_ends_and_the_shape(self):
        line = resample(np.array([[0, 0], [10, 0], [10, 5.0]]), 2)
        self.assertEqual((line[0].tolist(), line[-1].tolist()), ([0, 0], [10, 5]))
        np.testing.assert_allclose(np.abs(np.diff(line, axis=0)).sum(axis=1), 15 / 8)

    def test_straight_places_of_a_line(self):
        corner = np.array([[x, 0] for x in range(20)] + [[19, y] for y in range(1, 20)], float)
        places = np.flatnonzero(straight(corner, 6))
        self.assertEqual(places.tolist(), [*range(3, 17), *range(22, 36)])
        self.assertFalse(straight(corner, 60).any())
        self.assertFalse(straight(np.zeros((5, 2)), 6).any())

    def test_crowded_cells(self):
        pieces = [(0, np.array([[5, 5.0]])), (1, np.array([[35, 5.0]]))]
        crowd = crowded(pieces, 2, Bbox([[0, 0], [69, 19]]), 10)
        self.assertEqual(crowd[0].astype(int).tolist(), [[0, 0, 1, 1, 1, 0, 0]] * 2)
        self.assertEqual(crowd[1].astype(int).tolist(), [[1, 1, 0, 0, 0, 0, 0]] * 2)

    def test_distance(self):
        places, others = np.array([[0, 0], [9, 5.0]]), np.array([[0, 1], [9, 9.0]])
        self.assertEqual(distance(places, others).tolist(), [1, 4])


class Surface(FileCase):
    def test_cells_with_a_missing_corner_are_left_out(self):
        height = np.ma.masked_invalid([[1, 2, 3], [4, np.nan, 6], [7, 8, 9], [1, 1, 1]])
        corners, mean = quads(np.arange(3), np.arange(4), height)
        self.assertEqual(len(corners), 2)
        self.assertEqual(corners[0].tolist(), [[0, 2, 7], [1, 2, 8], [1, 3, 1], [0, 3, 1]])
        self.assertEqual(mean.tolist(), [4.25, 4.75])

    def test_large_grids_are_thinned(self):
        a, b, loss = thin(np.arange(500), np.arange(121), np.zeros((121, 500)))
        self.assertEqual((a.size, b.size, loss.shape), (100, 121, (121, 100)))
        self.assertLessEqual(a.size, MOST_POINTS)

    def test_height_is_the_logarithm(self):
        axes, = figures(examples.slice_file(self.path("s.h5")))["surface"].axes
        faces, = (item for item in axes.collections if isinstance(item, Poly3DCollection))
        height = faces._vec[2]
        loss = examples.bowl(np.linspace(-1, 1, 51), np.linspace(-1, 1, 51))
        self.assertAlmostEqual(height.min(), np.log10(loss.min()))
        self.assertAlmostEqual(height.max(), np.log10(loss.max()))


class Line(FileCase):
    def draw(self, loss, a, b, scale="auto"):
        (name, figure), = figures(examples.slice_file(self.path("s.h5"), loss, a, b), scale).items()
        self.assertEqual(name, "line")
        return figure

    def test_row_and_column(self):
        steps = np.linspace(-1, 1, 5)
        row = np.array([[4, 3, 2, 3, 4]])
        for loss, a, b, label in ((row, steps, [0], "step $a$ along $u$"),
                                  (row.T, [0], steps, "step $b$ along $v$")):
            axes, = self.draw(loss, a, b).axes
            curve, mark = axes.get_lines()
            self.assertTrue(axes.get_xlabel().startswith(label))
            self.assertEqual(curve.get_xydata().tolist(), np.transpose([steps, row[0]]).tolist())
            self.assertEqual((mark.get_xdata(), mark.get_ydata()), (0, 2))
            self.assertEqual(axes.get_yscale(), "linear")

    def test_a_line_has_one_dimension(self):
        path = examples.slice_file(self.path("s.h5"), [[4, 3, 2, 3, 4]], np.linspace(-1, 1, 5), [0])
        with h5py.File(path, "a") as file:
            for name in ("train_loss", "computed"):
                values = file[name][0]
                del file[name]
                file[name] = values
            del file["ycoordinates"]
            file["min_eig"] = [-1, 2, 3, 4, np.nan]
        drawn = figures(path)
        self.assertEqual(set(drawn), {"line", "curvature"})
        self.assertEqual(drawn["line"].axes[0].get_lines()[0].get_ydata().tolist(), [4, 3, 2, 3, 4])
        self.assertEqual(drawn["curvature"].axes[0].get_lines()[0].get_ydata().tolist()[:4], [-1, 2, 3, 4])

    def test_off_the_point(self):
        figure = self.draw([[1, 2, 3]], [-1, 0, 1], [0.5])
        self.assertIn("b = 0.5", figure._suptitle.get_text())
        self.assertEqual(len(figure.axes[0].get_lines()), 1)

    def test_values_that_cannot_be_shown_are_counted(self):
        axes, = self.draw([[1e-3, 0, 5, np.nan, 100]], range(5), [0]).axes
        self.assertEqual(axes.get_yscale(), "log")
        self.assertEqual(axes.get_lines()[0].get_ydata().count(), 3)
        labels = " ".join(axes.get_legend_handles_labels()[1])
        self.assertIn("1 of 5 points (value 0", labels)
        self.assertIn("1 of 5 points (NaN or infinite", labels)


class MoreThanTheLoss(FileCase):
    """Paths, bands, maps and comparisons."""

    def with_path(self, name="path.h5"):
        path = examples.slice_file(self.path(name))
        with h5py.File(path, "a") as file:
            group = examples.plot_group(file["entry"], "trajectory", "loss", ["step"])
            t = np.linspace(0, 1, 9)
            for key, values in {"step": 10 * t, "loss": 5 - 4 * t, "proj_xcoord": t - 0.5, "proj_ycoord": 0.5 - t**2,
                                "distance": 0.1 * t}.items():
                group[key] = values
            group["variance_share"] = 0.87654
        return path

    def test_path_on_the_contour_and_alone(self):
        drawn = figures(self.with_path())
        self.assertEqual(set(drawn), {"contour", "surface", "trajectory"})
        lines = {line.get_label(): line for line in drawn["contour"].axes[0].get_lines()}
        projected = lines["training path, projected (87.65 % of the variance of all weights)"]
        np.testing.assert_allclose(projected.get_xdata(), np.linspace(-0.5, 0.5, 9))
        upper, lower = drawn["trajectory"].axes
        np.testing.assert_allclose(upper.get_lines()[0].get_ydata(), 5 - 4 * np.linspace(0, 1, 9))
        np.testing.assert_allclose(lower.get_lines()[0].get_ydata(), 0.1 * np.linspace(0, 1, 9))

    def test_band_of_lines(self):
        loss = np.arange(1, 12)[:, None] * np.ones(5)
        path = examples.slice_file(self.path("lines.h5"), loss=loss, a=np.arange(5), b=np.arange(1, 12))
        with h5py.File(path, "a") as file:
            band = file["entry"].create_group("band")
            for number, name in enumerate(("q05", "q25", "median", "q75", "q95")):
                band[name] = np.full(5, 3.0 + number)
        drawn = figures(path, "linear")
        self.assertEqual(set(drawn), {"band"})
        np.testing.assert_allclose(drawn["band"].axes[0].get_lines()[0].get_ydata(), 5)  # as the file says

    def test_curvature_map(self):
        path = examples.slice_file(self.path("map.h5"))
        with h5py.File(path, "a") as file:
            x, y = np.meshgrid(file["xcoordinates"], file["ycoordinates"])
            file["min_eig"], file["max_eig"] = x - 0.5, 2 + y
        axes = figures(path)["curvature"].axes
        self.assertEqual([a.get_title() for a in axes[:2]], ["smallest Hessian eigenvalue", "largest Hessian eigenvalue"])

    def test_each_direction_has_its_own_words(self):
        path = examples.slice_file(self.path("s.h5"), normalisation="none")
        with h5py.File(path, "a") as file:
            file["entry/directions/y_origin"][()] = "principal direction 2"
        axes = figures(path)["contour"].axes[0]
        self.assertEqual(axes.get_xlabel(), "step $a$ along $u$ (random)")
        self.assertEqual(axes.get_ylabel(), "step $b$ along $v$ (principal direction 2)")

    def test_accuracy_is_drawn_where_it_was_measured(self):
        path = examples.slice_file(self.path("s.h5"))
        self.assertNotIn("curvature", figures(path))
        with h5py.File(path, "a") as file:
            file["train_acc"][()] = 50
            file["entry"].create_group("accuracy")
        figure = figures(path)["curvature"]
        self.assertEqual([a.get_title() for a in figure.axes], ["accuracy, %", ""])  # with the bar of its colours
        figure.draw_without_rendering()
        self.assertGreater(figure.axes[0].get_position().width, 0.5)  # alone, it has the whole width

    def test_eigenvalues_that_did_not_converge_are_marked(self):
        path = examples.slice_file(self.path("map.h5"))
        with h5py.File(path, "a") as file:
            x, y = np.meshgrid(file["xcoordinates"], file["ycoordinates"])
            file["min_eig"], file["max_eig"] = x - 0.5, 2 + y
            file["eig_converged"] = np.where((x == 1) & (y == -1), 0.0, 1)
        for axes in figures(path)["curvature"].axes[:2]:
            theta, mark = axes.get_lines()
            self.assertEqual((theta.get_xydata().tolist(), mark.get_xydata().tolist()), ([[0, 0]], [[1, -1]]))
            self.assertIn("not converged", axes.get_title())

    def test_comparison_of_steep_and_flat(self):
        steep = examples.slice_file(self.path("a.h5"))
        with h5py.File(steep) as file:
            loss = file["train_loss"][()]
        flat = examples.slice_file(self.path("b.h5"), loss=1 + loss / 1e3, kernel="gaussian")
        with open_result(steep) as first, open_result(flat) as second:
            left, right = comparison.draw([first, second], "linear").axes
        self.assertNotIn("dashed", left.get_xlabel())
        self.assertIn("dashed", right.get_xlabel())
        self.assertGreater(len(right.texts), 2)  # its levels are labelled

    def test_directions_in_few_digits(self):
        path = examples.slice_file(self.path("s.h5"), normalisation="none")
        for origin, label in (("eigenvector: -12.93874649 +- 1.5e-10", "eigenvector: \u221212.939"),
                              ("to ../runs/end.h5", "to end.h5"),
                              ("to ../runs/run.h5:/trajectory/theta:3", "to run.h5:/trajectory/theta:3"),
                              ("eigenvector: 0.5 +- 0.031 (not converged)", "eigenvector: 0.5 \u00b1 0.031 (not converged)")):
            with h5py.File(path, "a") as file:
                file["entry/directions/x_origin"][()] = origin
            drawn = figures(path)
            self.assertEqual(drawn["contour"].axes[0].get_xlabel().replace("\n", " "), f"step $a$ along $u$ ({label})")
            self.assertIn(f"u: {label}; v: random", drawn["surface"]._supxlabel.get_text())

    def test_logarithmic_axes_under_two_decades_have_labels(self):
        for low, high in ((1.2, 90), (3, 9), (2, 2.6)):
            path = examples.slice_file(self.path("s.h5"), np.geomspace(low, high, 9)[None], np.linspace(-1, 1, 9), [0])
            figure = figures(path, "log")["line"]
            figure.draw_without_rendering()
            axes, = figure.axes
            bottom, top = axes.get_ylim()
            self.assertGreaterEqual(sum(bottom <= tick <= top for tick in axes.get_yticks()), 3, (low, high))

    def test_a_share_is_drawn_point_by_point(self):
        computed = np.zeros((6, 5))
        computed[::3] = 1
        loss = np.where(computed, 2 + np.arange(30).reshape(6, 5), -1)
        drawn = figures(examples.slice_file(self.path("s.h5"), loss, range(5), range(6), computed))
        mesh, = (item for item in drawn["contour"].axes[0].collections if isinstance(item, QuadMesh))
        self.assertEqual(mesh.get_array().count(), 10)
        self.assertIn("no cell of the grid", drawn["surface"].axes[0].texts[0].get_text())

    def test_maps_have_the_point_contours_and_the_directions(self):
        path = examples.slice_file(self.path("map.h5"))
        with h5py.File(path, "a") as file:
            x, y = np.meshgrid(file["xcoordinates"], file["ycoordinates"])
            file["gradient_norm"] = 10 ** (x + y)
        figure = figures(path)["curvature"]
        axes = figure.axes[0]
        self.assertEqual(axes.get_lines()[0].get_xydata().tolist(), [[0, 0]])
        self.assertGreater(len(axes.texts), 2)  # labels of contours
        self.assertIn("u and v: random", figure._supxlabel.get_text())

    def test_comparison_of_different_planes(self):
        near = examples.slice_file(self.path("a.h5"))
        steps = np.linspace(-3, 1, 9)
        wide = examples.slice_file(self.path("b.h5"), a=steps, b=steps + 2, kernel="gaussian")
        same = examples.slice_file(self.path("c.h5"), kernel="gaussian")
        with open_result(near) as first, open_result(wide) as second, open_result(same) as third:
            different = comparison.draw([first, second], "auto")
            self.assertEqual(different._suptitle.get_text(), "Loss slices, side by side")
            for axes in different.axes:
                self.assertEqual((axes.get_xlim(), axes.get_ylim()), ((-3, 1), (-1, 3)))
            self.assertIn("same plane family", comparison.draw([first, third], "auto")._suptitle.get_text())

    def test_comparison_has_one_scale(self):
        steep = examples.slice_file(self.path("a.h5"))
        with h5py.File(steep) as file:
            loss = file["train_loss"][()]
        flat = examples.slice_file(self.path("b.h5"), loss=loss / 10, kernel="gaussian")
        with open_result(steep) as first, open_result(flat) as second:
            figure = comparison.draw([first, second], "log")
        left, right = figure.axes
        self.assertEqual(left.get_title().split(",")[0], "softmax")
        self.assertEqual(right.get_title().split(",")[0], "gaussian")
        self.assertEqual(left.collections[0].get_clim(), right.collections[0].get_clim())
        process = self.basin_plot("--compare", "a.h5", "b.h5", "--format", "svg")
        self.assertEqual((process.returncode, process.stdout), (0, "a_comparison.svg\n"), process.stderr)
        line = examples.slice_file(self.path("c.h5"), loss=np.ones((1, 5)), a=np.arange(5), b=[0])
        self.assert_one_line(self.basin_plot("--compare", "a.h5", str(line)), 2, "found a line")


if __name__ == "__main__":
    unittest.main()
