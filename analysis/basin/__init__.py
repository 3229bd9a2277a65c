"""Basin from Python: spectra of any symmetric operator, points of Transformers, analyses, and the files they leave.

    basin.eigenpairs(operator, size, largest=3)      # anybody's operator: see basin.spectra
    point = basin.load("problem.h5")                 # loss, gradient, exact products: see basin.points
    point = basin.from_torch(module, inputs, targets)  # the same of a PyTorch module: see basin.checkpoints
    basin.hessian(point, largest=3, counts=True)     # what the tools answer: see basin.analyses
    basin.read("hessian.h5").plot()                  # any result file: see basin.results

What is not asked for is not loaded: `import basin` alone needs no other package.
"""
from importlib import import_module

# Where each public name is from.
_FROM = {
    "Operator": "spectra", "eigenpairs": "spectra", "counts": "spectra", "density": "spectra", "trace": "spectra",
    "checkpoint": "checkpoints", "from_torch": "checkpoints",
    "Point": "points", "Problem": "points", "load": "points",
    **dict.fromkeys(("evaluate", "hessian", "ntk", "slice", "train", "stationary"), "analyses"),
    "read": "results", "Result": "results",
    "set_threads": "native", "threads": "native",
}

_MODULES = sorted({*_FROM.values(), "export", "pictures", "study"})
__all__ = sorted(_FROM)


def __getattr__(name):
    if name == "__version__":
        return import_module(".native", __name__).module().__version__
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _FROM:
        raise AttributeError(f"module 'basin' has no attribute {name!r}")
    return getattr(import_module(f".{_FROM[name]}", __name__), name)


def __dir__():
    return sorted({*globals(), *_FROM, *_MODULES, "__version__"})
