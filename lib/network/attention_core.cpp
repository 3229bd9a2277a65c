#include "basin/network/attention_core.h"

#include "basin/network/attention_core_tiles.h"

namespace basin {

using namespace tiled;

/// One call of a rule.
template <class S>
struct AttentionCore<S>::Pass : TileRules<S> {
  using TileRules<S>::at;
  using TileRules<S>::memory;

  Index samples(const Saved<S>& value) const { return value[kQ].rows() / at.n; }
  template <class Body>
  void for_tiles(const Saved<S>& value, const Body& body) const {
    at.for_tiles(samples(value), body);
  }

  /// The tangent of the adjoint rule. `turn(place, j)` makes dybar ready once dR of a tile is in memory.
  template <class Turn>
  void second_order(const Saved<S>& value, BatchView<const S> ybar, const Saved<S>& tangent,
                    BatchView<const S> dybar, Saved<S>& bar, const Turn& turn) const {
    for_tiles(value, [&](const Place& p) {
      this->weights(value, p);
      this->read_adjoint(ybar, 0, p);
      for (Index j = 0; j < dybar.count(); ++j) {
        this->forward_tangent(value, tangent, p, j);
        turn(p, j);
        this->read_adjoint_tangent(dybar, j, p);
        this->back_tangent(value, tangent, p, j, bar);
      }
    });
  }
};

template <class S>
auto AttentionCore<S>::pass() const -> Pass {
  const Call<S> call{layout_, *kernel_};
  call.at.resize(call.memory);
  return {{{call}}};
}

template <class S>
void AttentionCore<S>::prepare(Saved<S>& saved, const Saved<S>* point) const {
  const Layout<S>& at = layout_;
  const std::size_t some = saved[kQ].empty() ? kK : kQ;
  const Index count = saved[some].count() / at.groups(some), samples = saved[some].rows() / at.n;
  saved[kNorms].clear();
  if (!kernel_->has_norms() || count == 0) return;
  saved[kNorms].resize_zero(count, samples * at.H * 2, basin::row_step<S>(at.n));
  for (Index j = 0; j < count; ++j)
    for (Index i = 0; i < samples; ++i)
      for (Index h = 0; h < at.H; ++h) {
        const Tile<S> q = at.head(saved, kQ, j, i, h), k = at.head(saved, kK, j, i, h);
        const Tile<S> norms = at.head(saved, kNorms, j, i, h);
        if (point)
          kernel_->prepare_tangent(at.head(*point, kQ, 0, i, h), at.head(*point, kK, 0, i, h), q, k,
                                   norms.row(0), norms.row(1));
        else
          kernel_->prepare(q, k, norms.row(0), norms.row(1));
      }
}

template <class S>
void AttentionCore<S>::prepare(Saved<S>& value) const {
  prepare(value, nullptr);
}

template <class S>
void AttentionCore<S>::prepare_tangent(const Saved<S>& value, Saved<S>& tangent) const {
  prepare(tangent, &value);
}

template <class S>
void AttentionCore<S>::resize_adjoints(Index count, Index rows, bool scores, bool values,
                                       Saved<S>& bar) const {
  if (bar.values.size() < kCoreSaved) bar.values.resize(kCoreSaved);
  for (const std::size_t b : {kQ, kK, kV, kXM}) {
    bar[b].clear();
    const bool in_use = b == kV ? values : scores && layout_.bilinear == (b == kXM);
    if (in_use) layout_.resize(bar, b, count, rows);
  }
}

template <class S>
void AttentionCore<S>::value(Saved<S>& value, Batch<S>& y) const {
  const Pass pass = this->pass();
  pass.resize_stats(pass.samples(value), value);
  y.resize(1, value[kQ].rows(), layout_.outputs);
  pass.for_tiles(value, [&](const Place& p) { pass.first_outputs(value, p, y); });
}

template <class S>
void AttentionCore<S>::gradient(Saved<S>& value, const RowRule<S>& loss, Batch<S>& y, Batch<S>& ybar,
                                Saved<S>& bar) const {
  const Pass pass = this->pass();
  pass.resize_stats(pass.samples(value), value);
  y.resize(1, value[kQ].rows(), layout_.outputs);
  ybar.resize(1, value[kQ].rows(), layout_.outputs);
  pass.for_tiles(value, [&](const Place& p) {
    pass.first_outputs(value, p, y);
    const Index row = layout_.first_row(p);
    loss.gradient(row, y.slice(0, row, p.rows), ybar.slice(0, row, p.rows));
    pass.read_adjoint(ybar.view(), 0, p);
    pass.back(value, p, 0, bar, true);
  });
}

template <class S>
void AttentionCore<S>::tangent(Index count, const Saved<S>& value, const Saved<S>& tangent,
                               Batch<S>& dy) const {
  const Pass pass = this->pass();
  dy.resize(count, value[kQ].rows(), layout_.outputs);
  pass.for_tiles(value, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < count; ++j) {
      pass.forward_tangent(value, tangent, p, j);
      pass.write_outputs(pass.memory.drt, p, dy, j);
    }
  });
}

template <class S>
void AttentionCore<S>::adjoint(const Saved<S>& value, BatchView<const S> ybar, Saved<S>& bar) const {
  const Pass pass = this->pass();
  pass.for_tiles(value, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < ybar.count(); ++j) {
      pass.read_adjoint(ybar, j, p);
      pass.back(value, p, j, bar, false);
    }
  });
}

template <class S>
void AttentionCore<S>::tangent_of_adjoint(const Saved<S>& value, BatchView<const S> ybar,
                                          const Saved<S>& tangent, BatchView<const S> dybar,
                                          Saved<S>& bar) const {
  pass().second_order(value, ybar, tangent, dybar, bar, [](const Place&, Index) {});
}

template <class S>
void AttentionCore<S>::hessian(Index count, const Saved<S>& value, BatchView<const S> ybar,
                               const Saved<S>& tangent, const RowRule<S>& loss, BatchView<const S> y,
                               Batch<S>& dy, Batch<S>& dybar, Saved<S>& bar) const {
  const Pass pass = this->pass();
  for (Batch<S>* rows : {&dy, &dybar}) rows->resize(count, value[kQ].rows(), layout_.outputs);
  pass.second_order(value, ybar, tangent, dybar.view(), bar, [&](const Place& p, Index j) {
    pass.write_outputs(pass.memory.drt, p, dy, j);
    const Index row = layout_.first_row(p);
    loss.curvature(row, y.slice(0, row, p.rows), dy.slice(j, row, p.rows), dybar.slice(j, row, p.rows));
  });
}

template class AttentionCore<double>;
template class AttentionCore<float>;

}  // namespace basin
