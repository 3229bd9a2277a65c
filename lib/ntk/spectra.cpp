#include "ntk/spectra.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/dense.h"
#include "linalg/errors.h"
#include "linalg/parallel.h"

namespace basin {
namespace {

std::vector<const ParameterLayout::Entry*> trainable_blocks(const ParameterLayout& parameters) {
  std::vector<const ParameterLayout::Entry*> blocks;
  for (const auto& entry : parameters.entries())
    if (entry.trainable()) blocks.push_back(&entry);
  return blocks;
}

/// The spectrum for J^T = Q R with R: r x m, where `parameters` is the number of rows of J^T.
NtkSpectrum spectrum_of_factor(const std::string& name, Index parameters, const Vectors<double>& R,
                               double rounding) {
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  const Index m = R.cols();
  const Vector<double> values = singular_values(R);
  NtkSpectrum spectrum;
  spectrum.name = name;
  spectrum.parameters = parameters;
  spectrum.singular_values = Vector<double>::Zero(m);
  spectrum.singular_values.head(values.size()) = values;
  spectrum.singular_value_error =
      10 * static_cast<double>(std::max(m, parameters)) * kEps * values[0] + rounding;
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

std::vector<double> jacobian_rounding(ConstVectorsRef<double> Jt, const Linearization<double>& twin,
                                      const Progress& progress) {
  constexpr double kAllowance = 4;
  const auto blocks = trainable_blocks(twin.parameters());
  const Index samples = twin.samples(), columns = Jt.cols() / samples;
  Vectors<double> norms(samples, static_cast<Index>(blocks.size()));
  parallel_for(
      samples,
      [&](Index i, Index slot) {
        Vectors<double> difference(Jt.rows(), columns);
        twin.jacobian_of_sample(i, slot, difference);
        difference -= Jt.middleCols(i * columns, columns);
        for (Index b = 0; b < norms.cols(); ++b)
          norms(i, b) = difference.middleRows(blocks[b]->theta_offset, blocks[b]->block.size()).norm();
      },
      progress);
  std::vector<double> rounding;
  for (Index b = 0; b < norms.cols(); ++b) rounding.push_back(kAllowance * norms.col(b).norm());
  return rounding;
}

std::vector<NtkSpectrum> ntk_spectra(VectorsRef<double> Jt, const ParameterLayout& parameters,
                                     const std::vector<double>& rounding,
                                     std::vector<std::vector<std::string>> sets) {
  if (!Jt.allFinite()) throw WorkError("the Jacobian is not finite: the NTK is not defined");
  const auto blocks = trainable_blocks(parameters);
  if (sets.empty()) {
    std::vector<std::string> all;
    for (const auto* entry : blocks) all.push_back(entry->block.name), sets.push_back({entry->block.name});
    sets.push_back(all);
  }
  std::vector<Vectors<double>> factors(blocks.size());
  parallel_for(static_cast<Index>(blocks.size()), [&](Index b, Index) {
    factors[b] = triangular_factor(Jt.middleRows(blocks[b]->theta_offset, blocks[b]->block.size()));
  });

  // J^T = blkdiag(Q_b) [R_1; R_2; ...], so the stack of factors has the singular values of J.
  std::vector<NtkSpectrum> spectra(sets.size());
  parallel_for(static_cast<Index>(sets.size()), [&](Index s, Index) {
    std::string name;
    Index rows = 0, size = 0;
    double squares = 0;
    std::vector<std::size_t> members;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (std::find(sets[s].begin(), sets[s].end(), blocks[b]->block.name) == sets[s].end()) continue;
      members.push_back(b);
      name += (name.empty() ? "" : ",") + blocks[b]->block.name;
      rows += factors[b].rows(), size += blocks[b]->block.size();
      squares += rounding.at(b) * rounding.at(b);
    }
    if (members.size() == blocks.size() && s + 1 == static_cast<Index>(sets.size())) name = "sum";
    if (members.size() == 1) {
      spectra[s] = spectrum_of_factor(name, size, factors[members[0]], std::sqrt(squares));
      return;
    }
    Vectors<double> stack(rows, Jt.cols());
    rows = 0;
    for (const std::size_t b : members) {
      stack.middleRows(rows, factors[b].rows()) = factors[b];
      rows += factors[b].rows();
    }
    spectra[s] = spectrum_of_factor(name, size, triangular_factor(stack), std::sqrt(squares));
  });
  return spectra;
}

double ntk_bytes(const ParameterLayout& parameters, Index m, Index samples) {
  const auto size = static_cast<double>(m), P = static_cast<double>(parameters.theta_size());
  double stack = 0;
  for (const auto* entry : trainable_blocks(parameters))
    stack += std::min(static_cast<double>(entry->block.size()), size);
  // One sample's part of J^T for each thread at work; later the factors, their stack, and two copies in an
  // SVD.
  const double part = size / static_cast<double>(samples);
  const double differences = P * part * static_cast<double>(std::min(samples, thread_slots()));
  return 8 * (size * P + std::max(differences, size * (2 * stack + 2 * size)));
}

}  // namespace basin
