/// A ball around the weights in which gradient descent provably reaches zero loss (ntk/MATHEMATICS.md, "The
/// ball certificate").
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "basin/single_layer/norm_constants.h"

namespace basin {

/// One head's part of L(R): |D^2 F_h[u, u']| <= (p, w) [alpha gamma; gamma delta] (p', w')^T, where p is the
/// norm of u's part in W_Q and W_K, w of that in W_V and W_O.
struct HeadBound {
  double alpha, gamma, delta;
  double norm() const;  ///< the largest eigenvalue of that matrix
};

/// For every head.
std::vector<HeadBound> second_derivative_bounds(const NormConstants& norms, double R);

/// L(R): |D^2 F(theta)[u, u']| <= L(R) |u| |u'| wherever |theta - theta_0| <= R; nondecreasing and convex in
/// R. Infinity where the arithmetic overflows.
double second_derivative_bound(const NormConstants& norms, double R);

/// Dev(R) >= the integral of L from 0 to R >= |J(theta) - J(theta_0)| wherever |theta - theta_0| <= R: the
/// upper Riemann sum with 64 cells.
double jacobian_deviation(const NormConstants& norms, double R);

/// What is guaranteed about gradient descent (or, for c = 0, about gradient flow) from theta_0. If it passes:
///
///   - a point of zero loss exists with |theta - theta_0| < radius, and the run converges to one,
///   - it never leaves the ball, and the length of its path is at most path_length,
///   - sigma_min(J) >= s_star and |J| <= sigma_max + deviation all along,
///   - each step of size `step` multiplies f by `rate` or less (flow: f <= f_0 exp(-2 s_star^2 t)).
///
/// In exact arithmetic, given that the singular values and the residual handed in are true bounds.
struct Certificate {
  bool passes = false;
  double c = 0;              ///< step = c / beta
  double sigma_min = 0;      ///< s0, a lower bound on the smallest of the m singular values of J(theta_0)
  double sigma_max = 0;      ///< S0, an upper bound on the largest
  double residual_norm = 0;  ///< |r_0|
  /// The smallest R that passes: s_star, step, rate and path_length are best there. If none does, the one
  /// that comes closest (largest margin).
  double radius = 0;
  double curvature = 0;         ///< L(R)
  double deviation = 0;         ///< Dev(R)
  double s_star = 0;            ///< s0 - Dev(R); at least s0 / 2
  double beta = 0;              ///< (S0 + Dev(R))^2 + L(R) |r_0| >= |grad^2 f| in the ball while f <= f_0
  double step = 0;              ///< 0 if it does not pass
  double rate = 1;              ///< 1 - 2 c (1 - c/2) s_star^2 / beta; 1 if it does not pass
  double path_length = 0;       ///< |r_0| / ((1 - c/2) s_star); infinity if it does not pass
  double largest_residual = 0;  ///< it would pass for every |r_0| below
  double margin = 0;  ///< largest_residual / |r_0|: passes if > 1, else misses by the factor 1 / margin
};

/// c in [0, 1]; c = 0 asks for gradient flow, hence for the existence of a zero of the loss only, and passes
/// for twice the residual of c = 1. Residual 0 always passes, with radius 0.
/// Throws InputError unless 0 <= s0_lower <= S0_upper and r0_norm >= 0 are finite and c is in range.
Certificate ball_certificate(const NormConstants& norms, double s0_lower, double S0_upper, double r0_norm,
                             double c = 1);

/// The residual below which the certificate passes: max over R of (1 - c/2) R (s0 - Dev(R)). The targets
/// enter the certificate through |r_0| alone, so this says which targets theta_0 is good for. Infinity when F
/// is linear in theta and s0 > 0.
double largest_residual(const NormConstants& norms, double s0_lower, double c = 1);

/// Factors between two ends.
struct Scalings {
  double low, high;
};

/// The scalings t of the targets with |F - t Y| <= r, if there are any.
std::optional<Scalings> target_scalings(const Matrix<double>& F, const Matrix<double>& Y, double r);

/// The gain nearest to 1 (in ratio) for which certify(gain) passes: searched on the powers of sqrt(2) within
/// [1 / limit, limit], both sides at once, and where none of them passes around the one with the largest
/// margin, by golden sections; then by bisection down to a relative 1e-6 towards 1. Gains elsewhere between
/// two powers that both fail are not found. Nothing is certified where `excludes(low, high)`, "no gain
/// between these passes", holds from one power to the next over all that would be searched. Throws InputError
/// unless limit >= 1.
std::optional<double> passing_gain(const std::function<Certificate(double)>& certify, double limit = 1024,
                                   const std::function<bool(double, double)>& excludes = {});

}  // namespace basin
