/// A linear layer.
#pragma once

#include "basin/linalg/product.h"
#include "basin/network/layer.h"

namespace basin {

/// y = x W + b for every token, W: (D, D_out), b: (D_out), if there is one.
template <class S>
class Linear final : public Layer<S> {
 public:
  /// The names of the blocks; without one for b there is none.
  Linear(Shape input, Index outputs, std::string name, std::string bias = {})
      : Layer<S>(input, {input.tokens, outputs}), name_(std::move(name)), bias_(std::move(bias)) {}

  std::vector<ParameterBlock> blocks() const override {
    std::vector<ParameterBlock> all = {{name_, {this->input().width, this->output().width}}};
    if (!bias_.empty()) all.push_back({bias_, {this->output().width}, {}, BlockRole::shift});
    return all;
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, x.rows(), this->output().width);
    sum_of_products<S>({{tile(x[0]), tile(w(0, 0, 0))}}, tile(y[0]));
    add_bias(w, 0, y);
  }

  /// dy = dx W + x dW + db
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const BatchView<const S> x = value.input;
    tangent.input = dx;
    dy.resize(dw.count(), x.rows(), this->output().width);
    for (Index j = 0; j < dy.count(); ++j)
      sum_of_products<S>(
          {{tile(dx[j]), tile(w(0, 0, 0))}, {tile(x[0]), dw.has(0) ? tile(dw(0, j, 0)) : Tile<const S>{}}},
          tile(dy[j]));
    for (Index j = 0; j < dy.count(); ++j) add_bias(dw, j, dy);
  }

  /// xbar = ybar W^T,  Wbar = x^T ybar,  bbar = 1^T ybar
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const BatchView<const S> x = value.input;
    adjoint.input = ybar;
    if (xbar) xbar->resize(ybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) times_transpose<S>(tile(ybar[j]), tile(w(0, 0, 0)), tile((*xbar)[j]));
      if (wbar.has(0))
        sum_of_products<S>({{tile(x[0]).transpose(), tile(ybar[j])}}, tile(wbar(0, j, 0)), true);
      add_bias_adjoint(ybar, j, wbar);
    }
  }

  /// dxbar = dybar W^T + ybar dW^T,  dWbar = x^T dybar + dx^T ybar,  dbbar = 1^T dybar
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const BatchView<const S> x = value.input, dx = tangent.input, ybar = adjoint.input;
    if (dxbar) dxbar->resize(dybar.count(), x.rows(), x.cols());
    for (Index j = 0; j < dybar.count(); ++j) {
      if (dxbar) {
        times_transpose<S>(tile(dybar[j]), tile(w(0, 0, 0)), tile((*dxbar)[j]));
        if (dw.has(0)) times_transpose<S>(tile(ybar[0]), tile(dw(0, j, 0)), tile((*dxbar)[j]), true);
      }
      if (dwbar.has(0))
        sum_of_products<S>(
            {{tile(x[0]).transpose(), tile(dybar[j])}, {tile(dx[j]).transpose(), tile(ybar[0])}},
            tile(dwbar(0, j, 0)), true);
      add_bias_adjoint(dybar, j, dwbar);
    }
  }

 private:
  template <class T>
  bool has_bias(BlockView<T> w) const {
    return !bias_.empty() && w.has(1);
  }
  void add_bias(BlockView<const S> w, Index j, Batch<S>& y) const {
    if (has_bias(w)) y[j].rowwise() += w(1, j, 0).row(0);
  }
  void add_bias_adjoint(BatchView<const S> ybar, Index j, BlockView<S> wbar) const {
    for (Index t = 0; t < ybar.rows() && has_bias(wbar); ++t) wbar(1, j, 0).row(0) += ybar[j].row(t);
  }

  std::string name_, bias_;
};

}  // namespace basin
