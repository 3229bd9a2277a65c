#include "common/slice/quantities.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/curvature/operators.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/spectrum_ends.h"
#include "basin/model/evaluator.h"
#include "basin/model/labels.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/kernel_minima.h"
#include "common/command/words.h"

namespace basin::tools {

std::vector<std::string> parse_quantities(const std::string& list) {
  std::vector<std::string> names = {"train_loss"};
  for (const std::string& word : split(list, ',')) {
    if (word == "gradient")
      names.emplace_back("gradient_norm");
    else if (word == "eigenvalues")
      names.insert(names.end(), {"min_eig", "max_eig", "eig_converged"});
    else if (word == "ntk")
      names.insert(names.end(), {"min_ntk", "ntk_definiteness"});
    else if (word == "accuracy")
      names.emplace_back("train_acc");
    else if (word != "loss")
      throw InputError("--quantities " + list + ": found '" + word +
                       "'; expected some of loss, gradient, eigenvalues, ntk, accuracy");
  }
  for (const std::string& name : names)
    if (std::count(names.begin(), names.end(), name) > 1)
      throw InputError("--quantities " + list + ": expected each name once");
  return names;
}

SliceMeasurement::SliceMeasurement(const Command& command, const Setup& setup,
                                   std::vector<std::string> quantities)
    : setup_(setup), quantities_(std::move(quantities)), memory_(command.memory()), seed_(command.seed()) {
  if (const double needed =
          ntk_bytes(setup.parameters(), setup.point.output_size(), setup.point.data->samples);
      wants("min_ntk") && needed > static_cast<double>(memory_))
    throw InputError("--quantities ntk needs " + bytes_text(needed) + ", --memory allows " +
                     bytes_text(static_cast<double>(memory_)));
  if (wants("train_acc") && !labelled(*setup.point.data))
    throw InputError(
        "--quantities accuracy: " + setup.input +
        " has no labels; expected targets of -1 or 1 in one output, or one 1 among zeros in each "
        "row");
  center_loss_ = LossEvaluator<double>(setup.point)(setup.point.weights);
  if (!std::isfinite(center_loss_))
    throw WorkError("the loss at the point is not finite: the weights or inputs are too large");
  if (!wants("min_eig")) return;
  const Linearization<double> at = setup.point.linearize({.memory = memory_});
  center_vectors_ =
      spectrum_ends(HessianOperator(at), Vectors<double>(at.theta_size(), 0), {.seed = seed_}).vectors;
}

bool SliceMeasurement::wants(const std::string& quantity) const {
  return std::find(quantities_.begin(), quantities_.end(), quantity) != quantities_.end();
}

bool SliceMeasurement::counts_on_plane() const {
  return wants("train_acc") && !setup_.single_attention();
}

bool SliceMeasurement::linearizes() const {
  return std::any_of(quantities_.begin(), quantities_.end(), [&](const std::string& name) {
    return name != "train_loss" && !(name == "train_acc" && counts_on_plane());
  });
}

Index SliceMeasurement::pieces_at_once(const PlaneLoss& plane) const {
  if (!linearizes()) return plane.pieces_at_once();
  const Index threads = thread_slots(), in_chunk = LinearizationOptions{}.chunk_rows;
  const bool share = setup_.point.data->X.rows() > in_chunk * (threads - 1);
  const double vectors = 20;  // of theta, that a point needs
  const double room =
      static_cast<double>(memory_) / (8 * vectors * static_cast<double>(setup_.point.weights.size()));
  return share || wants("min_ntk") || room < static_cast<double>(threads) ? 1 : threads;
}

std::vector<std::vector<double>> SliceMeasurement::measure(PlaneLoss& plane, const Grid& grid,
                                                           std::span<const Index> pieces) {
  const Vector<double> losses = plane.losses(pieces);
  std::vector<std::vector<double>> measured;
  Index number = 0;
  for (const Index p : pieces) {
    std::vector<double> values(quantities_.size() * kLongestPiece, std::nan(""));
    for (Index j = 0; j < plane.pieces()[p].count; ++j, ++number) {
      values[j] = losses[number];
      if (counts_on_plane()) set("train_acc", plane.accuracies()[number], j, values);
    }
    measured.push_back(std::move(values));
  }
  if (!linearizes()) return measured;
  const std::size_t memory = memory_ / pieces.size();
  parallel_for(static_cast<Index>(pieces.size()), [&](Index i, Index) {
    const Piece& piece = plane.pieces()[pieces[i]];
    Vectors<double> eigenvectors = center_vectors_;
    for (Index j = 0; j < piece.count; ++j)
      measure_point(plane.weights_at(grid.x.at(piece.first + j), grid.y.at(piece.row)), memory, eigenvectors,
                    j, measured[i]);
  });
  return measured;
}

void SliceMeasurement::set(const std::string& name, double value, Index place,
                           std::vector<double>& values) const {
  for (std::size_t q = 0; q < quantities_.size(); ++q)
    if (quantities_[q] == name) values[q * kLongestPiece + static_cast<std::size_t>(place)] = value;
}

void SliceMeasurement::measure_point(const Vector<double>& weights, std::size_t memory,
                                     Vectors<double>& eigenvectors, Index place,
                                     std::vector<double>& values) const {
  const auto set = [&](const std::string& name, double value) { this->set(name, value, place, values); };
  try {
    const Linearization<double> at(setup_.point.at_weights(weights), {.memory = memory});
    set("gradient_norm", at.gradient().stableNorm());  // squares overflow first
    if (wants("train_acc") && !counts_on_plane()) set("train_acc", accuracy(at, *setup_.point.data));
    if (wants("min_eig")) {
      const SpectrumEnds ends = spectrum_ends(HessianOperator(at), eigenvectors, {.seed = seed_});
      set("eig_converged", ends.status.converged ? 1 : 0);
      set("min_eig", ends.smallest);
      set("max_eig", ends.largest);
      eigenvectors = ends.vectors;
    }
    if (wants("min_ntk")) {
      const KernelMinimum k = ntk_minimum(at, memory);
      // Where rounding hides the value it would be noise.
      set("min_ntk", k.known_to(0.1) ? k.lambda_min : k.upper);
      set("ntk_definiteness", static_cast<double>(k.definiteness()));
    }
  } catch (const WorkError&) {  // something overflows at this point: its numbers stay NaN
  }
}

/// Of the sum over the trained blocks.
KernelMinimum SliceMeasurement::ntk_minimum(const Linearization<double>& at, std::size_t memory) const {
  const ModelPoint<double>& point = at.point();
  if (!is_single_attention(point)) return setup_.theory->trained_kernel(at, static_cast<double>(memory));
  const auto trained = point.parameters().trained();
  const MeasuredFactors factors = measured_factors(point);
  const Minima found = kernel_minima(point, factors, {trained});
  return with_conditions(found.minima[0], InitialisationConditions(factors).of(trained));
}

}  // namespace basin::tools
