"""Pictures of the blocks of a network over depth."""
import unittest

import numpy as np

from support import FileCase  # finds basin
from basin.pictures import depth

NAMES = ["embedding.E", "blocks.0.attention.W_Q", "blocks.0.attention.b_Q", "blocks.0.norm.g", "blocks.1.attention.W_Q",
         "blocks.1.attention.b_Q", "blocks.1.norm.g", "blocks.2.attention.W_Q", "head.W", "sum"]


class Depth(FileCase):
    def test_curves_of_blocks(self):
        self.assertEqual(depth.by_depth(NAMES), {"attention.W_Q": [(0, 1), (1, 4), (2, 7)], "attention.b_Q": [(0, 2), (1, 5)],
                                                 "norm.g": [(0, 3), (1, 6)]})
        # two stacks; beside patterns and unions; and what is there once
        self.assertEqual(depth.by_depth(["a.encoder.3.W", "a.encoder.5.W", "blocks.*.W", "W_Q,W_K"]), {"W": [(3, 0), (5, 1)]})
        self.assertEqual(depth.by_depth(["encoder.0.W", "encoder.1.W", "decoder.0.W"]), {"encoder.W": [(0, 0), (1, 1)], "decoder.W": [(0, 2)]})
        self.assertEqual(depth.by_depth(["W_Q", "blocks.0.W", "blocks.1.b"]), {})
        self.assertEqual(depth.pictures("", ["W_Q", "W_K"], [("norm", np.ones(2), None)], "auto", []), [])

    def test_numbers_are_those_given(self):
        values = np.arange(1.0, 11)
        values[5] = np.nan
        (name, figure), = depth.pictures("Blocks", NAMES, [("norm", values, None), ("trace", -values, 0.1 * values)], "auto", ["a file"])
        self.assertEqual(name, "depth")
        maps, others, traces, _ = figure.axes
        np.testing.assert_array_equal(maps.get_lines()[0].get_xydata(), [[0, 2], [1, 5], [2, 8]])
        np.testing.assert_array_equal(others.get_lines()[1].get_xydata(), [[0, 4], [1, 7]])
        np.testing.assert_array_equal(traces.get_lines()[0].get_ydata(), [-2, -5, -8])
        self.assertEqual([axes.get_ylabel() for axes in figure.axes], ["norm", "norm", "trace", "trace"])
        self.assertEqual([text.get_text() for text in traces.get_legend().get_texts()], ["attention.W_Q"])

    def test_scales(self):
        wide = np.logspace(0, 9, 10)
        (_, figure), = depth.pictures("Blocks", NAMES, [("norm", wide, None)], "auto", [])
        self.assertEqual(figure.axes[0].get_yscale(), "log")
        (_, figure), = depth.pictures("Blocks", NAMES, [("norm", wide, None)], "linear", [])
        self.assertEqual(figure.axes[0].get_yscale(), "linear")
        (_, figure), = depth.pictures("Blocks", NAMES, [("norm", 1e200 * wide, None)], "linear", [])
        self.assertIn("10^{209}", figure.axes[0].get_ylabel())


if __name__ == "__main__":
    unittest.main()
