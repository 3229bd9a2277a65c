#include "common/ntk/layer.h"

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"
#include "basin/single_layer/kernel_analysis.h"
#include "common/ntk/file.h"
#include "common/ntk/summary.h"

namespace basin::tools {
namespace {

/// Beyond so many outputs the kernel of a layer alone takes minutes; sizes mostly decide there.
constexpr Index kMostOwnOutputs = 4096;

/// What is found of the layer with one kernel of attention.
struct LayerFound {
  Kernels network;                    ///< of its maps, on the outputs of the network
  std::vector<KernelAnalysis> alone;  ///< the same on its own outputs
  bool whole = true;                  ///< false: of `alone`, what sizes and ranks of inputs say
};

/// Each map, and last all of them.
std::vector<std::vector<std::size_t>> sets_of_maps(const LayerConditions& conditions) {
  std::vector<std::vector<std::size_t>> sets;
  std::vector<std::size_t> all;
  for (std::size_t map = 0; map < conditions.layer().maps.size(); ++map) {
    sets.push_back({map});
    all.push_back(map);
  }
  if (all.size() > 1) sets.push_back(all);
  return sets;
}

std::vector<KernelSet> named(const std::vector<std::vector<std::size_t>>& sets,
                             const LayerConditions& conditions) {
  std::vector<KernelSet> all;
  for (const auto& maps : sets)
    all.push_back(
        {maps.size() == 1 ? conditions.layer().maps[maps[0]].name : "sum", conditions.blocks(maps)});
  all.back().name = "sum";
  return all;
}

/// D at all points, if --memory has room for it.
bool takes_derivatives(const Command& command, const ModelPoint<double>& point, const std::string& path) {
  return layer_maps_bytes(point, path) <= static_cast<double>(command.memory());
}

/// The paper's layer: all that is known of it.
std::optional<std::vector<KernelAnalysis>> paper_layer(Command& command, const ModelPoint<double>& layer) {
  const auto spec = single_attention(layer);
  if (!spec) return std::nullopt;
  const auto sets = kernel_sets(layer.parameters().trained(), KernelSets::blocks);
  NtkAnalysisOptions options;
  options.method = layer.output_size() <= kMostOwnOutputs ? NtkMethod::automatic : NtkMethod::matrix_free;
  options.memory = static_cast<double>(command.memory());
  options.products_memory = command.memory() / 2;
  options.matrix_free.max_products = command.get<Index>("max-products");
  options.matrix_free.seed = command.seed();
  if (analysis_bytes(*spec, layer.data->samples, options.method, sets) > options.memory) return std::nullopt;
  return analyse_ntk(layer, sets, options).kernels;
}

/// Any attention or linear layer: eigenvalues where its Jacobian is small.
std::vector<KernelAnalysis> any_layer(Command& command, const ModelPoint<double>& point,
                                      const std::string& path, bool& whole) {
  const std::string name = "layer";
  const ModelPoint<double> layer = layer_point(point, path, name);
  const Linearization<double> at = layer.linearize({.keep = false});
  const bool small = layer.output_size() <= kMostOwnOutputs &&
                     trained_jacobian_bytes(at) <= static_cast<double>(command.memory());
  const LayerConditions conditions(layer, name, KernelRows::counting,
                                   small && takes_derivatives(command, layer, name));
  const auto sets = sets_of_maps(conditions);
  const std::vector<KernelSet> names = named(sets, conditions);
  std::vector<NtkSpectrum> spectra;
  if (small) {
    std::vector<std::vector<std::string>> blocks;
    for (const KernelSet& set : names) blocks.push_back(set.blocks);
    spectra =
        TrainedJacobian(at, static_cast<double>(command.memory())).spectra(blocks, KernelRows::counting);
  }
  whole = small;
  std::vector<KernelAnalysis> found;
  for (std::size_t k = 0; k < sets.size(); ++k) {
    KernelMinimum minimum = {.name = names[k].name,
                             .method = "none",
                             .size = kernel_size(at, KernelRows::counting),
                             .upper = kInfinity,
                             .lambda_max = kNaN,
                             .largest_upper = kInfinity};
    for (const std::string& block : names[k].blocks)
      minimum.parameters += layer.parameters().find(block).block.size();
    if (small)
      minimum = minimum_of(spectra[k]);
    else if (const auto of_inputs = conditions.minimum(sets[k], at))
      minimum = *of_inputs;
    minimum.name = names[k].name;
    KernelConditions known = conditions.of(sets[k], at);
    known.blocks = names[k].name;
    found.push_back({with_conditions(minimum, known), std::move(known)});
  }
  return found;
}

/// Of the point, with the layer's trained blocks alone trained.
LayerFound analyse(Command& command, const KernelSource& source, const LayerConditions& conditions,
                   KernelRows rows) {
  LayerFound found;
  const auto sets = sets_of_maps(conditions);
  const std::vector<KernelSet> names = named(sets, conditions);
  found.network = source.kernels(names, rows, [&](const KernelSet& set, KernelRows) {
    std::size_t k = 0;
    while (names[k].name != set.name) ++k;
    KernelConditions known = conditions.of(sets[k], source.at());
    known.blocks = set.name;
    return known;
  });
  const std::string& path = conditions.layer().path;
  if (auto kernels = paper_layer(command, layer_point(source.at().point(), path)))
    found.alone = std::move(*kernels);
  else
    found.alone = any_layer(command, source.at().point(), path, found.whole);
  return found;
}

void say_alone(Command& command, const LayerFound& found, const LayerConditions& conditions) {
  const KernelMinimum& sum = found.alone.back().minimum;
  say_kernels(command, found.alone,
              conditions.gives_network_outputs()
                  ? "On all its outputs as they are the NTK"
                  : "On its own outputs, as if it were the last layer under squared loss, the NTK",
              "", true);
  if (!found.whole) command.say("  it has too many outputs for its eigenvalues: what sizes and ranks say");
  if (found.network.sum().positive() && !sum.positive())
    command.say("  inside the network less is asked of it: " + std::to_string(found.network.sum().size) +
                " outputs of the network instead of " + std::to_string(sum.size) + " of its own");
}

/// "it sees 48 tokens of 16 numbers (rank 16)"
std::string inputs_text(const LayerConditions& conditions) {
  const LayerMaps& layer = conditions.layer();
  const TokenMap& first = layer.maps.front();
  const bool reads_inputs = !first.gives_outputs || layer.place.layer.type == "linear";
  return "What " + layer.path + " sees: " + std::to_string(conditions.real_tokens()) +
         (layer.tokens() == 1 ? " rows of " : " tokens of ") + std::to_string(layer.place.input.width) +
         " numbers" +
         (reads_inputs ? ", with rank " + std::to_string(conditions.rank_of_inputs(0)) +
                             (first.blocks.size() > 1 ? " (1 for the bias included)" : "")
                       : "");
}

/// The network with the other kernel in this layer alone.
ModelPoint<double> with_other_kernel_in(const ModelPoint<double>& point, const LayerMaps& layer,
                                        std::string& theirs) {
  LayerDescription other = with_defaults(layer.place.layer);
  if (other.type != "attention")
    throw InputError("--compare: " + layer.path + " is a " + other.type + " layer, which has no kernel");
  theirs = option<std::string>(other, "kernel") == kernel_name(KernelKind::softmax)
               ? kernel_name(KernelKind::gaussian)
               : kernel_name(KernelKind::softmax);
  other.options["kernel"] = theirs;
  other.options["bandwidth"] = 0.0;
  const Architecture network = with_layers_at(point.model->architecture(), layer.path, {other});
  return {build<double>(network, point.parameters().trained()), point.weights, point.data};
}

LayerMaps maps_of(const Setup& setup, const std::string& path, KernelRows rows) {
  try {
    return layer_maps(setup.point, path, rows, false);
  } catch (const InputError& error) {
    throw InputError("--layer: " + setup.input + ": " + error.what());
  }
}

}  // namespace

std::string layer_kernels(Command& command, hdf5::Writer& file, const Setup& setup) {
  refuse_certificate(command, setup);
  refuse(command, {"kernels"}, "with --layer, whose kernels are those of its weights and their sum");
  const auto path = command.get<std::string>("layer");
  const KernelRows rows = rows_of(command, *setup.point.model);
  const auto make_conditions = [&](const ModelPoint<double>& point) {
    const bool derivatives = takes_derivatives(command, point, path);
    if (!derivatives)
      command.message("derivatives of the outputs in what " + path + " gives would take " +
                      bytes_text(layer_maps_bytes(point, path)) + ": their ranks are left out");
    return LayerConditions(point, path, rows, derivatives);
  };
  ModelPoint<double> point = setup.point;
  std::optional<ModelPoint<double>> other;
  std::string theirs;
  const LayerMaps maps = maps_of(setup, path, rows);
  std::vector<std::string> blocks;
  for (const TokenMap& map : maps.maps) blocks.insert(blocks.end(), map.blocks.begin(), map.blocks.end());
  point = point.with_trainable(blocks);
  if (command.get<bool>("compare")) other = with_other_kernel_in(point, maps, theirs);
  const KernelSource source(command, setup.input, point);
  if (kernel_size(source.at(), rows) < 1)
    throw InputError(setup.input + ": no row of outputs counts in the loss");
  command.resolve("method", source.has_jacobian() ? "singular-values" : "matrix-free");

  const LayerConditions conditions = make_conditions(point);
  const LayerFound found = analyse(command, source, conditions, rows);
  say_kernels(command, found.network.kernels, "NTK of the trained blocks of " + path,
              rows_text(found.network, rows), true);
  if (rows == KernelRows::centred && found.network.sum().lower > 0)
    command.say("  " + rate_text(source.at(), found.network.sum()));
  say_products(command, found.network);
  command.say(inputs_text(conditions));
  const bool same = conditions.gives_network_outputs() && maps.place.layer.type == "linear";
  if (!same || rows == KernelRows::centred) say_alone(command, found, conditions);
  command.verdict("positive-definite", found.network.sum().positive_definite());
  command.verdict("certified", false);
  const bool alone = setup.parameters().trained() == point.parameters().trained();
  if ((rows == KernelRows::all || !say_last_layer(command, file, source.at(), found.network.sum(),
                                                  alone ? "" : "if " + path + " alone were trained: ")) &&
      source.at().loss_facts().attained)
    command.say(
        "no certificate: inside a network, that gradient descent reaches zero loss is not proven; it is "
        "of one attention layer, or of a last layer alone, under squared loss");

  write_kernels(file, "/entry/summary", found.network.kernels);
  write_conditions(file, found.network.kernels);
  write_kernels(file, "/entry/alone", found.alone);
  write_conditions(file, found.alone, "/entry/alone_");
  if (!found.network.spectra.empty()) write_spectra(file, found.network.spectra);
  file.write("/entry/rows", to_string(rows));
  file.write("/entry/layer", path);
  if (other) {
    command.message("the same with the " + theirs + " kernel in " + path + " ...");
    const KernelSource there(command, *other, source.has_jacobian());
    const LayerFound with_theirs = analyse(command, there, make_conditions(*other), rows);
    command.say("The same weights with the " + theirs + " kernel in " + path + " alone" + on_rows(rows) +
                ": the sum is " + verdict(with_theirs.network.sum()));
    say_comparison(command, found.network.kernels, with_theirs.network.kernels,
                   option<std::string>(with_defaults(maps.place.layer), "kernel"), theirs);
    command.say("  on its own outputs the sum is " + verdict(with_theirs.alone.back().minimum));
    if (const std::string why = reason(with_theirs.alone.back()); !why.empty()) command.say("    " + why);
    write_kernels(file, "/entry/compared_" + theirs, with_theirs.network.kernels);
    write_kernels(file, "/entry/alone_compared_" + theirs, with_theirs.alone);
  }
  return found.network.spectra.empty() ? "summary" : "ntk";
}

}  // namespace basin::tools
