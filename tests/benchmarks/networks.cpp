/// Deep networks, those of the files in data/ in several sizes.
#include <fstream>
#include <iterator>

#include "basin/curvature/network_symmetries.h"
#include "basin/network/architecture_json.h"
#include "basin/problem/initialisation.h"
#include "machine.h"

namespace basin::test {
namespace {

struct Network {
  std::string name, file;
  VariableValues variables;
  std::string mlp;  ///< the width inside the MLPs
  Index samples;
};

const std::vector<Network> kNetworks = {
    {"P2", "classifier.json", {{"tokens", "256"}}, "2*$width", 32},
    {"E1", "classifier.json", {{"width", "128"}, {"heads", "4"}, {"depth", "4"}}, "4*$width", 32},
    {"G1", "gpt.json", {{"tokens", "128"}, {"width", "128"}, {"heads", "4"}, {"depth", "4"}}, "4*$width", 8},
    {"G2", "gpt.json", {}, "4*$width", 4},
};

Architecture architecture_of(const Network& network, KernelKind kernel) {
  std::ifstream file(BASIN_DATA "/" + network.file);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (const auto mlp = text.find("2*$width"); mlp != std::string::npos) text.replace(mlp, 8, network.mlp);
  return with_kernel(architecture_from_json(text, network.variables), kernel, 0);
}

/// Matrix products alone: those of a layer are linear in the input and in each block, and a causal layer
/// multiplies the pairs of tokens that see each other.
Work work_of(const Architecture& architecture, Index samples) {
  double value = 0;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape in, const std::string&) {
    const auto rows = static_cast<double>(samples * in.tokens), n = static_cast<double>(in.tokens);
    if (layer.type != "linear" && layer.type != "attention") return;
    for (const ParameterBlock& block : own_blocks(layer, in))
      if (block.role == BlockRole::map || block.role == BlockRole::stacked_map)
        value += 2 * rows * static_cast<double>(block.size());
    if (layer.type == "linear") return;
    const auto causal = layer.options.find("causal");
    const double seen = causal != layer.options.end() && std::get<bool>(causal->second) ? (n + 1) / 2 : n;
    value +=
        4 * rows * seen * static_cast<double>(in.width);  // Q K^T and A V: heads are as wide as the input
  });
  return {value, 2 * value, 2 * value, 4 * value};
}

/// Ids and labels at random, weights as GPT-2's.
ModelPoint<double> point_of(const Architecture& architecture, Index samples) {
  Random random(1, "network");
  auto data = std::make_shared<Data<double>>();
  const Shape out = output_shape(architecture);
  data->samples = samples;
  data->X.resize(samples * architecture.input.tokens, 0);
  for (Index i = 0; i < data->X.rows(); ++i)
    data->ids.push_back(
        static_cast<std::int32_t>(random.uniform() * static_cast<double>(architecture.vocabulary)));
  for (Index i = 0; i < samples * out.tokens; ++i)
    data->labels.push_back(static_cast<std::int32_t>(random.uniform() * static_cast<double>(out.width)));
  std::vector<std::string> all;
  for (const ParameterBlock& block : blocks(architecture))
    if (block.tied_to.empty()) all.push_back(block.name);
  return {build<double>(architecture, all), draw_weights(architecture, {.method = "gpt2", .seed = 1}), data};
}

/// The symmetries of a network: finding them, and projecting a vector on them.
void symmetries(benchmark::State& state, const Architecture& architecture, Index samples) {
  const ModelPoint<double> point = point_of(architecture, samples);
  forget_peak_memory();
  std::vector<std::pair<std::string, Index>> table;
  for (auto _ : state) table = known_symmetries(point)->table();
  Index modes = 0;
  std::string label;
  for (const auto& [name, count] : table) {
    modes += count;
    label += (label.empty() ? "" : ", ") + name + " " + std::to_string(count);
  }
  state.SetLabel(label);
  state.counters["modes"] = static_cast<double>(modes);
  state.counters["MB"] = peak_memory();
}
void projection(benchmark::State& state, const Architecture& architecture, Index samples) {
  const ModelPoint<double> point = point_of(architecture, samples);
  const Symmetries all = *known_symmetries(point);
  Vectors<double> v(point.theta_size(), 1), p = v;
  Random(1, "projection").fill_normal(v);
  forget_peak_memory();
  for (auto _ : state) all.project(v, p);
  all.project(p, v);
  state.counters["again"] = (v - p).norm() / p.norm();
  state.counters["MB"] = peak_memory();
}

}  // namespace

void add_networks() {
  for (const KernelKind kernel : {KernelKind::softmax, KernelKind::gaussian})
    for (const Network& network : kNetworks) {
      const Architecture architecture = architecture_of(network, kernel);
      const Index samples = network.samples;
      add_benchmarks(
          network.name + "/" + kernel_name(kernel),
          [architecture, samples] { return point_of(architecture, samples); }, work_of(architecture, samples),
          8);
      const auto add = [&](const char* what, const auto& run) {
        benchmark::RegisterBenchmark((what + ("/" + network.name) + "/" + kernel_name(kernel)).c_str(), run,
                                     architecture, samples)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      };
      add("symmetries", symmetries);
      add("projection", projection);
    }
}

}  // namespace basin::test
