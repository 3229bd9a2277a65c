/// How different the spectra of several operators are.
#pragma once

#include <vector>

#include "basin/spectrum/density.h"

namespace basin {

/// Jensen-Shannon distances of spectral densities: the square root of
///
///     JS(p, q) = 1/2 KL(p | m) + 1/2 KL(q | m),    m = (p + q) / 2,    in bits,
///
/// which is a metric: 0 for the same density, 1 for densities that have nothing in common. Block by block
/// along the Hessian of a network it is the heterogeneity that Zhang et al. (Why Transformers Need Adam: A
/// Hessian Perspective, NeurIPS 2024) hold against plain gradient descent, their JS0 at initialisation. The
/// densities are those of all eigenvalues, on one linear axis from the smallest to the largest node of all,
/// smoothed by a Gaussian of a hundredth of that range: spectra that are all near zero beside the widest one
/// count as the same.
struct Heterogeneity {
  Vectors<double> distances;  ///< b x b, symmetric, 0 on the diagonal
  Vectors<double> errors;     ///< standard errors: estimated from the random probes (jackknife)
  double mean = 0;            ///< over pairs
  double mean_error = 0;
  double width = 0;  ///< standard deviation of the Gaussian
};

/// Of at least two quadratures, with the same number of probes, at least two, each. Throws InputError for
/// others.
Heterogeneity heterogeneity(const std::vector<const LanczosQuadrature*>& spectra);

}  // namespace basin
