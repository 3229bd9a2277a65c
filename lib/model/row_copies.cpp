#include "basin/model/row_copies.h"

#include <algorithm>
#include <cmath>
#include <map>
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

std::vector<Index> row_groups(const ModelPoint<double>& point, const Mask& counting) {
  const Data<double>& data = *point.data;
  const Shape in = point.model->network().input(), out = point.model->network().output();
  const bool causal = out.tokens == in.tokens && is_causal(point.model->architecture());
  std::map<std::pair<Index, std::string>, Index>
      groups;  // by place in the sample, and what the row depends on
  std::vector<Index> of_rows;
  for (Index i = 0; i < data.samples; ++i) {
    const std::string whole = causal ? "" : inputs_of(data, i, in.tokens, in.tokens);
    for (Index t = 0; t < out.tokens; ++t) {
      if (!counting.empty() && counting[of_rows.size()] == 0) {
        of_rows.push_back(-1);
        continue;
      }
      std::string inputs = causal ? inputs_of(data, i, in.tokens, t + 1) : whole;
      of_rows.push_back(
          groups.emplace(std::pair(t, std::move(inputs)), static_cast<Index>(groups.size())).first->second);
    }
  }
  return of_rows;
}

Index distinct_rows(const ModelPoint<double>& point, const Mask& counting) {
  const std::vector<Index> groups = row_groups(point, counting);
  return groups.empty() ? 0 : *std::max_element(groups.begin(), groups.end()) + 1;
}

double least_loss_of_labels(const ModelPoint<double>& point) {
  const std::vector<std::int32_t>& labels = point.data->labels;
  const LossFacts& facts = point.model->loss().facts();
  if (!facts.centred || labels.empty()) return 0;
  const Mask counting = counting_rows(point.model->network(), *point.data);
  const std::vector<Index> groups = row_groups(point, counting);
  std::map<Index, std::map<std::int32_t, double>> counts;
  std::set<Index> samples;
  double rows = 0;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    if (groups[row] < 0) continue;
    ++counts[groups[row]][labels[row]];
    samples.insert(static_cast<Index>(row) / point.model->network().output().tokens);
    ++rows;
  }
  double sum = 0;
  for (const auto& [group, of_labels] : counts) {
    double whole = 0;
    for (const auto& [label, count] : of_labels) whole += count;
    for (const auto& [label, count] : of_labels) sum += count * std::log(whole / count);
  }
  if (facts.average == Average::rows) sum /= rows;
  if (facts.average == Average::samples) sum /= static_cast<double>(samples.size());
  return sum;
}

}  // namespace basin
