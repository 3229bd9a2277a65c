/// Layers that a composed layer is made of, and their parameter blocks side by side.
#pragma once

#include <algorithm>
#include <memory>

#include "basin/linalg/errors.h"
#include "basin/network/layer.h"

namespace basin {

/// The blocks of all layers one after another, each prefixed by the name of its layer, "attention.W_Q",
/// unless that is empty.
template <class S>
class LayerList {
 public:
  using Layers = std::vector<std::unique_ptr<const Layer<S>>>;

  /// names: one for each layer. reparametrisation: of all blocks at once, under names of its own, where that
  /// is not put together from those of the layers. Throws InputError for two layers with blocks under one
  /// name.
  LayerList(Layers layers, std::vector<std::string> names,
            std::unique_ptr<const Reparametrisation<S>> reparametrisation = nullptr)
      : layers_(std::move(layers)), names_(std::move(names)), first_block_{0} {
    for (std::size_t l = 0; l < size(); ++l) {
      const std::size_t count = layers_[l]->blocks().size();
      for (std::size_t before = 0; before < l && count > 0 && !names_[l].empty(); ++before)
        if (names_[before] == names_[l] && first_block_[before + 1] > first_block_[before])
          throw InputError("two layers are called '" + names_[l] + "'; give them names, e.g. '" + names_[l] +
                           "1' and '" + names_[l] + "2'");
      first_block_.push_back(first_block_.back() + count);
    }
    reparametrisation_ = reparametrisation ? std::move(reparametrisation) : joined();
  }

  std::size_t size() const { return layers_.size(); }
  const Layer<S>& operator[](std::size_t l) const { return *layers_[l]; }
  const Layer<S>& back() const { return *layers_.back(); }

  std::vector<ParameterBlock> blocks() const {
    std::vector<ParameterBlock> all;
    for (std::size_t l = 0; l < size(); ++l)
      for (ParameterBlock& block : named(layers_[l]->blocks(), l)) all.push_back(std::move(block));
    return all;
  }
  const Reparametrisation<S>* reparametrisation() const { return reparametrisation_.get(); }

  /// The blocks of layer l within those of all; those before it.
  template <class T>
  BlockView<T> part(BlockView<T> w, std::size_t l) const {
    return w.part(first_block_[l], first_block_[l + 1] - first_block_[l]);
  }
  template <class T>
  BlockView<T> before(BlockView<T> w, std::size_t l) const {
    return w.part(0, first_block_[l]);
  }
  /// Of layers one after another: whether anything before layer l moves, their input or parameters.
  template <class T>
  bool input_moves(std::size_t l, bool first_input_moves, BlockView<T> w) const {
    return first_input_moves || before(w, l).has_any();
  }

 private:
  std::vector<ParameterBlock> named(std::vector<ParameterBlock> blocks, std::size_t l) const {
    if (names_[l].empty()) return blocks;
    for (ParameterBlock& block : blocks) {
      block.name = names_[l] + "." + block.name;
      if (!block.group.empty()) block.group = names_[l] + "." + block.group;
    }
    return blocks;
  }
  /// What the layers have; null where none has any.
  std::unique_ptr<const Reparametrisation<S>> joined() const {
    if (std::none_of(layers_.begin(), layers_.end(), [](const auto& l) { return l->reparametrisation(); }))
      return nullptr;
    auto all = std::make_unique<JoinedReparametrisation<S>>();
    for (std::size_t l = 0; l < size(); ++l) {
      const Reparametrisation<S>* map = layers_[l]->reparametrisation();
      std::vector<ParameterBlock> network = layers_[l]->blocks();
      const std::size_t count = network.size();
      all->add(named(map ? map->blocks() : std::move(network), l), map, count);
    }
    return all;
  }

  Layers layers_;
  std::vector<std::string> names_;
  std::vector<std::size_t> first_block_;  // of each layer, and the count of all
  std::unique_ptr<const Reparametrisation<S>> reparametrisation_;
};

}  // namespace basin
