/// What of the activations of a network matters: on the left the data, on the right the readers.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "basin/curvature/network_graph.h"
#include "basin/curvature/subspaces.h"
#include "basin/network/attention_spec.h"

namespace basin {

/// The same of what is inside an attention layer, and its blocks.
struct AttentionVisibility {
  AttentionSpec spec;
  Index in = 0;                                      ///< edge
  std::vector<const ParameterLayout::Entry*> block;  ///< W_Q, W_K, W_V, W_O, b_Q, b_K, b_V, b_O; or null
  std::vector<Dense> weights[3], shifts[3];          ///< of queries, keys, values, head by head
  std::vector<Dense> annihilating[3];                ///< what annihilates queries, keys, values (d + 1)
  std::vector<Dense> unseen[3];                      ///< directions of these that no output sees
  std::vector<Dense> turns;                          ///< R_t for the distances of tokens: q_i R_t k_j^T
  Index most_keys = 0, least_keys = std::numeric_limits<Index>::max();  ///< that a row sees
  Dense unseen_inputs;

  bool softmax() const { return spec.kernel == KernelKind::softmax; }
  /// Whether every output that matters sees one key alone, whose weight is then 1.
  bool one_token() const { return softmax() && most_keys == 1; }
  /// Whether the weights of every row that matters do: not those of a sample without a real token.
  bool sum_to_one() const { return softmax() && least_keys > 0; }
  bool rotary() const { return turns.size() > 1; }
  Index group_of(Index head) const { return head / (spec.heads / spec.kv_heads()); }
};

/// What annihilates the rows of the edges of a network, [x 1] u = 0, and which directions of them nobody
/// behind reads. The graph and the point must outlive it.
class Visibility {
 public:
  /// outputs_unseen: changes of the outputs in its span (orthonormal columns) do not count.
  Visibility(const ModelPoint<double>& point, const NetworkGraph& graph, const Dense& outputs_unseen);
  /// The same with others.
  void look_from(const Dense& outputs_unseen);

  const ModelPoint<double>& point() const { return point_; }
  const NetworkGraph& graph() const { return graph_; }
  const GraphEdge& edge(Index e) const { return graph_.edges[static_cast<std::size_t>(e)]; }

  const Dense& unseen(Index e) const { return *unseen_[static_cast<std::size_t>(e)]; }  ///< width x count
  /// In the rows of one position alone: a pool may read one of them.
  const Dense& unseen_alone(Index e, Index position) const {
    return *unseen_alone_[static_cast<std::size_t>(e)][static_cast<std::size_t>(position)];
  }
  const Dense& annihilating(Index e) const;  ///< (width + 1) x count
  const AttentionVisibility& attention(const GraphStep& step) const { return attentions_.at(step.out); }

  /// A block of a step, null where it has none of that name.
  const ParameterLayout::Entry* find(const GraphStep& step, const std::string& name) const;
  /// The values of slice h, seen as rows x cols; of a block that is absent these values.
  Dense value(const ParameterLayout::Entry* e, Index rows, Index cols, Index h = 0, double absent = 0) const;
  /// W of a linear step, D x O.
  Dense linear_weights(const GraphStep& step) const;
  static bool is_tied(const GraphStep& step);
  /// Whether a row that is needed is 0 whatever the input: one that is masked, or the pool of a sample
  /// without a real token.
  bool has_zero_row(const GraphStep& step) const;

 private:
  AttentionVisibility inside(const GraphStep& step) const;
  void look_inside(const GraphStep& step, AttentionVisibility& a) const;
  Dense unseen_before(const GraphStep& step, Index in, const Dense& U);
  void propagate(const GraphStep& step);

  const ModelPoint<double>& point_;
  const NetworkGraph& graph_;
  using Shared = std::shared_ptr<const Dense>;
  std::vector<Shared> unseen_;                     // of each edge
  std::vector<std::vector<Shared>> unseen_alone_;  // of the rows of each position: mostly the same
  mutable std::vector<std::optional<Dense>> annihilators_;
  std::map<Index, AttentionVisibility> attentions_;  // by the edge behind them
};

/// The part of annihilators (u; w) without a constant w.
Dense without_constant(const Dense& N);

}  // namespace basin
