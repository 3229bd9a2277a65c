#include "ntk/spectra.h"

#include <algorithm>
#include <limits>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/parallel.h"

namespace basin {
namespace {

/// The spectrum for J^T = Q R with R: r x m, where `parameters` is the number of rows of J^T.
NtkSpectrum spectrum_of_factor(const std::string& name, Index parameters, const Vectors<double>& R) {
  const Index m = R.cols();
  const Vector<double> values = singular_values(R);
  NtkSpectrum spectrum;
  spectrum.name = name;
  spectrum.parameters = parameters;
  spectrum.singular_values = Vector<double>::Zero(m);
  spectrum.singular_values.head(values.size()) = values;
  spectrum.singular_value_error = 10 * static_cast<double>(std::max(m, parameters)) *
                                  std::numeric_limits<double>::epsilon() * spectrum.singular_values[0];
  return spectrum;
}

}  // namespace

double NtkSpectrum::eigenvalue(Index i) const {
  return singular_values[i] * singular_values[i];
}

double NtkSpectrum::lower(Index i) const {
  const double s = std::max(0.0, singular_values[i] - singular_value_error);
  return s * s;
}

double NtkSpectrum::upper(Index i) const {
  if (i >= parameters) return 0;  // J has fewer columns than that
  const double s = singular_values[i] + singular_value_error;
  return s * s;
}

Index NtkSpectrum::rank() const {
  return (singular_values.array() > singular_value_error).count();
}

double NtkSpectrum::condition_number() const {
  return positive_definite() ? lambda_max() / lambda_min() : std::numeric_limits<double>::infinity();
}

std::vector<NtkSpectrum> ntk_spectra(VectorsRef<double> Jt, const ParameterLayout& parameters) {
  if (!Jt.allFinite()) throw WorkError("the Jacobian is not finite: the NTK is not defined");
  std::vector<const ParameterLayout::Entry*> blocks;
  for (const auto& entry : parameters.entries())
    if (entry.trainable()) blocks.push_back(&entry);

  std::vector<Vectors<double>> factors(blocks.size());
  std::vector<NtkSpectrum> spectra(blocks.size());
  parallel_for(static_cast<Index>(blocks.size()), [&](Index b, Index) {
    const auto& block = blocks[b]->block;
    factors[b] = triangular_factor(Jt.middleRows(blocks[b]->theta_offset, block.size()));
    spectra[b] = spectrum_of_factor(block.name, block.size(), factors[b]);
  });

  // J^T = blkdiag(Q_b) [R_1; R_2; ...], so the stack of factors has the singular values of J.
  Index rows = 0;
  for (const auto& R : factors) rows += R.rows();
  Vectors<double> stack(rows, Jt.cols());
  rows = 0;
  for (const auto& R : factors) {
    stack.middleRows(rows, R.rows()) = R;
    rows += R.rows();
  }
  spectra.push_back(spectrum_of_factor("sum", parameters.theta_size(), triangular_factor(stack)));
  return spectra;
}

double ntk_bytes(const ParameterLayout& parameters, Index m) {
  double stack = 0;
  for (const auto& entry : parameters.entries())
    if (entry.trainable()) stack += static_cast<double>(std::min(entry.block.size(), m));
  const auto size = static_cast<double>(m);
  // J^T; the factors and their stack; two copies of one factor at work in an SVD
  return 8 * size * (static_cast<double>(parameters.theta_size()) + 2 * stack + 2 * size);
}

}  // namespace basin
