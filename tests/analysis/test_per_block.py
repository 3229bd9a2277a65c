"""Pictures of basin-hessian --per-block."""
import unittest

import h5py
import numpy as np

import examples
from support import FileCase, figures


class PerBlock(FileCase):
    def test_numbers_are_those_given(self):
        drawn = figures(examples.per_block_file(self.path("r.h5")))
        self.assertEqual(list(drawn), ["blocks", "depth", "heterogeneity"])
        axes = drawn["blocks"].axes[0]
        ends = {container.get_label(): container.lines[0].get_xydata() for container in axes.containers}
        rows = np.arange(10.0)
        np.testing.assert_array_equal(ends["smallest eigenvalue"], np.stack([-1 - rows, rows], axis=1))
        np.testing.assert_array_equal(ends["largest eigenvalue"], np.stack([1 + rows, rows], axis=1))
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()][::9], ["blocks.0.attention.W_Q", "head.W"])
        self.assertEqual(axes.get_xscale(), "symlog")
        # each row of colours is a density: with the width of its cells the sum is 1
        mesh, = axes.collections[:1]
        edges = np.arcsinh(mesh.get_coordinates()[0, :, 0] / (1e-6 * 10))
        shares = mesh.get_array().reshape(10, -1) * np.diff(edges)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.01)
        np.testing.assert_array_equal(drawn["heterogeneity"].axes[0].images[0].get_array(), 0.5 - 0.5 * np.eye(10))
        self.assertIn("on average 0.50", drawn["heterogeneity"]._suptitle.get_text())

    def test_over_depth(self):
        panels = figures(examples.per_block_file(self.path("r.h5")))["depth"].axes
        np.testing.assert_array_equal(panels[0].get_lines()[0].get_xydata(), [[0, 1], [1, 4], [2, 7]])
        self.assertEqual([axes.get_ylabel() for axes in panels[::2]],
                         ["largest\neigenvalue", "smallest\neigenvalue", "trace", "Frobenius norm", "share below 0"])
        # heads of a block are points of one kind, without a curve
        panels = figures(examples.per_block_file(self.path("h.h5"), heads=True))["depth"].axes
        line = panels[0].get_lines()[0]
        np.testing.assert_array_equal(line.get_xydata(), [[0, 1], [0, 2], [1, 3], [1, 4], [2, 5], [2, 6]])
        self.assertEqual(line.get_linestyle(), "None")

    def test_without_densities(self):
        drawn = figures(examples.per_block_file(self.path("r.h5"), density=False))
        self.assertEqual(list(drawn), ["blocks", "depth"])
        for figure in drawn.values():
            figure.draw_without_rendering()

    def test_damaged(self):
        examples.per_block_file(self.path("r.h5"))
        with h5py.File(self.path("r.h5"), "r+") as file:
            del file["entry/per_block/trace_errors"]
            file["entry/per_block/trace_errors"] = np.ones(3)
        self.assert_one_line(self.basin_plot("r.h5"), 2, "r.h5", "/entry/per_block/trace_errors", "(3,)")


if __name__ == "__main__":
    unittest.main()
