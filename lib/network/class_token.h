/// A token more.
#pragma once

#include "basin/network/layer.h"

namespace basin {

/// A learned token (1 x width) before those of every sample; it is real where there is a mask.
template <class S>
class ClassToken final : public Layer<S> {
 public:
  explicit ClassToken(Shape input) : Layer<S>(input, {input.tokens + 1, input.width}) {}

  std::vector<ParameterBlock> blocks() const override {
    return {{"token", {this->input().width}, {}, BlockRole::table}};
  }
  void mask(Mask& mask) const override {
    const auto n = static_cast<std::size_t>(this->input().tokens);
    const std::size_t samples = mask.size() / n;
    mask.resize(mask.size() + samples);
    for (std::size_t i = samples; i-- > 0;) {
      for (std::size_t t = n; t-- > 0;) mask[i * (n + 1) + 1 + t] = mask[i * n + t];
      mask[i * (n + 1)] = 1;
    }
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, longer(x.rows()), x.cols());
    put(x, 0, w, 0, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    dy.resize_zero(dw.count(), longer(value.input.rows()), value.input.cols());
    for (Index j = 0; j < dy.count(); ++j) put(dx, j, dw, j, dy);
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> wbar, Batch<S>* xbar) const override {
    back(value.input.rows(), ybar, wbar, xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    back(value.input.rows(), dybar, dwbar, dxbar);
  }

 private:
  Index longer(Index rows) const { return rows / this->input().tokens * this->output().tokens; }
  void put(BatchView<const S> x, Index j, BlockView<const S> w, Index k, Batch<S>& y) const {
    const Index n = this->input().tokens;
    for (Index i = 0; i * (n + 1) < y.rows(); ++i) {
      if (w.has(0)) y[j].row(i * (n + 1)) = w(0, k, 0).row(0);
      if (!x.empty()) y[j].middleRows(i * (n + 1) + 1, n) = x[j].middleRows(i * n, n);
    }
  }
  void back(Index rows, BatchView<const S> ybar, BlockView<S> wbar, Batch<S>* xbar) const {
    const Index n = this->input().tokens;
    if (xbar) xbar->resize(ybar.count(), rows, ybar.cols());
    for (Index j = 0; j < ybar.count(); ++j)
      for (Index i = 0; i * n < rows; ++i) {
        if (xbar) (*xbar)[j].middleRows(i * n, n) = ybar[j].middleRows(i * (n + 1) + 1, n);
        if (wbar.has(0)) wbar(0, j, 0).row(0) += ybar[j].row(i * (n + 1));
      }
  }
};

}  // namespace basin
