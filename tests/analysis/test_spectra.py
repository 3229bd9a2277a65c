"""Pictures of eigenvalues: signs, certainty, scales, and what is drawn."""
import unittest
from itertools import combinations

import h5py
import numpy as np
from matplotlib.colors import to_rgb

from support import FileCase, figures  # first, because it finds basin
import examples
from basin.pictures import sheet
from basin.pictures.ntk import Kernel
from basin.files import ResultError
from basin.pictures.scales import symlog_exponents, symlog_threshold, use_symlog
from basin.pictures.spectrum import classify, symlog_bins
from basin.pictures.style import block_label, bound_label, safe_side


class Signs(unittest.TestCase):
    def test_classes(self):
        values = np.array([-2, -1e-3, -1e-9, 0, 1e-9, 1e-3, 2.0])
        self.assertEqual(classify(values, np.full(7, 1e-6)).tolist(), [-1, -1, 0, 0, 0, 1, 1])
        self.assertEqual(classify(values, np.zeros(7)).tolist(), [-1, -1, -1, 0, 1, 1, 1])
        self.assertEqual(classify(np.array([-1.0, 1.0]), np.ones(2)).tolist(), [0, 0])  # the bound reaches 0


class Bounds(unittest.TestCase):
    def test_bounds_are_rounded_to_their_safe_side_as_in_print(self):
        # The pairs of tests/tools/common/command/numbers.cpp.
        for value, upper, digits, expected in ((-9.9312, True, 3, -9.93), (-9.9312, False, 3, -9.94), (-1.234e-5, True, 2, -1.2e-5),
                                               (-1.234e-5, False, 2, -1.3e-5), (1.231e-7, True, 3, 1.24e-7), (1.239e-7, False, 3, 1.23e-7),
                                               (0.1, True, 3, 0.1), (-0.1, True, 3, -0.1), (0.02060875669, False, 4, 0.0206),
                                               (0.02060875669, True, 4, 0.02061), (9.996, True, 3, 10), (1.0004, False, 4, 1), (0, True, 3, 0)):
            self.assertEqual(safe_side(value, upper, digits), expected)
        self.assertEqual(bound_label(1.231e-7, True), r"$1.24{\times}10^{-7}$")
        self.assertEqual(bound_label(1.231e-7, False), r"$1.23{\times}10^{-7}$")
        self.assertEqual(bound_label(12.3451, True), "12.35")
        for value in 10.0 ** np.random.default_rng(0).uniform(-300, 300, 1000):
            self.assertTrue(safe_side(value, False, 3) <= value <= safe_side(value, True, 3))
            self.assertTrue(safe_side(-value, False, 3) <= -value <= safe_side(-value, True, 3))


class Scales(unittest.TestCase):
    def test_symlog_by_sign_and_range(self):
        for values, errors, expected in (([-1, 2], [0, 0], True), ([1, 2], [0, 0], False),
                                         ([1, 100], [0, 0], True), ([3, -1e-9], [0.1, 1e-8], False),
                                         ([0, 0], [0, 0], False)):
            with self.subTest(values):
                values, errors = np.array(values, float), np.array(errors, float)
                self.assertEqual(use_symlog(values, errors, "auto"), expected)
        self.assertTrue(use_symlog(np.ones(1), np.zeros(1), "log"))
        self.assertFalse(use_symlog(np.array([-1, 1.0]), np.zeros(2), "linear"))

    def test_threshold_is_under_all_certain_values(self):
        self.assertEqual(symlog_threshold(np.array([-3, 0.02, 1e-9]), np.full(3, 1e-6)), 1e-2)
        self.assertEqual(symlog_threshold(np.array([1.0, 1e-300]), np.zeros(2)), 1e-16)
        self.assertEqual(symlog_threshold(np.array([1e-9, 0]), np.full(2, 3e-6)), 1e-6)

    def test_ticks(self):
        self.assertEqual(symlog_exponents(1e-2, 300).tolist(), [2, 1, 0, -1, -2])
        self.assertEqual(symlog_exponents(1e-9, 300).tolist(), [2, -1, -4, -7])
        self.assertEqual(symlog_exponents(1.0, 0.5).tolist(), [0])

    def test_bins_hold_every_eigenvalue_once(self):
        values, errors = examples.hessian_spectrum()
        bins = symlog_bins(values, errors)
        self.assertTrue((np.diff(bins) > 0).all())
        self.assertEqual(np.histogram(values, bins)[0].sum(), values.size)
        around_zero = np.histogram(np.zeros(1), bins)[0].argmax()
        zero = np.abs(values) <= errors
        self.assertEqual(np.histogram(values[zero], bins)[0][around_zero], np.count_nonzero(zero))


class Hessian(FileCase):
    def drawn(self, axes):
        """Marker points of all error bars: (number, eigenvalue, hollow)."""
        return sorted((*point, line.get_markerfacecolor() == "none") for line in axes.get_lines()
                      if line.get_marker() in "v^o" for point in line.get_xydata().tolist())

    def test_extremes(self):
        figure = figures(examples.hessian_file(self.path("h.h5")))["extremes"]
        largest, smallest = (axes for axes in figure.axes if axes.get_title())
        self.assertEqual(self.drawn(largest), [(1, 412.7, False), (2, 183.2, False), (3, 64.1, True)])
        self.assertEqual(self.drawn(smallest), [(1, -3.21, False), (2, -0.47, False), (3, -0.0061, False)])
        self.assertEqual((largest.get_title(), smallest.get_title()), ("largest", "smallest"))
        for axes in (largest, smallest):
            self.assertEqual(axes.get_yscale(), "symlog")
            self.assertTrue(axes.get_ylim()[0] < -3.21 and axes.get_ylim()[1] > 412.7)
        self.assertIn("Hessian: 3 largest and 3 smallest", figure._suptitle.get_text())
        legend = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
        self.assertEqual(legend, ["negative: 3", "positive: 3", "hollow: not converged (1)"])

    def test_what_did_not_converge_and_was_left_out_is_said(self):
        path = examples.hessian_file(self.path("h.h5"), largest=([5.0], [0.1], [1], 3),
                                     smallest=([], [], [], 2))
        largest, smallest, _ = figures(path)["extremes"].axes
        self.assertEqual(largest.get_title(), "largest (only 1 of 3 converged)")
        self.assertEqual(smallest.get_title(), "smallest (only 0 of 2 converged)")
        self.assertEqual(self.drawn(largest), [(1, 5, False)])
        self.assertEqual(self.drawn(smallest), [])

    def test_error_bars_have_the_length_of_the_errors(self):
        path = examples.hessian_file(self.path("h.h5"), largest=([5.0], [0.5], [1]),
                                     smallest=([4.0], [0.1], [1]))
        axes = figures(path)["extremes"].axes[0]
        self.assertEqual(axes.get_yscale(), "linear")
        bars = [segment for bar in axes.collections for segment in bar.get_segments()]
        self.assertEqual([bar.tolist() for bar in bars], [[[1, 4.5], [1, 5.5]]])

    def test_operator_in_the_title(self):
        path = examples.hessian_file(self.path("h.h5"), operator="gauss-newton", full=True)
        for name, figure in figures(path).items():
            self.assertIn("Gauss-Newton matrix", figure._suptitle.get_text(), name)

    def test_whole_spectrum(self):
        pictures = figures(examples.hessian_file(self.path("h.h5"), full=True))
        self.assertEqual(list(pictures), ["extremes", "spectrum", "histogram"])
        values, errors = examples.hessian_spectrum()
        axes = pictures["spectrum"].axes[0]
        points = self.drawn(axes)
        np.testing.assert_array_equal([point[1] for point in points], values)
        np.testing.assert_array_equal([point[0] for point in points], np.arange(1, values.size + 1))
        counts = [np.count_nonzero(part) for part in
                  (values < -errors, np.abs(values) <= errors, values > errors)]
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        self.assertEqual(legend, [f"negative: {counts[0]}", f"not distinguishable from 0: {counts[1]}",
                                  f"positive: {counts[2]}"])
        self.assertEqual(counts[0], 180)
        self.assertEqual(axes.get_yscale(), "symlog")
        bars = pictures["histogram"].axes[0].patches
        self.assertEqual([bar.get_data().values.sum() for bar in bars], counts)

    def test_scale_options(self):
        path = examples.hessian_file(self.path("h.h5"), full=True)
        for scale, expected in (("log", "symlog"), ("linear", "linear")):
            pictures = figures(path, scale)
            self.assertEqual(pictures["extremes"].axes[0].get_yscale(), expected)
            self.assertEqual(pictures["spectrum"].axes[0].get_yscale(), expected)
            self.assertEqual(pictures["histogram"].axes[0].get_xscale(), expected)


class Sheet(FileCase):
    def test_equal_eigenvalues_are_counted(self):
        found = sheet.clusters([3.0, 3.0, 3.0 + 1e-9, 1.0, 1.0], [1e-8, 1e-8, 1e-8, 1e-8, 0.1], [True] * 4 + [False])
        self.assertEqual([entry[3] for entry in found], [3, 1, 1])

    def test_the_sheet_shows_all_matrices(self):
        figure = figures(examples.sheet_file(self.path("h.h5")))["sheet"]
        titles = [axes.get_title() for axes in figure.axes]
        self.assertEqual(sum(title.startswith("norms: ") for title in titles), 3)
        ends, counts = figure.axes[:2]
        self.assertIn("\N{MULTIPLICATION SIGN}3", [text.get_text() for text in ends.texts])
        widths = [bar.get_width() for bar in counts.patches]
        whole, restricted = [30, 0, 21, 49, 0, 0, 40, 60, 41, 0, 20, 39], [29, 20, 1, 50, 0, 20, 20, 60, 41, 20, 0, 39]
        self.assertEqual(sorted(widths), sorted(whole + restricted))
        names = [text.get_text() for text in counts.get_yticklabels()]
        self.assertEqual(names[::-1][:2], ["$H$", "$H$\nmod. sym."])
        self.assertEqual(len(set(names)), 6)
        densities = next(axes for axes in figure.axes if axes.get_title().startswith("density"))
        self.assertEqual(len(densities.collections), 6)  # two bands for each matrix

    def test_a_result_without_eigenvalues_has_a_sheet(self):
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            del file["entry/largest"], file["entry/smallest"]
        self.assertEqual(list(figures(path)), ["sheet"])

    def test_whole_spectra_of_all_matrices(self):
        path = examples.hessian_file(self.path("h.h5"), full=True)
        with h5py.File(path, "a") as file:
            del file["entry/largest"], file["entry/smallest"]
            values, errors = examples.hessian_spectrum()
            for name in ("gauss-newton", "residual"):
                examples.eigen_group(file.require_group(f"entry/parts/{name}"), "spectrum", values, errors, np.ones(values.size), name)
        axes, = figures(path)["sheet"].axes
        self.assertEqual([line.get_xdata().size for line in axes.get_lines()[1:]], [values.size] * 3)

    def test_a_restriction_is_named(self):
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            for end in ("largest", "smallest"):
                file[f"entry/{end}"].attrs["symmetry"] = np.int64(3)
        pictures = figures(path)
        self.assertIn("Hessian modulo symmetries: 4 largest", pictures["extremes"]._suptitle.get_text())
        ends = pictures["sheet"].axes[0]  # those of the parts are not restricted
        self.assertEqual([text.get_text() for text in ends.get_xticklabels()], ["$H$\nmod. sym.", r"$G = J^T H_\ell J$", "$R = H - G$"])

    def test_the_name_of_the_matrix_is_that_of_the_file(self):
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            file["entry/block"] = "W_Q"
            for name in ("largest", "smallest"):
                file[f"entry/{name}"].attrs["matrix"] = "W_Q block of the Hessian"
            file.create_group("entry/quadrature").attrs["symmetry"] = np.int64(3)
        pictures = figures(path)
        self.assertIn("W_Q block of the Hessian: 4 largest", pictures["extremes"]._suptitle.get_text())
        self.assertIn("Spectrum of the W_Q block of the Hessian", pictures["sheet"]._suptitle.get_text())
        density = next(axes for axes in pictures["sheet"].axes if axes.get_title().startswith("density"))
        labels = [text.get_text() for text in density.get_legend().get_texts()]
        self.assertEqual(labels, ["$H$ mod. sym.", r"$G = J^T H_\ell J$", "$R = H - G$"])

    def test_what_was_not_counted_is_not_called_positive(self):
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            counts = file["entry/parts/residual/counts"]
            for name, values in (("negative", (6, 6)), ("positive", (74, 74)), ("negative_exact", (0, 0)), ("zero_exact", (0, 0))):
                counts[name][...] = values
        axes = figures(path)["sheet"].axes[1]
        grey = [bar.get_width() for bar in axes.patches if bar.get_facecolor()[:3] == to_rgb(sheet.UNKNOWN_LOOK[0])]
        self.assertEqual(grey, [74, 74])
        texts = [text.get_text() for text in axes.texts]
        self.assertIn("\N{GREATER-THAN OR EQUAL TO} 6 negative, \N{GREATER-THAN OR EQUAL TO} 0 zero", texts)
        self.assertIn("not determined", [text.get_text() for text in axes.get_legend().get_texts()])

    def test_norms_in_words(self):
        self.assertEqual([sheet.percent(share) for share in (0.0012, 0.097, 0.1, 0.25, 1, 40)],
                         ["0.2%", "10%", "10%", "25%", "100%", ">999%"])  # never less than the error
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            file["entry/block_norms/frobenius"][...] = 0
            file["entry/block_norms/frobenius_errors"][...] = 0
        norms = next(axes for axes in figures(path)["sheet"].axes if axes.get_title().startswith("norms: $H$"))
        self.assertEqual({(text.get_text(), text.get_color()) for text in norms.texts}, {("0.00", "white")})

    def test_damaged_parts_are_named(self):
        path = examples.sheet_file(self.path("h.h5"))
        with h5py.File(path, "a") as file:
            del file["entry/parts/residual/counts/negative"]
        with self.assertRaisesRegex(ResultError, "/entry/parts/residual/counts/negative is missing"):
            figures(path)


class Kernels(FileCase):
    def lines(self, axes, colour):
        """The curve and the triangles of the kernel of a colour."""
        curve, bounds = (line for line in axes.get_lines() if line.get_color() == colour)
        self.assertEqual(bounds.get_marker(), "v")
        return curve, bounds

    def test_of_many_kernels_the_smallest_are_shown_and_of_which_outputs_is_said(self):
        names = [",".join(blocks) for size in (1, 2, 3) for blocks in combinations(("W_Q", "W_K", "W_V", "W_O"), size)][:12]
        spectra = {name: (np.array([1.0, 0.5 / (1 + 5 * number % 12)]), 1e-12) for number, name in enumerate(names)}
        path = examples.ntk_file(self.path("n.h5"), spectra | {"sum": (np.array([3.0, 2.0]), 1e-12)})
        with h5py.File(path, "a") as file:
            file["entry/rows"] = "logit differences: outputs that count in the loss"
        drawn = figures(path)
        least = {name: values[-1] for name, (values, _) in spectra.items()}
        expected = [name for name in spectra if name in sorted(spectra, key=least.get)[:7]]
        shown = [text.get_text().split(":")[0] for text in drawn["eigenvalues"].axes[0].get_legend().get_texts()]
        self.assertEqual(shown[:8], [block_label(name) for name in (*expected, "sum")])
        self.assertIn("of the smallest eigenvalues and the sum, of 13 in the file", drawn["conditions"]._supxlabel.get_text())
        for name in ("eigenvalues", "conditions"):
            self.assertIn("on logit differences", drawn[name]._suptitle.get_text())

    def test_eigenvalues_that_may_be_zero_are_drawn_at_their_upper_bounds_only(self):
        singular, error = np.array([3, 1, 1e-5, 1e-9, 0]), 1e-8
        path = examples.ntk_file(self.path("n.h5"), {"W_V": (singular, error), "sum": (singular, 0.0)})
        axes, = figures(path)["eigenvalues"].axes
        curve, bounds = self.lines(axes, "#009E73")
        np.testing.assert_allclose(curve.get_xydata(), [[1, 9], [2, 1], [3, 1e-10]])
        np.testing.assert_allclose(bounds.get_xydata(), [[4, 1.21e-16], [5, 1e-16]])
        curve, bounds = self.lines(axes, "#000000")  # an exact 0 is not drawn at all
        self.assertEqual(curve.get_xydata()[:, 0].tolist(), [1, 2, 3, 4])
        self.assertEqual(len(bounds.get_xydata()), 0)
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        self.assertIn(r"\u2264 $1.01{\times}10^{-16}$, rank 3 of 5".replace(r"\u2264", "\u2264"), legend[0])  # (1e-8)^2 in double precision
        self.assertIn("= 0 (1 exactly 0), rank 4 of 5", legend[1])
        self.assertIn("upper bound where 0 is not excluded", legend)
        self.assertEqual(axes.get_yscale(), "log")

    def test_what_is_below_rounding_of_the_largest_is_shaded_and_named(self):
        spectrum = np.array([3, 1, 1e-9]), 1e-11  # 1e-18 of 9: known, and no use
        path = examples.ntk_file(self.path("n.h5"), {"W_V": spectrum, "sum": spectrum})
        axes, = figures(path)["eigenvalues"].axes
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        self.assertIn("$10^{-18}$ (in theory only), rank 3 of 3", legend[0])
        self.assertIn(r"below rounding of $\lambda_\mathrm{max}$ (sum)", legend)
        shade, = axes.patches
        self.assertAlmostEqual(shade.get_extents().transformed(axes.transData.inverted()).y1 / (9 * 2.0**-52), 1, delta=1e-6)
        path = examples.ntk_file(self.path("m.h5"), {"sum": (np.array([3, 1, 1e-3]), 1e-11)})
        axes, = figures(path)["eigenvalues"].axes
        self.assertFalse(axes.patches)
        self.assertNotIn("rounding", " ".join(text.get_text() for text in axes.get_legend().get_texts()))

    def test_band(self):
        path = examples.ntk_file(self.path("n.h5"), {"W_O": (np.array([3.0, 2.0]), 1.0)})
        axes, = figures(path)["eigenvalues"].axes
        band, = axes.collections
        self.assertEqual({tuple(point) for point in band.get_paths()[0].vertices},
                         {(1, 4), (1, 16), (2, 1), (2, 9)})
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        self.assertEqual(len(legend), 2)  # the kernel and the band, no triangle
        self.assertIn("= 4, rank 2 of 2", legend[0])

    def test_curves_differ_without_colour(self):
        axes, = figures(examples.ntk_file(self.path("n.h5")))["eigenvalues"].axes
        looks = {(line.get_linestyle(), line.get_marker()) for line in axes.get_lines()
                 if line.get_marker() != "v"}
        self.assertEqual(len(looks), 5)

    def test_parts_of_a_kernel_exclude_each_other(self):
        values, lower, upper = np.array([[2, 1e-9, 0.0], [1.9, 0, 0], [2.1, 1e-8, 0]])
        kernel = Kernel("sum", values, lower, upper)
        parts = np.array([kernel.nonzero, kernel.bounded, kernel.zero])
        self.assertEqual(parts.tolist(), np.eye(3, dtype=bool).tolist())

    def test_nothing_above_zero(self):
        axes, = figures(examples.ntk_file(self.path("n.h5"), {"sum": (np.zeros(3), 0.0)}))["eigenvalues"].axes
        self.assertEqual(axes.get_yscale(), "linear")
        self.assertIn("3 exactly 0", axes.get_legend().get_texts()[0].get_text())


class Gradient(FileCase):
    def test_entries_and_norms(self):
        path = examples.evaluate_file(self.path("e.h5"))
        with h5py.File(path) as file:
            blocks = {name: block[()] for name, block in file["entry/evaluation/gradient_blocks"].items()}
        entries, norms = figures(path)["gradient"].axes
        heights = {label.get_text(): bar.get_height()
                   for label, bar in zip(norms.get_xticklabels(), norms.patches)}
        for position, name in enumerate(("W_Q", "W_K", "W_V", "W_O")):
            drawn = entries.get_lines()[2 * position].get_xydata()
            self.assertTrue(((drawn[:, 0] > position) & (drawn[:, 0] < position + 1)).all())
            flat = np.abs(blocks[name].ravel())
            np.testing.assert_array_equal(drawn[:, 1], flat[flat > 0])
            self.assertAlmostEqual(heights[f"$W_{name[-1]}$"], np.linalg.norm(flat))
        labels = [label.get_text() for label in entries.get_xticklabels()]
        self.assertEqual(labels[0], "$W_Q$\n2\u00d716\u00d78\n8 zero")
        self.assertEqual(labels[3], "$W_O$\n2\u00d78\u00d74")
        self.assertEqual(entries.get_yscale(), "log")

    def test_linear_keeps_the_sign(self):
        entries, norms = figures(examples.evaluate_file(self.path("e.h5")), "linear")["gradient"].axes
        drawn = entries.get_lines()[0].get_ydata()
        self.assertTrue(drawn.min() < 0 < drawn.max())
        self.assertEqual((drawn.size, norms.get_yscale()), (256, "linear"))


if __name__ == "__main__":
    unittest.main()
