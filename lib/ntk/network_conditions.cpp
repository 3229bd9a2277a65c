#include "basin/ntk/network_conditions.h"

#include <algorithm>
#include <limits>

#include "basin/curvature/constant_symmetries.h"
#include "basin/linalg/parallel.h"
#include "basin/model/perturbation.h"
#include "basin/model/row_copies.h"
#include "basin/network/attention_spec.h"
#include "basin/network/layer_types.h"
#include "basin/ntk/head_rank.h"

namespace basin {
namespace {

/// A rank among several, the one that falls short by most.
struct Shortest {
  Index rank = 0, expected = 0;

  void add(Index r, Index e) {
    if (e > 0 && (expected == 0 || r - e < rank - expected)) *this = {r, e};
  }
};

Matrix<double> rows_of(const Matrix<double>& X, const std::vector<Index>& rows) {
  Matrix<double> some(static_cast<Index>(rows.size()), X.cols());
  for (Index r = 0; r < some.rows(); ++r) some.row(r) = X.row(rows[r]);
  return some;
}

/// Whether the outputs of the network are those of this layer.
bool is_last(const Architecture& network, const std::string& path) {
  const std::vector<LayerDescription>* layers = &network.layers;
  std::string prefix;
  while (layers->back().type == "chain") {
    const std::string& name = layers->back().name;
    prefix += name + (name.empty() ? "" : ".");
    layers = &layers->back().layers;
  }
  return prefix + block_prefixes(*layers).back() == path;
}

/// Whether each token of the layer sees two real ones or more.
std::vector<bool> choices(const LayerMaps& layer, bool causal) {
  const Index n = layer.tokens();
  std::vector<bool> several;
  for (Index i = 0; i < layer.samples(); ++i) {
    Index before = 0, all = 0;
    const auto real = [&](Index k) { return layer.mask.empty() || layer.mask[i * n + k] != 0; };
    for (Index k = 0; k < n; ++k) all += real(k) ? 1 : 0;
    for (Index k = 0; k < n; ++k) {
      before += real(k) ? 1 : 0;
      several.push_back((causal ? before : all) >= 2);
    }
  }
  return several;
}

}  // namespace

KernelConditions network_conditions(const Linearization<double>& at, const std::vector<std::string>& blocks,
                                    KernelRows rows) {
  KernelConditions c;
  c.blocks = joined(blocks);
  const Index unseen = unseen_directions(at.model(), blocks, rows == KernelRows::centred);
  Index parameters = -unseen;
  for (const std::string& block : blocks) parameters += at.parameters().find(block).block.size();
  c.upper_bound = parameters == 0 ? 0 : kInfinity;
  const Index m = kernel_size(at, rows);
  const Index width = at.model().network().output().width - (rows == KernelRows::centred ? 1 : 0);
  const auto add = [&](const char* name, const char* counted, Index measured, const char* remedy) {
    c.conditions.push_back(
        count_condition(name, counted, "outputs", Role::necessary, measured, m, true, remedy));
  };
  add("parameters", unseen > 0 ? "parameters that the outputs depend on" : "parameters", parameters,
      "more parameters or fewer outputs: fewer samples or tokens");
  add("different_rows", "outputs of different inputs",
      width * distinct_rows(at.point(), rows == KernelRows::all ? Mask() : at.counting_rows()),
      "inputs that differ: equal samples, and in causal networks equal first tokens, have equal outputs");
  if (const auto rank = most_rank_behind_head(at, blocks, rows))
    add("head_rank", "independent last-layer outputs", *rank,
        "a last layer with as many inputs as outputs, or fewer rows");
  return c;
}

KernelMinimum jacobian_kernel_minimum(const Linearization<double>& at, double memory) {
  const std::vector<std::string> trained = at.parameters().trained();
  const KernelRows rows = rows_of_loss(at.model());
  return with_conditions(minimum_of(TrainedJacobian(at, memory).spectra({trained}, rows).back()),
                         network_conditions(at, trained, rows));
}

LayerConditions::LayerConditions(const ModelPoint<double>& point, const std::string& path, KernelRows rows,
                                 bool derivatives)
    : rows_(rows), layer_(layer_maps(point, path, rows, derivatives)) {
  Index numbers = 0;
  for (const TokenMap& map : layer_.maps) numbers += map.X.size() + map.D.size();
  for (std::uint64_t k = 0; k < perturbations(numbers); ++k)
    perturbed_.push_back(layer_maps(point.perturbed(k), path, rows, derivatives));
  std::vector<Index> real;
  for (Index a = 0; a < layer_.maps.front().X.rows(); ++a)
    if (layer_.mask.empty() || layer_.mask[a] != 0) real.push_back(a);
  for (std::size_t map = 0; map < layer_.maps.size(); ++map) inputs_.push_back(inputs(map, real));
  last_ = is_last(point.model->architecture(), path);
}

Index LayerConditions::real_tokens() const {
  return inputs_.front().values.size();
}

MeasuredValues LayerConditions::inputs(std::size_t map, const std::vector<Index>& tokens) const {
  std::vector<Matrix<double>> there;
  for (const LayerMaps& other : perturbed_) there.push_back(rows_of(other.maps[map].X, tokens));
  return measured_values(rows_of(layer_.maps[map].X, tokens), there, kUnderflowError);
}

std::vector<Index> LayerConditions::seen(const std::vector<std::size_t>& maps, Index i) const {
  const Index n = layer_.tokens(), first = layer_.first_row[i], count = layer_.first_row[i + 1] - first;
  std::vector<Index> tokens;
  for (Index k = 0; k < n; ++k)
    if (std::any_of(maps.begin(), maps.end(), [&](std::size_t map) {
          const TokenMap& of = layer_.maps[map];
          return (of.D.block(first, k * of.width, count, of.width).array() != 0).any();
        }))
      tokens.push_back(i * n + k);
  return tokens;
}

MeasuredValues LayerConditions::derivatives(const std::vector<std::size_t>& maps, Index i) const {
  const auto side_by_side = [&](const LayerMaps& of) {
    Index width = 0;
    for (const std::size_t map : maps) width += of.maps[map].D.cols();
    Matrix<double> D(of.first_row[i + 1] - of.first_row[i], width);
    Index column = 0;
    for (const std::size_t map : maps) {
      const Matrix<double>& one = of.maps[map].D;
      D.middleCols(column, one.cols()) = one.middleRows(of.first_row[i], D.rows());
      column += one.cols();
    }
    return D;
  };
  std::vector<Matrix<double>> there;
  for (const LayerMaps& other : perturbed_) there.push_back(side_by_side(other));
  return measured_values(side_by_side(layer_), there, kUnderflowError);
}

std::vector<std::string> LayerConditions::blocks(const std::vector<std::size_t>& maps) const {
  std::vector<std::string> all;
  for (const std::size_t map : maps)
    all.insert(all.end(), layer_.maps[map].blocks.begin(), layer_.maps[map].blocks.end());
  return all;
}

MeasuredValues LayerConditions::counting_inputs(std::size_t map, const Mask& counting) const {
  std::vector<Index> tokens;
  for (Index a = 0; a < layer_.maps[map].X.rows(); ++a)
    if (rows_ == KernelRows::all || counting.empty() || counting[a] != 0) tokens.push_back(a);
  return inputs(map, tokens);
}

std::optional<KernelMinimum> LayerConditions::minimum(const std::vector<std::size_t>& maps,
                                                      const Linearization<double>& at) const {
  if (!gives_outputs(maps)) return std::nullopt;
  const TokenMap& map = layer_.maps[maps[0]];
  return minimum_of(map.name, counting_inputs(maps[0], at.counting_rows()), map.X.cols(),
                    map.width - (rows_ == KernelRows::centred ? 1 : 0));
}

/// D is the identity on rows that count: K = (A A^T) (x) I.
KernelConditions LayerConditions::of_outputs(std::size_t map, const Mask& counting,
                                             KernelConditions c) const {
  const MeasuredValues A = counting_inputs(map, counting);
  const Index rows = A.values.size();
  const std::string& name = layer_.maps[map].name;
  c.conditions.push_back(count_condition("inputs", "inputs of " + name, "rows", Role::necessary,
                                         layer_.maps[map].X.cols(), rows, true,
                                         "a wider layer, or fewer rows: samples or tokens"));
  c.conditions.push_back(count_condition("rank_A", "linearly independent inputs of " + name, "rows",
                                         Role::equivalent, A.rank, rows, false,
                                         "inputs that are linearly independent"));
  c.bounds.push_back({"exact", "sigma_min(A)^2 (equality)", A.smallest * A.smallest});
  c.upper_bound =
      std::min(c.upper_bound, std::max(A.largest() * A.largest(), std::numeric_limits<double>::min()));
  return c;
}

/// Softmax of one number is 1, whatever queries and keys are: outputs of such tokens do not move with them,
/// nor does what a network makes of a sample that has no others.
void LayerConditions::add_choice(const std::vector<std::size_t>& maps, const Mask& counting,
                                 KernelConditions& c) const {
  const bool scores =
      std::all_of(maps.begin(), maps.end(), [&](std::size_t map) { return layer_.maps[map].of_scores; });
  if (!scores) return;
  const AttentionSpec spec = attention_spec(with_defaults(layer_.place.layer), layer_.place.input);
  if (spec.kernel != KernelKind::softmax) return;
  const std::vector<bool> several = choices(layer_, spec.options.causal);
  const Index n = layer_.tokens();
  Index found = 0, expected = 0;
  if (last_) {
    for (std::size_t a = 0; a < several.size(); ++a) {
      if (!counting.empty() && counting[a] == 0) continue;
      ++expected;
      found += several[a] ? 1 : 0;
    }
  } else {
    for (Index i = 0; i < layer_.samples(); ++i) {
      if (layer_.first_row[i + 1] == layer_.first_row[i]) continue;
      ++expected;
      const auto first = several.begin() + i * n;
      found += std::find(first, first + n, true) != first + n ? 1 : 0;
    }
  }
  c.conditions.push_back(count_condition(
      "choice",
      last_ ? "tokens that attend to two tokens or more" : "samples with a token that attends to two or more",
      last_ ? "tokens (softmax)" : "samples (softmax)", Role::necessary, found, expected, true,
      "training values or outputs, too: a token that sees itself alone has no choice"));
}

KernelConditions LayerConditions::of(const std::vector<std::size_t>& maps,
                                     const Linearization<double>& at) const {
  KernelConditions c = network_conditions(at, blocks(maps), rows_);
  const Mask counting = rows_ == KernelRows::all ? Mask() : at.counting_rows();
  if (gives_outputs(maps)) return of_outputs(maps[0], counting, std::move(c));
  add_choice(maps, counting, c);
  if (layer_.maps.front().D.size() == 0) return c;

  Shortest local, size;
  Below smallest = {kInfinity, kInfinity};
  double largest = 0;
  std::vector<Index> tokens;
  const Index N = layer_.samples();
  std::vector<MeasuredValues> each(N);
  parallel_for(N, [&](Index i, Index) {
    if (layer_.first_row[i + 1] > layer_.first_row[i]) each[i] = derivatives(maps, i);
  });
  for (Index i = 0; i < N; ++i) {
    const Index rows = layer_.first_row[i + 1] - layer_.first_row[i];
    if (rows == 0) continue;
    local.add(each[i].rank, rows);
    smallest = std::min(smallest, each[i].smallest);
    largest = std::max(largest, each[i].largest());
    const std::vector<Index> of_sample = seen(maps, i);
    tokens.insert(tokens.end(), of_sample.begin(), of_sample.end());
  }
  Index width = 0;
  for (const std::size_t map : maps) width += layer_.maps[map].width;
  size.add(layer_.tokens() * width, local.expected);
  const std::string of = maps.size() == 1 ? layer_.maps[maps[0]].name : "the layer";
  c.conditions.push_back(count_condition("size_local", "numbers that come out of " + of + " for a sample",
                                         "outputs of the sample", Role::necessary, size.rank, size.expected,
                                         true, "a wider layer"));
  c.conditions.push_back(count_condition(
      "rank_local", "outputs of a sample that move independently with what comes out of " + of,
      "outputs of the sample", Role::necessary, local.rank, local.expected, false,
      "attention that is not saturated, layers above of full rank, or fewer outputs"));
  Shortest inputs_rank;
  std::string shortest = layer_.maps[maps[0]].name;
  Below inputs_smallest = {kInfinity, kInfinity};
  double upper = 0;
  for (const std::size_t map : maps) {
    const MeasuredValues X = inputs(map, tokens);
    const Shortest before = inputs_rank;
    inputs_rank.add(X.rank, static_cast<Index>(tokens.size()));
    if (before.rank != inputs_rank.rank || before.expected != inputs_rank.expected)
      shortest = layer_.maps[map].name;
    inputs_smallest = std::min(inputs_smallest, tokens.empty() ? Below() : X.smallest);
    upper = std::max(upper, tokens.empty() ? 0 : X.largest());
  }
  c.conditions.push_back(count_condition("rank_X", "linearly independent tokens as inputs of " + shortest,
                                         "tokens that the outputs depend on", Role::sufficient,
                                         inputs_rank.rank, std::max<Index>(inputs_rank.expected, 1), false,
                                         "more features than tokens of all samples"));
  const Below bound = inputs_smallest * smallest;
  c.bounds.push_back({"local", "lambda_min(X X^T) min_i lambda_min(D_i D_i^T)", bound * bound});
  c.upper_bound = std::min(c.upper_bound,
                           std::max(upper * largest * upper * largest, std::numeric_limits<double>::min()));
  return c;
}

}  // namespace basin
