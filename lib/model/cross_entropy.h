/// The loss of classifiers and language models.
#pragma once

#include <cmath>
#include <type_traits>

#include "basin/model/loss.h"
#include "basin/network/rows.h"

namespace basin {

/// l(F) = sum over the rows of -log p_y, p = softmax of the row, y its label (torch.nn.CrossEntropyLoss):
///
///     r = p - e_y,   H_l = diag(p) - p p^T = L L^T,   L = diag(sqrt p) - p sqrt(p)^T
///
/// Every number is right to the last digits for logits of any size. With o the class of the largest logit,
/// whose weight exp(0) is 1, and s the sum of all other weights exp(F_c - F_o): 1 + s is never formed where s
/// alone is wanted, as in log p_o = -log1p(s) and 1 - p_o = s / (1 + s); and products with H_l take
/// differences from entry o, whose weight may be 1 but for a rounding.
template <class S>
class CrossEntropy final : public Loss<S> {
 public:
  using In = typename Loss<S>::In;
  using Out = typename Loss<S>::Out;

  /// As described: "average". Throws InputError.
  explicit CrossEntropy(const LossDescription& description)
      : facts_{.name = "cross-entropy",
               .formula = "",
               .average = Average::sum,
               .labels = true,
               .quadratic = false,
               .convex = true,
               .infimum = 0,
               .attained = false,
               .centred = true} {
    const std::string average = std::get<std::string>(description.options.at("average"));
    facts_.average = average_from_name(average, {"sum", "rows", "samples"});
    facts_.formula = "cross-entropy -log softmax(F)_y, " +
                     (facts_.average == Average::sum ? "sum over rows" : "mean over " + average);
  }

  const LossFacts& facts() const override { return facts_; }

  S value(In F, const Targets<S>& t) const override {
    S sum = 0;
    for (Index row = 0; row < F.rows(); ++row) {
      const Row at(F, row);
      sum += (F(row, at.largest) - F(row, label(t, row))) + std::log1p(at.others);
    }
    return sum;
  }

  void gradient(In F, const Targets<S>& t, Out r) const override {
    for (Index row = 0; row < F.rows(); ++row) {
      const Row at(F, row);
      const S total = 1 + at.others;
      for (Index c = 0; c < F.cols(); ++c) r(row, c) = at.weight(c) / total;
      const Index y = label(t, row);
      // p_y - 1 = -(the weights of the others) / total
      const S weight = at.weight(y);
      const S others = y == at.largest ? at.others
                       : weight < S(0.5) * total
                           ? total - weight
                           : fixed_sum<S>(F.cols(), [&](Index c) { return c == y ? S(0) : at.weight(c); });
      r(row, y) = -others / total;
    }
  }

  /// p o (dF - <p, dF>)
  void hessian_product(In F, const Targets<S>& /*t*/, In dF, Out dr) const override {
    for (Index row = 0; row < F.rows(); ++row) {
      const Row at(F, row);
      const S total = 1 + at.others, base = dF(row, at.largest), mean = mean_above(at, dF, row);
      for (Index c = 0; c < F.cols(); ++c) dr(row, c) = at.weight(c) / total * ((dF(row, c) - base) - mean);
    }
  }

  /// sqrt(p) o (dF - <p, dF>)
  void factor_transposed(In F, const Targets<S>& /*t*/, In dF, Out Z) const override {
    for (Index row = 0; row < F.rows(); ++row) {
      const Row at(F, row);
      const S total = 1 + at.others, base = dF(row, at.largest), mean = mean_above(at, dF, row);
      for (Index c = 0; c < F.cols(); ++c)
        Z(row, c) = std::sqrt(at.weight(c) / total) * ((dF(row, c) - base) - mean);
    }
  }

  /// sqrt(p) o Z - p <sqrt(p), Z>
  void factor(In F, const Targets<S>& /*t*/, In Z, Out dF) const override {
    for (Index row = 0; row < F.rows(); ++row) {
      const Row at(F, row);
      const S total = 1 + at.others;
      const auto root = [&](Index c) { return std::sqrt(at.weight(c) / total); };
      const S mean = fixed_sum<S>(F.cols(), [&](Index c) { return root(c) * Z(row, c); });
      for (Index c = 0; c < F.cols(); ++c) dF(row, c) = root(c) * (Z(row, c) - root(c) * mean);
    }
  }

 private:
  /// <p, dF> - dF_o of a row.
  template <class R>
  static S mean_above(const R& at, In dF, Index row) {
    const S base = dF(row, at.largest);
    return fixed_sum<S>(dF.cols(), [&](Index c) { return at.weight(c) * (dF(row, c) - base); }) /
           (1 + at.others);
  }
  static Index label(const Targets<S>& t, Index row) { return t.labels[static_cast<std::size_t>(row)]; }

  /// A row of logits: the class of the largest, the first of several, and the weights relative to it. One at
  /// a time in a thread.
  struct Row {
    Row(const In& F, Index row) : weights(memory(F.cols())) {
      const S* logits = F.data() + row * F.outerStride();
      S finite = 0 * logits[0];  // else NaN, which comparisons and Eigen's exp would drop
      for (Index c = 1; c < F.cols(); ++c) {
        finite += 0 * logits[c];
        if (logits[c] > logits[largest]) largest = c;
      }
      for (Index c = 0; c < F.cols(); ++c) weights[c] = logits[c] - logits[largest];
      // Eigen's exp ends at the least normal number; less is none beside 1
      weights = (weights > kLeast).select(weights.exp(), S(0));
      others = finite + fixed_sum<S>(F.cols(), [&](Index c) { return c == largest ? S(0) : weights[c]; });
    }
    S weight(Index c) const { return weights[c]; }

    Eigen::Array<S, Eigen::Dynamic, 1>& weights;
    Index largest = 0;
    S others;  ///< the sum of the weights of all other classes; that of the largest is 1

   private:
    static constexpr S kLeast = std::is_same_v<S, float> ? -87 : -708;
    /// Of the thread, a whole number of packets: whatever the address of the logits, they are computed alike.
    static Eigen::Array<S, Eigen::Dynamic, 1>& memory(Index classes) {
      constexpr Index kPacket = 16;
      thread_local Eigen::Array<S, Eigen::Dynamic, 1> all;
      const Index size = (classes + kPacket - 1) / kPacket * kPacket;
      if (all.size() != size) all.setZero(size);
      return all;
    }
  };

  LossFacts facts_;
};

}  // namespace basin
