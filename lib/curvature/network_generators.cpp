#include "basin/curvature/network_generators.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "basin/curvature/added_tables.h"
#include "basin/curvature/step_maps.h"
#include "basin/curvature/symmetry_families.h"
#include "basin/network/layer_types.h"

namespace basin {
namespace {

using Factors = std::vector<TangentFactor>;

/// Whether what comes out is what goes in, and maybe more: the same stream.
bool passes(const GraphStep& step) {
  return step.kind == GraphStep::Kind::add || is_layer(step, "positions") || is_layer(step, "class-token") ||
         is_layer(step, "mask-rows") || is_layer(step, "pool");
}

/// Edges that are joined by sums, with the steps that write to them and read them.
struct Stream {
  std::vector<Index> edges;
  std::vector<const GraphStep*> writers, readers, inside;
  bool is_output = false, is_input = false;
};

std::vector<Stream> streams_of(const NetworkGraph& graph) {
  std::vector<Index> root(graph.edges.size());
  std::iota(root.begin(), root.end(), 0);
  const auto find = [&](Index e) {
    while (root[static_cast<std::size_t>(e)] != e) e = root[static_cast<std::size_t>(e)];
    return e;
  };
  for (const GraphStep& step : graph.steps)
    if (passes(step))
      for (const Index in : step.in) root[static_cast<std::size_t>(find(in))] = find(step.out);
  std::vector<Stream> streams;
  std::map<Index, std::size_t> place;
  const auto stream = [&](Index e) -> Stream& {
    const auto [at, is_new] = place.try_emplace(find(e), streams.size());
    if (is_new) streams.emplace_back();
    return streams[at->second];
  };
  for (std::size_t e = 0; e < graph.edges.size(); ++e)
    stream(static_cast<Index>(e)).edges.push_back(static_cast<Index>(e));
  stream(0).is_input = true;
  stream(graph.output).is_output = true;
  for (const GraphStep& step : graph.steps) {
    if (passes(step)) {
      stream(step.out).inside.push_back(&step);
      continue;
    }
    stream(step.out).writers.push_back(&step);
    for (const Index in : step.in) stream(in).readers.push_back(&step);
  }
  return streams;
}

bool all_equal(const Dense& row) {
  return row.size() == 0 || (row.array() == row(0, 0)).all();
}

class Generators {
 public:
  Generators(const Visibility& seen, bool everywhere)
      : seen_(seen), blocks_(seen), streams_(streams_of(seen.graph())), everywhere_(everywhere) {}

  std::vector<TangentGenerator> families(std::string* left_out) {
    for (const GraphStep& step : seen_.graph().steps)
      if (is_layer(step, "attention")) attention(step);
    for (const GraphStep& step : seen_.graph().steps)
      if (is_layer(step, "linear")) hidden_units(step);
    for (const Stream& stream : streams_) {
      gains(stream);
      shifts(stream);
      along_ones(stream);
      scale(stream);
      if (everywhere_) behind_norm(stream);
      if (everywhere_) in_front_of_norms(stream);
    }
    rotations();
    between_tables(left_out);
    if (everywhere_) class_shift();
    return std::move(all_);
  }
  std::vector<TangentGenerator> broken_by_epsilon() {
    for (const Stream& stream : streams_) scale(stream, true);
    return std::move(all_);
  }

 private:
  const Vector<double>& weights() const { return seen_.point().weights; }
  Index width(const Stream& s) const { return seen_.edge(s.edges.front()).shape.width; }
  const Stream& stream_of(Index e) const {
    return *std::find_if(streams_.begin(), streams_.end(), [&](const Stream& s) {
      return std::find(s.edges.begin(), s.edges.end(), e) != s.edges.end();
    });
  }

  static TangentFactor block(const WeightSlice& s) { return {TangentFactor::Kind::block, s, {}}; }
  static TangentFactor diagonal(const WeightSlice& s) { return {TangentFactor::Kind::diagonal, s, {}}; }
  static TangentFactor inverse(const WeightSlice& s) {
    return {TangentFactor::Kind::inverse_diagonal, s, {}};
  }
  static TangentFactor constant(Dense c) { return {TangentFactor::Kind::constant, {}, std::move(c)}; }
  static Dense ones(Index n) { return Dense::Constant(n, 1, 1 / std::sqrt(static_cast<double>(n))); }
  static Dense ones_row(Index n) { return ones(n).transpose(); }

  /// target += sign * target X, where the target is there.
  static void add_right(TangentGenerator& g, const WeightSlice& target, double sign = 1) {
    if (target.entry != nullptr) g.terms.push_back({target, sign, {block(target)}, {}});
  }
  /// target += sign * X target.
  static void add_left(TangentGenerator& g, const WeightSlice& target, double sign) {
    if (target.entry != nullptr) g.terms.push_back({target, sign, {}, {block(target)}});
  }
  /// target += sign * X, or X R.
  static void add_row(TangentGenerator& g, const WeightSlice& target, double sign, Factors right = {}) {
    g.terms.push_back({target, sign, {}, std::move(right)});
  }
  /// The bias of a map of edge e += sign X R; without one W += u X R, where the data have a feature x u = 1.
  void add_bias(TangentGenerator& g, const AffineMap& map, Index e, double sign, Factors right = {}) const {
    if (!map.b.trained() && map.W.trained())
      if (Dense u = constant_feature(e); u.cols() > 0)
        return g.terms.push_back({map.W, sign, {constant(std::move(u))}, std::move(right)});
    add_row(g, map.b, sign, std::move(right));
  }
  bool has_bias(const AffineMap& map, Index e) const {
    return map.b.trained() || (map.W.trained() && constant_feature(e).cols() > 0);
  }
  /// u with x u = 1 in all rows; none, or where it is asked for everywhere: no column.
  Dense constant_feature(Index e) const {
    const Index D = seen_.edge(e).shape.width;
    if (everywhere_) return zero(D, 0);
    const Dense& N = seen_.annihilating(e);
    if (N.cols() == 0 || N.bottomRows(1).norm() < 1e-6) return zero(D, 0);
    const Dense n = N * N.bottomRows(1).transpose();
    return -n.topRows(D) / n(D, 0);
  }

  // ---- what is frozen, absent or tied stays as it is

  bool may_move(const TangentTerm& t) const {
    return t.target.trained() && (!blocks_.is_tied(t.target) || t.tied_twice);
  }

  /// Whether what the term is changes with the trained weights: then so does what leaves it 0.
  static bool moves_with_weights(const TangentTerm& t) {
    const auto trained = [](const TangentFactor& f) { return f.block.trained(); };
    return std::any_of(t.left.begin(), t.left.end(), trained) ||
           std::any_of(t.right.begin(), t.right.end(), trained);
  }

  /// Keeps the members that move nothing that may not move, and the terms that do move.
  void finish(TangentGenerator g) {
    using Kind = TangentMatrices::Kind;
    TangentMatrices& X = g.X;
    for (const TangentTerm& t : g.terms) {
      if (may_move(t) || X.size() == 0) continue;
      if (everywhere_ && moves_with_weights(t)) return;
      Dense L = product_of(t.left, weights()), R = product_of(t.right, weights());
      const Index p = t.x_transposed ? X.cols : X.rows, q = t.x_transposed ? X.rows : X.cols;
      if (L.size() == 0) L = identity(p);
      if (R.size() == 0) R = identity(q);
      if (L.isZero(0) || R.isZero(0)) continue;
      if (X.kind == Kind::diagonal) {
        std::erase_if(X.which, [&](Index i) { return !L.col(i).isZero(0) && !R.row(i).isZero(0); });
        continue;
      }
      if (X.kind == Kind::span) {
        std::erase_if(X.basis, [&](const Dense& B) {
          const Dense M = t.x_transposed ? Dense(L * B.transpose() * R) : Dense(L * B * R);
          return M.norm() > 1e-13 * L.norm() * R.norm();
        });
        continue;
      }
      // L X R = 0 for all of these: X = Z X' where R has full row rank, X = X' Z^T where L has full column
      // rank; else the former, which suffices
      const bool by_rows = null_basis(R.transpose()).cols() == 0 || null_basis(L).cols() > 0;
      const Dense Z = by_rows ? null_basis(L) : null_basis(R.transpose());
      const bool left = by_rows != t.x_transposed;
      if (X.kind == Kind::skew || left)
        X.left = intersection(X.left, Z);
      else
        X.right = intersection(X.right, Z);
      X.choose_all();
    }
    std::erase_if(g.terms, [&](const TangentTerm& t) { return !may_move(t); });
    if (X.size() > 0 && !g.terms.empty()) all_.push_back(std::move(g));
  }

  // ---- attention

  /// The features of a head that rotary positions do not turn, and the pairs that they do.
  static std::vector<Index> unturned(const AttentionSpec& spec) {
    std::vector<Index> rest;
    for (Index i = spec.options.rotary.dimensions; i < spec.head_dim; ++i) rest.push_back(i);
    return rest;
  }
  static TangentMatrices commuting(const AttentionSpec& spec, bool skew) {
    const Rotary& rotary = spec.options.rotary;
    const Index d = spec.head_dim, pairs = rotary.dimensions / 2;
    std::vector<Dense> basis;
    for (Index i = 0; i < pairs; ++i) {
      const bool halves = rotary.pairing == RotaryPairing::halves;
      const Index a = halves ? i : 2 * i, b = halves ? i + pairs : 2 * i + 1;
      Dense I = zero(d, d), J = zero(d, d);
      I(a, a) = I(b, b) = J(a, b) = 1 / std::sqrt(2.0);
      J(b, a) = -J(a, b);
      if (!skew) basis.push_back(I);
      basis.push_back(J);
    }
    const std::vector<Index> rest = unturned(spec);
    for (const Index i : rest)
      for (const Index j : rest) {
        if (skew && i >= j) continue;
        Dense B = zero(d, d);
        B(i, j) = skew ? 1 / std::sqrt(2.0) : 1;
        if (skew) B(j, i) = -B(i, j);
        basis.push_back(B);
      }
    return TangentMatrices::span_of(std::move(basis));
  }

  void attention(const GraphStep& step) {
    const AttentionVisibility& a = seen_.attention(step);
    const AttentionSpec& spec = a.spec;
    const Index D = spec.embedding, d = spec.head_dim, O = spec.outputs, G = spec.kv_heads();
    const bool rotary = spec.options.rotary.dimensions > 0, softmax = a.softmax();
    const auto head = [&](std::size_t which, Index h) {
      return which < 3   ? StepBlocks::slice(a.block[which], D, d, h)
             : which < 4 ? StepBlocks::slice(a.block[3], d, O, h)
             : which < 7 ? StepBlocks::slice(a.block[which], 1, d, h)
                         : StepBlocks::slice(a.block[7], 1, O);
    };
    for (Index g = 0; g < G; ++g) {
      TangentGenerator scores{"query-key gauge", {}, {}}, values{"value-output gauge", {}, {}};
      scores.X = rotary    ? commuting(spec, !softmax)
                 : softmax ? TangentMatrices::all_of(d, d)
                           : TangentMatrices::skew_of(identity(d));
      values.X = TangentMatrices::all_of(d, d);
      TangentGenerator shift{kValueBiasFamily, TangentMatrices::all_of(1, d), {}};
      add_bias(shift, {head(2, g), head(6, g)}, a.in, 1);
      const bool key_shift = softmax ? rotary : true;
      TangentGenerator keys{softmax ? kKeyBiasFamily : kQueryBiasFamily, TangentMatrices::all_of(1, d), {}};
      if (rotary) keys.X.right = coordinates(d, unturned(spec)), keys.X.choose_all();
      add_row(keys, head(5, g), 1);
      for (Index h = 0; h < spec.heads; ++h) {
        if (a.group_of(h) != g) continue;
        add_right(scores, head(0, h));
        add_right(scores, head(4, h));
        add_left(values, head(3, h), -1);
        add_row(shift, head(7, h), -1, {block(head(3, h))});
        if (!softmax) add_row(keys, head(4, h), 1);
      }
      for (const std::size_t which : {1U, 5U}) {
        const WeightSlice target = head(which, g);
        if (target.entry == nullptr) continue;
        if (softmax)
          scores.terms.push_back({target, -1, {block(target)}, {}, true});
        else
          add_right(scores, target);
      }
      add_right(values, head(2, g));
      add_right(values, head(6, g));
      if (!a.one_token()) finish(scores);
      finish(values);
      if (a.sum_to_one()) finish(shift);
      if ((key_shift || everywhere_) && !a.one_token()) finish(keys);
    }
  }

  // ---- units between two linear layers

  void hidden_units(const GraphStep& step) {
    if (step.out == seen_.graph().output) return;
    Index e = step.out;
    bool scales = false;
    for (;;) {
      const std::vector<const GraphStep*> next = readers_of(seen_.graph(), e);
      if (next.size() != 1 || next[0]->out == seen_.graph().output ||
          !(is_relu(*next[0]) || next[0]->kind == GraphStep::Kind::multiply))
        break;
      scales = true;
      e = next[0]->out;
    }
    const std::vector<const GraphStep*> behind = readers_of(seen_.graph(), e);
    if (!scales || behind.empty() ||
        !std::all_of(behind.begin(), behind.end(), [](const auto* s) { return is_affine(*s); }))
      return;
    TangentGenerator g{"hidden units", TangentMatrices::diagonal_of(seen_.edge(step.out).shape.width), {}};
    add_right(g, blocks_.linear(step));
    add_right(g, blocks_.row(step, "b"));
    read(g, behind, -1);
    finish(std::move(g));
  }

  /// Readers take X back: W += sign X W in each of their maps.
  void read(TangentGenerator& g, const std::vector<const GraphStep*>& steps, double sign) const {
    for (const GraphStep* step : steps)
      for (const AffineMap& map : maps_of_input(seen_, blocks_, *step)) add_left(g, map.W, sign);
  }

  // ---- norms

  /// The norm that alone writes to the stream, and is read by affine maps alone; else null.
  const GraphStep* norm_before_maps(const Stream& s) const {
    if (s.is_output || s.is_input || s.writers.size() != 1 || !is_norm(*s.writers[0])) return nullptr;
    for (const GraphStep* step : s.inside)
      if (!is_layer(*step, "pool") && !is_layer(*step, "mask-rows")) return nullptr;
    if (s.readers.empty()) return nullptr;
    for (const GraphStep* step : s.readers)
      if (!is_affine(*step)) return nullptr;
    return s.writers[0];
  }

  void gains(const Stream& s) {
    const GraphStep* norm = norm_before_maps(s);
    if (norm == nullptr) return;
    TangentGenerator g{kNormFamily, TangentMatrices::diagonal_of(width(s)), {}};
    const WeightSlice gain = blocks_.row(*norm, "g");
    if (gain.entry == nullptr) return;
    add_right(g, gain);
    add_right(g, blocks_.row(*norm, "beta"));
    read(g, s.readers, -1);
    finish(std::move(g));
  }

  /// u0 = 1 / g is annihilated up to the constant beta u0 behind a LayerNorm.
  void behind_norm(const Stream& s) {
    const GraphStep* norm = norm_before_maps(s);
    if (norm == nullptr || norm->layer.type != "layer-norm" || has_zero_row(s)) return;
    const WeightSlice gain = blocks_.row(*norm, "g"), beta = blocks_.row(*norm, "beta");
    if (gain.entry != nullptr && gain.read(weights()).cwiseAbs().minCoeff() == 0) return;
    Factors u0, kappa;
    if (beta.entry != nullptr) kappa.push_back(block(beta));
    if (gain.entry != nullptr) u0.push_back(inverse(gain)), kappa.push_back(inverse(gain));
    u0.push_back(constant(ones(width(s)))), kappa.push_back(constant(ones(width(s))));
    for (const GraphStep* step : s.readers)
      for (const AffineMap& map : maps_of_input(seen_, blocks_, *step)) {
        TangentGenerator g{"not seen behind a norm", TangentMatrices::all_of(1, map.W.cols), {}};
        g.terms.push_back({map.W, 1, u0, {}});
        if (beta.entry != nullptr) g.terms.push_back({map.b, -1, kappa, {}});
        finish(std::move(g));
      }
  }

  bool has_zero_row(const Stream& s) const {
    return std::any_of(s.inside.begin(), s.inside.end(), [&](const GraphStep* step) {
      return (is_layer(*step, "pool") || is_layer(*step, "mask-rows")) && seen_.has_zero_row(*step);
    });
  }

  /// Along (1, ..., 1) nothing is read in front of LayerNorms.
  void in_front_of_norms(const Stream& s) {
    if (s.is_output || s.readers.empty()) return;
    for (const GraphStep* step : s.readers)
      if (!is_layer(*step, "layer-norm")) return;
    const Index D = width(s);
    const auto along = [&](const WeightSlice& target) {
      if (!target.trained()) return;
      TangentGenerator g{"not seen before a norm", TangentMatrices::all_of(target.rows, 1), {}};
      add_row(g, target, 1, {constant(ones_row(D))});
      finish(std::move(g));
    };
    for_each_source(s, [&](const WeightSlice& W, const WeightSlice& b) {
      along(W);
      along(b);
    });
  }

  /// The blocks that write to a stream: of tables W, of single rows b.
  template <class Visit>
  void for_each_source(const Stream& s, const Visit& visit) const {
    for (const GraphStep* step : s.writers) {
      if (is_affine(*step)) {
        const AffineMap map = map_of_output(seen_, blocks_, *step);
        visit(map.W, map.b);
      }
      if (is_layer(*step, "embedding"))
        for (const char* name : {"E", "Types"}) visit(blocks_.table(*step, name), WeightSlice{});
      if (is_norm(*step)) visit(WeightSlice{}, blocks_.row(*step, "beta"));
    }
    for (const GraphStep* step : s.inside) {
      if (is_layer(*step, "positions")) visit(blocks_.table(*step, "Pos"), WeightSlice{});
      if (is_layer(*step, "class-token")) visit(WeightSlice{}, blocks_.row(*step, "token"));
    }
  }

  // ---- shifts of a stream

  /// What writes to a stream a shift that is free to choose: the block, and how it is shifted.
  struct Source {
    WeightSlice block;
    Index edge;
  };

  /// The edges that a shift of each source arrives at: one row an edge of the network.
  Dense flows(const Stream& s, const std::vector<Source>& sources) const {
    Dense flow = zero(static_cast<Index>(seen_.graph().edges.size()), static_cast<Index>(sources.size()));
    for (std::size_t k = 0; k < sources.size(); ++k) flow(sources[k].edge, static_cast<Index>(k)) += 1;
    for (const GraphStep& step : seen_.graph().steps)
      if (passes(step) && std::find(s.inside.begin(), s.inside.end(), &step) != s.inside.end())
        for (const Index in : step.in) flow.row(step.out) += flow.row(in);
    return flow;
  }

  /// Whether maps of the step can take back a shift of their input, by biases.
  bool takes_shifts(const GraphStep& step) const {
    if (!is_affine(step)) return false;
    const std::vector<AffineMap> maps = maps_of_input(seen_, blocks_, step);
    for (std::size_t k = 0; k < maps.size(); ++k)
      if (!shifts_freely(step, k) && !has_bias(maps[k], step.in.front())) return false;
    return true;
  }
  /// Whether map k of the step makes keys, of which nobody sees what is the same for all.
  bool shifts_freely(const GraphStep& step, std::size_t k) const {
    if (is_layer(step, "linear")) return false;
    const AttentionVisibility& a = seen_.attention(step);
    const auto H = static_cast<std::size_t>(a.spec.heads), G = static_cast<std::size_t>(a.spec.kv_heads());
    return k >= H && k < H + G && a.softmax() && !a.rotary();
  }

  void shifts(const Stream& s) {
    std::vector<Source> sources;
    for (const GraphStep* step : s.writers) {
      const auto source = [&](const WeightSlice& b) {
        if (b.trained() && (!blocks_.is_tied(b) || shifts_classes(b))) sources.push_back({b, step->out});
      };
      if (is_affine(*step)) source(map_of_output(seen_, blocks_, *step).b);
      if (is_norm(*step)) source(blocks_.row(*step, "beta"));
      if (is_layer(*step, "embedding")) source(blocks_.table(*step, "E"));
      if (is_layer(*step, "embedding")) source(blocks_.table(*step, "Types"));
    }
    for (const GraphStep* step : s.inside)
      if (is_layer(*step, "positions"))
        if (const WeightSlice Pos = blocks_.table(*step, "Pos"); Pos.trained())
          sources.push_back({Pos, step->out});
    if (sources.empty()) return;
    const Dense flow = flows(s, sources);
    const Dense anywhere =
        null_space(rigid_flows(s, flow, [&](const auto& step) { return takes_shifts(step); }));
    add_shifts(s, sources, flow, anywhere);
    // maps without biases stay as they are along what they do not read
    const Dense all = null_space(rigid_flows(s, flow, [](const auto& step) { return is_affine(step); }));
    add_shifts(s, sources, flow, all * null_space(anywhere.transpose() * all, 1));
  }

  /// Where nothing may arrive, but at readers that take it: what arrives there, of each source.
  template <class Takes>
  Dense rigid_flows(const Stream& s, const Dense& flow, const Takes& takes) const {
    std::vector<Index> rigid;
    if (s.is_output) rigid.push_back(seen_.graph().output);
    for (const GraphStep* step : s.readers)
      for (const Index in : step->in)
        if (!takes(*step) && is_in(s, in)) rigid.push_back(in);
    for (const GraphStep* step : s.inside) {
      const bool zeros =
          (is_layer(*step, "pool") || is_layer(*step, "mask-rows")) && seen_.has_zero_row(*step);
      const bool token = is_layer(*step, "class-token") && !blocks_.row(*step, "token").trained();
      if (zeros || token) rigid.push_back(step->in.front());
    }
    Dense stays = zero(static_cast<Index>(rigid.size()), flow.cols());
    for (std::size_t k = 0; k < rigid.size(); ++k) stays.row(static_cast<Index>(k)) = flow.row(rigid[k]);
    return stays;
  }

  void add_shifts(const Stream& s, const std::vector<Source>& sources, const Dense& flow, const Dense& free) {
    for (Index k = 0; k < free.cols(); ++k) {
      TangentGenerator g{kShiftFamily, TangentMatrices::all_of(1, width(s)), {}};
      const Dense at = flow * free.col(k);
      for (std::size_t i = 0; i < sources.size(); ++i)
        if (const double part = free(static_cast<Index>(i), k); std::abs(part) > 1e-12) {
          Factors left;
          if (sources[i].block.rows > 1)
            left.push_back(constant(Dense::Constant(sources[i].block.rows, 1, 1)));
          g.terms.push_back({sources[i].block, part, left, {}, false, shifts_classes(sources[i].block)});
        }
      for (const GraphStep* step : s.inside)
        if (is_layer(*step, "class-token")) add_row(g, blocks_.row(*step, "token"), at(step->in.front(), 0));
      for (const GraphStep* step : s.readers)
        for (const Index in : step->in)
          if (is_affine(*step) && is_in(s, in) && std::abs(at(in, 0)) > 1e-12)
            take_shift(g, *step, at(in, 0));
      finish(std::move(g));
    }
  }
  /// b -= part X W in each map; what is the same for all keys need not be taken back.
  void take_shift(TangentGenerator& g, const GraphStep& step, double part) const {
    const std::vector<AffineMap> maps = maps_of_input(seen_, blocks_, step);
    for (std::size_t k = 0; k < maps.size(); ++k)
      if (!shifts_freely(step, k) || maps[k].b.trained())
        add_bias(g, maps[k], step.in.front(), -part, {block(maps[k].W)});
  }
  static bool is_in(const Stream& s, Index e) {
    return std::find(s.edges.begin(), s.edges.end(), e) != s.edges.end();
  }
  /// A table that the last layer has, too: there the same shift of all its rows is one of all classes.
  bool shifts_classes(const WeightSlice& table) const {
    if (!blocks_.is_tied(table) || !seen_.point().model->loss().facts().centred) return false;
    for (const GraphStep& step : seen_.graph().steps)
      if (is_layer(step, "linear") && blocks_.linear(step).entry == table.entry &&
          step.out != seen_.graph().output)
        return false;
    return true;
  }

  /// Rows of tables that are added to each other and never meet the others.
  void between_tables(std::string* left_out) {
    const auto moves = [&](const WeightSlice& s) { return s.trained() && !blocks_.is_tied(s); };
    for (const AddedTables& all : added_tables(seen_, moves)) {
      if (all.is_left_out && left_out != nullptr) *left_out += ", shifts between tables of too many rows";
      if (all.kernel.cols() == 0) continue;
      TangentGenerator g{
          "shift between tables", TangentMatrices::all_of(all.kernel.cols(), all.tables.front().cols), {}};
      for (std::size_t t = 0; t < all.tables.size(); ++t)
        g.terms.push_back(
            {all.tables[t], 1, {constant(all.kernel.middleRows(all.first[t], all.tables[t].rows))}, {}});
      finish(std::move(g));
    }
  }

  /// x -> x + (x p) 1: not seen by LayerNorms, taken back by maps.
  void along_ones(const Stream& s) {
    if (s.is_output || s.is_input || has_fixed_rows(s)) return;
    std::vector<const GraphStep*> maps;
    for (const GraphStep* step : s.readers) {
      if (is_affine(*step))
        maps.push_back(step);
      else if (!is_layer(*step, "layer-norm"))
        return;
    }
    if (maps.empty() || maps.size() == s.readers.size()) return;
    for (const GraphStep* step : s.writers)
      if (!is_affine(*step) && !is_layer(*step, "embedding")) return;
    TangentGenerator g{kStreamFamily, TangentMatrices::all_of(width(s), 1), {}};
    const Dense row = ones_row(width(s));
    for_each_source(s, [&](const WeightSlice& W, const WeightSlice& b) {
      for (const WeightSlice& target : {W, b})
        if (target.entry != nullptr) g.terms.push_back({target, 1, {block(target)}, {constant(row)}});
    });
    for (const GraphStep* step : maps)
      for (const AffineMap& map : maps_of_input(seen_, blocks_, *step))
        g.terms.push_back({map.W, -1, {}, {constant(row), block(map.W)}});
    finish(std::move(g));
  }

  /// Whether fixed numbers are added, as sinusoidal positions.
  bool has_fixed_rows(const Stream& s) const {
    return std::any_of(s.inside.begin(), s.inside.end(), [&](const GraphStep* step) {
      return is_layer(*step, "positions") && blocks_.table(*step, "Pos").entry == nullptr;
    });
  }

  /// x -> (1 + a) x, where all norms behind have epsilon 0; `broken`: where some have not.
  void scale(const Stream& s, bool broken = false) {
    if (s.is_output || s.is_input || has_fixed_rows(s)) return;
    std::vector<const GraphStep*> maps;
    bool norms = false, breaks = false;
    for (const GraphStep* step : s.readers) {
      if (is_norm(*step)) {
        norms = true;
        breaks = breaks || option<double>(step->layer, "epsilon") > 0;
      } else if (is_affine(*step)) {
        maps.push_back(step);
      } else {
        return;
      }
    }
    if (!norms || breaks != broken) return;
    const Index D = width(s);
    TangentGenerator g{
        kStreamFamily, TangentMatrices::span_of({identity(D) / std::sqrt(static_cast<double>(D))}), {}};
    for (const GraphStep* step : s.writers) {
      if (!is_affine(*step) && !is_layer(*step, "embedding") && !is_norm(*step)) return;
      if (is_norm(*step)) {
        const WeightSlice gain = blocks_.row(*step, "g");
        if (gain.entry == nullptr) return;
        add_right(g, gain);
      }
    }
    for_each_source(s, [&](const WeightSlice& W, const WeightSlice& b) {
      add_right(g, W);
      add_right(g, b);
    });
    read(g, maps, -1);
    finish(std::move(g));
  }

  // ---- rotations

  /// x -> x Omega in streams that norms read; behind a norm diag(1 / g) Omega diag(g), which maps take back,
  /// or, where it is a stream that norms read again, the same Omega: for gains that are all the same.
  void rotations() {
    std::set<const Stream*> done;
    for (const Stream& s : streams_) {
      if (done.contains(&s) || !reads_norm(s)) continue;
      std::vector<const Stream*> together = {&s};
      bool possible = true;
      for (std::size_t k = 0; k < together.size(); ++k) {
        done.insert(together[k]);
        for (const GraphStep* step : together[k]->readers)
          if (is_norm(*step) && norm_before_maps(stream_of(step->out)) == nullptr)
            join(together, stream_of(step->out), *step, possible);
        for (const GraphStep* step : together[k]->writers)
          if (is_norm(*step)) join(together, stream_of(step->in.front()), *step, possible);
      }
      if (possible) rotation(together);
    }
  }
  static bool reads_norm(const Stream& s) {
    return std::any_of(s.readers.begin(), s.readers.end(), [](const auto* step) { return is_norm(*step); });
  }
  void join(std::vector<const Stream*>& together, const Stream& other, const GraphStep& norm,
            bool& possible) const {
    const WeightSlice gain = blocks_.row(norm, "g");
    possible =
        possible && !other.is_output && !other.is_input &&
        (gain.entry == nullptr || (all_equal(gain.read(weights())) && !(everywhere_ && gain.trained())));
    if (std::find(together.begin(), together.end(), &other) == together.end()) together.push_back(&other);
  }

  void rotation(const std::vector<const Stream*>& together) {
    TangentGenerator g{kStreamFamily, {}, {}};
    const Index D = width(*together.front());
    Dense Z = identity(D);
    std::vector<std::vector<Index>> classes = {{}};
    for (Index i = 0; i < D; ++i) classes.front().push_back(i);
    const auto fixed = [&](const Dense& rows) {  // rows that Omega must not move
      Z = intersection(Z, null_basis(rows, rows.norm()));
    };
    const auto twice = [&](const WeightSlice& s) { return blocks_.is_tied(s); };
    for (const Stream* s : together) {
      if (s->is_output || s->is_input) return;
      for (const GraphStep* step : s->writers)
        if (!is_affine(*step) && !is_layer(*step, "embedding") && !is_norm(*step)) return;
      for (const GraphStep* step : s->inside)
        if (is_layer(*step, "positions") && blocks_.table(*step, "Pos").entry == nullptr) {
          const GraphEdge &in = seen_.edge(step->in.front()), &out = seen_.edge(step->out);
          fixed(out.x.topRows(out.shape.tokens) - in.x.topRows(out.shape.tokens));
        }
      for_each_source(*s, [&](const WeightSlice& W, const WeightSlice& b) {
        for (const WeightSlice& target : {W, b})
          if (target.entry != nullptr)
            g.terms.push_back({target, 1, {block(target)}, {}, false, twice(target)});
      });
      for (const GraphStep* step : s->readers) {
        if (is_affine(*step)) {
          for (const AffineMap& map : maps_of_input(seen_, blocks_, *step))
            if (!twice(map.W)) add_left(g, map.W, -1);
          continue;
        }
        if (!is_norm(*step)) return;
        if (is_layer(*step, "layer-norm")) Z = intersection(Z, null_space(ones_row(D)));
        const Stream& behind = stream_of(step->out);
        if (norm_before_maps(behind) == nullptr) continue;
        const WeightSlice gain = blocks_.row(*step, "g"), beta = blocks_.row(*step, "beta");
        Dense values = Dense::Constant(1, D, 1);
        Factors before, after;
        if (gain.entry != nullptr) {
          values = gain.read(weights());
          if (values.cwiseAbs().minCoeff() == 0) return;
          before = {inverse(gain)}, after = {diagonal(gain)};
        }
        if (beta.entry != nullptr) {
          Factors left = {block(beta)};
          left.insert(left.end(), before.begin(), before.end());
          g.terms.push_back({beta, 1, left, after});
        }
        for (const GraphStep* reader : behind.readers)
          for (const AffineMap& map : maps_of_input(seen_, blocks_, *reader)) {
            if (twice(map.W)) {  // moves as the table does: among features of the same gain
              if (everywhere_ && gain.trained()) return;
              split(classes, values);
              continue;
            }
            Factors right = after;
            right.push_back(block(map.W));
            g.terms.push_back({map.W, -1, before, right});
          }
      }
    }
    if (g.terms.empty()) return;
    for (const std::vector<Index>& members : classes) {
      if (members.size() < 2) continue;
      const Dense own = intersection(Z, coordinates(D, members));
      if (own.cols() < 2) continue;
      TangentGenerator part = g;
      part.X = TangentMatrices::skew_of(own);
      finish(std::move(part));
    }
  }
  static void split(std::vector<std::vector<Index>>& classes, const Dense& values) {
    std::vector<std::vector<Index>> finer;
    for (const std::vector<Index>& members : classes) {
      std::map<double, std::vector<Index>> by_value;
      for (const Index i : members) by_value[values(0, i)].push_back(i);
      for (const auto& [value, part] : by_value) finer.push_back(part);
    }
    classes = std::move(finer);
  }

  /// The same for all classes.
  void class_shift() {
    if (!seen_.point().model->loss().facts().centred) return;
    for (const GraphStep& step : seen_.graph().steps) {
      if (step.out != seen_.graph().output || !is_layer(step, "linear")) continue;
      const AffineMap map = {blocks_.linear(step), blocks_.row(step, "b")};
      for (const WeightSlice& target : {map.W, map.b}) {
        if (!target.trained()) continue;
        TangentGenerator g{"class shift", TangentMatrices::all_of(target.rows, 1), {}};
        add_row(g, target, 1, {constant(ones_row(target.cols))});
        finish(std::move(g));
      }
    }
  }

  const Visibility& seen_;
  StepBlocks blocks_;
  std::vector<Stream> streams_;
  bool everywhere_;
  std::vector<TangentGenerator> all_;
};

}  // namespace

std::vector<TangentGenerator> network_generators(const Visibility& seen, bool everywhere,
                                                 std::string* left_out) {
  return Generators(seen, everywhere).families(left_out);
}

std::vector<TangentGenerator> broken_generators(const Visibility& seen) {
  return Generators(seen, false).broken_by_epsilon();
}

}  // namespace basin
