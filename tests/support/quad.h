/// 113-bit arithmetic, and the two dense algorithms that a witness of eigenvalues needs. Errors are some
/// 1e-33 of the matrix, and numbers go down to 1e-4932: what double precision calls rounding or underflow is
/// far from either.
#pragma once

#include <algorithm>
#include <vector>

#include "basin/linalg/types.h"

// libquadmath, whose header not every compiler finds. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" __float128 expq(__float128);
extern "C" __float128 sqrtq(__float128);

namespace basin::test {

__extension__ typedef __float128 Quad;
using QuadVector = std::vector<Quad>;

inline Quad abs_of(Quad x) {
  return x < 0 ? -x : x;
}
inline Quad hypot_of(Quad a, Quad b) {
  a = abs_of(a), b = abs_of(b);
  if (a < b) std::swap(a, b);
  return a == 0 ? a : a * sqrtq(1 + (b / a) * (b / a));
}

/// Row by row.
struct QuadMatrix {
  Index rows = 0, cols = 0;
  QuadVector values{};

  QuadMatrix() = default;
  QuadMatrix(Index r, Index c) : rows(r), cols(c), values(r * c, Quad(0)) {}
  explicit QuadMatrix(const Matrix<double>& A) : QuadMatrix(A.rows(), A.cols()) {
    std::copy_n(A.data(), A.size(), values.begin());
  }
  Quad& operator()(Index i, Index j) { return values[i * cols + j]; }
  Quad operator()(Index i, Index j) const { return values[i * cols + j]; }
  Quad* row(Index i) { return values.data() + i * cols; }
  const Quad* row(Index i) const { return values.data() + i * cols; }
};

inline Quad dot(const Quad* a, const Quad* b, Index n) {
  Quad sum = 0;
  for (Index i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

inline Quad norm_of(const QuadVector& v) {
  Quad largest = 0, sum = 0;
  for (const Quad x : v) largest = std::max(largest, abs_of(x));
  if (largest == 0) return 0;
  for (const Quad x : v) sum += (x / largest) * (x / largest);
  return largest * sqrtq(sum);
}

inline QuadMatrix product(const QuadMatrix& A, const QuadMatrix& B) {
  QuadMatrix C(A.rows, B.cols);
  for (Index i = 0; i < A.rows; ++i)
    for (Index k = 0; k < A.cols; ++k) {
      if (A(i, k) == 0) continue;
      for (Index j = 0; j < B.cols; ++j) C(i, j) += A(i, k) * B(k, j);
    }
  return C;
}

inline QuadMatrix transposed(const QuadMatrix& A) {
  QuadMatrix T(A.cols, A.rows);
  for (Index i = 0; i < A.rows; ++i)
    for (Index j = 0; j < A.cols; ++j) T(j, i) = A(i, j);
  return T;
}

/// The singular values of A, descending, `rows` of them (zeros where there are more rows than columns): its
/// rows, or its columns if these are fewer, are turned against each other until they are orthogonal
/// (one-sided Jacobi; Hestenes 1958). Small ones are right to 1e-33 of |A|, and better where rows differ in
/// scale.
inline QuadVector singular_values_of(const QuadMatrix& A) {
  QuadMatrix R = A.rows <= A.cols ? A : transposed(A);
  Quad scale = 0;  // or squares might underflow
  for (const Quad x : R.values) scale = std::max(scale, abs_of(x));
  if (scale == 0) return QuadVector(A.rows, Quad(0));
  for (Quad& x : R.values) x /= scale;
  const Quad tiny = 1e-32;
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool turned = false;
    for (Index p = 0; p < R.rows; ++p)
      for (Index q = p + 1; q < R.rows; ++q) {
        Quad *x = R.row(p), *y = R.row(q);
        const Quad a = dot(x, x, R.cols), b = dot(y, y, R.cols), c = dot(x, y, R.cols);
        if (c == 0 || abs_of(c) <= tiny * sqrtq(a) * sqrtq(b)) continue;
        turned = true;
        const Quad zeta = (b - a) / (2 * c);
        const Quad t = (zeta < 0 ? Quad(-1) : Quad(1)) / (abs_of(zeta) + hypot_of(1, zeta));
        const Quad cosine = 1 / sqrtq(1 + t * t), sine = cosine * t;
        for (Index j = 0; j < R.cols; ++j) {
          const Quad u = x[j];
          x[j] = cosine * u - sine * y[j];
          y[j] = sine * u + cosine * y[j];
        }
      }
    if (!turned) break;
  }
  QuadVector values(A.rows, Quad(0));
  for (Index i = 0; i < R.rows; ++i) values[i] = scale * norm_of({R.row(i), R.row(i) + R.cols});
  std::sort(values.begin(), values.end(), [](Quad a, Quad b) { return a > b; });
  return values;
}

/// The eigenvalues of the symmetric A, ascending: Householder's tridiagonal form, then implicit QL steps
/// (Martin and Wilkinson 1968).
inline QuadVector eigenvalues_of(QuadMatrix A) {
  const Index n = A.rows;
  QuadVector d(n, Quad(0)), e(n, Quad(0)), v(n, Quad(0)), p(n, Quad(0));
  for (Index k = 0; k + 2 < n; ++k) {
    const Quad length = norm_of([&] {
      QuadVector column;
      for (Index i = k + 1; i < n; ++i) column.push_back(A(i, k));
      return column;
    }());
    if (length == 0) continue;
    // v = x + sign(x_1) |x| e_1, normalised to v^T v = 2
    for (Index i = k + 1; i < n; ++i) v[i] = A(i, k) / length;
    const Quad sign = v[k + 1] < 0 ? -1 : 1;
    v[k + 1] += sign;
    const Quad scale = 1 / sqrtq(abs_of(v[k + 1]));
    for (Index i = k + 1; i < n; ++i) v[i] *= scale;
    // A <- (I - v v^T) A (I - v v^T) on the rest
    Quad vp = 0;
    for (Index i = k + 1; i < n; ++i) {
      p[i] = dot(A.row(i) + k + 1, v.data() + k + 1, n - k - 1);
      vp += v[i] * p[i];
    }
    for (Index i = k + 1; i < n; ++i) p[i] -= vp / 2 * v[i];
    for (Index i = k + 1; i < n; ++i)
      for (Index j = k + 1; j < n; ++j) A(i, j) -= v[i] * p[j] + p[i] * v[j];
    A(k + 1, k) = A(k, k + 1) = -sign * length;
    for (Index i = k + 2; i < n; ++i) A(i, k) = A(k, i) = 0;
  }
  for (Index i = 0; i < n; ++i) d[i] = A(i, i);
  for (Index i = 0; i + 1 < n; ++i) e[i] = A(i + 1, i);
  const Quad eps = 1e-34;
  for (Index l = 0; l < n; ++l)
    for (int step = 0; step < 300; ++step) {
      Index m = l;
      while (m + 1 < n && abs_of(e[m]) > eps * (abs_of(d[m]) + abs_of(d[m + 1]))) ++m;
      if (m == l) break;
      Quad g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot_of(g, 1);
      g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
      Quad s = 1, c = 1, shift = 0;
      Index i = m - 1;
      for (; i >= l; --i) {
        Quad f = s * e[i], b = c * e[i];
        e[i + 1] = r = hypot_of(f, g);
        if (r == 0) {
          d[i + 1] -= shift;
          e[m] = 0;
          break;
        }
        s = f / r, c = g / r;
        g = d[i + 1] - shift;
        r = (d[i] - g) * s + 2 * c * b;
        shift = s * r;
        d[i + 1] = g + shift;
        g = c * r - b;
      }
      if (r == 0 && i >= l) continue;
      d[l] -= shift;
      e[l] = g;
      e[m] = 0;
    }
  std::sort(d.begin(), d.end());
  return d;
}

}  // namespace basin::test
