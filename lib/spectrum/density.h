/// Spectral densities by stochastic Lanczos quadrature, with error bars.
#pragma once

#include <cstdint>
#include <vector>

#include "basin/linalg/combinators.h"
#include "basin/linalg/progress.h"

namespace basin {

/// The Gauss quadrature of one probe: sum_i weight_i g(node_i) is v^T g(A) v for polynomials g of degree up
/// to 2 steps - 1, v a random unit vector.
struct ProbeRule {
  Vector<double> nodes, weights;  ///< ascending nodes; weights sum to one
  /// c_i with A y_i - node_i y_i = c_i / sqrt(weight_i) z for the Ritz vectors y_i and one unit vector z, the
  /// signs so that v = sum_i sqrt(weight_i) y_i.
  Vector<double> couplings;
  Vector<double> coarse_nodes, coarse_weights;  ///< the rule of three quarters of the steps
  bool exhausted = false;                       ///< the Krylov space is invariant: the rule is exact
};

struct LanczosQuadrature {
  Index size = 0;  ///< eigenvalues that the measure counts: those of A on the complement of the removed space
  Index removed = 0;    ///< dimension of that space
  double rounding = 0;  ///< of a product with a probe; 0 without QuadratureOptions::perturbed
  std::vector<ProbeRule> probes;
  Index products = 0;
  double lowest() const;   ///< smallest node: an upper bound on the smallest eigenvalue, but for rounding
  double highest() const;  ///< largest node
};

struct QuadratureOptions {
  Index probes = 10, steps = 60;
  std::uint64_t seed = 0;
  /// Probes that run side by side, their products in blocks: each takes size * steps * 8 bytes.
  Index at_once = 10;
  const SelfAdjointOperator* perturbed = nullptr;  ///< A with other roundings (EigenOptions::perturbed)
};

/// Lanczos from `probes` random unit vectors, uniform on the sphere, with full reorthogonalisation (Golub and
/// Meurant, Matrices, Moments and Quadrature, 2010; Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38,
/// 2017). `remove` takes a space of dimension `removed` away from every vector: the measure is that of A on
/// its complement; for 0 it is that of A, and `remove` is not called. A breakdown ends a probe with an exact
/// rule. Throws InputError for impossible numbers, and WorkError when a product is not finite.
LanczosQuadrature lanczos_quadrature(const SelfAdjointOperator& A, const Removal& remove, Index removed,
                                     const QuadratureOptions& options = {}, const Progress& progress = {});

/// A share of the eigenvalues.
struct Mass {
  double value;  ///< estimate
  double lower;  ///< 95 % confidence at least, truncation included
  double upper;
  double noise;       ///< standard error from the random probes
  double truncation;  ///< half the width of what the quadrature leaves open
};

/// The share of eigenvalues below x: the weights of the nodes below x. Of each probe it is certain that its
/// mass below x lies
/// - between the weights of the nodes below x, the last one excluded, and those with the first one above
///   (Chebyshev, Markov and Stieltjes); nodes that are eigenvalues to within a hundredth of their distance
///   from x count fully;
/// - and no further from the rule's than Ritz vectors can reach over x (MATHEMATICS.md).
/// The mass of a random unit vector in a space of k of n dimensions is Beta(k/2, (n-k)/2), so the noise is
/// known: variance 2 p (1 - p) / (n + 2), and the interval is Wilson's, with 2.5 standard errors.
Mass mass_below(const LanczosQuadrature& quadrature, double x);

/// What counts as zero in a density: 1e-10 of the largest magnitude, or the rounding of the products.
double zero_threshold(const LanczosQuadrature& quadrature);

/// As close to zero as the quadrature leaves no more than half a per cent of the eigenvalues undecided.
double resolved_threshold(const LanczosQuadrature& quadrature);

/// Where a density is evaluated: Gaussian kernels of this width in the coordinate u(lambda).
enum class DensityAxis { linear, symmetric_log };

struct DensityCurve {
  Vector<double> eigenvalue;  ///< grid
  Vector<double> density;     ///< share of the eigenvalues per unit of u
  Vector<double> noise;       ///< standard error from the random probes
  /// What the quadrature leaves open. linear: an estimate, the distance from the density of three quarters of
  /// the steps. symmetric_log, where nodes are sparse around zero: a bound, from the bounds on the mass.
  Vector<double> truncation;
  double width = 0;  ///< standard deviation of the kernel, in units of u
  double scale = 0;  ///< symmetric_log: u = asinh(lambda / scale)
};

/// On `points` evenly spaced in u, from the smallest to the largest node (and zero, symmetric_log) with three
/// widths around. A width of 0 stands for (range of u) / steps, but no less than two spacings of the grid: at
/// the centre of a range, nodes are pi/2 widths apart. Throws InputError for a width that the grid does not
/// resolve, below two spacings.
DensityCurve density_curve(const LanczosQuadrature& quadrature, DensityAxis axis, Index points = 400,
                           double width = 0);

/// Bytes that lanczos_quadrature takes.
double lanczos_quadrature_bytes(Index size, const QuadratureOptions& options);

}  // namespace basin
