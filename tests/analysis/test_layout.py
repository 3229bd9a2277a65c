"""Texts of the pictures: inside the page, apart from each other, large enough, and saying what they must."""
import json
import os
import unittest
from itertools import combinations
from unittest import mock

import h5py
import numpy as np
from matplotlib.text import Text

import examples
from support import FileCase, figures
from basin.pictures.model import footer
from basin.files import open_result

SMALLEST = 8  # points


def drawn_texts(figure):
    """Every text that drawing the figure puts on the page, with its box in pixels."""
    texts = {}
    draw = Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            texts[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    with mock.patch.object(Text, "draw", record):
        figure.draw_without_rendering()
    return texts


def long_conditions(_):
    """Conditions of a kernel with statements longer than a line, and large numbers."""
    return [("long", "rank of the local Jacobian = n D_out for every sample, and then some", "equivalent",
             98765, 123456, ""), ("short", "P >= 0", "necessary", 1, 0, "")]


def scales(name):
    """What a picture is drawn with: of most of them the other scales than their own where time is."""
    if "BASIN_LONG" not in os.environ and name not in ("bowl", "many", "ntk", "sweep"):
        return ("auto",)
    return ("auto", "linear") if name == "flat" else ("auto", "linear", "log")


class Layout(FileCase):
    def pictures(self):
        """(name, figure) of all kinds of picture, with texts long and short."""
        steps = np.linspace(-1, 1, 41)
        x, y = np.meshgrid(steps, steps)
        holes = examples.bowl(steps, steps)
        holes[30:, 25:] = np.nan
        many = np.geomspace(5e4, 20, 40)
        long = {"input_file": "/data/" + 12 * "a long name " + ".h5", "kernel": "gaussian"}
        made = {
            "bowl": examples.slice_file(self.path("bowl.h5")),
            "flat": examples.slice_file(self.path("flat.h5"), 12345 + 1e-4 * x + 3e-4 * y, steps, steps,
                                        normalisation="filter, then made orthogonal to the first direction"),
            "exact": examples.slice_file(self.path("exact.h5"), 1e-3 * (x**2 + 5 * y**2), steps, steps),
            "large": examples.slice_file(self.path("large.h5"), 1e6 * examples.bowl(steps, 3 * steps), steps,
                                         3 * steps, **long),
            "holes": examples.slice_file(self.path("holes.h5"), holes, steps, steps),
            "maps": examples.with_maps(examples.slice_file(self.path("maps.h5"), normalisation="none")),
            "share": examples.slice_file(self.path("share.h5"), examples.bowl(steps, steps), steps, steps,
                                         np.arange(41)[:, None] % 3 * np.ones(41) == 0),
            "line": examples.slice_file(self.path("line.h5"), [[0, 1e-3, np.nan, 5, 900]], range(5), [0]),
            "ntk": examples.ntk_file(self.path("ntk.h5"), **long),
            "unions": examples.ntk_file(self.path("unions.h5"), examples.ntk_spectra(unions=True), **long),
            "formed": examples.ntk_file(self.path("formed.h5"), formed=True, conditions=long_conditions),
            "zero": examples.ntk_file(self.path("zero.h5"), {"sum": (np.array([1e9, 1e-9]), 1e-7)},
                                      conditions=long_conditions),
            "few": examples.hessian_file(self.path("few.h5")),
            "many": examples.hessian_file(self.path("many.h5"), largest=(many, many / 1e3, many > 30),
                                          smallest=(-many[::-1] / 1e9, many / 1e12, many > 0)),
            "all": examples.hessian_file(self.path("all.h5"), full=True, **long),
            "sheet": examples.sheet_file(self.path("sheet.h5"), **long),
            "sweep": examples.sweep_file(self.path("sweep.h5")),
            "part": examples.sweep_file(self.path("part.h5"), {"input-scale": list(range(1, 31)), "D": [4, 1024], "N": [1, 2]},
                                         shares=np.full((30, 2, 2), 0.5), blocks=("W_Q", "W_K", "W_V", "W_O", "sum")),
            "along": examples.sweep_file(self.path("along.h5"), {"D": [2**k for k in range(2, 14)]},
                                         shares=np.linspace(0, 1, 12), blocks=("W_Q", "W_K", "W_V", "W_O", "sum")),
            "network": examples.with_sweep_numbers(examples.sweep_file(self.path("network.h5")), estimated=True, wide=True),
            "words": examples.with_sweep_numbers(examples.sweep_file(
                self.path("words.h5"), {"init": ["gaussian", "xavier", "orthogonal"], "kernel": ["softmax", "gaussian"]},
                shares=np.ones((3, 2)), blocks=("sum",))),
            "evaluation": examples.evaluate_file(self.path("evaluation.h5")),
        }
        for name, path in made.items():
            for scale in scales(name):
                for kind, figure in figures(path, scale).items():
                    yield f"{name}_{kind} {scale}", figure

    def test_texts(self):
        for name, figure in self.pictures():
            texts = drawn_texts(figure)
            with self.subTest(name):
                self.assertGreater(len(texts), 5)
                for text, box in texts.items():
                    self.assertGreaterEqual(text.get_fontsize(), SMALLEST, text)
                    inside = figure.bbox.padded(1)
                    self.assertTrue(inside.contains(*box.min) and inside.contains(*box.max), text)
                # The box of a turned text is larger than the text.
                straight = [(text, box.padded(-0.5)) for text, box in texts.items()
                            if text.get_rotation() % 90 == 0]
                for (first, box), (second, other) in combinations(straight, 2):
                    self.assertFalse(box.overlaps(other), f"{first} over {second}")

    def test_labels_of_contour_lines_keep_apart(self):
        figure = figures(examples.slice_file(self.path("s.h5")))["contour"]
        drawn_texts(figure)
        axes, = figure.axes
        places = [axes.transData.transform(text.get_position()) * 72 / figure.dpi for text in axes.texts]
        self.assertGreater(len(places), 5)
        for first, second in combinations(places, 2):
            self.assertGreater(np.hypot(*(first - second)), 20)

    def test_footer(self):
        path = examples.evaluate_file(self.path("e.h5"), kernel="gaussian", input_file="/x/wiki.h5")
        figure = figures(path)["gradient"]
        self.assertEqual(figure._supxlabel.get_text(),
                         "Gaussian kernel, \u03c3 = 1.682; N = 16, n = 8, D = 16, H = 2, d = 8, D_out = 4\n"
                         "trainable: W_Q, W_K, W_V, W_O; input: wiki.h5")

    def test_of_many_blocks_the_first_are_named(self):
        path = examples.evaluate_file(self.path("e.h5"))
        with h5py.File(path, "a") as file:
            model, names = file["entry/model"], [f"blocks.{k}.attention.W_Q" for k in range(7)]
            del model["kernel"]
            model["architecture"] = json.dumps({"layers": [{"type": "attention"}, {"type": "linear"}]})
            model["trainable"][()] = ",".join(names)
        with open_result(path) as result:
            lines = footer(result)
        self.assertEqual(lines[1], "trainable: blocks.0.attention.W_Q, blocks.1.attention.W_Q, \u2026 (7 blocks); input: problem.h5")

    def test_long_names_keep_their_ends(self):
        path = examples.evaluate_file(self.path("e.h5"), input_file="first" + 200 * "x" + "last.h5")
        name = figures(path)["gradient"]._supxlabel.get_text().partition("input: ")[2]
        self.assertLessEqual(len(name), 60)
        self.assertTrue(name.startswith("first") and name.endswith("last.h5"))


if __name__ == "__main__":
    unittest.main()
