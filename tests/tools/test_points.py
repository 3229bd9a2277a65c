"""--at: every tool at the weights of a problem, of a run, of a row of a dataset."""

import h5py
import numpy as np
from support import BLOCKS, ToolTest
from test_networks import LanguageModel, Net


class Points(ToolTest):
    def setUp(self):
        super().setUp()
        self.net = LanguageModel("rows", True)
        self.net.write(self.path("p.h5"))
        self.done("basin-train", "p.h5", "-o", "run.h5", "--method", "gd", "--step", 0.1, "--steps", 6, "--final", "end.h5")
        with h5py.File(self.path("run.h5")) as file:
            self.theta = file["trajectory/theta"][()]
            self.loss = file["entry/run/loss"][()]

    def loss_at(self, *options):
        self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite", *options)
        return float(self.results("e.h5", "entry/evaluation/loss"))

    def test_what_names_a_point(self):
        last = len(self.theta) - 1
        self.assertEqual(self.loss_at("--at", "end.h5"), self.loss[-1])
        self.assertEqual(self.loss_at("--at", "run.h5"), self.loss[-1])
        self.assertEqual(self.loss_at("--at", "run.h5:0"), self.loss[0])
        self.assertEqual(self.loss_at("--at", f"run.h5:/trajectory/theta:{last}"), self.loss[-1])
        with h5py.File(self.path("rows.h5"), "w") as file:
            file["w"] = self.theta[-1]
        self.assertEqual(self.loss_at("--at", "rows.h5:w"), self.loss[-1])
        with h5py.File(self.path("e.h5")) as file:
            self.assertRegex(file["entry/model/weights"].asstr()[()], r"^rows\.h5:w, checksum [0-9a-f]+$")
        for message, *options in ((f"--at run.h5:{last + 1}: row {last + 1}: expected 0 to {last}", "--at", f"run.h5:{last + 1}"),
                                  ("--at none.h5: no such file", "--at", "none.h5"),
                                  ("--at '': found nothing; expected FILE", "--at", ""),
                                  ("--at e.h5: found no weights; expected a problem, a checkpoint, a run, or FILE:DATASET", "--at", "e.h5"),
                                  ("end.h5: /data/labels: found int64", "--at", "end.h5:/data/labels"),
                                  ("--init: without effect with --at", "--at", "end.h5", "--init", "gaussian")):
            self.refused(2, message, "basin-evaluate", "p.h5", "-o", "x.h5", *options)

    def test_every_tool_has_the_numbers_of_a_problem_there(self):
        for tool, dataset, *options in (("basin-evaluate", "entry/evaluation/gradient"),
                                        ("basin-hessian", "entry/largest/eigenvalue", "--largest", 2, "--smallest", 1),
                                        ("basin-ntk", "entry/summary/lambda_max", "--kernels", "sum"),
                                        ("basin-slice", "train_loss", "--x", "-1:1:3", "--y", "-1:1:3", "--kernel", "gaussian"),
                                        ("basin-train", "entry/run/loss", "--steps", 2, "--kernel", "gaussian"),
                                        ("basin-stationary", "entry/starts/start_loss", "--starts", 0)):
            if tool == "basin-stationary":
                self.done(tool, "p.h5", "-o", "a.h5", "--overwrite", "--at", "run.h5:6", *options)
                self.done(tool, "p.h5", "-o", "b.h5", "--overwrite", "--at", "end.h5", *options)
            else:
                self.done(tool, "p.h5", "-o", "a.h5", "--overwrite", "--at", "run.h5", *options)
                self.done(tool, "end.h5", "-o", "b.h5", "--overwrite", *options)
            np.testing.assert_array_equal(self.results("a.h5", dataset), self.results("b.h5", dataset), err_msg=tool)

    def test_weights_of_another_kernel_are_said(self):
        self.done("basin-train", "p.h5", "-o", "g.h5", "--steps", 1, "--kernel", "gaussian", "--final", "gend.h5")
        for where in ("g.h5", "gend.h5", "g.h5:0"):
            out = self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite", "--at", where)
            self.assertRegex(out, "attention: softmax, .*its weights are from a network with other attention: gaussian, sigma = 1.316;")
            out = self.done("basin-evaluate", "p.h5", "-o", "e.h5", "--overwrite", "--at", where, "--kernel", "gaussian")
            self.assertRegex(out, "attention: gaussian, sigma = 1.316, ")
            self.assertNotIn("its weights", out)

    def test_runs_from_other_points_are_other_runs(self):
        self.done("basin-train", "p.h5", "-o", "on.h5", "--steps", 2, "--at", "run.h5:1")
        self.refused(2, "is the result of another run", "basin-train", "p.h5", "-o", "on.h5", "--steps", 2, "--at", "run.h5:2", "--resume")
        with h5py.File(self.path("run.h5"), "r+") as file:  # the same words, other weights
            file["trajectory/theta"][1] = file["trajectory/theta"][1] * 1.01
        self.refused(2, "is the result of another run", "basin-train", "p.h5", "-o", "on.h5", "--steps", 2, "--at", "run.h5:1", "--resume")

    def test_weights_of_other_models_are_refused(self):
        """Of as many numbers: heads of other sizes, in networks and in one layer."""
        for name, H, d in (("a", 2, 2), ("b", 1, 4)):
            Net(H=H, d=d).write(self.path(f"{name}.h5"))
            self.problem(name=f"one-{name}.h5", H=H, d=d)
            for problem in (name, "one-" + name):
                self.done("basin-train", f"{problem}.h5", "-o", f"{problem}-run.h5", "--steps", 1)
        for problem, at in (("a", "b"), ("one-a", "one-b"), ("a", "one-b"), ("one-a", "b")):
            for tool, *options in (("basin-evaluate", "--at", f"{at}-run.h5"), ("basin-ntk", "--at", f"{at}-run.h5:0"),
                                   ("basin-slice", "--u", f"to:{at}-run.h5", "--v", "none"),
                                   ("basin-stationary", "--at", f"{at}-run.h5:/trajectory/theta:1", "--starts", 0)):
                self.refused(2, "the weights are of another model: found ", tool, f"{problem}.h5", "-o", "x.h5", *options)
        (self.path("t.safetensors")).write_bytes((2).to_bytes(8, "little") + b"{}")
        self.refused(2, "--at t.safetensors:0: found '0' after t.safetensors; expected the file alone", "basin-evaluate", "a.h5", "-o", "x.h5",
                     "--at", "t.safetensors:0")

    def test_one_attention_layer(self):
        path, _ = self.problem()
        self.done("basin-train", path, "-o", "one.h5", "--steps", 3, "--overwrite")
        theta = self.results("one.h5", "trajectory/theta")
        self.done("basin-ntk", path, "-o", "k.h5", "--at", "one.h5", "--train", "W_O")
        with h5py.File(path, "r+") as file:
            start = 0
            for block in BLOCKS:
                data = file["parameters/" + block] if "parameters" in file else file["weights/" + block]
                data[...] = theta[-1][start : start + data.size].reshape(data.shape)
                start += data.size
        self.done("basin-ntk", path, "-o", "l.h5", "--train", "W_O")
        self.assertEqual(self.results("k.h5", "entry/summary/lambda_max")[-1], self.results("l.h5", "entry/summary/lambda_max")[-1])
