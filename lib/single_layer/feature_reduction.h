/// The same kernels with fewer features (ntk/MATHEMATICS.md, "Fewer features").
#pragma once

#include "basin/single_layer/attention_view.h"

namespace basin {

/// Inputs enter as X W only, so D > N n features are more than the data can tell apart: with orthonormal
/// columns Q that span the rows of X, the inputs X Q and the weights Q^T W have the same outputs, and the
/// same kernel J J^T of every block, in N n features.
class FeatureReduction {
 public:
  /// Throws InputError unless the network is a single attention layer.
  explicit FeatureReduction(const ModelPoint<double>& point);

  /// D > N n, and X Q Q^T W has the digits of X W. It has not where features differ in scale and weights make
  /// up for it: Q mixes all of them, and the small ones drown in the rounding of the large.
  bool useful() const { return basis_.size() > 0; }
  /// A point of the same layer in N n features, the same blocks trained; the point itself unless useful. At
  /// points of the same architecture, as perturbed ones are.
  ModelPoint<double> apply(const ModelPoint<double>& point) const;

  /// The share of rounding errors in X and W that falls into the span of N n of D features is small: what a
  /// perturbed point shows of rounding after the reduction is multiplied by this, sqrt(D / N n).
  double rounding_scale() const { return rounding_scale_; }

 private:
  Matrix<double> basis_;  // Q, D x N n
  double rounding_scale_ = 1;
};

}  // namespace basin
