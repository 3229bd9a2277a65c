#include "basin/network/stages.h"

#include "basin/network/repeat.h"

namespace basin {
namespace {

/// Appends the stages of a layer, their kinds numbered from `kind` on; returns the kind after the last.
template <class S>
std::size_t open(const Layer<S>& layer, std::size_t first_block, std::size_t kind,
                 std::vector<Stage<S>>& all) {
  const auto* repeat = dynamic_cast<const Repeat<S>*>(&layer);
  const auto* chain = dynamic_cast<const Sequential<S>*>(&layer);
  if (!repeat && !chain) {
    all.push_back({&layer, first_block, layer.blocks().size(), kind});
    return kind + 1;
  }
  const LayerList<S>& layers = repeat ? repeat->copies() : chain->layers();
  std::size_t next = kind;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    next = open(layers[l], first_block, repeat ? kind : next, all);
    first_block += layers[l].blocks().size();
  }
  return next;
}

}  // namespace

template <class S>
std::vector<Stage<S>> stages(const Layer<S>& network) {
  std::vector<Stage<S>> all;
  open(network, 0, 0, all);
  return all;
}

template std::vector<Stage<double>> stages(const Layer<double>&);
template std::vector<Stage<float>> stages(const Layer<float>&);

}  // namespace basin
