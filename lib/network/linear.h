/// A linear layer.
#pragma once

#include "basin/linalg/product.h"
#include "basin/network/layer.h"

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
    sum_of_products<S>({{tile(x[0]), tile(w(0, 0, 0))}}, tile(y[0]));
  }

  /// dy = dx W + x dW
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const BatchView<const S> x = value.input;
    tangent.input = dx;
    dy.resize(dw.count(), x.rows(), this->output().width);
    for (Index j = 0; j < dy.count(); ++j)
      sum_of_products<S>(
          {{tile(dx[j]), tile(w(0, 0, 0))}, {tile(x[0]), dw.has(0) ? tile(dw(0, j, 0)) : Tile<const S>{}}},
          tile(dy[j]));
  }

  /// xbar = ybar W^T,  Wbar = x^T ybar
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const BatchView<const S> x = value.input;
    adjoint.input = ybar;
    if (xbar) xbar->resize_zero(ybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) add_times_transpose<S>(tile(ybar[j]), tile(w(0, 0, 0)), tile((*xbar)[j]));
      if (wbar.has(0))
        sum_of_products<S>({{tile(x[0]).transpose(), tile(ybar[j])}}, tile(wbar(0, j, 0)), true);
    }
  }

  /// dxbar = dybar W^T + ybar dW^T,  dWbar = x^T dybar + dx^T ybar
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const BatchView<const S> x = value.input, dx = tangent.input, ybar = adjoint.input;
    if (dxbar) dxbar->resize_zero(dybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < dybar.count(); ++j) {
      if (dxbar) {
        add_times_transpose<S>(tile(dybar[j]), tile(w(0, 0, 0)), tile((*dxbar)[j]));
        if (dw.has(0)) add_times_transpose<S>(tile(ybar[0]), tile(dw(0, j, 0)), tile((*dxbar)[j]));
      }
      if (dwbar.has(0))
        sum_of_products<S>(
            {{tile(x[0]).transpose(), tile(dybar[j])}, {tile(dx[j]).transpose(), tile(ybar[0])}},
            tile(dwbar(0, j, 0)), true);
    }
  }

 private:
  std::string name_;
};

}  // namespace basin
