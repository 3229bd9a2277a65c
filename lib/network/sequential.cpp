#include "basin/network/sequential.h"

#include "basin/linalg/errors.h"

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

/// Without names the numbers of the layers, unless there is one only.
template <class S>
LayerList<S> listed(typename LayerList<S>::Layers layers, std::vector<std::string> names,
                    std::unique_ptr<const Reparametrisation<S>> reparametrisation) {
  if (names.empty() && layers.size() > 1)
    for (std::size_t l = 1; l <= layers.size(); ++l) names.push_back(std::to_string(l));
  names.resize(layers.size());
  return {std::move(layers), std::move(names), std::move(reparametrisation)};
}

}  // namespace

template <class S>
Sequential<S>::Sequential(Layers layers, std::vector<std::string> names,
                          std::unique_ptr<const Reparametrisation<S>> reparametrisation)
    : Layer<S>(checked(layers).front()->input(), checked(layers).back()->output()),
      layers_(listed<S>(std::move(layers), std::move(names), std::move(reparametrisation))) {}

// Every rule keeps what passes between the layers in `values`, and what the layers keep in `parts`.

template <class S>
void Sequential<S>::mask(Mask& mask) const {
  for (std::size_t l = 0; l < layers_.size(); ++l) layers_[l].mask(mask);
}

template <class S>
Index Sequential<S>::kinks(const Saved<S>& value) const {
  Index sum = 0;
  for (std::size_t l = 0; l < layers_.size(); ++l) sum += layers_[l].kinks(value.parts[l]);
  return sum;
}

template <class S>
Context Sequential<S>::context_of(std::size_t l, Saved<S>& value) const {
  if (l == 0) return value.context;
  Saved<S>& before = value.parts[l - 1];
  before.mask.assign(before.context.mask.begin(), before.context.mask.end());
  layers_[l - 1].mask(before.mask);
  Context after = before.context;
  after.mask = before.mask;
  if (layers_[l - 1].output().tokens != layers_[l - 1].input().tokens) after.ids = {}, after.types = {};
  return after;
}

template <class S>
void Sequential<S>::value_up_to(std::size_t count, BlockView<const S> w, BatchView<const S> x,
                                Saved<S>& value, Batch<S>& y) const {
  const std::size_t L = layers_.size();
  value.input = x;
  value.values.resize(L - 1);  // x_1, ..., x_{L-1}
  value.parts.resize(L);
  for (std::size_t l = 0; l < L; ++l) {
    value.parts[l].context = context_of(l, value);
    if (l == count) return;
    layers_[l].value(part(w, l), l == 0 ? x : value[l - 1].view(), value.parts[l], l == L - 1 ? y : value[l]);
  }
}

template <class S>
void Sequential<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const {
  value_up_to(layers_.size(), w, x, value, y);
}

template <class S>
void Sequential<S>::tangent_up_to(std::size_t count, BlockView<const S> w, const Saved<S>& value,
                                  BatchView<const S> dx, BlockView<const S> dw, Saved<S>& tangent,
                                  Batch<S>& dy) const {
  const std::size_t L = layers_.size();
  tangent.input = dx;
  tangent.values.resize(2 * (L - 1));  // dx_1, ..., dx_{L-1}, and tangents of their adjoints
  tangent.parts.resize(L);
  for (std::size_t l = 0; l < count; ++l) {
    const BatchView<const S> in = l == 0 ? dx : tangent[l - 1].view();
    Batch<S>& out = l == L - 1 ? dy : tangent[l];
    layers_[l].tangent(part(w, l), value.parts[l], in, part(dw, l), tangent.parts[l], out);
    if (l < L - 1 && !layers_.input_moves(l + 1, !dx.empty(), dw)) out.clear();
  }
}

template <class S>
void Sequential<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                            BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  tangent_up_to(layers_.size(), w, value, dx, dw, tangent, dy);
}

template <class S>
Batch<S>* Sequential<S>::adjoint_of_input(std::size_t l, BlockView<S> wbar, Batch<S>* xbar,
                                          Batch<S>* between) const {
  if (l == 0) return xbar;
  return layers_.input_moves(l, xbar != nullptr, wbar) ? between + (l - 1) : nullptr;
}

template <class S>
void Sequential<S>::adjoint_from(std::size_t count, BlockView<const S> w, const Saved<S>& value,
                                 BatchView<const S> ybar, Saved<S>& adjoint, BlockView<S> wbar,
                                 Batch<S>* xbar) const {
  const std::size_t L = layers_.size();
  for (std::size_t l = count; l-- > 0;) {
    const BatchView<const S> in = l == L - 1 ? ybar : adjoint[l].view();
    Batch<S>* out = adjoint_of_input(l, wbar, xbar, adjoint.values.data());
    layers_[l].adjoint(part(w, l), value.parts[l], in, adjoint.parts[l], part(wbar, l), out);
    if (l > 0 && !out) break;  // nothing before this layer is asked for
  }
}

template <class S>
void Sequential<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                            Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  const std::size_t L = layers_.size();
  adjoint.input = ybar;
  adjoint.values.resize(L - 1);  // the adjoints of x_1, ..., x_{L-1}
  adjoint.parts.resize(L);
  adjoint_from(L, w, value, ybar, adjoint, wbar, xbar);
}

template <class S>
void Sequential<S>::tangent_of_adjoint_from(std::size_t count, BlockView<const S> w, const Saved<S>& value,
                                            const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                                            BatchView<const S> dybar, BlockView<S> dwbar,
                                            Batch<S>* dxbar) const {
  const std::size_t L = layers_.size();
  Batch<S>* between = tangent.values.data() + (L - 1);
  for (std::size_t l = count; l-- > 0;) {
    const BatchView<const S> in = l == L - 1 ? dybar : BatchView<const S>(between[l].view());
    Batch<S>* out = adjoint_of_input(l, dwbar, dxbar, between);
    layers_[l].tangent_of_adjoint(part(w, l), value.parts[l], adjoint.parts[l], tangent.parts[l], part(dw, l),
                                  in, part(dwbar, l), out);
    if (l > 0 && !out) break;
  }
}

template <class S>
void Sequential<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                       Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                                       BlockView<S> dwbar, Batch<S>* dxbar) const {
  tangent_of_adjoint_from(layers_.size(), w, value, adjoint, tangent, dw, dybar, dwbar, dxbar);
}

// The last layer meets the loss by itself: forth to it, through the loss and back in one, and the rest back.

template <class S>
void Sequential<S>::gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss,
                             Saved<S>& value, Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint,
                             BlockView<S> wbar, Batch<S>* xbar) const {
  const std::size_t last = layers_.size() - 1;
  value_up_to(last, w, x, value, y);
  adjoint.values.resize(last);
  adjoint.parts.resize(last + 1);
  Batch<S>* out = adjoint_of_input(last, wbar, xbar, adjoint.values.data());
  layers_[last].gradient(part(w, last), last == 0 ? x : value[last - 1].view(), loss, value.parts[last], y,
                         ybar, adjoint.parts[last], part(wbar, last), out);
  adjoint.input = ybar.view();
  if (out) adjoint_from(last, w, value, ybar.view(), adjoint, wbar, xbar);
}

template <class S>
void Sequential<S>::hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                            BatchView<const S> y, BatchView<const S> dx, BlockView<const S> dw,
                            const RowRule<S>& loss, Saved<S>& tangent, Batch<S>& dy, Batch<S>& dybar,
                            BlockView<S> dwbar, Batch<S>* dxbar) const {
  const std::size_t last = layers_.size() - 1;
  tangent_up_to(last, w, value, dx, dw, tangent, dy);
  Batch<S>* out = adjoint_of_input(last, dwbar, dxbar, tangent.values.data() + last);
  layers_[last].hessian(part(w, last), value.parts[last], adjoint.parts[last], y,
                        last == 0 ? dx : tangent[last - 1].view(), part(dw, last), loss, tangent.parts[last],
                        dy, dybar, part(dwbar, last), out);
  if (out) tangent_of_adjoint_from(last, w, value, adjoint, tangent, dw, dybar.view(), dwbar, dxbar);
}

template class Sequential<double>;
template class Sequential<float>;
template class Sequential<long double>;

}  // namespace basin
