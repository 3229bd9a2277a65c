/// What the ball certificate needs to know, measured at a point with all roundings allowed for.
#pragma once

#include "basin/model/linearization.h"
#include "basin/single_layer/certificate.h"
#include "basin/single_layer/kernel_minima.h"

namespace basin {

struct CertificateInput {
  NormConstants norms;
  double s0, S0;     ///< bounds on the smallest and the largest singular value of J
  double r0;         ///< upper bound on |r_0|
  Matrix<double> F;  ///< outputs
  double F_error;    ///< Frobenius norm of their rounding: 4 times the distance from those at the farthest
                     ///< perturbed point, and underflow
};

/// `perturbed`: linearizations at perturbed points (linearize_perturbed). `sum`: the kernel of all trained
/// blocks; S0 is infinite if its largest eigenvalue has no upper bound. Throws as norm_constants.
CertificateInput certificate_input(const Linearization<double>& at,
                                   const std::vector<Linearization<double>>& perturbed,
                                   const KernelMinimum& sum);

/// The same, with linearizations made for it.
CertificateInput certificate_input(const ModelPoint<double>& point, const KernelMinimum& sum);

/// As ball_certificate of certificate.h.
Certificate ball_certificate(const CertificateInput& input, double c = 1);

struct CertificateOptions {
  MinimaOptions minima{};  ///< for the kernel of all trained blocks
  bool conditions = true;  ///< whether what conditions prove of it counts (with_conditions)
};

/// The certificate of a point, with c = 1. Throws as kernel_minima and norm_constants.
Certificate certificate_at(const ModelPoint<double>& point, const CertificateOptions& options = {});

}  // namespace basin
