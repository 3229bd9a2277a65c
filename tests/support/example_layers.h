/// Layers that the library does not have, entered by name: what a new layer takes, and what it may do. They
/// stand for embeddings, residual connections, tied heads and pooling over real tokens.
#pragma once

#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"
#include "support/cases.h"

namespace basin::test {

/// y = E[id], a row for each token id; the input has no columns.
template <class S>
class Embedding final : public Layer<S> {
 public:
  Embedding(Shape input, Index ids, Index width) : Layer<S>(input, {input.tokens, width}), ids_(ids) {}
  std::vector<ParameterBlock> blocks() const override { return {{"E", {ids_, this->output().width}}}; }
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    gather(w, 0, value, y, 1);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> /*dx*/,
               BlockView<const S> dw, Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    if (!dw.has(0)) return dy.resize_zero(dw.count(), rows(value), this->output().width);
    gather(dw, 0, value, dy, dw.count());
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> wbar, Batch<S>* /*xbar*/) const override {
    scatter(ybar, value, wbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* /*dxbar*/) const override {
    scatter(dybar, value, dwbar);
  }

 private:
  static Index rows(const Saved<S>& value) { return static_cast<Index>(value.context.ids.size()); }
  void gather(BlockView<const S> E, std::size_t b, const Saved<S>& value, Batch<S>& y, Index count) const {
    y.resize(count, rows(value), this->output().width);
    for (Index j = 0; j < count; ++j)
      for (Index row = 0; row < rows(value); ++row) y[j].row(row) = E(b, j, 0).row(value.context.ids[row]);
  }
  void scatter(BatchView<const S> ybar, const Saved<S>& value, BlockView<S> Ebar) const {
    if (!Ebar.has(0)) return;
    for (Index j = 0; j < ybar.count(); ++j)
      for (Index row = 0; row < rows(value); ++row)
        Ebar(0, j, 0).row(value.context.ids[row]) += ybar[j].row(row);
  }
  Index ids_;
};

/// y = x W^T with W: (outputs, inputs), the shape of an embedding, which it may be.
template <class S>
class TiedHead final : public Layer<S> {
 public:
  TiedHead(Shape input, Index outputs, std::string tied_to)
      : Layer<S>(input, {input.tokens, outputs}), tied_to_(std::move(tied_to)) {}
  std::vector<ParameterBlock> blocks() const override {
    return {{"W", {this->output().width, this->input().width}, tied_to_}};
  }
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    y.resize(1, x.rows(), this->output().width);
    y[0].noalias() = x[0] * w(0, 0, 0).transpose();
  }
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    tangent.input = dx;
    dy.resize_zero(dw.count(), value.input.rows(), this->output().width);
    for (Index j = 0; j < dw.count(); ++j) {
      if (!dx.empty()) dy[j].noalias() += dx[j] * w(0, 0, 0).transpose();
      if (dw.has(0)) dy[j].noalias() += value.input[0] * dw(0, j, 0).transpose();
    }
  }
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    adjoint.input = ybar;
    if (xbar) xbar->resize(ybar.count(), ybar.rows(), this->input().width);
    for (Index j = 0; j < ybar.count(); ++j) {
      if (xbar) (*xbar)[j].noalias() = ybar[j] * w(0, 0, 0);
      if (wbar.has(0)) wbar(0, j, 0).noalias() += ybar[j].transpose() * value.input[0];
    }
  }
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    const auto ybar = adjoint.input[0];
    if (dxbar) dxbar->resize(dybar.count(), dybar.rows(), this->input().width);
    for (Index j = 0; j < dybar.count(); ++j) {
      if (dxbar) {
        (*dxbar)[j].noalias() = dybar[j] * w(0, 0, 0);
        if (dw.has(0)) (*dxbar)[j].noalias() += ybar * dw(0, j, 0);
      }
      if (dwbar.has(0)) {
        dwbar(0, j, 0).noalias() += dybar[j].transpose() * value.input[0];
        if (!tangent.input.empty()) dwbar(0, j, 0).noalias() += ybar.transpose() * tangent.input[j];
      }
    }
  }

 private:
  std::string tied_to_;
};

/// y = x + g(x), g a chain.
template <class S>
class Residual final : public Layer<S> {
 public:
  explicit Residual(std::unique_ptr<const Layer<S>> inner)
      : Layer<S>(inner->input(), inner->output()), inner_(std::move(inner)) {
    if (this->input() != this->output()) throw InputError("residual: its layers change the shape");
  }
  std::vector<ParameterBlock> blocks() const override { return inner_->blocks(); }
  const Reparametrisation<S>* reparametrisation() const override { return inner_->reparametrisation(); }
  void mask(Mask& mask) const override { inner_->mask(mask); }
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    value.parts.resize(1);
    value.parts[0].context = value.context;
    inner_->value(w, x, value.parts[0], y);
    y[0] += x[0];
  }
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override {
    tangent.parts.resize(1);
    inner_->tangent(w, value.parts[0], dx, dw, tangent.parts[0], dy);
    if (!dx.empty())
      for (Index j = 0; j < dy.count(); ++j) dy[j] += dx[j];
  }
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override {
    adjoint.parts.resize(1);
    inner_->adjoint(w, value.parts[0], ybar, adjoint.parts[0], wbar, xbar);
    if (xbar)
      for (Index j = 0; j < ybar.count(); ++j) (*xbar)[j] += ybar[j];
  }
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override {
    inner_->tangent_of_adjoint(w, value.parts[0], adjoint.parts[0], tangent.parts[0], dw, dybar, dwbar,
                               dxbar);
    if (dxbar)
      for (Index j = 0; j < dybar.count(); ++j) (*dxbar)[j] += dybar[j];
  }

 private:
  std::unique_ptr<const Layer<S>> inner_;
};

/// One token a sample: the mean of its real ones; zero where there are none.
template <class S>
class MaskedPool final : public Layer<S> {
 public:
  explicit MaskedPool(Shape input) : Layer<S>(input, {1, input.width}) {}
  std::vector<ParameterBlock> blocks() const override { return {}; }
  void mask(Mask& mask) const override { mask.clear(); }
  void value(BlockView<const S> /*w*/, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override {
    value.input = x;
    pool(x, value, y);
  }
  void tangent(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& /*tangent*/, Batch<S>& dy) const override {
    if (dx.empty()) return dy.resize_zero(dw.count(), value.input.rows() / tokens(), this->output().width);
    pool(dx, value, dy);
  }
  void adjoint(BlockView<const S> /*w*/, const Saved<S>& value, BatchView<const S> ybar,
               Saved<S>& /*adjoint*/, BlockView<S> /*wbar*/, Batch<S>* xbar) const override {
    if (xbar) spread(ybar, value, *xbar);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, const Saved<S>& value, const Saved<S>& /*adjoint*/,
                          Saved<S>& /*tangent*/, BlockView<const S> /*dw*/, BatchView<const S> dybar,
                          BlockView<S> /*dwbar*/, Batch<S>* dxbar) const override {
    if (dxbar) spread(dybar, value, *dxbar);
  }

 private:
  Index tokens() const { return this->input().tokens; }
  /// The weight of a row: one over the number of real tokens of its sample, 0 where it is masked.
  S weight(const Saved<S>& value, Index row) const {
    const auto& mask = value.context.mask;
    if (mask.empty()) return S(1) / static_cast<S>(tokens());
    S real = 0;
    for (Index k = 0; k < tokens(); ++k) real += mask[row - row % tokens() + k];
    return mask[row] ? 1 / real : 0;
  }
  void pool(BatchView<const S> x, const Saved<S>& value, Batch<S>& y) const {
    y.resize_zero(x.count(), x.rows() / tokens(), x.cols());
    for (Index j = 0; j < x.count(); ++j)
      for (Index row = 0; row < x.rows(); ++row)
        if (const S a = weight(value, row); a != 0) y[j].row(row / tokens()) += a * x[j].row(row);
  }
  void spread(BatchView<const S> ybar, const Saved<S>& value, Batch<S>& xbar) const {
    xbar.resize(ybar.count(), ybar.rows() * tokens(), ybar.cols());
    for (Index j = 0; j < ybar.count(); ++j)
      for (Index row = 0; row < xbar.rows(); ++row)
        xbar[j].row(row) = weight(value, row) * ybar[j].row(row / tokens());
  }
};

/// Enters the four types, once.
inline void add_example_layers() {
  static const bool done = [] {
    add_layer_type(
        typed("test-embedding", {{"ids", Index{}, true}, {"width", Index{}, true}},
              [](const LayerDescription& l, Shape in, auto s) -> std::unique_ptr<const Layer<decltype(s)>> {
                return std::make_unique<Embedding<decltype(s)>>(in, option<Index>(l, "ids"),
                                                                option<Index>(l, "width"));
              }));
    add_layer_type(
        typed("test-head", {{"outputs", Index{}, true}, {"tied", ""}},
              [](const LayerDescription& l, Shape in, auto s) -> std::unique_ptr<const Layer<decltype(s)>> {
                return std::make_unique<TiedHead<decltype(s)>>(in, option<Index>(l, "outputs"),
                                                               option<std::string>(l, "tied"));
              }));
    add_layer_type(typed(
        "test-residual", {},
        [](const LayerDescription& l, Shape in, auto s) -> std::unique_ptr<const Layer<decltype(s)>> {
          return std::make_unique<Residual<decltype(s)>>(chain<decltype(s)>(l.layers, in));
        },
        true));
    add_layer_type(
        typed("test-pool", {},
              [](const LayerDescription&, Shape in, auto s) -> std::unique_ptr<const Layer<decltype(s)>> {
                return std::make_unique<MaskedPool<decltype(s)>>(in);
              }));
    return true;
  }();
  static_cast<void>(done);
}

/// Token ids -> embedding -> residual (attention, linear) -> residual -> mean over real tokens -> head, tied
/// to the embedding. 5 samples of 4 tokens, of which some are masked; `pooled`: else the head is on every
/// token.
inline ModelPoint<double> example_network(const std::vector<std::string>& trained, bool pooled = true,
                                          Index samples = 5) {
  add_example_layers();
  constexpr Index n = 4, ids = 7, width = 6;
  Architecture a;
  a.input = {n, 0};
  a.layers.push_back({"test-embedding", {{"ids", ids}, {"width", width}}, "embedding"});
  const LayerDescription attention = {"attention",
                                      {{"heads", Index{2}}, {"head-dim", Index{3}}, {"outputs", width}}};
  a.layers.push_back({"test-residual", {}, "first", {attention, {"linear", {{"outputs", width}}}}});
  a.layers.push_back({"test-residual", {}, "second", {{"test-residual", {}, "inner", {attention}}}});
  if (pooled) a.layers.push_back({"test-pool"});
  a.layers.push_back({"test-head", {{"outputs", ids}, {"tied", "embedding.E"}}, "head"});
  const auto model = build<double>(a, trained);
  auto data = std::make_shared<Data<double>>();
  data->samples = samples;
  data->X.resize(samples * n, 0);
  data->Y.resize(samples * (pooled ? 1 : n), ids);
  Random random(3, "example network");
  random.fill_normal(data->Y);
  for (Index row = 0; row < samples * n; ++row) {
    data->ids.push_back(static_cast<std::int32_t>(random.uniform() * static_cast<double>(ids)));
    data->mask.push_back(row % n == 0 || random.uniform() < 0.7);
  }
  Vector<double> weights(model->parameters().weight_count());
  random.fill_normal(weights);
  weights *= 0.5;
  return {model, weights, data};
}

}  // namespace basin::test
