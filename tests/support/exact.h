/// The attention layer, its loss and their first and second derivatives with 33 digits.
///
/// It shares nothing with the library but the definition of the layer. Derivatives are carried along with the
/// values, exactly, by arithmetic with numbers v + a s + b t + ab s t where s^2 = t^2 = 0.
#pragma once

#include <cmath>
#include <vector>

#include "basin/model/attention_model.h"

namespace basin::test {

__extension__ using Quad = __float128;

/// exp(x) = 2^k exp(r / 2^8)^(2^8), by a Taylor series.
inline Quad exponential(Quad x) {
  if (x < -11300) return 0;
  const double k = std::nearbyint(static_cast<double>(x) / std::log(2.0));
  const Quad ln2 = Quad(0x1.62e42fefa39efp-1) + Quad(0x1.abc9e3b39803fp-56) + Quad(0x1.7b57a079a1934p-111);
  const Quad r = (x - static_cast<Quad>(k) * ln2) / 256;
  Quad term = 1, sum = 0;
  for (int i = 1; i < 14; ++i) term *= r / i, sum += term;
  for (int i = 0; i < 8; ++i) sum = 2 * sum + sum * sum;  // exp - 1 keeps its digits
  Quad power = 1 + sum;
  const Quad factor = k < 0 ? 0.5 : 2;
  for (int i = 0; i < std::abs(k); ++i) power *= factor;
  return power;
}

inline Quad square_root(Quad x) {
  Quad y = std::sqrt(static_cast<double>(x));
  for (int i = 0; i < 2; ++i) y = (y + x / y) / 2;
  return y;
}

/// v + a s + b t + ab s t
struct Exact {
  Quad v = 0, a = 0, b = 0, ab = 0;

  Exact operator+(const Exact& y) const { return {v + y.v, a + y.a, b + y.b, ab + y.ab}; }
  Exact operator-(const Exact& y) const { return {v - y.v, a - y.a, b - y.b, ab - y.ab}; }
  Exact operator*(const Exact& y) const {
    return {v * y.v, v * y.a + a * y.v, v * y.b + b * y.v, v * y.ab + a * y.b + b * y.a + ab * y.v};
  }
  Exact operator*(Quad c) const { return {c * v, c * a, c * b, c * ab}; }
};
inline Exact exponential(const Exact& x) {
  const Quad e = exponential(x.v);
  return {e, e * x.a, e * x.b, e * (x.ab + x.a * x.b)};
}
inline Exact inverse(const Exact& x) {
  const Quad r = 1 / x.v;
  return {r, -r * r * x.a, -r * r * x.b, r * r * (2 * r * x.a * x.b - x.ab)};
}

/// The outputs, rows (sample, token) by D_out. weights: all blocks. `factors`, unless empty: of the attention
/// weights, in the order (sample, head, query, key).
inline std::vector<Exact> exact_outputs(const AttentionSpec& spec, const std::vector<Exact>& weights,
                                        const std::vector<Quad>& X, Index samples,
                                        const std::vector<Quad>& factors = {}) {
  const Index n = spec.tokens, D = spec.embedding, H = spec.heads, d = spec.head_dim, o = spec.outputs;
  const Quad root = square_root(static_cast<Quad>(d));
  const Quad sigma = spec.bandwidth;
  const Quad variance = spec.bandwidth > 0 ? sigma * sigma : root;
  std::vector<Exact> F(samples * n * o);
  const auto project = [&](Index block, Index h, Index row, Index column) {
    Exact sum;
    for (Index i = 0; i < D; ++i)
      sum = sum + weights[((block * H + h) * D + i) * d + column] * X[row * D + i];
    return sum;
  };
  for (Index i = 0; i < samples; ++i)
    for (Index h = 0; h < H; ++h) {
      std::vector<Exact> parts[3];
      for (Index block = 0; block < 3; ++block)
        for (Index t = 0; t < n; ++t)
          for (Index c = 0; c < d; ++c) parts[block].push_back(project(block, h, i * n + t, c));
      const auto& [q, k, u] = parts;
      for (Index t = 0; t < n; ++t) {
        std::vector<Exact> z(n);
        for (Index l = 0; l < n; ++l)
          for (Index c = 0; c < d; ++c) {
            const Exact &x = q[t * d + c], &y = k[l * d + c], delta = x - y;
            z[l] = z[l] + (spec.kernel == KernelKind::softmax ? x * y * (1 / root)
                                                              : delta * delta * (-1 / (2 * variance)));
          }
        Exact total;
        if (spec.kernel == KernelKind::softmax) {
          Exact top = z[0];
          for (const Exact& score : z)
            if (score.v > top.v) top = score;
          for (Exact& score : z) score = score - top;
        }
        for (Exact& score : z) score = exponential(score), total = total + score;
        const Exact scale = spec.kernel == KernelKind::softmax ? inverse(total) : Exact{1};
        for (Index l = 0; l < n; ++l) {
          const Exact a = z[l] * scale * (factors.empty() ? Quad(1) : factors[((i * H + h) * n + t) * n + l]);
          for (Index c = 0; c < d; ++c)
            for (Index out = 0; out < o; ++out)
              F[(i * n + t) * o + out] = F[(i * n + t) * o + out] +
                                         a * u[l * d + c] * weights[3 * H * D * d + (h * d + c) * o + out];
        }
      }
    }
  return F;
}

/// Everything at a point, for a direction v and a cotangent u, all blocks trained.
struct ExactProducts {
  Quad loss;
  std::vector<Quad> outputs, gradient, jvp, vjp, hessian;
};

inline ExactProducts exact_products(const AttentionSpec& spec, const Vector<double>& weights,
                                    const Data<double>& data, const Vectors<double>& v,
                                    const Vectors<double>& u, const std::vector<Quad>& factors = {}) {
  const std::vector<Quad> X(data.X.data(), data.X.data() + data.X.size());
  ExactProducts all;
  for (Index i = 0; i < weights.size(); ++i) {
    std::vector<Exact> at(weights.size());
    for (Index j = 0; j < weights.size(); ++j) at[j] = {weights[j], Quad(i == j ? 1 : 0), v(j, 0), 0};
    const std::vector<Exact> F = exact_outputs(spec, at, X, data.samples, factors);
    Exact loss, pulled;
    for (std::size_t k = 0; k < F.size(); ++k) {
      const Exact residual = F[k] - Exact{data.Y.data()[k]};
      loss = loss + residual * residual * Quad(0.5);
      pulled = pulled + F[k] * Quad(u(static_cast<Index>(k), 0));
      if (i == 0) all.outputs.push_back(F[k].v), all.jvp.push_back(F[k].b);
    }
    all.loss = loss.v;
    all.gradient.push_back(loss.a);
    all.vjp.push_back(pulled.a);
    all.hessian.push_back(loss.ab);
  }
  return all;
}

}  // namespace basin::test
