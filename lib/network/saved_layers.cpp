#include "basin/network/saved_layers.h"

#include <algorithm>

#include "basin/linalg/errors.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

using Visit = std::function<void(const SavedLayer&)>;

void walk(const LayerDescription& layer, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit);

/// Layers that have a part each: those of a chain, or branches.
void walk(const std::vector<LayerDescription>& layers, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit) {
  const std::vector<std::string> names = block_prefixes(layers);
  for (std::size_t l = 0; l < layers.size(); ++l)
    walk(layers[l], prefix + names[l] + (names[l].empty() ? "" : "."), saved.parts[l], visit);
}

void walk(const LayerDescription& layer, const std::string& prefix, const Saved<double>& saved,
          const Visit& visit) {
  if (layer.layers.empty()) return visit({layer, prefix, saved});
  if (layer.type == "chain" || layer.type == "sum" || layer.type == "product") {
    walk(layer.layers, prefix, saved, visit);
  } else if (layer.type == "residual") {
    walk(layer.layers, prefix, saved.parts[0], visit);
  } else if (layer.type == "repeat") {
    if (saved.inputs_only) throw InputError("repeat: its inputs alone are kept; expected all of its layers");
    for (std::size_t t = 0; t < saved.parts.size(); ++t)
      walk(layer.layers, prefix + std::to_string(t) + ".", saved.parts[t], visit);
  }
}

using VisitNeeded = std::function<void(const SavedLayer&, const Mask&)>;

/// The way back: to what is needed of inputs.
class Needed {
 public:
  Needed(Index samples, const VisitNeeded& visit) : samples_(samples), visit_(visit) {}

  Mask chain(const std::vector<LayerDescription>& layers, const std::string& prefix,
             const Saved<double>& saved, Mask needed) const {
    const std::vector<std::string> names = block_prefixes(layers);
    for (std::size_t l = layers.size(); l-- > 0;)
      needed = layer(layers[l], prefix + names[l] + (names[l].empty() ? "" : "."), saved.parts[l], needed);
    return needed;
  }
  Mask layer(const LayerDescription& layer, const std::string& prefix, const Saved<double>& saved,
             Mask needed) const {
    if (layer.layers.empty()) {
      visit_({layer, prefix, saved}, needed);
      const LayerType& type = layer_type(layer.type);
      return type.needs
                 ? type.needs(with_defaults(layer), {saved.input.rows() / samples_, saved.input.cols()},
                              saved.context.mask, needed)
                 : whole_samples(saved.input.rows(), needed);
    }
    if (layer.type == "chain") return chain(layer.layers, prefix, saved, std::move(needed));
    if (layer.type == "residual") {
      const Mask inside = chain(layer.layers, prefix, saved.parts[0], needed);
      return either(std::move(needed), inside);
    }
    if (layer.type == "repeat") {
      for (std::size_t t = saved.parts.size(); t-- > 0;)
        needed = chain(layer.layers, prefix + std::to_string(t) + ".", saved.parts[t], std::move(needed));
      return needed;
    }
    if (layer.type != "sum" && layer.type != "product") return whole_samples(saved.input.rows(), needed);
    const std::vector<std::string> names = block_prefixes(layer.layers);
    Mask all(static_cast<std::size_t>(saved.input.rows()), 0);
    for (std::size_t b = 0; b < layer.layers.size(); ++b)
      all = either(std::move(all),
                   this->layer(layer.layers[b], prefix + names[b] + (names[b].empty() ? "" : "."),
                               saved.parts[b], needed));
    return all;
  }

 private:
  static Mask either(Mask a, const Mask& b) {
    for (std::size_t row = 0; row < a.size(); ++row) a[row] = a[row] != 0 || b[row] != 0 ? 1 : 0;
    return a;
  }
  Mask whole_samples(Index rows, const Mask& needed) const {
    const auto samples = static_cast<std::size_t>(samples_), out = needed.size() / samples,
               in = static_cast<std::size_t>(rows) / samples;
    Mask all(static_cast<std::size_t>(rows), 0);
    for (std::size_t i = 0; i < samples; ++i)
      if (std::any_of(needed.begin() + static_cast<std::ptrdiff_t>(i * out),
                      needed.begin() + static_cast<std::ptrdiff_t>((i + 1) * out),
                      [](std::uint8_t row) { return row != 0; }))
        std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(i * in), in, std::uint8_t{1});
    return all;
  }

  Index samples_;
  const VisitNeeded& visit_;
};

}  // namespace

void for_each_needed(const Architecture& a, const Saved<double>& saved, Index samples, Mask needed,
                     const VisitNeeded& visit) {
  const Needed walk(samples, visit);
  if (a.layers.size() == 1 && a.layers[0].layers.empty())
    walk.layer(a.layers[0], "", saved, std::move(needed));
  else
    walk.chain(a.layers, "", saved, std::move(needed));
}

void for_each_saved(const Architecture& a, const Saved<double>& saved, const Visit& visit) {
  if (a.layers.size() == 1 && a.layers[0].layers.empty()) return visit({a.layers[0], "", saved});
  walk(a.layers, "", saved, visit);
}

}  // namespace basin
