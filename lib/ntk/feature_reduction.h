/// The same kernels with fewer features (MATHEMATICS.md, "Fewer features").
#pragma once

#include <memory>

#include "model/attention_model.h"

namespace basin {

/// An attention layer at a point, on data.
struct AttentionPoint {
  AttentionSpec spec;
  Vector<double> weights;  ///< all blocks
  std::shared_ptr<const Data<double>> data;
};

/// Inputs enter as X W only, so D > N n features are more than the data can tell apart: with orthonormal
/// columns Q that span the rows of X, the inputs X Q and the weights Q^T W have the same outputs, and the
/// same kernel J J^T of every block, in N n features.
class FeatureReduction {
 public:
  explicit FeatureReduction(const AttentionPoint& point);

  /// D > N n, and X Q Q^T W has the digits of X W. It has not where features differ in scale and weights make
  /// up for it: Q mixes all of them, and the small ones drown in the rounding of the large.
  bool useful() const { return basis_.size() > 0; }
  AttentionPoint apply(const AttentionPoint& point) const;

  /// The share of rounding errors in X and W that falls into the span of N n of D features is small: what a
  /// twin shows of rounding after the reduction is multiplied by this, sqrt(D / N n).
  double rounding_scale() const { return rounding_scale_; }

 private:
  Matrix<double> basis_;  // Q, D x N n
  double rounding_scale_ = 1;
};

}  // namespace basin
