"""Formulas in plain text, typeset."""
import unittest

import support  # noqa: F401  first, because it finds basin
from basin.pictures.mathematics import text_width, typeset, wrap_typeset
from basin.pictures.style import SMALL


class Formulas(unittest.TestCase):
    def test_symbols(self):
        for text, expected in (("P >= N n D_out", r"$P\,\geq\,N\,n\,D_\mathrm{out}$"),
                               ("H r~ + e >= 3", r"$H\,\tilde{r}\,+\,e\,\geq\,3$"),
                               ("H min(d, n-1)", r"$H\,\min(d,\,n-1)$"),
                               ("rank X = N (n-1)", r"rank $X\,=\,N\,(n-1)$"),
                               ("rank of inputs = n", r"rank of inputs$\,=\,n$"),
                               ("rank W_O[h] for every head", "rank $W_{O}[h]$ for every head"),
                               ("[G_a1 .. G_aH]", r"$[G_{a1}\,\ldots\,G_{aH}]$"),
                               ("lambda_min(X^T X) min_i", r"$\lambda_\mathrm{min}(X^T\,X)\,\min_{i}$")):
            with self.subTest(text):
                self.assertEqual(typeset(text), expected)

    def test_unknown_text_is_left_alone(self):
        for text in ("a word - and 3 tokens (softmax), e.g. no_symbol, D_output, min, X^2^3, n_",
                     "D>N? \u4e2d 50% \\alpha {x}"):
            self.assertEqual(typeset(text), text)
        self.assertEqual(typeset("5 $ for n"), r"5 \$ for $n$")

    def test_lines_are_as_wide_as_they_may_be(self):
        text = "rank of the local Jacobian = n D_out for every sample"
        lines = wrap_typeset(text, 1.5)
        self.assertEqual(len(lines), 2)
        self.assertLessEqual(max(map(text_width, lines)), 1.5)
        self.assertEqual(wrap_typeset(text, 9), [typeset(text)])
        self.assertEqual(wrap_typeset("unbreakable", 0.1), ["unbreakable"])
        self.assertGreater(text_width(text, 2 * SMALL), 1.9 * text_width(text))


if __name__ == "__main__":
    unittest.main()
