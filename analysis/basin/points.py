"""Problems at a point: loss, gradient, exact products, and operators of any network that Basin knows.

    point = basin.load("problem.h5")
    point.loss, point.gradient                # f, (P,)
    point.hvp(V)                              # (k, P) -> (k, P)
    basin.eigenpairs(point.hessian, largest=3)

P is the number of trained parameters, m that of all outputs. Vectors are rows throughout.
"""
import json
import os
import sys
from collections import namedtuple
from contextlib import contextmanager, nullcontext

import numpy as np

from . import native
from .linear_operators import rectangular, symmetric
from .tools import Folder
from .words import in_python

#: A parameter block: its name, its shape, whether it is trained, and where it starts in theta (-1: nowhere).
Block = namedtuple("Block", "name shape trained first")


class Point:
    """A network, its weights and its data. Made by `load`, `Problem`, `checkpoint` and `from_torch`.

    What is computed is kept; several threads may ask at once, and take turns.
    """

    def __init__(self, made, file=None):
        self.native = made
        self._file = file  # absolute path, size and time of the file that it is the point of

    def same_file(self):
        """The problem file of this very point, or None: it has moved, or the file has changed, or is gone."""
        if self.native.changed or self._file is None or self._file != _signed(self._file[0]):
            return None
        return self._file[0]

    def __repr__(self):
        return f"<point of a {self.native.text}>"

    @property
    def size(self):
        """P, the number of trained parameters."""
        return self.native.size

    @property
    def trained(self):
        """The names of the trained blocks, in order."""
        return self.native.trained

    @property
    def blocks(self):
        """All parameter blocks, in order: `Block`s."""
        return [Block(**block) for block in self.native.blocks()]

    @property
    def architecture(self):
        """The network as it is described in problem files: a dictionary."""
        return json.loads(self.native.architecture)

    @property
    def theta(self):
        """The trained parameters, (P,)."""
        return self.native.theta

    @property
    def weights(self):
        """All parameters: a dictionary from names of blocks to arrays in their shapes."""
        return self.native.weights()

    def by_block(self, v):
        """A vector (P,) as a dictionary from names of trained blocks to arrays in their shapes."""
        return self.native.by_block(v)

    @property
    def loss(self):
        """f."""
        return self.native.loss()

    @property
    def outputs(self):
        """F, (N, n, D_out), or (N, D_out) behind a pool."""
        return self.native.outputs().reshape(self.native.output_shape)

    @property
    def gradient(self):
        """The gradient of f, (P,)."""
        return self.native.gradient()

    def hvp(self, V):
        """Products of the Hessian of f with rows: (k, P) or (P,), in the same shape. Exact: no finite differences."""
        return self.native.hvp(V)

    def jvp(self, V):
        """Products of the Jacobian of the outputs (m, P) with rows: (k, P) -> (k, m)."""
        return self.native.jvp(V)

    def vjp(self, U):
        """Products of its transpose with rows: (k, m) -> (k, P)."""
        return self.native.vjp(U)

    @property
    def hessian(self):
        """The Hessian of f, an operator (P, P)."""
        return symmetric(self.native.hessian(), "Hessian")

    @property
    def gauss_newton(self):
        """G = J^T H_l J, an operator (P, P); point.gauss_newton(V) multiplies rows."""
        return symmetric(self.native.gauss_newton(), "Gauss-Newton matrix")

    @property
    def ntk(self):
        """The neural tangent kernel J J^T, an operator (m, m)."""
        return symmetric(self.native.ntk(), "neural tangent kernel")

    @property
    def jacobian(self):
        """J, an operator (m, P)."""
        return rectangular(self.jvp, self.vjp, (self.native.output_size, self.size), "Jacobian")

    def with_trainable(self, blocks):
        """The same point with other blocks trained: names or patterns, "W_Q,W_K" or "blocks.*.attention.*", or a list.

        Raises ValueError for what fits no block.
        """
        return Point(self.native.with_trainable(blocks if isinstance(blocks, str) else ",".join(blocks)), self._file)

    def at(self, theta):
        """The same problem at other trained parameters, (P,). Raises ValueError for another shape or NaN."""
        return Point(self.native.at(theta))

    def save(self, path, overwrite=False):
        """Writes a problem file of this point; which blocks are trained is not part of it. Raises ValueError if one is there already, but for `overwrite`."""
        with _files():
            self.native.save(os.fspath(path), overwrite)


class Problem(Point):
    """A point that is made of arrays.

    X: inputs. Y: targets, or labels for a network with cross-entropy. weights: a dictionary from names of blocks to
    arrays, or None: drawn (init, seed). architecture: the network as problem files describe it, a dictionary or JSON; None:
    one attention layer, X (N, n, D), Y (N, n, D_out), with W_Q, W_K, W_V (H, D, d) and W_O (H, d, D_out), `kernel`
    "softmax" or "gaussian" and its `bandwidth`.
    mask: (N, n), which tokens are real. token_types: (N, n). options: those of `load`.

    Raises ValueError for what does not fit, naming it.
    """

    def __init__(self, X, Y, weights=None, architecture=None, *, mask=None, token_types=None, kernel=None, bandwidth=None,
                 **options):
        import h5py
        folder = Folder()
        path = folder / "problem.h5"
        with h5py.File(path, "w") as file:
            if architecture is None:
                names = ("X", "Y")
                group = file.create_group("parameters")
                group.attrs["kernel"] = kernel or "softmax"
                if bandwidth is not None:
                    group.attrs["bandwidth"] = float(bandwidth)
            else:
                if kernel is not None or bandwidth is not None:
                    raise ValueError("kernel=, bandwidth=: the architecture says which kernel it has")
                text = architecture if isinstance(architecture, str) else json.dumps(architecture)
                names = _datasets_of(text)
                file["model/architecture"] = text
            for name, values in zip((*names, "mask", "token_types"), (X, Y, mask, token_types)):
                if values is not None:
                    file[f"data/{name}"] = np.asarray(values)
            for name, values in (weights or {}).items():
                file[f"parameters/{name}"] = np.asarray(values)
        super().__init__(load_temporary(path, **options).native)


def _datasets_of(architecture):
    """Where problem files have inputs and targets of such a network."""
    described = json.loads(architecture)
    inputs = described.get("inputs", {}).get("type") if isinstance(described, dict) else None
    loss = described.get("loss", {}).get("type", "squared") if isinstance(described, dict) else None
    return ({"tokens": "tokens", "images": "images"}.get(inputs, "X"), "labels" if loss == "cross-entropy" else "Y")


def load(path, *, train=None, kernel=None, bandwidth=None, init=None, gain=None, heads=None, head_dim=None, seed=None,
         memory=None):
    """The point of a problem file.

    train: names or patterns of the trained blocks (all). kernel, bandwidth: instead of the file's. init, seed, gain
    (a dictionary from blocks to factors), heads, head_dim: draw weights, where the file has none or with init. memory:
    bytes that may be kept between products.

    Raises ValueError, naming the file and dataset or the option.
    """
    return _load(path, True, memory, train=train, kernel=kernel, bandwidth=bandwidth, init=init, gain=gain, heads=heads,
                 head_dim=head_dim, seed=seed)


def load_temporary(path, *, memory=None, **options):
    """As `load`, of a file that does not last: the point has nothing to do with it afterwards."""
    try:
        return _load(path, False, memory, **options)
    except ValueError as error:
        raise type(error)(str(error).replace(f"{path}: ", "")) from None


def _load(path, lasts, memory, **options):
    words = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, dict):
            words += [f"{option}={block}={float(factor)!r}" for block, factor in value.items()]
        elif value is not None:
            words.append(f"{option}={value if isinstance(value, (str, int, float)) else ','.join(value)}")
    file = _signed(path) if lasts else None
    with _files():
        return Point(native.module().load(os.fspath(path), words, memory, lasts), file)


def _signed(path):
    """The absolute path of a file, its size and time; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return os.path.abspath(path), found.st_size, found.st_mtime_ns


@contextmanager
def _files():
    """HDF5 serves one thread at a time: with h5py's lock, where h5py is there. Messages name options as Python does."""
    h5py = sys.modules.get("h5py")
    with h5py._objects.phil if h5py else nullcontext():
        try:
            yield
        except ValueError as error:
            raise type(error)(in_python(str(error))) from None
