"""What the tests of the package share: operators with known spectra."""
import os
import sys
from pathlib import Path

import numpy as np

# The build's own, where the tests are run by hand.
BUILD = Path(os.environ["BASIN_BIN"]).parent
if str(BUILD / "python") not in sys.path:
    sys.path.insert(0, str(BUILD / "python"))


def orthogonal(size, rng):
    """A random orthogonal matrix."""
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def matrix_of(values, rng):
    """A random symmetric matrix with these eigenvalues."""
    Q = orthogonal(len(values), rng)
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


def rows(A):
    """The operator of a symmetric matrix, on rows."""
    return lambda V: V @ A
