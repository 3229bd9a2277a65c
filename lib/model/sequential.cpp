#include "model/sequential.h"

#include <algorithm>

#include "linalg/errors.h"

namespace basin {
namespace {

template <class Layers>
const auto& checked(const Layers& layers) {
  if (layers.empty()) throw InputError("a model needs at least one layer");
  for (std::size_t l = 1; l < layers.size(); ++l) {
    const Shape from = layers[l - 1]->output(), to = layers[l]->input();
    if (from == to) continue;
    const auto text = [](Shape s) {
      return "(" + std::to_string(s.tokens) + ", " + std::to_string(s.width) + ")";
    };
    throw InputError("layer " + std::to_string(l + 1) + " takes (tokens, width) = " + text(to) +
                     ", but the layer before it gives " + text(from));
  }
  return layers;
}

}  // namespace

template <class S>
Sequential<S>::Sequential(Layers layers, std::vector<std::string> names)
    : Layer<S>(checked(layers).front()->input(), checked(layers).back()->output()),
      layers_(std::move(layers)),
      names_(std::move(names)),
      first_block_{0} {
  if (names_.empty())
    for (std::size_t l = 1; l <= layers_.size(); ++l) names_.push_back(std::to_string(l));
  for (const auto& layer : layers_) first_block_.push_back(first_block_.back() + layer->blocks().size());
}

template <class S>
std::vector<ParameterBlock> Sequential<S>::blocks() const {
  std::vector<ParameterBlock> all;
  for (std::size_t l = 0; l < layers_.size(); ++l)
    for (ParameterBlock block : layers_[l]->blocks()) {
      if (layers_.size() > 1) block.name = names_[l] + "." + block.name;
      all.push_back(std::move(block));
    }
  return all;
}

// Every rule keeps what passes between the layers in `values`, and what the layers keep in `parts`.

template <class S>
void Sequential<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const {
  const std::size_t L = layers_.size();
  value.input = x;
  value.values.resize(L - 1);  // x_1, ..., x_{L-1}
  value.parts.resize(L);
  for (std::size_t l = 0; l < L; ++l)
    layers_[l]->value(part(w, l), l == 0 ? x : value[l - 1].view(), value.parts[l],
                      l == L - 1 ? y : value[l]);
}

template <class S>
void Sequential<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                            BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  const std::size_t L = layers_.size();
  tangent.input = dx;
  tangent.values.resize(L - 1);  // dx_1, ..., dx_{L-1}
  tangent.parts.resize(L);
  for (std::size_t l = 0; l < L; ++l) {
    const BatchView<const S> in = l == 0 ? dx : tangent[l - 1].view();
    Batch<S>& out = l == L - 1 ? dy : tangent[l];
    layers_[l]->tangent(part(w, l), value.parts[l], in, part(dw, l), tangent.parts[l], out);
    if (l < L - 1 && !input_moves(l + 1, !dx.empty(), dw)) out.clear();
  }
}

template <class S>
void Sequential<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                            Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const std::size_t L = layers_.size();
  adjoint.input = ybar;
  adjoint.values.resize(L - 1);  // the adjoints of x_1, ..., x_{L-1}
  adjoint.parts.resize(L);
  for (std::size_t l = L; l-- > 0;) {
    const BatchView<const S> in = l == L - 1 ? ybar : adjoint[l].view();
    Batch<S>* out = l == 0 ? xbar : (input_moves(l, xbar != nullptr, wbar) ? &adjoint[l - 1] : nullptr);
    layers_[l]->adjoint(part(w, l), value.parts[l], in, adjoint.parts[l], part(wbar, l), out);
    if (l > 0 && !out) break;  // nothing before this layer is asked for
  }
}

template <class S>
void Sequential<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                       const Saved<S>& tangent, BlockView<const S> dw,
                                       BatchView<const S> dybar, BlockView<S> dwbar, Batch<S>* dxbar) const {
  const std::size_t L = layers_.size();
  // Kept from call to call, so that nothing is allocated in the long run; a chain inside this one finds none.
  thread_local std::vector<Batch<S>> kept;
  std::vector<Batch<S>> between = std::move(kept);
  between.resize(std::max(between.size(), L - 1));
  for (std::size_t l = L; l-- > 0;) {
    const BatchView<const S> in = l == L - 1 ? dybar : between[l].view();
    Batch<S>* out = l == 0 ? dxbar : (input_moves(l, dxbar != nullptr, dwbar) ? &between[l - 1] : nullptr);
    layers_[l]->tangent_of_adjoint(part(w, l), value.parts[l], adjoint.parts[l], tangent.parts[l],
                                   part(dw, l), in, part(dwbar, l), out);
    if (l > 0 && !out) break;
  }
  kept = std::move(between);
}

// A single layer meets the loss by itself.

template <class S>
void Sequential<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                             Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                             BlockView<S> wbar, Batch<S>* xbar) const {
  if (layers_.size() > 1) return Layer<S>::gradient(w, x, loss, value, y, ybar, adjoint, wbar, xbar);
  value.input = x;
  value.parts.resize(1);
  adjoint.parts.resize(1);
  layers_[0]->gradient(w, x, loss, value.parts[0], y, ybar, adjoint.parts[0], wbar, xbar);
  adjoint.input = ybar.view();
}

template <class S>
void Sequential<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                            BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                            const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                            BlockView<S> dwbar, Batch<S>* dxbar) const {
  if (layers_.size() > 1)
    return Layer<S>::hessian(w, value, adjoint, y, dx, dw, loss, tangent, dy, dybar, dwbar, dxbar);
  tangent.input = dx;
  tangent.parts.resize(1);
  layers_[0]->hessian(w, value.parts[0], adjoint.parts[0], y, dx, dw, loss, tangent.parts[0], dy, dybar,
                      dwbar, dxbar);
}

template class Sequential<double>;
template class Sequential<float>;

}  // namespace basin
