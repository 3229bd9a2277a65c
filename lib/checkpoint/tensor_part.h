/// Where a block stands in a tensor of somebody else's checkpoint.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "basin/linalg/errors.h"
#include "basin/linalg/types.h"

namespace basin {

/// What a map of tensors says cannot be: the map is wrong, whatever the checkpoint.
class MapError : public InputError {
  using InputError::InputError;
};

/// A block, or a piece of one, in NumPy's words:
///
///     tensor.reshape(reshape)[index].transpose(permute)
struct TensorPart {
  static constexpr Index kWhole = -1;

  std::string tensor;
  std::optional<std::vector<Index>> shape = {};  ///< of the tensor, where that is known beforehand
  std::vector<Index> reshape = {};               ///< empty: as it is
  std::vector<Index> index = {};                 ///< of the leading axes: an entry of it, or kWhole
  std::vector<Index> permute = {};  ///< of the axes that are left, which comes first, ...; empty: as they are

  bool operator==(const TensorPart&) const = default;
};

/// The part as places in the numbers of its tensor.
class TensorView {
 public:
  /// Throws MapError, naming the tensor, for a shape that the part cannot be of.
  TensorView(const TensorPart& part, const std::vector<Index>& shape);

  const std::vector<Index>& extents() const { return extents_; }  ///< the shape of the part
  Index size() const;

  /// visit(k, place): the k-th number of the part, in C order, stands at `place` in the tensor.
  template <class Visit>
  void for_each(const Visit& visit) const {
    const Index count = size();
    std::vector<Index> at(extents_.size(), 0);
    Index place = offset_;
    for (Index k = 0; k < count; ++k) {
      visit(k, place);
      for (std::size_t axis = extents_.size(); axis-- > 0;) {
        place += strides_[axis];
        if (++at[axis] < extents_[axis]) break;
        place -= strides_[axis] * extents_[axis];
        at[axis] = 0;
      }
    }
  }

 private:
  Index offset_ = 0;
  std::vector<Index> extents_, strides_;
};

}  // namespace basin
