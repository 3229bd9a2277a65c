/// Vectors for token ids.
#pragma once

#include "basin/network/layer.h"

namespace basin {

/// y = E[id] for each token, E: (vocabulary, width); with token types y = E[id] + Types[type], Types: (types,
/// width). Ids and types come with the input (Context), which has no numbers itself.
template <class S>
class Embedding final : public Layer<S> {
 public:
  /// types: 0 for none.
  Embedding(Shape input, Index vocabulary, Index width, Index types = 0)
      : Layer<S>(input, {input.tokens, width}), vocabulary_(vocabulary), types_(types) {}

  std::vector<ParameterBlock> blocks() const override {
    std::vector<ParameterBlock> all = {{"E", {vocabulary_, this->output().width}, {}, BlockRole::table}};
    if (types_ > 0) all.push_back({"Types", {types_, this->output().width}, {}, BlockRole::table});
    return all;
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    gather(w, value, 1, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> /*dx*/,
               BlockView<const S> dw, Saved<S>& /*tangent*/, Batch<S>& dy) const override {
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
  /// The rows of each table that there is, added.
  void gather(BlockView<const S> w, const Saved<S>& value, Index count, Batch<S>& y) const {
    y.resize_zero(count, rows(value), this->output().width);
    for_each_table(value, [&](std::size_t table, std::span<const std::int32_t> ids) {
      if (!w.has(table)) return;
      for (Index j = 0; j < count; ++j)
        for (Index row = 0; row < rows(value); ++row) y[j].row(row) += w(table, j, 0).row(ids[row]);
    });
  }
  /// Touches the rows that were used, and no others.
  void scatter(const Saved<S>& value, BatchView<const S> ybar, BlockView<S> wbar, Batch<S>* xbar) const {
    if (xbar) xbar->resize(ybar.count(), rows(value), this->input().width);
    for_each_table(value, [&](std::size_t table, std::span<const std::int32_t> ids) {
      if (!wbar.has(table)) return;
      for (Index j = 0; j < ybar.count(); ++j)
        for (Index row = 0; row < rows(value); ++row) wbar(table, j, 0).row(ids[row]) += ybar[j].row(row);
    });
  }
  template <class Body>
  void for_each_table(const Saved<S>& value, const Body& body) const {
    body(0, value.context.ids);
    if (types_ > 0) body(1, value.context.types);
  }

  Index vocabulary_, types_;
};

}  // namespace basin
