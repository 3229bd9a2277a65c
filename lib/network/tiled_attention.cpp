#include "basin/network/tiled_attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/tiled_attention_projections.h"

namespace basin {

using namespace tiled;

namespace {

template <class S>
Layout<S> checked(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine, Index outputs,
                  ScoreRules rules) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  const Index width = combine == Heads::summed ? value_dim : heads * value_dim;
  if (combine == Heads::summed ? outputs > width : outputs != width)
    throw InputError("attention: " + std::to_string(outputs) + " outputs from values of width " +
                     std::to_string(width));
  return {input.tokens,
          heads,
          head_dim,
          value_dim,
          outputs,
          combine,
          rules == ScoreRules::bilinear ? input.width : 0};
}

}  // namespace

template <class S>
TiledAttention<S>::TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine,
                                  Index outputs, std::unique_ptr<const TileKernel<S>> kernel,
                                  ScoreRules rules)
    : Layer<S>(input, {input.tokens, outputs}),
      core_(checked<S>(input, heads, head_dim, value_dim, combine, outputs, rules), std::move(kernel)) {}

template <class S>
std::vector<ParameterBlock> TiledAttention<S>::blocks() const {
  const Layout<S>& at = core_.layout();
  const Index D = this->input().width;
  const Index qk = basin::row_step<S>(at.H * at.d), v = basin::row_step<S>(at.H * at.e);
  return {{"W_Q", {D, qk}}, {"W_K", {D, qk}}, {"W_V", {D, v}}};
}

template <class S>
void TiledAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                              Batch<S>& y) const {
  Projections<S>{core_}.project(w, x, value);
  core_.value(value, y);
}

template <class S>
void TiledAttention<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                                 Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                                 BlockView<S> wbar, Batch<S>* xbar) const {
  const Projections<S> projections{core_};
  projections.project(w, x, value);
  Saved<S>& bar = projections.adjoints(1, value, wbar, xbar, adjoint);
  core_.gradient(value, loss, y, ybar, bar);
  adjoint.input = ybar.view();
  projections.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  Projections<S>{core_}.project_tangent(w, value, dx, dw, tangent);
  core_.tangent(dw.count(), value, tangent, dy);
}

template <class S>
void TiledAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const Projections<S> projections{core_};
  adjoint.input = ybar;
  Saved<S>& bar = projections.adjoints(ybar.count(), value, wbar, xbar, adjoint);
  core_.adjoint(value, ybar, bar);
  projections.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                           BatchView<const S> dybar, BlockView<S> dwbar,
                                           Batch<S>* dxbar) const {
  const Projections<S> projections{core_};
  Saved<S>& bar = projections.adjoint_tangents(dw.count(), value, dwbar, dxbar);
  core_.tangent_of_adjoint(value, adjoint.input, tangent, dybar, bar);
  projections.project_adjoint(w, value, bar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
}

template <class S>
void TiledAttention<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                                const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                                BlockView<S> dwbar, Batch<S>* dxbar) const {
  const Projections<S> projections{core_};
  projections.project_tangent(w, value, dx, dw, tangent);
  Saved<S>& bar = projections.adjoint_tangents(dw.count(), value, dwbar, dxbar);
  core_.hessian(dw.count(), value, adjoint.input, tangent, loss, y, dy, dybar, bar);
  projections.project_adjoint(w, value, bar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
}

template class TiledAttention<double>;
template class TiledAttention<float>;

}  // namespace basin
