"""Numbers near the ends of double precision are drawn like others: no warning, no exception, the numbers right."""
import os
import unittest
import warnings

import h5py
import numpy as np

import examples
from support import FileCase, figures
from basin.pictures.style import bound_label, number_label
from basin.pictures.units import exponent_for, in_units, unit_text

# What is not of the dimension of the loss, by a part of its name.
FIXED = ("step", "computed", "directions", "provenance", "model", "entropy", "largest_weight", "row_sum", "rate", "seed", "count", "total",
         "share", "symmetry", "zero", "negative", "positive", "exact", "converged", "rank", "index", "size", "parameters", "holds",
         "measured", "threshold", "log10", "axes", "definiteness", "coordinates", "inputs", "singular", "theory", "number")


def multiplied(path, factor):
    """The result at `path` with its losses, eigenvalues and gradients times `factor`."""
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
                        and not any(part in name for part in FIXED) else None)
        for name in names:
            density = "density" in name and not name.endswith("eigenvalue")
            with np.errstate(over="ignore", under="ignore"):
                if density and "symlog" not in name:
                    file[name][...] /= factor
                elif not density:
                    file[name][...] = np.clip(file[name][()] * factor, -1.7e308, 1.7e308)
    return path


class Pictures(FileCase):
    MADE = {
        "plane": lambda path: examples.with_maps(examples.slice_file(path, examples.bowl(np.arange(5.0), np.arange(4.0)),
                                                                     range(5), range(4))),
        "flat": lambda path: examples.slice_file(path, np.full((3, 3), 1.0), range(3), range(3)),
        "signs": lambda path: examples.slice_file(path, [[-1, 2, 3, -4.0]] * 2, range(4), range(2)),
        "line": lambda path: examples.slice_file(path, [[1e-3, 2, 5, 900.0]], range(4), [0]),
        "point": lambda path: examples.slice_file(path, [[2.0]], [0], [0]),
        "ntk": examples.ntk_file,
        "hessian": lambda path: examples.hessian_file(path, full=True),
        "sheet": examples.sheet_file,
        "train": examples.train_file,
        "stationary": examples.stationary_file,
        "sweep": lambda path: examples.sweep_file(path, {"D": [1, 2, 3]}, shares=[0, 0.5, 1], blocks=("sum",)),
        "evaluation": examples.evaluate_file,
    }

    @unittest.skipUnless("BASIN_LONG" in os.environ, "tests/run.sh --long runs it")
    def test_every_kind(self):
        for name, make in self.MADE.items():
            for factor in (1e303, 1e-300, 1e-307):
                with self.subTest(f"{name} times {factor:g}"), warnings.catch_warnings():
                    warnings.simplefilter("error")
                    for figure in figures(multiplied(make(self.path("r.h5")), factor)).values():
                        figure.draw_without_rendering()

    def test_steps(self):
        """Directions may be short and steps long: the axes are not collapsed around 0."""
        loss = examples.bowl(np.arange(5.0), np.arange(4.0))
        for factor in (1e-300, 1e300, 4.9e-324):
            with self.subTest(factor), warnings.catch_warnings():
                warnings.simplefilter("error")
                path = examples.slice_file(self.path("s.h5"), loss, factor * np.arange(5.0), factor * np.arange(4.0))
                for figure in figures(path).values():
                    figure.draw_without_rendering()
                axes = figures(path)["contour"].axes[0]
                self.assertGreater(axes.get_xlim()[1], 0.5)
                self.assertIn("in $10^{", axes.get_xlabel())

    def test_what_is_drawn_times_its_unit_is_what_the_file_holds(self):
        axes = figures(examples.slice_file(self.path("s.h5"), [[1e300, 4e300, 9e303]], range(3), [0]))["line"].axes[0]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [1e-3, 4e-3, 9])
        self.assertTrue(axes.get_ylabel().endswith("in $10^{303}$"))
        text = axes.get_legend().get_texts()[0].get_text()
        self.assertTrue(text.endswith("f = $10^{300}$"), text)

    def test_numbers_of_usual_size_are_drawn_as_they_are(self):
        for values in (np.array([1e-90, 1.0, 1e90]), np.array([0.0]), np.array([np.nan, np.inf, 3.0])):
            self.assertEqual(exponent_for(values), 0)
            self.assertIs(in_units(values, 0), values)
        self.assertEqual(unit_text(0), "")


class Units(unittest.TestCase):
    def test_scaling_is_right_to_rounding(self):
        for value in (1.7976931348623157e308, 3.2e200, 7.5e-201, 2.2250738585072014e-308):
            exponent = exponent_for(np.array([value]))
            scaled = in_units(np.array([value]), exponent)[0]
            self.assertTrue(1 - 1e-12 <= scaled < 10)
            mantissa, power = f"{value:.12e}".split("e")
            self.assertAlmostEqual(scaled, float(mantissa) * 10.0 ** (int(power) - exponent), delta=1e-11)
        self.assertEqual(in_units(np.array([5e-324]), exponent_for(np.array([5e-324])))[0], 5e-324 * 1e162 * 1e162)

    def test_labels(self):
        self.assertEqual(number_label(1.5, exponent=303), r"$1.5{\times}10^{303}$")
        self.assertEqual(number_label(15, exponent=-320), r"$1.5{\times}10^{-319}$")
        self.assertEqual(number_label(0, exponent=303), "0")
        self.assertEqual(bound_label(1.23456, upper=True, exponent=300), r"$1.24{\times}10^{300}$")
        self.assertEqual(bound_label(1.23956, upper=False, exponent=300), r"$1.23{\times}10^{300}$")


if __name__ == "__main__":
    unittest.main()
