/// Layers that are linear and have no parameters.
#pragma once

#include "basin/network/layer.h"

namespace basin {

/// A linear map of the numbers of a sample without parameters: what the four rules are then.
template <class S>
class FixedMap : public Layer<S> {
 public:
  using Layer<S>::Layer;

  std::vector<ParameterBlock> blocks() const override { return {}; }
  void value(BlockView<const S> /*w*/, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    apply(value.context, x, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    if (!dx.empty()) return apply(value.context, dx, dy);
    dy.resize_zero(dw.count(), value.input.rows() / this->input().tokens * this->output().tokens,
                   this->output().width);
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> /*wbar*/, Batch<S>* xbar) const override {
    if (xbar) apply_transpose(value.context, ybar, *xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> /*dwbar*/, Batch<S>* dxbar) const override {
    if (dxbar) apply_transpose(value.context, dybar, *dxbar);
  }

 private:
  virtual void apply(const Context& context, BatchView<const S> x, Batch<S>& y) const = 0;
  virtual void apply_transpose(const Context& context, BatchView<const S> ybar, Batch<S>& xbar) const = 0;
};

/// y = x.
template <class S>
class Identity : public FixedMap<S> {
 public:
  explicit Identity(Shape input) : FixedMap<S>(input, input) {}

 private:
  void apply(const Context& /*context*/, BatchView<const S> x, Batch<S>& y) const override {
    y.resize(x.count(), x.rows(), x.cols());
    for (Index j = 0; j < x.count(); ++j) y[j] = x[j];
  }
  void apply_transpose(const Context& context, BatchView<const S> ybar, Batch<S>& xbar) const override {
    apply(context, ybar, xbar);
  }
};

}  // namespace basin
