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

/// What rows added up to.
struct Sums {
  Index rows = 0, saturated = 0, choices = 0;
  double entropy = 0, left = kInfinity;
  Index head = 0, sample = 0, token = 0;

  /// a: the weights of a row that sees `seen` tokens.
  void add(const Eigen::Ref<const Vector<double>>& a, Index seen, bool softmax, Index h, Index i, Index t) {
    if (seen < (softmax ? 2 : 1)) return;
    Index heaviest = 0;
    a.maxCoeff(&heaviest);
    const double others = a.head(heaviest).sum() + a.tail(a.size() - heaviest - 1).sum(),
                 sum = others + a[heaviest], leaves = softmax ? others : sum;
    ++rows;
    saturated += leaves < kSaturatedRow ? 1 : 0;
    if (leaves < left) left = leaves, head = h, sample = i, token = t;
    if (seen < 2) return;
    ++choices;
    double bits = 0;
    for (const double weight : a)
      if (weight > 0) bits -= weight / sum * std::log(weight / sum);
    entropy += bits / std::log(static_cast<double>(seen));
  }
  void add(const Sums& later) {
    rows += later.rows, saturated += later.saturated, choices += later.choices, entropy += later.entropy;
    if (later.left < left) left = later.left, head = later.head, sample = later.sample, token = later.token;
  }
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

/// Of the `count` samples from `first` that the layer was evaluated for.
Sums sums_of(const ModelPoint<double>& point, const SavedLayer& at, Index first, Index count) {
  const Matrix<double> x = at.saved.input[0];
  const auto mask = at.saved.context.mask;
  const AttentionSpec spec = attention_spec(with_defaults(at.layer), {x.rows() / count, x.cols()});
  const auto kernel = kernel_of(spec);
  const RotaryTurns<double> rotary(spec.options.rotary, spec.tokens);
  const Index n = spec.tokens;
  Sums sums;
  Matrix<double> A(n, n);
  for (Index h = 0; h < spec.heads; ++h) {
    const Matrix<double> Q = projection(point, at.prefix, "Q", h, x, rotary, spec.options.has_bias('q'));
    const Matrix<double> K = projection(point, at.prefix, "K", h * spec.kv_heads() / spec.heads, x, rotary,
                                        spec.options.has_bias('k'));
    for (Index i = 0; i < count; ++i) {
      const Matrix<double> sees = visible(spec, mask, i);
      kernel->value(Q.middleRows(i * n, n), K.middleRows(i * n, n), sees, A);
      for (Index t = 0; t < n; ++t) {
        if (!mask.empty() && mask[static_cast<std::size_t>(i * n + t)] == 0) continue;
        sums.add(A.row(t).transpose(), static_cast<Index>(sees.row(t).sum()),
                 spec.kernel == KernelKind::softmax, h, first + i, t);
      }
    }
  }
  return sums;
}

}  // namespace

std::vector<LayerSaturation> attention_layers(const Architecture& architecture) {
  std::vector<LayerSaturation> layers;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
    if (layer.type != "attention") return;
    layers.push_back({layer_name(prefix), attention_spec(with_defaults(layer), input).kernel});
  });
  return layers;
}

std::vector<LayerSaturation> layer_saturation(const ModelPoint<double>& point) {
  std::vector<LayerSaturation> layers = attention_layers(point.model->architecture());
  if (layers.empty()) return layers;
  const Layer<double>& network = point.model->network();
  const Data<double>& data = *point.data;
  const Shape in = network.input();
  Vector<double> made;
  const Vector<double>& u = point.model->network_weights(point.weights, made);
  const BlockView<const double> w(u.data(), 1, u.size(), point.model->network_parameters().weight_slots());
  const Index each = std::max<Index>(1, kRows / in.tokens), chunks = (data.samples + each - 1) / each;
  std::vector<std::vector<Sums>> sums(static_cast<std::size_t>(chunks), std::vector<Sums>(layers.size()));
  parallel_for(chunks, [&](Index c, Index) {
    const Index first = c * each, count = std::min(each, data.samples - first);
    Saved<double> saved;
    Batch<double> y;
    saved.context = data.context(first, count, in.tokens);
    network.value(w, {data.X.data() + first * in.size(), 1, count * in.tokens, in.width}, saved, y);
    for_each_saved(point.model->architecture(), saved, [&](const SavedLayer& at) {
      if (at.layer.type != "attention") return;
      const auto of = std::find_if(layers.begin(), layers.end(), [&](const LayerSaturation& l) {
        return l.layer == layer_name(at.prefix);
      });
      sums[static_cast<std::size_t>(c)][static_cast<std::size_t>(of - layers.begin())] =
          sums_of(point, at, first, count);
    });
  });
  for (std::size_t l = 0; l < layers.size(); ++l) {
    Sums all;
    for (const auto& chunk : sums) all.add(chunk[l]);
    if (all.rows == 0) continue;
    LayerSaturation& of = layers[l];
    of.saturated = static_cast<double>(all.saturated) / static_cast<double>(all.rows);
    if (all.choices > 0) of.entropy = all.entropy / static_cast<double>(all.choices);
    of.left = all.left;
    of.head = static_cast<double>(all.head), of.sample = static_cast<double>(all.sample);
    of.token = static_cast<double>(all.token);
  }
  return layers;
}

}  // namespace basin
