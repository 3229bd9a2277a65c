"""Pictures of basin-sweep: what is drawn is what the file holds."""
import unittest
import warnings

import h5py
import numpy as np
from matplotlib.colors import to_hex

import examples
from support import FileCase, figures
from basin.files import open_result
from basin.pictures.style import DEFINITENESS_LOOK
from basin.pictures.sweep import read


def panels(figure):
    """Title -> axes of the panels of a figure."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def numbers(axes):
    """(x, y) -> the number written in the cell of a heat map."""
    return {text.get_position(): text.get_text() for text in axes.texts}


class PhaseDiagram(FileCase):
    D, SCALE = [4, 8, 16, 32], [0.5, 1, 2, 4]

    def test_panels_of_blocks_and_kernels_show_the_shares(self):
        path = examples.sweep_file(self.path("s.h5"))
        figure = figures(path)["phase_positive_definite"]
        drawn = panels(figure)
        self.assertEqual(list(drawn), ["$W_Q$, softmax", "$W_Q$, gaussian", "$W_O$, softmax", "$W_O$, gaussian",
                                       "sum, softmax", "sum, gaussian"])
        shares = np.round(20 * examples.sweep_shares(np.array(self.D), np.array(self.SCALE))) / 20
        self.assertTrue(0 < shares.mean() < 1)
        for k, kernel in enumerate(("softmax", "gaussian")):
            axes = drawn[f"sum, {kernel}"]
            expected = {(x, y): f"{100 * shares[x, k, y]:.0f}" for x in range(4) for y in range(4)}
            self.assertEqual(numbers(axes), expected)
            np.testing.assert_allclose(axes.collections[0].get_array().reshape(4, 4), 100 * shares[:, k].T)
            self.assertEqual(set(numbers(drawn[f"$W_O$, {kernel}"]).values()), {"0"})
        lowest = drawn["sum, softmax"]
        self.assertEqual([t.get_text() for t in lowest.get_xticklabels()], ["4", "8", "16", "32"])
        self.assertEqual([t.get_text() for t in lowest.get_yticklabels()], ["0.5", "1", "2", "4"])
        self.assertEqual((lowest.get_xlabel(), lowest.get_ylabel()), ("embedding dimension D", "input scale"))

    def test_the_line_at_one_half(self):
        shares = np.array([[0, 0.2, 0.6], [0.4, 0.5, 1]])  # (D, N)
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2], "N": [1, 2, 3]}, shares=shares, blocks=("sum",))
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        segments = {tuple(map(tuple, segment)) for segment in axes.collections[1].get_segments()}
        self.assertEqual(segments, {((0.5, 0.5), (0.5, 1.5)),  # between D = 1 and 2 at N = 2
                                    ((-0.5, 1.5), (0.5, 1.5)),  # between N = 2 and 3 at D = 1
                                    ((0.5, 0.5), (1.5, 0.5))})  # between N = 1 and 2 at D = 2

    def test_values_in_falling_order_are_sorted(self):
        shares = np.array([[0.1, 0.2], [0.3, 0.4]])
        path = examples.sweep_file(self.path("s.h5"), {"D": [9, 3], "N": [5, 7]}, shares=shares, blocks=("sum",), repeats=10)
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        self.assertEqual(numbers(axes), {(0, 0): "30", (0, 1): "40", (1, 0): "10", (1, 1): "20"})
        self.assertEqual([t.get_text() for t in axes.get_xticklabels()], ["3", "9"])

    def test_further_axes_are_taken_together_and_said_to_be(self):
        shares = np.zeros((2, 2, 2))
        shares[1, 0] = 0.5, 1  # over N at D = 2, input-scale = 1
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2], "noise": [1, 2], "N": [3, 4]}, shares=shares, blocks=("sum",))
        figure = figures(path)["phase_positive_definite"]
        self.assertEqual(numbers(panels(figure)["sum"]), {(0, 0): "0", (1, 0): "75", (0, 1): "0", (1, 1): "0"})
        self.assertIn("taken together: N = 3, 4", figure._supxlabel.get_text())

    def test_options_that_vary_together(self):
        path = examples.sweep_file(self.path("s.h5"), [{"D": [8, 16], "H": [1, 2]}, {"N": [1, 2]}], shares=np.eye(2), blocks=("sum",))
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        self.assertEqual(axes.get_xlabel(), "D, H")
        self.assertEqual([t.get_text() for t in axes.get_xticklabels()], ["8, 1", "16, 2"])

    def test_cells_without_a_draw(self):
        computed = np.ones((2, 2, 20), "u1")
        computed[0, 1] = 0
        computed[1, 1, 5:] = 0
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2], "N": [1, 2]}, shares=np.full((2, 2), 0.5), computed=computed, blocks=("sum",))
        figure = figures(path)["phase_positive_definite"]
        self.assertEqual(numbers(panels(figure)["sum"]), {(0, 0): "50", (1, 0): "50", (1, 1): "100"})
        self.assertIn("45 of 80 draws computed", figure._supxlabel.get_text())
        legends = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
        self.assertIn("no draw with a verdict", legends)

    def test_words_alone(self):
        path = examples.sweep_file(self.path("s.h5"), {"kernel": ["softmax", "gaussian"], "init": ["xavier", "orthogonal"]},
                                   shares=np.array([[0, 0.25], [0.5, 1]]), blocks=("sum",))
        pictures = figures(path)
        self.assertEqual(list(pictures), ["phase_positive_definite"])
        axes = panels(pictures["phase_positive_definite"])["sum"]
        self.assertEqual(numbers(axes), {(0, 0): "0", (0, 1): "25", (1, 0): "50", (1, 1): "100"})

    def test_other_verdicts_get_pictures_of_their_own(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2]}, shares=[0, 1], verdict="condition_holds")
        self.assertEqual(list(figures(path)), ["phase_condition_holds", "lambda_min"])

    def test_many_cells_have_no_numbers(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": list(range(1, 41)), "N": list(range(1, 41))},
                                   shares=np.full((40, 40), 0.3), blocks=("sum",), repeats=2)
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        self.assertEqual(numbers(axes), {})

    def test_panels_without_a_draw_do_not_upset_the_layout(self):
        axes = [{"D": [4, 8], "H": [1, 2]}, {"train": ["W_V", "W_Q+W_K"]}]
        path = examples.sweep_file(self.path("s.h5"), axes, shares=np.ones((2, 2)), repeats=3)
        with h5py.File(path, "r+") as file:
            for block, place in (("W_Q", 0), ("W_O", 1)):
                for values in file[f"entry/draws/{block}"].values():
                    values[:, place] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = figures(path)
            for figure in made.values():
                figure.draw_without_rendering()
        for name, text in (("phase_positive_definite", "no draw with a verdict"), ("lambda_min", "no draw with a number")):
            drawn = panels(made[name])
            self.assertEqual([t.get_text() for t in drawn["$W_Q$, train W_V"].texts], [text])
            self.assertEqual(drawn["$W_Q$, train W_Q+W_K"].texts[:], [])

    def test_one_axis_is_a_curve_with_its_interval(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8, 16]}, shares=[0, 0.3, 1], blocks=("sum",), repeats=10)
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        curve = next(line for line in axes.get_lines() if line.get_marker() == "o")
        np.testing.assert_allclose(curve.get_xydata(), [[0, 0], [1, 30], [2, 100]])
        band = axes.collections[0].get_paths()[0].vertices
        ends = sorted(band[band[:, 0] == 1][:, 1])
        np.testing.assert_allclose((ends[0], ends[-1]), (10.779127, 60.322185), rtol=1e-6)  # statsmodels


class Definiteness(FileCase):
    """Positive definite, in theory only, not decided, singular: the parts of each cell."""

    def test_cells_are_divided_like_their_draws(self):
        shares = np.array([[0.25, 1.0], [0.5, 0.0]])  # D, input-scale
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8], "input-scale": [1, 2]}, shares=shares,
                                   in_theory=0.25, singular=0.05, blocks=("sum",))
        pictures = figures(path)
        self.assertEqual(list(pictures), ["phase_positive_definite", "lambda_min"])
        figure = pictures["phase_positive_definite"]
        axes = panels(figure)["sum"]
        cells = {}
        for bar in axes.patches:
            place = int(np.floor(bar.get_x() + 0.5 + 1e-9)), int(round(bar.get_y() + 0.5))
            if bar.get_width() > 0:
                cells.setdefault(place, {})[to_hex(bar.get_facecolor()).upper()] = bar.get_width()
        look = {verdict: to_hex(colour).upper() for verdict, colour in DEFINITENESS_LOOK.items()}
        for (x, y), expected in {(0, 0): (0.25, 0.25, 0.45, 0.05), (1, 0): (0.5, 0.25, 0.2, 0.05),
                                 (0, 1): (1, 0, 0, 0), (1, 1): (0, 0.25, 0.7, 0.05)}.items():
            found = [cells[x, y].get(look[verdict], 0) for verdict in reversed(DEFINITENESS_LOOK)]
            np.testing.assert_allclose(found, expected, atol=1e-12)
        legend = [text.get_text() for a in figure.axes if a.get_legend() for text in a.get_legend().get_texts()]
        self.assertEqual(legend, ["positive definite", r"positive in theory only, below rounding of $\lambda_\mathrm{max}$",
                                  "not decided: zero to rounding", "singular", "half of them positive definite"])
        self.assertEqual(sorted(text.get_text() for text in axes.texts), ["0", "100", "25", "50"])

    def test_curves(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8, 16]}, shares=[0.2, 0.5, 1], in_theory=0.3, blocks=("sum",))
        axes = panels(figures(path)["phase_positive_definite"])["sum"]
        drawn = {line.get_color(): line.get_ydata() for line in axes.get_lines() if line.get_marker() == "o"}
        np.testing.assert_allclose(drawn[DEFINITENESS_LOOK["positive definite"]], [20, 50, 100])
        np.testing.assert_allclose(drawn[DEFINITENESS_LOOK["in theory only"]], [30, 30, 0])

    def test_eigenvalues_below_rounding_of_the_largest_are_shaded(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8, 16]}, shares=[1, 1, 1], in_theory=0.3, blocks=("sum",))
        figure = figures(path)["lambda_min"]  # values around 1e-3, lambda_max = 1e9: eps lambda_max = 2e-7
        with h5py.File(path, "r+") as file:
            for end in ("", "_lower", "_upper"):
                file[f"entry/draws/sum/lambda_min{end}"][0] *= 1e-5
        shaded = figures(path)["lambda_min"]
        for drawn, expected in ((figure, False), (shaded, True)):
            legend = [text.get_text() for a in drawn.axes if a.get_legend() for text in a.get_legend().get_texts()]
            self.assertEqual(r"below rounding of $\lambda_\mathrm{max}$" in legend, expected)


class SmallestEigenvalue(FileCase):
    def curves(self, axes):
        return [line for line in axes.get_lines() if line.get_linestyle() == "-"]

    def test_median_bands_and_unknown_draws(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8, 16, 32]}, shares=[0, 0.4, 0.9, 1], blocks=("sum",))
        axes = panels(figures(path)["lambda_min"])["sum"]
        with h5py.File(path) as file:
            values = file["entry/draws/sum/lambda_min"][()]
            upper = file["entry/draws/sum/lambda_min_upper"][()]
        values = np.where(values > 1e-20, values, upper)
        bottom = axes.get_ylim()[0]
        median, = self.curves(axes)
        np.testing.assert_array_equal(median.get_xdata(), [4, 8, 16, 32])
        np.testing.assert_allclose(median.get_ydata(), np.median(np.maximum(values, bottom), axis=1))
        self.assertEqual(median.get_ydata()[0], bottom)
        marks = {line.get_fillstyle(): line.get_xdata().tolist() for line in axes.get_lines() if line.get_linestyle() == "None"}
        self.assertEqual(marks, {"full": [32], "bottom": [8, 16], "none": [4]})
        outer, inner = (band.get_paths()[0].vertices for band in axes.collections)
        for band, low, high in ((outer, 0.05, 0.95), (inner, 0.25, 0.75)):
            ends = band[band[:, 0] == 32][:, 1]
            np.testing.assert_allclose((ends.min(), ends.max()), np.quantile(values[3], (low, high)))
        self.assertEqual((axes.get_xscale(), axes.get_yscale()), ("log", "log"))

    def test_loosely_enclosed_draws_are_upper_bounds(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8]}, shares=[1, 1], blocks=("sum",))
        with h5py.File(path, "r+") as file:  # positive definite by conditions, with no digit of the eigenvalue known
            draws = file["entry/draws/sum"]
            draws["lambda_min_lower"][0] = draws["lambda_min"][0] = 1e-12 * draws["lambda_min_upper"][0]
            upper = draws["lambda_min_upper"][0]
        axes = panels(figures(path)["lambda_min"])["sum"]
        median, = self.curves(axes)
        np.testing.assert_allclose(median.get_ydata()[0], np.median(upper))
        marks = {line.get_fillstyle(): line.get_xdata().tolist() for line in axes.get_lines() if line.get_linestyle() == "None"}
        self.assertEqual(marks, {"full": [8], "none": [4]})

    def test_where_a_condition_changes_is_marked(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8, 16]}, shares=[0.5, 0.6, 1], blocks=("W_V",))
        with h5py.File(path, "r+") as file:
            verdicts = np.zeros(file["entry/draws/computed"].shape)
            verdicts[1:] = 1  # holds from D = 8 on
            file["entry/draws/W_V/rank_limit"] = verdicts
            text = file["entry/sweep/specification"][()].decode() + "\nquantity W_V/rank_limit = verdict"
            del file["entry/sweep/specification"]
            file["entry/sweep/specification"] = text
        axes = panels(figures(path)["lambda_min"])["$W_V$"]
        mark, = (line for line in axes.get_lines() if len(set(line.get_xdata())) == 1 and line.get_marker() == "None")
        self.assertAlmostEqual(mark.get_xdata()[0], np.sqrt(4 * 8))
        self.assertEqual([text.get_text() for text in axes.texts], ["rank limit"])
        self.assertIn("a condition changes", self.legends(figures(path)["lambda_min"]))

    def test_what_is_not_drawn_is_not_in_the_legend(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8]}, shares=[1, 1], blocks=("sum",))
        self.assertNotIn("a condition changes", self.legends(figures(path)["lambda_min"]))

    def legends(self, figure):
        return [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]

    def test_a_second_axis_makes_lines(self):
        path = examples.sweep_file(self.path("s.h5"))
        figure = figures(path)["lambda_min"]
        drawn = panels(figure)
        self.assertEqual(len(drawn), 6)
        self.assertEqual(len(self.curves(drawn["sum, softmax"])), 4)
        legends = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
        self.assertEqual(legends[:4], [f"input-scale = {value}" for value in ("0.5", "1", "2", "4")])

    def test_scale_of_the_axis_follows_the_values(self):
        for values, expected in (([1, 2, 3, 4], "linear"), ([1, 2, 4, 8], "log"), ([0, 1, 10], "linear")):
            path = examples.sweep_file(self.path("s.h5"), {"noise": values}, shares=np.ones(len(values)), blocks=("sum",))
            self.assertEqual(panels(figures(path)["lambda_min"])["sum"].get_xscale(), expected, values)

    def test_linear(self):
        path = examples.sweep_file(self.path("s.h5"))
        for axes in panels(figures(path, "linear")["lambda_min"]).values():
            self.assertEqual((axes.get_yscale(), axes.get_ylim()[0]), ("linear", 0))

    def test_nothing_above_zero(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2]}, shares=[0, 0], blocks=("W_O",))
        self.assertEqual(panels(figures(path)["lambda_min"])["$W_O$"].get_yscale(), "linear")


class Numbers(FileCase):
    ROWS = {"hessian/largest": "largest Hessian eigenvalue", "hessian/smallest": "smallest Hessian eigenvalue",
            "negative/share": "negative share in %", "training/loss": "loss after descent"}

    def test_a_row_for_each_number(self):
        path = examples.with_sweep_numbers(examples.sweep_file(self.path("s.h5")))
        figure = figures(path)["numbers"]
        drawn = panels(figure)
        self.assertEqual(list(drawn), [f"{row}, {kernel}" for row in self.ROWS.values() for kernel in ("softmax", "gaussian")])
        with h5py.File(path) as file:
            for name, row in self.ROWS.items():
                medians = np.median(file[f"entry/draws/{name}"], axis=-1) * (100 if name == "negative/share" else 1)
                limits = set()
                for k, kernel in enumerate(("softmax", "gaussian")):
                    axes = drawn[f"{row}, {kernel}"]
                    limits.add(axes.get_ylim())
                    self.assertEqual(len(axes.get_lines()), 4)  # the second numeric axis
                    for s, line in enumerate(axes.get_lines()):
                        np.testing.assert_array_equal(line.get_xdata(), [4, 8, 16, 32])
                        np.testing.assert_allclose(line.get_ydata(), medians[:, k, s])
                self.assertEqual(len(limits), 1)
        self.assertEqual(drawn["loss after descent, softmax"].get_yscale(), "log")
        self.assertEqual(drawn["negative share in %, softmax"].get_yscale(), "linear")
        self.assertEqual(drawn["loss after descent, softmax"].get_xlabel(), "D")  # a variable, whatever it is in other networks
        self.assertTrue(figure._supxlabel.get_text().startswith("depth = 2, width = 64; N = 4, n = 4\n"))
        self.assertIn("descent: lbfgs, at most 50 steps", figure._supxlabel.get_text())

    def test_bands_and_intervals(self):
        path = examples.with_sweep_numbers(examples.sweep_file(self.path("s.h5"), {"D": [4, 8]}, shares=[0, 1], blocks=("sum",)), estimated=True)
        figure = figures(path)["numbers"]
        axes = panels(figure)["negative share in %"]
        with h5py.File(path) as file:
            share = 100 * file["entry/draws/negative/share"][()]
        outer, inner = (band.get_paths()[0].vertices for band in axes.collections[:2])
        for band, low, high in ((outer, 0.05, 0.95), (inner, 0.25, 0.75)):
            ends = band[band[:, 0] == 8][:, 1]
            np.testing.assert_allclose((ends.min(), ends.max()), np.quantile(share[1], (low, high)))
        bars = np.array(axes.collections[2].get_segments())
        np.testing.assert_allclose(bars[:, :, 1], np.median(share, axis=1)[:, None] + [-10, 20])
        legend = [text.get_text() for a in figure.axes if a.get_legend() for text in a.get_legend().get_texts()]
        self.assertIn("estimate: 95 % interval", legend)

    def test_words_and_scales(self):
        axes = {"init": ["gaussian", "xavier", "orthogonal"], "kernel": ["softmax", "gaussian"]}
        path = examples.with_sweep_numbers(examples.sweep_file(self.path("s.h5"), axes, shares=np.ones((3, 2)), blocks=("sum",)), wide=True)
        drawn = panels(figures(path)["numbers"])
        self.assertEqual([t.get_text() for t in drawn["loss after descent"].get_xticklabels()], axes["init"])
        self.assertEqual(drawn["largest Hessian eigenvalue"].get_yscale(), "log")
        self.assertEqual(drawn["smallest Hessian eigenvalue"].get_yscale(), "symlog")
        for axes in panels(figures(path, "linear")["numbers"]).values():
            self.assertEqual(axes.get_yscale(), "linear")

    def test_words_have_nothing_between_them_and_few_draws_no_quantiles(self):
        for repeats in (3, 20):
            path = examples.with_sweep_numbers(examples.sweep_file(self.path("s.h5"), {"init": ["pytorch", "gpt2"]}, shares=[0, 1],
                                                                   blocks=("sum",), repeats=repeats))
            figure = figures(path)["numbers"]
            axes = panels(figure)["loss after descent"]
            legend = [text.get_text() for a in figure.axes if a.get_legend() for text in a.get_legend().get_texts()]
            self.assertEqual(("each draw" in legend, "25 to 75 % of draws" in legend), (repeats == 3, repeats == 20))
            self.assertEqual({line.get_linestyle() for line in axes.get_lines()}, {"None"})
            self.assertEqual(sum(line.get_xdata().size for line in axes.get_lines()), 2 + (6 if repeats == 3 else 0))
            self.assertEqual(len(axes.collections), 0 if repeats == 3 else 2)

    def test_what_is_exactly_singular_has_no_interval(self):
        path = examples.sweep_file(self.path("s.h5"), {"init": ["pytorch", "gpt2"]}, shares=[0, 0], blocks=("sum",), repeats=4,
                                   in_theory=0, singular=1)
        bars = panels(figures(path)["phase_positive_definite"])["sum"].collections
        for bar in bars:
            for (_, low), (_, high) in bar.get_segments():
                self.assertEqual(low, high)

    def test_sweeps_without_them_have_no_such_picture(self):
        self.assertNotIn("numbers", figures(examples.sweep_file(self.path("s.h5"))))

    def test_kernels_on_logit_differences(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [4, 8]}, shares=[0, 1], blocks=("centred/sum", "sum", "blocks.*.W_O"))
        self.assertEqual(list(panels(figures(path)["lambda_min"])), ["sum on logit differences", "sum on the logits", r"blocks.*.W_O on the logits"])


class Reading(FileCase):
    def test_footer(self):
        path = examples.sweep_file(self.path("s.h5"), {"D": [1, 2]}, shares=[0, 1], repeats=1,
                                   options={"kernel": "gaussian", "data-seed": "3", "head-dim": "8"})
        with open_result(path) as result:
            self.assertEqual(read(result).footer, ["gaussian kernel; N = 4, n = 4, d = 8",
                                                   "1 draw of weights, data fixed in each cell; trainable: W_Q, W_O"])

    def test_broken_files(self):
        cases = (("entry/draws/sum/lambda_min", np.ones(3), "/entry/draws/sum/lambda_min: found shape (3,)"),
                 ("entry/draws/computed", np.ones((4, 2, 3, 20)), "/entry/draws/computed: found shape (4, 2, 3, 20), expected (4, 2, 4, 20)"),
                 ("entry/draws/loss", None, "/entry/draws/loss is missing"), ("entry/axes", None, "/entry/axes"),
                 ("entry/sweep/specification", None, "/entry/sweep/specification is missing"))
        for name, values, message in cases:
            with h5py.File(examples.sweep_file(self.path("s.h5")), "r+") as file:
                del file[name]
                if values is not None:
                    file[name] = values
            self.assert_one_line(self.basin_plot("s.h5"), 2, message)


if __name__ == "__main__":
    unittest.main()
