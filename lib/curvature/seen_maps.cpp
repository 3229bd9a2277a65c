#include "basin/curvature/seen_maps.h"

#include "basin/curvature/step_maps.h"
#include "basin/curvature/symmetry_families.h"

namespace basin {
namespace {

/// What is not seen of each map.
class Maps {
 public:
  explicit Maps(const Visibility& seen) : seen_(seen), blocks_(seen) {
    for (const GraphStep& step : seen.graph().steps) {
      if (is_layer(step, "linear")) linear(step);
      if (is_layer(step, "attention")) attention(step);
      if (is_layer(step, "embedding")) embedding(step);
      if (is_layer(step, "positions")) positions(step);
      if (is_layer(step, "class-token"))
        add({"not seen", blocks_.row(step, "token"), {}, {}, seen_.unseen_alone(step.out, 0)});
      if (is_norm(step)) norm(step);
    }
  }
  std::vector<SeenMap> take() { return std::move(all_); }

 private:
  void add(SeenMap map) {
    if (blocks_.is_tied(map.W)) map.W = {};
    if (map.rows() == 0) return;
    if (map.N.size() == 0) map.N = zero(map.rows(), 0);
    if (map.U.size() == 0) map.U = zero(map.cols(), 0);
    all_.push_back(std::move(map));
  }
  /// Of annihilators (u; w) those that [W; b] has, as far as it is trained.
  static Dense trained_part(const AffineMap& map, const Dense& N) {
    if (!map.W.trained()) return {};
    return map.b.trained() ? N : without_constant(N);
  }
  bool tied(const WeightSlice& s) const { return blocks_.is_tied(s); }

  void linear(const GraphStep& step) {
    const AffineMap map = {blocks_.linear(step), blocks_.row(step, "b")};
    const Index O = map.W.cols;
    Dense U = seen_.unseen(step.out);
    std::vector<Index> dead;  // units of a ReLU that are never active
    const std::vector<const GraphStep*> behind = readers_of(seen_.graph(), step.out);
    if (behind.size() == 1 && is_relu(*behind.front())) {
      const GraphEdge& e = seen_.edge(step.out);
      for (Index j = 0; j < O; ++j) {
        bool active = false;
        for (Index row = 0; row < e.x.rows() && !active; ++row)
          active = e.needed[static_cast<std::size_t>(row)] != 0 && e.x(row, j) > 0;
        if (!active) dead.push_back(j);
      }
    }
    if (!dead.empty()) {
      Dense both(O, U.cols() + static_cast<Index>(dead.size()));
      both << U, coordinates(O, dead);
      U = span_or_none(both);
    }
    const Dense N = tied(map.W) ? Dense() : trained_part(map, seen_.annihilating(step.in.front()));
    add({"not seen", map.W, map.b, N, U});
  }
  void attention(const GraphStep& step) {
    const AttentionVisibility& a = seen_.attention(step);
    const Index d = a.spec.head_dim, H = a.spec.heads, G = a.spec.kv_heads();
    const Dense& N = seen_.annihilating(a.in);
    const std::vector<AffineMap> maps = maps_of_input(seen_, blocks_, step);
    for (Index k = 0; k < H + 2 * G; ++k) {
      const AffineMap& map = maps[static_cast<std::size_t>(k)];
      const std::size_t which = k < H ? 0 : k < H + G ? 1 : 2;
      const Dense& U = a.unseen[which][static_cast<std::size_t>(k < H ? k : (k - H) % G)];
      if (which == 1 && a.softmax() && !a.rotary()) {  // the same for all keys is not seen
        add({"key bias", {}, map.b, {}, identity(d)});
        add({"not seen", map.W, {}, span_or_none(N.topRows(N.rows() - 1)), U});
      } else {
        add({"not seen", map.W, map.b, trained_part(map, N), U});
      }
    }
    const AffineMap out = map_of_output(seen_, blocks_, step);
    Dense heads = zero(H * d + 1, 0);
    for (Index h = 0; h < H; ++h) {
      const Dense& Nv = a.annihilating[2][static_cast<std::size_t>(a.group_of(h))];
      Dense here = a.sum_to_one() ? Nv : stacked(without_constant(Nv), zero(1, without_constant(Nv).cols()));
      if (here.cols() == 0) continue;
      Dense more = zero(H * d + 1, heads.cols() + here.cols());
      more.leftCols(heads.cols()) = heads;
      more.block(h * d, heads.cols(), d, here.cols()) = here.topRows(d);
      more.bottomRows(1).rightCols(here.cols()) = here.bottomRows(1);
      heads = more;
    }
    add({"not seen", out.W, out.b, trained_part(out, span_or_none(heads)), seen_.unseen(step.out)});
  }

  /// Rows that no row that is needed looks up.
  Dense unused(Index rows, const std::vector<Index>& ids, const Mask& needed) const {
    std::vector<bool> used(static_cast<std::size_t>(rows), false);
    for (std::size_t row = 0; row < needed.size(); ++row)
      if (needed[row] != 0) used[static_cast<std::size_t>(ids[row])] = true;
    std::vector<Index> rest;
    for (Index k = 0; k < rows; ++k)
      if (!used[static_cast<std::size_t>(k)]) rest.push_back(k);
    return coordinates(rows, rest);
  }

  /// A table that is the last layer's, too: along what neither reads.
  void tied_table(const WeightSlice& E, const GraphStep& step) {
    Dense U = seen_.unseen(step.out);
    for (const GraphStep& other : seen_.graph().steps)
      if (is_layer(other, "linear") && blocks_.linear(other).entry == E.entry)
        U = intersection(U, without_constant(seen_.annihilating(other.in.front())));
    if (E.trained()) all_.push_back({"not seen", E, {}, zero(E.rows, 0), U});
  }

  void embedding(const GraphStep& step) {
    const Data<double>& data = *seen_.point().data;
    const Mask& needed = seen_.edge(step.out).needed;
    const WeightSlice E = blocks_.table(step, "E"), types = blocks_.table(step, "Types");
    if (tied(E)) tied_table(E, step);
    if (E.entry != nullptr)
      add({"not seen",
           E,
           {},
           unused(E.rows, {data.ids.begin(), data.ids.end()}, needed),
           seen_.unseen(step.out)});
    if (types.entry != nullptr)
      add({"not seen",
           types,
           {},
           unused(types.rows, {data.types.begin(), data.types.end()}, needed),
           seen_.unseen(step.out)});
  }

  void positions(const GraphStep& step) {
    const WeightSlice Pos = blocks_.table(step, "Pos");
    if (Pos.entry == nullptr) return;
    const GraphEdge& out = seen_.edge(step.out);
    const Index n = out.shape.tokens;
    std::vector<Index> ids;
    for (std::size_t row = 0; row < out.needed.size(); ++row) ids.push_back(static_cast<Index>(row) % n);
    const Dense N = unused(Pos.rows, ids, out.needed);
    bool alike = true;
    for (Index l = 0; l < n; ++l)
      alike = alike && seen_.unseen_alone(step.out, l).cols() == seen_.unseen(step.out).cols();
    if (alike) return add({"not seen", Pos, {}, N, seen_.unseen(step.out)});
    for (Index l = 0; l < Pos.rows; ++l)  // some positions are read by less
      add({"not seen",
           StepBlocks::slice(Pos.entry, 1, Pos.cols, l),
           {},
           {},
           l >= n || N.row(l).squaredNorm() > 0.5 ? identity(Pos.cols) : seen_.unseen_alone(step.out, l)});
  }

  void norm(const GraphStep& step) {
    const Dense& U = seen_.unseen(step.out);
    add({"not seen", blocks_.row(step, "beta"), {}, {}, U});
    add({"not seen", blocks_.row(step, "g"), {}, {}, coordinates(U.rows(), coordinates_in(U))});
  }

  const Visibility& seen_;
  StepBlocks blocks_;
  std::vector<SeenMap> all_;
};

}  // namespace

Dense SeenMap::read(const Vector<double>& weights) const {
  Dense V(rows(), cols());
  if (W.trained()) V.topRows(W.rows) = W.read(weights);
  if (b.trained()) V.bottomRows(1) = b.read(weights);
  return V;
}

void SeenMap::add(const Dense& V, Vector<double>& weights) const {
  if (W.trained()) W.add(V.topRows(W.rows), weights);
  if (b.trained()) b.add(V.bottomRows(1), weights);
}

Dense SeenMap::unseen_part(const Dense& V) const {
  Dense part = zero(V.rows(), V.cols());
  if (N.cols() > 0) part = N * (N.transpose() * V);
  if (U.cols() > 0) part += (V - part) * U * U.transpose();
  return part;
}

std::vector<SeenMap> seen_maps(const Visibility& seen) {
  return Maps(seen).take();
}

}  // namespace basin
