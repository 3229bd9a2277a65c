"""The smallest NTK eigenvalue by the usual ways, beside basin-ntk.

    python3 ntk_usual_ways.py PATH/TO/bin [--sizes S,R,4R] [--kernels softmax,gaussian] [--ways ...] [--long]

Needs Debian's python3-torch (1.13, with functorch), python3-scipy and python3-h5py, and the folder of basin-problem
and basin-ntk. Every way runs alone in a process of its own, on one thread, in double precision, on the same file:

    dense      PyTorch: J by vmap and jacrev, sample by sample; smallest of eigvalsh(J J^T)
    svd        PyTorch: smallest of svdvals(J), squared
    eigsh      SciPy: Lanczos (ARPACK, which='SA', tol 1e-4) on v -> J (J^T v), products by double backward on graphs
               that are built once
    lobpcg     SciPy: the same operator, tol 1e-4 of the reference, no preconditioner
    sum        basin-ntk --kernels sum: what the others compute
    formed     basin-ntk --kernels sum --method formed
    singular   basin-ntk --kernels sum --method singular-values
    all        basin-ntk: every block and their sum, with conditions and certificate

Columns: `wall` and `CPU` (user and system) are those of the whole process, imports included; `work` leaves out imports
and reading in the Python ways, and is the whole process for basin-ntk. `ratio` is the work of `dense` divided by the
work of this way; with --cpu, work is CPU seconds, for when others use the machine. `digits` are those of the
smallest eigenvalue that agree with the reference, the square of the smallest singular value of PyTorch's J (its own
error, some eps times the condition number of J, limits what can be counted: `>=`). Sizes that would take longer than
--limit seconds, by what one size in m^3 takes, are left out unless --long.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time

SIZES = {  # N, n, D, d, H, D_out
    "S": (16, 8, 32, 8, 2, 8),
    "R": (32, 8, 64, 8, 4, 8),
    "2R": (64, 8, 64, 8, 4, 8),
    "4R": (128, 8, 128, 8, 4, 8),
    "11R": (352, 8, 256, 8, 4, 8),  # the largest whose J, K and its eigenvalues fit in 24 GB
    "24R": (768, 8, 512, 8, 4, 8),
}
PYTHON_WAYS = ("dense", "svd", "eigsh", "lobpcg")
BASIN_WAYS = {
    "sum": ["--kernels", "sum"],
    "formed": ["--kernels", "sum", "--method", "formed"],
    "singular": ["--kernels", "sum", "--method", "singular-values"],
    "all": [],
}


# ---- the ways in Python, each in a process of its own -----------------------------------------------------


class TimeIsUp(Exception):
    pass


def read_problem(path, torch, h5py):
    with h5py.File(path) as f:
        X = torch.from_numpy(f["data/X"][...])
        weights = [torch.from_numpy(f["parameters/" + b][...]) for b in ("W_Q", "W_K", "W_V", "W_O")]
        kernel = f["parameters"].attrs["kernel"]
    return X, weights, kernel.decode() if isinstance(kernel, bytes) else kernel


def outputs(X, W_Q, W_K, W_V, W_O, kernel, torch):
    """F(X), shape (..., n, D_out), for X of shape (..., n, D)."""
    Q, K, V = (X[..., None, :, :] @ W for W in (W_Q, W_K, W_V))  # (..., H, n, d)
    d = Q.shape[-1]
    scores = Q @ K.transpose(-1, -2)
    if kernel == "softmax":
        A = torch.softmax(scores / d**0.5, dim=-1)
    else:  # sigma^2 = sqrt(d)
        squares = (Q * Q).sum(-1)[..., :, None] + (K * K).sum(-1)[..., None, :]
        A = torch.exp((scores - squares / 2) / d**0.5)
    return (A @ V @ W_O).sum(-3)


def jacobian(X, weights, kernel, torch):
    """J, shape (m, P): rows by reverse mode, each from its own sample."""
    import functorch

    def of_sample(x, *w):
        return outputs(x, *w, kernel, torch)

    blocks = functorch.vmap(functorch.jacrev(of_sample, argnums=(1, 2, 3, 4)), in_dims=(0, None, None, None, None))(
        X, *weights)  # (N, n, D_out, *W.shape) each
    m = blocks[0].shape[0] * blocks[0].shape[1] * blocks[0].shape[2]
    return torch.cat([b.reshape(m, -1) for b in blocks], dim=1)


def products(X, weights, kernel, torch):
    """m, and a function v -> J (J^T v) for numpy vectors. Graphs of F and of J^T u are built once."""
    weights = [w.requires_grad_() for w in weights]
    F = outputs(X, *weights, kernel, torch)
    u = torch.zeros_like(F, requires_grad=True)
    Jt_u = torch.autograd.grad(F, weights, u, create_graph=True)  # linear in u

    def apply(v):
        v = torch.from_numpy(v.astype("float64")).reshape(F.shape)
        Jt_v = torch.autograd.grad(F, weights, v, retain_graph=True)
        return torch.autograd.grad(Jt_u, u, Jt_v, retain_graph=True)[0].reshape(-1).numpy()

    return F.numel(), apply


def work_dense(X, weights, kernel, torch, options):
    J = jacobian(X, weights, kernel, torch)
    return {"value": torch.linalg.eigvalsh(J @ J.T)[0].item()}


def work_svd(X, weights, kernel, torch, options):
    J = jacobian(X, weights, kernel, torch)
    sigma = torch.linalg.svdvals(J)
    smallest = sigma[-1].item() if J.shape[1] >= J.shape[0] else 0.0
    return {"value": smallest**2, "condition": sigma[0].item() / smallest if smallest else math.inf}


def iterative(X, weights, kernel, torch, options, solve):
    import numpy
    from scipy.sparse.linalg import LinearOperator

    m, apply = products(X, weights, kernel, torch)
    count, start = 0, time.perf_counter()

    def product(v):
        nonlocal count
        if time.perf_counter() - start > options.limit:
            raise TimeIsUp
        count += 1
        return apply(v)

    def block(V):
        return numpy.stack([product(numpy.ascontiguousarray(v)) for v in V.T], axis=1)

    operator = LinearOperator((m, m), matvec=lambda v: product(v.reshape(-1)), matmat=block, dtype="float64")
    try:
        found = solve(operator, m, numpy)
    except TimeIsUp:
        found = {"note": f"not converged in {options.limit:.0f} s"}
    return {**found, "products": count}


def work_eigsh(X, weights, kernel, torch, options):
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    def solve(operator, m, numpy):
        v0 = numpy.random.default_rng(1).standard_normal(m)
        try:
            value = eigsh(operator, k=1, which="SA", tol=1e-4, v0=v0, maxiter=100000, return_eigenvectors=False)[0]
            return {"value": float(value)}
        except ArpackNoConvergence as e:
            return {"note": str(e)}

    return iterative(X, weights, kernel, torch, options, solve)


def work_lobpcg(X, weights, kernel, torch, options):
    import warnings

    from scipy.sparse.linalg import lobpcg

    def solve(operator, m, numpy):
        start = numpy.random.default_rng(1).standard_normal((m, 8))
        tolerance = 1e-4 * options.reference  # of the residual, absolute
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, _, history = lobpcg(operator, start, tol=tolerance, maxiter=100000, largest=False,
                                        retResidualNormsHistory=True)
        i = int(numpy.argmin(values))
        residual = float(numpy.asarray(history[-1])[i])
        return {"value": float(values[i])} if residual <= tolerance else {
            "value": float(values[i]), "note": f"stopped with residual {residual:.1e}"}

    return iterative(X, weights, kernel, torch, options, solve)


def worker(options):
    import h5py
    import torch

    torch.set_num_threads(1)
    X, weights, kernel = read_problem(options.problem, torch, h5py)
    if options.worker != "eigsh" and options.worker != "lobpcg":
        import functorch  # noqa: F401, not to be timed
    else:
        import scipy.sparse.linalg  # noqa: F401
    start, cpu = time.perf_counter(), time.process_time()
    found = globals()["work_" + options.worker](X, weights, kernel, torch, options)
    found["work"], found["work_cpu"] = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps(found))


# ---- the comparison ---------------------------------------------------------------------------------------


class Run:
    """A finished process: wall and CPU seconds, peak memory in MB, what it printed and how it ended."""

    def __init__(self, command, limit):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
            signal.signal(signal.SIGALRM, lambda *_: process.kill())
            signal.setitimer(signal.ITIMER_REAL, limit)
            _, status, usage = os.wait4(process.pid, 0)  # the usage of this child alone
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0), errors.seek(0)
            self.out, self.errors, self.code = out.read(), errors.read(), process.returncode
        self.cpu, self.memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def run_python(way, problem, options, reference=0.0):
    run = Run([sys.executable, os.path.abspath(__file__), options.bin, "--worker", way, "--problem", problem,
               "--limit", str(options.limit), "--reference", repr(reference)], 1.5 * options.limit + 60)
    found = json.loads(run.out) if run.code == 0 else {
        "note": "killed" if run.code == -9 else run.errors.strip().splitlines()[-1][:60]}
    return run, found


def run_basin(way, problem, options, folder):
    import h5py

    result = os.path.join(folder, "ntk.h5")
    run = Run([os.path.join(options.bin, "basin-ntk"), problem, "-o", result, "--overwrite", "--threads", "1",
               "--quiet", *BASIN_WAYS[way]], 1.5 * options.limit + 60)
    if run.code != 0:
        return run, {"note": (run.errors.strip().splitlines() or ["killed"])[-1][:110]}
    with h5py.File(result) as f:
        table = {name: column[...] for name, column in f["entry/summary"].items()}
    method = table["method"][-1]
    return run, {"value": float(table["lambda_min"][-1]), "work": run.wall, "work_cpu": run.cpu,
                 "lower": float(table["lambda_min_lower"][-1]), "upper": float(table["lambda_min_upper"][-1]),
                 "note": method.decode() if isinstance(method, bytes) else str(method)}


def digits(value, reference):
    """How many digits agree with the reference, and at most how many can."""
    if not reference.get("value"):
        return ""
    possible = -math.log10(1e-15 * reference["condition"])
    error = abs(value / reference["value"] - 1)
    agreeing = -math.log10(error) if error > 0 else 16
    if value < 0:
        return "negative"
    if agreeing >= possible:
        return f">= {max(0, possible):.0f}"
    return f"{max(0, agreeing):.1f}"


def dense_seconds(m):
    return 1.7 * (m / 2048) ** 3


def dense_bytes(m, P):
    return 8 * (2 * m * P + 3 * m * m)


def compare(size, kernel, options, folder):
    N, n, D, d, H, D_out = SIZES[size]
    m, P = N * n * D_out, 3 * H * D * d + H * d * D_out
    problem = os.path.join(folder, "problem.h5")
    subprocess.run([os.path.join(options.bin, "basin-problem"), "teacher", "-o", problem, "--overwrite", "--quiet",
                    "-N", str(N), "-n", str(n), "-D", str(D), "-d", str(d), "-H", str(H), "--outputs", str(D_out),
                    "--kernel", kernel, "--seed", "1"], check=True)
    fits = dense_bytes(m, P) <= options.memory * 1e9
    reference = {}
    if fits and (options.long or 6 * dense_seconds(m) <= options.limit):  # what svdvals take
        reference = run_python("svd", problem, options)[1]
    print(f"\n{size}, {kernel}: N = {N}, n = {n}, D = {D}, d = {d}, H = {H}, D_out = {D_out}; m = {m}, P = {P}")
    if reference.get("value"):
        print(f"reference: lambda_min = {reference['value']:.12g}, condition number of J {reference['condition']:.3g}")
    print(f"{'way':10}{'wall s':>9}{'CPU s':>9}{'work s':>9}{'ratio':>9}{'MB':>8}{'lambda_min':>20}{'digits':>9}  how",
          flush=True)
    dense = None
    for way in options.ways:
        seconds = {"dense": dense_seconds(m), "svd": 6 * dense_seconds(m)}.get(way, 0)
        if seconds and not (fits and (options.long or seconds <= options.limit)):
            needed = f"{seconds:.0f} s" if fits else f"{dense_bytes(m, P) / 1e9:.0f} GB"
            print(f"{way:10}left out: J, K and its eigenvalues would take about {needed}", flush=True)
            continue
        if way in PYTHON_WAYS:
            run, found = run_python(way, problem, options, reference.get("value", 0.0))
        else:
            run, found = run_basin(way, problem, options, folder)
        work = found.get("work_cpu" if options.cpu else "work")
        if way == "dense":
            dense = work
        ratio = f"{dense / work:.2f}" if dense and work and "not converged" not in found.get("note", "") else "-"
        value = f"{found['value']:.12g}" if "value" in found else "-"
        right = digits(found["value"], reference) if "value" in found else ""
        note = found.get("note", "")
        if "products" in found:
            note = f"{found['products']} products" + (", " + note if note else "")
        if "lower" in found:
            note += f" [{found['lower']:.11g}, {found['upper']:.11g}]"
        shown = f"{work:.2f}" if work else "-"
        print(f"{way:10}{run.wall:9.2f}{run.cpu:9.2f}{shown:>9}{ratio:>9}{run.memory:8.0f}{value:>20}{right:>9}  {note}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="the folder of basin-problem and basin-ntk")
    parser.add_argument("--sizes", default="S,R,4R", help="of " + ", ".join(SIZES) + " (default %(default)s)")
    parser.add_argument("--kernels", default="softmax,gaussian")
    parser.add_argument("--ways", default="dense,svd,eigsh,lobpcg,sum,formed,singular,all")
    parser.add_argument("--limit", type=float, default=300, help="seconds for a way (default %(default)s)")
    parser.add_argument("--memory", type=float, default=24, help="GB that the machine has (default %(default)s)")
    parser.add_argument("--cpu", action="store_true", help="ratios of CPU seconds")
    parser.add_argument("--long", action="store_true", help="run sizes that take longer than the limit")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--problem", help=argparse.SUPPRESS)
    parser.add_argument("--reference", type=float, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options)
    options.ways = options.ways.split(",")
    for way in options.ways:
        if way not in PYTHON_WAYS and way not in BASIN_WAYS:
            parser.error(f"--ways {way}: expected some of {', '.join([*PYTHON_WAYS, *BASIN_WAYS])}")
    for size in options.sizes.split(","):
        if size not in SIZES:
            parser.error(f"--sizes {size}: expected some of {', '.join(SIZES)}")
    for module in ("torch", "functorch", "scipy", "h5py"):
        if subprocess.run([sys.executable, "-c", "import " + module], capture_output=True).returncode != 0:
            parser.error(f"{sys.executable} has no module {module}: install python3-torch, python3-scipy, python3-h5py")
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes.split(","):
            for kernel in options.kernels.split(","):
                compare(size, kernel, options, folder)


if __name__ == "__main__":
    main()
