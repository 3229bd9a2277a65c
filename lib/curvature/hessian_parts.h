/// The Hessian and the two parts that it is the sum of, with a measure of their rounding.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "basin/curvature/operators.h"

namespace basin {

enum class HessianPart {
  hessian,       ///< H = G + R
  gauss_newton,  ///< G = J^T H_l J
  residual       ///< R = H - G
};
/// "hessian", "gauss-newton", "residual"
std::string to_string(HessianPart part);

/// Makes what stands in for an operator, say to keep its products; nothing where that stands for itself.
/// number: 0 for H and 1 for G of a point, then 2 and 3 for those of its first perturbed point, and so on.
using StandIn = std::function<std::unique_ptr<const SelfAdjointOperator>(const SelfAdjointOperator&,
                                                                         std::uint64_t number)>;

/// H, G and R at one point, each P x P; the linearization must outlive them. R takes the products of both
/// others.
class HessianParts {
 public:
  /// underflow: as for HessianOperator. first: the number of H.
  explicit HessianParts(const Linearization<double>& at, double underflow = 0, const StandIn& stand_in = {},
                        std::uint64_t first = 0);
  const SelfAdjointOperator& get(HessianPart part) const;

 private:
  HessianOperator hessian_;
  GaussNewtonOperator gauss_newton_;
  std::unique_ptr<const SelfAdjointOperator> other_hessian_,
      other_gauss_newton_;  ///< what stands in for them
  std::unique_ptr<const DifferenceOperator> residual_;
};

/// These, and those of perturbed points (model/perturbation.h).
class MeasuredHessianParts {
 public:
  MeasuredHessianParts(const Linearization<double>& at, double underflow = 0, const StandIn& stand_in = {});
  const SelfAdjointOperator& get(HessianPart part) const { return here_.get(part); }
  /// What differs from `get` by rounding alone: EigenOptions::perturbed and the like. A view.
  FarthestPerturbed farthest(HessianPart part) const;

 private:
  std::vector<Linearization<double>> perturbed_at_;
  HessianParts here_;
  HessianParts uncounted_;  ///< those the perturbed ones are held against: no work of an algorithm's
  std::deque<HessianParts> perturbed_;
};

}  // namespace basin
