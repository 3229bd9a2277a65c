#include "basin/single_layer/certificate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

// L, Dev and the condition are a few hundred operations on non-negative numbers, but for s0 - Dev, which is
// at least s0 / 2.
constexpr double kRounding = 1 + 1e-12;

/// Where R (s0 - Dev(R)) is largest, and that value.
struct Reach {
  double radius, value;
};

/// The function is concave in R, so unimodal in log R: ternary search over 2^-300 .. 2^300. Where the bound
/// overflows the function counts as smaller than before.
Reach furthest_reach(const NormConstants& norms, double s0) {
  const auto value = [&](double log_radius) {
    const double R = std::exp2(log_radius);
    return R * (s0 - jacobian_deviation(norms, R));
  };
  double low = -300, high = 300;
  if (s0 > 0 && second_derivative_bound(norms, std::exp2(high)) == 0) return {kInfinity, kInfinity};
  for (int i = 0; i < 80; ++i) {
    const double third = (high - low) / 3;
    if (value(low + third) < value(high - third))
      low += third;
    else
      high -= third;
  }
  const double best = value(low);
  if (!(best > 0)) return {0, 0};
  return {std::exp2(low), best};
}

double residual_of_reach(double reach, double c) {
  return (1 - c / 2) * reach / kRounding;
}

void check_not_negative(const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value))
    throw InputError(std::string("certificate: ") + name + " = " + std::to_string(value) +
                     "; expected a finite number, at least 0");
}

void check_step(double c) {
  if (!(c >= 0 && c <= 1))
    throw InputError("certificate: c = " + std::to_string(c) + "; expected a number from 0 to 1");
}

}  // namespace

double HeadBound::norm() const {
  return (alpha + delta) / 2 + std::hypot((alpha - delta) / 2, gamma);
}

std::vector<HeadBound> second_derivative_bounds(const NormConstants& norms, double R) {
  const auto if_trained = [&](AttentionBlock b, double x) { return norms.trained[b] ? x : 0; };
  const double dQ = if_trained(kQ, R), dK = if_trained(kK, R), dV = if_trained(kV, R), dO = if_trained(kO, R);
  const double m = if_trained(kQ, 1) + if_trained(kK, 1);
  const double n = norms.tokens, root_d = std::sqrt(norms.head_dim), sigma = norms.sigma, zeta = norms.zeta();
  const double both = if_trained(kQ, if_trained(kK, norms.xi_centred * norms.chi));

  std::vector<HeadBound> bounds;
  for (const HeadNorms& at_0 : norms.heads) {
    // Upper bounds of the same norms anywhere in the ball.
    const double W_O = at_0.W_O + dO, values = at_0.values + zeta * dV;
    const double outputs = at_0.outputs + zeta * (at_0.W_V * dO + at_0.W_O * dV + dV * dO);
    const double nu = std::hypot(if_trained(kV, zeta * W_O), if_trained(kO, values));
    HeadBound bound{};
    if (norms.kernel == KernelKind::softmax) {
      const double keys = at_0.keys + norms.xi_centred * dK;
      const double queries = at_0.queries + norms.xi * dQ, query = at_0.query + norms.rho * dQ;
      const double tau =
          std::hypot(if_trained(kQ, keys * norms.chi), if_trained(kK, queries * norms.chi_centred)) / root_d;
      const double row =
          std::hypot(if_trained(kQ, keys * norms.rho), if_trained(kK, query * norms.xi_centred)) / root_d;
      bound.alpha = outputs * (std::sqrt(6.0) / 9 * tau * row + both / (2 * root_d));
      bound.gamma = tau * nu / 2;
    } else {
      bound.alpha = outputs * m * std::sqrt(n) * norms.rho * norms.chi / (sigma * sigma);
      bound.gamma = std::exp(-0.5) * std::sqrt(m * n) * norms.chi * nu / sigma;
    }
    bound.delta = at_0.mixed;
    bounds.push_back(bound);
  }
  return bounds;
}

double second_derivative_bound(const NormConstants& norms, double R) {
  double L = 0;
  for (const HeadBound& head : second_derivative_bounds(norms, R)) {
    const double norm = head.norm();
    L = std::max(L, std::isnan(norm) ? kInfinity : norm);
  }
  return kRounding * L;
}

double jacobian_deviation(const NormConstants& norms, double R) {
  constexpr int kCells = 64;
  double sum = 0;
  for (int cell = 1; cell <= kCells; ++cell) sum += second_derivative_bound(norms, R * cell / kCells);
  return R == 0 ? 0 : sum * R / kCells;
}

Certificate ball_certificate(const NormConstants& norms, double s0_lower, double S0_upper, double r0_norm,
                             double c) {
  check_not_negative("s0", s0_lower);
  check_not_negative("S0", S0_upper);
  check_not_negative("|r_0|", r0_norm);
  check_step(c);
  if (s0_lower > S0_upper) throw InputError("certificate: s0 is larger than S0");

  const Reach reach = furthest_reach(norms, s0_lower);
  Certificate out;
  out.c = c;
  out.sigma_min = s0_lower;
  out.sigma_max = S0_upper;
  out.residual_norm = r0_norm;
  out.largest_residual = residual_of_reach(reach.value, c);
  out.margin = r0_norm > 0 ? out.largest_residual / r0_norm : kInfinity;
  out.passes = out.margin > 1;
  out.radius = reach.radius;
  if (out.passes) {
    // R (s0 - Dev(R)) rises from 0 up to the reach, with s0 - Dev(R) between s0 / 2 and s0.
    const auto passes = [&](double R) {
      return residual_of_reach(R * (s0_lower - jacobian_deviation(norms, R)), c) > r0_norm;
    };
    double low = r0_norm > 0 ? r0_norm / ((1 - c / 2) * s0_lower) : 0, high = std::min(4 * low, reach.radius);
    for (int i = 0; i < 60; ++i) {
      const double middle = low + (high - low) / 2;
      (passes(middle) ? high : low) = middle;
    }
    out.radius = high;
  }
  out.curvature = second_derivative_bound(norms, out.radius);
  out.deviation = jacobian_deviation(norms, out.radius);
  out.s_star = s0_lower - out.deviation;
  out.beta = (S0_upper + out.deviation) * (S0_upper + out.deviation);
  if (r0_norm > 0) out.beta += out.curvature * r0_norm;
  out.path_length = out.passes ? 0 : kInfinity;
  if (out.passes && r0_norm > 0) out.path_length = r0_norm / ((1 - c / 2) * out.s_star);
  if (out.passes && out.beta > 0) {
    out.step = c / out.beta;
    out.rate = 1 - 2 * c * (1 - c / 2) * out.s_star * out.s_star / out.beta;
  }
  return out;
}

double largest_residual(const NormConstants& norms, double s0_lower, double c) {
  check_not_negative("s0", s0_lower);
  check_step(c);
  return residual_of_reach(furthest_reach(norms, s0_lower).value, c);
}

std::optional<Scalings> target_scalings(const Matrix<double>& F, const Matrix<double>& Y, double r) {
  if (F.rows() != Y.rows() || F.cols() != Y.cols())
    throw InputError("certificate: outputs and targets differ in shape");
  const double length = Y.stableNorm();
  if (length == 0)
    return F.stableNorm() <= r ? std::optional<Scalings>({-kInfinity, kInfinity}) : std::nullopt;
  const Matrix<double> direction = Y / length;
  const double along = F.cwiseProduct(direction).sum(), across = (F - along * direction).stableNorm();
  if (!(across <= r)) return std::nullopt;
  const double half = std::sqrt((r - across) * (r + across));
  return Scalings{(along - half) / length, (along + half) / length};
}

namespace {

/// Where the margin is largest between two powers of two, by golden sections; ends at the first that passes.
double largest_margin(const std::function<Certificate(double)>& certify, double low, double high) {
  constexpr int kSections = 24;
  const double golden = (std::sqrt(5.0) - 1) / 2;
  double left = high - golden * (high - low), right = low + golden * (high - low);
  Certificate at_left = certify(std::exp2(left)), at_right = certify(std::exp2(right));
  for (int i = 0; i < kSections && !at_left.passes && !at_right.passes; ++i) {
    if (at_left.margin > at_right.margin) {
      high = right, right = left, at_right = at_left;
      left = high - golden * (high - low), at_left = certify(std::exp2(left));
    } else {
      low = left, left = right, at_left = at_right;
      right = low + golden * (high - low), at_right = certify(std::exp2(right));
    }
  }
  return at_left.margin > at_right.margin ? left : right;
}

}  // namespace

std::optional<double> passing_gain(const std::function<Certificate(double)>& certify, double limit,
                                   const std::function<bool(double, double)>& excludes) {
  if (!(limit >= 1)) throw InputError("certificate: the limit of the gain must be at least 1");
  // All powers, and half a power around the last, where the margin may be largest. From 1 outwards: what
  // passes is likely near, and found to be open soon.
  const auto nothing_passes = [&] {
    for (double power = 0; power < std::log2(limit) + 0.5; power += 0.5)
      if (!excludes(std::exp2(power), std::exp2(power + 0.5)) ||
          !excludes(std::exp2(-power - 0.5), std::exp2(-power)))
        return false;
    return true;
  };
  if (excludes && nothing_passes()) return std::nullopt;
  Certificate best = certify(1);
  if (best.passes) return 1;
  // Between a power that fails and one further from 1 that passes, the passing one nearest to 1.
  const auto nearest_to_one = [&](double fails, double passes) {
    while (std::abs(passes - fails) > 1e-6) {
      const double middle = (passes + fails) / 2;
      (certify(std::exp2(middle)).passes ? passes : fails) = middle;
    }
    return passes;
  };
  double best_power = 0;
  const double largest = std::log2(limit) + 1e-12;
  for (double power = 0.5; power <= largest; power += 0.5) {
    std::optional<double> nearest;  // log2 of it
    for (double side : {1.0, -1.0}) {
      const Certificate c = certify(std::exp2(side * power));
      if (c.margin > best.margin) best = c, best_power = side * power;
      if (!c.passes) continue;
      const double found = nearest_to_one(side * (power - 0.5), side * power);
      if (!nearest || std::abs(found) < std::abs(*nearest)) nearest = found;
    }
    if (nearest) return std::exp2(*nearest);
  }
  const double peak = largest_margin(certify, best_power - 0.5, best_power + 0.5);
  if (!certify(std::exp2(peak)).passes) return std::nullopt;
  return std::exp2(
      nearest_to_one(peak > 0 ? std::max(0.0, best_power - 0.5) : std::min(0.0, best_power + 0.5), peak));
}

}  // namespace basin
