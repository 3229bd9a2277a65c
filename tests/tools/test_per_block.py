"""basin-hessian --per-block against the dense Hessian, block by block."""

import unittest

import h5py
import numpy as np
from support import ORACLES, ROOT, ToolTest

DEEP = ORACLES / "deep"


def table(path, group="entry/per_block"):
    """Name -> column of the table, without the spectra."""
    with h5py.File(path) as file:
        return {name: item[()] for name, item in file[group].items() if isinstance(item, h5py.Dataset)}


def names_of(rows):
    return [name.decode() for name in rows["block"]]


class PerBlock(ToolTest):
    def network(self, *options):
        self.done("basin-problem", "architecture", ROOT / "data/classifier.json", "-N", 5, "--set", "tokens=6", "--set", "width=4", "--set", "heads=2",
                  "--init", "pytorch", "-o", "p.h5", *options)

    def dense(self, P, *options):
        """H and G = J^T H_l J from basin-evaluate's products with the identity."""
        with h5py.File(self.path("identity.h5"), "w") as file:
            file["I"] = np.eye(P)
        self.done("basin-evaluate", "p.h5", "-o", "dense.h5", "--overwrite", "--direction", "identity.h5:/I", *options)
        return self.results("dense.h5", "entry/evaluation/hessian_products", "entry/evaluation/gauss_newton_products")

    def check_row(self, rows, row, block, slack):
        """A row against the dense block; slack: the rounding of the reference."""
        values = np.linalg.eigvalsh((block + block.T) / 2)
        name = names_of(rows)[row]
        self.assertEqual(rows["size"][row], len(block), name)
        for key, expected in (("largest", values[-1]), ("smallest", values[0]), ("trace", np.trace(block)),
                              ("frobenius_norm", np.linalg.norm(block))):
            times = 3 if rows["estimated"][row] and key in ("trace", "frobenius_norm") else 1  # 95 % intervals: rarely left, and never far
            self.assertLessEqual(abs(rows[key][row] - expected), times * rows[key + "_errors"][row] + slack, f"{name} {key}")
        return values

    def test_every_block_of_every_matrix(self):
        for kernel in ("softmax", "gaussian"):
            self.network("--kernel", kernel, "--overwrite")
            said = self.done("basin-hessian", "p.h5", "-o", "r.h5", "--overwrite", "--per-block", "--operator", "all")
            rows = table(self.path("r.h5"))
            places = np.concatenate([[0], np.cumsum(rows["size"])])
            H, G = self.dense(places[-1])
            slack = 1e-12 * np.linalg.norm(H)
            matrices = {"entry/per_block": H, "entry/parts/gauss-newton/per_block": G, "entry/parts/residual/per_block": H - G}
            for group, matrix in matrices.items():
                rows = table(self.path("r.h5"), group)
                for row, name in enumerate(names_of(rows)):
                    part = slice(places[row], places[row + 1])
                    values = self.check_row(rows, row, matrix[part, part], slack)
                    small = len(values) <= 1000  # signs are counted there
                    self.assertEqual(rows["negative_share_known"][row], b"proven" if matrix is G else b"counted" if small else b"", name)
                    if matrix is not G and small:
                        least, most = (np.mean(values < bound) for bound in (-1e-10 * np.abs(values).max() - 10 * slack, 0))
                        self.assertTrue(least <= rows["negative_share"][row] <= most, f"{name}: {least} {rows['negative_share'][row]} {most}")
            rows = table(self.path("r.h5"))
            sharpest = names_of(rows)[rows["largest"].argmax()]
            self.assertTrue(said.startswith(f"of the {len(places) - 1} blocks of the Hessian, {sharpest} is the sharpest: "), said)
            times = float(said.partition(" times the median")[0].rpartition(" ")[2])
            self.assertAlmostEqual(times, rows["largest"].max() / np.median(rows["largest"]), delta=0.006 * times)
            with h5py.File(self.path("r.h5")) as file:
                self.assertEqual(file["entry"].attrs["default"], "per_block")
                self.assertEqual(set(file["entry/per_block/spectra"]), set(names_of(rows)))

    def test_products_give_what_the_assembled_matrix_gives(self):
        self.network()
        self.done("basin-hessian", "p.h5", "-o", "dense.h5", "--per-block", "blocks.*.W", "blocks.*.W_*", "--largest", 2)
        self.done("basin-hessian", "p.h5", "-o", "r.h5", "--per-block", "blocks.*.W", "blocks.*.W_*", "--largest", 2, "--dense-limit", 0, "--density",
                  "--tolerance", 1e-9)
        dense, rows = table(self.path("dense.h5")), table(self.path("r.h5"))
        self.assertEqual(names_of(rows), names_of(dense))
        self.assertTrue(all(".W" in name for name in names_of(rows)))
        with h5py.File(self.path("r.h5")) as file, h5py.File(self.path("dense.h5")) as other:
            for row, name in enumerate(names_of(rows)):
                for key in ("largest", "smallest"):
                    self.assertLessEqual(abs(rows[key][row] - dense[key][row]), rows[key + "_errors"][row] + dense[key + "_errors"][row], name)
                    values, there = (f[f"entry/per_block/spectra/{name}/{key}/eigenvalue"][()] for f in (file, other))
                    np.testing.assert_allclose(values, there, rtol=0, atol=1e-8 * np.abs(there).max())
                for key in ("trace", "frobenius_norm"):  # 95 % intervals: rarely left, and never far
                    self.assertLessEqual(abs(rows[key][row] - dense[key][row]), 3 * rows[key + "_errors"][row] + 1e-12 * dense["frobenius_norm"][row])
                self.assertEqual(rows["negative_share_known"][row], b"estimated")
                self.assertLessEqual(rows["negative_share_lower"][row], dense["negative_share"][row] + 1e-12, name)
                self.assertGreaterEqual(rows["negative_share_upper"][row], dense["negative_share"][row] - 1e-12, name)
            distances = file["entry/per_block/heterogeneity/distance"][()]
            self.assertTrue((distances == distances.T).all() and (np.diagonal(distances) == 0).all())
            self.assertTrue((distances >= 0).all() and (distances <= 1).all())
            pairs = distances[np.triu_indices(len(distances), 1)]
            self.assertAlmostEqual(file["entry/per_block/heterogeneity"].attrs["mean"], pairs.mean(), delta=1e-12)

    def test_heads_are_parts_of_their_block(self):
        self.network()
        self.done("basin-hessian", "p.h5", "-o", "all.h5", "--per-block")
        self.done("basin-hessian", "p.h5", "-o", "r.h5", "--per-block", "blocks.1.attention.*", "--by-head")
        whole, rows = table(self.path("all.h5")), table(self.path("r.h5"))
        names, places = names_of(whole), np.concatenate([[0], np.cumsum(whole["size"])])
        H, _ = self.dense(places[-1])
        self.assertIn("blocks.1.attention.W_Q[1]", names_of(rows))
        for row, name in enumerate(names_of(rows)):
            block, _, head = name.partition("[")
            first = places[names.index(block)] + (int(head[:-1]) * rows["size"][row] if head else 0)
            part = slice(first, first + rows["size"][row])
            self.check_row(rows, row, H[part, part], 1e-12 * np.linalg.norm(H))

    def test_resumed_runs_end_with_the_same_numbers(self):
        self.network()
        arguments = ("p.h5", "--per-block", "blocks.0.*", "--dense-limit", 0, "--density", "--steps", 8)
        self.done("basin-hessian", *arguments, "-o", "r.h5")
        self.kill_midway("basin-hessian", *arguments)
        self.done("basin-hessian", *arguments, "-o", "killed.h5", "--resume", "--threads", 2)
        one, other = table(self.path("r.h5")), table(self.path("killed.h5"))
        for key, values in one.items():
            np.testing.assert_array_equal(values, other[key], key)

    def test_norms_beside_it_are_those_of_the_whole(self):
        self.network()
        self.done("basin-hessian", "p.h5", "-o", "r.h5", "--per-block", "head.*", "--norms")
        self.done("basin-hessian", "p.h5", "-o", "n.h5", "--norms")
        for key in ("frobenius", "trace"):
            np.testing.assert_array_equal(*(self.results(name, f"entry/block_norms/{key}") for name in ("r.h5", "n.h5")))

    def test_what_cannot_be_is_refused(self):
        self.network()
        for message, *options in (
                ("--per-block nothing.*: ", "--per-block", "nothing.*"),
                ("--per-block : found no name", "--per-block", ""), ("--per-block : found no name", "--per-block", "head.W", ""),
                ("--per-block head.W: head.W is not trained", "--train", "blocks.*", "--per-block", "head.W"),
                ("--largest 9: head.W has 8 parameters", "--per-block", "head.*", "--largest", 9),
                ("--smallest 3: head.b has 2 parameters", "--per-block", "head.*", "--smallest", 3),
                ("--full", "--per-block", "--full"), ("--block", "--per-block", "--block", "head.W"),
                ("--by-head", "--by-head", "--largest", 1), ("--by-tensor", "--per-block", "--by-head", "--by-tensor"),
                ("--modulo-symmetries", "--per-block", "--by-head", "--modulo-symmetries"),
                ("--modulo-symmetries: all 4 directions of blocks.0.attention.b_K are symmetries", "--per-block", "blocks.0.*", "--modulo-symmetries")):
            with self.subTest(options=options):
                self.refused(2, message, "basin-hessian", "p.h5", "-o", "r.h5", *options)
        process_says = self.done("basin-hessian", "p.h5", "-o", "r.h5", "--train", "blocks.0.*", "--per-block", "blocks.*.attention.W_Q")
        self.assertIn("the block blocks.0.attention.W_Q of the Hessian: its largest eigenvalue is", process_says)


@unittest.skipUnless(DEEP.exists(), "the checkpoints are not here")
class Checkpoints(ToolTest):
    def test_tensors_of_checkpoints(self):
        for case in ("nanogpt_bias", "bert_classifier_masked", "vit_timm_grey", "skyformer_gaussian_masked", "torch_pre_gelu_1_ce_masked"):
            folder = DEEP / case
            given = [("--" + option, folder / f"{array}.npy") for option, array in (
                ("inputs", "inputs"), ("targets", "targets"), ("mask", "mask"), ("token-types", "token_type_ids"))]
            self.done("basin-problem", "checkpoint", folder, "-o", "p.h5", "--overwrite", *(word for pair in given if pair[1].exists() for word in pair))
            self.done("basin-hessian", "p.h5", "-o", "r.h5", "--overwrite", "--per-block", "--by-tensor")
            rows = table(self.path("r.h5"))
            with h5py.File(folder / "expected.h5") as expected:
                tolerance = 1e-10 * np.abs(expected["hessian_eigenvalues"][()]).max()
                names = names_of(rows)
                self.assertEqual(set(names), set(expected["block_trace"]), case)
                for row, name in enumerate(names):
                    for column, there in (("trace", "block_trace"), ("frobenius_norm", "block_frobenius"),
                                          ("smallest", "block_lambda_min"), ("largest", "block_lambda_max")):
                        if name in expected[there]:
                            self.assertLessEqual(abs(rows[column][row] - expected[there][name][()]), tolerance + rows[column + "_errors"][row], f"{case} {name} {column}")


if __name__ == "__main__":
    unittest.main()
