/// Changes of parameters, made once for all samples.
#pragma once

#include <memory>
#include <utility>
#include <vector>

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

/// Those of several layers, whose blocks stand one after another.
template <class S>
class JoinedReparametrisation final : public Reparametrisation<S> {
 public:
  /// The next layer: its blocks as people name them and their map to the network_count blocks that its rules
  /// take, which must outlive this; null: they are the same.
  void add(std::vector<ParameterBlock> blocks, const Reparametrisation<S>* map, std::size_t network_count) {
    Part part{map, nullptr, blocks_.size(), blocks.size(), network_count_, network_count};
    if (!map) {
      part.identity = std::make_unique<IdentityReparametrisation<S>>(blocks);
      part.map = part.identity.get();
    }
    network_count_ += network_count;
    for (ParameterBlock& block : blocks) blocks_.push_back(std::move(block));
    parts_.push_back(std::move(part));
  }

  std::vector<ParameterBlock> blocks() const override { return blocks_; }
  bool depends(std::size_t network_block, std::size_t block) const override {
    for (const Part& p : parts_)
      if (network_block - p.first_network < p.network_count)
        return block - p.first < p.count && p.map->depends(network_block - p.first_network, block - p.first);
    return false;
  }

  void value(BlockView<const S> w, BlockView<S> u) const override {
    for (const Part& p : parts_) p.map->value(p.named(w), p.network(u));
  }
  void tangent(BlockView<const S> w, BlockView<const S> dw, BlockView<S> du) const override {
    for (const Part& p : parts_) p.map->tangent(p.named(w), p.named(dw), p.network(du));
  }
  void adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<S> wbar) const override {
    for (const Part& p : parts_) p.map->adjoint(p.named(w), p.network(ubar), p.named(wbar));
  }
  void tangent_of_adjoint(BlockView<const S> w, BlockView<const S> ubar, BlockView<const S> dw,
                          BlockView<const S> dubar, BlockView<S> dwbar) const override {
    for (const Part& p : parts_)
      p.map->tangent_of_adjoint(p.named(w), p.network(ubar), p.named(dw), p.network(dubar), p.named(dwbar));
  }

 private:
  struct Part {
    const Reparametrisation<S>* map;
    std::unique_ptr<const Reparametrisation<S>> identity;
    std::size_t first, count, first_network, network_count;

    template <class T>
    BlockView<T> named(BlockView<T> w) const {
      return w.part(first, count);
    }
    template <class T>
    BlockView<T> network(BlockView<T> u) const {
      return u.part(first_network, network_count);
    }
  };

  std::vector<Part> parts_;
  std::vector<ParameterBlock> blocks_;
  std::size_t network_count_ = 0;
};

}  // namespace basin
