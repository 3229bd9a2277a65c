"""What all tools have in common: help, versions, configuration, errors, and files that appear whole or not at all."""

import os
import platform
import re
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np
from support import BIN, REVIEWS, ToolTest, many_runs, random_problem, run, write_problem

TOOLS = {"basin-evaluate": [], "basin-stationary": ["--starts", 2], "basin-ntk": [], "basin-hessian": ["--largest", 1], "basin-slice": ["--x", "0:1:2", "--y", "0:1:2"]}


class Help(ToolTest):
    def test_help_and_version(self):
        for command in (*([t] for t in TOOLS), ["basin-problem"], *(["basin-problem", k] for k in ("teacher", "text", "import")),
                        ["basin-sweep"], *(["basin-sweep", k] for k in ("teacher", "text", "merge")), ["basin-stationary", "merge"]):
            process = run(*command, "--help")
            self.assertEqual((process.returncode, process.stderr), (0, ""), command)
            for part in ("Usage: " + command[0], "Example:\n  basin-"):
                self.assertIn(part, process.stdout)
            process = run(*command, "--version")
            self.assertRegex(process.stdout, "^" + command[0] + r"( \w+)? \d+\.\d+\.\d+")

    @many_runs
    def test_examples_in_the_help_run(self):
        for command in (*([t] for t in TOOLS), ["basin-problem"], ["basin-problem", "teacher"], ["basin-sweep"], ["basin-sweep", "teacher"]):
            example = run(*command, "--help").stdout.split("Example:\n")[1].split("\nExit codes")[0]
            for line in example.strip().splitlines():
                words = line.split()
                self.done(words[0], *words[1:], "--overwrite")

    def test_every_option_is_described(self):
        for tool in TOOLS:
            for line in run(tool, "--help").stdout.splitlines():
                if match := re.match(r"  (?:-\w \[ )?--[\w-]+", line):
                    self.assertGreater(len(line), match.end() + 3, line)


class CommonOptions(ToolTest):
    def setUp(self):
        super().setUp()
        self.problem_path, _ = self.problem()

    def test_provenance(self):
        self.done("basin-evaluate", self.problem_path, "-o", "r.h5", "--seed", 18446744073709551615, "--threads", 2, "--train", "W_K,W_Q")
        with h5py.File(self.path("r.h5")) as file:
            self.assertEqual((file.attrs["basin_file"], file.attrs["basin_format"]), ("result", "1.0"))
            self.assertEqual(file.attrs["basin_tool"], "basin-evaluate")
            p = file["entry/provenance"]
            text = {k: v.asstr()[()] for k, v in p.items() if isinstance(v, h5py.Dataset) and v.dtype == object}
            self.assertEqual(text["command_line"], f"{BIN}/basin-evaluate {self.problem_path} -o r.h5 --seed 18446744073709551615 --threads 2 --train W_K,W_Q")
            self.assertEqual(text["input_file"], str(self.problem_path))
            sha = subprocess.run(["sha256sum", self.problem_path], capture_output=True, text=True).stdout.split()[0]
            self.assertEqual(text["input_sha256"], sha)
            self.assertRegex(text["start_time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertEqual(p["seed"][()], 18446744073709551615)
            self.assertEqual(p["threads"][()], 2)
            self.assertRegex(text["lapack"], r"\w+")
            self.assertGreater(p["duration"][()], 0)
            options = {k: v.asstr()[()] for k, v in p["options"].items()}
            self.assertEqual(options["train"], "W_Q,W_K")  # as resolved: in the model's order
            self.assertEqual(options["kernel"], "softmax")
            self.assertEqual(options["random"], "0")
            self.assertGreater(int(options["memory"]), 1e8)
            model = file["entry/model"]
            sizes = {k: int(model[k][()]) for k in ("N", "n", "D", "H", "d", "D_out", "P", "m")}
            self.assertEqual(sizes, {"N": 3, "n": 4, "D": 5, "H": 2, "d": 3, "D_out": 2, "P": 60, "m": 24})
            self.assertIn("loss f = ", file["entry/verdict"].asstr()[()])

    @unittest.skipUnless(platform.machine() == "x86_64", "names of its processors")
    def test_core_types_and_threads_of_the_environment(self):
        for core in ("Prescott", "Nehalem"):  # every processor with 64 bits can run them
            environment = {**os.environ, "OPENBLAS_CORETYPE": core, "OPENBLAS_NUM_THREADS": "7"}
            process = subprocess.run([BIN / "basin-hessian", self.problem_path, "-o", f"{core}.h5", "--full"], env=environment, cwd=self.folder, capture_output=True)
            self.assertEqual((process.returncode, process.stderr), (0, b""))
            with h5py.File(self.path(f"{core}.h5")) as file:
                library = file["entry/provenance/lapack"].asstr()[()]
            if "OpenBLAS" not in library:
                self.skipTest(f"{library} does not choose by processor")
            self.assertIn(f"({core})", library)

    def test_configuration_file(self):
        self.path("options.cfg").write_text("# a comment\ntrain = W_Q\nrandom = 2\n")
        self.done("basin-evaluate", self.problem_path, "-o", "r.h5", "--config", "options.cfg", "--random", 1)
        self.assertEqual(self.results("r.h5", "entry/evaluation/directions").shape, (1, 30))
        self.refused(2, ".: cannot be read: Is a directory", "basin-evaluate", self.problem_path, "-o", "q.h5", "--config", ".")
        self.path("options.cfg").write_text("trane = W_Q\n")
        self.refused(2, "options.cfg: unrecognised option 'trane'", "basin-evaluate", self.problem_path, "-o", "q.h5", "--config", "options.cfg")
        self.refused(2, "gone.cfg: cannot be read: No such file or directory", "basin-evaluate", self.problem_path, "-o", "q.h5", "--config", "gone.cfg")

    def test_configuration_files_of_other_systems(self):
        text = "random = 2\r\ntrain = W_Q\r\n"
        for encoding in ("utf-8-sig", "utf-16", "utf-32"):
            self.path("options.cfg").write_bytes(text.encode(encoding))
            self.done("basin-evaluate", self.problem_path, "-o", "r.h5", "--config", "options.cfg", "--overwrite")
            self.assertEqual(self.results("r.h5", "entry/evaluation/directions").shape, (2, 30))
        for content, message in ((text.encode("utf-16-le"), "options.cfg: found a zero byte at 1"), (b"", "options.cfg: the configuration file is empty")):
            self.path("options.cfg").write_bytes(content)
            self.refused(2, message, "basin-evaluate", self.problem_path, "-o", "q.h5", "--config", "options.cfg")

    @unittest.skipIf("BASIN_SANITIZED" in os.environ, "LLVM's OpenMP ends on such numbers before the tool begins")
    def test_threads_of_the_environment(self):
        for value in ("100000", "0", "-1", "4,x", "two", "1e3", "99999999999999999999"):
            process = run("basin-ntk", self.problem_path, "-o", "r.h5", cwd=self.folder, env={**os.environ, "OMP_NUM_THREADS": value})
            self.assertEqual(process.returncode, 2, value)
            own = [line for line in process.stderr.splitlines() if line and not line.startswith("libgomp:")]  # which complains itself
            self.assertEqual(own, [f"basin-ntk: OMP_NUM_THREADS={value}: expected 1 to 4096"])
        for number, (value, limit, threads) in enumerate((("3", None, 3), (" 4 , 2 ", None, 4), ("4,2", "2", 2), ("", "1", 1))):
            environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")} | ({"OMP_THREAD_LIMIT": limit} if limit else {}) | {"OMP_NUM_THREADS": value}
            process = run("basin-evaluate", self.problem_path, "-o", f"{number}.h5", "-q", cwd=self.folder, env=environment)
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertEqual(self.results(f"{number}.h5", "entry/provenance/threads"), threads)
        process = run("basin-evaluate", self.problem_path, "-o", "t.h5", "-q", "--threads", 2, cwd=self.folder, env={**os.environ, "OMP_NUM_THREADS": "100000"})
        self.assertEqual((process.returncode, self.results("t.h5", "entry/provenance/threads")), (0, 2))

    def test_numbers_that_are_none(self):
        for line, message in ((["basin-hessian", "--largest", 1, "--tolerance", "nan"], "--tolerance nan: expected a finite number"),
                              (["basin-hessian", "--counts", "--count-tolerance", "inf"], "--count-tolerance inf: expected a finite number"),
                              (["basin-train", "--beta1", "-inf", "--method", "adam"], "--beta1 -inf: expected a finite number"),
                              (["basin-train", "--step", "nan"], "--step nan: expected a positive number"),
                              (["basin-train", "--step", "0.1x"], "--step 0.1x: expected a positive number"),
                              (["basin-slice", "--x", "0:1e999:3"], "--x 0:1e999:3: expected MIN:MAX:COUNT"),
                              (["basin-slice", "--x", "0:1:3:4"], "--x 0:1:3:4: expected MIN:MAX:COUNT"),
                              (["basin-slice", "--x", "0:1:3 "], "--x 0:1:3 : expected MIN:MAX:COUNT"),
                              (["basin-slice", "--u", "random:99999999999999999999"], "found '99999999999999999999'; expected a number from 1"),
                              (["basin-slice", "--quantities", ""], "--quantities : found ''; expected some of loss,"),
                              (["basin-slice", "--quantities", "loss,"], "--quantities loss,: found ''; expected some of loss,"),
                              *((["basin-slice", "--part", part], f"--part {part}: expected i/k") for part in ("1/999999999999999999999", "1/2/3", "1/2x", "0/2", "3/2", "1", "", "/")),
                              (["basin-evaluate", "--train", "W_Q,"], "unknown parameter block ''"),
                              (["basin-evaluate", "--init", "xavier", "--gain", "W_Q=nan"], "--gain W_Q=nan: expected BLOCK=NUMBER"),
                              (["basin-evaluate", "--init", "xavier", "--gain", "W_Q=1=2"], "--gain W_Q=1=2: expected BLOCK=NUMBER"),
                              (["basin-evaluate", "--memory", "nan"], "--memory nan: expected a size"),
                              (["basin-evaluate", "--memory", "2GB"], "--memory 2GB: expected a size"),
                              (["basin-evaluate", "--memory", "M"], "--memory M: expected a size"),
                              (["basin-ntk", "--assert", ""], "--assert : found ''; expected certified or positive-definite"),
                              (["basin-ntk", "\u2013\u2013quiet"], "begins with a typographic dash; expected '-' for an option")):
            self.refused(2, message, line[0], self.problem_path, "-o", "r.h5", *line[1:])
        self.refused(2, "found the range '1:2:nan'", "basin-sweep", "teacher", "-o", "r.h5", "--sweep", "D=1:2:nan")
        self.no_leftovers("problem.h5")

    def test_sizes_that_no_memory_holds(self):
        huge = 10**13
        for tool, *line, message in (("basin-problem", "teacher", "-D", huge, "--samples 16, --tokens 8, --embedding 10000000000000, --outputs 8: the data, twice, would take 20.5 PB of memory, and "),
                                     ("basin-problem", "teacher", "-N", 2**62, "-n", 2**62, "-D", 2**62, "--samples 4611686018427387904, "),  # products beyond 64 bits
                                     ("basin-problem", "teacher", "-H", huge, "--heads 10000000000000, --head-dim 8: drawing the weights would take "),
                                     ("basin-problem", "teacher", "--target-head-dim", huge, "--heads 2, --target-head-dim 10000000000000: drawing the weights would take "),
                                     ("basin-problem", "teacher", "--targets", "random", "-d", huge, "--heads 2, --head-dim 10000000000000: drawing the weights would take "),
                                     ("basin-problem", "text", REVIEWS, "-N", 2, "-n", 4, "-D", huge, "--samples 2, --tokens 4, --embedding 10000000000000: the data, "),
                                     ("basin-sweep", "teacher", "--sweep", f"D=2,{huge}", "at D = 10000000000000: --samples 16, "),
                                     ("basin-evaluate", self.problem_path, "--random", huge, "--random 10000000000000: the vectors and their products would take 3"),
                                     ("basin-evaluate", self.problem_path, "--random", 2**62, "--random 4611686018427387904: the vectors and their products would take "),
                                     ("basin-ntk", self.problem_path, "--init", "xavier", "--heads", huge, "--heads 10000000000000, --head-dim 3: drawing the weights would take "),
                                     ("basin-stationary", self.problem_path, "--starts", 10**7, "--memory", "100M", "the rows of the catalogue need "),
                                     ("basin-train", self.problem_path, "--steps", 10**9, "--record-every", 1, "--memory", "1G", "--record-every 1: the records need 512 GB, --memory allows 1 GB")):
            self.refused(2, message, tool, *line, "-o", "r.h5")
        self.no_leftovers("problem.h5")

    @unittest.skipIf("BASIN_SANITIZED" in os.environ, "the sanitizers need terabytes of addresses")
    def test_memory_under_a_limit(self):
        def limited(tool, *args):
            line = ["sh", "-c", 'ulimit -v 500000; exec "$@"', "sh", BIN / tool, *args]
            return subprocess.run(list(map(str, line)), cwd=self.folder, capture_output=True, text=True)
        process = limited("basin-evaluate", self.problem_path, "-o", "r.h5", "--threads", 1)
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEqual(self.results("r.h5", "entry/provenance/options/memory"), b"256000000")
        process = limited("basin-problem", "teacher", "-o", "p.h5", "-N", 30, "-n", 1000, "-D", 1500, "--outputs", 1)
        self.assertEqual(process.returncode, 2)
        self.assertIn("--embedding 1500, --outputs 1: the data, twice, would take 720 MB of memory, and 512 MB are there", process.stderr)
        process = limited("basin-problem", "teacher", "-o", "p.h5", "-N", 30, "-n", 1000, "-D", 1000, "--outputs", 1)  # fits beside nothing else
        self.assertEqual((process.returncode, process.stderr), (1, "basin-problem: out of memory, of which there are 512 MB\n"))

    def test_a_tolerance_beyond_the_matrix(self):
        self.done("basin-hessian", self.problem_path, "-o", "r.h5", "--counts", "--count-tolerance", 1e308)
        with h5py.File(self.path("r.h5")) as file:
            counts = {name: file["entry/counts"][name][()] for name in ("size", "symmetry", "negative", "zero", "positive")}
        self.assertEqual(counts["negative"].tolist(), [0, 0])
        self.assertEqual(counts["positive"].tolist(), [0, 0])
        self.assertEqual((counts["zero"] + counts["symmetry"]).tolist(), counts["size"].tolist())

    def test_strings_are_utf8(self):
        name = os.fsdecode(b"\xe9\n.h5")  # in Latin-1, on two lines
        shutil.copy(self.problem_path, self.path(name))
        self.done("basin-evaluate", name, "-o", "r.h5")
        with h5py.File(self.path("r.h5")) as file:
            def check(_, item):
                if isinstance(item, h5py.Dataset) and h5py.check_string_dtype(item.dtype):
                    item.asstr()[()]  # it decodes
            file.visititems(check)
            provenance = file["entry/provenance"]
            self.assertEqual(provenance["input_file"].asstr()[()], "\\xe9\n.h5")
            line = provenance["command_line"].asstr()[()]
        self.assertIn(r" $'\xe9\n.h5' -o r.h5", line)
        shown = subprocess.run(["bash", "-c", "printf '%s' " + line.split()[1]], capture_output=True).stdout
        self.assertEqual(shown, os.fsencode(name))  # bash reads it so
        self.refused(2, r"\xe9\n.h5x: no such file", "basin-evaluate", name + "x", "-o", "q.h5")

    def test_quiet_and_verbose(self):
        process = run("basin-ntk", self.problem_path, "-o", "q.h5", "--quiet", cwd=self.folder)
        self.assertEqual((process.stdout, process.stderr), ("", ""))
        process = run("basin-ntk", self.problem_path, "-o", "v.h5", "--verbose", cwd=self.folder)
        self.assertIn("--train W_Q,W_K,W_V,W_O", process.stderr)
        process = run("basin-ntk", self.problem_path, "-o", "w.h5", "--verbose", "--train", "W_*", "--init", "xavier", cwd=self.folder)
        self.assertIn("--train W_Q,W_K,W_V,W_O", process.stderr)  # what it came to
        with h5py.File(self.path("q.h5")) as file:  # quiet on the terminal, not in the file
            self.assertIn("NTK of the trained blocks", file["entry/verdict"].asstr()[()])

    def test_wrong_options(self):
        for tool, args in TOOLS.items():
            for extra, message in ((["--trane", "W_Q"], "unrecognised option '--trane'"), (["--train", "W_Q,W_X"], "unknown parameter block 'W_X'"),
                                   (["--train", ""], "found no name"), (["--train", "W_Q,W_Q"], "'W_Q' is named twice"),
                                   (["--kernel", "relu"], "unknown kernel 'relu'; expected softmax or gaussian"),
                                   (["--bandwidth", 1], "--bandwidth: the softmax kernel has none"),
                                   (["--kernel", "gaussian", "--bandwidth", 0], "--bandwidth 0: expected a positive number"),
                                   (["--threads", -1], "--threads -1"), (["--threads", "two"], "two"), (["--seed", "-1"], "--seed"),
                                   *([] if tool == "basin-slice" else [(["--memory", "much"], "--memory much: expected a size")]),
                                   (["--seed", "x"], "--seed"), (["--heads", 3], "--heads: "), (["another.h5"], "too many positional options")):
                self.refused(2, message, tool, self.problem_path, "-o", "r.h5", *args, *extra)
            self.refused(2, "no output file: give -o FILE", tool, self.problem_path, *args)
            self.refused(2, "--problem", tool, "-o", "r.h5", *args)
        self.no_leftovers("problem.h5")


class Inputs(ToolTest):
    def edited(self, edit):
        write_problem(self.path("p.h5"), random_problem())
        with h5py.File(self.path("p.h5"), "a") as file:
            edit(file)

    def test_bad_problem_files(self):
        def replace(name, values):
            def edit(file):
                del file[name]
                if values is not None:
                    file[name] = values

            return edit

        X = random_problem()["X"]
        broken = X.copy()
        broken[1, 2, 3] = np.inf
        for edit, message in (
            (replace("data/X", None), "p.h5: /data/X: dataset is missing; /data has Y"),
            (lambda file: file.move("data/X", "data/x"), "p.h5: /data/X: dataset is missing; /data has Y, x"),
            (replace("data", None), "p.h5: /data/X: dataset is missing; /data is missing or empty"),
            (replace("data/X", X[0]), "p.h5: /data/X: found rank 2, shape (4, 5); expected rank 3"),
            (replace("data/X", X[:, :3]), "p.h5: /data/Y: found shape (3, 4, 2); expected (3, 3, D_out)"),
            (replace("data/X", X[:, :, :4]), "p.h5: /parameters/W_Q: found shape (2, 5, 3); expected (2, 4, 3)"),
            (replace("data/X", broken), "p.h5: /data/X: found infinity at (1, 2, 3); expected finite numbers"),
            (replace("data/X", X * np.nan), "p.h5: /data/X: found NaN at (0, 0, 0)"),
            (replace("data/X", (100 * X).astype(int)), "p.h5: /data/X: found int64, expected float64 or float32"),
            (replace("data/X", X.astype(complex)), "p.h5: /data/X: found compound (or complex), expected float64"),
            (replace("data/X", h5py.Empty("f8")), "p.h5: /data/X: the dataset is empty"),
            (replace("parameters/W_V", None), "p.h5: /parameters/W_V: dataset is missing; /parameters has W_K, W_O, W_Q"),
            (lambda file: file["parameters"].attrs.modify("kernel", "relu"), "p.h5: /parameters: unknown kernel 'relu'; expected softmax or gaussian"),
            (lambda file: file["parameters"].attrs.create("kernel", 7), "p.h5: /parameters: attribute 'kernel': found int64, expected one string"),
            (lambda file: file["parameters"].attrs.modify("bandwidth", "wide"), "attribute 'bandwidth': found 'wide', expected a number"),
            (lambda file: file["parameters"].attrs.modify("bandwidth", -1.0), "attribute 'bandwidth': found -1.000000, expected a positive number"),
        ):
            self.edited(edit)
            self.refused(2, message, "basin-evaluate", "p.h5", "-o", "r.h5")
        self.no_leftovers("p.h5")

    def test_files_from_something_else(self):
        self.path("text.h5").write_text("hello")
        self.path("folder").mkdir()
        self.refused(2, "text.h5: not an HDF5 file", "basin-ntk", "text.h5", "-o", "r.h5")
        self.refused(2, "gone.h5: no such file", "basin-ntk", "gone.h5", "-o", "r.h5")
        self.refused(2, "folder: a folder", "basin-ntk", "folder", "-o", "r.h5")
        write_problem(self.path("p.h5"), random_problem())
        self.done("basin-ntk", "p.h5", "-o", "result.h5")
        self.refused(2, "result.h5: a Basin result file; expected a problem file", "basin-ntk", "result.h5", "-o", "r.h5")
        whole = self.path("p.h5").read_bytes()
        self.path("cut.h5").write_bytes(whole[: len(whole) // 2])
        self.refused(2, "cut.h5: ", "basin-ntk", "cut.h5", "-o", "r.h5")

    def test_weights_too_large_for_the_arithmetic(self):
        problem = random_problem()
        problem["weights"]["W_O"] *= 1e308
        problem["weights"]["W_V"] *= 1e200
        write_problem(self.path("p.h5"), problem)
        self.refused(1, "the output of sample 0, token 0 (counted from 0) is not finite", "basin-evaluate", "p.h5", "-o", "r.h5")
        self.no_leftovers("p.h5")


class Outputs(ToolTest):
    def setUp(self):
        super().setUp()
        self.problem_path, _ = self.problem()

    def test_places_that_cannot_be_written(self):
        for tool, args in TOOLS.items():
            self.path("r.h5").write_text("precious")
            self.refused(2, "r.h5: exists already; give another name or --overwrite", tool, self.problem_path, "-o", "r.h5", *args)
            self.refused(2, "gone/r.h5: there is no folder gone", tool, self.problem_path, "-o", "gone/r.h5", *args)
            self.refused(2, "/proc/r.h5: cannot be written", tool, self.problem_path, "-o", "/proc/r.h5", *args)
            self.assertEqual(self.path("r.h5").read_text(), "precious")
            self.done(tool, self.problem_path, "-o", "r.h5", "--overwrite", *args)
            self.assertTrue(h5py.is_hdf5(self.path("r.h5")))
        for tool, args in TOOLS.items():
            before = self.problem_path.read_bytes()
            self.refused(2, "./problem.h5: is read as --problem problem.h5; give another name", tool, "problem.h5", "-o", "./problem.h5", "--overwrite", *args)
            self.assertEqual(self.problem_path.read_bytes(), before)
        self.refused(2, "/dev/null: not a regular file", "basin-ntk", self.problem_path, "-o", "/dev/null", "--overwrite")
        self.path("folder").mkdir()
        self.refused(2, "folder: a folder; expected a file name", "basin-ntk", self.problem_path, "-o", "folder")
        self.no_leftovers("problem.h5", "r.h5", "folder")

    def test_a_disk_that_is_full(self):
        # A limit on the size of files fails writes just so; blocks of 512 bytes or 1 KiB.
        for tool, args in TOOLS.items():
            line = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", BIN / tool, self.problem_path, "-o", tool + ".h5", *args, "-q"]
            process = subprocess.run(list(map(str, line)), cwd=self.folder, capture_output=True, text=True)
            self.assertEqual(process.returncode, 1, process.stderr)
            self.assertEqual(len(process.stderr.splitlines()), 1, process.stderr)
            self.assertRegex(process.stderr, tool + r"\.h5(\.journal)?: ")
            self.assertIn("cannot be written", process.stderr)
        # of the one that has finished pieces
        self.no_leftovers("problem.h5", "basin-slice.h5.journal")

    def test_a_reader_who_has_gone(self):
        line = f"'{BIN}/basin-ntk' '{self.problem_path}' -o r.h5 2>errors | true; echo ${{PIPESTATUS[0]}}"
        process = subprocess.run(["bash", "-c", line], cwd=self.folder, capture_output=True, text=True)
        self.assertIn(process.stdout.strip(), ("0", "1"))  # 0 when the line fitted into the pipe before it closed
        self.assertFalse([p for p in self.folder.iterdir() if ".part-" in p.name])

    def test_an_interrupted_run_leaves_nothing(self):
        self.done("basin-problem", "teacher", "-o", "large.h5", "-D", 96)
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            process = subprocess.Popen([BIN / "basin-ntk", self.path("large.h5"), "-o", self.path("r.h5"), "--method", "dense"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for _ in range(500):
                if any(".part-" in p.name for p in self.folder.iterdir()):
                    break
                time.sleep(0.01)
            else:
                self.fail("the run did not start")
            time.sleep(0.1)
            process.send_signal(sig)
            self.assertEqual(process.communicate(timeout=60)[1], "basin-ntk: interrupted; nothing was written\n")
            self.assertEqual(process.returncode, -sig)
            self.no_leftovers("problem.h5", "large.h5")

    def test_the_tools_run_from_anywhere(self):
        shutil.copy(self.problem_path, self.path("with space.h5"))
        self.done("basin-evaluate", "with space.h5", "-o", "out put.h5")
        self.assertIn("'with space.h5' -o 'out put.h5'", self.results("out put.h5", "entry/provenance/command_line").decode())


if __name__ == "__main__":
    unittest.main()
