#include "basin/network/tiled_attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/tiled_attention_projections.h"
#include "basin/network/tiled_attention_tiles.h"

namespace basin {

using namespace tiled;

/// One call of a rule: what all tokens of the chunk go through, and what a tile does.
template <class S>
struct TiledAttention<S>::Pass {
  const Projections<S> projections;
  const TileRules<S> tile;

  /// The tangent of the adjoint rule. `turn(place, j)` makes dybar ready once dR of a tile is in memory.
  template <class Turn>
  void second_order(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                    const Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                    BlockView<S> dwbar, Batch<S>* dxbar, const Turn& turn) const {
    const Index rows = value.input.rows();
    const bool want_QK = dwbar.has(kQ) || dwbar.has(kK) || dxbar;
    Saved<S>& dbar = tile.memory.bar;
    projections.resize_adjoints(dw.count(), rows, want_QK, dwbar.has(kV) || dxbar, dbar);
    tile.at.for_tiles(rows / tile.at.n, [&](const Place& p) {
      tile.weights(value, p);
      tile.read_adjoint(adjoint.input, 0, p);
      for (Index j = 0; j < dw.count(); ++j) {
        tile.forward_tangent(value, tangent, p, j);
        turn(p, j);
        tile.read_adjoint_tangent(dybar, j, p);
        tile.back_tangent(value, tangent, p, j, dbar);
      }
    });
    projections.project_adjoint(w, value, dbar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
  }
};

template <class S>
TiledAttention<S>::TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine,
                                  Index outputs, std::unique_ptr<const TileKernel<S>> kernel,
                                  ScoreRules rules)
    : Layer<S>(input, {input.tokens, outputs}),
      heads_(heads),
      head_dim_(head_dim),
      value_dim_(value_dim),
      combine_(combine),
      kernel_(std::move(kernel)),
      rules_(rules) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  const Index width = combine == Heads::summed ? value_dim : heads * value_dim;
  if (combine == Heads::summed ? outputs > width : outputs != width)
    throw InputError("attention: " + std::to_string(outputs) + " outputs from values of width " +
                     std::to_string(width));
}

template <class S>
std::vector<ParameterBlock> TiledAttention<S>::blocks() const {
  const Index D = this->input().width;
  const Index qk = row_step<S>(heads_ * head_dim_), v = row_step<S>(heads_ * value_dim_);
  return {{"W_Q", {D, qk}}, {"W_K", {D, qk}}, {"W_V", {D, v}}};
}

template <class S>
auto TiledAttention<S>::pass() const -> Pass {
  const Call<S> call{{this->input().tokens, this->input().width, heads_, head_dim_, value_dim_,
                      this->output().width, combine_, rules_ == ScoreRules::bilinear},
                     *kernel_};
  call.at.resize(call.memory);
  return {{call}, {{call}}};
}

template <class S>
void TiledAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                              Batch<S>& y) const {
  const Pass pass = this->pass();
  const TileRules<S>& tile = pass.tile;
  pass.projections.project(w, x, value);
  tile.resize_stats(x.rows() / tile.at.n, value);
  y.resize(1, x.rows(), this->output().width);
  tile.at.for_tiles(x.rows() / tile.at.n, [&](const Place& p) { tile.first_outputs(value, p, y); });
}

template <class S>
void TiledAttention<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                                 Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                                 BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const TileRules<S>& tile = pass.tile;
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  pass.projections.project(w, x, value);
  tile.resize_stats(x.rows() / tile.at.n, value);
  y.resize(1, x.rows(), this->output().width);
  ybar.resize(1, x.rows(), this->output().width);
  Saved<S>& bar = pass.projections.adjoints(ybar.view(), xbar, adjoint);
  pass.projections.resize_adjoints(1, x.rows(), want_QK, wbar.has(kV) || xbar, bar);
  tile.at.for_tiles(x.rows() / tile.at.n, [&](const Place& p) {
    tile.first_outputs(value, p, y);
    const Index row = tile.at.first_row(p);
    loss.gradient(row, y.slice(0, row, p.rows), ybar.slice(0, row, p.rows));
    tile.read_adjoint(ybar.view(), 0, p);
    tile.back(value, p, 0, bar, true);
  });
  pass.projections.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const Pass pass = this->pass();
  const TileRules<S>& tile = pass.tile;
  const Index rows = value.input.rows();
  pass.projections.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), rows, this->output().width);
  tile.at.for_tiles(rows / tile.at.n, [&](const Place& p) {
    tile.weights(value, p);
    for (Index j = 0; j < dw.count(); ++j) {
      tile.forward_tangent(value, tangent, p, j);
      tile.write_outputs(tile.memory.drt, p, dy, j);
    }
  });
}

template <class S>
void TiledAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const Pass pass = this->pass();
  const TileRules<S>& tile = pass.tile;
  const Index rows = value.input.rows();
  const bool want_QK = wbar.has(kQ) || wbar.has(kK) || xbar;
  Saved<S>& bar = pass.projections.adjoints(ybar, xbar, adjoint);
  pass.projections.resize_adjoints(ybar.count(), rows, want_QK, wbar.has(kV) || xbar, bar);
  tile.at.for_tiles(rows / tile.at.n, [&](const Place& p) {
    tile.weights(value, p);
    for (Index j = 0; j < ybar.count(); ++j) {
      tile.read_adjoint(ybar, j, p);
      tile.back(value, p, j, bar, false);
    }
  });
  pass.projections.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                           BatchView<const S> dybar, BlockView<S> dwbar,
                                           Batch<S>* dxbar) const {
  pass().second_order(w, value, adjoint, tangent, dw, dybar, dwbar, dxbar, [](const Place&, Index) {});
}

template <class S>
void TiledAttention<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                                const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                                BlockView<S> dwbar, Batch<S>* dxbar) const {
  const Pass pass = this->pass();
  const TileRules<S>& tile = pass.tile;
  pass.projections.project_tangent(w, value, dx, dw, tangent);
  dy.resize(dw.count(), value.input.rows(), this->output().width);
  dybar.resize(dw.count(), value.input.rows(), this->output().width);
  pass.second_order(w, value, adjoint, tangent, dw, dybar.view(), dwbar, dxbar, [&](const Place& p, Index j) {
    tile.write_outputs(tile.memory.drt, p, dy, j);
    const Index row = tile.at.first_row(p);
    loss.curvature(row, y.slice(0, row, p.rows), dy.slice(j, row, p.rows), dybar.slice(j, row, p.rows));
  });
}

template class TiledAttention<double>;
template class TiledAttention<float>;

}  // namespace basin
