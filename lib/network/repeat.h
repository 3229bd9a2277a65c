/// The same layers again and again.
#pragma once

#include "basin/network/sequential.h"

namespace basin {

/// y = f(... f(f(x; w_1); w_2) ...; w_L), copies of one layer that keeps the shape, each with parameters of
/// its own: a Sequential, but for what is kept. Where the states of all copies would take more than the
/// context's memory, the inputs of the copies and the adjoints of their outputs are kept alone, and each copy
/// is evaluated again when a rule comes to it: L activations and the states of one copy in the place of L
/// states, for about twice the work. The numbers are the same, bit by bit.
template <class S>
class Repeat final : public Layer<S> {
 public:
  using Layers = typename Sequential<S>::Layers;

  /// names: one for each copy. Throws InputError when there is none, or one changes the shape.
  Repeat(Layers copies, std::vector<std::string> names);

  const LayerList<S>& copies() const { return copies_.layers(); }

  std::vector<ParameterBlock> blocks() const override { return copies_.blocks(); }
  const Reparametrisation<S>* reparametrisation() const override { return copies_.reparametrisation(); }
  void mask(Mask& mask) const override { copies_.mask(mask); }
  Index kinks(const Saved<S>& value) const override;
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override;
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override;
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override;
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override;

 private:
  /// The state of copy l at the point: kept, of the last one; else evaluated again into `state`.
  const Saved<S>& state_of(std::size_t l, BlockView<const S> w, const Saved<S>& value, Saved<S>& state,
                           Batch<S>& y) const;

  Sequential<S> copies_;
  std::vector<BlockSlot> frozen_;  // of a copy of which no adjoint of parameters is wanted
};

}  // namespace basin
