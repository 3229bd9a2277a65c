"""The study: its design, what it says of results, its file and pictures, its command line."""
import subprocess
import unittest
from dataclasses import replace

import h5py
import numpy as np
from matplotlib.colors import to_hex

from support import ANALYSIS, FileCase, figures  # first, because it finds the packages
import examples
from forked import forked
from basin.pictures.style import VERDICT_LOOK
from basin.study.catalogue import find_trap
from basin.study.cli import main
from basin.study.claims import FAILS, HOLDS, OPEN, claims, never
from basin.study.collect import write_study
from basin.study.design import BLOCKS, Cell, Design, write_point, write_problem, write_start
from basin.study.measure import Run
from basin.study.results import SUBOPTIMAL, CellResult, RunResult, read_run, share, suboptimal_share
from basin.study.work import Parts, WrongInput

ALL = ",".join(BLOCKS)
DESIGN = Design(samples=2, tokens=4, head_dim=2, heads=2, outputs=2, widths=(4, 8, 16), kernels=("softmax", "gaussian"),
                targets=("teacher", "random"), train=("W_Q", "W_Q,W_K", ALL), gain=1.0, more_gains=(0.5, 2.0),
                problems=10, starts=50, runs=1, steps=10, seed=3)
GLOBAL, TRAP, VALLEY = "global minimum", "suboptimal local minimum", "valley to infinity"


def result(cell, bad=0, of=50, verdict=TRAP, loss=1.0, problems=10):
    """A cell in which `bad` of the starts end in one entry of their problem with this verdict and loss; starts are
    dealt out to the problems in turn."""
    problem = np.arange(of) % problems
    made = CellResult(cell, ("nowhere.h5",) * problems, problem, np.arange(of, dtype=np.uint64),
                      np.array([verdict] * bad + [GLOBAL] * (of - bad)), np.array([loss] * bad + [0.0] * (of - bad)),
                      np.full(of, 1e-12), np.zeros(problems), np.ones(problems, bool), np.full(problems, 10.0))
    return replace(made, trap=find_trap(made, np.array([1] * bad + [0] * (of - bad))))


def found(results, runs=(), design=DESIGN):
    """Statement -> Claim."""
    return {claim.statement: claim for claim in claims(design, results, runs)}


class Shares(unittest.TestCase):
    def test_interval_of_independent_starts(self):
        # statsmodels.stats.proportion.proportion_confint(3, 10, method="wilson")
        made = share([1] * 3 + [0] * 7, np.zeros(10))
        self.assertAlmostEqual(made.lower, 0.10779127, 7)
        self.assertAlmostEqual(made.upper, 0.60322185, 7)
        self.assertEqual(str(made), "3 of 10 (30 %, 11 to 60)")

    def test_starts_of_a_problem_that_agree_count_as_one(self):
        flags = np.array([1] * 3 + [0] * 7)
        alone, together = share(flags, np.arange(10)), share(np.repeat(flags, 20), np.repeat(np.arange(10), 20))
        for name in ("value", "lower", "upper"):
            self.assertAlmostEqual(getattr(together, name), getattr(alone, name))
        none = share(np.zeros(200), np.repeat(np.arange(10), 20))
        self.assertAlmostEqual(none.upper, share(np.zeros(10), np.arange(10)).upper)

    def test_intervals_hold_their_share(self):
        rng = np.random.default_rng(1)
        for spread in (0.0, 1.0):  # independent starts; problems with very different shares
            covered = 0
            for _ in range(400):
                shares = 0.4 + spread * (rng.random(20) - 0.5) * 0.8
                made = share((rng.random((20, 5)) < shares[:, None]).ravel(), np.repeat(np.arange(20), 5))
                covered += made.lower <= 0.4 <= made.upper
            self.assertGreaterEqual(covered, 0.92 * 400)  # 95 % but for 2.7 standard deviations

    def test_what_is_not_certain_is_judged_by_the_loss(self):
        cell = DESIGN.cells()[0]
        for verdict in (VALLEY, "not stationary", "degenerate"):
            self.assertEqual(suboptimal_share([result(cell, 5, verdict=verdict, loss=1e-4 * 10 * 1.01)]).passed, 5)
            below = result(cell, 5, verdict=verdict, loss=1e-4 * 10 * 0.99)
            self.assertEqual(suboptimal_share([below]).passed, 0)
            self.assertEqual(np.count_nonzero(below.is_undecided), 5)
        overflow = result(cell, 5, verdict="not finite", loss=np.nan)
        self.assertEqual(suboptimal_share([overflow]).passed, 5)
        self.assertEqual(np.count_nonzero(overflow.has(GLOBAL)), 45)

    def test_proven_minima_and_saddles_are_suboptimal_by_however_little(self):
        for verdict, suboptimal in ((TRAP, 5), ("saddle", 5), (GLOBAL, 0), ("best known minimum", 0)):
            made = result(DESIGN.cells()[0], 5, verdict=verdict, loss=1e-9)
            self.assertEqual(suboptimal_share([made]).passed, suboptimal)
            self.assertFalse(made.is_above_threshold.any() or made.is_undecided.any())
            self.assertIsNone(made.trap)

    def test_trap_is_the_minimum_that_most_starts_reach(self):
        cell = DESIGN.cells()[0]
        made = replace(result(cell, 0, 7, problems=2), problem=np.array([0, 1, 1, 1, 1, 1, 0]),
                       verdicts=np.array([TRAP] * 3 + [VALLEY] * 3 + [GLOBAL]), losses=np.array([1.0, 2, 2, 3, 3, 3, 0]))
        trap = find_trap(made, np.array([2, 2, 2, 3, 3, 3, 0]))
        self.assertEqual((trap.problem, trap.entry, trap.verdict, trap.starts), (1, 2, TRAP, 2))
        self.assertIsNone(result(cell).trap)
        self.assertEqual(result(cell, 4, verdict=VALLEY).trap.verdict, VALLEY)

    def test_starts_are_shared_out(self):
        design = replace(DESIGN, problems=4, starts=10)
        self.assertEqual([design.starts_of(j) for j in range(4)], [3, 3, 2, 2])


class Claims(unittest.TestCase):
    def results(self, bad):
        """All cells of the design; bad(cell) of the starts end suboptimal."""
        return [result(cell, bad(cell)) for cell in DESIGN.cells()]

    def verdict(self, statement, results, runs=()):
        made = found(results, runs)
        matching = [claim for text, claim in made.items() if statement in text]
        self.assertEqual(len(matching), 1, f"{statement}: {list(made)}")
        return matching[0]

    def test_the_kernels_are_told_apart_by_their_intervals(self):
        for softmax, gaussian, verdict in ((25, 3, HOLDS), (3, 25, FAILS), (10, 12, OPEN)):
            results = self.results(lambda cell: {"softmax": softmax, "gaussian": gaussian}[cell.kernel])
            self.assertEqual(self.verdict("less often under the Gaussian", results).verdict, verdict)

    def test_only_wide_cells_with_teacher_targets_decide_on_global_minima(self):
        narrow = self.results(lambda cell: 20 * (cell.width < 8 or cell.targets == "random" or cell.gain != 1))
        claim = self.verdict(f"{ALL}, D >= N n", narrow)
        self.assertEqual(claim.verdict, "not refuted (at most 16 %)")  # ten problems at each of two widths
        self.assertIn("softmax 0 of 100", claim.found)
        self.assertIn("0 of all ends are neither", claim.found)
        wide = self.results(lambda cell: int(cell.width == 16 and cell.train == ALL))
        self.assertEqual(self.verdict(f"{ALL}, D >= N n", wide).verdict, FAILS)
        self.assertIn("not refuted", self.verdict("W_Q, D >= N n", wide).verdict)

    def test_width(self):
        falls = self.results(lambda cell: 40 if cell.width == 4 else 1)
        self.assertEqual(self.verdict("softmax, teacher targets: a larger D", falls).verdict, HOLDS)
        mixed = self.results(lambda cell: 40 * ((cell.width == 4) == (cell.train == "W_Q")))
        claim = self.verdict("Gaussian, random targets: a larger D", mixed)
        self.assertIn("differs", claim.verdict)
        self.assertIn(f"W_Q ({HOLDS}): 40", claim.found)
        self.assertIn(f"W_Q,W_K ({FAILS}): 0", claim.found)

    def test_no_number_of_starts_proves_a_claim(self):
        self.assertEqual(never(share([0] * 40, np.repeat(np.arange(8), 5))), "not refuted (at most 32 %)")
        self.assertEqual(never(share([0] * 39 + [1], np.repeat(np.arange(8), 5))), FAILS)
        runs = [RunResult(Run(DESIGN.cells()[0], j, "guaranteed"), 100, 0, 2.0) for j in range(8)]
        for text, claim in found(self.results(lambda cell: 0), runs).items():
            self.assertNotIn(HOLDS, claim.verdict, text)

    def test_scale(self):
        rises = self.results(lambda cell: int(20 * cell.gain))
        claim = self.verdict("softmax: smaller queries", rises)
        self.assertEqual(claim.verdict, HOLDS)
        self.assertEqual([part.split(":")[0] for part in claim.found.split(", ", 1)[1].split("; ")],
                         ["gain 0.5", "gain 1", "gain 2"])

    def test_kernels_by_scale(self):
        bad = {("softmax", 2.0): 30, ("gaussian", 2.0): 5, ("softmax", 0.5): 5, ("gaussian", 0.5): 30}
        results = self.results(lambda cell: bad.get((cell.kernel, cell.gain), 10) if cell.train == "W_Q,W_K" else 10)
        claim = self.verdict("D = 16, gain 2 on queries and keys", results)
        self.assertIn("differs", claim.verdict)
        self.assertIn(f"W_Q,W_K ({HOLDS}): softmax 30 of 50 (60 %, 46 to 72), Gaussian 5 of 50", claim.found)
        self.assertIn(f"W_Q ({OPEN}): softmax 10 of 50", claim.found)
        self.assertIn(f"W_Q,W_K ({FAILS})", self.verdict("D = 16, gain 0.5 on queries and keys", results).found)
        self.assertEqual(self.verdict("D = 16, gain 1 on queries and keys", results).verdict, OPEN)

    def test_few_keys_are_a_theorem_only_for_few_tokens(self):
        self.assertFalse([text for text in found(self.results(lambda cell: 1)) if "n <= d + 1" in text])
        design = replace(DESIGN, tokens=3)
        for bad, verdict in ((0, "not refuted"), (1, FAILS)):
            made = found([result(cell, bad) for cell in design.cells()], design=design)
            self.assertIn(verdict, next(c for text, c in made.items() if "n <= d + 1" in text).verdict)

    def test_valleys(self):
        for verdict, holds in ((VALLEY, HOLDS), (TRAP, FAILS)):
            results = [result(cell, 10, verdict=verdict) for cell in DESIGN.cells()]
            self.assertEqual(self.verdict("most suboptimal ends are valleys", results).verdict, holds)

    def test_guarantees(self):
        runs = [RunResult(Run(DESIGN.cells()[0], 0, "guaranteed"), 100, 0, 2.0),
                RunResult(Run(DESIGN.cells()[0], 0, "certificate"), 50, 0, 3.0)]
        claim = self.verdict("never violated", self.results(lambda cell: 0), runs)
        self.assertEqual(claim.verdict, "not refuted (at most 79 %)")  # two runs on one problem
        self.assertIn("0 of 150 steps broke it; runs with such a step: 0 of 2", claim.found)
        runs[1] = replace(runs[1], broken=1)
        self.assertEqual(self.verdict("never violated", self.results(lambda cell: 0), runs).verdict, FAILS)


class Files(FileCase):
    def made(self, name="made.h5", seed=0):
        """What basin-problem would have made, with a teacher and other weights."""
        rng = np.random.default_rng(seed)
        shapes = {"W_Q": (2, 5, 3), "W_K": (2, 5, 3), "W_V": (2, 5, 3), "W_O": (2, 3, 2)}
        with h5py.File(self.path(name), "w") as file:
            file.attrs.update({"basin_file": "problem", "basin_format": "1.0"})
            file["data/X"], file["data/Y"] = rng.standard_normal((2, 4, 5)), rng.standard_normal((2, 4, 2))
            for group in ("teacher", "parameters"):
                for block, shape in shapes.items():
                    file[f"{group}/{block}"] = rng.standard_normal(shape)
                file[group].attrs["kernel"] = "softmax"
        return self.path(name)

    def test_problems_hold_the_teachers_weights(self):
        cell = Cell("gaussian", "teacher", "W_Q", 5, 1.0)
        write_problem(self.made(), self.path("p.h5"), cell, 3)
        with h5py.File(self.path("p.h5")) as file, h5py.File(self.path("made.h5")) as made:
            self.assertEqual(file["parameters"].attrs["kernel"], "gaussian")
            np.testing.assert_array_equal(file["data/Y"], made["data/Y"])
            for block in BLOCKS:
                np.testing.assert_array_equal(file[f"parameters/{block}"], made[f"teacher/{block}"])

    def test_random_targets_are_the_same_for_all_kernels(self):
        targets = []
        for kernel in ("softmax", "gaussian"):
            write_problem(self.made(), self.path("p.h5"), Cell(kernel, "random", "W_Q", 5, 1.0), 3)
            with h5py.File(self.path("p.h5")) as file:
                targets.append(file["data/Y"][()])
                self.assertNotIn("teacher", file)
        np.testing.assert_array_equal(*targets)
        self.assertGreater(targets[0].std(), 0.5)

    def test_starts_and_points(self):
        write_problem(self.made(), self.path("p.h5"), Cell("softmax", "teacher", "W_Q", 5, 1.0), 3)
        write_start(self.path("made.h5"), self.path("p.h5"), self.path("s.h5"), "W_Q")
        write_start(self.path("made.h5"), self.path("p.h5"), self.path("near.h5"), "W_Q", 0.25)
        weights = np.arange(3 * 30 + 12, dtype=float)
        write_point(self.path("p.h5"), self.path("point.h5"), weights)
        with (h5py.File(self.path("made.h5")) as made, h5py.File(self.path("s.h5")) as start,
              h5py.File(self.path("near.h5")) as near, h5py.File(self.path("point.h5")) as point):
            np.testing.assert_array_equal(start["parameters/W_Q"], made["parameters/W_Q"])
            np.testing.assert_array_equal(start["parameters/W_K"], made["teacher/W_K"])
            np.testing.assert_allclose(near["parameters/W_Q"], 0.75 * made["teacher/W_Q"][()]
                                       + 0.25 * made["parameters/W_Q"][()])
            np.testing.assert_array_equal(
                np.concatenate([point[f"parameters/{block}"][()].ravel() for block in BLOCKS]), weights)

    def test_parts_of_another_study_are_refused(self):
        output = self.path("study.h5")
        Parts(output, DESIGN, "1", False, False)
        Parts(output, DESIGN, "1", True, False)
        for design, version, resume, message in ((DESIGN, "1", False, "--resume goes on"),
                                                 (replace(DESIGN, starts=7), "1", True, "starts = 50, now 7"),
                                                 (DESIGN, "2", True, "version = 1, now 2")):
            with self.assertRaisesRegex(WrongInput, message):
                Parts(output, design, version, resume, False)
        (self.path("study.parts") / "part").touch()
        Parts(output, DESIGN, "2", False, True)
        self.assertEqual(self.files(self.path("study.parts")), ["plan.json"])


class Study(FileCase):
    """A study of made-up results."""

    def write(self, slices=(), made=lambda cell: result(cell, min(45, 3 * cell.width)), **changes):
        design = replace(DESIGN, **changes)
        steps = np.arange(20.0)
        with h5py.File(self.path("run.h5"), "w") as file:
            for name, values in (("step", steps), ("loss", 0.9**steps), ("gradient_norm", 0.9**steps),
                                 ("measured_rate", np.r_[np.nan, np.full(19, 0.9)]),
                                 ("guaranteed_rate", np.r_[np.nan, np.full(19, 0.95)])):
                file[f"entry/run/{name}"] = values
            file["entry/guaranteed_steps"], file["entry/broken_guarantees"] = 19, 0
        results = [made(cell) for cell in design.cells()]
        runs = [(read_run(Run(cell, 0, kind), self.path("run.h5")), self.path("run.h5"))
                for cell in design.cells() for kind in ("guaranteed", "certificate")]
        provenance = {"program": "basin-study", "version": "1", "format_version": "1.0", "command_line": "basin-study",
                      "start_time": "2024-01-01T00:00:00Z", "duration": 1.0, "seed": 3}
        write_study(self.path("study.h5"), design, results, runs, dict(slices),
                    claims(design, results, [r for r, _ in runs]), provenance)
        return results, runs

    def test_file(self):
        results, runs = self.write()
        self.assertAlmostEqual(runs[0][0].slack, np.log(0.9) / np.log(0.95))
        with h5py.File(self.path("study.h5")) as file:
            entry = file["entry"]
            self.assertEqual(len(entry["starts"]), len(results))
            np.testing.assert_array_equal(entry["cells/suboptimal"], [np.count_nonzero(r.is_suboptimal) for r in results])
            plot = entry[entry.attrs["default"]]
            self.assertEqual(plot.attrs["signal"], "share")
            np.testing.assert_allclose(plot["share"], [[12 / 50, 24 / 50, 45 / 50]] * 2)
            self.assertTrue((plot["lower"][()] < plot["share"][()]).all())
            self.assertIn("guaranteed rate is never violated: not refuted", entry["verdict"].asstr()[()])

            self.assertEqual(plot["share"].attrs["interpretation"], "spectrum")  # curves: D is not equally spaced

    def test_copied_slices_refer_to_nothing(self):
        """The dimension scales of the slice would be references to places in another file, which netCDF refuses."""
        part = examples.slice_file(self.path("slice.h5"))
        with h5py.File(part, "a") as file:
            for i, axis in enumerate(("ycoordinates", "xcoordinates")):
                file[axis].make_scale(axis)
                file["train_loss"].dims[i].attach_scale(file[axis])
        self.write({"softmax_gaussian": (part, result(DESIGN.cells()[0], 4))})
        with h5py.File(self.path("study.h5")) as file:
            copy = file["entry/slices/softmax_gaussian"]
            self.assertEqual(copy["train_loss"].shape, (51, 51))
            found = {name for member in ("train_loss", "xcoordinates", "entry/surface/train_loss")
                     for name in copy[member].attrs}
            self.assertFalse({"DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"} & found)

    def test_both_counts_are_in_the_file(self):
        def made(cell):  # proven minima below the threshold, and a valley above it
            return replace(result(cell, 5, loss=1e-9), losses=np.r_[np.full(5, 1e-9), np.full(5, 2.0), np.zeros(40)],
                           verdicts=np.array([TRAP] * 5 + [VALLEY] * 7 + [GLOBAL] * 38))

        self.write(made=made)
        with h5py.File(self.path("study.h5")) as file:
            cells = file["entry/cells"]
            for name, count in (("suboptimal", 10), ("above_threshold", 5), ("undecided", 2),
                                ("suboptimal_verdicts/suboptimal_local_minimum", 5),
                                ("suboptimal_verdicts/valley_to_infinity", 5), ("verdicts/valley_to_infinity", 7)):
                self.assertTrue((cells[name][()] == count).all(), name)
            self.assertEqual(file["entry/design/suboptimal"].asstr()[()], SUBOPTIMAL)
        made = figures(self.path("study.h5"))
        for shares, bars in zip((axes for axes in made["shares"].axes if axes.lines),
                                (axes for axes in made["verdicts"].axes if axes.patches)):
            for curve, lines in zip(shares.lines, bars.collections):  # the same share in both pictures
                np.testing.assert_allclose([100 - segment[0][1] for segment in lines.get_segments()], curve.get_ydata())
        for name in ("shares", "verdicts", "scales"):
            self.assertIn(SUBOPTIMAL, " ".join(made[name]._supxlabel.get_text().split()))

    def test_pictures(self):
        self.write()
        made = figures(self.path("study.h5"))
        self.assertEqual(list(made), ["shares", "verdicts", "rates", "scales"])
        panels = [axes for axes in made["shares"].axes if axes.lines]
        self.assertEqual(len(panels), 6)
        np.testing.assert_allclose(panels[0].lines[0].get_ydata(), [24, 48, 90])
        self.assertAlmostEqual(panels[0].lines[-1].get_xdata()[0], 1)  # D = N n is the second width
        bars = [axes for axes in made["verdicts"].axes if axes.patches]
        self.assertEqual(len(bars), 6)
        tops = sorted(round(patch.get_y() + patch.get_height()) for patch in bars[0].patches)
        self.assertEqual(tops[-6:], [100] * 6)
        self.assertEqual({to_hex(patch.get_facecolor()).upper() for patch in bars[0].patches},
                         {VERDICT_LOOK[name][0] for name in (GLOBAL, TRAP)})

    def test_intervals_are_thin_lines(self):
        self.write()
        panel = next(axes for axes in figures(self.path("study.h5"))["shares"].axes if axes.lines)
        for lines, bad in zip(panel.collections, (12, 12)):
            made = suboptimal_share([result(DESIGN.cells()[0], bad)])
            np.testing.assert_allclose(lines.get_segments()[0][:, 1], [100 * made.lower, 100 * made.upper])

    def test_descents_of_each_set_of_blocks_have_a_panel(self):
        self.write()
        drawn = [axes for axes in figures(self.path("study.h5"))["rates"].axes if axes.lines]
        self.assertEqual([axes.get_title() for axes in drawn[::2]], ["$W_Q$", "$W_Q$, $W_K$", "all blocks"])
        self.assertEqual([len(axes.lines) for axes in drawn[::2]], [2] * 3)  # one descent under each kernel

    def test_traps_say_what_they_are_and_where_the_teacher_is(self):
        steps = np.linspace(-1, 1, 11)
        path = examples.slice_file(self.path("slice.h5"), examples.bowl(steps, steps), steps, steps)
        with h5py.File(path, "r+") as file:
            del file["entry/model/trainable"]
            file["entry/model/trainable"] = "W_Q,W_K"
        trapped = result(DESIGN.cells()[0], 5)
        self.write({"softmax_softmax": (path, trapped), "softmax_gaussian": (path, trapped)})
        figure = figures(self.path("study.h5"))["trap_softmax"]
        title = " ".join(figure._suptitle.get_text().split())
        self.assertIn("W_Q,W_K trained: around a suboptimal local minimum (+) of the softmax kernel", title)
        self.assertIn("star: the teacher", title)
        panels = [axes for axes in figure.axes if axes.get_title()]
        self.assertEqual(len(panels), 2)
        for axes in panels:
            star, = (line for line in axes.lines if line.get_marker() == "*")
            self.assertEqual((*star.get_xdata(), *star.get_ydata()), (1, 0))
            self.assertTrue(axes.get_xlabel().startswith("step $a$ towards the teacher"))

    def test_pictures_of_one_kernel_and_no_further_gains(self):
        self.write(kernels=("gaussian",), targets=("random",), more_gains=(), widths=(4,))
        self.assertEqual(list(figures(self.path("study.h5"))), ["shares", "verdicts", "rates"])


class Command(FileCase):
    def study(self, *arguments):
        return forked(main, arguments, self.directory)

    def test_wrong_command_lines(self):
        self.path("there.h5").touch()
        for arguments, message in (((), "the following arguments are required"),
                                   (("-o", "s.h5", "--widths", "4,x"), "found 'x', expected a whole number from 1 on"),
                                   (("-o", "s.h5", "--train", "W_X"), "found 'W_X'"),
                                   (("-o", "s.h5", "--kernels", "relu"), "found 'relu'"),
                                   (("-o", "s.h5", "--gain", "nan"), "found 'nan', expected a positive number"),
                                   (("-o", "s.h5", "--runs", "30"), "--runs 30"),
                                   (("-o", "s.h5", "--problems", "9", "--starts", "3"), "--problems 9"),
                                   (("-o", "there.h5"), "there.h5 exists"),
                                   (("-o", "nowhere/s.h5"), "there is no directory nowhere"),
                                   (("-o", "s.h5", "--bin", "nowhere"), "found no basin-stationary there")):
            self.assert_one_line(self.study(*arguments), 2, "basin-study: ", message)
        self.assertEqual(self.files(), ["there.h5"])

    def test_help(self):
        done = subprocess.run([ANALYSIS / "basin-study", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("basin-study -o study.h5", done.stdout)


if __name__ == "__main__":
    unittest.main()
