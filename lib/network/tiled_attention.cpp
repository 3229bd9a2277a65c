#include "basin/network/tiled_attention.h"

#include "basin/linalg/errors.h"
#include "basin/network/tiled_attention_projections.h"

namespace basin {

using namespace tiled;

namespace {

template <class S>
Layout<S> checked(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine, Index outputs,
                  ScoreRules rules, const AttentionOptions& options) {
  if (input.tokens < 1 || input.width < 1 || heads < 1 || head_dim < 1 || outputs < 1)
    throw InputError(
        "attention: tokens n, embedding dimension D, heads H, head dimension d and outputs D_out must all be "
        "at least 1");
  const Index width = combine == Heads::summed ? value_dim : heads * value_dim;
  if (combine == Heads::summed ? outputs > width : outputs != width)
    throw InputError("attention: " + std::to_string(outputs) + " outputs from values of width " +
                     std::to_string(width));
  check_options(options, heads, head_dim);
  const Index kv_heads = options.kv_heads != 0 ? options.kv_heads : heads;
  const bool bilinear = rules == ScoreRules::bilinear;
  if (bilinear &&
      (kv_heads != heads || options.rotary.dimensions > 0 || options.has_bias('q') || options.has_bias('k')))
    throw InputError(
        "attention: bilinear scores are for queries and keys without biases, rotary positions and sharing");
  return {.n = input.tokens,
          .H = heads,
          .d = head_dim,
          .e = value_dim,
          .outputs = outputs,
          .combine = combine,
          .G = kv_heads,
          .causal = options.causal,
          .slope_width = bilinear ? input.width : 0};
}

template <class S>
InputMaps<S> input_maps(const AttentionOptions& options, Index tokens) {
  InputMaps<S> maps{{options.rotary, tokens}, {}, options.rotary.dimensions};
  std::size_t next = kProjections.size();
  for (const std::size_t b : kProjections)
    if (options.has_bias("qkv"[b])) maps.bias[b] = next++;
  return maps;
}

}  // namespace

template <class S>
TiledAttention<S>::TiledAttention(Shape input, Index heads, Index head_dim, Index value_dim, Heads combine,
                                  Index outputs, std::unique_ptr<const TileKernel<S>> kernel,
                                  ScoreRules rules, const AttentionOptions& options)
    : Layer<S>(input, {input.tokens, outputs}),
      core_(checked<S>(input, heads, head_dim, value_dim, combine, outputs, rules, options),
            std::move(kernel)),
      maps_(input_maps<S>(options, input.tokens)) {}

template <class S>
std::vector<ParameterBlock> TiledAttention<S>::blocks() const {
  const Layout<S>& at = core_.layout();
  const auto columns = [&](std::size_t b) { return basin::row_step<S>(at.heads(b) * at.width(b)); };
  std::vector<ParameterBlock> all;
  for (const std::size_t b : kProjections)
    all.push_back({std::string("W_") + "QKV" [b], { this->input().width, columns(b) }});
  for (const std::size_t b : kProjections)
    if (maps_.bias[b] != 0) all.push_back({std::string("b_") + "QKV" [b], { columns(b) }});
  return all;
}

template <class S>
void TiledAttention<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                              Batch<S>& y) const {
  Projections<S>{core_, maps_}.project(w, x, value);
  core_.value(value, y);
}

template <class S>
void TiledAttention<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                                 Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                                 BlockView<S> wbar, Batch<S>* xbar) const {
  const Projections<S> maps{core_, maps_};
  maps.project(w, x, value);
  Saved<S>& bar = maps.adjoints(1, value, wbar, xbar, adjoint);
  core_.gradient(value, loss, y, ybar, bar);
  adjoint.input = ybar.view();
  maps.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                                BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  Projections<S>{core_, maps_}.project_tangent(w, value, dx, dw, tangent);
  core_.tangent(dw.count(), value, tangent, dy);
}

template <class S>
void TiledAttention<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                                Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const Projections<S> maps{core_, maps_};
  adjoint.input = ybar;
  Saved<S>& bar = maps.adjoints(ybar.count(), value, wbar, xbar, adjoint);
  core_.adjoint(value, ybar, bar);
  maps.project_adjoint(w, value, bar, wbar, xbar, &adjoint);
}

template <class S>
void TiledAttention<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value,
                                           const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                           BatchView<const S> dybar, BlockView<S> dwbar,
                                           Batch<S>* dxbar) const {
  const Projections<S> maps{core_, maps_};
  Saved<S>& bar = maps.adjoint_tangents(dw.count(), value, dwbar, dxbar);
  core_.tangent_of_adjoint(value, adjoint.input, tangent, dybar, bar);
  maps.project_adjoint(w, value, bar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
}

template <class S>
void TiledAttention<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                                const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                                BlockView<S> dwbar, Batch<S>* dxbar) const {
  const Projections<S> maps{core_, maps_};
  maps.project_tangent(w, value, dx, dw, tangent);
  Saved<S>& bar = maps.adjoint_tangents(dw.count(), value, dwbar, dxbar);
  core_.hessian(dw.count(), value, adjoint.input, tangent, loss, y, dy, dybar, bar);
  maps.project_adjoint(w, value, bar, dwbar, dxbar, nullptr, tangent.input, &dw, &adjoint);
}

template class TiledAttention<double>;
template class TiledAttention<float>;

}  // namespace basin
