/// The layers that a network runs one after another.
#pragma once

#include <vector>

#include "basin/network/layer.h"

namespace basin {

/// One of them: it takes what the stage before it gives.
template <class S>
struct Stage {
  const Layer<S>* layer;
  std::size_t first_block, blocks;  ///< which blocks of the network are its own
  /// Stages of one kind are copies of one layer with parameters of their own: one after another, they can
  /// share working memory.
  std::size_t kind;
};

/// The stages of a network, in order: chains and repetitions are opened, to any depth; a layer that is
/// neither is one stage, whatever is inside it. They refer to the network.
template <class S>
std::vector<Stage<S>> stages(const Layer<S>& network);

}  // namespace basin
