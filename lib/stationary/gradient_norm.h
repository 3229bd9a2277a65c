/// |grad f|^2 / 2: small at stationary points of any index.
#pragma once

#include "basin/stationary/objective.h"

namespace basin {

/// phi = |g|^2 / 2 of another function, with gradient H g. Products with its Hessian are those of its
/// Gauss-Newton part H H, exact at stationary points. Its minima with H g = 0 and g not 0 are no stationary
/// points of f.
class GradientNorm final : public Objective {
 public:
  explicit GradientNorm(Objective& f)
      : Objective(f.size(), f.length(Vector<double>::Zero(f.size()))), f_(f) {}

 private:
  double do_loss(const Vector<double>& theta) override;
  std::optional<Iterate> do_at(Vector<double> theta) override;
  void do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) override;

  Objective& f_;
};

}  // namespace basin
