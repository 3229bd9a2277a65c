/// Vectors for token ids.
#pragma once

#include "basin/network/layer.h"

namespace basin {

/// y = E[id] for each token, E: (vocabulary, width). The ids come with the input (Context), which has no
/// numbers itself.
template <class S>
class Embedding final : public Layer<S> {
 public:
  Embedding(Shape input, Index vocabulary, Index width)
      : Layer<S>(input, {input.tokens, width}), vocabulary_(vocabulary) {}

  std::vector<ParameterBlock> blocks() const override {
    return {{"E", {vocabulary_, this->output().width}, {}, BlockRole::table}};
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    gather(w, value, 1, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> /*dx*/,
               BlockView<const S> dw, Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    if (!dw.has(0)) return dy.resize_zero(dw.count(), rows(value), this->output().width);
    gather(dw, value, dw.count(), dy);
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> wbar, Batch<S>* xbar) const override {
    scatter(value, ybar, wbar, xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    scatter(value, dybar, dwbar, dxbar);
  }

 private:
  static Index rows(const Saved<S>& value) { return static_cast<Index>(value.context.ids.size()); }
  void gather(BlockView<const S> E, const Saved<S>& value, Index count, Batch<S>& y) const {
    y.resize(count, rows(value), this->output().width);
    for (Index j = 0; j < count; ++j)
      for (Index row = 0; row < rows(value); ++row) y[j].row(row) = E(0, j, 0).row(value.context.ids[row]);
  }
  /// Touches the rows that were used, and no others.
  void scatter(const Saved<S>& value, BatchView<const S> ybar, BlockView<S> Ebar, Batch<S>* xbar) const {
    if (xbar) xbar->resize(ybar.count(), rows(value), this->input().width);
    if (!Ebar.has(0)) return;
    for (Index j = 0; j < ybar.count(); ++j)
      for (Index row = 0; row < rows(value); ++row)
        Ebar(0, j, 0).row(value.context.ids[row]) += ybar[j].row(row);
  }

  Index vocabulary_;
};

}  // namespace basin
