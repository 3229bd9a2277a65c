"""What is done in each cell, and around the points that trap descent."""
import os
from dataclasses import dataclass, replace as altered

from .catalogue import TRAPS, entry_weights, first_seed
from .design import initialisation, write_point, write_problem, write_start
from .work import WRONG, reading, remove_journal, replace

TOWARDS = "-0.5:1.5:41"  # steps of slices: the trap at 0, the teacher at 1
ACROSS = "-1:1:41"
NOT_PROVEN = "--step certificate: "  # how basin-train begins to say that the certificate does not pass
NEAR = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # shares of the way from the teacher to a start


@dataclass(frozen=True)
class Run:
    """A descent on record."""
    cell: object
    problem: int  # whose first start it is
    kind: str  # guaranteed: from the start, each step one after which the loss is proven to fall;
    # certificate: from near the teacher towards the start, the step that is proven to reach zero loss

    @property
    def name(self):
        return f"{self.cell.name}-{self.kind}-{self.problem}"


class Measurement:
    """A study under way: its tools and files. Problems of a cell have numbers j."""

    def __init__(self, design, tools, parts):
        self.design, self.tools, self.parts = design, tools, parts

    def problem(self, cell, j):
        """The path of a problem."""
        return self.parts.path(f"problem-{cell.kind}-{j}.h5")

    def catalogue(self, cell, j):
        return self.parts.path(f"catalogue-{cell.name}-{j}.h5")

    def run(self, run):
        return self.parts.path(f"run-{run.name}.h5")

    def problems(self, cell):
        """(path, catalogue) of each problem of a cell."""
        return [(self.problem(cell, j), self.catalogue(cell, j)) for j in range(self.design.problems)]

    def search(self, cell):
        """Where the starts of a cell end."""
        for j, (problem, catalogue) in enumerate(self.problems(cell)):
            if catalogue.exists():
                remove_journal(catalogue)
            else:
                self.tools.run("basin-stationary", problem, "-o", catalogue, "--train", cell.train, "--starts",
                               self.design.starts_of(j), "--seed", self.design.seed_of(j), *initialisation(cell),
                               "--threads", 1, "--quiet", "--resume")

    def make_problems(self, cell):
        """Make the problems of a cell, unless they are there."""
        for j, (path, _) in enumerate(self.problems(cell)):
            if not path.exists():
                seed = self.design.seed_of(j)
                self.with_draw(cell, j, seed, path,
                               lambda made, part, seed=seed: write_problem(made, part, cell, seed))

    def with_draw(self, cell, j, init_seed, path, write):
        """Let `write` make `path` from data, teacher and weights drawn with `init_seed`."""
        made = self.parts.path(f"made-{path.name}")
        self.tools.run("basin-problem", *self.design.teacher(cell, j, init_seed), "-o", made, "--overwrite", "--quiet")
        replace(path, lambda part: write(made, part))
        made.unlink()

    def runs(self):
        """The descents on record, from the first starts of the first problems of each cell."""
        return [Run(cell, j, kind) for cell in self.design.cells() for kind in ("guaranteed", "certificate")
                for j in range(self.design.runs) if kind == "guaranteed" or cell.targets == "teacher"]

    def descend(self, run):
        """Descend with guarantees. From near the teacher: as near as it takes for the certificate to pass, if it
        ever does."""
        path, cell, j = self.run(run), run.cell, run.problem
        if path.exists() or self.uncertified(run).exists():
            return
        seed = first_seed(self.catalogue(cell, j))
        for share in (1.0,) if run.kind == "guaranteed" else NEAR:
            start, made = (self.parts.path(f"{what}-{run.name}-{share:g}.h5") for what in ("start", "descent"))
            if not made.exists():  # a study that was stopped finds the start, and the journal that belongs to it
                if not start.exists():
                    self.with_draw(cell, j, seed, start, lambda drawn, part, share=share: write_start(
                        drawn, self.problem(cell, j), part, cell.train, share))
                self.train(start, made, run)
            if made.exists():
                remove_journal(made)
                os.replace(made, path)
            start.unlink(missing_ok=True)
            if path.exists():
                return
        replace(self.uncertified(run), lambda part: part.write_text("the certificate passes at none of the points\n"))

    def uncertified(self, run):
        """A file that says that there is no run."""
        return self.parts.path(f"run-{run.name}.none")

    def train(self, start, path, run):
        """Descend from `start`, unless the certificate is asked for and does not pass there: then there is no file."""
        self.tools.run("basin-train", start, "-o", path, "--train", run.cell.train, "--step", run.kind,
                       "--steps", self.design.steps, "--tolerance", 0, "--record-every", 1,
                       "--checkpoint-every", self.design.steps, "--threads", 1, "--quiet", "--resume",
                       fine=lambda code, errors: code == 0 or (code == WRONG and NOT_PROVEN in errors))

    def whole_slice(self, path):
        """Whether the slice is there with all its points: a growing one is there before."""
        if not path.exists():
            return False
        with reading(path) as file:
            return bool(file["entry/slice/complete"][()])

    def slices(self, results):
        """Name -> (path, CellResult of the trap) of slices around a point that traps descent under each kernel,
        under both kernels: at the same weights, each with the targets of its own teacher."""
        made = {}
        for kernel in self.design.kernels:
            found = self.trap(kernel, results)
            if not found:
                continue
            for other in self.design.kernels:
                cell = altered(found.cell, kernel=other)
                trap = found.trap
                point = self.parts.path(f"point-{found.cell.name}-{trap.problem}-{other}.h5")
                path = self.parts.path(f"slice-{found.cell.name}-{trap.problem}-{other}.h5")
                made[f"{kernel}_{other}"] = path, found
                if self.whole_slice(path):
                    remove_journal(path)
                    continue
                weights = entry_weights(found.paths[trap.problem], trap.entry)
                other_problem = self.problem(cell, trap.problem)
                if not point.exists():
                    replace(point, lambda part: write_point(other_problem, part, weights))
                self.tools.run("basin-slice", point, "-o", path, "--train", cell.train, "--to", other_problem,
                               "--v", "random", "--seed", self.design.seed, "--x", TOWARDS, "--y", ACROSS, "--quiet", "--resume")
        return made

    def trap(self, kernel, results):
        """Of the cells with this kernel and teacher targets, the one whose trap most starts reach: a minimum rather
        than a valley, at a D that gives inputs full row rank rather than below."""
        cells = [r for r in results if r.cell.kernel == kernel and r.cell.targets == "teacher" and r.trap
                 and r.cell.gain == self.design.gain]
        return max(cells, default=None, key=lambda r: (r.trap.verdict == TRAPS[0],
                                                       r.cell.width >= self.design.full_rank, r.trap.starts))
