/// A function of each number by itself.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <type_traits>

#include "basin/linalg/errors.h"
#include "basin/linalg/simd.h"
#include "basin/network/layer.h"

namespace basin {

enum class ActivationFunction { relu, gelu, gelu_tanh, silu, tanh };

/// What functions are evaluated on: packs of the machine, or long double, which packs are compared with.
template <class S>
struct NumbersOf {
  using Type = Pack<S>;
};
template <>
struct NumbersOf<long double> {
  using Type = long double;
};
template <class S>
using Numbers = typename NumbersOf<S>::Type;

/// g(x) with its two first derivatives.
template <class S>
struct ActivationValue {
  Numbers<S> value, first, second;
};

/// e^-y for y >= 0; of packs 0 where that is no normal number.
template <class S>
Numbers<S> exp_minus(Numbers<S> y) {
  if constexpr (std::is_same_v<S, long double>)
    return std::exp(-y);
  else
    return exp_of_negative<S>(-y);
}

/// e^(-a^2 / 2) for a >= 0, without the rounding of a^2, which would be an error of a^2 / 2 units: a = z +
/// rest, where z^2 is exact.
template <class S>
Numbers<S> exp_minus_half_square(Numbers<S> a) {
  if constexpr (std::is_same_v<S, long double>) return std::exp(-a * a / 2);
  constexpr S kSplit = std::is_same_v<S, float> ? S(4097) : S(134217729);
  const Numbers<S> scaled = a * kSplit, z = scaled - (scaled - a);
  const Numbers<S> r = (a - z) * (a + z) / S(2);
  return exp_minus<S>(z * z / S(2)) * (S(1) - r * (S(1) - r * (S(1) - r / S(3)) / S(2)));
}

// (1 + sqrt(2) a) e^(a^2 / 2) Phi(-a), Phi the normal distribution function, as a polynomial in (a - 5) / (a
// + 5) (after Shepherd and Laframboise, Math. Comp. 36, 1981): interpolated at Chebyshev's points, off by
// 1e-17.
inline constexpr std::array kNormalTail = {
    0x1.3ddc3d8fef7c6p-1,   -0x1.1eef47981a4afp-4,  -0x1.12d6bf7985684p-8,  0x1.86567c44c4517p-5,
    -0x1.d43f36c029bf2p-5,  0x1.6bb7292c5df3bp-5,   -0x1.9c86836523862p-6,  0x1.4e860d6eb24e5p-7,
    -0x1.429a5a7cd2719p-9,  -0x1.76226de165962p-15, 0x1.28a183869611ep-12,  -0x1.3fa6ad7182ec3p-14,
    -0x1.18f93af81934dp-16, 0x1.bf91ed0b0e70bp-17,  0x1.82748ebe5ada6p-23,  -0x1.05b4c695af709p-19,
    0x1.4068511587fb2p-23,  0x1.3b956c41f12f5p-22,  -0x1.1abd0a05bdfe7p-25, -0x1.8d5d0f1a7c4a5p-25,
    0x1.385534802c16ep-28,  0x1.c1fe8c67e7ecap-28,  -0x1.7d84fead73f7fp-32, -0x1.36d04f3fcf347p-31,
};

/// Phi(-a) for a >= 0, e = e^(-a^2 / 2), to a few units in the last place.
template <class S>
Numbers<S> normal_tail(Numbers<S> a, Numbers<S> e) {
  constexpr S kRootTwo = 1.41421356237309504880168872420969808L;
  if constexpr (std::is_same_v<S, long double>) {
    return std::erfc(a / kRootTwo) / 2;
  } else {
    // in four sums by powers of t^4: steps of one need not wait for those of another
    constexpr std::size_t kSums = 4, size = kNormalTail.size();
    static_assert(size % kSums == 0);
    const Pack<S> t = (a - S(5)) / (a + S(5)), t2 = t * t, t4 = t2 * t2;
    Pack<S> sums[kSums];
    for (std::size_t k = 0; k < kSums; ++k)
      sums[k] = Pack<S>{} + static_cast<S>(kNormalTail[size - kSums + k]);
    for (std::size_t i = size - kSums; i > 0; i -= kSums)
      for (std::size_t k = 0; k < kSums; ++k)
        sums[k] = multiply_add<S>(sums[k], t4, Pack<S>{} + static_cast<S>(kNormalTail[i - kSums + k]));
    const Pack<S> low = multiply_add<S>(sums[1], t, sums[0]), high = multiply_add<S>(sums[3], t, sums[2]);
    return e * multiply_add<S>(high, t2, low) / (S(1) + kRootTwo * a);
  }
}

/// 1 / (1 + e^-x) and 1 / (1 + e^x), right to their last digits however small.
template <class S>
struct Sigmoid {
  Numbers<S> value, rest;
};
template <class S>
Sigmoid<S> sigmoid(Numbers<S> x) {
  const Numbers<S> e = exp_minus<S>(x < S(0) ? -x : x), large = S(1) / (S(1) + e), small = e * large;
  return {x < S(0) ? small : large, x < S(0) ? large : small};
}

/// max(x, 0); at the kink x = 0 the derivatives of the piece x <= 0.
template <class S>
ActivationValue<S> relu(Numbers<S> x) {
  const Numbers<S> zero{}, one = zero + S(1);
  return {x <= S(0) ? zero : x, x <= S(0) ? zero : one, zero};
}

/// x Phi(x) (Hendrycks and Gimpel 2016).
template <class S>
ActivationValue<S> gelu(Numbers<S> x) {
  constexpr S kDensity = 0.39894228040143267793994605993438187L, kZero = 200;  // beyond it Phi(-a) is 0
  const Numbers<S> zero{}, size = x < S(0) ? -x : x, a = size > kZero ? zero + kZero : size;
  const Numbers<S> e = exp_minus_half_square<S>(a), tail = normal_tail<S>(a, e), phi = kDensity * e;
  const Numbers<S> Phi = x > S(0) ? S(1) - tail : tail;
  return {x * Phi, Phi + x * phi, phi * (S(2) - a * a)};
}

/// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3): GPT-2's. 1 + tanh u = 2 sigmoid(2 u), which
/// has a tail.
template <class S>
ActivationValue<S> gelu_tanh(Numbers<S> x) {
  constexpr S c = 0.79788456080286535587989211986876373L, a = 0.044715L, kSaturated = 100;
  const Numbers<S> zero{}, below = x > kSaturated ? zero + kSaturated : x,
                           z = below < -kSaturated ? zero - kSaturated : below, square = z * z;
  const Numbers<S> u = c * z * (S(1) + a * square), u1 = c * (S(1) + S(3) * a * square),
                   u2 = S(6) * c * a * z;
  const auto [s, rest] = sigmoid<S>(S(2) * u);
  const Numbers<S> q = S(4) * s * rest, t1 = q * u1, t2 = q * (u2 - S(2) * (s - rest) * u1 * u1);
  return {x * s, s + x * t1 / S(2), t1 + x * t2 / S(2)};
}

/// x sigmoid(x).
template <class S>
ActivationValue<S> silu(Numbers<S> x) {
  const auto [s, rest] = sigmoid<S>(x);
  const Numbers<S> q = s * rest;
  return {x * s, s + x * q, q * (S(2) + x * (rest - s))};
}

template <class S>
ActivationValue<S> tanh_activation(Numbers<S> x) {
  Numbers<S> t{};
  if constexpr (std::is_same_v<S, long double>)
    t = std::tanh(x);
  else
    for (Index i = 0; i < kLanes<S>; ++i) t[i] = std::tanh(x[i]);
  const auto [s, rest] = sigmoid<S>(S(2) * x);
  const Numbers<S> first = S(4) * s * rest;
  return {t, first, S(-2) * t * first};
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
        return apply<relu<S>>(x, value, y);
      case ActivationFunction::gelu:
        return apply<gelu<S>>(x, value, y);
      case ActivationFunction::gelu_tanh:
        return apply<gelu_tanh<S>>(x, value, y);
      case ActivationFunction::silu:
        return apply<silu<S>>(x, value, y);
      case ActivationFunction::tanh:
        return apply<tanh_activation<S>>(x, value, y);
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
    const BatchView<const S> dx = tangent.input, ybar = adjoint.input;
    if (dx.empty()) return times_first(value, dybar, *dxbar);
    dxbar->resize(dybar.count(), dybar.rows(), dybar.cols());
    for (Index j = 0; j < dybar.count(); ++j)
      (*dxbar)[j].array() =
          value[0][0].array() * dybar[j].array() + value[1][0].array() * ybar[0].array() * dx[j].array();
  }

 private:
  template <ActivationValue<S> (*g)(Numbers<S>)>
  static void apply(BatchView<const S> x, Saved<S>& value, Batch<S>& y) {
    const S* from = x[0].data();
    S *to = y[0].data(), *first = value[0][0].data(), *second = value[1][0].data();
    const Index size = x[0].size();
    if constexpr (std::is_same_v<S, long double>) {
      for (Index i = 0; i < size; ++i) {
        const ActivationValue<S> at = g(from[i]);
        to[i] = at.value, first[i] = at.first, second[i] = at.second;
      }
    } else {
      // one copy of the code for whole packs and the rest: the same bits wherever a number stands
      for (Index i = 0; i < size; i += kLanes<S>) {
        const Index count = std::min(kLanes<S>, size - i);
        const ActivationValue<S> at = g(load_part(from + i, count));
        store_part(to + i, at.value, count);
        store_part(first + i, at.first, count);
        store_part(second + i, at.second, count);
      }
    }
  }
  static void times_first(const Saved<S>& value, BatchView<const S> v, Batch<S>& out) {
    out.resize(v.count(), v.rows(), v.cols());
    for (Index j = 0; j < v.count(); ++j) out[j].array() = value[0][0].array() * v[j].array();
  }

  ActivationFunction function_;
};

}  // namespace basin
