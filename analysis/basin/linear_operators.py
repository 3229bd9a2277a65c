"""Operators of a point, which SciPy takes for its own where SciPy is there."""
from functools import lru_cache

import numpy as np


def symmetric(made, name):
    """The operator of the compiled part `made`."""
    return _classes()[0](made, name)


def rectangular(forward, back, shape, name):
    """The operator of `shape` whose products with rows, and those of its transpose, are these functions."""
    return _classes()[1](forward, back, shape, name)


@lru_cache(maxsize=None)
def _classes():
    try:
        from scipy.sparse.linalg import LinearOperator as base
    except ImportError:
        base = _Columns

    class OnRows(base):
        """op(V) multiplies rows, (k, n) -> (k, m) or (n,) -> (m,); op @ X columns, as SciPy does."""

        def __init__(self, shape, name):
            super().__init__(np.dtype(float), shape)
            self.name = name

        def __call__(self, V):
            return self._rows(V)

        def _matmat(self, X):
            return self._rows(X.T).T

        def _matvec(self, x):
            return self._rows(np.ravel(x))

        def __repr__(self):
            return f"<{self.name}, an operator of shape {self.shape}>"

    class Symmetric(OnRows):
        """A symmetric operator of a point, which `eigenpairs`, `counts`, `density` and `trace` take."""

        def __init__(self, made, name):
            super().__init__((made.size, made.size), name)
            self.native = made
            self.size = made.size

        @property
        def products(self):
            """Vectors that were multiplied so far."""
            return self.native.products

        def _rows(self, V):
            return self.native.apply(V)

        def _adjoint(self):
            return self

        _transpose = _adjoint

    class Rectangular(OnRows):
        """A linear operator and its transpose."""

        def __init__(self, forward, back, shape, name):
            super().__init__(shape, name)
            self._rows, self._back = forward, back

        def _adjoint(self):
            return Rectangular(self._back, self._rows, self.shape[::-1], f"transposed {self.name}")

        _transpose = _adjoint

    return Symmetric, Rectangular


class _Columns:
    """What of SciPy's LinearOperator does without SciPy."""

    def __init__(self, dtype, shape):
        self.dtype, self.shape = dtype, shape

    def matmat(self, X):
        return self._matmat(np.asarray(X, dtype=float))

    def matvec(self, x):
        return self._matvec(np.asarray(x, dtype=float))

    def rmatmat(self, X):
        return self.T.matmat(X)

    def rmatvec(self, x):
        return self.T.matvec(x)

    def __matmul__(self, X):
        return self.matvec(X) if np.ndim(X) == 1 else self.matmat(X)

    @property
    def T(self):
        return self._adjoint()

    H = T
