"""The picture of the conditions of kernels."""
import unittest

import h5py
import numpy as np

import examples
from support import FileCase, figures  # finds basin
from basin.pictures.mathematics import typeset
from basin.files import ResultError
from basin.pictures.style import DEFINITENESS_LOOK


def panels(path, scale="auto"):
    """The axes of the eigenvalues and of the table."""
    return figures(path, scale)["conditions"].axes[:2]


def marks(axes, label):
    """Points (k, 2) of all marks of a kind."""
    return np.concatenate([line.get_xydata() for line in axes.get_lines() if line.get_label() == label]
                          or [np.empty((0, 2))])


def title(path):
    """The title of the picture."""
    return figures(path)["conditions"]._suptitle.get_text()


class Conditions(FileCase):
    def test_without_spectra(self):
        path = examples.ntk_file(self.path("n.h5"), formed=True)
        self.assertEqual(list(figures(path)), ["conditions"])

    def test_unions_are_in_the_conditions_only(self):
        path = examples.ntk_file(self.path("n.h5"), examples.ntk_spectra(unions=True))
        pictures = figures(path)
        curves = [line for line in pictures["eigenvalues"].axes[0].get_lines() if line.get_marker() != "v"]
        self.assertEqual(len(curves), 5)
        names = [label.get_text() for label in pictures["conditions"].axes[0].get_yticklabels()]
        self.assertEqual(len(names), 15)
        self.assertEqual(names[:5], ["$W_Q$", "$W_K$", "$W_V$", "$W_O$", "$W_Q$, $W_K$"])
        self.assertEqual(names[-2:], ["$W_K$, $W_V$, $W_O$", "sum"])
        height = pictures["conditions"].get_size_inches()[1]
        self.assertLess(height, 9.8)  # the text block of an A4 page

    def test_numbers_are_those_of_the_file(self):
        path = examples.ntk_file(self.path("n.h5"), examples.ntk_spectra(unions=True))
        axes, _ = panels(path)
        self.assertEqual(axes.get_xscale(), "log")
        heights = axes.get_yticks()
        with h5py.File(path) as file:
            summary = {name: column[()] for name, column in file["entry/summary"].items()}
            names = file["entry/summary/block"].asstr()[()]
            blocks, bounds = file["entry/bounds/block"].asstr()[()], file["entry/bounds/value"][()]
        definite = summary["lambda_min_lower"] > 0
        np.testing.assert_allclose(marks(axes, "least"),
                                   np.transpose([summary["lambda_min"], heights])[definite])
        zero = summary["lambda_min_upper"] == 0
        unknown = ~definite & ~zero
        self.assertEqual([np.count_nonzero(part) for part in (definite, unknown, zero)], [11, 3, 1])
        np.testing.assert_allclose(marks(axes, "upper"),
                                   np.transpose([summary["lambda_min_upper"], heights])[unknown])
        np.testing.assert_allclose(marks(axes, "largest"), np.transpose([summary["lambda_max"], heights]))
        place = axes.get_xticks()[0]
        self.assertEqual(axes.get_xticklabels()[0].get_text(), "0")
        np.testing.assert_allclose(marks(axes, "zero"), [[place, heights[zero][0]]])
        enclosures = marks(axes, "enclosure").reshape(-1, 2, 2)
        for (low, high), lower, upper in zip(enclosures[:, :, 0], summary["lambda_min_lower"][~zero],
                                             summary["lambda_min_upper"][~zero]):
            self.assertEqual((low, high), (lower or place, upper))
        drawn = marks(axes, "bounds")
        self.assertEqual(len(drawn), len(bounds))
        np.testing.assert_allclose(drawn[:, 0], np.where(bounds > 0, bounds, place))
        nearest = np.abs(drawn[:, 1:] - heights).argmin(axis=1)
        self.assertEqual(names[nearest].tolist(), blocks.tolist())

    def test_everything_drawn_is_inside(self):
        spectra = {"W_O": (np.array([1.0]), 0.0), "sum": (np.array([1.0]), 0.0)}  # both ends at once
        for number, made in enumerate((spectra, examples.ntk_spectra(), {"sum": (np.zeros(3), 0.0)})):
            for scale in ("auto", "linear"):
                axes, _ = panels(examples.ntk_file(self.path(f"{number}{scale}.h5"), made), scale)
                points = np.concatenate([line.get_xdata() for line in axes.get_lines() if line.get_label()[0]
                                         != "_"])
                low, high = axes.get_xlim()
                self.assertTrue(((low < points) & (points < high)).all(), f"{number} {scale}")

    def test_linear_axis_has_zero_in_its_place(self):
        axes, _ = panels(examples.ntk_file(self.path("n.h5")), "linear")
        self.assertEqual(axes.get_xscale(), "linear")
        self.assertEqual(marks(axes, "zero")[:, 0].tolist(), [0])

    def test_zero_to_rounding_is_told_from_exactly_singular(self):
        for name, spectrum, mark, words in (
                ("rounding", (np.array([2, 1e-10]), 1e-9), "upper",
                 "not decided, 0 \u2264 $\\lambda_\\mathrm{min}$ \u2264 $1.22{\\times}10^{-18}$"),  # rounded up
                ("exact", (np.array([2, 0.0]), 0.0), "zero", "singular, $\\lambda_\\mathrm{min}$ = 0")):
            path = examples.ntk_file(self.path(name), {"W_V": spectrum, "sum": spectrum}, bounds=[0.0])
            axes, _ = panels(path)
            self.assertEqual(len(marks(axes, mark)), 2, name)
            for other in {"upper", "zero", "least"} - {mark}:
                self.assertEqual(len(marks(axes, other)), 0, name)
            self.assertIn(f"\nsum: {words}", title(path))

    def test_positive_in_theory_only_has_its_name_and_colour(self):
        spectrum = np.array([2, 1e-10]), 1e-12
        path = examples.ntk_file(self.path("n.h5"), {"W_V": spectrum, "sum": (np.array([2, 1]), 0.0)}, bounds=[0.0])
        axes, _ = panels(path)
        colours = {line.get_color() for line in axes.get_lines() if line.get_label() == "least"}
        self.assertEqual(colours, {DEFINITENESS_LOOK["in theory only"], DEFINITENESS_LOOK["positive definite"]})
        legend = figures(path)["conditions"].axes[2].get_legend()
        self.assertIn("$\\lambda_\\mathrm{min}$ > 0 in theory only", [text.get_text() for text in legend.get_texts()])
        path = examples.ntk_file(self.path("sum.h5"), {"sum": spectrum}, bounds=[0.0])
        self.assertIn("sum: positive definite in theory only, ", title(path))

    def test_a_lower_bound_that_underflows_is_not_zero(self):
        path = examples.ntk_file(self.path("n.h5"), {"sum": (np.array([1e-200]), 1e-201)}, bounds=[0.0])
        with h5py.File(path, "r+") as file:
            summary = file["entry/summary"]
            for name, value in (("lambda_min_lower_log10", -1085.7), ("lambda_min_upper", 2.3e-308), ("definiteness", 2)):
                summary[name][0] = value
            summary["verdict"][0] = "in theory only"
            summary["lambda_max"][0] = summary["lambda_max_upper"][0] = 2.3e-308
        self.assertTrue(title(path).endswith("positive definite in theory only, $1.99{\\times}10^{-1086}$ \u2264 "
                                             "$\\lambda_\\mathrm{min}$ \u2264 $2.3{\\times}10^{-308}$"), title(path))
        axes, _ = panels(path)
        self.assertFalse(len(marks(axes, "zero")))

    def test_a_wrong_verdict_is_refused(self):
        path = examples.ntk_file(self.path("n.h5"))
        with h5py.File(path, "r+") as file:
            file["entry/summary/verdict"][0] = "perhaps"
        with self.assertRaisesRegex(ResultError, "/entry/summary/verdict: found 'perhaps', expected one of singular"):
            figures(path)

    def test_title_of_a_definite_kernel(self):
        spectra = {"W_V": (np.array([3.0, 2.0]), 0.0), "sum": (np.array([4.0, 3.0]), 0.0)}
        path = examples.ntk_file(self.path("n.h5"), spectra, bounds=[0.5, 0.25])
        self.assertTrue(title(path).endswith("positive definite, $\\lambda_\\mathrm{min}$ = 9 "
                                             "(conditions prove \u2265 4.5)"))
        path = examples.ntk_file(self.path("none.h5"), spectra, bounds=[0.0])
        self.assertTrue(title(path).endswith("$ = 9"))

    def test_table(self):
        path = examples.ntk_file(self.path("n.h5"))
        _, axes = panels(path)
        with h5py.File(path) as file:
            columns = [column.asstr()[()] if column.dtype.kind == "O" else column[()] for column in
                       (file[f"entry/conditions/{name}"] for name in
                        ("holds", "role", "measured", "threshold", "statement"))]
        marked = {1: ("\u2713", "\u2265"), 0: ("\u2717", "<")}
        arrows = {"necessary": "\u21d2", "equivalent": "\u21d4", "sufficient": "\u21d0"}
        expected = [text for holds, role, measured, threshold, statement in zip(*columns)
                    for text in (marked[holds][0], arrows[role], f"{measured:.0f}",
                                 f"{marked[holds][1]} {threshold:.0f}", typeset(statement))]
        self.assertEqual([text.get_text() for text in axes.texts], expected)
        heights = [text.get_position()[1] for text in axes.texts[::5]]
        self.assertTrue((np.diff(heights) > 0.99).all())

    def test_the_condition_that_decides_by_most_is_emphasised(self):
        def conditions(_):
            return [("a", "P >= 1", "sufficient", 0, 1, ""), ("b", "P >= 2", "necessary", 2, 2, ""),
                    ("c", "P >= 3", "equivalent", 2, 3, ""), ("d", "P >= 4", "necessary", 2, 4, "")]

        spectra = {"sum": (np.array([1.0, 0.0]), 0.0)}
        path = examples.ntk_file(self.path("n.h5"), spectra, conditions=conditions)
        _, axes = panels(path)
        self.assertEqual([text.get_text() for text in axes.texts if text.get_weight() == "bold"
                          and text.get_text() not in "\u2713\u2717"], ["2", "< 4"])
        frame, = axes.patches
        low, high = frame.get_y(), frame.get_y() + frame.get_height()
        inside = [text.get_text() for text in axes.texts if low < text.get_position()[1] < high]
        self.assertEqual(inside, ["\u2717", "\u21d2", "2", "< 4", r"$P\,\geq\,4$"])
        self.assertTrue(title(path).endswith("\n$P\\,\\geq\\,4$ fails"))
        legend = figures(path)["conditions"].axes[2].get_legend()
        self.assertIn("makes the kernel singular", [text.get_text() for text in legend.get_texts()])

    def test_legend_has_only_what_occurs(self):
        path = examples.ntk_file(self.path("n.h5"), {"W_V": (np.array([3.0, 2.0]), 0.0)})
        legend = figures(path)["conditions"].axes[2].get_legend()
        self.assertEqual([text.get_text() for text in legend.get_texts()],
                         ["$\\lambda_\\mathrm{min}$, enclosed", "proven lower bounds",
                          "$\\lambda_\\mathrm{max}$", "necessary", "sufficient, if all hold"])


if __name__ == "__main__":
    unittest.main()
