"""The picture of a descent."""
import unittest

import h5py
import numpy as np

from support import FileCase, figures  # first, because it finds basin
import examples
from basin.files import ResultError


class Descent(FileCase):
    def panels(self, name="r.h5", scale="auto", **options):
        figure = figures(examples.train_file(self.path(name), **options), scale)["descent"]
        figure.draw_without_rendering()
        return figure.axes

    def lines(self, axes):
        return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}

    def test_all_panels_show_what_is_on_record(self):
        loss, gradient, rates, ntk, attention, norms = self.panels(kernel="gaussian")
        self.assertEqual(loss.get_yscale(), "log")
        np.testing.assert_allclose(loss.lines[0].get_ydata(), 3 * 0.65 ** np.arange(60))
        self.assertIn("proven from step 40 on", self.lines(loss))
        self.assertEqual(len(self.lines(gradient)), 2)
        measured = self.lines(rates)["measured"].get_ydata()
        self.assertTrue(np.isnan(measured[0]))
        np.testing.assert_allclose(measured[1:], 0.35)  # 1 - rate
        self.assertEqual(len(self.lines(rates)), 3)
        self.assertEqual(len(self.lines(ntk)), 3)
        self.assertEqual(len(self.lines(attention)), 4)
        self.assertEqual(len(self.lines(norms)), 4)

    def test_without_ntk_and_certificate(self):
        loss, _, _, ntk, attention, _ = self.panels(ntk=False)
        self.assertEqual(len(self.lines(loss)), 0)
        self.assertEqual(len(self.lines(ntk)), 1)
        self.assertEqual(len(self.lines(attention)), 2)

    def test_a_certificate_that_never_passes_is_not_marked(self):
        self.assertEqual(len(self.lines(self.panels(first_step=-1)[0])), 0)

    def test_one_record(self):
        rates = self.panels(records=1)[2]
        self.assertIn("a single record", rates.texts[0].get_text())

    def test_every_rate_axis_has_labels(self):
        for low, high, scale in ((0.3, 0.5, "linear"), (0.03, 0.5, "log"), (0.011, 0.09, "linear"), (0.011, 0.98, "log"),
                                 (1e-6, 0.5, "log")):
            path = examples.train_file(self.path("r.h5"), ntk=False)
            with h5py.File(path, "r+") as file:
                for name in ("measured_rate", "guaranteed_rate"):
                    file[f"entry/run/{name}"][...] = 1 - np.geomspace(low, high, 60)
            figure = figures(path)["descent"]
            figure.draw_without_rendering()
            rates = figure.axes[2]
            bottom, top = rates.get_ylim()
            labels = [tick.label1.get_text() for tick in rates.yaxis.get_major_ticks()
                      if bottom <= tick.get_loc() <= top]
            self.assertEqual(rates.get_yscale(), scale)
            self.assertGreaterEqual(sum(map(bool, labels)), 2, labels)

    def test_scales(self):
        self.assertEqual(self.panels(scale="linear")[0].get_yscale(), "linear")

    def test_rises_are_said(self):
        path = examples.train_file(self.path("r.h5"))
        with h5py.File(path, "r+") as file:
            file["entry/run/measured_rate"][5] = 1.5
        self.assertIn("rises not shown", figures(path)["descent"].axes[2].get_ylabel())

    def test_broken_results(self):
        for name, values, message in (("loss", np.full(60, np.nan), "found values NaN"),
                                      ("distance", np.ones(3), "found shape (3,), expected (60,)")):
            path = examples.train_file(self.path(name))
            with h5py.File(path, "r+") as file:
                del file["entry/run"][name]
                file["entry/run"][name] = values
            with self.assertRaisesRegex(ResultError, message.replace("(", r"\(").replace(")", r"\)")):
                figures(path)


if __name__ == "__main__":
    unittest.main()
