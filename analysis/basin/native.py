"""The compiled part of the package, loaded when it is first needed."""
import warnings
from functools import lru_cache


@lru_cache(maxsize=None)
def module():
    """The extension module _basin. Raises ImportError that says how to get it."""
    try:
        import _basin
    except ImportError as error:
        raise ImportError(f"the compiled part of basin cannot be loaded ({error}); build it and put build/release/python "
                          "on PYTHONPATH, or cmake --install it") from error
    if _basin.lapack_is_shared():
        warnings.warn("basin shares its LAPACK library with another package of this process, whose number of threads it "
                      "leaves alone: last digits may depend on it", RuntimeWarning, stacklevel=2)
    return _basin


def set_threads(threads):
    """The number of threads that Basin's own loops take; 0: all that OpenMP gives. NumPy's, PyTorch's and everybody
    else's are left alone. Results do not depend on it. In a child of a fork it is 1."""
    if threads < 0:
        raise ValueError(f"threads: found {threads}, expected 1 or more, or 0 for all")
    module().set_threads(threads)


def threads():
    """The number of threads that Basin's own loops take."""
    return module().threads()
