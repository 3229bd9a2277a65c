"""What a study compares: cells of kernel, targets, trained blocks and width, and the problem of each."""
from dataclasses import asdict, dataclass

import h5py
import numpy as np

from .work import reading

BLOCKS = ("W_Q", "W_K", "W_V", "W_O")


@dataclass(frozen=True)
class Cell:
    """What is compared: problems of one kind, one set of trained blocks."""
    kernel: str
    targets: str  # teacher: of the same kernel, so that f = 0 is reached; random: normal numbers
    train: str  # W_Q,W_K
    width: int  # D
    gain: float  # factor on W_Q and W_K of teacher and starts

    @property
    def kind(self):
        """Name of the kind of its problems, which other sets of trained blocks share."""
        return f"{self.kernel}-{self.targets}-D{self.width}-gain{self.gain:g}"

    @property
    def name(self):
        return f"{self.kind}-{self.train.replace(',', '+')}"


@dataclass(frozen=True)
class Design:
    """The options of a study."""
    samples: int
    tokens: int
    head_dim: int
    heads: int
    outputs: int
    widths: tuple
    kernels: tuple
    targets: tuple
    train: tuple
    gain: float
    more_gains: tuple
    problems: int  # draws of data and teacher in each cell
    starts: int  # in each cell, shared out among its problems
    runs: int
    steps: int
    seed: int

    def cells(self):
        """All cells, the cheap ones first: every width at one gain, and with teacher targets the largest width at
        more."""
        made = [Cell(kernel, targets, train, width, self.gain) for width in sorted(self.widths)
                for targets in self.targets for train in self.train for kernel in self.kernels]
        if "teacher" in self.targets:
            made += [Cell(kernel, "teacher", train, max(self.widths), gain) for gain in self.more_gains
                     for train in self.train for kernel in self.kernels]
        return made

    @property
    def full_rank(self):
        """N n: from this D on the inputs have full row rank."""
        return self.samples * self.tokens

    @property
    def sizes(self):
        return (f"N = {self.samples}, n = {self.tokens}, H = {self.heads}, d = {self.head_dim}, "
                f"D_out = {self.outputs}")

    def options(self):
        """Name -> text of each option, for files."""
        return {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                for name, value in asdict(self).items()}

    def starts_of(self, problem):
        """How many starts a problem has: the same for all, up to one."""
        return self.starts // self.problems + (problem < self.starts % self.problems)

    def seed_of(self, problem):
        return self.seed + problem

    def teacher(self, cell, problem, init_seed):
        """Arguments of basin-problem for the inputs and teacher of a problem of a cell, and a draw of weights as
        basin-stationary draws its starts. Inputs, teacher and starts depend on seeds and D only: they are the same
        for both kernels."""
        gains = [f"{option}={block}={cell.gain!r}" for block in ("W_Q", "W_K") for option in ("--target-gain", "--gain")]
        return ["teacher", "-N", self.samples, "-n", self.tokens, "-D", cell.width, "-H", self.heads, "-d",
                self.head_dim, "--outputs", self.outputs, "--kernel", cell.kernel, "--seed", self.seed_of(problem), "--init-seed",
                init_seed, *gains]


def initialisation(cell):
    """Options of basin-stationary that draw the same in the trained blocks."""
    gains = [["--gain", f"{block}={cell.gain!r}"] for block in ("W_Q", "W_K") if block in cell.train.split(",")]
    return ["--init", "gaussian", *sum(gains, [])]


def write_problem(made, path, cell, seed):
    """The problem of a cell from what basin-problem made. Its weights are the teacher's: so are then the blocks
    that are not trained, and f = 0 can be reached in every set of blocks. Random targets are normal numbers, the
    same under both kernels and for all D."""
    with reading(made) as source, h5py.File(path, "w") as file:
        file.attrs.update({"basin_file": "problem", "basin_format": source.attrs["basin_format"]})
        file["data/X"] = source["data/X"][()]
        shape = source["data/Y"].shape
        file["data/Y"] = (source["data/Y"][()] if cell.targets == "teacher"
                          else np.random.default_rng(seed).standard_normal(shape))
        weights = file.create_group("parameters")
        weights.attrs["kernel"] = cell.kernel
        for block in BLOCKS:
            weights[block] = source[f"teacher/{block}"][()]
        if cell.targets == "teacher":
            source.copy("teacher", file)


def write_start(made, problem, path, train, share=1.0):
    """The problem with the trained blocks as basin-problem drew them, or a share of the way there."""
    with reading(made) as source, reading(problem) as old, h5py.File(path, "w") as file:
        copy_problem(old, file)
        for block in train.split(","):
            values, drawn = file[f"parameters/{block}"], source[f"parameters/{block}"][()]
            values[...] = drawn if share == 1 else values[()] + share * (drawn - values[()])


def write_point(problem, path, weights):
    """The problem at other weights, all blocks one after another."""
    with reading(problem) as old, h5py.File(path, "w") as file:
        copy_problem(old, file)
        start = 0
        for block in BLOCKS:
            values = file[f"parameters/{block}"]
            values[...] = weights[start:start + values.size].reshape(values.shape)
            start += values.size


def copy_problem(source, file):
    file.attrs.update(source.attrs)
    for member in source:
        source.copy(member, file)
