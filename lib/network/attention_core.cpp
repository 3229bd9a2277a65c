#include "basin/network/attention_core.h"

#include "basin/network/attention_core_tiles.h"

namespace basin {

using namespace tiled;

/// One call of a rule.
template <class S>
struct AttentionCore<S>::Pass : TileRules<S> {
  using TileRules<S>::at;
  using TileRules<S>::memory;

  /// The tangent of the adjoint rule. `turn(place, j)` makes dybar ready once dR of a tile is in memory.
  template <class Turn>
  void second_order(const Saved<S>& value, BatchView<const S> ybar, const Saved<S>& tangent,
                    BatchView<const S> dybar, Saved<S>& bar, const Turn& turn) const {
    at.for_tiles(value, [&](const Place& p) {
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
  const Saved<S>& value = point ? *point : saved;
  for (const std::size_t b : {kK, kV}) at.gather_keys(value, saved[b]);

  const std::size_t some = saved[kQ].empty() ? kK : kQ;
  const Index count = saved[some].count() / at.groups(some), samples = saved[some].rows() / at.n;
  saved[kNorms].clear();
  if (!kernel_->has_norms() || count == 0) return;
  saved[kNorms].resize_zero(count, samples * at.H * 2, basin::row_step<S>(at.n));
  for (Index j = 0; j < count; ++j)
    for (Index i = 0; i < samples; ++i) {
      const Index keys = at.keys_of(value, i, at.n);
      const auto keys_at = [&](auto& of, Index vector, Index h) {
        return at.head(of, kK, vector, i, h).middle_rows(0, keys);
      };
      for (Index h = 0; h < at.H; ++h) {
        const Tile<S> q = at.head(saved, kQ, j, i, h), k = keys_at(saved, j, h);
        const Tile<S> norms = at.head(saved, kNorms, j, i, h);
        if (point)
          kernel_->prepare_tangent(at.head(*point, kQ, 0, i, h), keys_at(*point, 0, h), q, k, norms.row(0),
                                   norms.row(1));
        else
          kernel_->prepare(q, k, norms.row(0), norms.row(1), at.G < at.H);
      }
    }
}

template <class S>
void AttentionCore<S>::prepare(Saved<S>& value) const {
  if (layout_.bilinear && !value.context.mask.empty()) {
    if (value[kX].empty()) {
      value[kX].resize(1, value.input.rows(), layout_.slope_width);
      value[kX][0] = value.input[0];
    }
    layout_.gather_keys(value, value[kX]);
  }
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
    if (!in_use) continue;
    layout_.resize(bar, b, count, rows);
    if (layout_.causal && b != kQ && b != kXM)
      bar[b].resize_zero(bar[b].count(), bar[b].rows(), bar[b].cols());
  }
}

template <class S>
void AttentionCore<S>::scatter(const Saved<S>& value, Saved<S>& bar) const {
  for (const std::size_t b : {kK, kV}) layout_.scatter_keys(value, bar[b]);
}

template <class S>
void AttentionCore<S>::value(Saved<S>& value, Batch<S>& y) const {
  const Pass pass = this->pass();
  pass.resize_stats(value[kQ].rows() / layout_.n, value);
  y.resize(1, value[kQ].rows(), layout_.outputs);
  layout_.for_tiles(value, [&](const Place& p) { pass.first_outputs(value, p, y); });
}

template <class S>
void AttentionCore<S>::gradient(Saved<S>& value, const RowRule<S>& loss, Batch<S>& y, Batch<S>& ybar,
                                Saved<S>& bar) const {
  const Pass pass = this->pass();
  pass.resize_stats(value[kQ].rows() / layout_.n, value);
  y.resize(1, value[kQ].rows(), layout_.outputs);
  ybar.resize(1, value[kQ].rows(), layout_.outputs);
  layout_.for_tiles(value, [&](const Place& p) {
    pass.first_outputs(value, p, y);
    const Index row = layout_.first_row(p);
    loss.gradient(row, y.slice(0, row, p.rows), ybar.slice(0, row, p.rows));
    pass.read_adjoint(ybar.view(), 0, p);
    pass.back(value, p, 0, bar, true);
  });
  scatter(value, bar);
}

template <class S>
void AttentionCore<S>::tangent(Index count, const Saved<S>& value, const Saved<S>& tangent,
                               Batch<S>& dy) const {
  const Pass pass = this->pass();
  dy.resize(count, value[kQ].rows(), layout_.outputs);
  layout_.for_tiles(value, [&](const Place& p) {
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
  layout_.for_tiles(value, [&](const Place& p) {
    pass.weights(value, p);
    for (Index j = 0; j < ybar.count(); ++j) {
      pass.read_adjoint(ybar, j, p);
      pass.back(value, p, j, bar, false);
    }
  });
  scatter(value, bar);
}

template <class S>
void AttentionCore<S>::tangent_of_adjoint(const Saved<S>& value, BatchView<const S> ybar,
                                          const Saved<S>& tangent, BatchView<const S> dybar,
                                          Saved<S>& bar) const {
  pass().second_order(value, ybar, tangent, dybar, bar, [](const Place&, Index) {});
  scatter(value, bar);
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
  scatter(value, bar);
}

template class AttentionCore<double>;
template class AttentionCore<float>;

}  // namespace basin
