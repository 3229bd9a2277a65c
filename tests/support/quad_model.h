/// The attention layer at a point in 113-bit arithmetic, from plain formulas: outputs, loss, Jacobian,
/// gradient and Hessian. It shares nothing with the library but the definition of the layer.
#pragma once

#include "basin/model/attention_model.h"
#include "support/quad.h"

namespace basin::test {

/// Columns and rows of theta with all blocks trained (W_Q, W_K, W_V, W_O in C order); outputs (sample, token,
/// out).
struct QuadModel {
  QuadMatrix F;          ///< N n x D_out
  QuadVector residual;   ///< vec(F - Y)
  Quad loss = 0;         ///< |residual|^2 / 2
  QuadMatrix J;          ///< m x P
  QuadMatrix curvature;  ///< sum_j residual_j D^2 F_j, P x P
  QuadVector gradient;   ///< J^T residual
};

namespace detail {

/// One token's attention in one head: weights over the keys of its sample, and the derivatives of scores.
struct QuadRow {
  QuadVector s;   ///< n
  QuadMatrix dz;  ///< n x 2 D d: derivatives of the scores in W_Q, then W_K, of the head
};

}  // namespace detail

/// The model at these numbers, taken as they are.
inline QuadModel quad_model(const AttentionSpec& spec, const Vector<double>& weights,
                            const Data<double>& data) {
  const Index D = spec.embedding, d = spec.head_dim, H = spec.heads, n = spec.tokens, o = spec.outputs;
  const Index N = data.samples, Dd = D * d, P = 3 * H * Dd + H * d * o, moving = 2 * Dd;
  const bool softmax = spec.kernel == KernelKind::softmax;
  const Quad root = sqrtq(Quad(static_cast<double>(d)));
  const Quad variance = spec.bandwidth > 0 ? Quad(spec.bandwidth) * Quad(spec.bandwidth) : root;
  const QuadMatrix X(data.X);
  QuadModel at;
  at.F = QuadMatrix(N * n, o);
  at.J = QuadMatrix(N * n * o, P);
  at.curvature = QuadMatrix(P, P);

  // Everything that depends on a head and a sample.
  struct Part {
    QuadMatrix q, k, u, v;              // n x d, n x d, n x d, n x D_out
    std::vector<detail::QuadRow> rows;  // of each token
  };
  const auto matrix = [&](Index block, Index h) {
    const Index rows = block < 3 ? D : d, cols = block < 3 ? d : o;
    QuadMatrix W(rows, cols);
    const double* w = weights.data() + (block < 3 ? (block * H + h) * Dd : 3 * H * Dd + h * d * o);
    std::copy_n(w, rows * cols, W.values.begin());
    return W;
  };
  const auto column = [&](Index block, Index h, Index r, Index c) {
    return block < 3 ? (block * H + h) * Dd + r * d + c : 3 * H * Dd + h * d * o + r * o + c;
  };
  std::vector<Part> parts;
  for (Index h = 0; h < H; ++h)
    for (Index i = 0; i < N; ++i) {
      QuadMatrix x(n, D);
      std::copy_n(X.row(i * n), n * D, x.values.begin());
      const QuadMatrix W_O = matrix(3, h);
      Part part = {product(x, matrix(0, h)), product(x, matrix(1, h)), product(x, matrix(2, h)), {}, {}};
      part.v = product(part.u, W_O);
      for (Index k = 0; k < n; ++k) {
        detail::QuadRow row = {QuadVector(n), QuadMatrix(n, moving)};
        for (Index l = 0; l < n; ++l) {
          Quad z = 0;
          for (Index e = 0; e < d; ++e) {
            const Quad q = part.q(k, e), key = part.k(l, e), difference = q - key;
            z += softmax ? q * key / root : -difference * difference / (2 * variance);
            for (Index r = 0; r < D; ++r) {
              row.dz(l, r * d + e) = softmax ? x(k, r) * key / root : -difference * x(k, r) / variance;
              row.dz(l, Dd + r * d + e) = softmax ? q * x(l, r) / root : difference * x(l, r) / variance;
            }
          }
          row.s[l] = z;
        }
        if (softmax) {
          const Quad top = *std::max_element(row.s.begin(), row.s.end());
          Quad sum = 0;
          for (Quad& s : row.s) sum += s = expq(s - top);
          for (Quad& s : row.s) s /= sum;
        } else {
          for (Quad& s : row.s) s = expq(s);
        }
        part.rows.push_back(std::move(row));
      }
      for (Index k = 0; k < n; ++k)
        for (Index out = 0; out < o; ++out)
          for (Index l = 0; l < n; ++l) at.F(i * n + k, out) += part.rows[k].s[l] * part.v(l, out);
      parts.push_back(std::move(part));
    }
  for (Index a = 0; a < N * n; ++a)
    for (Index out = 0; out < o; ++out) {
      at.residual.push_back(at.F(a, out) - Quad(data.Y(a, out)));
      at.loss += at.residual.back() * at.residual.back() / 2;
    }

  for (Index h = 0; h < H; ++h)
    for (Index i = 0; i < N; ++i) {
      Part& part = parts[h * N + i];
      const QuadMatrix W_O = matrix(3, h);
      for (Index k = 0; k < n; ++k) {
        detail::QuadRow& row = part.rows[k];
        const QuadVector& s = row.s;
        const Quad* r = at.residual.data() + (i * n + k) * o;
        const auto heaviest = std::max_element(s.begin(), s.end()) - s.begin();
        // Softmax weights sum to one: what multiplies their derivatives counts from the heaviest key, so that
        // a row of nearly one weight keeps its digits. From here on dz is dz - sum_l s_l dz_l, and ds = s dz.
        const auto from_heaviest = [&](QuadMatrix B) {
          if (!softmax) return B;
          const QuadVector base(B.row(heaviest), B.row(heaviest) + B.cols);
          for (Index l = 0; l < n; ++l)
            for (Index c = 0; c < B.cols; ++c) B(l, c) -= base[c];
          return B;
        };
        const auto mean = [&](const QuadMatrix& B, Index c) {
          Quad sum = 0;
          for (Index l = 0; l < n; ++l) sum += s[l] * B(l, c);
          return sum;
        };
        QuadMatrix x(n, D);
        std::copy_n(X.row(i * n), n * D, x.values.begin());
        const QuadMatrix own = x;
        x = from_heaviest(x);
        const QuadMatrix v = from_heaviest(part.v), u = from_heaviest(part.u);
        QuadMatrix dz = from_heaviest(row.dz);
        if (softmax)
          for (Index p = 0; p < moving; ++p) {
            const Quad centre = mean(dz, p);
            for (Index l = 0; l < n; ++l) dz(l, p) -= centre;
          }
        QuadMatrix ds = dz;
        for (Index l = 0; l < n; ++l)
          for (Index p = 0; p < moving; ++p) ds(l, p) *= s[l];
        const auto place = [&](Index p) { return (p < Dd ? h * Dd : (H + h - 1) * Dd) + p; };

        // J
        for (Index out = 0; out < o; ++out) {
          Quad* J = at.J.row((i * n + k) * o + out);
          for (Index l = 0; l < n; ++l) {
            for (Index p = 0; p < moving; ++p) J[place(p)] += ds(l, p) * v(l, out);
            for (Index e = 0; e < d; ++e) {
              for (Index f = 0; f < D; ++f) J[column(2, h, f, e)] += s[l] * own(l, f) * W_O(e, out);
              J[column(3, h, e, out)] += s[l] * part.u(l, e);
            }
          }
        }

        // sum_out r_out D^2 F: scores with scores, with values, and values with outputs.
        QuadVector g(n, Quad(0)), rW(d, Quad(0));  // r . v_l, less its mean; W_O r
        for (Index l = 0; l < n; ++l)
          for (Index out = 0; out < o; ++out) g[l] += r[out] * v(l, out);
        if (softmax) {
          const Quad centre = dot(s.data(), g.data(), n);
          for (Quad& x_l : g) x_l -= centre;
        }
        for (Index e = 0; e < d; ++e) rW[e] = dot(W_O.row(e), r, o);
        const auto add = [&](Index a, Index b, Quad value) { at.curvature(a, b) += value; };  // a <= b
        for (Index l = 0; l < n; ++l) {
          const Quad weight = s[l] * g[l];
          for (Index p = 0; p < moving; ++p) {
            const Quad left = weight * dz(l, p);
            for (Index t = p; t < moving; ++t) add(place(p), place(t), left * dz(l, t));
          }
          // second derivatives of the scores
          for (Index e = 0; e < d; ++e)
            for (Index a = 0; a < D; ++a)
              for (Index b = 0; b < D; ++b) {
                if (softmax) {
                  add(place(a * d + e), place(Dd + b * d + e), weight * own(k, a) * x(l, b) / root);
                } else {
                  add(place(a * d + e), place(Dd + b * d + e), weight * own(k, a) * own(l, b) / variance);
                  if (a > b) continue;
                  add(place(a * d + e), place(b * d + e), -weight * own(k, a) * own(k, b) / variance);
                  add(place(Dd + a * d + e), place(Dd + b * d + e),
                      -weight * own(l, a) * own(l, b) / variance);
                }
              }
          for (Index p = 0; p < moving; ++p)
            for (Index e = 0; e < d; ++e) {
              for (Index f = 0; f < D; ++f) add(place(p), column(2, h, f, e), ds(l, p) * x(l, f) * rW[e]);
              for (Index out = 0; out < o; ++out)
                add(place(p), column(3, h, e, out), ds(l, p) * u(l, e) * r[out]);
            }
          for (Index e = 0; e < d; ++e)
            for (Index f = 0; f < D; ++f)
              for (Index out = 0; out < o; ++out)
                add(column(2, h, f, e), column(3, h, e, out), s[l] * own(l, f) * r[out]);
        }
      }
    }
  for (Index a = 0; a < P; ++a)
    for (Index b = 0; b < a; ++b) at.curvature(a, b) = at.curvature(b, a);
  at.gradient = QuadVector(P, Quad(0));
  for (Index row = 0; row < at.J.rows; ++row)
    for (Index p = 0; p < P; ++p) at.gradient[p] += at.J(row, p) * at.residual[row];
  return at;
}

/// The columns `of` a matrix, in that order.
inline QuadMatrix columns_of(const QuadMatrix& A, const std::vector<Index>& of) {
  QuadMatrix part(A.rows, static_cast<Index>(of.size()));
  for (Index i = 0; i < A.rows; ++i)
    for (Index j = 0; j < part.cols; ++j) part(i, j) = A(i, of[j]);
  return part;
}

/// The places in theta (all blocks trained) of these blocks' parameters.
inline std::vector<Index> places_of(const AttentionSpec& spec, const std::vector<std::string>& blocks) {
  const Index size = spec.heads * spec.embedding * spec.head_dim;
  const auto all = attention_blocks();
  std::vector<Index> places;
  for (const std::string& name : blocks) {
    const Index b = std::find(all.begin(), all.end(), name) - all.begin();
    const Index count = b < 3 ? size : spec.heads * spec.head_dim * spec.outputs;
    for (Index p = 0; p < count; ++p) places.push_back(b * size + p);
  }
  return places;
}

}  // namespace basin::test
