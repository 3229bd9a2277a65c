"""What a point is, in sixty digits: where Newton's method goes from it, and the signs of the Hessian there.

An outside witness: it shares nothing with Basin but the definition of the model. Derivatives of the gradient are differences
of step 1e-30; symmetries are the null space of the derivative of what determines the model (scores or distances, and values).
"""

import dataclasses

import mpmath
import numpy as np
from support import BLOCKS, theta_of, weights_at

mpmath.mp.dps = 60
MPF = np.vectorize(mpmath.mpf, otypes=[object])
EXP = np.vectorize(mpmath.exp, otypes=[object])


@dataclasses.dataclass
class Judgement:
    converged: bool  # Newton's method, to a nonsingular stationary point (modulo symmetry)
    distance: float = np.inf  # of that point, relative to |theta|
    negative: int = 0  # eigenvalues there
    positive: int = 0
    modes: int = 0  # of symmetry, set aside
    loss: float = np.nan

    @property
    def is_minimum(self):
        return self.converged and self.negative == 0


def gradient(problem, weights, blocks, X, Y):
    """grad f over the blocks, and f, from weights of any type of number."""
    H, _, d = weights["W_Q"].shape
    N, n, _ = X.shape
    softmax = problem["kernel"] == "softmax"
    root = mpmath.sqrt(d)
    variance = mpmath.mpf(problem["sigma"]) ** 2 if problem["sigma"] else root
    parts, loss = {name: np.zeros(weights[name].shape, dtype=object) + mpmath.mpf(0) for name in blocks}, mpmath.mpf(0)
    for i in range(N):
        heads, F = [], -Y[i]
        for h in range(H):
            Q, K, U = (X[i] @ weights[name][h] for name in ("W_Q", "W_K", "W_V"))
            if softmax:
                Z = Q @ K.T / root
                E = EXP(Z - Z.max(axis=1)[:, None])
                S = E / E.sum(axis=1)[:, None]
            else:
                S = EXP(-((Q[:, None, :] - K[None, :, :]) ** 2).sum(axis=2) / (2 * variance))
            V = U @ weights["W_O"][h]
            F = F + S @ V
            heads.append((Q, K, U, S, V))
        loss += (F**2).sum() / 2
        for h, (Q, K, U, S, V) in enumerate(heads):
            if "W_O" in blocks:
                parts["W_O"][h] += (S @ U).T @ F
            if "W_V" in blocks:
                parts["W_V"][h] += X[i].T @ (S.T @ F) @ weights["W_O"][h].T
            if "W_Q" not in blocks and "W_K" not in blocks:
                continue
            B = F @ V.T
            if softmax:
                Z = S * (B - (S * B).sum(axis=1)[:, None])
                dQ, dK = Z @ K / root, Z.T @ Q / root
            else:
                Z = S * B / variance
                dQ = Z @ K - Z.sum(axis=1)[:, None] * Q
                dK = Z.T @ Q - Z.sum(axis=0)[:, None] * K
            if "W_Q" in blocks:
                parts["W_Q"][h] += X[i].T @ dQ
            if "W_K" in blocks:
                parts["W_K"][h] += X[i].T @ dK
    return np.concatenate([parts[name].ravel() for name in blocks]), loss


def complement(problem, blocks):
    """An orthonormal basis of the directions in which the model changes: the range of the transposed derivative of the
    (centred) scores or distances, and of the values, by the complex step. Softmax heads may trade constants."""
    X = problem["X"]
    theta = theta_of(problem["weights"], blocks)

    def invariants(theta):
        w, parts, mean = weights_at(problem, theta, blocks), [], 0
        for h in range(w["W_Q"].shape[0]):
            Q, K, V = X @ w["W_Q"][h], X @ w["W_K"][h], X @ w["W_V"][h] @ w["W_O"][h]
            if problem["kernel"] == "softmax":
                Z = Q @ K.transpose(0, 2, 1)
                parts += [Z - Z.mean(axis=2, keepdims=True), V - V.mean(axis=1, keepdims=True)]
                mean = mean + V.mean(axis=1)
            else:
                parts += [((Q[:, :, None, :] - K[:, None, :, :]) ** 2).sum(axis=3), V]
        return np.concatenate([np.ravel(p) for p in parts + [mean]])

    columns = []
    for j in range(theta.size):
        moved = theta.astype(complex)
        moved[j] += 1e-30j
        columns.append(invariants(moved).imag / 1e-30)
    rows = np.array(columns).T
    scale = np.linalg.norm(rows, axis=1)  # rows of any scale count alike
    rows = rows[scale > 0] / scale[scale > 0][:, None]
    if rows.size == 0:
        return np.zeros((theta.size, 0))
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    Z = Vt[: (s > 1e-9 * s[0]).sum()].T
    # in no special basis: a factorisation without pivoting meets no zeros
    return Z @ np.linalg.qr(np.random.default_rng(0).standard_normal(2 * Z.shape[1:]))[0]


def factorised(A):
    """A = L D L^T of a symmetric matrix, and the signs of D."""
    size, D = A.shape[0], []
    A, L = A.copy(), np.eye(size, dtype=object) + mpmath.mpf(0)
    for j in range(size):
        D.append(A[j, j])
        if D[j] == 0:
            return None
        L[j + 1 :, j] = A[j + 1 :, j] / D[j]
        A[j + 1 :, j + 1 :] -= np.outer(L[j + 1 :, j], L[j + 1 :, j]) * D[j]
    return L, np.array(D)


def solve(factors, b):
    L, D = factors
    y = b.copy()
    for j in range(len(D)):
        y[j] -= L[j, :j] @ y[:j]
    y = y / D
    for j in reversed(range(len(D))):
        y[j] -= L[j + 1 :, j] @ y[j + 1 :]
    return y


def norm(v):
    return mpmath.sqrt((v * v).sum())


def judge(problem, blocks, steps=15, furthest=0.3):
    """Where Newton's method goes from the weights of a problem, in the slice across its symmetries, and what is there."""
    Z = MPF(complement(problem, blocks))
    X, Y = MPF(problem["X"]), MPF(problem["Y"])
    exact = dict(problem, weights={name: MPF(values) for name, values in problem["weights"].items()})
    start = theta_of(exact["weights"], blocks)
    modes = start.size - Z.shape[1]
    if Z.shape[1] == 0:
        return Judgement(False, modes=modes)
    h = mpmath.mpf(10) ** -30

    def slope(theta):
        return gradient(problem, weights_at(exact, theta, blocks), blocks, X, Y)

    theta, size = start.copy(), norm(start)
    for _ in range(steps):
        g, loss = slope(theta)
        A = np.array([Z.T @ (slope(theta + h * z)[0] - g) / h for z in Z.T]).T
        A = (A + A.T) / 2
        factors = factorised(A)
        if factors is None:
            break
        move = Z @ solve(factors, -(Z.T @ g))
        theta = theta + move
        distance = norm(theta - start) / size
        if distance > furthest:
            break
        if norm(move) < mpmath.mpf(10) ** -25 * size:
            D = factors[1]
            softest = min(abs(D)) / max(abs(D))
            return Judgement(bool(softest > mpmath.mpf(10) ** -22), float(distance), int((D < 0).sum()), int((D > 0).sum()), modes, float(loss))
    return Judgement(False, modes=modes)
