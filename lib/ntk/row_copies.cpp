#include "basin/ntk/row_copies.h"

#include <set>
#include <string>

namespace basin {
namespace {

/// Whether a token sees no later one: all attention is causal, and tokens stay tokens.
bool is_causal(const Architecture& architecture) {
  bool causal = true;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape, const std::string&) {
    if (layer.type == "pool" || layer.type == "class-token" || layer.type == "patches") causal = false;
    if (layer.type != "attention") return;
    const auto option = layer.options.find("causal");
    causal = causal && option != layer.options.end() && std::get<bool>(option->second);
  });
  return causal;
}

template <class T>
void append(std::string& bytes, const T* numbers, Index count) {
  bytes.append(reinterpret_cast<const char*>(numbers), static_cast<std::size_t>(count) * sizeof(T));
}

/// All that the first `tokens` of a sample are.
std::string inputs_of(const Data<double>& data, Index sample, Index n, Index tokens) {
  std::string bytes;
  const Index first = sample * n;
  if (!data.ids.empty()) append(bytes, data.ids.data() + first, tokens);
  if (!data.types.empty()) append(bytes, data.types.data() + first, tokens);
  if (!data.mask.empty()) append(bytes, data.mask.data() + first, tokens);
  if (data.X.cols() > 0) append(bytes, data.X.row(first).data(), tokens * data.X.cols());
  return bytes;
}

}  // namespace

Index distinct_rows(const ModelPoint<double>& point, const Mask& counting) {
  const Data<double>& data = *point.data;
  const Shape in = point.model->network().input(), out = point.model->network().output();
  const bool causal = out.tokens == in.tokens && is_causal(point.model->architecture());
  std::set<std::pair<Index, std::string>> rows;  // place in the sample, and what it depends on
  for (Index i = 0; i < data.samples; ++i) {
    const std::string whole = causal ? "" : inputs_of(data, i, in.tokens, in.tokens);
    for (Index t = 0; t < out.tokens; ++t)
      if (counting.empty() || counting[static_cast<std::size_t>(i * out.tokens + t)] != 0)
        rows.emplace(t, causal ? inputs_of(data, i, in.tokens, t + 1) : whole);
  }
  return static_cast<Index>(rows.size());
}

}  // namespace basin
