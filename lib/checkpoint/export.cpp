#include "basin/checkpoint/export.h"

#include <algorithm>
#include <numeric>

namespace basin {
namespace {

/// Every block trained.
ParameterLayout all_trained(const std::vector<ParameterBlock>& blocks) {
  return {blocks, matching_blocks({"*"}, blocks)};
}

std::size_t place_of(const TensorVectors& vectors, const std::string& name) {
  const auto& tensors = vectors.tensors();
  return static_cast<std::size_t>(
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; }) -
      tensors.begin());
}

/// Lets the tensors stand one after another, in the order in which they stood.
void close_gaps(std::vector<StoredTensor>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tensors[a].begin < tensors[b].begin; });
  std::uint64_t at = 0;
  for (const std::size_t k : order) {
    tensors[k].begin = at;
    at += static_cast<std::uint64_t>(tensors[k].size()) * type_size(tensors[k].type);
    tensors[k].end = at;
  }
}

}  // namespace

void write_weights(std::ostream& out, const CheckpointLayout& layout,
                   const std::vector<ParameterBlock>& blocks, const Vector<double>& weights,
                   const Metadata& more) {
  const TensorVectors vectors(layout, all_trained(blocks));
  Metadata metadata = layout.metadata;
  for (const auto& [key, value] : more) {
    std::erase_if(metadata, [&, &k = key](const auto& pair) { return pair.first == k; });
    metadata.emplace_back(key, value);
  }
  write_safetensors(out, layout.tensors, metadata, [&](std::size_t k) {
    const StoredTensor& tensor = layout.tensors[k];
    if (const auto kept = layout.kept.find(tensor.name); kept != layout.kept.end()) return kept->second;
    const auto copy = layout.copies.find(tensor.name);
    const std::string& name = copy == layout.copies.end() ? tensor.name : copy->second;
    return encoded(vectors.tensor(place_of(vectors, name), weights), tensor.type, tensor.name);
  });
}

void write_vector(std::ostream& out, const CheckpointLayout& layout,
                  const std::vector<ParameterBlock>& blocks, const Vector<double>& vector,
                  const std::string& type) {
  const TensorVectors vectors(layout, all_trained(blocks));
  std::vector<StoredTensor> tensors = vectors.tensors();
  if (!type.empty())
    for (StoredTensor& tensor : tensors) tensor.type = type;
  close_gaps(tensors);
  write_safetensors(out, tensors, layout.metadata, [&](std::size_t k) {
    return encoded(vectors.tensor(k, vector), tensors[k].type, tensors[k].name);
  });
}

}  // namespace basin
