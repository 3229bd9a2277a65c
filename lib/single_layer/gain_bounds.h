/// Gains of a block at which the ball certificate cannot pass, proven without the kernel at any of them
/// (ntk/MATHEMATICS.md, "No gain").
#pragma once

#include "basin/model/evaluator.h"
#include "basin/single_layer/certificate.h"
#include "basin/single_layer/kernel_minima.h"

namespace basin {

class GainBounds {
 public:
  /// The certificate of the trained blocks with all weights of `block` multiplied by a gain. sum: the kernel
  /// of all trained blocks at gain 1. Throws as norm_constants, and InputError for an unknown block.
  GainBounds(const ModelPoint<double>& point, const KernelMinimum& sum, const std::string& block);

  /// Whether no gain in [low, high] can pass, 0 < low <= high: the largest residual that would pass is below
  /// the residual at all of them. False where that is not proven, say after more evaluations than allowed.
  bool excludes(double low, double high);
  /// Of the loss, so far.
  Index evaluations() const { return evaluations_; }

 private:
  bool linear() const { return block_ >= kV; }  ///< F in the gain: W_V, W_O
  double loss(double gain);
  NormConstants norms_at(double gain) const;
  double smallest_singular_value(double gain) const;
  double residual(double gain);
  bool stays_above(double needed, double low, double high);
  bool stays_above(double needed, double low, double high, double at_low, double at_high);

  ModelPoint<double> point_;
  AttentionBlock block_;
  NormConstants norms_;             ///< at gain 1
  double smallest_;                 ///< lambda_min at gain 1, from above
  double slack_ = 0;                ///< of a residual, for its rounding
  double speed_ = 0;                ///< |dF / dgain| is at most this, at any gain; where F is not linear
  std::array<double, 3> square_{};  ///< else |F|^2, F.Y and |Y|^2 at gain 1
  LossEvaluator<double> loss_;
  Index evaluations_ = 0;
};

}  // namespace basin
