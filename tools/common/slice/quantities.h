/// What is measured at the points of a slice.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "basin/ntk/kernel_minimum.h"
#include "basin/single_layer/plane_ways.h"
#include "common/command/setup.h"

namespace basin::tools {

/// "gradient,eigenvalues,ntk" -> the names of the quantities in files, "train_loss" first. Throws InputError.
std::vector<std::string> parse_quantities(const std::string& list);

/// Measures pieces of a slice. The numbers of a piece depend on no other: eigenvalues are started from the
/// eigenvectors at theta, then from those at the point before.
class SliceMeasurement {
 public:
  /// Throws InputError for what --memory does not hold, WorkError when something is not finite at theta.
  SliceMeasurement(const Command& command, const Setup& setup, std::vector<std::string> quantities);

  double center_loss() const { return center_loss_; }
  /// For each piece, every quantity in kLongestPiece places. NaN for what is not finite.
  std::vector<std::vector<double>> measure(PlaneLoss& plane, const Grid& grid, std::span<const Index> pieces);
  bool wants(const std::string& quantity) const;
  /// Whether the plane is to count accuracies, too: with the losses, where outputs are at hand. (The single
  /// attention layer has ways that make none.)
  bool counts_on_plane() const;
  /// Enough to share what is computed once for several; or one for each thread, where a point has no work for
  /// several threads and there is memory.
  Index pieces_at_once(const PlaneLoss& plane) const;

 private:
  /// Whether anything is measured that takes derivatives at the points.
  bool linearizes() const;
  /// Puts a quantity, if it is asked for, in its place among the values of a piece.
  void set(const std::string& name, double value, Index place, std::vector<double>& values) const;
  void measure_point(const Vector<double>& weights, std::size_t memory, Vectors<double>& eigenvectors,
                     Index place, std::vector<double>& values) const;
  KernelMinimum ntk_minimum(const Linearization<double>& at, std::size_t memory) const;

  const Setup& setup_;
  std::vector<std::string> quantities_;
  std::size_t memory_;
  std::uint64_t seed_;
  double center_loss_ = 0;
  Vectors<double> center_vectors_;  // eigenvectors of both ends at theta
};

}  // namespace basin::tools
