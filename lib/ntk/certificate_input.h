/// What the ball certificate needs to know, measured at a point with all roundings allowed for.
#pragma once

#include "model/linearization.h"
#include "ntk/certificate.h"
#include "ntk/minimum.h"

namespace basin {

struct CertificateInput {
  NormConstants norms;
  double s0, S0;     ///< bounds on the smallest and the largest singular value of J
  double r0;         ///< upper bound on |r_0|
  Matrix<double> F;  ///< outputs
  double F_error;    ///< Frobenius norm of their rounding: 4 times the distance from the farthest twin's, and
                     ///< underflow
};

/// `at` and `twins`: linearizations of the point and of its twins (model/twins.h). `sum`: the kernel of all
/// trained blocks; S0 is infinite if its largest eigenvalue has no upper bound.
CertificateInput certificate_input(const AttentionSpec& spec, const Vector<double>& weights,
                                   const Data<double>& data, const Linearization<double>& at,
                                   const std::vector<Linearization<double>>& twins, const KernelMinimum& sum);

}  // namespace basin
