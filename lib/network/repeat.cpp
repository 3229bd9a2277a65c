#include "basin/network/repeat.h"

#include "basin/linalg/errors.h"

namespace basin {
namespace {

// Working memory of the rules that evaluate copies again: the states of the one at hand, in `parts`, and
// behind what is kept in `values` its output, the tangent of that, the adjoint of its input, and two that
// pass between copies.
enum Part : std::size_t { kValue, kAdjoint, kLastTangent, kTangent, kParts };
enum Work : std::size_t { kY, kDy, kXbar, kBetween, kBatches = kBetween + 2 };

}  // namespace

template <class S>
Repeat<S>::Repeat(Layers copies, std::vector<std::string> names)
    : Layer<S>(copies.at(0)->input(), copies.at(0)->input()),
      copies_(std::move(copies), std::move(names)),
      frozen_(copies_.layers()[0].blocks().size(), BlockSlot{-1, 0, 0}) {
  if (copies_.output() != copies_.input()) throw InputError("repeat: its layers change the shape");
}

template <class S>
Index Repeat<S>::kinks(const Saved<S>& value) const {
  return value.inputs_only ? value.kinks : copies_.kinks(value);
}

template <class S>
void Repeat<S>::value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const {
  const LayerList<S>& copies = copies_.layers();
  const std::size_t L = copies.size();
  value.input = x;
  value.values.resize(L - 1);  // the inputs of the copies but the first
  value.parts.resize(L);
  value.inputs_only = false;
  value.kinks = 0;
  for (std::size_t l = 0; l < L; ++l) {
    Saved<S>& state = value.parts[value.inputs_only ? 0 : l];
    state.context = value.context;
    copies[l].value(copies.part(w, l), l == 0 ? x : value[l - 1].view(), state, l == L - 1 ? y : value[l]);
    if (l == 0) value.inputs_only = L > 1 && state.bytes() > value.context.memory / L;
    if (value.inputs_only) value.kinks += copies[l].kinks(state);
  }
}

template <class S>
const Saved<S>& Repeat<S>::state_of(std::size_t l, BlockView<const S> w, const Saved<S>& value,
                                    Saved<S>& state, Batch<S>& y) const {
  const LayerList<S>& copies = copies_.layers();
  if (l == copies.size() - 1) return value.parts[0];
  state.context = value.context;
  copies[l].value(copies.part(w, l), l == 0 ? value.input : value[l - 1].view(), state, y);
  return state;
}

template <class S>
void Repeat<S>::tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                        BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const {
  if (!value.inputs_only) return copies_.tangent(w, value, dx, dw, tangent, dy);
  const LayerList<S>& copies = copies_.layers();
  const std::size_t L = copies.size();
  tangent.input = dx;
  tangent.values.resize(L - 1 + kBatches);  // the tangents of what `value` has, then working memory
  tangent.parts.resize(kParts);
  for (std::size_t l = 0; l < L; ++l) {
    Batch<S>& out = l == L - 1 ? dy : tangent[l];
    copies[l].tangent(copies.part(w, l), state_of(l, w, value, tangent.parts[kValue], tangent[L - 1 + kY]),
                      l == 0 ? dx : tangent[l - 1].view(), copies.part(dw, l), tangent.parts[kLastTangent],
                      out);
    if (l < L - 1 && !copies.input_moves(l + 1, !dx.empty(), dw)) out.clear();
  }
}

template <class S>
void Repeat<S>::adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                        Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const {
  if (!value.inputs_only) return copies_.adjoint(w, value, ybar, adjoint, wbar, xbar);
  const LayerList<S>& copies = copies_.layers();
  const std::size_t L = copies.size();
  adjoint.input = ybar;
  adjoint.values.resize(L);  // the adjoints of what `value` has, then working memory
  adjoint.parts.resize(kParts);
  for (std::size_t l = L; l-- > 0;) {
    Batch<S>* out = l == 0 ? xbar : copies.input_moves(l, xbar != nullptr, wbar) ? &adjoint[l - 1] : nullptr;
    copies[l].adjoint(copies.part(w, l), state_of(l, w, value, adjoint.parts[kValue], adjoint[L - 1]),
                      l == L - 1 ? ybar : adjoint[l].view(), adjoint.parts[kAdjoint], copies.part(wbar, l),
                      out);
    if (l > 0 && !out) break;  // nothing before this copy is asked for
  }
}

template <class S>
void Repeat<S>::tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                                   Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                                   BlockView<S> dwbar, Batch<S>* dxbar) const {
  if (!value.inputs_only)
    return copies_.tangent_of_adjoint(w, value, adjoint, tangent, dw, dybar, dwbar, dxbar);
  const LayerList<S>& copies = copies_.layers();
  const std::size_t L = copies.size();
  Batch<S>* work = tangent.values.data() + (L - 1);
  for (std::size_t l = L; l-- > 0;) {
    const Saved<S>& state = state_of(l, w, value, tangent.parts[kValue], work[kY]);
    Saved<S>& moved = tangent.parts[l == L - 1 ? kLastTangent : kTangent];
    if (l < L - 1)
      copies[l].tangent(copies.part(w, l), state, l == 0 ? tangent.input : tangent[l - 1].view(),
                        copies.part(dw, l), moved, work[kDy]);
    copies[l].adjoint(copies.part(w, l), state, l == L - 1 ? adjoint.input : adjoint[l].view(),
                      tangent.parts[kAdjoint], BlockView<S>(nullptr, 1, 0, frozen_), &work[kXbar]);
    Batch<S>* out = l == 0                                           ? dxbar
                    : copies.input_moves(l, dxbar != nullptr, dwbar) ? &work[kBetween + l % 2]
                                                                     : nullptr;
    const BatchView<const S> in =
        l == L - 1 ? dybar : BatchView<const S>(work[kBetween + (l + 1) % 2].view());
    copies[l].tangent_of_adjoint(copies.part(w, l), state, tangent.parts[kAdjoint], moved, copies.part(dw, l),
                                 in, copies.part(dwbar, l), out);
    if (l > 0 && !out) break;
  }
}

template class Repeat<double>;
template class Repeat<float>;
template class Repeat<long double>;

}  // namespace basin
