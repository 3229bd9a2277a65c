/// A layer with a connection around it.
#pragma once

#include <memory>
#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/layer.h"

namespace basin {

/// y = x + g(x; w), g any layer that keeps the shape.
template <class S>
class Residual final : public Layer<S> {
 public:
  /// Throws InputError where g changes the shape.
  explicit Residual(std::unique_ptr<const Layer<S>> inner)
      : Layer<S>(inner->input(), inner->output()), inner_(std::move(inner)) {
    const Shape in = this->input(), out = this->output();
    if (in != out)
      throw InputError("residual: its layers take (tokens, width) = (" + std::to_string(in.tokens) + ", " +
                       std::to_string(in.width) + ") and give (" + std::to_string(out.tokens) + ", " +
                       std::to_string(out.width) + "); expected the same, as both are added");
  }

  std::vector<ParameterBlock> blocks() const override { return inner_->blocks(); }
  const Reparametrisation<S>* reparametrisation() const override { return inner_->reparametrisation(); }
  void mask(Mask& mask) const override { inner_->mask(mask); }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    value.parts.resize(1);
    value.parts[0].context = value.context;
    inner_->value(w, x, value.parts[0], y);
    add(x, y);
  }

  Index kinks(const Saved<S>& value) const override { return inner_->kinks(value.parts[0]); }

  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    tangent.parts.resize(1);
    inner_->tangent(w, value.parts[0], dx, dw, tangent.parts[0], dy);
    add(dx, dy);
  }

  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    adjoint.parts.resize(1);
    inner_->adjoint(w, value.parts[0], ybar, adjoint.parts[0], wbar, xbar);
    if (xbar) add(ybar, *xbar);
  }

  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    inner_->tangent_of_adjoint(w, value.parts[0], adjoint.parts[0], tangent.parts[0], dw, dybar, dwbar,
                               dxbar);
    if (dxbar) add(dybar, *dxbar);
  }

 private:
  static void add(BatchView<const S> x, Batch<S>& y) {
    for (Index j = 0; j < x.count(); ++j) y[j] += x[j];
  }

  std::unique_ptr<const Layer<S>> inner_;
};

}  // namespace basin
