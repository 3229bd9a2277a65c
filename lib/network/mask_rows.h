/// Zeros in the place of masked rows.
#pragma once

#include "basin/network/fixed_map.h"

namespace basin {

/// Masked rows become 0.
template <class S>
class MaskRows final : public FixedMap<S> {
 public:
  explicit MaskRows(Shape input) : FixedMap<S>(input, input) {}

 private:
  void apply(const Context& context, BatchView<const S> x, Batch<S>& y) const override {
    y.resize(x.count(), x.rows(), x.cols());
    for (Index j = 0; j < x.count(); ++j) {
      y[j] = x[j];
      for (Index row = 0; row < x.rows() && !context.mask.empty(); ++row)
        if (context.mask[row] == 0) y[j].row(row).setZero();
    }
  }
  void apply_transpose(const Context& context, BatchView<const S> ybar, Batch<S>& xbar) const override {
    apply(context, ybar, xbar);
  }
};

}  // namespace basin
