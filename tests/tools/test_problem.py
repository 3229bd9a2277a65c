"""basin-problem: what it writes is what was asked for, and is read by the other tools."""

import codecs
import hashlib
import itertools
import json
import os
import unittest

import h5py
import numpy as np
from support import BLOCKS, ORACLES, REVIEWS, ToolTest, random_problem

DATA = REVIEWS.parent
IMDB = ORACLES.parent / "data/imdb/train"


class Teacher(ToolTest):
    def make(self, name, *args):
        self.done("basin-problem", "teacher", "-o", name, *args)
        with h5py.File(self.path(name)) as file:
            found = {"X": file["data/X"][()], "Y": file["data/Y"][()]}
            for group in ("parameters", "teacher"):
                if group in file:
                    found[group] = {b: file[group][b][()] for b in BLOCKS if b in file[group]}
                    found[group + " attributes"] = dict(file[group].attrs)
        return found

    def test_constructions_are_stationary(self):
        for name, blocks, f in (("softmax-trap", "W_Q", 0.5), ("gaussian-trap", "W_Q", 0.2493259), ("softmax-saddle", "W_Q,W_K", 0.09375), ("zero-scores", "W_Q,W_K", None)):
            out = self.done("basin-problem", "construct", name, "-o", name + ".h5")
            self.assertTrue(out.startswith(f"{name}, in {blocks}: "), out)
            self.done("basin-evaluate", name + ".h5", "-o", "e.h5", "--overwrite", "--train", blocks)
            with h5py.File(self.path("e.h5")) as file:
                evaluation = file["entry/evaluation"]
                self.assertLessEqual(np.linalg.norm(evaluation["gradient"][()]), 1e-14)
                if f:
                    self.assertAlmostEqual(evaluation["loss"][()], f, 7)
        self.done("basin-problem", "construct", "zero-scores", "-o", "g.h5", "--kernel", "gaussian")
        with h5py.File(self.path("g.h5")) as file:
            self.assertEqual(file["parameters"].attrs["kernel"], "gaussian")
        self.refused(2, "unknown construction 'trap'; expected one of softmax-trap, gaussian-trap,", "basin-problem", "construct", "trap", "-o", "x.h5")
        self.refused(2, "no construction given; expected one of", "basin-problem", "construct", "-o", "x.h5")

    def test_sizes_kernels_and_scales(self):
        sizes = ["-N", 5, "-n", 3, "-D", 7, "--outputs", 2, "-H", 3, "-d", 4]
        p = self.make("a.h5", *sizes, "--kernel", "gaussian", "--bandwidth", 1.5, "--target-kernel", "softmax",
                      "--target-heads", 1, "--target-head-dim", 6)
        self.assertEqual(p["X"].shape, (5, 3, 7))
        self.assertEqual(p["Y"].shape, (5, 3, 2))
        self.assertEqual(p["parameters"]["W_Q"].shape, (3, 7, 4))
        self.assertEqual(p["parameters"]["W_O"].shape, (3, 4, 2))
        self.assertEqual(p["teacher"]["W_O"].shape, (1, 6, 2))
        self.assertEqual(p["parameters attributes"], {"kernel": "gaussian", "bandwidth": 1.5})
        self.assertEqual(p["teacher attributes"], {"kernel": "softmax"})
        same = self.make("b.h5", *sizes, "--kernel", "gaussian", "--bandwidth", 1.5)
        self.assertEqual(same["teacher attributes"], {"kernel": "gaussian", "bandwidth": 1.5})
        scaled = self.make("c.h5", *sizes, "--input-scale", 3, "--targets", "random", "--target-scale", 0.1)
        self.assertTrue(np.allclose(scaled["X"], 3 * p["X"], rtol=1e-15))
        self.assertNotIn("teacher", scaled)
        gained = self.make("d.h5", *sizes, "--gain", "W_O=2", "--gain", "W_V=0.5", "--init", "xavier")
        plain = self.make("e.h5", *sizes, "--init", "xavier")
        for block, gain in (("W_Q", 1), ("W_K", 1), ("W_V", 0.5), ("W_O", 2)):
            self.assertTrue(np.allclose(gained["parameters"][block], gain * plain["parameters"][block], rtol=1e-15))

    def test_loss_is_zero_at_the_teacher(self):
        for kernel in ("softmax", "gaussian"):
            self.done("basin-problem", "teacher", "-o", "p.h5", "--overwrite", "--target-kernel", kernel, "--noise", 0)
            with h5py.File(self.path("p.h5"), "a") as file:
                del file["parameters"]
                file.move("teacher", "parameters")
            self.assertTrue(self.done("basin-evaluate", "p.h5", "-o", "r.h5", "--overwrite").startswith("loss f = 0 +- "))

    def test_seeds_are_independent(self):
        a = self.make("a.h5", "--seed", 1)
        for name, changed in (("--data-seed", "X"), ("--init-seed", "parameters"), ("--target-seed", "teacher")):
            b = self.make("b.h5", "--overwrite", "--seed", 1, name, 2)
            for part in ("X", "parameters", "teacher"):
                equal = (np.array_equal(a[part], b[part]) if part == "X"
                         else all(np.array_equal(a[part][k], b[part][k]) for k in BLOCKS))
                self.assertEqual(equal, part != changed, (name, part))
        self.assertFalse(np.allclose(a["parameters"]["W_Q"], a["teacher"]["W_Q"]))

    def test_problems_without_weights(self):
        p = self.make("a.h5", "--no-weights", "--kernel", "gaussian")
        self.assertEqual(p["parameters"], {})
        self.assertEqual(self.make("b.h5", "--no-weights", "-H", 3)["teacher"]["W_Q"].shape[0], 3)
        self.done("basin-evaluate", "a.h5", "-o", "r.h5", "--heads", 1, "--head-dim", 2)
        with h5py.File(self.path("r.h5")) as file:
            self.assertEqual(file["entry/model/kernel"].asstr()[()], "gaussian")

    def test_bad_options(self):
        for args, message in ((["-N", 0], "samples N = 0"), (["-d", 0], "head dimension d = 0; expected at least 1"), (["--targets", "file"], "--targets file"),
                              (["--kernel", "relu"], "unknown kernel 'relu'; expected softmax or gaussian"),
                              (["--bandwidth", 1], "--bandwidth: the softmax kernel has none"),
                              (["--kernel", "gaussian", "--bandwidth", -1], "--bandwidth -1: expected a positive number"),
                              (["--init", "ones"], "unknown initialisation 'ones'"), (["--gain", "W_O"], "--gain W_O: expected BLOCK=NUMBER"),
                              (["--gain", "W_X=1"], "unknown parameter block 'W_X'"), (["--noise", -1], "scale -1"),
                              (["--gain", "W_O=1", "--gain", "W_O=2"], "each block once"),
                              (["--targets", "random", "--target-heads", 1], "--target-heads: without effect under --targets random"),
                              (["-N", 2**32, "-n", 2**32, "--targets", "random"], "--samples 4294967296, --tokens 4294967296, --embedding 32, --outputs 8: the data, twice, would take "), (["--seed", -1], "--seed"),
                              (["--no-weights", "--targets", "random", "-H", 4], "--heads: without effect under --no-weights"),
                              (["--no-weights", "--gain", "W_O=1"], "--gain: without effect under --no-weights")):
            self.refused(2, message, "basin-problem", "teacher", "-o", "p.h5", *args)
        self.refused(2, "unknown kind of problem 'student'; expected teacher, text, pathfinder, import, construct, architecture, checkpoint or export", "basin-problem", "student")
        self.refused(2, "no kind of problem given", "basin-problem")
        self.no_leftovers()


class Text(ToolTest):
    def test_reviews_of_the_project(self):
        out = self.done("basin-problem", "text", REVIEWS, "-o", "p.h5", "-N", 4, "-n", 6, "-D", 16)
        self.assertIn("1 reviews skipped as shorter than n = 6 words", out)
        with h5py.File(self.path("p.h5")) as file:
            self.assertEqual(file["data/X"].shape, (4, 6, 16))
            self.assertEqual(file["data/Y"][:, :, 0].tolist(), [[s] * 6 for s in (1, -1, 1, -1)])
            named, checksum = (file["provenance"][name].asstr()[()] for name in ("input_file", "input_sha256"))
            words = file["data/tokens"].asstr()[()]
            X = file["data/X"][()]
            for i, k, j, l in itertools.product(range(4), range(6), range(4), range(6)):
                if k == l and (i, k) != (j, l):
                    self.assertEqual(words[i, k] == words[j, l], np.allclose(X[i, k], X[j, l]))
        self.assertEqual(named, str(REVIEWS))
        lines = "".join(f"{hashlib.sha256(review.read_bytes()).hexdigest()}  {review.relative_to(REVIEWS)}\n"
                        for label in ("pos", "neg") for review in sorted((REVIEWS / label).glob("*.txt")))
        self.assertEqual(checksum, hashlib.sha256(lines.encode()).hexdigest())  # sha256sum pos/*.txt neg/*.txt | sha256sum
        self.done("basin-ntk", "p.h5", "-o", "r.h5", "--kernel", "gaussian")

    def reviews(self, **texts):
        """A folder with one review of each class, or what is given."""
        for label in ("pos", "neg"):
            self.path(f"r/{label}").mkdir(parents=True, exist_ok=True)
            self.path(f"r/{label}/1.txt").write_bytes(texts.get(label, b"a good film"))
        return self.path("r")

    def words(self, folder, n, *args):
        self.done("basin-problem", "text", folder, "-o", "p.h5", "--overwrite", "-N", 0, "-n", n, "-D", 4, *args)
        with h5py.File(self.path("p.h5")) as file:
            return file["data/tokens"].asstr()[()].tolist()

    def test_encodings(self):
        text = "don\u2019t\u00a0go \U0001f600"
        for encoded in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), codecs.BOM_UTF16_BE + text.encode("utf-16-be"), text.encode("utf-32"),
                        text[:-1].encode() + b"\xed\xa0\xbd\xed\xb8\x80"):  # the last: CESU-8
            self.assertEqual(self.words(self.reviews(pos=encoded), 3)[0], ["don't", "go", "\U0001f600"], encoded)
        out = self.done("basin-problem", "text", self.reviews(pos="caf\u00e9 \u2013 noir \u20ac".encode("cp1252")), "-o", "q.h5", "-N", 0, "-n", 2)
        self.assertIn("1 texts are not UTF-8 and are taken for Windows-1252, the first: ", out)
        with h5py.File(self.path("q.h5")) as file:
            self.assertEqual(file["data/tokens"].asstr()[0].tolist(), ["caf\u00e9", "noir"])
        self.refused(2, "pos/1.txt: found a zero byte at 1", "basin-problem", "text", self.reviews(pos=text.encode("utf-16-le")), "-o", "x.h5", "-n", 2)
        self.assertEqual(self.done("basin-sweep", "text", self.reviews(), "-o", "s.h5", "--sweep", "n=2,3", "--repeats", 1, "-N", 2, "-D", 4, "-q"), "")

    def test_reviews_that_are_not_there(self):
        folder = self.reviews()
        self.path("r/neg/2.txt").symlink_to("store/annexed-away")
        for line in (["basin-problem", "text", folder], ["basin-sweep", "text", folder, "--sweep", "n=2"]):
            self.refused(2, "neg/2.txt: a link to store/annexed-away, which is not there; expected a review", *line, "-o", "x.h5")
        self.path("r/neg/2.txt").unlink()
        os.mkfifo(self.path("r/neg/2.txt"))
        self.refused(2, "neg/2.txt: a pipe; expected a review", "basin-problem", "text", folder, "-o", "x.h5", timeout=20)
        self.path("r/neg/2.txt").unlink()
        if os.geteuid() != 0:
            self.path("r/neg").chmod(0)
            self.refused(2, "neg: cannot be read: Permission denied", "basin-problem", "text", folder, "-o", "x.h5")
            self.path("r/neg").chmod(0o755)

    def test_bad_folders(self):
        self.refused(2, "nowhere: no such folder", "basin-problem", "text", "nowhere", "-o", "p.h5")
        self.path("empty/pos").mkdir(parents=True)
        self.path("empty/neg").mkdir()
        self.refused(2, "empty/pos: no .txt file", "basin-problem", "text", "empty", "-o", "p.h5")
        self.refused(2, "expected N = 1000", "basin-problem", "text", REVIEWS, "-o", "p.h5", "-N", 1000)
        self.refused(2, "--folder", "basin-problem", "text", "-o", "p.h5")
        self.no_leftovers("empty")

    @unittest.skipUnless(IMDB.is_dir(), "the movie reviews are not here")
    def test_movie_reviews(self):
        out = self.done("basin-problem", "text", IMDB, "-o", "p.h5", "-N", 0, "-n", 60, "-D", 8)
        with h5py.File(self.path("p.h5")) as file:
            used = file["data/X"].shape[0]
            sources = file["data/sources"].asstr()[()]
        self.assertIn(f"{1200 - used} reviews skipped", out)
        self.assertEqual(len(set(sources)), used)
        long = sum(len((IMDB / s).read_text().split()) >= 60 for s in sources)
        self.assertGreater(long, 0.95 * used)


class Tasks(ToolTest):
    """Text as bytes, and Pathfinder: what the network sees, what is held out."""

    def test_bytes(self):
        out = self.done("basin-problem", "text", REVIEWS, "--bytes", "--network", DATA / "classifier.json", "--set", "tokens=40", "-N", 6,
                        "--held-out", REVIEWS, "-o", "b.h5")
        self.assertIn("6 reviews", out)
        self.assertIn("8 held out", out)
        with h5py.File(self.path("b.h5")) as file:
            sources = file["data/sources"].asstr()[()]
            for source, ids, mask, label in zip(sources, file["data/tokens"][()], file["data/mask"][()], file["data/labels"][()]):
                text = (REVIEWS / source).read_bytes()[:40]
                self.assertEqual(ids.tolist(), [b + 1 for b in text] + [0] * (40 - len(text)))
                self.assertEqual(mask.tolist(), [1] * len(text) + [0] * (40 - len(text)))
                self.assertEqual(label, source.startswith("pos"))
            self.assertEqual(file["held_out/tokens"].shape, (8, 40))
            np.testing.assert_array_equal(file["held_out/tokens"][:6], file["data/tokens"][()])
        self.done("basin-train", "b.h5", "-o", "r.h5", "--steps", 1, "--final", "end.h5")  # hands it on
        self.done("basin-evaluate", "end.h5", "-o", "e.h5")
        with h5py.File(self.path("b.h5")) as before, h5py.File(self.path("end.h5")) as after:
            for name in ("tokens", "mask", "labels"):
                np.testing.assert_array_equal(before["held_out"][name][()], after["held_out"][name][()])

    def test_pathfinder(self):
        for size, inputs in ((16, {"type": "tokens", "vocabulary": 256}), (20, {"type": "vectors", "width": 1}),
                             (16, {"type": "images", "channels": 1, "height": 16, "width": 16})):
            layers = [{"type": "embedding", "width": 4}] if inputs["type"] == "tokens" else (
                [{"type": "patches", "size": 4}] if inputs["type"] == "images" else [])
            if inputs["type"] != "images":
                inputs["tokens"] = size * size
            self.path("net.json").write_text(json.dumps({"inputs": inputs, "layers": [*layers, {"type": "pool"}, {"type": "linear", "outputs": 2}],
                                                         "loss": {"type": "cross-entropy"}}))
            self.done("basin-problem", "pathfinder", "net.json", "-N", 10, "--held-out", 4, "-o", "p.h5", "--overwrite", "--seed", 3)
            with h5py.File(self.path("p.h5")) as file:
                name = {"tokens": "tokens", "vectors": "X", "images": "images"}[inputs["type"]]
                greys = file["data"][name][()].reshape(10, size, size)
                self.assertEqual(file["data/labels"][()].ravel().tolist(), [0, 1] * 5)
                self.assertEqual(file["held_out/labels"][()].ravel().tolist(), [0, 1] * 2)
                self.assertEqual(file["data"].attrs["picture"], size)
                self.assertEqual((greys.min(), greys.max()), (0, 255 if name == "tokens" else 1))
                self.assertEqual(len(np.unique(greys.reshape(10, -1), axis=0)), 10)
            self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite")
        self.done("basin-problem", "pathfinder", "net.json", "-N", 4, "-o", "q.h5", "--seed", 3)  # the same ones, fewer
        with h5py.File(self.path("p.h5")) as more, h5py.File(self.path("q.h5")) as fewer:
            np.testing.assert_array_equal(more["data/images"][:4], fewer["data/images"][()])

    def test_what_is_held_out_is_reported(self):
        """basin-evaluate and basin-train against basin-evaluate of the held-out data alone."""
        self.done("basin-problem", "text", REVIEWS, "--bytes", "--network", DATA / "classifier.json", "--set", "tokens=24", "--set", "width=8",
                  "-N", 4, "--held-out", REVIEWS, "-o", "b.h5", "--init", "pytorch")

        def alone(name):
            """Loss and accuracy on the held-out data of a problem, in the place of its own."""
            with h5py.File(self.path(name)) as whole, h5py.File(self.path("alone.h5"), "w") as file:
                for part in ("model", "parameters"):
                    whole.copy(part, file)
                whole.copy("held_out", file, "data")
            self.done("basin-evaluate", "alone.h5", "-o", "a.h5", "--overwrite")
            with h5py.File(self.path("a.h5")) as file:
                return file["entry/evaluation/loss"][()], file["entry/evaluation/accuracy"][()]

        said = self.done("basin-evaluate", "b.h5", "-o", "e.h5")
        loss, accuracy = alone("b.h5")
        self.assertIn("on the 8 samples held out: loss ", said)
        with h5py.File(self.path("e.h5")) as file:
            self.assertEqual((file["entry/evaluation/held_out_loss"][()], file["entry/evaluation/held_out_accuracy"][()]), (loss, accuracy))
        said = self.done("basin-train", "b.h5", "-o", "r.h5", "--method", "adam", "--step", 0.01, "--steps", 7, "--record-every", 2, "--final", "end.h5")
        self.assertIn("on the 8 samples held out: loss ", said)
        with h5py.File(self.path("r.h5")) as file:
            run = {name: file["entry/run"][name][()] for name in ("step", "loss", "held_out_loss", "held_out_accuracy")}
        self.assertEqual(run["step"].tolist(), [0, 2, 4, 6, 7])
        self.assertEqual((run["held_out_loss"][0], run["held_out_accuracy"][0]), (loss, accuracy))
        self.assertEqual((run["held_out_loss"][-1], run["held_out_accuracy"][-1]), alone("end.h5"))
        self.assertNotEqual(run["loss"][-1], run["held_out_loss"][-1])

    def test_refused(self):
        network = DATA / "classifier.json"
        for message, *args in (
                ("--bytes: expected --network", "text", REVIEWS, "--bytes"),
                ("--network: without effect without --bytes", "text", REVIEWS, "--network", network),
                ("--embedding", "text", REVIEWS, "--bytes", "--network", network, "-D", 3),
                ("no such folder", "text", "nowhere", "--bytes", "--network", network),
                ("found 8 reviews, expected N = 9", "text", REVIEWS, "--bytes", "--network", network, "-N", 9),
                ("found inputs that are no token ids", "text", REVIEWS, "--bytes", "--network", self.vectors()),
                ("its inputs are no pictures", "pathfinder", self.vectors()),
                ("expected 16 to 1024 pixels", "pathfinder", DATA / "pathfinder.json", "--set", "size=8"),
                ("--samples 0", "pathfinder", DATA / "pathfinder.json", "-N", 0)):
            with self.subTest(message):
                self.refused(2, message, "basin-problem", *args, "-o", "x.h5")
        self.refused(1, "find no room", "basin-problem", "pathfinder", DATA / "pathfinder.json", "--curves", 20, "-o", "x.h5")
        self.done("basin-problem", "pathfinder", DATA / "pathfinder.json", "-N", 2, "--held-out", 2, "-o", "p.h5")
        for change, message in ((("held_out/tokens", np.zeros((2, 255), int)), "/held_out/tokens: found"),
                                (("held_out/tokens", np.full((2, 256), 999)), "/held_out/tokens: token 999 at sample 0"),
                                (("held_out/label", np.zeros(2, int)), "/held_out: found a member 'label'")):
            with h5py.File(self.path("p.h5")) as whole, h5py.File(self.path("w.h5"), "w") as file:
                for name in whole:
                    whole.copy(name, file)
                if change[0] in file:
                    del file[change[0]]
                file[change[0]] = change[1]
            self.refused(2, message, "basin-evaluate", "w.h5", "-o", "x.h5")

    def vectors(self):
        self.path("vectors.json").write_text(json.dumps({"inputs": {"type": "vectors", "tokens": 3, "width": 2},
                                                         "layers": [{"type": "linear", "outputs": 2}]}))
        return "vectors.json"


class Import(ToolTest):
    def test_arrays_and_weights(self):
        problem = random_problem(kernel="gaussian", sigma=0.8)
        np.save(self.path("X.npy"), problem["X"])
        np.save(self.path("Y.npy"), np.asfortranarray(problem["Y"]))
        args = []
        for block, values in problem["weights"].items():
            np.save(self.path(block + ".npy"), values)
            args += ["--" + block, block + ".npy"]
        self.done("basin-problem", "import", "--X", "X.npy", "--Y", "Y.npy", *args, "--kernel", "gaussian", "--bandwidth", 0.8, "-o", "p.h5")
        with h5py.File(self.path("p.h5")) as file:
            self.assertTrue(np.array_equal(file["data/X"], problem["X"]))
            self.assertTrue(np.array_equal(file["data/Y"], problem["Y"]))
            for block, values in problem["weights"].items():
                self.assertTrue(np.array_equal(file["parameters"][block], values))
            self.assertEqual(dict(file["parameters"].attrs), {"kernel": "gaussian", "bandwidth": 0.8})
        self.done("basin-problem", "import", "--X", "X.npy", "--Y", "Y.npy", "-H", 4, "-d", 2, "-o", "q.h5")
        self.assertEqual(self.results("q.h5", "parameters/W_V").shape, (4, 5, 2))

    def test_headers_of_other_writers(self):
        problem = random_problem()
        np.save(self.path("Y.npy"), problem["Y"])
        X = problem["X"]
        for header, data in (("{'shape': (3, 4, 5), 'descr': '<f8', 'fortran_order': False}", X), ('{"descr": "f8", "fortran_order": False, "shape": (3, 4, 5)}', X),
                             ("{'descr': '<f8', 'fortran_order': True , 'shape' : (3L, 4L, 5L), }", X.T), ("{'descr': '>f8', 'fortran_order': False, 'shape': (3, 4, 5)}", X.astype(">f8"))):
            text = header.encode() + b" " * 5 + b"\n"
            self.path("X.npy").write_bytes(b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + np.ascontiguousarray(data).tobytes())
            if b"3L" not in text:  # numpy warns of these
                self.assertTrue(np.array_equal(np.load(self.path("X.npy")), X), header)
            self.done("basin-problem", "import", "--X", "X.npy", "--Y", "Y.npy", "-o", "p.h5", "--overwrite")
            self.assertTrue(np.array_equal(self.results("p.h5", "data/X"), X), header)

    def test_bad_arrays(self):
        problem = random_problem()
        for name, values in (("X", problem["X"]), ("Y", problem["Y"]), ("flat", problem["X"][0]), ("other", problem["Y"][:2]),
                             ("whole", problem["X"].astype(int)), ("nan", problem["X"] * np.nan), ("Q", np.zeros((2, 4, 3)))):
            np.save(self.path(name + ".npy"), values)

        def refused(message, X="X.npy", Y="Y.npy", *more):
            self.refused(2, message, "basin-problem", "import", "--X", X, "--Y", Y, "-o", "p.h5", *more)

        refused("flat.npy: found shape (4, 5); expected (N, n, D) for --X", "flat.npy")
        refused("other.npy: found shape (2, 4, 2); expected (N, n, D_out)", "X.npy", "other.npy")
        refused("whole.npy: found data of type '<i8', expected float64", "whole.npy")
        refused("nan.npy: found NaN or infinity", "nan.npy")
        refused("gone.npy: cannot be opened: No such file or directory", "gone.npy")
        refused("/: cannot be opened: not a regular file", "/")
        refused("Q.npy: found shape (2, 4, 3); expected (2, 5, 3)", "X.npy", "Y.npy", "--W_Q", "Q.npy")
        self.refused(2, "--X", "basin-problem", "import", "--Y", "Y.npy", "-o", "p.h5")
        self.assertFalse(self.path("p.h5").exists())


if __name__ == "__main__":
    unittest.main()
