#include "basin/stationary/gradient_norm.h"

#include <cmath>

namespace basin {

double GradientNorm::do_loss(const Vector<double>& theta) {
  const std::optional<Iterate> x = f_.at(theta);
  return x ? x->gradient.squaredNorm() / 2 : std::nan("");
}

std::optional<Iterate> GradientNorm::do_at(Vector<double> theta) {
  const std::optional<Iterate> x = f_.at(theta);
  if (!x) return std::nullopt;
  Vectors<double> Hg(x->gradient.size(), 1);
  f_.hessian(x->gradient, Hg);
  const double phi = x->gradient.squaredNorm() / 2;
  if (!Hg.allFinite() || !std::isfinite(phi)) return std::nullopt;
  return Iterate{std::move(theta), phi, Hg.col(0)};
}

void GradientNorm::do_hessian(ConstVectorsRef<double> V, VectorsRef<double> HV) {
  Vectors<double> once(V.rows(), V.cols());
  f_.hessian(V, once);
  f_.hessian(once, HV);
}

}  // namespace basin
