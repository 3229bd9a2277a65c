#include "basin/curvature/hessian_parts.h"

#include "basin/model/perturbation.h"

namespace basin {

std::string to_string(HessianPart part) {
  return part == HessianPart::hessian        ? "hessian"
         : part == HessianPart::gauss_newton ? "gauss-newton"
                                             : "residual";
}

HessianParts::HessianParts(const Linearization<double>& at, double underflow, const StandIn& stand_in,
                           std::uint64_t first)
    : hessian_(at, underflow), gauss_newton_(at, underflow) {
  if (stand_in) {
    other_hessian_ = stand_in(hessian_, first);
    other_gauss_newton_ = stand_in(gauss_newton_, first + 1);
  }
  residual_ = std::make_unique<DifferenceOperator>(get(HessianPart::hessian), get(HessianPart::gauss_newton));
}

const SelfAdjointOperator& HessianParts::get(HessianPart part) const {
  if (part == HessianPart::residual) return *residual_;
  if (part == HessianPart::hessian) return other_hessian_ ? *other_hessian_ : hessian_;
  return other_gauss_newton_ ? *other_gauss_newton_ : gauss_newton_;
}

MeasuredHessianParts::MeasuredHessianParts(const Linearization<double>& at, double underflow,
                                           const StandIn& stand_in)
    : perturbed_at_(linearize_perturbed(at.point())),
      here_(at, underflow, stand_in),
      uncounted_(at, underflow) {
  for (const Linearization<double>& other : perturbed_at_)
    perturbed_.emplace_back(other, underflow, stand_in, 2 * perturbed_.size() + 2);
}

FarthestPerturbed MeasuredHessianParts::farthest(HessianPart part) const {
  std::vector<const SelfAdjointOperator*> others;
  for (const HessianParts& other : perturbed_) others.push_back(&other.get(part));
  return {uncounted_.get(part), std::move(others)};
}

}  // namespace basin
