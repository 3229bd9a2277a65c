#include "basin/curvature/visibility.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/symmetry_families.h"
#include "basin/network/layer_types.h"
#include "basin/network/rotary.h"

namespace basin {
namespace {

/// R_t for the distances of tokens: q_i R_t k_j^T with t = i - j. As many as tell all frequencies apart.
std::vector<Dense> turns_of(const AttentionSpec& spec) {
  const Index d = spec.head_dim;
  const Rotary& rotary = spec.options.rotary;
  if (rotary.dimensions == 0) return {identity(d)};
  std::vector<Dense> turns;
  const RotaryTurns<double> turn(rotary, spec.tokens);
  const Index most = std::min<Index>(spec.tokens, 2 * d + 2);
  for (Index t = 0; t < most; ++t) {
    Matrix<double> rows = Matrix<double>::Zero(spec.tokens * d, d);  // unit row k at token t, for each k
    for (Index k = 0; k < d; ++k) rows(k * spec.tokens + t, k) = 1;
    turn.turn(tile(rows));
    Dense R(d, d);
    for (Index k = 0; k < d; ++k) R.row(k) = rows.row(k * spec.tokens + t);
    turns.push_back(R);
    if (t > 0 && !spec.options.causal) turns.emplace_back(R.transpose());
  }
  return turns;
}

/// Directions that queries and keys annihilate to the same constant: |q - k| does not see them.
Dense same_for_both(const Dense& Nq, const Dense& Nk) {
  return span_or_none(intersection(span_or_none(Nq), span_or_none(Nk)).topRows(Nq.rows() - 1));
}

}  // namespace

Dense without_constant(const Dense& N) {
  const Index d = N.rows() - 1;
  if (N.cols() == 0) return zero(d, 0);
  return span_or_none(N * null_space(N.bottomRows(1), 1)).topRows(d);
}

Visibility::Visibility(const ModelPoint<double>& point, const NetworkGraph& graph,
                       const Dense& outputs_unseen)
    : point_(point), graph_(graph), annihilators_(graph.edges.size()) {
  for (const GraphStep& step : graph.steps)
    if (step.kind == GraphStep::Kind::layer && step.layer.type == "attention")
      attentions_.emplace(step.out, inside(step));
  look_from(outputs_unseen);
}

void Visibility::look_from(const Dense& outputs_unseen) {
  unseen_.clear();
  unseen_alone_.clear();
  for (const GraphEdge& e : graph_.edges) {
    unseen_.push_back(std::make_shared<const Dense>(identity(e.shape.width)));
    unseen_alone_.emplace_back(static_cast<std::size_t>(e.shape.tokens), unseen_.back());
  }
  const auto output = static_cast<std::size_t>(graph_.output);
  unseen_[output] = std::make_shared<const Dense>(outputs_unseen);
  for (Shared& alone : unseen_alone_[output]) alone = unseen_[output];
  for (std::size_t s = graph_.steps.size(); s-- > 0;) propagate(graph_.steps[s]);
}

const Dense& Visibility::annihilating(Index e) const {
  std::optional<Dense>& known = annihilators_[static_cast<std::size_t>(e)];
  if (!known) known = annihilators(edge(e).x, edge(e).needed);
  return *known;
}

const ParameterLayout::Entry* Visibility::find(const GraphStep& step, const std::string& name) const {
  for (const ParameterBlock& block : own_blocks(step.layer, edge(step.in.front()).shape))
    if (block.name == name) return &point_.parameters().find(full_name(step, block));
  return nullptr;
}

Dense Visibility::value(const ParameterLayout::Entry* e, Index rows, Index cols, Index h,
                        double absent) const {
  if (e == nullptr) return Dense::Constant(rows, cols, absent);
  const double* data = point_.weights.data() + e->offset + h * rows * cols;
  return Eigen::Map<const Matrix<double>>(data, rows, cols);
}

bool Visibility::is_tied(const GraphStep& step) {
  return !option<std::string>(step.layer, "weight.tied").empty();
}

Dense Visibility::linear_weights(const GraphStep& step) const {
  const Index D = edge(step.in.front()).shape.width, O = edge(step.out).shape.width;
  return is_tied(step) ? Dense(value(find(step, "W"), O, D).transpose()) : value(find(step, "W"), D, O);
}

bool Visibility::has_zero_row(const GraphStep& step) const {
  const GraphEdge &from = edge(step.in.front()), &out = edge(step.out);
  const auto each = static_cast<std::size_t>(from.shape.tokens / out.shape.tokens);
  for (std::size_t row = 0; row < out.needed.size() && !from.mask.empty(); ++row) {
    const auto first = from.mask.begin() + static_cast<std::ptrdiff_t>(row * each);
    if (out.needed[row] != 0 &&
        std::count(first, first + static_cast<std::ptrdiff_t>(each), 0) == static_cast<std::ptrdiff_t>(each))
      return true;
  }
  return false;
}

AttentionVisibility Visibility::inside(const GraphStep& step) const {
  AttentionVisibility a;
  a.in = step.in.front();
  const GraphEdge &x = edge(a.in), &out = edge(step.out);
  a.spec = attention_spec(step.layer, x.shape);
  const Index D = a.spec.embedding, d = a.spec.head_dim, n = a.spec.tokens;
  for (Index row = 0; row < x.x.rows(); ++row) {
    if (out.needed[static_cast<std::size_t>(row)] == 0) continue;
    const Index start = row / n * n, end = a.spec.options.causal ? row + 1 : start + n;
    Index keys = 0;
    for (Index key = start; key < end; ++key)
      keys += x.mask.empty() || x.mask[static_cast<std::size_t>(key)] != 0 ? 1 : 0;
    a.most_keys = std::max(a.most_keys, keys);
    a.least_keys = std::min(a.least_keys, keys);
  }
  for (const char* name : {"W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"})
    a.block.push_back(find(step, name));
  for (std::size_t which = 0; which < 3; ++which)
    for (Index h = 0; h < (which == 0 ? a.spec.heads : a.spec.kv_heads()); ++h) {
      const Dense W = value(a.block[which], D, d, h), b = value(a.block[4 + which], 1, d, h);
      a.weights[which].push_back(W);
      a.shifts[which].push_back(b);
      Matrix<double> y = x.x * W;
      y.rowwise() += b.row(0);
      a.annihilating[which].push_back(annihilators(y, x.needed));
    }
  a.turns = turns_of(a.spec);
  return a;
}

void Visibility::look_inside(const GraphStep& step, AttentionVisibility& a) const {
  const Index d = a.spec.head_dim, D = a.spec.embedding, G = a.spec.kv_heads();
  const Dense& U = unseen(step.out);
  for (std::vector<Dense>& of : a.unseen) of.clear();
  Dense all_in = identity(D);
  std::vector<Dense> of_keys(static_cast<std::size_t>(G), identity(d)), of_values = of_keys;
  for (Index h = 0; h < a.spec.heads; ++h) {
    const auto g = static_cast<std::size_t>(a.group_of(h));
    const auto k = static_cast<std::size_t>(h);
    const Dense &Nq = a.annihilating[0][k], &Nk = a.annihilating[1][g];
    Dense queries = identity(d), keys = identity(d);
    if (!a.one_token())
      for (const Dense& R : a.turns) {
        // q + s u: u R k must not tell keys apart;  k + s u: q R u must be 0
        const Dense constant = a.rotary() ? without_constant(Nk) : span_or_none(Nk.topRows(d));
        queries = intersection(queries, span_or_none(R * constant));
        keys = intersection(keys, span_or_none(R.transpose() * without_constant(Nq)));
      }
    if (!a.softmax()) queries = keys = a.rotary() ? zero(d, 0) : same_for_both(Nq, Nk);
    a.unseen[0].push_back(queries);
    of_keys[g] = intersection(of_keys[g], keys);
    of_values[g] = intersection(of_values[g], preimage(value(a.block[3], d, a.spec.outputs, h), U));
  }
  a.unseen[1] = of_keys;
  a.unseen[2] = of_values;
  for (std::size_t which = 0; which < 3; ++which)
    for (std::size_t h = 0; h < a.weights[which].size() && all_in.cols() > 0; ++h)
      all_in = intersection(all_in, preimage(a.weights[which][h], a.unseen[which][h]));
  a.unseen_inputs = all_in;
}

/// What of input `in` is not seen where U of the output is not.
Dense Visibility::unseen_before(const GraphStep& step, Index in, const Dense& U) {
  if (step.kind == GraphStep::Kind::add) return U;
  const Index D = edge(in).shape.width;
  const std::string& type = step.layer.type;
  if (step.kind == GraphStep::Kind::multiply || type == "activation")
    return coordinates(D, coordinates_in(U));
  if (U.cols() == U.rows()) return identity(D);  // nothing is seen behind it
  if (type == "linear") return preimage(linear_weights(step), U);
  if (type == "layer-norm") return Dense::Constant(D, 1, 1 / std::sqrt(static_cast<double>(D)));
  if (type == "attention") return attention(step).unseen_inputs;
  if (type == "positions" || type == "class-token" || type == "mask-rows" || type == "pool") return U;
  return zero(D, 0);
}

/// Of all rows, and of the rows of each position alone.
void Visibility::propagate(const GraphStep& step) {
  const GraphEdge& out = edge(step.out);
  if (const auto a = attentions_.find(step.out); a != attentions_.end()) look_inside(step, a->second);
  const Shared& behind_all = unseen_[static_cast<std::size_t>(step.out)];
  for (const Index in : step.in) {
    const auto whole = std::make_shared<const Dense>(unseen_before(step, in, *behind_all));
    const Shared before_all = unseen_[static_cast<std::size_t>(in)];
    const auto now_all = std::make_shared<const Dense>(intersection(*before_all, *whole));
    unseen_[static_cast<std::size_t>(in)] = now_all;
    const GraphEdge& from = edge(in);
    const Index shift = step.layer.type == "class-token" ? 1 : 0;
    Mask read;
    if (step.layer.type == "pool") {
      const Mask rows = layer_type("pool").needs(step.layer, from.shape, from.mask, out.needed);
      read.assign(static_cast<std::size_t>(from.shape.tokens), 0);
      for (std::size_t row = 0; row < rows.size(); ++row) read[row % read.size()] |= rows[row];
    }
    const std::vector<Shared>& behind = unseen_alone_[static_cast<std::size_t>(step.out)];
    Shared last_own, last_behind, last;  // most positions are like the one before, and like all
    for (Index l = 0; l < from.shape.tokens; ++l) {
      const auto to = static_cast<std::size_t>(read.empty() ? l + shift : 0);
      if (!read.empty() && read[static_cast<std::size_t>(l)] == 0) continue;
      const bool by_position =
          to < behind.size() && step.layer.type != "attention" && step.layer.type != "patches";
      const Shared& is_behind = by_position ? behind[to] : behind_all;
      Shared& own = unseen_alone_[static_cast<std::size_t>(in)][static_cast<std::size_t>(l)];
      if (own != last_own || is_behind != last_behind) {
        last_own = own, last_behind = is_behind;
        if (own == before_all && is_behind == behind_all)
          last = now_all;
        else
          last = std::make_shared<const Dense>(
              intersection(*own, is_behind == behind_all ? *whole : unseen_before(step, in, *is_behind)));
      }
      own = last;
    }
  }
}

}  // namespace basin
