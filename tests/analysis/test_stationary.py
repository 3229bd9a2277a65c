"""The picture of a catalogue of stationary points."""
import unittest

import h5py
import numpy as np
from matplotlib.colors import to_hex

from support import FileCase, figures  # first, because it finds basin
import examples
from basin.files import ResultError
from basin.pictures.style import VERDICT_LOOK


class Ends(FileCase):
    def panels(self, scale="auto", **options):
        figure = figures(examples.stationary_file(self.path("c.h5"), **options), scale)["ends"]
        figure.draw_without_rendering()
        return figure.axes

    def points(self, axes):
        """Label -> (places, heights) of the ends."""
        return {line.get_label(): line.get_data() for line in axes.lines if line.get_label().endswith(")")}

    def test_every_end_is_at_its_loss_and_zeros_are_at_the_edge(self):
        losses, *_ = self.panels()
        self.assertEqual(losses.get_yscale(), "log")
        points = self.points(losses)
        self.assertEqual(set(points), {"global minimum (2)", "suboptimal local minimum (2)", "saddle (1)",
                                       "valley to infinity (1)"})
        np.testing.assert_allclose(points["suboptimal local minimum (2)"], [[4, 5], [0.5, 0.5]])
        np.testing.assert_allclose(points["saddle (1)"], [[6], [2]])
        np.testing.assert_allclose(points["valley to infinity (1)"], [[3], [0.05]])
        np.testing.assert_allclose(points["global minimum (2)"], [[1, 2], [0.005, 0.005]])
        self.assertIn("lower edge", losses.get_ylabel())

    def test_a_linear_axis_has_zero(self):
        losses = self.panels(scale="linear")[0]
        self.assertEqual(losses.get_yscale(), "linear")
        np.testing.assert_allclose(self.points(losses)["global minimum (2)"][1], 0)
        self.assertNotIn("edge", losses.get_ylabel())

    def test_shares_of_each_search_with_intervals(self):
        _, minima, saddles = self.panels()
        bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in minima.patches}
        self.assertEqual(sorted(bars.values()), [0.5, 0.5])  # none for what did not happen
        self.assertEqual([tick.get_text() for tick in minima.get_yticklabels()],
                         ["global minimum, 2", "suboptimal local minimum, 2"])
        self.assertIn("share of 4 descents", minima.get_xlabel())
        self.assertIn("share of 1 searches for saddles", saddles.get_xlabel())
        segments = minima.collections[0].get_segments()
        np.testing.assert_allclose(np.array(segments[0])[:, 0], [0.4, 2 / 3])

    def test_given_points_are_called_so_and_ranks_are_whole_numbers(self):
        for search, what, label in ((["given"] * 3, "3 given points", "given points, sorted"),
                                    (["minima"] * 3, "3 ends", "ends, sorted"),
                                    (["minima", "given", "from"], "2 ends and 1 given point", "ends and given points, sorted")):
            axes = self.panels(losses=[0.5, 0.25, 1.0], verdicts=["global valley"] * 3, shares=False, search=search)[0]
            self.assertTrue(axes.figure._suptitle.get_text().endswith(": " + what))
            self.assertEqual(axes.get_xlabel(), label)
            ticks = [t for t in axes.get_xticks() if 0.5 < t < 3.5]
            self.assertEqual(ticks, [1, 2, 3])

    def test_verdicts_have_the_colours_of_all_pictures(self):
        losses, minima, _ = self.panels()
        colours = {line.get_label().partition(" (")[0]: line.get_color() for line in losses.lines}
        self.assertEqual(colours, {name: VERDICT_LOOK[name][0] for name in colours})
        self.assertEqual({to_hex(bar.get_facecolor()).upper() for bar in minima.patches},
                         {VERDICT_LOOK[name][0] for name in ("global minimum", "suboptimal local minimum")})
        self.assertEqual(len({colour for colour, *_ in VERDICT_LOOK.values()}), len(VERDICT_LOOK))

    def test_without_shares(self):
        self.assertEqual(len(self.panels(shares=False)), 1)

    def test_the_global_minimum_is_drawn_where_it_is_known(self):
        labels = [line.get_label() for line in self.panels(losses=[1.0, 2], verdicts=["saddle"] * 2, lowest=0.5)[0].lines]
        self.assertTrue(any(label.startswith("global minimum, f = 0.5") for label in labels))
        labels = [line.get_label() for line in self.panels(losses=[1.0, 2], verdicts=["saddle"] * 2, lowest=0.5, known=0)[0].lines]
        self.assertFalse(any("0.5" in label for label in labels))

    def test_nothing_finite(self):
        losses = self.panels(losses=[np.nan], verdicts=["not finite"])[0]
        self.assertIn("no start ended", losses.texts[0].get_text())

    def test_broken_results(self):
        for name, values, message in (("verdict", ["saddle"], r"found shape \(1,\), expected \(7,\)"),
                                      ("verdict", ["hole"] * 7, "found 'hole', expected one of global minimum"),
                                      ("loss", None, "/entry/starts/loss is missing")):
            path = examples.stationary_file(self.path("broken.h5"))
            with h5py.File(path, "r+") as file:
                del file["entry/starts"][name]
                if values is not None:
                    file["entry/starts"][name] = values
            with self.assertRaisesRegex(ResultError, message):
                figures(path)


if __name__ == "__main__":
    unittest.main()
