"""Spectra of anybody's operator: what is found, what is claimed, and what is refused."""
import gc
import os
import signal
import sys
import threading
import time
import traceback
import unittest
import weakref

import numpy as np
from support import matrix_of, rows

import basin

LANCZOS = {"dense_limit": 0}  # no matrix is assembled


class KnownSpectra(unittest.TestCase):
    def check(self, A, k, **options):
        """Both ends against LAPACK: each value within its bound of its eigenvalue, with multiplicities."""
        exact = np.linalg.eigvalsh(A)
        found = basin.eigenpairs(rows(A), len(A), largest=k, smallest=k, **options)
        rounding = 50 * np.finfo(float).eps * np.abs(exact).max()  # of LAPACK's own
        for pairs, truth in ((found.largest, exact[::-1][:k]), (found.smallest, exact[:k])):
            self.assertTrue(pairs.converged.all(), pairs)
            distance = np.abs(pairs.values - truth)
            self.assertTrue((distance <= pairs.joint_bound + pairs.resolution + rounding).all(), (pairs, distance))
            for value, bound in zip(pairs.values, pairs.error_bounds):
                self.assertLessEqual(np.abs(exact - value).min(), bound + rounding)
            X = pairs.vectors
            self.assertEqual(X.shape, (k, len(A)))
            np.testing.assert_allclose(X @ X.T, np.eye(k), atol=1e-8)
            scale = np.abs(exact).max() or 1
            rest = np.linalg.norm((X @ A - pairs.values[:, None] * X) / scale, axis=1)
            np.testing.assert_allclose(rest, pairs.residuals / scale, atol=1e-11)
        return found

    def test_200_random_operators(self):
        rng = np.random.default_rng(1)
        for trial in range(200):
            size = int(rng.integers(2, 60))
            values = rng.standard_normal(size) * 10.0 ** rng.uniform(-6, 6)
            if trial % 3 == 0:  # multiplicities
                values = rng.choice(values, size)
            if trial % 3 == 1:  # scales mixed, zeros
                values = values * 10.0 ** rng.uniform(-12, 0, size) * (rng.random(size) < 0.7)
            with self.subTest(trial):
                self.check(matrix_of(values, rng), min(3, size), **(LANCZOS if trial % 2 else {}))

    def test_multiplicities_by_lanczos(self):
        rng = np.random.default_rng(2)
        values = np.concatenate([[5, 5, 5, 5, 4], rng.uniform(-1, 3, 1190), [-2, -2, -2, -1.5, -1.2]])
        found = self.check(matrix_of(values, rng), 5)
        self.assertFalse(found.largest.dense)
        np.testing.assert_allclose(found.largest.values, [5, 5, 5, 5, 4], atol=1e-8)
        np.testing.assert_allclose(found.smallest.values, [-2, -2, -2, -1.5, -1.2], atol=1e-8)
        self.assertIn("with probability 1 - 1e-6", found.largest.completeness)

    def test_counts_density_trace(self):
        rng = np.random.default_rng(3)
        values = np.concatenate([np.full(7, -1.0), np.zeros(20), rng.uniform(0.5, 2, 373)])
        A = matrix_of(values, rng)
        counted = basin.counts(rows(A), 400)
        self.assertEqual((counted.negative, counted.zero, counted.positive), (7, 20, 373))
        self.assertEqual(counted.status, "estimated")  # nothing is known of the true operator
        self.assertEqual(basin.counts(rows(A), 400, relative_error=1e-12).status, "bounded")
        by_pairs = basin.counts(rows(A), 400, pairs=30, dense_limit=0)
        self.assertEqual((by_pairs.negative, by_pairs.zero, by_pairs.negative_exact), (7, 20, True))
        density = basin.density(rows(A), 400)
        for (estimate, low, high), share in ((density.negative, 7 / 400), (density.positive, 373 / 400)):
            self.assertTrue(low <= share <= high, (density, share))
        trace = basin.trace(rows(A), 400)
        self.assertLessEqual(abs(trace.trace[0] - values.sum()), trace.trace[1] + 1e-11)
        estimated = basin.trace(rows(A), 400, dense_limit=0)
        self.assertTrue(estimated.estimated)
        self.assertLessEqual(abs(estimated.frobenius[0] - np.linalg.norm(values)), 2 * estimated.frobenius[1])

    def test_deflation(self):
        rng = np.random.default_rng(4)
        values = np.linspace(-1, 1, 300)
        Q = np.linalg.qr(rng.standard_normal((300, 300)))[0]
        A = (Q * values) @ Q.T
        A = (A + A.T) / 2
        aside = rng.standard_normal((5, 3)) @ Q[:, [299, 298, 0]].T  # 5 directions that span 3
        for options in ({}, LANCZOS):
            found = basin.eigenpairs(rows(A), 300, largest=2, smallest=1, deflate=aside, **options)
            self.assertEqual(found.largest.removed, 3)
            np.testing.assert_allclose(found.largest.values, values[[297, 296]], atol=1e-9)
            np.testing.assert_allclose(found.smallest.values, values[[1]], atol=1e-9)
        with self.assertRaisesRegex(ValueError, r"deflate: found an array of shape \(299,\), expected \(k, 300\)"):
            basin.eigenpairs(rows(A), 300, largest=1, deflate=np.ones(299))

    def test_scales(self):
        rng = np.random.default_rng(10)
        for exponent in (-200, -150, 150, 200):
            for options in ({}, LANCZOS):
                self.check(10.0 ** exponent * matrix_of(np.repeat(rng.standard_normal(25), 2), rng), 3, **options)

    def test_what_counts_do_not_know_is_at_most(self):
        values = np.linspace(-1, 1, 80)
        counted = basin.counts(lambda V: V * values, 80, dense_limit=0)
        self.assertFalse(counted.negative_exact)
        self.assertFalse(counted.positive_exact)
        self.assertRegex(repr(counted), "at least 6 negative, at least 0 zero, at most 74 positive of 80")
        self.assertTrue(basin.counts(lambda V: V * values, 80).positive_exact)

    def test_density_of_zero(self):
        density = basin.density(lambda V: 0 * V, 100)
        self.assertEqual((density.negative[0], density.positive[0]), (0, 0))

    def test_small_and_zero(self):
        self.assertAlmostEqual(basin.trace(lambda V: 3 * V, 1, dense_limit=0).trace[0], 3)
        self.assertEqual(basin.eigenpairs(lambda V: 3 * V, 1, largest=1).largest.values[0], 3)
        zero = basin.eigenpairs(lambda V: 0 * V, 1200, smallest=2).smallest
        self.assertEqual(zero.values.tolist(), [0, 0])
        self.assertEqual(basin.counts(lambda V: 0 * V, 30).zero, 30)

    def test_same_seed_same_bits(self):
        rng = np.random.default_rng(5)
        A = matrix_of(rng.standard_normal(1100), rng)
        found = []
        for threads in (1, 2):
            basin.set_threads(threads)
            found.append(basin.eigenpairs(lambda V: (A @ V.T).T, 1100, largest=2, seed=7).largest)
        basin.set_threads(0)
        self.assertEqual(found[0].values.tobytes(), found[1].values.tobytes())
        self.assertEqual(found[0].vectors.tobytes(), found[1].vectors.tobytes())


class Claims(unittest.TestCase):
    """An operator that computes something else than it should, symmetrically and each time the same."""

    def setUp(self):
        rng = np.random.default_rng(6)
        values = np.concatenate([np.linspace(1e-3, 1, 295), np.full(5, 1e-7)])  # positive definite
        self.A = matrix_of(values, rng)
        E = rng.standard_normal((300, 300))
        self.E = 1e-5 / np.linalg.norm(E + E.T, 2) * (E + E.T)  # |E| = 1e-5 |A|

    def test_never_claimed_without_a_witness(self):
        for options in ({}, LANCZOS):
            wrong = basin.eigenpairs(rows(self.A + self.E), 300, smallest=3, **options).smallest
            self.assertTrue((wrong.computed_signs == -1).all(), wrong)  # what it computes is not definite
            self.assertTrue((wrong.true_signs == 0).all())
            self.assertTrue(np.isnan(wrong.true_error_bounds).all())
            self.assertIn("nothing is claimed of the true one", repr(wrong).splitlines()[0])
            counted = basin.counts(rows(self.A + self.E), 300, **options)
            self.assertGreater(counted.negative, 0)
            self.assertEqual(counted.status, "estimated")
            self.assertIn("nothing is claimed of the true one", repr(counted))

    def test_right_with_a_reference(self):
        exact = np.linalg.eigvalsh(self.A)
        for options in ({}, LANCZOS, {"reference": rows(self.A)}, {"relative_error": 1.1e-5}):
            options = {"reference": rows(self.A)} | options
            found = basin.eigenpairs(rows(self.A + self.E), 300, smallest=3, largest=2, **options)
            for pairs in (found.smallest, found.largest):
                for value, bound in zip(pairs.values, pairs.true_error_bounds):
                    self.assertLessEqual(np.abs(exact - value).min(), bound)
            self.assertTrue((found.smallest.true_signs == 0).all())  # too small to tell
            self.assertTrue((found.largest.true_signs == 1).all())
        counted = basin.counts(rows(self.A + self.E), 300, relative_error=1.1e-5)
        self.assertEqual((counted.negative, counted.status), (0, "bounded"))
        for options in ({}, LANCZOS):
            compared = basin.counts(rows(self.A + self.E), 300, reference=rows(self.A), **options)
            self.assertEqual((compared.negative, compared.status), (0, "estimated"))
            self.assertIn("as far as its distance is estimated", repr(compared))

    def test_float32(self):
        A32 = self.A.astype(np.float32)
        exact = np.linalg.eigvalsh(self.A)
        types = set()

        def multiply(V):
            types.add(V.dtype.name)
            return V @ A32

        for options in ({}, LANCZOS):
            found = basin.eigenpairs(multiply, 300, smallest=2, largest=2, dtype="float32",
                                     reference=rows(self.A), **options)
            self.assertTrue(found.largest.converged.all())  # to what float32 allows
            for pairs in (found.smallest, found.largest):
                for value, bound in zip(pairs.values, pairs.true_error_bounds):
                    self.assertLessEqual(np.abs(exact - value).min(), bound)
            without = basin.eigenpairs(multiply, 300, smallest=2, dtype="float32", **options).smallest
            self.assertTrue((without.true_signs == 0).all())
        self.assertEqual(types, {"float32"})

    def test_noise_that_shows(self):
        """Asymmetry, spread and nonlinearity enter the bounds: the symmetric part has an eigenvalue within each."""
        rng = np.random.default_rng(7)
        exact = np.linalg.eigvalsh(self.A)
        K = rng.standard_normal((300, 300))
        K = 1e-7 / np.linalg.norm(K - K.T, 2) * (K - K.T)
        cases = {
            "asymmetry": lambda V: V @ (self.A + K),
            "spread": lambda V: V @ self.A * (1 + 1e-8 * rng.standard_normal(V.shape)),
            "nonlinearity": lambda V: V @ self.A + 1e-8 * np.abs(V),
        }
        for name, multiply in cases.items():
            for options in ({}, LANCZOS):
                with self.subTest(name, **options):
                    found = basin.eigenpairs(multiply, 300, smallest=2, largest=2, **options)
                    noise = found.largest.noise
                    self.assertGreater(getattr(noise, name), 1e-9 * noise.scale)
                    for pairs in (found.smallest, found.largest):
                        for value, bound in zip(pairs.values, pairs.error_bounds):
                            self.assertLessEqual(np.abs(exact - value).min(), bound)


class Conventions(unittest.TestCase):
    def setUp(self):
        self.rng = np.random.default_rng(8)
        self.A = matrix_of(self.rng.standard_normal(40), self.rng)
        self.V = self.rng.standard_normal((5, 40))

    def test_ways_to_multiply(self):
        A = self.A

        def filling(V, out):
            np.matmul(V, A, out=out)

        def columns(X):
            assert X.shape[0] == 40 and (X.flags.f_contiguous or X.shape[1] == 1)
            return A @ X

        def single(V):
            assert V.dtype == np.float32
            return V @ A.astype(np.float32)

        ways = {"rows": basin.Operator(rows(A), 40), "out": basin.Operator(filling, 40, out=True),
                "columns": basin.Operator(columns, 40, layout="columns"),
                "filling columns": basin.Operator(lambda X, out: np.copyto(out, A @ X), 40, layout="columns", out=True),
                "matrix": basin.Operator(A), "max_block": basin.Operator(rows(A), 40, max_block=2),
                "strided": basin.Operator(lambda V: np.asfortranarray(V @ A), 40),
                "backwards": basin.Operator(lambda V: (V @ A)[:, ::-1].copy()[:, ::-1], 40),
                "lists": basin.Operator(lambda V: (V @ A).tolist(), 40)}
        try:
            from scipy.sparse import csr_matrix
            from scipy.sparse.linalg import aslinearoperator
            ways |= {"sparse": basin.Operator(csr_matrix(A)), "scipy": basin.Operator(aslinearoperator(A))}
        except ImportError:
            pass

        class OneByOne:
            shape = (40, 40)

            def matvec(self, x):
                return A @ x

        ways["matvec"] = basin.Operator(OneByOne())
        for name, operator in ways.items():
            with self.subTest(name):
                np.testing.assert_allclose(operator.apply(self.V), self.V @ A, rtol=1e-12, atol=1e-12)
                np.testing.assert_allclose(operator.apply(self.V[0]), self.V[0] @ A, rtol=1e-12, atol=1e-12)
                self.assertEqual(operator.products, 6)
        np.testing.assert_allclose(basin.Operator(single, 40, dtype="float32").apply(self.V), self.V @ A, rtol=1e-4, atol=1e-5)

    def test_max_block(self):
        seen = []
        basin.eigenpairs(lambda V: (seen.append(len(V)), V @ self.A)[1], 40, largest=1, max_block=3)
        self.assertEqual(max(seen), 3)

    def test_large_blocks_are_not_copied(self):
        size, seen = 100_000, []

        def multiply(V, out):
            seen.append((V.ctypes.data, V.flags.owndata, out.flags.owndata, V.flags.c_contiguous))
            np.multiply(V, 2, out=out)

        operator = basin.Operator(multiply, size, out=True)
        V = np.ones((4, size))
        np.testing.assert_array_equal(operator.apply(V), 2 * V)
        self.assertEqual(seen, [(V.ctypes.data, False, False, True)])

    def test_refused(self):
        A = self.A
        cases = [
            (lambda V: V[:, :-1], ValueError, r"returned an array of shape \(8, 39\), expected \(8, 40\)"),
            (lambda V: V[0], ValueError, r"shape \(40,\), expected \(8, 40\)"),
            (lambda V: None, ValueError, r"shape \(\), expected"),
            (lambda V: (V @ A).astype(np.float32), TypeError, "float32, expected float64; say dtype="),
            (lambda V: (V @ A).astype(complex), TypeError, "complex128, expected float64"),
            (lambda V: np.where(np.arange(len(V))[:, None] == 2, np.nan, V), ValueError, "product 2 of a block of 8 has NaN at entry 0"),
            (lambda V: V * np.inf, ValueError, "product 0 of a block of 8 has an infinite number|NaN"),
            (lambda V: V @ np.triu(A), ValueError, "the operator is not symmetric"),
            (lambda V: V @ A + V**2, ValueError, "the operator is not linear"),
        ]
        for multiply, kind, message in cases:
            with self.subTest(message), self.assertRaisesRegex(kind, message), np.errstate(all="ignore"):
                basin.eigenpairs(multiply, 40, largest=1)
        for arguments, message in (
                ({"largest": 41}, "found 41, expected 0 to 40"), ({}, "not 0 of both"), ({"largest": -1}, "found -1"),
                ({"largest": 1, "relative_error": 2}, "relative_error: found 2"),
                ({"largest": 1, "dtype": "float16"}, "dtype: found"), ({"largest": 1, "layout": "row"}, "layout: found 'row'"),
                ({"largest": 1, "max_block": 0}, "max_block: found 0"),
                ({"largest": 1, "reference": np.eye(3)}, "size: found 40, but the operator has shape"),
                ({"largest": 1, "memory": 1000}, "memory= allows 1 kB|memory= allows")):
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                basin.eigenpairs(rows(A), 40, **arguments)
        with self.assertRaisesRegex(TypeError, "vectors: found numbers of type complex128, expected real"):
            basin.Operator(rows(A), 40).apply(1j * self.V)
        with self.assertRaisesRegex(ValueError, "NaN at entry 0"):
            basin.eigenpairs(lambda V, out: None, 40, largest=1, out=True)
        for tolerance in (-1, np.nan):
            with self.assertRaisesRegex(ValueError, "tolerance: found"):
                basin.eigenpairs(rows(A), 40, largest=1, tolerance=tolerance)
        with self.assertRaisesRegex(TypeError, "size: found 2.5"):
            basin.trace(rows(A), 2.5)
        with self.assertRaisesRegex(TypeError, "size is missing"):
            basin.eigenpairs(rows(A), largest=1)
        with self.assertRaisesRegex(TypeError, "found str, expected a callable"):
            basin.eigenpairs("A", 40, largest=1)

    def test_what_it_is_given_is_not_its_own(self):
        size, kept = 200_000, []

        def keeps(V):
            kept.append(V[1:])
            return 2 * V

        def changes(V):
            V *= 2
            return V.copy()

        V = np.ones((2, size))
        with self.assertRaisesRegex(ValueError, "keeps a reference"):
            basin.Operator(keeps, size).apply(V)
        kept.clear()
        with self.assertRaisesRegex(ValueError, "changed the vectors"):
            basin.Operator(changes, size).apply(V.copy())
        # What is small is a copy, with which it may do what it likes.
        np.testing.assert_array_equal(basin.Operator(keeps, 3).apply(np.ones((2, 3))), 2 * np.ones((2, 3)))
        np.testing.assert_array_equal(kept[0], np.ones((1, 3)))

    def test_exceptions_come_back(self):
        class Mine(Exception):
            pass

        held = []
        for size in (40, 200_000):  # copied, and lent
            def multiply(V):
                held.append(weakref.ref(V))
                if len(held) % 4 == 0:
                    raise Mine("in the middle")
                return 1 * V

            with self.subTest(size):
                try:
                    basin.eigenpairs(multiply, size, largest=1, dense_limit=0)
                except Mine as error:
                    self.assertIn('raise Mine("in the middle")', "".join(traceback.format_tb(error.__traceback__)))
                else:
                    self.fail("nothing raised")
            gc.collect()
            self.assertEqual([ref for ref in held if ref() is not None], [])
            held.clear()

    def test_nothing_leaked(self):
        multiply = rows(self.A)
        before = sys.getrefcount(multiply)
        for _ in range(3):
            basin.eigenpairs(multiply, 40, largest=1)
        gc.collect()
        self.assertEqual(sys.getrefcount(multiply), before)


class Processes(unittest.TestCase):
    def test_interrupt(self):
        def multiply(V):
            time.sleep(0.01)
            return V * np.linspace(1, 2, V.shape[1])

        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        before = signal.getsignal(signal.SIGINT)
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            basin.eigenpairs(multiply, 5000, largest=20)
        timer.join()
        self.assertIs(signal.getsignal(signal.SIGINT), before)
        self.assertEqual(basin.counts(np.eye(3)).positive, 3)  # and goes on

    def test_two_threads(self):
        rng = np.random.default_rng(9)
        matrices = [matrix_of(rng.standard_normal(1050), rng) for _ in range(2)]
        alone = [basin.eigenpairs(rows(A), 1050, largest=2).largest.values for A in matrices]
        together = [None, None]

        def work(i):
            together[i] = basin.eigenpairs(rows(matrices[i]), 1050, largest=2).largest.values

        workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
            self.assertFalse(worker.is_alive())
        np.testing.assert_allclose(together, alone, rtol=1e-9)

    def test_fork_after_use(self):
        basin.set_threads(2)
        self.addCleanup(basin.set_threads, 0)
        values = basin.eigenpairs(np.diag(np.arange(1200.0)), largest=2).largest.values
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            same = (basin.eigenpairs(np.diag(np.arange(1200.0)), largest=2).largest.values == values).all()
            os._exit(0 if same and basin.threads() == 1 else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_progress(self):
        told = []
        basin.eigenpairs(np.diag(np.arange(1200.0)), largest=2, progress=lambda done, total: told.append((done, total)))
        self.assertTrue(told and all(0 < done <= total for done, total in told))
        with self.assertRaisesRegex(RuntimeError, "stop"):
            def stop(done, total):
                raise RuntimeError("stop")
            basin.eigenpairs(np.diag(np.arange(1200.0)), largest=2, progress=stop)


if __name__ == "__main__":
    unittest.main()
