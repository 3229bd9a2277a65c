#include "basin/curvature/added_tables.h"

#include <algorithm>
#include <compare>
#include <set>

#include "basin/curvature/step_maps.h"

namespace basin {
namespace {

using Chain = std::vector<const GraphStep*>;
constexpr Index kMostNumbers = 1 << 24;  // of a kernel

/// Steps that add rows of tables, each to what the one before it gives to it alone.
std::vector<Chain> chains_of(const NetworkGraph& graph) {
  const auto positions = [](const GraphStep* step) { return is_layer(*step, "positions"); };
  std::vector<Chain> chains;
  for (const GraphStep& step : graph.steps) {
    const bool starts = positions(&step) || is_layer(step, "class-token");
    if (starts || is_layer(step, "mask-rows")) {
      const auto before = std::find_if(chains.begin(), chains.end(), [&](const Chain& chain) {
        return chain.back()->out == step.in.front() &&
               !(positions(&step) && std::any_of(chain.begin(), chain.end(), positions));
      });
      if (before != chains.end() && readers_of(graph, step.in.front()).size() == 1) {
        before->push_back(&step);
        continue;
      }
    }
    if (starts || is_layer(step, "embedding")) chains.push_back({&step});
  }
  return chains;
}

/// The rows that are added in one row of an activation, by their numbers among all from 1 on; 0: none that
/// moves.
struct AddedRows {
  Index row = 0, position = 0, type = 0;
  auto operator<=>(const AddedRows&) const = default;
};

/// The kernel of these sums as a graph between rows and positions: y = z of a row, -z of a position, differs
/// by the z of the type along each of its edges, and is 0 at number 0.
class TableGraph {
 public:
  TableGraph(const std::set<AddedRows>& sums, Index size, Index first_type, Index types)
      : size_(size),
        first_type_(first_type),
        beside_(of(size + 1)),
        sign_(of(size + 1), 0),
        part_(of(size + 1), -1),
        path_(zero(size + 1, types)),
        fixed_(zero(types, 0)) {
    for (const AddedRows& s : sums) {
      beside_[of(s.row)].push_back({s.position, 1, s.type});
      beside_[of(s.position)].push_back({s.row, -1, s.type});
      sign_[of(s.position)] = -1;
      sign_[of(s.row)] = sign_[of(s.type)] = 1;
    }
    for (Index t = 0; t < types; ++t)
      if (!is_used(first_type + t)) fix(identity(types).col(t));
    for (Index v = 0; v <= size; ++v)
      if (v == 0 || (part_[of(v)] < 0 && !beside_[of(v)].empty())) follow(v);
  }

  bool is_used(Index k) const { return sign_[of(k + 1)] != 0; }
  Index dimension() const { return parts_ - 1 + fixed_.rows() - fixed_.cols(); }
  /// size x dimension(): of each part but that of number 0, and of the types.
  Dense kernel() const {
    const Dense types = has_types() ? null_basis(fixed_.transpose(), 1) : zero(0, 0);
    Dense z = zero(size_, dimension());
    for (Index k = 0; k < size_; ++k) {
      if (part_[of(k + 1)] > 0) z(k, part_[of(k + 1)] - 1) = sign_[of(k + 1)];
      if (types.cols() > 0) z.row(k).tail(types.cols()) = sign_[of(k + 1)] * path_.row(k + 1) * types;
    }
    if (types.cols() > 0) z.block(first_type_, parts_ - 1, types.rows(), types.cols()) = types;
    return range_basis(z, 1e-8);
  }

 private:
  struct Edge {
    Index to;
    double sign;
    Index type;
  };
  static std::size_t of(Index v) { return static_cast<std::size_t>(v); }

  bool has_types() const { return path_.cols() > 0; }  // a view of an empty matrix is undefined behaviour

  /// All that can be reached.
  void follow(Index start) {
    part_[of(start)] = parts_++;
    for (std::vector<Index> next = {start}; !next.empty();) {
      const Index v = next.back();
      next.pop_back();
      for (const Edge& edge : beside_[of(v)]) {
        Dense y = zero(path_.cols(), 1);
        if (has_types()) y = path_.row(v).transpose();
        if (edge.type > 0) y(edge.type - 1 - first_type_, 0) += edge.sign;
        if (part_[of(edge.to)] >= 0) {
          if (has_types()) fix(y - path_.row(edge.to).transpose());
          continue;
        }
        part_[of(edge.to)] = part_[of(v)];
        if (has_types()) path_.row(edge.to) = y.transpose();
        next.push_back(edge.to);
      }
    }
  }
  /// r . z = 0 of the types.
  void fix(Dense r) {
    if (r.isZero(0)) return;
    r = outside(r, fixed_);
    if (r.norm() < 1e-9) return;
    fixed_.conservativeResize(Eigen::NoChange, fixed_.cols() + 1);
    fixed_.rightCols(1) = r.normalized();
  }

  Index size_, first_type_, parts_ = 0;
  std::vector<std::vector<Edge>> beside_;
  std::vector<double> sign_;
  std::vector<Index> part_;
  Dense path_;   // y less that of where its part was entered, by types
  Dense fixed_;  // what is 0 of the types, orthonormal columns
};

/// All rows of a table that are used, for each table: orthonormal columns.
Dense whole_tables(const AddedTables& added, const TableGraph& graph) {
  Dense whole = zero(added.kernel.rows(), static_cast<Index>(added.tables.size()));
  for (std::size_t t = 0; t < added.tables.size(); ++t)
    for (Index k = added.first[t]; k < added.first[t] + added.tables[t].rows; ++k)
      whole(k, static_cast<Index>(t)) = graph.is_used(k) ? 1 : 0;
  return range_basis(whole, 1e-8);
}

}  // namespace

std::vector<AddedTables> added_tables(const Visibility& seen,
                                      const std::function<bool(const WeightSlice&)>& moves) {
  const StepBlocks blocks(seen);
  const Data<double>& data = *seen.point().data;
  std::vector<AddedTables> all;
  for (const Chain& chain : chains_of(seen.graph())) {
    AddedTables added;
    Index size = 0, first_type = 0, types = 0;
    const auto number = [&](const GraphStep& step, const char* name) -> Index {  // of its first row
      const WeightSlice table = blocks.table(step, name);
      if (table.entry == nullptr || !moves(table)) return 0;
      added.tables.push_back(table);
      added.first.push_back(size);
      size += table.rows;
      return added.first.back() + 1;
    };
    std::vector<AddedRows> rows(seen.edge(chain.front()->in.front()).needed.size());
    for (const GraphStep* step : chain) {
      const auto n = static_cast<std::size_t>(seen.edge(step->in.front()).shape.tokens);
      if (is_layer(*step, "embedding")) {
        const Index E = number(*step, "E"), T = number(*step, "Types");
        if (T > 0) first_type = T - 1, types = size - first_type;
        for (std::size_t row = 0; row < rows.size(); ++row)
          rows[row] = {E > 0 ? E + data.ids[row] : 0, 0, T > 0 ? T + data.types[row] : 0};
      }
      if (is_layer(*step, "class-token")) {
        const Index token = number(*step, "token");
        std::vector<AddedRows> longer;
        for (std::size_t row = 0; row < rows.size(); ++row) {
          if (row % n == 0) longer.push_back({token, 0, 0});
          longer.push_back(rows[row]);
        }
        rows = std::move(longer);
      }
      if (is_layer(*step, "mask-rows"))
        if (const Mask& mask = seen.edge(step->in.front()).mask; !mask.empty())
          for (std::size_t row = 0; row < rows.size(); ++row)
            if (mask[row] == 0) rows[row] = {};
      if (is_layer(*step, "positions"))
        if (const Index first = number(*step, "Pos"); first > 0)
          for (std::size_t row = 0; row < rows.size(); ++row)
            rows[row].position = first + static_cast<Index>(row % n);
    }
    if (size == 0) continue;
    added.kernel = zero(size, 0);
    added.is_left_out = (size + 1) * types > kMostNumbers;
    if (!added.is_left_out) {
      std::set<AddedRows> sums;
      const Mask& needed = seen.edge(chain.back()->out).needed;
      for (std::size_t row = 0; row < rows.size(); ++row)
        if (needed[row] != 0) sums.insert(rows[row]);
      const TableGraph graph(sums, size, first_type, types);
      added.is_left_out = size * graph.dimension() > kMostNumbers;
      if (!added.is_left_out && graph.dimension() > 0) {
        const Dense kernel = graph.kernel(), shifts = intersection(kernel, whole_tables(added, graph));
        added.kernel = kernel * null_basis(shifts.transpose() * kernel, 1);
      }
    }
    if (added.is_left_out || added.kernel.cols() > 0) all.push_back(std::move(added));
  }
  return all;
}

}  // namespace basin
