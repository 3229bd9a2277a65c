/// A linear layer that may share its weights with an embedding.
#pragma once

#include <string>

#include "basin/linalg/product.h"
#include "basin/network/layer.h"
#include "basin/network/rows.h"

namespace basin {

/// y = x W^T + b with W: (D_out, D), the shape of an embedding, which it may be: tied_to is then its full
/// name.
template <class S>
class TransposedLinear final : public Layer<S> {
 public:
  TransposedLinear(Shape input, Index outputs, std::string tied_to, bool bias)
      : Layer<S>(input, {input.tokens, outputs}), tied_to_(std::move(tied_to)), bias_(bias) {}

  std::vector<ParameterBlock> blocks() const override {
    std::vector<ParameterBlock> all = {{"W", {this->output().width, this->input().width}, tied_to_}};
    if (bias_) all.push_back({"b", {this->output().width}, {}, BlockRole::shift});
    return all;
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, x.rows(), this->output().width);
    times_transpose<S>(tile(x[0]), tile(w(0, 0, 0)), tile(y[0]));
    if (bias_) add_to_rows(y[0], w(1, 0, 0));
  }

  /// dy = dx W^T + x dW^T + db
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const BatchView<const S> x = value.input;
    tangent.input = dx;
    dy.resize_zero(dw.count(), x.rows(), this->output().width);
    for (Index j = 0; j < dy.count(); ++j) {
      if (!dx.empty()) times_transpose<S>(tile(dx[j]), tile(w(0, 0, 0)), tile(dy[j]), true);
      if (dw.has(0)) times_transpose<S>(tile(x[0]), tile(dw(0, j, 0)), tile(dy[j]), true);
      if (bias_ && dw.has(1)) add_to_rows(dy[j], dw(1, j, 0));
    }
  }

  /// xbar = ybar W,  Wbar = ybar^T x
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const BatchView<const S> x = value.input;
    adjoint.input = ybar;
    if (xbar) xbar->resize(ybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) sum_of_products<S>({{tile(ybar[j]), tile(w(0, 0, 0))}}, tile((*xbar)[j]));
      if (wbar.has(0))
        sum_of_products<S>({{tile(ybar[j]).transpose(), tile(x[0])}}, tile(wbar(0, j, 0)), true);
      if (bias_ && wbar.has(1)) add_sum_of_rows(ybar[j], wbar(1, j, 0));
    }
  }

  /// dxbar = dybar W + ybar dW,  dWbar = dybar^T x + ybar^T dx
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const BatchView<const S> x = value.input, dx = tangent.input, ybar = adjoint.input;
    if (dxbar) dxbar->resize(dybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < dybar.count(); ++j) {
      if (dxbar)
        sum_of_products<S>({{tile(dybar[j]), tile(w(0, 0, 0))},
                            {tile(ybar[0]), dw.has(0) ? tile(dw(0, j, 0)) : Tile<const S>{}}},
                           tile((*dxbar)[j]));
      if (dwbar.has(0))
        sum_of_products<S>(
            {{tile(dybar[j]).transpose(), tile(x[0])}, {tile(ybar[0]).transpose(), tile(dx[j])}},
            tile(dwbar(0, j, 0)), true);
      if (bias_ && dwbar.has(1)) add_sum_of_rows(dybar[j], dwbar(1, j, 0));
    }
  }

 private:
  std::string tied_to_;
  bool bias_;
};

}  // namespace basin
