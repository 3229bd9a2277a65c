"""The worked examples run, and say what they promise. Skipped without torch."""
import importlib.util
import os
import subprocess
import sys
import unittest
from pathlib import Path

from support import BUILD

EXAMPLES = Path(__file__).resolve().parents[2] / "analysis" / "examples"


@unittest.skipUnless(importlib.util.find_spec("torch"), "needs torch")
class Examples(unittest.TestCase):
    def run_example(self, name):
        done = subprocess.run([sys.executable, EXAMPLES / f"{name}.py"], capture_output=True, text=True, check=False,
                              timeout=300, env={**os.environ, "PYTHONPATH": str(BUILD / "python")})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_module_spectrum(self):
        self.assertIn("negative curvature in the Hessian", self.run_example("module_spectrum"))

    def test_anybodys_operator(self):
        said = self.run_example("anybodys_operator")
        self.assertIn("largest: ", said)
        self.assertEqual(said.count("apart, within their bounds"), 2)

    def test_sharpness_in_training(self):
        said = self.run_example("sharpness_in_training")
        self.assertEqual(said.count("largest eigenvalue"), 13)

    def test_there_is_a_test_for_each(self):
        for example in EXAMPLES.glob("*.py"):
            self.assertTrue(hasattr(self, f"test_{example.stem}"), example)


if __name__ == "__main__":
    unittest.main()
