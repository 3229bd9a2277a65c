#include "basin/stationary/layer_saturation.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "basin/linalg/parallel.h"
#include "basin/network/gaussian_kernel.h"
#include "basin/network/layer_types.h"
#include "basin/network/rotary.h"
#include "basin/network/saved_layers.h"
#include "basin/network/softmax_kernel.h"

namespace basin {
namespace {

constexpr Index kRows = 256;  // of a chunk of samples, as of linearisations

std::string layer_name(const std::string& prefix) {
  return prefix.empty() ? "attention" : prefix.substr(0, prefix.size() - 1);
}

/// Entropies of the rows that have a choice.
struct Entropies {
  Index choices = 0;
  double sum = 0;

  void add(const Entropies& later) { choices += later.choices, sum += later.sum; }
};

/// Queries or keys of one head, rows as those of x.
Matrix<double> projection(const ModelPoint<double>& point, const std::string& prefix, const char* name,
                          Index h, ConstMatrixRef<double> x, const RotaryTurns<double>& rotary, bool bias) {
  const auto slice = [&](const std::string& block, Index rows, Index cols) {
    const ParameterLayout::Entry& e = point.parameters().find(prefix + block);
    return Eigen::Map<const Matrix<double>>(point.weights.data() + e.offset + h * rows * cols, rows, cols);
  };
  const Index d = point.parameters().find(prefix + "W_" + name).block.cols();
  Matrix<double> made = x * slice(std::string("W_") + name, x.cols(), d);
  if (bias) made.rowwise() += slice(std::string("b_") + name, 1, d).row(0);
  if (rotary.any()) rotary.turn(tile(made));
  return made;
}

std::unique_ptr<const AttentionKernel<double>> kernel_of(const AttentionSpec& spec) {
  if (spec.kernel == KernelKind::softmax) return std::make_unique<SoftmaxKernel<double>>(spec.head_dim);
  return std::make_unique<GaussianKernel<double>>(spec.sigma());
}

/// Which tokens of sample i see which, n x n.
Matrix<double> visible(const AttentionSpec& spec, std::span<const std::uint8_t> mask, Index i) {
  const Index n = spec.tokens;
  Matrix<double> sees = Matrix<double>::Ones(n, n);
  if (spec.options.causal) sees.triangularView<Eigen::StrictlyUpper>().setZero();
  for (Index l = 0; l < n && !mask.empty(); ++l)
    if (mask[static_cast<std::size_t>(i * n + l)] == 0) sees.col(l).setZero();
  return sees;
}

/// Of the `count` samples from `first` that the layer was evaluated for: what rows leave goes to `layer`.
Entropies measure(const ModelPoint<double>& point, const SavedLayer& at, const Mask& needed, Index first,
                  Index count, LayerSaturation& layer) {
  const Matrix<double> x = at.saved.input[0];
  const auto mask = at.saved.context.mask;
  const AttentionSpec spec = attention_spec(with_defaults(at.layer), {x.rows() / count, x.cols()});
  const auto kernel = kernel_of(spec);
  const RotaryTurns<double> rotary(spec.options.rotary, spec.tokens);
  const Index n = spec.tokens, samples = point.data->samples;
  const bool softmax = spec.kernel == KernelKind::softmax;
  Entropies entropies;
  Matrix<double> A(n, n);
  for (Index h = 0; h < spec.heads; ++h) {
    const Matrix<double> Q = projection(point, at.prefix, "Q", h, x, rotary, spec.options.has_bias('q'));
    const Matrix<double> K = projection(point, at.prefix, "K", h * spec.kv_heads() / spec.heads, x, rotary,
                                        spec.options.has_bias('k'));
    for (Index i = 0; i < count; ++i) {
      const Matrix<double> sees = visible(spec, mask, i);
      kernel->value(Q.middleRows(i * n, n), K.middleRows(i * n, n), sees, A);
      for (Index t = 0; t < n; ++t) {
        const auto row = static_cast<std::size_t>(i * n + t);
        const auto seen = static_cast<Index>(sees.row(t).sum());
        if ((!mask.empty() && mask[row] == 0) || needed[row] == 0 || seen < (softmax ? 2 : 1)) continue;
        Index heaviest = 0;
        const double most = A.row(t).maxCoeff(&heaviest),
                     others = A.row(t).head(heaviest).sum() + A.row(t).tail(n - heaviest - 1).sum(),
                     sum = others + most;
        layer.rows[(h * samples + first + i) * n + t] = softmax ? others : sum;
        if (seen < 2) continue;
        ++entropies.choices;
        double bits = 0;
        for (Index l = 0; l < n; ++l)
          if (A(t, l) > 0) bits -= A(t, l) / sum * std::log(A(t, l) / sum);
        entropies.sum += bits / std::log(static_cast<double>(seen));
      }
    }
  }
  return entropies;
}

/// Finds the attention layers of a network, and which of them move: what comes in does, or queries or keys.
class AttentionLayers {
 public:
  explicit AttentionLayers(const Model<double>& model) : trained_(model.parameters().trained()) {
    const Architecture& a = model.architecture();
    if (a.layers.size() == 1 && a.layers[0].layers.empty())
      layer(a.layers[0], "", false);
    else
      chain(a.layers, "", false);
    std::size_t next = 0;
    for_each_layer(a, [&](const LayerDescription& found, Shape input, const std::string& prefix) {
      if (found.type != "attention") return;
      const AttentionSpec spec = attention_spec(with_defaults(found), input);
      layers_.push_back({layer_name(prefix), spec.kernel});
      layers_.back().heads = spec.heads, layers_.back().tokens = spec.tokens;
      layers_.back().moves = moves_[next++];
    });
  }
  std::vector<LayerSaturation> layers() && { return std::move(layers_); }

 private:
  /// Whether the outputs move, if the inputs do or not.
  bool chain(const std::vector<LayerDescription>& layers, const std::string& prefix, bool moved) {
    const std::vector<std::string> names = block_prefixes(layers);
    for (std::size_t l = 0; l < layers.size(); ++l)
      moved = layer(layers[l], prefix + names[l] + (names[l].empty() ? "" : "."), moved);
    return moved;
  }
  bool layer(const LayerDescription& layer, const std::string& prefix, bool moved) {
    if (layer.type == "attention") {
      bool scores = moved;
      for (const char* block : {"W_Q", "b_Q", "W_K", "b_K"}) scores = scores || trains(prefix + block);
      moves_.push_back(scores);
    }
    if (layer.type == "repeat") {
      const auto times = std::get<Index>(layer.options.at("times"));
      for (Index t = 0; t < times; ++t) moved = chain(layer.layers, prefix + std::to_string(t) + ".", moved);
      return moved;
    }
    if (layer.type == "sum" || layer.type == "product") {
      const std::vector<std::string> names = block_prefixes(layer.layers);
      bool any = false;
      for (std::size_t b = 0; b < layer.layers.size(); ++b)
        any = this->layer(layer.layers[b], prefix + names[b] + (names[b].empty() ? "" : "."), moved) || any;
      return any;
    }
    if (!layer.layers.empty()) return chain(layer.layers, prefix, moved) || moved;
    const auto tied = layer.options.find("weight.tied");
    return moved || trains(prefix, true) ||
           (tied != layer.options.end() && trains(std::get<std::string>(tied->second)));
  }
  /// A block of that name, or of one that begins so.
  bool trains(const std::string& name, bool begins = false) const {
    return std::any_of(trained_.begin(), trained_.end(), [&](const std::string& block) {
      return block == name || (begins && block.starts_with(name));
    });
  }

  std::vector<std::string> trained_;
  std::vector<bool> moves_;
  std::vector<LayerSaturation> layers_;
};

}  // namespace

void LayerSaturation::show(Index row) {
  const Index samples = rows.size() / std::max<Index>(1, heads * tokens);
  const Index h = row / (samples * tokens), i = row / tokens % samples, t = row % tokens;
  left = rows[row];
  head = static_cast<double>(h);
  sample = static_cast<double>(i);
  token = static_cast<double>(t);
}

std::vector<LayerSaturation> attention_layers(const Model<double>& model) {
  return AttentionLayers(model).layers();
}

std::vector<LayerSaturation> layer_saturation(const ModelPoint<double>& point) {
  std::vector<LayerSaturation> layers = attention_layers(*point.model);
  if (std::none_of(layers.begin(), layers.end(), [](const LayerSaturation& l) { return l.moves; }))
    return layers;
  const Layer<double>& network = point.model->network();
  const Data<double>& data = *point.data;
  const Shape in = network.input(), out = network.output();
  for (LayerSaturation& l : layers)
    if (l.moves) l.rows = Vector<double>::Constant(l.heads * data.samples * l.tokens, kNaN);
  Mask counting = counting_rows(network, data);
  if (counting.empty()) counting.assign(static_cast<std::size_t>(data.samples * out.tokens), 1);
  Vector<double> made;
  const Vector<double>& u = point.model->network_weights(point.weights, made);
  const BlockView<const double> w(u.data(), 1, u.size(), point.model->network_parameters().weight_slots());
  const Index each = std::max<Index>(1, kRows / in.tokens), chunks = (data.samples + each - 1) / each;
  std::vector<std::vector<Entropies>> entropies(static_cast<std::size_t>(chunks),
                                                std::vector<Entropies>(layers.size()));
  parallel_for(chunks, [&](Index c, Index) {
    const Index first = c * each, count = std::min(each, data.samples - first);
    Saved<double> saved;
    Batch<double> y;
    saved.context = data.context(first, count, in.tokens);
    network.value(w, {data.X.data() + first * in.size(), 1, count * in.tokens, in.width}, saved, y);
    const auto counts = counting.begin() + first * out.tokens;
    for_each_needed(point.model->architecture(), saved, count, {counts, counts + count * out.tokens},
                    [&](const SavedLayer& at, const Mask& needed) {
                      if (at.layer.type != "attention") return;
                      const auto of = std::find_if(
                          layers.begin(), layers.end(),
                          [&](const LayerSaturation& l) { return l.layer == layer_name(at.prefix); });
                      if (!of->moves) return;
                      entropies[static_cast<std::size_t>(c)][static_cast<std::size_t>(of - layers.begin())] =
                          measure(point, at, needed, first, count, *of);
                    });
  });
  for (std::size_t l = 0; l < layers.size(); ++l) {
    LayerSaturation& of = layers[l];
    Entropies all;
    for (const auto& chunk : entropies) all.add(chunk[l]);
    Index rows = 0, saturated = 0, least = -1;
    for (Index row = 0; row < of.rows.size(); ++row) {
      const double left = of.rows[row];
      if (std::isnan(left)) continue;
      ++rows, saturated += left < kSaturatedRow ? 1 : 0;
      if (least < 0 || left < of.rows[least]) least = row;
    }
    if (rows == 0) continue;
    of.saturated = static_cast<double>(saturated) / static_cast<double>(rows);
    if (all.choices > 0) of.entropy = all.sum / static_cast<double>(all.choices);
    of.show(least);
  }
  return layers;
}

}  // namespace basin
