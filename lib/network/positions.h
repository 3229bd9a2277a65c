/// What tells the places of tokens apart.
#pragma once

#include <cmath>
#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/fixed_map.h"

namespace basin {

/// y_t = x_t + Pos[t], Pos: (rows, width) with rows >= n: learned.
template <class S>
class Positions final : public Layer<S> {
 public:
  /// Throws InputError for fewer rows than tokens.
  Positions(Shape input, Index rows) : Layer<S>(input, input), rows_(rows) {
    if (rows < input.tokens)
      throw InputError("positions: rows = " + std::to_string(rows) + "; expected at least the " +
                       std::to_string(input.tokens) + " tokens");
  }

  std::vector<ParameterBlock> blocks() const override {
    return {{"Pos", {rows_, this->input().width}, {}, BlockRole::table}};
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, x.rows(), x.cols());
    y[0] = x[0];
    add(w, 0, y[0]);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    dy.resize_zero(dw.count(), value.input.rows(), value.input.cols());
    for (Index j = 0; j < dy.count(); ++j) {
      if (!dx.empty()) dy[j] = dx[j];
      if (dw.has(0)) add(dw, j, dy[j]);
    }
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& /*value*/, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> wbar, Batch<S>* xbar) const override {
    back(ybar, wbar, xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& /*value*/, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    back(dybar, dwbar, dxbar);
  }

 private:
  template <class Y>
  void add(BlockView<const S> w, Index j, Y&& y) const {
    const Index n = this->input().tokens;
    for (Index first = 0; first < y.rows(); first += n) y.middleRows(first, n) += w(0, j, 0).topRows(n);
  }
  void back(BatchView<const S> ybar, BlockView<S> wbar, Batch<S>* xbar) const {
    const Index n = this->input().tokens;
    if (xbar) xbar->resize(ybar.count(), ybar.rows(), ybar.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) (*xbar)[j] = ybar[j];
      if (!wbar.has(0)) continue;
      for (Index first = 0; first < ybar.rows(); first += n)
        wbar(0, j, 0).topRows(n) += ybar[j].middleRows(first, n);
    }
  }

  Index rows_;
};

/// y_t = x_t + p_t with p_t = (sin(t w_0), cos(t w_0), sin(t w_1), ...), w_i = 10000^(-2i / width) (Vaswani
/// and others 2017). No parameters.
template <class S>
class SinusoidalPositions final : public Identity<S> {
 public:
  explicit SinusoidalPositions(Shape input) : Identity<S>(input), table_(input.tokens, input.width) {
    for (Index t = 0; t < input.tokens; ++t)
      for (Index i = 0; i < input.width; ++i) {
        const S frequency = std::pow(S(10000), -static_cast<S>(i - i % 2) / static_cast<S>(input.width)),
                angle = static_cast<S>(t) * frequency;
        table_(t, i) = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
      }
  }

  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    Identity<S>::value(w, x, value, y);
    for (Index first = 0; first < x.rows(); first += table_.rows())
      y[0].middleRows(first, table_.rows()) += table_;
  }

 private:
  Matrix<S> table_;
};

}  // namespace basin
