/// Layers side by side, on the same input.
#pragma once

#include <string>

#include "basin/linalg/errors.h"
#include "basin/network/layer_list.h"

namespace basin {

enum class Joining { sum, product };

/// y = f_1(x) + ... + f_B(x), or y = f_1(x) o f_2(x), number by number: parallel blocks, gates (SwiGLU).
template <class S>
class Branches final : public Layer<S> {
 public:
  using Layers = typename LayerList<S>::Layers;

  /// names: one for each branch. Throws InputError for fewer than two branches, for more of a product, and
  /// for branches of different shapes.
  Branches(Joining joining, Layers branches, std::vector<std::string> names)
      : Layer<S>(checked(joining, branches).front()->input(), branches.front()->output()),
        joining_(joining),
        branches_(std::move(branches), std::move(names)) {}

  std::vector<ParameterBlock> blocks() const override { return branches_.blocks(); }
  const Reparametrisation<S>* reparametrisation() const override { return branches_.reparametrisation(); }
  void mask(Mask& mask) const override { branches_[0].mask(mask); }

  /// Keeps y_1, ..., y_B.
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    const std::size_t B = branches_.size();
    value.input = x;
    value.values.resize(B);
    value.parts.resize(B);
    for (std::size_t b = 0; b < B; ++b) {
      value.parts[b].context = value.context;
      branches_[b].value(branches_.part(w, b), x, value.parts[b], value[b]);
    }
    y.resize(1, value[0].rows(), value[0].cols());
    y[0] = value[0][0];
    for (std::size_t b = 1; b < B; ++b) {
      if (joining_ == Joining::sum)
        y[0] += value[b][0];
      else
        y[0].array() *= value[b][0].array();
    }
  }

  Index kinks(const Saved<S>& value) const override {
    Index sum = 0;
    for (std::size_t b = 0; b < branches_.size(); ++b) sum += branches_[b].kinks(value.parts[b]);
    return sum;
  }

  /// dy = dy_1 + ... + dy_B, or dy_1 o y_2 + y_1 o dy_2; keeps dy_1, ..., dy_B
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    const std::size_t B = branches_.size();
    tangent.input = dx;
    tangent.values.resize(2 * B + 1);  // dy_1, ..., then dybar_1, ..., and an adjoint of the input
    tangent.parts.resize(B);
    dy.resize_zero(dw.count(), value[0].rows(), value[0].cols());
    for (std::size_t b = 0; b < B; ++b) {
      tangent[b].clear();
      if (dx.empty() && !branches_.part(dw, b).has_any()) continue;
      branches_[b].tangent(branches_.part(w, b), value.parts[b], dx, branches_.part(dw, b), tangent.parts[b],
                           tangent[b]);
      add_through(value, b, tangent[b].view(), dy);
    }
  }

  /// ybar_b = ybar, or ybar o the other y;   xbar = xbar_1 + ... + xbar_B
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    const std::size_t B = branches_.size();
    adjoint.input = ybar;
    adjoint.values.resize(B + 1);
    adjoint.parts.resize(B);
    if (xbar) xbar->resize_zero(ybar.count(), value.input.rows(), value.input.cols());
    for (std::size_t b = 0; b < B; ++b) {
      if (!xbar && !branches_.part(wbar, b).has_any()) continue;
      Batch<S>* back = xbar ? &adjoint[B] : nullptr;
      branches_[b].adjoint(branches_.part(w, b), value.parts[b], through(value, b, ybar, adjoint[b]),
                           adjoint.parts[b], branches_.part(wbar, b), back);
      if (back) add(back->view(), *xbar);
    }
  }

  /// dybar_b = dybar, or dybar o the other y + ybar o the other dy
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const std::size_t B = branches_.size();
    if (dxbar) dxbar->resize_zero(dybar.count(), value.input.rows(), value.input.cols());
    for (std::size_t b = 0; b < B; ++b) {
      if (!dxbar && !branches_.part(dwbar, b).has_any()) continue;
      Batch<S>&own = tangent[B + b], *back = dxbar ? &tangent[2 * B] : nullptr;
      const BatchView<const S> dybar_b = through(value, b, dybar, own);
      if (joining_ == Joining::product && !tangent[1 - b].empty())
        for (Index j = 0; j < dybar.count(); ++j)
          own[j].array() += adjoint.input[0].array() * tangent[1 - b][j].array();
      branches_[b].tangent_of_adjoint(branches_.part(w, b), value.parts[b], adjoint.parts[b],
                                      tangent.parts[b], branches_.part(dw, b), dybar_b,
                                      branches_.part(dwbar, b), back);
      if (back) add(back->view(), *dxbar);
    }
  }

 private:
  static const Layers& checked(Joining joining, const Layers& branches) {
    const std::string what = joining == Joining::sum ? "sum" : "product";
    if (branches.size() < 2 || (joining == Joining::product && branches.size() > 2))
      throw InputError(what + ": found " + std::to_string(branches.size()) + " branches; expected " +
                       (joining == Joining::sum ? "2 or more" : "2"));
    const Shape out = branches.front()->output();
    for (const auto& branch : branches)
      if (branch->output() != out)
        throw InputError(what + ": its branches give " + std::to_string(out.tokens) + " tokens of width " +
                         std::to_string(out.width) + " and " + std::to_string(branch->output().tokens) +
                         " of " + std::to_string(branch->output().width) + "; expected the same");
    return branches;
  }
  static void add(BatchView<const S> v, Batch<S>& out) {
    for (Index j = 0; j < v.count(); ++j) out[j] += v[j];
  }
  /// The derivative of y in y_b applied to v: v itself, or v o the other y, which `own` then holds.
  BatchView<const S> through(const Saved<S>& value, std::size_t b, BatchView<const S> v,
                             Batch<S>& own) const {
    if (joining_ == Joining::sum) return v;
    own.resize(v.count(), v.rows(), v.cols());
    for (Index j = 0; j < v.count(); ++j) own[j].array() = v[j].array() * value[1 - b][0].array();
    return own.view();
  }
  void add_through(const Saved<S>& value, std::size_t b, BatchView<const S> v, Batch<S>& out) const {
    if (joining_ == Joining::sum) return add(v, out);
    for (Index j = 0; j < v.count(); ++j) out[j].array() += v[j].array() * value[1 - b][0].array();
  }

  Joining joining_;
  LayerList<S> branches_;
};

}  // namespace basin
