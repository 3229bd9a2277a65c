"""Pictures of problem files whose samples are pictures."""
import unittest

import h5py
import numpy as np
from support import FileCase  # finds basin

from basin.files import ResultError, open_result
from basin.pictures import samples


class Samples(FileCase):
    def problem(self, **data):
        with h5py.File(self.path("p.h5"), "w") as file:
            file.attrs.update(basin_file="problem", basin_format="2.0")
            group = file.create_group("data")
            for name, value in data.items():
                if name == "picture":
                    group.attrs[name] = value
                else:
                    group[name] = value
        return self.path("p.h5")

    def read(self, **data):
        with open_result(self.problem(**data), ("problem",)) as problem:
            return samples.read(problem)

    def test_greys_and_labels(self):
        greys = np.random.default_rng(0).integers(256, size=(5, 16))
        for data in ({"tokens": greys, "picture": 4}, {"X": greys.reshape(5, 16, 1), "picture": 4},
                     {"images": np.stack([greys.reshape(5, 4, 4), np.zeros((5, 4, 4))], axis=1)}):
            found, labels = self.read(labels=np.arange(5).reshape(5, 1), **data)
            np.testing.assert_array_equal(found, greys.reshape(5, 4, 4))
            self.assertEqual(labels, ["0", "1", "2", "3", "4"])
        self.assertEqual(self.read(images=greys.reshape(5, 1, 4, 4))[1], [""] * 5)

    def test_picture(self):
        greys = np.random.default_rng(0).integers(256, size=(30, 16))
        path = self.problem(tokens=greys, labels=np.zeros((30, 1), int), picture=4)
        with open_result(path, ("problem",)) as problem:
            (name, figure), = samples.pictures(problem, "auto")
        self.assertEqual(name, "samples")
        shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
        self.assertEqual(len(shown), 24)
        np.testing.assert_array_equal(shown[7], greys[7].reshape(4, 4))
        self.assertIn("the first 24 samples of 30", figure._suptitle.get_text())
        self.assertEqual(self.basin_plot(path, "--format", "png").returncode, 0)
        self.assertIn("p_samples.png", self.files())

    def test_what_is_no_picture(self):
        with self.assertRaisesRegex(ResultError, "whose samples are no pictures"):
            self.read(tokens=np.zeros((2, 16), int))
        with self.assertRaisesRegex(ResultError, "expected pictures of 5 rows"):
            self.read(tokens=np.zeros((2, 16), int), picture=5)


if __name__ == "__main__":
    unittest.main()
