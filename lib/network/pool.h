/// One token of all.
#pragma once

#include <algorithm>
#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/fixed_map.h"

namespace basin {

enum class Pooling { mean, first, last };

/// Throws InputError, listing the names: mean, first, last.
inline Pooling pooling_from_name(const std::string& name) {
  if (name == "mean") return Pooling::mean;
  if (name == "first") return Pooling::first;
  if (name == "last") return Pooling::last;
  throw InputError("unknown pooling '" + name + "'; expected mean, first or last");
}

/// y = sum_t a_t x_t for each sample: the mean of its tokens, the first, or the last; where `real`, of those
/// that are not masked. A sample without a real token gives zeros. What comes out has no mask.
template <class S>
class Pool final : public FixedMap<S> {
 public:
  Pool(Shape input, Pooling pooling, bool real)
      : FixedMap<S>(input, {1, input.width}), pooling_(pooling), real_(real) {}

  void mask(Mask& mask) const override { mask.clear(); }

 private:
  Index tokens() const { return this->input().tokens; }
  /// body(row, a) for every row that counts, with its weight.
  template <class Body>
  void for_weights(const Context& context, Index rows, Body body) const {
    const auto counts = [&](Index row) { return !real_ || context.mask.empty() || context.mask[row] != 0; };
    for (Index first = 0; first < rows; first += tokens()) {
      Index count = 0, begin = first, end = first + tokens();
      while (begin < end && !counts(begin)) ++begin;
      while (end > begin && !counts(end - 1)) --end;
      if (pooling_ == Pooling::first) end = std::min(end, begin + 1);
      if (pooling_ == Pooling::last) begin = std::max(begin, end - 1);
      for (Index row = begin; row < end; ++row) count += counts(row) ? 1 : 0;
      for (Index row = begin; row < end; ++row)
        if (counts(row)) body(row, 1 / static_cast<S>(count));
    }
  }
  void apply(const Context& context, BatchView<const S> x, Batch<S>& y) const override {
    y.resize_zero(x.count(), x.rows() / tokens(), x.cols());
    for (Index j = 0; j < x.count(); ++j)
      for_weights(context, x.rows(),
                  [&, to = y[j]](Index row, S a) mutable { to.row(row / tokens()) += a * x[j].row(row); });
  }
  void apply_transpose(const Context& context, BatchView<const S> ybar, Batch<S>& xbar) const override {
    xbar.resize_zero(ybar.count(), ybar.rows() * tokens(), ybar.cols());
    for (Index j = 0; j < ybar.count(); ++j)
      for_weights(context, xbar.rows(), [&, to = xbar[j]](Index row, S a) mutable {
        to.row(row) = a * ybar[j].row(row / tokens());
      });
  }

  Pooling pooling_;
  bool real_;
};

}  // namespace basin
