"""Made-up result files, laid out as lib/hdf5/FORMAT.md says, with the shapes that real data have."""
import h5py
import numpy as np

SIZES = {"N": 16, "n": 8, "D": 16, "H": 2, "d": 8, "D_out": 4}
BLOCK_SHAPES = {"W_Q": (2, 16, 8), "W_K": (2, 16, 8), "W_V": (2, 16, 8), "W_O": (2, 8, 4)}
P = sum(int(np.prod(shape)) for shape in BLOCK_SHAPES.values())
M = SIZES["N"] * SIZES["n"] * SIZES["D_out"]


def random():
    """A generator with a fixed seed."""
    return np.random.default_rng(7)


def start(path, tool, default, kernel="softmax", input_file="problem.h5"):
    """A new result file with the objects that every tool writes; the open file."""
    file = h5py.File(path, "w")
    file.attrs.update(NX_class="NXroot", default="entry", basin_file="result", basin_format="1.0",
                      basin_tool=tool)
    entry = file.create_group("entry")
    entry.attrs.update(NX_class="NXentry", default=default)
    entry["title"] = f"What {tool} computed"
    entry["verdict"] = "a made-up file"
    provenance = collection(entry, "provenance")
    for name, value in {"program": tool, "version": "0.1", "format_version": "1.0", "build": "test",
                        "command_line": f"{tool} {input_file}", "start_time": "2024-01-01T00:00:00Z",
                        "input_file": input_file, "input_sha256": "0" * 64}.items():
        provenance[name] = value
    provenance["duration"] = 1.5
    provenance["seed"] = np.uint64(1)
    provenance["threads"] = np.int64(2)
    provenance["options/threads"] = "2"
    model = collection(entry, "model")
    for name, value in {"kernel": kernel, "loss": "squared error", "trainable": ", ".join(BLOCK_SHAPES),
                        "weights": "file"}.items():
        model[name] = value
    model["bandwidth"] = 1.682 if kernel == "gaussian" else np.nan
    for name, value in {**SIZES, "P": P, "m": M}.items():
        model[name] = np.int64(value)
    return file


def collection(parent, name):
    """A new NXcollection."""
    group = parent.create_group(name)
    group.attrs["NX_class"] = "NXcollection"
    return group


def plot_group(parent, name, signal, axes):
    """A new NXdata."""
    group = parent.create_group(name)
    group.attrs.update(NX_class="NXdata", signal=signal)
    group.attrs.create("axes", axes, dtype=h5py.string_dtype())
    return group


def bowl(a, b):
    """A steep, turned and bent bowl over steps a (nx) and b (ny), four decades deep: (ny, nx)."""
    x, y = np.meshgrid(a, b)
    return 0.012 + 40 * (x + 0.4 * y) ** 2 + 9 * (y - 0.5 * x**2) ** 2 + 12 * np.sin(3 * x) ** 2 * y**4


def slice_file(path, loss=None, a=None, b=None, computed=None, normalisation="filter", **options):
    """A basin-slice result; `loss` (ny, nx) over the steps a (nx) and b (ny)."""
    a = np.linspace(-1, 1, 51) if a is None else np.asarray(a, float)
    b = np.linspace(-1, 1, 51) if b is None else np.asarray(b, float)
    loss = bowl(a, b) if loss is None else np.asarray(loss, float)
    with start(path, "basin-slice", "surface", **options) as file:
        file["xcoordinates"], file["ycoordinates"] = a, b
        file["train_loss"], file["train_acc"] = loss, np.full(loss.shape, np.nan)
        file["computed"] = np.ones(loss.shape, "u1") if computed is None else np.asarray(computed, "u1")
        file["dir_file"] = str(path)
        surface = plot_group(file["entry"], "surface", "train_loss", ["ycoordinates", "xcoordinates"])
        for name in ("xcoordinates", "ycoordinates", "train_loss"):
            surface[name] = file[name]
        directions = collection(file["entry"], "directions")
        directions["x"], directions["y"] = random().normal(size=(2, P))
        directions["x_norm"], directions["y_norm"], directions["cosine"] = 21.3, 20.8, 0.0173
        directions["normalisation"] = normalisation
        file["entry/center_loss"] = loss[np.abs(b).argmin(), np.abs(a).argmin()]
    return path


def ntk_spectra():
    """Name -> (singular values (M) of J, bound of the error of each); W_Q is rank deficient by far, and
    W_K is nearly."""
    ramp = np.arange(M) / (M - 1)
    spectra = {
        "W_Q": np.where(np.arange(M) < 400, 10 ** (1.5 - 5.5 * ramp),
                        3e-15 * (1 + np.sin(np.arange(M)) ** 2)),
        "W_K": 10 ** (1.2 - 6.2 * ramp**1.5),
        "W_V": 10 ** (1.9 - 2.5 * ramp),
        "W_O": np.where(np.arange(M) < P // 13, 10 ** (2 - 2 * ramp), 0.0),
    }
    spectra = {name: (values, 2e-5 if name == "W_K" else 1e-13 * float(name != "W_O"))
               for name, values in spectra.items()}
    spectra["sum"] = (np.sqrt(sum(values**2 for values, _ in spectra.values())), 4e-13)
    return {name: (-np.sort(-values), error) for name, (values, error) in spectra.items()}


def ntk_file(path, spectra=None, **options):
    """A basin-ntk result; `spectra` as from ntk_spectra."""
    spectra = ntk_spectra() if spectra is None else spectra
    rows = []
    with start(path, "basin-ntk", "ntk", **options) as file:
        entry = file["entry"]
        for name, (singular, error) in spectra.items():
            group = plot_group(entry, f"ntk_{name}", "eigenvalue", ["index"])
            group["index"] = np.arange(1, singular.size + 1)
            group["eigenvalue"] = singular**2
            group["lower"], group["upper"] = np.maximum(singular - error, 0) ** 2, (singular + error) ** 2
            group["singular_value"], group["singular_value_error"] = singular, error
            low, high = group["lower"][()], group["upper"][()]
            rank = np.count_nonzero(low > 0)
            rows.append((name, singular[-1] ** 2, low[-1], high[-1], singular[0] ** 2,
                         (singular[0] / singular[-1]) ** 2 if low[-1] > 0 else np.inf, rank, singular.size,
                         P if name == "sum" else int(np.prod(BLOCK_SHAPES[name])), rank == singular.size))
        together = plot_group(entry, "ntk", next(iter(spectra)), ["index"])
        together["index"] = h5py.SoftLink(f"/entry/ntk_{next(iter(spectra))}/index")
        for name in spectra:
            together[name] = h5py.SoftLink(f"/entry/ntk_{name}/eigenvalue")
        summary = collection(entry, "summary")
        columns = ("block", "lambda_min", "lambda_min_lower", "lambda_min_upper", "lambda_max",
                   "condition_number", "rank", "size", "parameters", "positive_definite")
        for name, column in zip(columns, zip(*rows)):
            summary[name] = np.array(column, h5py.string_dtype() if name == "block" else
                                     "u1" if name == "positive_definite" else None)
    return path


def eigen_group(entry, name, values, errors, converged, operator, requested=None):
    """One of the groups of basin-hessian."""
    group = plot_group(entry, name, "eigenvalue", ["index"])
    group.attrs.update(operator=operator, method="Lanczos", completeness="inertia count",
                       products=np.int64(240), requested=np.int64(requested or len(values)))
    group["index"] = np.arange(1, len(values) + 1)
    group["eigenvalue"], group["eigenvalue_errors"] = np.asarray(values, float), np.asarray(errors, float)
    group["residual"] = group["eigenvalue_errors"]
    group["converged"] = np.asarray(converged, "u1")


def hessian_spectrum():
    """Eigenvalues (P), ascending, and their error bounds (P): a few negative, many zero, few large."""
    generator = random()
    values = np.concatenate((-10 ** generator.uniform(-7, -0.5, 180), 1e-12 * generator.normal(size=300),
                             10 ** generator.uniform(-8, 2.4, P - 480)))
    return np.sort(values), np.full(P, 5e-11)


def hessian_file(path, operator="hessian", full=False, largest=None, smallest=None, **options):
    """A basin-hessian result; `largest`, `smallest`: (values, errors, converged) and the number requested
    where it is larger."""
    largest = largest or ([412.7, 183.2, 64.1], [2e-9, 7e-9, 9.5], [1, 1, 0])
    smallest = smallest or ([-3.21, -0.47, -0.0061], [1e-8, 4e-8, 2e-3], [1, 1, 1])
    with start(path, "basin-hessian", "spectrum" if full else "largest", **options) as file:
        for name, (values, errors, converged, *requested) in (("largest", largest), ("smallest", smallest)):
            eigen_group(file["entry"], name, values, errors, converged, operator, *requested)
        if full:
            values, errors = hessian_spectrum()
            eigen_group(file["entry"], "spectrum", values, errors, np.ones(P), operator)
    return path


def evaluate_file(path, **options):
    """A basin-evaluate result; the gradient of W_Q has exact zeros and that of W_K is small."""
    generator = random()
    sizes = {"W_Q": 0.1, "W_K": 1e-5, "W_V": 2.0, "W_O": 5.0}
    blocks = {name: generator.normal(size=shape) * sizes[name] * 10 ** generator.normal(size=shape)
              for name, shape in BLOCK_SHAPES.items()}
    blocks["W_Q"][0, 3] = 0
    with start(path, "basin-evaluate", "evaluation", **options) as file:
        group = plot_group(file["entry"], "evaluation", "gradient", ["."])
        group["loss"] = 12.345
        group["outputs"] = generator.normal(size=(SIZES["N"], SIZES["n"], SIZES["D_out"]))
        group["gradient"] = np.concatenate([block.ravel() for block in blocks.values()])
        for name, block in blocks.items():
            group[f"gradient_blocks/{name}"] = block
    return path


def sweep_shares(D, scale):
    """The share of positive definite draws over D (k) and input scales (l), by kernel: (k, 2, l)."""
    width, size = np.meshgrid(np.log2(D), np.log2(scale), indexing="ij")
    return np.stack([1 / (1 + np.exp(3 * (size - width / 3 + shift))) for shift in (-1, 1)], axis=1)


def sweep_file(path, axes=None, repeats=20, shares=None, blocks=("W_Q", "W_O", "sum"), computed=None,
               options=None, verdict="positive_definite"):
    """A basin-sweep result. `axes`: name -> values, or a list of (name -> values) that vary together;
    `shares` (axes...): of the draws of all blocks but W_O, which has none."""
    axes = axes or {"D": [4, 8, 16, 32], "kernel": ["softmax", "gaussian"], "input-scale": [0.5, 1, 2, 4]}
    axes = [axis if isinstance(axis, dict) else {axis: axes[axis]} for axis in axes]
    shape = tuple(len(next(iter(axis.values()))) for axis in axes)
    if shares is None:
        shares = sweep_shares(np.array([4, 8, 16, 32]), np.array([0.5, 1, 2, 4]))
    definite = (np.arange(repeats) < np.round(np.asarray(shares)[..., None] * repeats)).astype(float)
    assert definite.shape == (*shape, repeats)
    with start(path, "basin-sweep", "share_sum_positive_definite") as file:
        entry = file["entry"]
        del entry["model"]
        places = collection(entry, "axes")
        places.attrs.create("axes", [next(iter(axis)) for axis in axes], dtype=h5py.string_dtype())
        for number, axis in enumerate(axes):
            for name, values in axis.items():
                words = isinstance(values[0], str)
                places[name] = np.array(values, h5py.string_dtype() if words else float)
                places[name].attrs.update(option=name, axis=np.int64(number))
                if words:
                    places[f"{name}_number"] = np.arange(len(values), dtype=float)
        draws = collection(entry, "draws")
        draws["computed"] = np.ones(definite.shape, "u1") if computed is None else computed
        done = draws["computed"][()] != 0
        kinds = {}

        def write(name, values, is_verdict):
            draws[name] = np.where(done, values, np.nan)
            draws[name].attrs["verdict"] = np.int64(is_verdict)
            kinds[name] = "verdict" if is_verdict else "number"

        write("loss", random().normal(size=definite.shape) ** 2, False)
        for block in blocks:
            passed = definite * (block != "W_O")
            values = passed * 10 ** random().normal(-3, 1, size=passed.shape)
            write(f"{block}/lambda_min", values + 1e-29 * (block != "W_O"), False)
            write(f"{block}/lambda_min_lower", 0.9 * values, False)
            write(f"{block}/lambda_min_upper", 1.1 * values + 1e-26 * (block != "W_O"), False)
            write(f"{block}/{verdict}", passed, True)
        sweep = collection(entry, "sweep")
        sweep["specification"] = "\n".join(["kind = teacher", *(f"quantity {n} = {k}" for n, k in kinds.items())])
        options = {"samples": "4", "tokens": "4", "train": "W_Q,W_O", **(options or {})}
        for name, value in options.items():
            sweep[f"options/{name}"] = value
    return path
