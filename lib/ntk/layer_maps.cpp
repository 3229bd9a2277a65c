#include "basin/ntk/layer_maps.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/model/perturbation.h"
#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"
#include "basin/network/saved_layers.h"

namespace basin {
namespace {

/// The weights of `from` for blocks of the same names, of which some may have more rows: zeros there, and in
/// blocks that `from` does not have.
Vector<double> weights_by_name(const ParameterLayout& to, const ModelPoint<double>& from,
                               const std::string& prefix = "") {
  Vector<double> weights = Vector<double>::Zero(to.weight_count());
  for (const auto& e : to.entries()) {
    const auto& known = from.parameters().entries();
    const auto source = std::find_if(known.begin(), known.end(),
                                     [&](const auto& k) { return k.block.name == prefix + e.block.name; });
    if (source == known.end()) continue;
    const Index there = source->block.rows() * source->block.cols(), here = e.block.rows() * e.block.cols();
    for (Index s = 0; s < e.block.slices(); ++s)
      weights.segment(e.offset + s * here, std::min(here, there)) =
          from.weights.segment(source->offset + s * there, std::min(here, there));
  }
  return weights;
}

/// Inputs under targets that nothing depends on.
std::shared_ptr<const Data<double>> with_zero_targets(Data<double> data, Index rows, Index width) {
  data.Y = Matrix<double>::Zero(rows, width);
  data.labels.clear();
  return std::make_shared<Data<double>>(std::move(data));
}

struct LayerInputs {
  Matrix<double> X;  // N n x D
  Mask mask;
};

/// What the layer is given, some samples at a time.
LayerInputs inputs_of(const ModelPoint<double>& point, const std::string& path) {
  constexpr Index kRows = 1024;  // whose activations are in memory together, of every layer
  const Layer<double>& network = point.model->network();
  const Data<double>& data = *point.data;
  const Shape in = network.input();
  Vector<double> made;
  const Vector<double>& u = point.model->network_weights(point.weights, made);
  const BlockView<const double> w(u.data(), 1, u.size(), point.model->network_parameters().weight_slots());
  const Index each = std::max<Index>(1, kRows / in.tokens);
  LayerInputs inputs;
  Saved<double> saved;
  Batch<double> y;
  for (Index first = 0; first < data.samples; first += each) {
    const Index count = std::min(each, data.samples - first);
    saved.context = data.context(first, count, in.tokens);
    network.value(w, {data.X.data() + first * in.size(), 1, count * in.tokens, in.width}, saved, y);
    for_each_saved(point.model->architecture(), saved, [&](const SavedLayer& layer) {
      if (layer.prefix != path + ".") return;
      const auto x = layer.saved.input[0];
      if (first == 0) inputs.X.resize(data.samples * x.rows() / count, x.cols());
      inputs.X.middleRows(first * x.rows() / count, x.rows()) = x;
      const auto mask = layer.saved.context.mask;
      inputs.mask.insert(inputs.mask.end(), mask.begin(), mask.end());
    });
  }
  if (!inputs.X.allFinite()) throw WorkError(path + ": what it is given is not finite");
  return inputs;
}

/// What the outputs of an attention are made of: its own, with the identity for W_O. N n x H d.
Matrix<double> attended(const ModelPoint<double>& layer) {
  const Architecture& a = layer.model->architecture();
  AttentionSpec spec = attention_spec(with_defaults(a.layers[0]), a.input);
  const Index H = spec.heads, d = spec.head_dim;
  spec.outputs = H * d;
  spec.options.bias.erase(std::remove(spec.options.bias.begin(), spec.options.bias.end(), 'o'),
                          spec.options.bias.end());
  auto model = build<double>(single_attention(spec), {"W_O"});
  Vector<double> weights = weights_by_name(model->parameters(), layer);
  auto W_O = weights.segment(model->parameters().find("W_O").offset, H * d * H * d);
  W_O.setZero();
  for (Index j = 0; j < H * d; ++j) W_O[j * H * d + j] = 1;
  const ModelPoint<double> all = {model, std::move(weights),
                                  with_zero_targets(*layer.data, layer.data->X.rows(), H * d)};
  return all.linearize({.keep = false}).outputs();
}

/// A map as its layer's blocks name it.
struct MapNames {
  std::string W, b;
  Index width;
  bool of_scores, gives_outputs;
};

std::vector<MapNames> map_names(const LayerPlace& place) {
  const LayerDescription layer = with_defaults(place.layer);
  if (layer.type == "linear") return {{"W", "b", option<Index>(layer, "outputs"), false, true}};
  const AttentionSpec spec = attention_spec(layer, place.input);
  const Index d = spec.head_dim;
  return {{"W_Q", "b_Q", spec.heads * d, true, false},
          {"W_K", "b_K", spec.kv_heads() * d, true, false},
          {"W_V", "b_V", spec.kv_heads() * d, false, false},
          {"W_O", "b_O", spec.outputs, false, true}};
}

/// Names that no network has by chance.
const std::string kWiden = "(widen)", kPlaces = "(places)", kProbe = "(probe)";

/// The network in which the y of every map are parameters: what an attention reads has the place of its token
/// as n more features, so that rows of W_Q, W_K and W_V are what is added at a place; and so is what is added
/// to the layer's outputs. The function is the same.
Architecture probed(const Architecture& network, const std::string& path, const LayerPlace& place) {
  const Index n = place.input.tokens, D = place.input.width;
  const LayerDescription layer = with_defaults(place.layer);
  std::vector<LayerDescription> layers;
  if (layer.type == "attention") {
    LayerDescription wider = layer;
    wider.options["outputs"] = attention_spec(layer, place.input).outputs;
    layers = {{"linear", {{"outputs", D + n}, {"bias", false}}, kWiden},
              {"positions", {{"rows", n}}, kPlaces},
              wider};
  } else {
    layers = {layer};
  }
  layers.push_back({"positions", {{"rows", n}}, kProbe});
  return with_layers_at(network, path, layers);
}

/// The name of a layer beside this one.
std::string beside(const std::string& path, const std::string& name) {
  const std::size_t dot = path.rfind('.');
  return (dot == std::string::npos ? "" : path.substr(0, dot + 1)) + name;
}

/// J^T of the maps' y: each map's rows of it, one token after another.
void set_derivatives(const ModelPoint<double>& point, KernelRows rows, LayerMaps& layer) {
  const Architecture network = probed(point.model->architecture(), layer.path, layer.place);
  const Index n = layer.tokens(), D = layer.place.input.width;
  // where a map's y are parameters; the map is called by its weights here
  const auto probe_of = [&](const TokenMap& map) {
    return map.gives_outputs ? beside(layer.path, kProbe) + ".Pos" : layer.path + "." + map.name;
  };
  std::vector<std::string> trained;
  for (const TokenMap& map : layer.maps) trained.push_back(probe_of(map));
  const auto model = build<double>(network, trained);
  Vector<double> weights = weights_by_name(model->parameters(), point);
  const auto set = [&](const std::string& name, Index row, Index column) {
    const auto& e = model->parameters().find(name);
    weights[e.offset + row * e.block.cols() + column] = 1;
  };
  if (layer.place.layer.type == "attention") {
    for (Index c = 0; c < D; ++c) set(beside(layer.path, kWiden) + ".W", c, c);
    for (Index k = 0; k < n; ++k) set(beside(layer.path, kPlaces) + ".Pos", k, D + k);
  }
  const Linearization<double> at({model, std::move(weights), point.data}, {.keep = false});
  const Vectors<double> Jt = rows_of_kernel(at, at.jacobian_transposed(), rows);
  for (TokenMap& map : layer.maps) {
    const auto& e = at.parameters().find(probe_of(map));
    const Index slices = e.block.slices(), d = e.block.cols(), all = e.block.rows();
    map.D.resize(Jt.cols(), n * map.width);
    for (Index k = 0; k < n; ++k)
      for (Index h = 0; h < slices; ++h)
        map.D.middleCols(k * map.width + h * d, d) =
            Jt.middleRows(e.theta_offset + (h * all + all - n + k) * d, d).transpose();
  }
}

/// Where the rows of each sample begin in those of the kernel.
std::vector<Index> first_rows(const Linearization<double>& at, KernelRows rows) {
  const Shape out = at.model().network().output();
  const Mask& counting = at.counting_rows();
  const Index width = out.width - (rows == KernelRows::centred ? 1 : 0);
  std::vector<Index> first = {0};
  for (Index i = 0; i < at.samples(); ++i) {
    Index count = 0;
    for (Index row = i * out.tokens; row < (i + 1) * out.tokens; ++row)
      count += rows == KernelRows::all || counting.empty() || counting[row] != 0 ? 1 : 0;
    first.push_back(first.back() + count * width);
  }
  return first;
}

LayerPlace place_of(const ModelPoint<double>& point, const std::string& path) {
  LayerPlace place = layer_at(point.model->architecture(), path, has_token_maps);
  if (!has_token_maps(place.layer)) {
    const bool tied = place.layer.type == "linear";
    throw InputError(
        path +
        (tied ? ": its weights are another layer's, too" : ": found a layer of type " + place.layer.type) +
        "; expected an attention or linear layer with weights of its own");
  }
  return place;
}

}  // namespace

bool has_token_maps(const LayerDescription& layer) {
  if (layer.type == "attention") return true;
  return layer.type == "linear" && option<std::string>(with_defaults(layer), "weight.tied").empty();
}

ModelPoint<double> layer_point(const ModelPoint<double>& point, const std::string& path,
                               const std::string& name) {
  const LayerPlace place = place_of(point, path);
  LayerInputs inputs = inputs_of(point, path);
  Architecture alone = {.input = place.input, .layers = {place.layer}};
  alone.layers[0].name.clear();
  std::vector<std::string> trained;
  for (const ParameterBlock& block : blocks(alone))
    if (point.parameters().find(path + "." + block.name).trainable()) trained.push_back(block.name);
  if (trained.empty()) throw InputError(path + ": none of its blocks is trained; add them to --train");
  auto model = build<double>(alone, trained);
  const Vector<double> weights = weights_by_name(model->parameters(), point, path + ".");
  if (!name.empty()) {
    alone.layers[0].name = name;
    alone.layers = {{"chain", {}, "", alone.layers}};
    for (std::string& block : trained) block.insert(0, name + ".");
    model = build<double>(alone, trained);
  }
  const Shape out = model->network().output();
  return {model, weights,
          with_zero_targets({point.data->samples, std::move(inputs.X), {}, {}, std::move(inputs.mask)},
                            point.data->samples * out.tokens, out.width)};
}

LayerMaps layer_maps(const ModelPoint<double>& point, const std::string& path, KernelRows rows,
                     bool derivatives) {
  const ModelPoint<double> layer = layer_point(point, path);
  LayerMaps result = {path, place_of(point, path), layer.data->mask, {}, {}};
  const Matrix<double>& X = layer.data->X;
  const auto trains = [&](const std::string& own) {
    const auto names = layer.parameters().trained();
    return std::find(names.begin(), names.end(), own) != names.end();
  };
  for (const MapNames& names : map_names(result.place)) {
    const bool W = trains(names.W), b = trains(names.b);
    if (!W && !b) continue;
    const bool attends = names.gives_outputs && result.place.layer.type == "attention";
    const Matrix<double> read = attends ? attended(layer) : X;
    TokenMap map = {{},
                    names.W,
                    0,
                    names.width,
                    names.of_scores,
                    names.gives_outputs,
                    Matrix<double>::Ones(X.rows(), (W ? read.cols() : 0) + (b ? 1 : 0))};
    if (W) map.X.leftCols(read.cols()) = read;
    for (const auto& [is, own] : {std::pair(W, names.W), std::pair(b, names.b)}) {
      if (!is) continue;
      map.blocks.push_back(path + "." + own);
      map.parameters += layer.parameters().find(own).block.size();
    }
    result.maps.push_back(std::move(map));
  }
  const Linearization<double> at = point.linearize({.keep = false});
  result.first_row = first_rows(at, rows);
  if (derivatives) set_derivatives(point, rows, result);
  for (TokenMap& map : result.maps) {  // until here the block whose rows are probed
    map.name.clear();
    for (const std::string& block : map.blocks)
      map.name += (map.name.empty() ? "" : ",") + block.substr(path.size() + 1);
  }
  return result;
}

double layer_maps_bytes(const ModelPoint<double>& point, const std::string& path) {
  const LayerPlace place = place_of(point, path);
  const auto n = static_cast<double>(place.input.tokens), D = static_cast<double>(place.input.width);
  double probed = 0, kept = 0;
  for (const MapNames& map : map_names(place)) {
    const auto width = static_cast<double>(map.width);
    kept += n * width;
    probed += (map.gives_outputs ? n : n + D) * width;
  }
  const auto m = static_cast<double>(point.output_size());
  const auto points = static_cast<double>(1 + perturbations(static_cast<Index>(std::min(m * kept, 1e15))));
  return 8 * m * (2 * probed + (points + 2) * kept);
}

}  // namespace basin
