/// What basin-hessian finds, by the names that people and files have for it.
#pragma once

#include <string>

#include "basin/spectrum/analysis.h"

namespace basin::tools {

/// What was found of one matrix: the Hessian, its Gauss-Newton part or the rest, or a block of one of these.
struct SpectrumResults : SpectrumAnalysis {
  std::string matrix;                  ///< "hessian", "gauss-newton" or "residual"
  std::string block;                   ///< the diagonal block of this name; empty: the whole matrix
  std::string gauss_newton = "J^T J";  ///< what the Gauss-Newton matrix is, as people write it
  bool convex = true;                  ///< the loss is, in the outputs
};

/// "Hessian", "Gauss-Newton matrix", "residual part"; "W_Q block of the Hessian"; "Hessian modulo symmetries"
/// where `removed` directions are set aside. Every number that is printed, stored or drawn goes by this name.
std::string matrix_title(const SpectrumResults& results, Index removed);
/// The same of counts: "Hessian modulo symmetries at the balanced point" where they are of that.
std::string matrix_title(const SpectrumResults& results, const EigenvalueCounts& counts);
/// Of both ends.
std::string ends_title(const SpectrumResults& results);

/// Under a convex loss the Gauss-Newton matrix and its blocks have no negative eigenvalue, and no restriction
/// of them has.
bool semidefinite(const SpectrumResults& results);

/// The share of the eigenvalues below x.
Mass share_below(const SpectrumResults& results, double x);

}  // namespace basin::tools
