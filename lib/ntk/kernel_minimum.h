/// The ends of the spectrum of a kernel, as far as they are known.
#pragma once

#include <limits>
#include <string>

#include "basin/ntk/spectra.h"

namespace basin {

/// A lower bound that is positive or says nothing. It may be too small for a double, as attention weights of
/// 1e-1086 are: its logarithm is kept, too.
struct Below {
  double value = 0;  ///< rounded down: 0 where it underflows
  double log10 = -std::numeric_limits<double>::infinity();

  /// Of a value that is right as it stands; nothing unless it is positive.
  static Below of(double value);
  /// Of a number that is known by its logarithm.
  static Below of_log10(double log10);
  bool positive() const { return log10 > -std::numeric_limits<double>::infinity(); }
};
Below operator*(const Below& a, const Below& b);
inline bool operator<(const Below& a, const Below& b) {
  return a.log10 < b.log10;
}

/// What is known of the smallest eigenvalue of a kernel (MATHEMATICS.md, "Four verdicts"). The numbers are
/// those of result files.
enum class Definiteness {
  singular = 0,   ///< zero, by algebra on the given numbers: never for what rounds or underflows to zero
  undecided = 1,  ///< zero is not excluded
  in_theory = 2,  ///< positive, but not above rounding of the largest eigenvalue, as far as is known
  definite = 3,   ///< positive, and above that
};
/// "positive definite", "in theory only", "not decided", "singular"
std::string to_string(Definiteness definiteness);

/// What is known of the ends of the spectrum of a kernel J J^T, m x m.
struct KernelMinimum {
  std::string name;      ///< "W_Q", "W_Q,W_K" or "sum", as in NtkSpectrum
  std::string method;    ///< "factor A", "formed kernel", "triangular factor of J", "singular values of J"
  Index size = 0;        ///< m
  Index parameters = 0;  ///< columns of J
  Index rank = -1;       ///< singular values that are certainly positive; -1 if only the ends are known
  double lambda_min = 0, lower = 0, upper = 0;  ///< lower <= the smallest eigenvalue <= upper
  double lambda_max = 0, largest_lower = 0, largest_upper = 0;
  bool proven_by_conditions = false;  ///< the lower bound comes from the conditions (conditions.h)
  /// log10 of a lower bound that underflows, `lower` being 0.
  double log10_underflow = -std::numeric_limits<double>::infinity();

  Below lower_bound() const { return lower > 0 ? Below::of(lower) : Below::of_log10(log10_underflow); }
  bool positive() const { return lower_bound().positive(); }
  /// An eigenvalue up to this is below rounding of the largest one: eps lambda_max, or the smallest normal
  /// number. In a step of gradient descent, 2 / lambda_max long at most, the residual's part along it shrinks
  /// by less than its rounding.
  double rounding() const;
  Definiteness definiteness() const;
  /// In the sense that is of use.
  bool positive_definite() const { return definiteness() == Definiteness::definite; }
  double condition_number() const;  ///< infinity unless known to be positive
  /// Positive, and enclosed as tightly as this, relative to it.
  bool known_to(double tolerance) const { return lower > 0 && upper - lower <= 2 * tolerance * lambda_min; }
};

KernelMinimum minimum_of(const NtkSpectrum& spectrum);

}  // namespace basin
