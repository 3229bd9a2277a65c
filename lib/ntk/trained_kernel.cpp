#include "basin/ntk/trained_kernel.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

/// Leaves the columns of outputs that count in the loss.
void keep_counting_rows(Vectors<double>& Jt, const Linearization<double>& at) {
  const Mask& counting = at.counting_rows();
  if (counting.empty()) return;
  const Index width = at.model().network().output().width;
  Index kept = 0;
  for (Index row = 0; row < static_cast<Index>(counting.size()); ++row) {
    if (counting[row] == 0) continue;
    if (kept < row) Jt.middleCols(kept * width, width) = Jt.middleCols(row * width, width);
    ++kept;
  }
  Jt.conservativeResize(Eigen::NoChange, kept * width);
}

}  // namespace

KernelMinimum jacobian_kernel_minimum(const Linearization<double>& at, double memory) {
  const double bytes = ntk_bytes(at.parameters(), at.output_size(), at.samples());
  if (bytes > memory)
    throw InputError("the kernel of the trained blocks: the Jacobian needs " +
                     std::to_string(static_cast<long long>(bytes / 1e6)) +
                     " MB, more than the memory allowed; train fewer blocks");
  Vectors<double> Jt = at.jacobian_transposed();
  std::vector<double> rounding;
  for (const Linearization<double>& other : linearize_perturbed(at.point())) {
    const std::vector<double> one = jacobian_rounding(Jt, other);
    rounding.resize(one.size());
    for (std::size_t b = 0; b < one.size(); ++b) rounding[b] = std::max(rounding[b], one[b]);
  }
  for (double& block : rounding) block += kUnderflowError;
  keep_counting_rows(Jt, at);
  return minimum_of(ntk_spectra(Jt, at.parameters(), rounding, {at.parameters().trained()}).back());
}

}  // namespace basin
