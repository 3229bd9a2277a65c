#include "basin/ntk/spectra.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/parallel.h"

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
  const Index m = R.cols();
  const Vector<double> values = singular_values(R);
  NtkSpectrum spectrum;
  spectrum.name = name;
  spectrum.parameters = parameters;
  spectrum.singular_values = Vector<double>::Zero(m);
  spectrum.singular_values.head(values.size()) = values;
  spectrum.singular_value_error = factorisation_error(std::max(m, parameters), values[0]) + rounding;
  return spectrum;
}

}  // namespace

double factorisation_error(Index larger_side, double norm) {
  return 10 * std::sqrt(static_cast<double>(larger_side)) * std::numeric_limits<double>::epsilon() * norm;
}

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
  return std::max(s * s, std::numeric_limits<double>::min());  // the square may underflow
}

Index NtkSpectrum::rank() const {
  return (singular_values.array() > singular_value_error).count();
}

double NtkSpectrum::condition_number() const {
  return positive_definite() ? lambda_max() / lambda_min() : std::numeric_limits<double>::infinity();
}

std::vector<double> jacobian_rounding(ConstVectorsRef<double> Jt, const Linearization<double>& perturbed,
                                      const Progress& progress) {
  constexpr double kAllowance = 4;
  const auto blocks = trainable_blocks(perturbed.parameters());
  const Index samples = perturbed.samples(), columns = Jt.cols() / samples;
  Vectors<double> norms(samples, static_cast<Index>(blocks.size()));
  parallel_for(
      samples,
      [&](Index i, Index slot) {
        Vectors<double> difference(Jt.rows(), columns);
        perturbed.jacobian_of_sample(i, slot, difference);
        difference -= Jt.middleCols(i * columns, columns);
        for (Index b = 0; b < norms.cols(); ++b)
          // Stable: where attention has died out, squares of J's numbers are zero.
          norms(i, b) = difference.middleRows(blocks[b]->theta_offset, blocks[b]->block.size()).stableNorm();
      },
      progress);
  std::vector<double> rounding;
  for (Index b = 0; b < norms.cols(); ++b) rounding.push_back(kAllowance * norms.col(b).stableNorm());
  return rounding;
}

JacobianFactors::JacobianFactors(VectorsRef<double> Jt, const ParameterLayout& parameters,
                                 const std::vector<double>& rounding,
                                 const std::vector<std::vector<std::string>>& sets) {
  if (!Jt.allFinite()) throw WorkError("the Jacobian is not finite: the NTK is not defined");
  const auto blocks = trainable_blocks(parameters);
  if (sets.size() == 1 && sets[0].size() == blocks.size()) {
    double total = 0;
    for (const double r : rounding) total = std::hypot(total, r);
    blocks_.push_back({parameters.trained(), parameters.theta_size(), total, triangular_factor(Jt)});
    return;
  }
  for (std::size_t b = 0; b < blocks.size(); ++b)
    blocks_.push_back({{blocks[b]->block.name}, blocks[b]->block.size(), rounding.at(b), {}});
  parallel_for(static_cast<Index>(blocks.size()), [&](Index b, Index) {
    const std::string& name = blocks_[b].names[0];
    if (std::any_of(sets.begin(), sets.end(),
                    [&](const auto& set) { return std::find(set.begin(), set.end(), name) != set.end(); }))
      blocks_[b].factor = triangular_factor(Jt.middleRows(blocks[b]->theta_offset, blocks[b]->block.size()));
  });
}

std::vector<const JacobianFactors::Block*> JacobianFactors::members(
    const std::vector<std::string>& set) const {
  std::vector<const Block*> found;
  for (const Block& block : blocks_)
    if (std::find(set.begin(), set.end(), block.names[0]) != set.end()) found.push_back(&block);
  return found;
}

Vectors<double> JacobianFactors::triangular(const std::vector<std::string>& set) const {
  // J^T = blkdiag(Q_b) [R_1; R_2; ...], so the stack of factors has the singular values of J.
  const auto blocks = members(set);
  if (blocks.size() == 1) return blocks[0]->factor;
  Index rows = 0;
  for (const Block* block : blocks) rows += block->factor.rows();
  Vectors<double> stack(rows, blocks[0]->factor.cols());
  rows = 0;
  for (const Block* block : blocks) {
    stack.middleRows(rows, block->factor.rows()) = block->factor;
    rows += block->factor.rows();
  }
  return triangular_factor(stack);
}

Index JacobianFactors::columns(const std::vector<std::string>& set) const {
  Index total = 0;
  for (const Block* block : members(set)) total += block->parameters;
  return total;
}

double JacobianFactors::rounding(const std::vector<std::string>& set) const {
  double total = 0;
  for (const Block* block : members(set)) total = std::hypot(total, block->rounding);
  return total;
}

NtkSpectrum JacobianFactors::spectrum(const std::vector<std::string>& set) const {
  std::string name;
  for (const Block* block : members(set))
    for (const std::string& b : block->names) name += (name.empty() ? "" : ",") + b;
  return spectrum_of_factor(name, columns(set), triangular(set), rounding(set));
}

std::vector<NtkSpectrum> ntk_spectra(VectorsRef<double> Jt, const ParameterLayout& parameters,
                                     const std::vector<double>& rounding,
                                     std::vector<std::vector<std::string>> sets) {
  if (sets.empty()) {
    std::vector<std::string> all;
    for (const auto* entry : trainable_blocks(parameters))
      all.push_back(entry->block.name), sets.push_back({entry->block.name});
    sets.push_back(all);
  }
  const JacobianFactors factors(Jt, parameters, rounding, sets);
  std::vector<NtkSpectrum> spectra(sets.size());
  parallel_for(static_cast<Index>(sets.size()),
               [&](Index s, Index) { spectra[s] = factors.spectrum(sets[s]); });
  if (sets.back().size() == trainable_blocks(parameters).size()) spectra.back().name = "sum";
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
