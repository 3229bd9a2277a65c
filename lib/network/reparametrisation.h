/// Changes of parameters, made once for all samples.
#pragma once

#include <algorithm>

#include "basin/network/parameters.h"

namespace basin {

/// A map u = g(w) from the blocks that people name, train and store (w) to the blocks that the rules of the
/// network take (u): products of weights that all samples share, and arrangements that are fast to compute
/// with. Because samples only meet u, its rules run once per product, not once per chunk of samples; by the
/// chain rule the derivatives of the whole are exact as before.
///
/// The rules are those of a layer (network/layer.h), with the parameters as their only input: k directions at
/// once, adjoints are added to, everything else is overwritten, blocks that a view does not have are zero.
template <class S>
class Reparametrisation {
 public:
  virtual ~Reparametrisation() = default;
  virtual std::vector<ParameterBlock> blocks() const = 0;  ///< of w
  /// Whether block `network_block` of u depends on block `block` of w.
  virtual bool depends(std::size_t network_block, std::size_t block) const = 0;

  virtual void value(BlockView<const S> w, BlockView<S> u) const = 0;
  virtual void tangent(BlockView<const S> w, BlockView<const S> dw, BlockView<S> du) const = 0;
  virtual void adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<S> wbar) const = 0;
  virtual void tangent_of_adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<const S> dw,
                                  BlockView<const S> dubar, BlockView<S> dwbar) const = 0;
};

/// u = w.
template <class S>
class IdentityReparametrisation final : public Reparametrisation<S> {
 public:
  explicit IdentityReparametrisation(std::vector<ParameterBlock> blocks) : blocks_(std::move(blocks)) {}

  std::vector<ParameterBlock> blocks() const override { return blocks_; }
  bool depends(std::size_t network_block, std::size_t block) const override { return network_block == block; }

  void value(BlockView<const S> w, BlockView<S> u) const override { copy(w, u, false); }
  void tangent(BlockView<const S> /*w*/, BlockView<const S> dw, BlockView<S> du) const override {
    copy(dw, du, false);
  }
  void adjoint(BlockView<const S> /*w*/, BlockView<const S> ubar, BlockView<S> wbar) const override {
    copy(ubar, wbar, true);
  }
  void tangent_of_adjoint(BlockView<const S> /*w*/, BlockView<const S> /*ubar*/, BlockView<const S> /*dw*/,
                          BlockView<const S> dubar, BlockView<S> dwbar) const override {
    copy(dubar, dwbar, true);
  }

 private:
  void copy(BlockView<const S> from, BlockView<S> to, bool add) const {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      if (!to.has(b) || !blocks_[b].tied_to.empty()) continue;
      const Index slices = blocks_[b].size() / (blocks_[b].rows() * blocks_[b].cols());
      for (Index j = 0; j < to.count(); ++j)
        for (Index i = 0; i < slices; ++i)
          if (add) {
            to(b, j, i) += from(b, j, i);
          } else {
            to(b, j, i) = from(b, j, i);
          }
    }
  }

  std::vector<ParameterBlock> blocks_;
};

}  // namespace basin
