/// A function of each number by itself.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/layer.h"

namespace basin {

enum class ActivationFunction { relu, gelu, gelu_tanh, silu, tanh };

/// g(x) with its two first derivatives.
template <class S>
struct ActivationValue {
  S value, first, second;
};

/// 1 / (1 + e^-x), right to its last digits however small it is.
template <class S>
S sigmoid(S x) {
  return 1 / (1 + std::exp(-x));
}

/// max(x, 0); at the kink x = 0 the derivatives of the piece x <= 0.
template <class S>
ActivationValue<S> relu(S x) {
  return {x <= 0 ? 0 : x, x <= 0 ? S(0) : S(1), 0};
}

/// x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016): by erfc, as 1 + erf loses
/// every digit of the tail.
template <class S>
ActivationValue<S> gelu(S x) {
  constexpr S kRootHalf = 0.70710678118654752440084436210484904L,
              kDensity = 0.39894228040143267793994605993438187L;
  const S square = std::min(x * x, S(3e4));  // beyond it the density is 0
  const S Phi = std::erfc(-x * kRootHalf) / 2, phi = kDensity * std::exp(-square / 2);
  return {x * Phi, Phi + x * phi, phi * (2 - square)};
}

/// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3): GPT-2's. 1 + tanh u = 2 sigmoid(2 u), which
/// has a tail.
template <class S>
ActivationValue<S> gelu_tanh(S x) {
  constexpr S c = 0.79788456080286535587989211986876373L, a = 0.044715L, kSaturated = 100;
  const S z = std::clamp(x, -kSaturated, kSaturated), square = z * z;
  const S u = c * z * (1 + a * square), u1 = c * (1 + 3 * a * square), u2 = 6 * c * a * z;
  const S s = sigmoid(2 * u), rest = sigmoid(-2 * u), q = 4 * s * rest;
  const S t1 = q * u1, t2 = q * (u2 - 2 * (s - rest) * u1 * u1);
  return {x * s, s + x * t1 / 2, t1 + x * t2 / 2};
}

/// x sigmoid(x).
template <class S>
ActivationValue<S> silu(S x) {
  const S s = sigmoid(x), rest = sigmoid(-x), q = s * rest;
  return {x * s, s + x * q, q * (2 + x * (rest - s))};
}

template <class S>
ActivationValue<S> tanh_activation(S x) {
  const S t = std::tanh(x), first = 4 * sigmoid(2 * x) * sigmoid(-2 * x);
  return {t, first, -2 * t * first};
}

/// Throws InputError, listing the names: relu, gelu, gelu-tanh, silu, tanh.
inline ActivationFunction activation_from_name(const std::string& name) {
  if (name == "relu") return ActivationFunction::relu;
  if (name == "gelu") return ActivationFunction::gelu;
  if (name == "gelu-tanh") return ActivationFunction::gelu_tanh;
  if (name == "silu") return ActivationFunction::silu;
  if (name == "tanh") return ActivationFunction::tanh;
  throw InputError("unknown activation function '" + name +
                   "'; expected relu, gelu, gelu-tanh, silu or tanh");
}

/// y = g(x), number by number. No parameters.
template <class S>
class Activation final : public Layer<S> {
 public:
  Activation(Shape input, ActivationFunction function) : Layer<S>(input, input), function_(function) {}

  std::vector<ParameterBlock> blocks() const override { return {}; }

  /// Keeps g'(x) and g''(x).
  void value(BlockView<const S> /*w*/, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    value.values.resize(2);
    for (Batch<S>* b : {&y, &value[0], &value[1]}) b->resize(1, x.rows(), x.cols());
    switch (function_) {
      case ActivationFunction::relu:
        return apply(x, value, y, relu<S>);
      case ActivationFunction::gelu:
        return apply(x, value, y, gelu<S>);
      case ActivationFunction::gelu_tanh:
        return apply(x, value, y, gelu_tanh<S>);
      case ActivationFunction::silu:
        return apply(x, value, y, silu<S>);
      case ActivationFunction::tanh:
        return apply(x, value, y, tanh_activation<S>);
    }
  }

  Index kinks(const Saved<S>& value) const override {
    if (function_ != ActivationFunction::relu) return 0;
    const auto x = value.input[0];
    Index count = 0;
    for (Index row = 0; row < x.rows(); ++row)
      if (value.context.mask.empty() || value.context.mask[static_cast<std::size_t>(row)] != 0)
        count += (x.row(row).array() == 0).count();
    return count;
  }

  /// dy = g' dx
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    tangent.input = dx;
    if (dx.empty()) return dy.resize_zero(dw.count(), value.input.rows(), value.input.cols());
    times_first(value, dx, dy);
  }

  /// xbar = g' ybar
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> /*wbar*/, Batch<S>* xbar) const override {
    adjoint.input = ybar;
    if (xbar) times_first(value, ybar, *xbar);
  }

  /// dxbar = g' dybar + g'' dx ybar
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> /*dwbar*/, Batch<S>* dxbar) const override {
    if (!dxbar) return;
    times_first(value, dybar, *dxbar);
    const BatchView<const S> dx = tangent.input, ybar = adjoint.input;
    if (dx.empty()) return;
    for (Index j = 0; j < dybar.count(); ++j)
      (*dxbar)[j].array() += value[1][0].array() * ybar[0].array() * dx[j].array();
  }

 private:
  template <class Function>
  static void apply(BatchView<const S> x, Saved<S>& value, Batch<S>& y, const Function& g) {
    const S* from = x[0].data();
    S *to = y[0].data(), *first = value[0][0].data(), *second = value[1][0].data();
    for (Index i = 0; i < x[0].size(); ++i) {
      const ActivationValue<S> at = g(from[i]);
      to[i] = at.value, first[i] = at.first, second[i] = at.second;
    }
  }
  static void times_first(const Saved<S>& value, BatchView<const S> v, Batch<S>& out) {
    out.resize(v.count(), v.rows(), v.cols());
    for (Index j = 0; j < v.count(); ++j) out[j].array() = value[0][0].array() * v[j].array();
  }

  ActivationFunction function_;
};

}  // namespace basin
