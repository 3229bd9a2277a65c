#include "basin/checkpoint/tensor_part.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "basin/linalg/words.h"

namespace basin {
namespace {

double product(const std::vector<Index>& shape) {  // not as an integer: a file can say any shape
  double size = 1;
  for (const Index extent : shape) size *= static_cast<double>(extent);
  return size;
}

}  // namespace

TensorView::TensorView(const TensorPart& part, const std::vector<Index>& shape) {
  const auto refuse = [&](const std::string& what) {
    throw MapError("tensor " + part.tensor + " of shape " + shape_text(shape) + ": " + what);
  };
  const std::vector<Index>& whole = part.reshape.empty() ? shape : part.reshape;
  if (product(whole) != product(shape))
    refuse("reshape " + shape_text(whole) + " has another number of entries");
  if (part.index.size() > whole.size())
    refuse("an index of " + std::to_string(part.index.size()) + " axes; expected at most " +
           std::to_string(whole.size()));

  std::vector<Index> strides(whole.size(), 1), left;
  for (std::size_t axis = whole.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * whole[axis];
  for (std::size_t axis = 0; axis < whole.size(); ++axis) {
    const Index entry = axis < part.index.size() ? part.index[axis] : TensorPart::kWhole;
    if (entry == TensorPart::kWhole) {
      left.push_back(static_cast<Index>(axis));
      continue;
    }
    if (entry < 0 || entry >= whole[axis])
      refuse("index " + std::to_string(entry) + " of axis " + std::to_string(axis) + " of " +
             shape_text(whole) + "; expected 0 to " + std::to_string(whole[axis] - 1));
    offset_ += entry * strides[axis];
  }

  std::vector<Index> order = part.permute, sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<Index> identity(left.size());
  std::iota(identity.begin(), identity.end(), 0);
  if (order.empty()) order = sorted = identity;
  if (sorted != identity)
    refuse("permute " + shape_text(part.permute) + "; expected each of the " + std::to_string(left.size()) +
           " axes once, from 0");
  for (const Index axis : order) {
    const auto from = static_cast<std::size_t>(left[static_cast<std::size_t>(axis)]);
    extents_.push_back(whole[from]);
    strides_.push_back(strides[from]);
  }
}

Index TensorView::size() const {
  return std::accumulate(extents_.begin(), extents_.end(), Index{1}, std::multiplies<>());
}

}  // namespace basin
