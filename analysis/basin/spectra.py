"""Spectra of any symmetric operator that can be multiplied with: eigenpairs, counts, density, trace.

The operator is a callable on rows, (k, size) -> (k, size) in C order, k vectors at once:

    def hvp(V):                       # a PyTorch model, say
        return torch_hvp(torch.from_numpy(V)).numpy()

    basin.eigenpairs(hvp, size, largest=3, smallest=3)

or an object with `matmat` or `matvec` (a SciPy LinearOperator), a matrix, dense or sparse, or an operator of a point
(`point.hessian`). All sizes are numbers of rows, all eigenvalues in the units of the operator.

**What is claimed.** Numbers and bounds are of the operator *as it computes*: of the symmetric linear operator that its
products show within a noise that is measured (asymmetry, spread of repeated products, rounding, nonlinearity; `.noise`).
Kernels in float32 or TF32 make errors that repeat and are symmetric, which no such measurement sees. Of the *true*
operator something is claimed only with `reference=`, a float64 callable of the same operator that is used for a few
products, or `relative_error=`, a bound on |A - A_true| / |A| that you vouch for.
"""
from dataclasses import dataclass

import numpy as np

from . import native
from .progress import shown
from .words import as_html, as_text, number, with_error

# Above this share of |A|_F what is not symmetric or not linear is a mistake, and not the precision of the operator.
_SYMMETRY_TOLERANCE = {"float64": 1e-4, "float32": 1e-2}


class Operator:
    """A symmetric operator of `size` rows, ready to be multiplied with.

    `multiply` maps an array of k vectors to an array of their products: rows, (k, size) in C order; with
    `layout="columns"` (size, k) in Fortran order, the same bytes. With `out=True` it is called as multiply(V, out=W) and
    fills W. `dtype="float32"`: it takes float32 and may return it. `max_block`: it gets at most so many vectors at
    once. Objects with `matmat`, `matvec` or `@` (and `shape`) are multiplied with as columns.

    It is called on the thread that asked, which holds the GIL only then. It must neither change nor keep what it is
    given (both are noticed). Its result is checked for shape, type and numbers that are not finite.

    Raises TypeError for what cannot be multiplied with and ValueError for a size that does not fit.
    """

    def __init__(self, multiply, size=None, *, layout=None, out=False, dtype="float64", max_block=None):
        if layout not in (None, "rows", "columns"):
            raise ValueError(f"layout: found {layout!r}, expected 'rows' or 'columns'")
        if str(np.dtype(dtype)) not in _SYMMETRY_TOLERANCE:
            raise ValueError(f"dtype: found {dtype!r}, expected 'float64' or 'float32'")
        if max_block is not None and max_block < 1:
            raise ValueError(f"max_block: found {max_block}, expected at least 1")
        self.dtype = str(np.dtype(dtype))
        if not callable(multiply) or hasattr(multiply, "matmat") or hasattr(multiply, "matvec"):
            multiply, size, layout = _columns_of(multiply, size, layout, out)
        if size is None:
            raise TypeError("size is missing: the number of entries of a vector")
        if int(size) != size:
            raise TypeError(f"size: found {size}, expected a whole number")
        if size < 1:
            raise ValueError(f"size: found {size}, expected at least 1")
        self.native = native.module().Operator(multiply, int(size), columns=layout == "columns", out=bool(out),
                                               single=self.dtype == "float32", max_block=max_block or 0)

    @property
    def size(self):
        """Number of rows."""
        return self.native.size

    @property
    def shape(self):
        """(size, size)."""
        return self.size, self.size

    @property
    def products(self):
        """Vectors that were multiplied so far."""
        return self.native.products

    def apply(self, V):
        """The products of the rows of V, (k, size) or (size,), float64, in the same shape."""
        return self.native.apply(V)

    def __repr__(self):
        return f"<symmetric operator of size {self.size}, {self.products} products so far>"


def _columns_of(of, size, layout, out):
    """A function of columns (size, k) that multiplies them with the object; its size; its layout."""
    shape = getattr(of, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != shape[1]:
        raise TypeError(f"the operator: found {type(of).__name__}" + (f" of shape {tuple(shape)}" if shape else "") +
                        ", expected a callable or an object of shape (size, size) with matmat, matvec or @")
    if layout == "rows" or out:
        raise ValueError(f"{'out=' if out else 'layout=rows'}: for callables; an object is multiplied with as columns")
    if size is not None and size != shape[0]:
        raise ValueError(f"size: found {size}, but the operator has shape {tuple(shape)}")
    if hasattr(of, "matmat"):
        return of.matmat, shape[0], "columns"
    if hasattr(of, "matvec"):
        return (lambda V: np.stack([np.asarray(of.matvec(v)).reshape(-1) for v in V.T], axis=1)), shape[0], "columns"
    return (lambda V: np.asarray(of @ V)), shape[0], "columns"


@dataclass(frozen=True)
class Noise:
    """How far products are from those of a symmetric linear operator that does not round: root mean squares over
    products A x with standard normal x, whose length `scale` is about |A|_F."""
    scale: float
    asymmetry: float     #: about |A - A^T|_F / 2
    spread: float        #: the same product taken twice
    rounding: float      #: A (c x) / c for A x
    nonlinearity: float  #: A (x + y) for A x + A y

    def __str__(self):
        if self.scale == 0:
            return "measured noise: none, all products are zero"
        parts = ", ".join(f"{name} {number(getattr(self, name) / self.scale)}"
                          for name in ("asymmetry", "spread", "rounding", "nonlinearity"))
        return f"measured noise, as shares of |A x|: {parts}"


class _Answer:
    """What answers have in common: text and HTML that lead with the verdict."""

    def lines(self):
        """The answer in words, the verdict first."""
        raise NotImplementedError

    def __repr__(self):
        return as_text(self.lines())

    def _repr_html_(self):
        return as_html(self.lines())


_AS_COMPUTED = "of the operator as it computes; nothing is claimed of the true one without "


@dataclass(frozen=True, repr=False)
class Eigenpairs(_Answer):
    """Eigenpairs of one end, outermost first."""
    end: str                       #: "largest" or "smallest"
    values: np.ndarray             #: (k,)
    vectors: np.ndarray            #: (k, size), unit rows in the same order
    residuals: np.ndarray          #: (k,), |A x - value x|
    error_bounds: np.ndarray       #: (k,): the operator, as it computes, has an eigenvalue within this distance of each
    true_error_bounds: np.ndarray  #: (k,): the same of the true operator; NaN where nothing is known of it
    converged: np.ndarray          #: (k,), bool
    joint_bound: float             #: as many eigenvalues, with multiplicities, lie within this of the values, one of each
    no_more_beyond: float          #: with probability 1 - 1e-6 none besides these is further out; None: nothing is known
    resolution: float              #: eigenvalues no further than this beyond the last value were not looked for
    resolved: bool                 #: whether the search for missed eigenvalues came to its end
    dense: bool                    #: all eigenvalues were computed, from the assembled matrix
    method: str
    completeness: str              #: what backs that no eigenvalue was missed
    size: int
    removed: int                   #: dimension of the space that `deflate` sets aside
    products: int                  #: vectors multiplied, for both ends together
    noise: Noise = None            #: None for Basin's own operators

    @property
    def computed_signs(self):
        """(k,): 1 or -1 where the value is beyond its error bound, of the operator as it computes; else 0."""
        return _signs(self.values, self.error_bounds)

    @property
    def true_signs(self):
        """(k,): the same of the true operator; 0 where nothing is claimed."""
        return _signs(self.values, self.true_error_bounds)

    def _headline(self):
        return (("" if self.converged.all() else "not converged: ") +
                f"{self.end} eigenvalue {with_error(self.values[0], self._bounds()[0])}")

    def _bounds(self):
        return self.error_bounds if np.isnan(self.true_error_bounds).any() else self.true_error_bounds

    def _whose(self):
        if self.noise is None:
            return ""
        if np.isnan(self.true_error_bounds).any():
            return f", {_AS_COMPUTED}reference= or relative_error="
        return ", of the true operator"

    def _found(self):
        pairs = list(zip(self.values, self._bounds(), self.converged))
        lines = [f"{self.end}: {with_error(v, b)}{'' if c else ', not converged'}" for v, b, c in pairs[:20]]
        if len(pairs) > 20:
            lines.append(f"... {len(pairs)} in all")
        return lines + [f"  {self.completeness}{', as the operator computes' if self.noise else ''}"]

    def _how(self):
        space = f" on the complement of {self.removed} directions" if self.removed else ""
        lines = [f"size {self.size}{space}, {self.products} products; {self.method}"]
        return lines + ([str(self.noise)] if self.noise else [])

    def lines(self):
        return [self._headline() + self._whose(), *self._found(), *self._how()]


@dataclass(frozen=True, repr=False)
class Ends(_Answer):
    """Both ends of a spectrum; None for one that was not asked for."""
    largest: Eigenpairs = None
    smallest: Eigenpairs = None

    def lines(self):
        ends = [end for end in (self.largest, self.smallest) if end is not None]
        head = ", ".join(end._headline() for end in ends) + ends[0]._whose()
        return [head, *(line for end in ends for line in end._found()), *ends[0]._how()]


@dataclass(frozen=True, repr=False)
class Counts(_Answer):
    """How many eigenvalues are negative, zero (within `tolerance`) and positive."""
    negative: int
    zero: int
    positive: int
    negative_exact: bool   #: False: there are at least so many
    zero_exact: bool
    tolerance: float
    tolerance_reason: str
    rounding: float        #: eigenvalues this close to the tolerance may count on either side
    reach: float           #: about |A Z|, Z orthonormal in the space that was set aside
    status: str            #: "bounded": of the true operator, of bounded distance; "estimated": of it as it computes
    method: str
    completeness: str
    size: int
    removed: int           #: dimension of the space that `deflate` sets aside
    products: int
    noise: Noise = None
    compared: bool = False  #: with a reference, whose distance, as estimated, counts as rounding

    @property
    def positive_exact(self):
        """False: there are at most so many."""
        return self.negative_exact and self.zero_exact

    def lines(self):
        def least(exact):
            return "" if exact else "at least "
        lines = [f"{least(self.negative_exact)}{self.negative} negative, {least(self.zero_exact)}{self.zero} zero, "
                 f"{'' if self.positive_exact else 'at most '}{self.positive} positive of {self.size - self.removed} eigenvalues ({self.status})"]
        if self.status == "estimated" and self.compared:
            lines.append("counts are of the true operator, as far as its distance is estimated well; relative_error= bounds it")
        elif self.status == "estimated":
            lines.append(f"counts are {_AS_COMPUTED}reference= or relative_error=")
        lines.append(f"zero: within {number(self.tolerance)}, {self.tolerance_reason}")
        lines.append(f"{self.products} products; {self.method}; {self.completeness}")
        return lines + ([str(self.noise)] if self.noise else [])


@dataclass(frozen=True)
class Curve:
    """A density on a grid; (n,) each."""
    eigenvalue: np.ndarray
    density: np.ndarray     #: share of the eigenvalues per unit of the axis
    noise: np.ndarray       #: standard error from the random vectors
    truncation: np.ndarray  #: what the quadrature leaves open
    width: float            #: standard deviation of the kernel
    scale: float            #: of the axis u = asinh(eigenvalue / scale); 0: u is the eigenvalue


@dataclass(frozen=True, repr=False)
class Density(_Answer):
    """The spectral density by stochastic Lanczos quadrature. All of it is estimated, with intervals."""
    negative: tuple        #: share of the eigenvalues below -threshold: estimate, and a 95 % interval
    positive: tuple        #: the same above it
    threshold: float       #: as close to 0 as the quadrature tells
    linear: Curve
    symmetric_log: Curve
    nodes: list            #: of each random vector, ascending
    weights: list          #: they sum to one
    rounding: float        #: of a product with a random vector
    size: int
    removed: int           #: dimension of the space that `deflate` sets aside
    products: int
    noise: Noise = None

    def lines(self):
        below, above = (f"{100 * v:.3g} % ({100 * lo:.3g} to {100 * hi:.3g})" for v, lo, hi in
                        (self.negative, self.positive))
        lowest, highest = min(n[0] for n in self.nodes), max(n[-1] for n in self.nodes)
        lines = [f"{below} of the eigenvalues are below -{number(self.threshold)}, {above} above "
                 f"{number(self.threshold)} (estimated, 95 % intervals)",
                 f"Ritz values from {number(lowest)} to {number(highest)}; {len(self.nodes)} random vectors, "
                 f"{self.products} products"]
        return lines + ([str(self.noise)] if self.noise else [])

    def plot(self, log=False, axes=None):
        """Draws the density over the eigenvalue, with twice its noise as a band; `log`: on the symmetric logarithmic
        axis. Returns matplotlib axes."""
        import matplotlib.pyplot as plt
        curve = self.symmetric_log if log else self.linear
        axes = axes or plt.subplots()[1]
        axes.plot(curve.eigenvalue, curve.density)
        axes.fill_between(curve.eigenvalue, np.maximum(curve.density - 2 * curve.noise, 0),
                          curve.density + 2 * curve.noise, alpha=0.3)
        if log:
            axes.set_xscale("symlog", linthresh=curve.scale)
        axes.set_xlabel("eigenvalue")
        axes.set_ylabel("density of eigenvalues" + (", per unit of asinh(eigenvalue / scale)" if log else ""))
        return axes


@dataclass(frozen=True, repr=False)
class Trace(_Answer):
    """Trace and Frobenius norm, each (value, error)."""
    trace: tuple
    frobenius: tuple
    estimated: bool  #: False: errors bound what rounding does, as measured. True: 95 % intervals over random vectors
    size: int
    products: int
    noise: Noise = None

    def lines(self):
        how = "estimated, 95 % intervals" if self.estimated else "of the assembled matrix; bounded, as it computes"
        lines = [f"trace {with_error(*self.trace)}, Frobenius norm {with_error(*self.frobenius)} ({how})",
                 f"size {self.size}, {self.products} products"]
        return lines + ([str(self.noise)] if self.noise else [])


_SHARED = """
    operator, size, layout, out, dtype, max_block: see `Operator`, which `operator` may be, too.
    seed: of the random vectors; the same seed gives the same bits where the operator does.
    memory: bytes that vectors and matrices may take (half of what there is).
    symmetry_tolerance: |A - A^T|_F / (2 |A|_F) above which the operator is refused (1e-4; float32: 1e-2).
    progress: True or False; a function of (done, total); None: where somebody may be watching.
    """


def _documented(function):
    function.__doc__ = function.__doc__.rstrip() + "\n" + _SHARED
    return function


@_documented
def eigenpairs(operator, size=None, largest=0, smallest=0, *, tolerance=1e-10, max_restarts=300, dense_limit=1000,
               deflate=None, reference=None, relative_error=None, layout=None, out=False, dtype="float64",
               max_block=None, seed=0, memory=None, symmetry_tolerance=None, progress=None):
    """The algebraically largest and smallest eigenpairs, with multiplicities and error bounds: `Ends`.

    By restarted Lanczos, and a search with fresh random vectors for what that may have missed; up to `dense_limit`
    rows from the assembled matrix.

    tolerance: converged is |A x - value x| <= tolerance |A|, but no less than what the noise of products allows.
    deflate: directions (m, size) that are set aside: pairs are of the restriction to their complement.
    reference: the same operator in float64, multiplied with the pairs found: bounds of the true operator.
    relative_error: |A - A_true| / |A|, if you know a bound on it.

    Raises ValueError for wrong arguments, an operator that is not symmetric, and what is wrong with its products;
    RuntimeError where numbers overflow; whatever the operator raises comes back as it is.
    """
    _check_tolerance(tolerance)
    asked = _question(operator, size, _conventions(layout, out, dtype, max_block), deflate, reference, relative_error,
                      symmetry_tolerance, seed, memory, progress)
    answer, noise = _parts(native.module().eigenpairs(
        asked, smallest=smallest, largest=largest, tolerance=tolerance, max_restarts=max_restarts,
        dense_limit=dense_limit))
    shared = {name: answer[name] for name in ("size", "removed", "products")}
    return Ends(**{end: Eigenpairs(end=end, noise=noise, **shared, **answer[end])
                   for end in ("largest", "smallest") if end in answer})


@_documented
def counts(operator, size=None, *, tolerance=0, pairs=6, max_restarts=300, dense_limit=2000, deflate=None,
           reference=None, relative_error=None, layout=None, out=False, dtype="float64", max_block=None, seed=0, memory=None,
           symmetry_tolerance=None, progress=None):
    """How many eigenvalues are negative, zero and positive: `Counts`.

    Up to `dense_limit` rows by inertia of the assembled matrix; else from the `pairs` smallest eigenpairs, which say how
    many are negative if there are fewer of them.

    tolerance: what counts as zero; 0 stands for what rounding allows, and a smaller one is raised to that.
    deflate, reference, relative_error: as for `eigenpairs`. With `relative_error` counts are bounded: signs within that are
    not told apart from zero. Else they are estimated: with `reference` they allow for the distance to it, as the power
    method estimates that; without either they may be those of the rounding of, say, float32 kernels.
    """
    _check_tolerance(tolerance)
    asked = _question(operator, size, _conventions(layout, out, dtype, max_block), deflate, reference, relative_error,
                      symmetry_tolerance, seed, memory, progress)
    answer, noise = _parts(native.module().counts(asked, tolerance=tolerance, pairs=pairs, max_restarts=max_restarts,
                                                  dense_limit=dense_limit))
    known = noise is None or relative_error is not None
    if noise is not None and tolerance == 0:
        answer["tolerance_reason"] = "what rounding and the measured noise of its products allow"
    return Counts(**answer, noise=noise, status="bounded" if known else "estimated", compared=reference is not None)


@_documented
def density(operator, size=None, *, probes=10, steps=60, width=0, deflate=None, layout=None, out=False,
            dtype="float64", max_block=None, seed=0, memory=None, symmetry_tolerance=None, progress=None):
    """The density of the eigenvalues, with error bars: `Density`.

    probes: random vectors; steps: products with each; width: of the kernel of the curve (0: as the steps resolve).
    deflate: as for `eigenpairs`.
    """
    asked = _question(operator, size, _conventions(layout, out, dtype, max_block), deflate, None, None,
                      symmetry_tolerance, seed, memory, progress)
    answer, noise = _parts(native.module().density(asked, probes=probes, steps=steps, width=width))
    curves = {name: Curve(**answer.pop(name)) for name in ("linear", "symmetric_log")}
    return Density(**answer, **curves, noise=noise)


@_documented
def trace(operator, size=None, *, probes=20, dense_limit=1000, layout=None, out=False, dtype="float64", max_block=None,
          seed=0, memory=None, symmetry_tolerance=None, progress=None):
    """Trace and Frobenius norm: `Trace`.

    By XTrace with `probes` random vectors, twice as many products; up to `dense_limit` rows from the assembled matrix.
    """
    asked = _question(operator, size, _conventions(layout, out, dtype, max_block), None, None, None,
                      symmetry_tolerance, seed, memory, progress)
    answer, noise = _parts(native.module().trace(asked, probes=probes, dense_limit=dense_limit))
    del answer["removed"]
    return Trace(**answer, noise=noise)


def _conventions(layout, out, dtype, max_block):
    return {"layout": layout, "out": out, "dtype": dtype, "max_block": max_block}


def _question(operator, size, conventions, deflate, reference, relative_error, symmetry_tolerance, seed, memory,
              progress):
    operator = _as_operator(operator, size, conventions)
    if relative_error is not None and not 0 < relative_error < 1:
        raise ValueError(f"relative_error: found {relative_error}, expected a number between 0 and 1")
    if symmetry_tolerance is None:
        symmetry_tolerance = _SYMMETRY_TOLERANCE[str(operator.dtype)]
    if reference is not None:
        reference = _as_operator(reference, operator.size, _conventions(None, False, "float64", None)).native
    return native.module().Question(operator.native, deflate=deflate, reference=reference,
                                    relative_error=relative_error or 0, most_asymmetry=symmetry_tolerance, seed=seed,
                                    memory=memory, progress=shown(progress))


def _check_tolerance(tolerance):
    if not tolerance >= 0:
        raise ValueError(f"tolerance: found {tolerance}, expected a number from 0")


def _as_operator(operator, size, conventions):
    if hasattr(operator, "hvp"):
        raise TypeError("the operator: found a point, expected an operator of it, say point.hessian")
    if not hasattr(operator, "native"):
        return Operator(operator, size, **conventions)
    given = [name for name, value in conventions.items() if value not in (None, False, "float64")]
    if given or (size is not None and size != operator.size):
        raise ValueError(f"{given[0] if given else 'size'}: the operator is made already, with size {operator.size}")
    return operator


def _parts(answer):
    noise = answer.pop("noise")
    return answer, Noise(**noise) if noise else None


def _signs(values, bounds):
    return np.where(values > bounds, 1, np.where(values < -bounds, -1, 0))
