#include "basin/problem/initialisation.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "basin/linalg/dense.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"
#include "basin/linalg/words.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

/// Of the numbers of a block. Orthogonal maps have no scale.
struct Distribution {
  enum class Kind { constant, normal, uniform, orthogonal } kind;
  double scale = 0;    ///< the constant, the standard deviation, or a of U(-a, a)
  double divisor = 1;  ///< of what is drawn
};
using Kind = Distribution::Kind;

/// A block as the linear map that it is.
struct Map {
  explicit Map(const ParameterBlock& block)
      : stacked(block.role == BlockRole::stacked_map),
        inputs(stacked ? block.slices() * block.rows() : block.rows()),
        outputs(stacked ? block.cols() : block.slices() * block.cols()) {}
  bool stacked;
  Index inputs, outputs;
};

bool is_map(const ParameterBlock& block) {
  return block.role == BlockRole::map || block.role == BlockRole::stacked_map;
}

double inverse_root(Index size) {
  return 1 / std::sqrt(static_cast<double>(size));
}

/// N(0, STD^2) of "normal:STD".
std::optional<double> deviation(const std::string& method) {
  const std::string prefix = "normal:";
  if (!method.starts_with(prefix)) return std::nullopt;
  const char* text = method.c_str() + prefix.size();
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != 0 || !std::isfinite(value) || value < 0)
    throw InputError("initialisation " + shown(method) +
                     ": expected normal: and a standard deviation, normal:0.02");
  return value;
}

/// What does not depend on the other blocks of a layer, or nothing for another method.
std::optional<Distribution> distribution(const std::string& method, const ParameterBlock& block) {
  if (block.role == BlockRole::shift) return Distribution{Kind::constant, 0};
  if (block.role == BlockRole::scale) return Distribution{Kind::constant, 1};
  const Map map(block);
  if (method == "gaussian")
    return Distribution{Kind::normal, 1,
                        block.role == BlockRole::table ? 1 : std::sqrt(static_cast<double>(map.inputs))};
  if (method == "xavier") {
    const Index fan_in = block.role == BlockRole::table ? 1 : map.inputs;
    return Distribution{Kind::uniform, std::sqrt(6.0 / static_cast<double>(fan_in + map.outputs))};
  }
  if (method == "orthogonal") return Distribution{Kind::orthogonal};
  if (method == "gpt2") return Distribution{Kind::normal, 0.02};
  if (const auto given = deviation(method)) return Distribution{Kind::normal, *given};
  return std::nullopt;
}

using Distributions = std::map<std::string, Distribution>;

/// Those of nn.Linear and nn.MultiheadAttention, whose biases depend on the maps beside them.
Distributions pytorch_defaults(const Architecture& architecture) {
  Distributions all;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
    if (!layer.layers.empty()) return;
    const std::vector<ParameterBlock> blocks = own_blocks(layer, input);
    const bool attention = std::any_of(blocks.begin(), blocks.end(), [](const ParameterBlock& b) {
      return b.role == BlockRole::stacked_map;
    });
    const bool linear = !attention && std::any_of(blocks.begin(), blocks.end(), is_map);
    for (const ParameterBlock& b : blocks) {
      const Map map(b);
      Distribution& of = all[prefix + b.name];
      if (b.role == BlockRole::table)
        of = {Kind::normal, 1};
      else if (b.role == BlockRole::scale)
        of = {Kind::constant, 1};
      else if (b.role == BlockRole::shift)
        of =
            linear ? Distribution{Kind::uniform, inverse_root(input.width)} : Distribution{Kind::constant, 0};
      else if (attention && !map.stacked)
        of = {Kind::uniform, std::sqrt(6.0 / static_cast<double>(map.inputs + 3 * map.outputs))};
      else
        of = {Kind::uniform, inverse_root(map.inputs)};
    }
  });
  return all;
}

/// The maps whose outputs are added to the residual stream.
std::vector<std::string> residual_maps(const Architecture& architecture) {
  std::vector<std::string> names;
  for_each_layer(architecture, [&](const LayerDescription& layer, Shape input, const std::string& prefix) {
    if (layer.type != "residual") return;
    const std::vector<ParameterBlock> blocks = own_blocks(layer, input);
    const auto last = std::find_if(blocks.rbegin(), blocks.rend(), is_map);
    if (last != blocks.rend()) names.push_back(prefix + last->name);
  });
  return names;
}

Distributions distributions(const Architecture& architecture, const std::vector<ParameterBlock>& all,
                            const std::string& method) {
  if (method == "pytorch") return pytorch_defaults(architecture);
  Distributions of;
  for (const ParameterBlock& block : all) {
    const auto found = distribution(method, block);
    if (!found)
      throw InputError("unknown initialisation " + shown(method) + "; expected one of " +
                       initialisation_methods());
    of[block.name] = *found;
  }
  if (method != "gpt2") return of;
  const std::vector<std::string> residual = residual_maps(architecture);
  for (const std::string& name : residual)
    of[name].scale *= inverse_root(static_cast<Index>(residual.size()));
  return of;
}

/// fan_in x fan_out with orthonormal columns or rows.
Matrix<double> orthogonal(Index rows, Index cols, Random& random) {
  Vectors<double> G(std::max(rows, cols), std::min(rows, cols));
  random.fill_normal(G);
  auto [Q, R] = orthogonal_triangular(G);
  for (Index j = 0; j < Q.cols(); ++j)
    if (R(j, j) < 0) Q.col(j) = -Q.col(j);
  if (rows < cols) return Q.transpose();
  return Q;
}

/// The numbers of a block, in C order.
void fill(const Distribution& of, const ParameterBlock& block, Random& random, double* values) {
  if (of.kind == Kind::constant) {
    std::fill_n(values, block.size(), of.scale);
    return;
  }
  const Map map(block);
  Matrix<double> W(map.inputs, map.outputs);
  if (of.kind == Kind::normal) {
    random.fill_normal(W);
    W *= of.scale;
    W /= of.divisor;
  } else if (of.kind == Kind::uniform) {
    random.fill_uniform(W, -of.scale, of.scale);
  } else {
    W = orthogonal(map.inputs, map.outputs, random);
  }
  const Index rows = block.rows(), cols = block.cols();
  for (Index h = 0; h < block.slices(); ++h)
    Eigen::Map<Matrix<double>>(values + h * rows * cols, rows, cols) =
        map.stacked ? W.block(h * rows, 0, rows, cols) : W.block(0, h * cols, rows, cols);
}

/// The gain of every block that a pattern of them fits.
std::map<std::string, double> gains_by_block(const std::map<std::string, double>& gains,
                                             const std::vector<ParameterBlock>& all) {
  std::map<std::string, double> of_block;
  for (const auto& [pattern, gain] : gains) {
    if (!std::isfinite(gain)) throw InputError("gain of " + pattern + ": expected a finite number");
    for (const std::string& name : matching_blocks({pattern}, all))
      if (!of_block.emplace(name, gain).second) throw InputError("gain of " + name + ": given twice");
  }
  return of_block;
}

}  // namespace

std::string initialisation_methods() {
  return "gaussian, normal:STD, xavier, orthogonal, pytorch, gpt2";
}

Vector<double> draw_weights(const Architecture& architecture, const Initialisation& initialisation) {
  const std::vector<ParameterBlock> all = blocks(architecture);
  const std::map<std::string, double> gains = gains_by_block(initialisation.gains, all);
  const Distributions of = distributions(architecture, all, initialisation.method);
  const ParameterLayout layout(all, matching_blocks({"*"}, all));
  Vector<double> weights(layout.weight_count());
  for (const auto& [block, offset, theta_offset] : layout.entries()) {
    Random random(initialisation.seed, initialisation.stream + " " + block.name);
    auto values = weights.segment(offset, block.size());
    fill(of.at(block.name), block, random, values.data());
    if (const auto gain = gains.find(block.name); gain != gains.end()) values *= gain->second;
  }
  return weights;
}

void apply_gains(const Architecture& architecture, const std::map<std::string, double>& gains,
                 Vector<double>& weights) {
  const std::vector<ParameterBlock> all = blocks(architecture);
  const std::map<std::string, double> factors = gains_by_block(gains, all);
  const ParameterLayout layout(all, matching_blocks({"*"}, all));
  for (const auto& [block, offset, theta_offset] : layout.entries())
    if (const auto gain = factors.find(block.name); gain != factors.end())
      weights.segment(offset, block.size()) *= gain->second;
}

AttentionWeights draw_weights(const AttentionSpec& spec, const Initialisation& initialisation) {
  return {spec.heads, spec.head_dim, draw_weights(single_attention(spec), initialisation)};
}

}  // namespace basin
