/// Normalisation of each row.
#pragma once

#include <cmath>

#include "basin/network/layer.h"
#include "basin/network/rows.h"

namespace basin {

/// What is divided by the size of the row, and what by nothing else.
enum class Centring {
  mean,  ///< LayerNorm (Ba, Kiros, Hinton 2016): the row minus its mean
  none,  ///< RMSNorm (Zhang and Sennrich 2019): the row
};

/// y = g o xhat + beta for every row x of D numbers:
///
///     c = x - mean(x) or x,   s = sqrt(|c|^2 / D + epsilon),   xhat = c / s
///
/// Blocks: gain g (D) and shift beta (D), either of which may be left out. The mean is taken in two passes:
/// mean(x^2) - mean(x)^2 would lose every digit of a row whose spread is 1e-7 of its mean. A row of equal
/// numbers with epsilon = 0 has no value: NaN.
template <class S>
class Norm final : public Layer<S> {
 public:
  Norm(Shape input, Centring centring, S epsilon, bool gain, bool shift)
      : Layer<S>(input, input),
        centred_(centring == Centring::mean),
        epsilon_(epsilon),
        gain_(gain),
        shift_(shift) {}

  std::vector<ParameterBlock> blocks() const override {
    std::vector<ParameterBlock> all;
    if (gain_) all.push_back({"g", {this->input().width}, {}, BlockRole::scale});
    if (shift_) all.push_back({"beta", {this->input().width}, {}, BlockRole::shift});
    return all;
  }

  /// Keeps xhat and 1 / s.
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    value.values.resize(2);
    value[0].resize(1, x.rows(), x.cols());
    value[1].resize(1, x.rows(), 1);
    const auto in = x[0];
    auto xhat = value[0][0], inverse = value[1][0];
    for (Index row = 0; row < in.rows(); ++row) {
      xhat.row(row) = in.row(row);
      if (centred_)
        for (int pass = 0; pass < 2; ++pass) xhat.row(row).array() -= row_mean(xhat.row(row));
      inverse(row, 0) = 1 / std::sqrt(row_mean(xhat.row(row), xhat.row(row)) + epsilon_);
      xhat.row(row) *= inverse(row, 0);
    }
    y.resize(1, x.rows(), x.cols());
    scaled(w, value[0][0], y[0]);
    if (shift_) add_to_rows(y[0], w(shift_block(), 0, 0));
  }

  /// dxhat = (Pi dx - xhat mean(xhat . dx)) / s,   dy = g o dxhat + dg o xhat + dbeta
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const auto xhat = value[0][0];
    tangent.input = dx;
    tangent.values.resize(3);  // dxhat, ds, and working memory
    dy.resize_zero(dw.count(), xhat.rows(), xhat.cols());
    Batch<S>&dxhat = tangent[0], &ds = tangent[1];
    dxhat.resize(dx.count(), xhat.rows(), xhat.cols());
    ds.resize(dx.count(), xhat.rows(), 1);
    for (Index j = 0; j < dy.count(); ++j) {
      if (!dx.empty()) {
        for (Index row = 0; row < xhat.rows(); ++row) ds[j](row, 0) = row_mean(xhat.row(row), dx[j].row(row));
        project(value, dx[j], ds[j], dxhat[j]);
        scaled(w, dxhat[j], dy[j]);
      }
      if (gain_ && dw.has(0)) dy[j].array() += xhat.array().rowwise() * dw(0, j, 0).row(0).array();
      if (shift_ && dw.has(shift_block())) add_to_rows(dy[j], dw(shift_block(), j, 0));
    }
  }

  /// b = g o ybar,   xbar = (Pi b - xhat mean(xhat . b)) / s,   gbar = sum xhat o ybar,   betabar = sum ybar
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const auto xhat = value[0][0];
    adjoint.input = ybar;
    adjoint.values.resize(3);  // xbar, mean(xhat . b), b
    Batch<S>&along = adjoint[1], &b = adjoint[2];
    along.resize(1, xhat.rows(), 1);
    b.resize(1, xhat.rows(), xhat.cols());
    if (xbar) xbar->resize(ybar.count(), xhat.rows(), xhat.cols());
    for (Index j = 0; j < ybar.count(); ++j) {
      if (gain_ && wbar.has(0)) add_sum_of_products(xhat, ybar[j], wbar(0, j, 0));
      if (shift_ && wbar.has(shift_block())) add_sum_of_rows(ybar[j], wbar(shift_block(), j, 0));
      if (!xbar) continue;
      scaled(w, ybar[j], b[0]);
      means_along(xhat, b[0], along[0]);
      project(value, b[0], along[0], (*xbar)[j]);
    }
    if (!xbar || ybar.count() != 1) return;
    adjoint[0].resize(1, xhat.rows(), xhat.cols());
    adjoint[0][0] = (*xbar)[0];
  }

  /// db = g o dybar + dg o ybar
  /// dxbar = (Pi db - xhat mean(xhat . db)) / s - xbar ds / s - (dxhat mean(xhat . b) + xhat mean(dxhat . b))
  /// / s
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const auto xhat = value[0][0], inverse = value[1][0], ybar = adjoint.input[0];
    const bool moves = !tangent.input.empty();
    if (dxbar) dxbar->resize(dybar.count(), xhat.rows(), xhat.cols());
    Batch<S>& work = tangent[2];
    work.resize(2, xhat.rows(), xhat.cols());
    for (Index j = 0; j < dybar.count(); ++j) {
      if (gain_ && dwbar.has(0)) {
        add_sum_of_products(xhat, dybar[j], dwbar(0, j, 0));
        if (moves) add_sum_of_products(tangent[0][j], ybar, dwbar(0, j, 0));
      }
      if (shift_ && dwbar.has(shift_block())) add_sum_of_rows(dybar[j], dwbar(shift_block(), j, 0));
      if (!dxbar) continue;
      auto db = work[0];
      auto along = work[1].leftCols(1);
      scaled(w, dybar[j], db);
      if (gain_ && dw.has(0)) db.array() += ybar.array().rowwise() * dw(0, j, 0).row(0).array();
      means_along(xhat, db, along);
      auto out = (*dxbar)[j];
      project(value, db, along, out);
      if (!moves) continue;
      const auto dxhat = tangent[0][j], ds = tangent[1][j];
      const auto xbar = adjoint[0][0], b = adjoint[2][0];
      for (Index row = 0; row < xhat.rows(); ++row) {
        const S cross = row_mean(dxhat.row(row), b.row(row));
        out.row(row) -= inverse(row, 0) * (ds(row, 0) * xbar.row(row) +
                                           adjoint[1][0](row, 0) * dxhat.row(row) + cross * xhat.row(row));
      }
    }
  }

 private:
  std::size_t shift_block() const { return gain_ ? 1 : 0; }
  /// out = g o v, row by row.
  template <class V, class Out>
  void scaled(BlockView<const S> w, const V& v, Out&& out) const {
    if (gain_)
      out.array() = v.array().rowwise() * w(0, 0, 0).row(0).array();
    else
      out = v;
  }
  template <class A, class B, class Out>
  static void add_sum_of_products(const A& a, const B& b, Out&& sum) {
    for (Index row = 0; row < a.rows(); ++row) sum.row(0) += a.row(row).cwiseProduct(b.row(row));
  }
  template <class A, class B, class Out>
  static void means_along(const A& xhat, const B& b, Out&& out) {
    for (Index row = 0; row < xhat.rows(); ++row) out(row, 0) = row_mean(xhat.row(row), b.row(row));
  }
  /// out = (Pi v - xhat along) / s
  template <class V, class Along, class Out>
  void project(const Saved<S>& value, const V& v, const Along& along, Out&& out) const {
    const auto xhat = value[0][0], inverse = value[1][0];
    for (Index row = 0; row < xhat.rows(); ++row) {
      const S shift = centred_ ? row_mean(v.row(row)) : S(0);
      out.row(row).array() =
          inverse(row, 0) * (v.row(row).array() - shift - along(row, 0) * xhat.row(row).array());
    }
  }

  bool centred_;
  S epsilon_;
  bool gain_, shift_;
};

}  // namespace basin
