/// A linear layer.
#pragma once

#include "model/layer.h"

namespace basin {

/// y = x W for every token, W: (D, D_out). No bias.
template <class S>
class Linear final : public Layer<S> {
 public:
  Linear(Shape input, Index outputs, std::string name)
      : Layer<S>(input, {input.tokens, outputs}), name_(std::move(name)) {}

  std::vector<ParameterBlock> blocks() const override {
    return {{name_, {this->input().width, this->output().width}}};
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, x.rows(), this->output().width);
    y[0].noalias() = x[0] * w(0, 0, 0);
  }

  /// dy = dx W + x dW
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const BatchView<const S> x = value.input;
    tangent.input = dx;
    dy.resize_zero(dw.count(), x.rows(), this->output().width);
    for (Index j = 0; j < dy.count(); ++j) {
      if (!dx.empty()) dy[j].noalias() += dx[j] * w(0, 0, 0);
      if (dw.has(0)) dy[j].noalias() += x[0] * dw(0, j, 0);
    }
  }

  /// xbar = ybar W^T,  Wbar = x^T ybar
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const BatchView<const S> x = value.input;
    adjoint.input = ybar;
    if (xbar) xbar->resize(ybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) (*xbar)[j].noalias() = ybar[j] * w(0, 0, 0).transpose();
      if (wbar.has(0)) wbar(0, j, 0).noalias() += x[0].transpose() * ybar[j];
    }
  }

  /// dxbar = dybar W^T + ybar dW^T,  dWbar = x^T dybar + dx^T ybar
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          const Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const BatchView<const S> x = value.input, dx = tangent.input, ybar = adjoint.input;
    if (dxbar) dxbar->resize(dybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < dybar.count(); ++j) {
      if (dxbar) {
        (*dxbar)[j].noalias() = dybar[j] * w(0, 0, 0).transpose();
        if (dw.has(0)) (*dxbar)[j].noalias() += ybar[0] * dw(0, j, 0).transpose();
      }
      if (dwbar.has(0)) {
        dwbar(0, j, 0).noalias() += x[0].transpose() * dybar[j];
        if (!dx.empty()) dwbar(0, j, 0).noalias() += dx[j].transpose() * ybar[0];
      }
    }
  }

 private:
  std::string name_;
};

}  // namespace basin
