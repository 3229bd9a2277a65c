#include "ntk/minimum.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/definite.h"
#include "ntk/conditions.h"

namespace basin {
namespace {

Index parameter_count(const AttentionSpec& s, const std::vector<std::string>& blocks) {
  Index total = 0;
  for (const std::string& b : blocks)
    total += b == "W_O" ? s.heads * s.head_dim * s.outputs : s.heads * s.embedding * s.head_dim;
  return total;
}

/// The sum of the kernels of some blocks, and an estimate of its rounding error: four times the distance from
/// the twin's (model/twin.h), block by block.
struct FormedKernel {
  Vectors<double> K;
  double error = 0;
};
FormedKernel form(const AttentionFactors& f, const AttentionFactors& twin,
                  const std::vector<std::string>& blocks) {
  FormedKernel formed;
  for (const std::string& b : blocks) {
    Matrix<double> K = block_kernel(f, b);
    formed.error += 4 * (K - block_kernel(twin, b)).norm();
    if (formed.K.size() == 0)
      formed.K = K;
    else
      formed.K += K;
  }
  return formed;
}

}  // namespace

double KernelMinimum::condition_number() const {
  return positive_definite() ? lambda_max / lambda_min : std::numeric_limits<double>::infinity();
}

KernelMinimum minimum_of(const NtkSpectrum& s) {
  const Index last = s.size() - 1;
  return {s.name,        "singular values of J", s.size(),       s.parameters, s.rank(),  s.lambda_min(),
          s.lower(last), s.upper(last),          s.lambda_max(), s.lower(0),   s.upper(0)};
}

KernelMinimum output_minimum(const AttentionFactors& f, const AttentionFactors& twin) {
  const MeasuredValues A = measured_values(output_factor(f), output_factor(twin));
  const auto squared = [](double x) { return x > 0 ? x * x : 0.0; };
  const double smallest = A.values[A.values.size() - 1], largest = A.values[0];
  const Index width = f.spec.heads * f.spec.head_dim;
  KernelMinimum m = {"W_O",
                     "factor A",
                     f.outputs(),
                     width * f.spec.outputs,
                     A.rank() * f.spec.outputs,
                     squared(smallest),
                     squared(smallest - A.error),
                     squared(smallest + A.error),
                     squared(largest),
                     squared(largest - A.error),
                     squared(largest + A.error)};
  if (width < f.tokens()) m.upper = 0;  // A has fewer columns than rows: exactly singular
  return m;
}

std::vector<std::optional<KernelMinimum>> formed_minima(const AttentionFactors& f,
                                                        const AttentionFactors& twin,
                                                        const std::vector<std::vector<std::string>>& sets,
                                                        double tolerance, const Progress& progress) {
  std::vector<std::optional<KernelMinimum>> minima;
  for (const auto& blocks : sets) {
    minima.emplace_back();
    std::string name;
    for (const std::string& b : blocks) name += (name.empty() ? "" : ",") + b;
    const Index parameters = parameter_count(f.spec, blocks);
    if (name == "W_O") {
      minima.back() = output_minimum(f, twin);
    } else if (parameters >= f.outputs()) {
      const FormedKernel formed = form(f, twin, blocks);
      const DefiniteEigenvalues ends = definite_eigenvalues(formed.K);
      const double lower = ends.smallest.lower - formed.error, upper = ends.smallest.upper + formed.error;
      if (ends.definite && upper - lower <= 2 * tolerance * ends.smallest.value)
        minima.back() = KernelMinimum{name,
                                      "formed kernel",
                                      f.outputs(),
                                      parameters,
                                      f.outputs(),
                                      ends.smallest.value,
                                      lower,
                                      upper,
                                      ends.largest.value,
                                      ends.largest.lower - formed.error,
                                      ends.largest.upper + formed.error};
    }
    report(progress, static_cast<Index>(minima.size()), static_cast<Index>(sets.size()));
  }
  return minima;
}

double formed_minima_bytes(Index m) {
  // The kernel, a block's and its twin's while they are made; the kernel, a factor and its shifted copy
  // later.
  return 8 * 4 * static_cast<double>(m) * static_cast<double>(m);
}

}  // namespace basin
