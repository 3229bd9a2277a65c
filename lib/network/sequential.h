/// Layers one after another.
#pragma once

#include <memory>

#include "basin/network/layer_list.h"

namespace basin {

/// y = f_L( ... f_2(f_1(x; w_1); w_2) ... ; w_L), itself a layer: the chain rule, written once. The last
/// layer meets the loss.
///
/// Parameter blocks are prefixed by the name of their layer, "attention.W_Q", unless that is empty; without
/// names by its number, "2.W_Q", unless there is one layer only.
template <class S>
class Sequential final : public Layer<S> {
 public:
  using Layers = typename LayerList<S>::Layers;

  /// names: none, or one for each layer. reparametrisation: of all blocks at once, under names of its own,
  /// where that is not put together from those of the layers. Throws InputError when there is no layer, or a
  /// layer's input is not the output of the one before it.
  explicit Sequential(Layers layers, std::vector<std::string> names = {},
                      std::unique_ptr<const Reparametrisation<S>> reparametrisation = nullptr);

  const LayerList<S>& layers() const { return layers_; }

  std::vector<ParameterBlock> blocks() const override { return layers_.blocks(); }
  const Reparametrisation<S>* reparametrisation() const override { return layers_.reparametrisation(); }
  void mask(Mask& mask) const override;
  Index kinks(const Saved<S>& value) const override;
  void value(BlockView<const S> w, BatchView<const S> x, Saved<S>& value, Batch<S>& y) const override;
  void tangent(BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx, BlockView<const S> dw,
               Saved<S>& tangent, Batch<S>& dy) const override;
  void adjoint(BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar, Saved<S>& adjoint,
               BlockView<S> wbar, Batch<S>* xbar) const override;
  void tangent_of_adjoint(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint,
                          Saved<S>& tangent, BlockView<const S> dw, BatchView<const S> dybar,
                          BlockView<S> dwbar, Batch<S>* dxbar) const override;
  void gradient(BlockView<const S> w, BatchView<const S> x, const RowRule<S>& loss, Saved<S>& value,
                Batch<S>& y, Batch<S>& ybar, Saved<S>& adjoint, BlockView<S> wbar,
                Batch<S>* xbar) const override;
  void hessian(BlockView<const S> w, const Saved<S>& value, const Saved<S>& adjoint, BatchView<const S> y,
               BatchView<const S> dx, BlockView<const S> dw, const RowRule<S>& loss, Saved<S>& tangent,
               Batch<S>& dy, Batch<S>& dybar, BlockView<S> dwbar, Batch<S>* dxbar) const override;

 private:
  // The rules for the first `count` layers alone; what comes back from a layer goes to adjoint_of_input.
  void value_up_to(std::size_t count, BlockView<const S> w, BatchView<const S> x, Saved<S>& value,
                   Batch<S>& y) const;
  void tangent_up_to(std::size_t count, BlockView<const S> w, const Saved<S>& value, BatchView<const S> dx,
                     BlockView<const S> dw, Saved<S>& tangent, Batch<S>& dy) const;
  void adjoint_from(std::size_t count, BlockView<const S> w, const Saved<S>& value, BatchView<const S> ybar,
                    Saved<S>& adjoint, BlockView<S> wbar, Batch<S>* xbar) const;
  void tangent_of_adjoint_from(std::size_t count, BlockView<const S> w, const Saved<S>& value,
                               const Saved<S>& adjoint, Saved<S>& tangent, BlockView<const S> dw,
                               BatchView<const S> dybar, BlockView<S> dwbar, Batch<S>* dxbar) const;
  /// Where layer l leaves the adjoint of its input: with the chain's own, or in `between`; null if nothing
  /// before it is asked for.
  Batch<S>* adjoint_of_input(std::size_t l, BlockView<S> wbar, Batch<S>* xbar, Batch<S>* between) const;
  /// What the input of layer l has beside its numbers, once the layer before it has its context.
  Context context_of(std::size_t l, Saved<S>& value) const;

  template <class T>
  BlockView<T> part(BlockView<T> w, std::size_t l) const {
    return layers_.part(w, l);
  }
  LayerList<S> layers_;
};

}  // namespace basin
