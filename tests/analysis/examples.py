"""Made-up result files, laid out as lib/hdf5/FORMAT.md says, with the shapes that real data have."""
from itertools import combinations

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


def slice_file(path, loss=None, a=None, b=None, computed=None, normalisation="filter", input_file="problem.h5",
               **options):
    """A basin-slice result; `loss` (ny, nx) over the steps a (nx) and b (ny)."""
    a = np.linspace(-1, 1, 51) if a is None else np.asarray(a, float)
    b = np.linspace(-1, 1, 51) if b is None else np.asarray(b, float)
    loss = bowl(a, b) if loss is None else np.asarray(loss, float)
    with start(path, "basin-slice", "surface", input_file=input_file, **options) as file:
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
        for name in "xy":
            directions[name + "_origin"], directions[name + "_normalisation"] = "random", normalisation
        axes = "\n".join(f"{name} = {steps[0]}:{steps[-1]}:{steps.size}" for name, steps in (("x", a), ("y", b)))
        collection(file["entry"], "slice")["specification"] = f"problem = {input_file}\n{axes}\nseed = 1"
        file["entry/center_loss"] = loss[np.abs(b).argmin(), np.abs(a).argmin()]
    return path


def with_maps(path):
    """The slice at `path` with what can be measured beside the loss: of both signs, over decades, and narrow."""
    with h5py.File(path, "a") as file:
        x, y = np.meshgrid(file["xcoordinates"], file["ycoordinates"])
        file["min_eig"], file["max_eig"] = x - 0.5, 3e4 + 2e3 * y * x
        file["gradient_norm"], file["min_ntk"] = 10 ** (x + y), 10 ** (-5 + 8 * x * y)
        for name in "xy":
            origin = file[f"entry/directions/{name}_origin"]
            origin[()] = "principal direction 1 of the trajectory: 82.84 % of the variance of all its weights"
    return path


def ntk_spectra(unions=False):
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
    sets = [blocks for size in (2, 3) for blocks in combinations(spectra, size)] if unions else []
    for blocks in (*sets, tuple(BLOCK_SHAPES)):
        name = "sum" if len(blocks) == len(BLOCK_SHAPES) else ",".join(blocks)
        spectra[name] = (np.sqrt(sum(spectra[block][0] ** 2 for block in blocks)), 4e-13)
    return {name: (-np.sort(-values), error) for name, (values, error) in spectra.items()}


def blocks_of(kernel):
    """The blocks whose kernels add up to the kernel of a name."""
    return list(BLOCK_SHAPES) if kernel == "sum" else kernel.split(",")


def ntk_conditions(kernel):
    """Rows of the conditions of a kernel: name, statement, role, measured, threshold, remedy; what was
    measured is made up."""
    count = sum(int(np.prod(BLOCK_SHAPES[block])) for block in blocks_of(kernel))
    local = "necessary" if "W_O" not in blocks_of(kernel) else "sufficient"
    parameters = ("parameters", "P >= N n D_out", "necessary", count, M, "d >= 16, more heads")
    inputs = ("rank_X", "rank X = N n", "sufficient", 16, 128, "D >= 128")
    return {
        "W_Q": [parameters,
                ("rank_limit", "H min(d, n-1) >= D_out", "necessary", 14, 4, ""),
                ("rank_local", "rank [G_a1 .. G_aH] = D_out for every token", "necessary", 4, 4, ""), inputs],
        "W_V": [("rank_limit", "H r~ + e >= N n", "necessary", 240, 128, ""),
                ("rank_B", "rank [B_1 .. B_H] = N n", "necessary", 128, 128, ""),
                ("rank_W_O", "rank W_O[h] = D_out for every head", "sufficient", 4, 4, "")],
        "W_O": [("width", "H d >= N n", "necessary", 16, 128, "d >= 64 at H = 2, or N n <= 16"),
                ("embedding", "D >= N (softmax of one token)", "necessary", 16, 16, ""),
                ("rank_A", "rank [A_1 .. A_H] = N n", "equivalent", 16, 128, "see H d >= N n")],
    }.get(kernel, [parameters, ("rank_local", "rank of the local Jacobian = n D_out for every sample", local,
                                32, 32, ""), inputs])


def ntk_file(path, spectra=None, formed=False, conditions=ntk_conditions, bounds=(0.0, 0.01, 0.8), **options):
    """A basin-ntk result; `spectra` as from ntk_spectra, left out of the file when the kernels were `formed`;
    `conditions` as ntk_conditions; `bounds`: shares of the lower end, for each kernel."""
    spectra = ntk_spectra() if spectra is None else spectra
    with start(path, "basin-ntk", "summary" if formed else "ntk", **options) as file:
        entry = file["entry"]
        if not formed:
            ntk_groups(entry, spectra)
        rows = [ntk_row(name, *spectrum, formed) for name, spectrum in spectra.items()]
        proven = [(row["block"], "local", "lambda_min(X X^T) min_i lambda_min(L_i L_i^T)",
                   share * row["lambda_min_lower"], share) for row in rows for share in bounds]
        for row in rows:
            row["proven_lower_bound"] = max(value for block, *_, value, _ in proven if block == row["block"])
            row["reason"] = ""
        table(entry, "summary", list(rows[0]), [list(row.values()) for row in rows])
        table(entry, "conditions", ("block", "name", "statement", "role", "measured", "threshold", "holds",
                                    "remedy"),
              [(name, *row[:3], float(row[3]), float(row[4]), row[3] >= row[4], row[5])
               for name in spectra for row in conditions(name)])
        table(entry, "bounds", ("block", "name", "formula", "value", "share_of_lambda_min"), proven)
        inputs = collection(entry, "inputs")
        inputs["rank_X"], inputs["rank_centred"], inputs["rank_constant"] = 16, 15, 1
    return path


def ntk_groups(entry, spectra):
    """The spectra, and the plot of them all."""
    for name, (singular, error) in spectra.items():
        group = plot_group(entry, f"ntk_{name}", "eigenvalue", ["index"])
        group["index"] = np.arange(1, singular.size + 1)
        group["eigenvalue"] = singular**2
        group["lower"], group["upper"] = np.maximum(singular - error, 0) ** 2, (singular + error) ** 2
        group["singular_value"], group["singular_value_error"] = singular, error
    together = plot_group(entry, "ntk", next(iter(spectra)), ["index"])
    together["index"] = h5py.SoftLink(f"/entry/ntk_{next(iter(spectra))}/index")
    for name in spectra:
        together[name] = h5py.SoftLink(f"/entry/ntk_{name}/eigenvalue")


def ntk_row(name, singular, error, formed):
    """The row of the summary for singular values (m) with the error of each; without bounds and reason."""
    low, high = np.maximum(singular - error, 0) ** 2, (singular + error) ** 2
    rank = np.count_nonzero(low > 0)
    visible = np.finfo(float).eps * high[0]
    return {"block": name, "method": "formed kernel" if formed else "singular values of J",
            "lambda_min": singular[-1] ** 2, "lambda_min_lower": low[-1], "lambda_min_upper": high[-1],
            "lambda_max": singular[0] ** 2, "lambda_max_lower": low[0], "lambda_max_upper": high[0],
            "condition_number": (singular[0] / singular[-1]) ** 2 if low[-1] > 0 else np.inf,
            "rank": -1 if formed else rank, "size": singular.size,
            "parameters": sum(int(np.prod(BLOCK_SHAPES[block])) for block in blocks_of(name)),
            "positive_definite": bool(low[-1] > visible),
            "lambda_min_lower_log10": np.log10(low[-1]) if low[-1] > 0 else -np.inf, "rounding": visible,
            "verdict": "singular" if high[-1] == 0 else "not decided" if low[-1] == 0
                       else "positive definite" if low[-1] > visible else "in theory only",
            "definiteness": 0 if high[-1] == 0 else 1 if low[-1] == 0 else 3 if low[-1] > visible else 2}


def table(entry, name, columns, rows):
    """A table: one dataset for each column."""
    group = collection(entry, name)
    for column, values in zip(columns, zip(*rows)):
        kinds = {str: h5py.string_dtype(), bool: "u1"}
        group[column] = np.array(values, kinds.get(type(values[0])))


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


def sheet_part(group, counts):
    """What basin-hessian --counts --density --norms writes for one matrix; counts: (symmetry, zero, negative,
    positive) of the whole and modulo symmetries."""
    table = collection(group, "counts")
    table["of"] = np.array(["whole", "modulo symmetries"], h5py.string_dtype())
    for name, column in zip(("symmetry", "zero", "negative", "positive"), zip(*counts)):
        table[name] = np.array(column)
    table["negative_exact"] = table["zero_exact"] = np.array([1, 1], "u1")
    for name in ("density", "density_symlog"):
        curve = plot_group(group, name, "density", ["eigenvalue"])
        x = np.linspace(-40, 400, 50)
        curve["eigenvalue"], curve["density"] = x, np.exp(-x**2 / 1e3)
        curve["noise"], curve["truncation"] = np.full(50, 0.01), np.full(50, 0.02)
    norms = plot_group(group, "block_norms", "frobenius", ["row", "column"])
    norms["blocks"] = np.array(list(BLOCK_SHAPES), h5py.string_dtype())
    values = random().uniform(1e-3, 2e5, (4, 4))
    norms["frobenius"], norms["frobenius_errors"] = values + values.T, np.full((4, 4), 0.01)


def sheet_file(path, **options):
    """A basin-hessian result of the Hessian and both of its parts, with a threefold eigenvalue."""
    threefold = ([412.7, 412.7, 412.7, 64.1], [2e-9, 2e-9, 2e-9, 1e-8], [1, 1, 1, 1])
    hessian_file(path, largest=threefold, **options)
    with h5py.File(path, "a") as file:
        entry = file["entry"]
        entry["matrix"] = "hessian"
        sheet_part(entry, ((0, 21, 30, 49), (20, 1, 29, 50)))
        for name, counts in (("gauss-newton", ((0, 40, 0, 60), (20, 20, 0, 60))), ("residual", ((0, 20, 41, 39), (20, 0, 41, 39)))):
            group = entry.create_group(f"parts/{name}")
            sheet_part(group, counts)
            eigen_group(group, "largest", [400, 3.5], [1e-9, 1e-9], [1, 1], name)
            eigen_group(group, "smallest", [-30.0, 1e-12], [1e-9, 1e-9], [1, 0], name)
    return path


def per_block_file(path, density=True, heads=False, **options):
    """What basin-hessian --per-block writes of three layers with two matrices and a bias each, and a head."""
    kinds = ["W_Q[0]", "W_Q[1]"] if heads else ["W_Q", "W_O", "b_O"]
    names = [f"blocks.{layer}.attention.{kind}" for layer in range(3) for kind in kinds] + ["head.W"]
    count = len(names)
    with start(path, "basin-hessian", "per_block", **options) as file:
        file["entry/matrix"] = "hessian"
        group = plot_group(file["entry"], "per_block", "largest", ["index"])
        group.attrs["matrix"] = "Hessian"
        group["block"] = np.array(names, h5py.string_dtype())
        group["index"] = np.arange(float(count))
        for name, values in (("largest", 1.0 + np.arange(count)), ("smallest", -1.0 - np.arange(count)), ("trace", np.arange(count) - 2.0),
                             ("frobenius_norm", 10.0 + np.arange(count))):
            group[name], group[name + "_errors"] = values, np.full(count, 0.01)
        for ending in ("", "_lower", "_upper"):
            group["negative_share" + ending] = np.where(np.arange(count) % 2, 0.5, np.nan)
        if density:
            for place, name in enumerate(names):
                rule = collection(group.require_group(f"spectra/{name}"), "quadrature")
                rule["nodes"] = np.array([[-1.0 - place, 0, 1 + place], [0.1, 0.5, np.nan]])
                rule["weights"] = np.array([[0.2, 0.5, 0.3], [0.5, 0.5, np.nan]])
            distances = plot_group(group, "heterogeneity", "distance", ["row", "column"])
            distances["distance"] = 0.5 - 0.5 * np.eye(count)
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
               options=None, verdict="positive_definite", in_theory=None, singular=0):
    """A basin-sweep result. `axes`: name -> values, or a list of (name -> values) that vary together;
    `shares` (axes...): of the draws of all blocks but W_O, which has none; `in_theory`, `singular`: the shares of
    the other draws that are, if the file is to say so."""
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
            if in_theory is not None:
                place = (np.arange(repeats) + 0.5) / repeats
                others = 1 - passed
                write(f"{block}/in_theory_only", others * (place > 1 - in_theory), True)
                write(f"{block}/singular", others * (place > 1 - in_theory - singular) * (place <= 1 - in_theory), True)
                write(f"{block}/lambda_max", np.full(definite.shape, 1e9), False)
        sweep = collection(entry, "sweep")
        sweep["specification"] = "\n".join(["kind = teacher", *(f"quantity {n} = {k}" for n, k in kinds.items())])
        options = {"samples": "4", "tokens": "4", "train": "W_Q,W_O", **(options or {})}
        for name, value in options.items():
            sweep[f"options/{name}"] = value
    return path


def with_sweep_numbers(path, estimated=False, wide=False):
    """The sweep with the ends of the Hessian, its negative share and the loss after a descent, of a network with variables."""
    with h5py.File(path, "r+") as file:
        draws = file["entry/draws"]
        shape = draws["computed"].shape
        done = draws["computed"][()] != 0
        spread = 4.0 if wide else 0.2
        sizes = 10 ** random().normal(1, spread, size=shape)
        share = random().uniform(0.2, 0.6, size=shape)
        numbers = {"hessian/largest": sizes, "hessian/smallest": -sizes / 3, "negative/share": share,
                   "negative/share_lower": share - 0.1 * estimated, "negative/share_upper": share + 0.2 * estimated,
                   "negative/exact": np.full(shape, 1.0 - estimated), "training/loss": 10 ** random().normal(-6, 2, size=shape)}
        for name, values in numbers.items():
            draws[name] = np.where(done, values, np.nan)
        lines = [file["entry/sweep/specification"][()].decode(), *(f"quantity {name} = number" for name in numbers)]
        del file["entry/sweep/specification"]
        file["entry/sweep/specification"] = "\n".join(lines).replace("kind = teacher", "kind = architecture")
        first = file["entry/axes"].attrs["axes"][0]
        file[f"entry/axes/{first}"].attrs["option"] = f"set.{first}"
        file["entry/sweep/options/set"] = "depth=2 width=64"
        for name, value in (("quantities", "hessian,negative,training"), ("method", "lbfgs"), ("steps", "50")):
            file[f"entry/sweep/measures/{name}"] = value
    return path


def train_file(path, records=60, ntk=True, first_step=40, **options):
    """A basin-train result: a loss that falls over eleven decades, with or without NTK and certificate."""
    t = np.arange(records, dtype=float)
    rate = np.full(records, 0.65)
    rate[0] = np.nan
    with start(path, "basin-train", "run", **options) as file:
        file["entry/status"] = "converged"
        run = plot_group(file["entry"], "run", "loss", ["step"])
        columns = {"step": 10 * t, "loss": 3 * 0.65**t, "gradient_norm": 2 * 0.8**t, "pl_ratio": 1 + 1 / (1 + t),
                   "measured_rate": rate, "guaranteed_rate": (1 + rate) / 2, "distance": 1 - 0.9**t,
                   "mean_entropy": 2 - t / 60, "largest_weight": 0.3 + t / 100,
                   "smallest_row_sum": np.ones(records), "largest_row_sum": np.ones(records)}
        columns.update({f"norm_{block}": 1 + i + t / 60 for i, block in enumerate(BLOCK_SHAPES)})
        if ntk:
            columns.update(lambda_min=0.01 + t / 600, lambda_min_lower=t / 600, lambda_min_upper=0.02 + t / 600,
                           lambda_max=20 + t, predicted_rate=rate * 1.1)
            collection(file["entry"], "certificate")["first_step"] = np.int64(first_step)
        for name, values in columns.items():
            run[name] = values
    return path


def stationary_file(path, losses=None, verdicts=None, lowest=0.0, known=1, shares=True, search="minima", **options):
    """A basin-stationary result: some minima, some of them suboptimal, a saddle, a valley."""
    if losses is None:
        losses = [1e-31, 0.5, 1e-30, 2.0, 0.5, 0.05, np.nan]
        verdicts = ["global minimum", "suboptimal local minimum", "global minimum", "saddle",
                    "suboptimal local minimum", "valley to infinity", "not finite"]
    with start(path, "basin-stationary", "losses", **options) as file:
        starts = collection(file["entry"], "starts")
        starts["loss"], starts["verdict"] = np.array(losses), verdicts
        starts["search"] = [search] * len(losses) if isinstance(search, str) else search
        catalogue = collection(file["entry"], "catalogue")
        catalogue["lowest_loss"], catalogue["lowest_is_global"] = lowest, np.int64(known)
        if shares:
            rows = [("minima", "global minimum", 2), ("minima", "suboptimal local minimum", 2),
                    ("minima", "degenerate", 0), ("saddles", "saddle", 1)]
            table(file["entry"], "shares", ("search", "verdict", "count", "total", "share", "lower", "upper"),
                  [(*row, 4 if row[0] == "minima" else 1, row[2] / 4, row[2] / 5, row[2] / 3) for row in rows])
    return path
