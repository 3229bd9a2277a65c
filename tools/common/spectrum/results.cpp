#include "common/spectrum/results.h"

namespace basin::tools {

std::string matrix_title(const SpectrumResults& r, Index removed) {
  const std::string matrix = r.matrix == "hessian"        ? "Hessian"
                             : r.matrix == "gauss-newton" ? "Gauss-Newton matrix"
                                                          : "residual part";
  return (r.block.empty() ? "" : r.block + " block of the ") + matrix +
         (removed > 0 ? " modulo symmetries" : "");
}

bool semidefinite(const SpectrumResults& r) {
  return r.matrix == "gauss-newton" && r.convex;
}

Mass share_below(const SpectrumResults& r, double x) {
  return semidefinite(r) && x <= 0 ? Mass{} : mass_below(*r.quadrature, x);
}

}  // namespace basin::tools
