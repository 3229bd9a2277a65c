#include "common/spectrum/results.h"

namespace basin::tools {

std::string matrix_title(const SpectrumResults& r, Index removed) {
  const std::string matrix = r.matrix == "hessian"        ? "Hessian"
                             : r.matrix == "gauss-newton" ? "Gauss-Newton matrix"
                                                          : "residual part";
  return (r.block.empty() ? "" : r.block + " block of the ") + matrix +
         (removed > 0 ? " modulo symmetries" : "");
}

namespace {

std::string place(bool elsewhere) {
  return elsewhere ? " at the balanced point" : "";
}

}  // namespace

std::string matrix_title(const SpectrumResults& r, const EigenvalueCounts& counts) {
  return matrix_title(r, counts.removed) + place(counts.elsewhere);
}

std::string ends_title(const SpectrumResults& r) {
  return matrix_title(r, r.removed) + place(r.elsewhere);
}

bool semidefinite(const SpectrumResults& r) {
  return r.matrix == "gauss-newton" && r.convex;
}

Mass share_below(const SpectrumResults& r, double x) {
  return semidefinite(r) && x <= 0 ? Mass{} : mass_below(*r.quadrature, x);
}

}  // namespace basin::tools
