#include "basin/curvature/balanced_point.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "basin/curvature/network_generators.h"
#include "basin/curvature/network_symmetries.h"
#include "basin/curvature/seen_maps.h"
#include "basin/curvature/step_maps.h"
#include "basin/linalg/dense.h"
#include "basin/model/evaluator.h"

namespace basin {
namespace {

using TangentGenerators = std::vector<TangentGenerator>;

constexpr double kSameLoss = 1e-9;     // relative
constexpr double kNextToZero = 1e-12;  // of a loss next to 0, relative to that of outputs 0
constexpr double kRankOfGram = 1e-13;  // of its largest eigenvalue
constexpr int kMostSweeps = 300;
constexpr double kAtRest = 1e-13;  // what a sweep still changes, relative

bool is(const TangentFactor& f, const WeightSlice& s) {
  return f.kind == TangentFactor::Kind::block && f.block.offset == s.offset && f.block.rows == s.rows &&
         f.block.transposed == s.transposed;
}

/// Whether every term is a target times X or X times it: then X acts as a matrix exponential.
bool rescales(const TangentGenerator& g) {
  return std::all_of(g.terms.begin(), g.terms.end(), [](const TangentTerm& t) {
    return t.left.size() + t.right.size() == 1 && is(t.left.empty() ? t.right[0] : t.left[0], t.target);
  });
}

/// Whether what the terms are made of stays as it is: then X is added, however large.
bool shifts(const TangentGenerator& g) {
  const auto moves = [&](const TangentFactor& f) {
    return std::any_of(g.terms.begin(), g.terms.end(), [&](const TangentTerm& t) {
      return f.block.entry != nullptr && t.target.entry == f.block.entry;
    });
  };
  return std::none_of(g.terms.begin(), g.terms.end(), [&](const TangentTerm& t) {
    return std::any_of(t.left.begin(), t.left.end(), moves) ||
           std::any_of(t.right.begin(), t.right.end(), moves);
  });
}

/// Whether no term changes lengths: skew X, turned by nothing but equal gains.
bool rotates(const TangentGenerator& g, const Vector<double>& weights) {
  if (g.X.kind != TangentMatrices::Kind::skew) return false;
  const auto equal = [&](const TangentFactor& f) {
    if (f.kind == TangentFactor::Kind::block || f.kind == TangentFactor::Kind::constant) return true;
    double least = HUGE_VAL, most = -HUGE_VAL;
    const Dense row = f.block.read(weights);
    for (Index i = 0; i < row.cols(); ++i)
      if (g.X.left.row(i).norm() > 1e-12)
        least = std::min(least, std::abs(row(0, i))), most = std::max(most, std::abs(row(0, i)));
    return most - least <= 1e-12 * most;
  };
  return std::all_of(g.terms.begin(), g.terms.end(), [&](const TangentTerm& t) {
    return std::all_of(t.left.begin(), t.left.end(), equal) &&
           std::all_of(t.right.begin(), t.right.end(), equal);
  });
}

bool folds(const TangentGenerator& g) {
  return g.family == kNormFamily;
}

/// |W E|^2 and |W E^-1|^2 over the targets of a generator that rescales: tr(P E^2) + tr(N E^-2).
struct Grams {
  Dense P, N;
};
Grams grams(const TangentGenerator& g, const Vector<double>& weights) {
  Grams sum = {zero(g.X.rows, g.X.rows), zero(g.X.rows, g.X.rows)};
  for (const TangentTerm& t : g.terms) {
    const Dense W = t.target.read(weights);
    Dense& of = t.sign > 0 ? sum.P : sum.N;
    if (t.left.empty())
      of += W * W.transpose();
    else
      of += W.transpose() * W;
  }
  return sum;
}

/// Each target times E, or E^-1 where the sign of its term is minus.
void act(const TangentGenerator& g, const Dense& E, const Dense& inverse, Vector<double>& weights) {
  for (const TangentTerm& t : g.terms) {
    const Dense W = t.target.read(weights);
    const Dense& factor = t.sign > 0 ? E : inverse;
    t.target.add((t.left.empty() ? Dense(factor * W) : Dense(W * factor)) - W, weights);
  }
}

/// f(eigenvalue) on the span of eigenvectors whose eigenvalues are not 0, `outside` elsewhere.
template <class Function>
Dense function_of(const Dense& A, double outside_value, const Function& f) {
  const SymmetricEigen e = symmetric_eigen(A, true);
  const double largest = e.values.size() > 0 ? e.values.cwiseAbs().maxCoeff() : 0;
  Vector<double> values(e.values.size());
  for (Index i = 0; i < values.size(); ++i)
    values[i] = e.values[i] > kRankOfGram * largest ? f(e.values[i]) : outside_value;
  return e.vectors * values.asDiagonal() * e.vectors.transpose();
}
Index rank_of(const Dense& A) {
  const Vector<double> values = symmetric_eigen(A, false).values;
  return values.size() == 0 ? 0 : (values.array() > kRankOfGram * values.cwiseAbs().maxCoeff()).count();
}

/// S, positive definite, with S P S = N: the least of tr(P S) + tr(N S^-1). 1 outside the span of both;
/// nothing where they are not of one span, so that there is no least one.
bool balance(const Dense& P, const Dense& N, Dense& S) {
  const Index rank = rank_of(P);
  if (rank != rank_of(N) || rank != rank_of(P / std::max(P.norm(), 1e-300) + N / std::max(N.norm(), 1e-300)))
    return false;
  const auto root = [](double x) { return std::sqrt(x); };
  const auto inverse_root = [](double x) { return 1 / std::sqrt(x); };
  const Dense half = function_of(N, 0, root);
  const Dense middle = function_of(half * P * half, 0, inverse_root);
  const Dense on_span = half * middle * half;
  const Dense span = function_of(P, 0, [](double) { return 1.0; });
  S = (on_span + on_span.transpose()) / 2 + identity(P.rows()) - span;
  return true;
}

/// The parts of X that are closed under multiplication, each for itself: coordinates that any matrix mixes,
/// or that one number scales.
struct Part {
  std::vector<Index> at;
  bool scales = false;
};

/// Nothing where X is no such group, as some of its members would move what is frozen.
std::vector<Part> parts_of(const TangentMatrices& X) {
  using Kind = TangentMatrices::Kind;
  std::vector<Part> parts;
  Part any;
  if (X.kind == Kind::diagonal)
    for (const Index i : X.which) parts.push_back({{i}, true});
  if (X.kind == Kind::all && X.size() == X.rows * X.cols)
    for (Index i = 0; i < X.rows; ++i) any.at.push_back(i);
  Index others = 0;
  if (X.kind == Kind::span)
    for (const Dense& B : X.basis) {
      if (!B.isDiagonal(0)) {
        ++others;
        continue;
      }
      Part part = {{}, true};
      for (Index i = 0; i < B.rows(); ++i)
        if (B(i, i) != 0) part.at.push_back(i);
      if (part.at.size() == 1)
        any.at.push_back(part.at[0]);
      else
        parts.push_back(part);
    }
  // those alone that all others mix; the rest are turns in pairs
  const auto n = static_cast<Index>(any.at.size());
  if (X.kind == Kind::span && n > 1 && others < n * (n - 1)) return {};
  if (n > 0) parts.push_back(any);
  return parts;
}

class Balancing {
 public:
  explicit Balancing(const ModelPoint<double>& point) : point_(point) {}

  BalancedPoint run(Index modes) {
    const double loss = LossEvaluator<double>(point_)(point_.weights);
    BalancedPoint result{point_};
    for (const auto stage :
         {&Balancing::fold, &Balancing::shift, &Balancing::leave_unread, &Balancing::leave_unread_keys,
          &Balancing::leave_unseen, &Balancing::balance_scales}) {
      const std::optional<NetworkGraph> graph = moderate_network_graph(point_);
      if (!graph) return unmoved(result.point, "all symmetries, as activations are too many or not finite");
      const Index C = point_.model->network().output().width;
      Visibility seen(point_, *graph, zero(C, 0));
      if (point_.model->loss().facts().centred)
        seen.look_from(Dense::Constant(C, 1, 1 / std::sqrt(static_cast<double>(C))));
      Vector<double> weights = point_.weights;
      (this->*stage)(seen, weights);
      point_.weights = weights;
    }
    const double now = LossEvaluator<double>(point_)(point_.weights);
    if (!(std::abs(now - loss) <= kSameLoss * std::abs(loss) + kNextToZero * point_.scale_at_zero().loss))
      return unmoved(result.point, "all symmetries, as rounding would change the loss");
    const std::optional<Symmetries> known = known_symmetries(result.point);
    if (const Index more = modes - (known ? known->modes() : 0); more > 0)
      keep(std::to_string(more) + " directions that are in none of the known families");
    result.distance = (point_.theta() - result.point.theta()).stableNorm();
    result.folded = point_.theta_size();
    std::vector<std::string> trained = point_.parameters().trained();
    std::erase_if(trained, [&](const std::string& name) { return folded_.contains(name); });
    result.point = trained.empty() ? point_ : point_.with_trainable(trained);
    result.folded -= result.point.theta_size();
    result.kept = kept_;
    return result;
  }

 private:
  static BalancedPoint unmoved(const ModelPoint<double>& point, const std::string& why) {
    return {point, 0, 0, {why}};
  }
  void keep(const std::string& what) {
    if (std::find(kept_.begin(), kept_.end(), what) == kept_.end()) kept_.push_back(what);
  }

  /// Gains to 1 or -1, where they stay: their readers take them.
  void fold(const Visibility& seen, Vector<double>& weights) {
    for (const TangentGenerator& g : network_generators(seen, false)) {
      if (!folds(g)) continue;
      const WeightSlice& target = g.terms.front().target;
      const Dense gain = target.read(weights);
      if (!rescales(g) || g.X.size() < gain.cols() || gain.cwiseAbs().minCoeff() == 0) {
        keep("gains of norms of which some are zero or read by what is frozen");
        continue;
      }
      const Vector<double> size = gain.row(0).cwiseAbs().transpose();
      act(g, size.cwiseInverse().asDiagonal(), size.asDiagonal(), weights);
      folded_.insert(target.entry->block.name);
    }
  }

  /// As little as possible in what is shifted: value biases to 0, shifts of streams least in their sources.
  void shift(const Visibility& seen, Vector<double>& weights) {
    TangentGenerators streams, values, others;
    for (TangentGenerator& g : network_generators(seen, false)) {
      if (rescales(g) || rotates(g, weights)) continue;
      if (!shifts(g))
        keep(g.X.kind == TangentMatrices::Kind::skew
                 ? "rotations of the residual stream, as gains that are not trained differ"
             : g.family == kShiftFamily ? "shifts that maps without biases take back"
                                        : "what only LayerNorms and biases take back of the residual stream");
      else
        (g.family == kValueBiasFamily                                 ? values
         : g.family == kKeyBiasFamily || g.family == kQueryBiasFamily ? others
                                                                      : streams)
            .push_back(std::move(g));
    }
    for (const TangentGenerator& g : values) add_least({g}, weights);
    for (TangentGenerator& g : streams) pass_on(g, values);
    // norms that only maps read, and then what these write to: stream by stream, as one may have another
    // scale
    std::vector<TangentGenerators> together = by_sources(streams);
    std::stable_sort(together.begin(), together.end(),
                     [](const TangentGenerators& a, const TangentGenerators& b) {
                       return (sources(a).size() == 1) > (sources(b).size() == 1);
                     });
    for (const TangentGenerators& stream : together) add_least(stream, weights);
    for (const TangentGenerator& g : others) add_least({g}, weights);
  }
  /// Where the targets of X itself begin.
  static std::set<Index> sources(const TangentGenerators& generators) {
    std::set<Index> all;
    for (const TangentGenerator& g : generators)
      for (const TangentTerm& t : g.terms)
        if (t.right.empty()) all.insert(t.target.offset);
    return all;
  }
  static std::vector<TangentGenerators> by_sources(const TangentGenerators& generators) {
    std::vector<TangentGenerators> groups;
    for (const TangentGenerator& g : generators) {
      const std::set<Index> own = sources({g});
      const auto shares = [&](const TangentGenerators& group) {
        const std::set<Index> theirs = sources(group);
        return std::any_of(own.begin(), own.end(), [&](Index at) { return theirs.contains(at); });
      };
      if (const auto at = std::find_if(groups.begin(), groups.end(), shares); at != groups.end())
        at->push_back(g);
      else
        groups.push_back({g});
    }
    return groups;
  }
  /// What would arrive at a value bias arrives at the output bias behind it.
  static void pass_on(TangentGenerator& g, const TangentGenerators& values) {
    std::vector<TangentTerm> terms;
    for (const TangentTerm& t : g.terms) {
      const auto at = std::find_if(values.begin(), values.end(), [&](const TangentGenerator& v) {
        return v.terms.front().target.offset == t.target.offset && v.terms.front().left.empty();
      });
      if (at == values.end()) {
        terms.push_back(t);
        continue;
      }
      for (auto behind = at->terms.begin() + 1; behind != at->terms.end(); ++behind) {
        TangentTerm on = t;
        on.target = behind->target;
        on.sign = -t.sign * behind->sign;
        on.right.insert(on.right.end(), behind->right.begin(), behind->right.end());
        terms.push_back(on);
      }
    }
    g.terms = terms;
  }
  /// Adds the combination that makes the sources, the targets of X itself, least: conjugate gradients.
  static void add_least(const TangentGenerators& generators, Vector<double>& weights) {
    Vector<double> is_source = Vector<double>::Zero(weights.size());
    Index size = 0;
    for (const TangentGenerator& g : generators) {
      size += g.size();
      for (const TangentTerm& t : g.terms)
        if (t.right.empty()) is_source.segment(t.target.offset, t.target.rows * t.target.cols).setOnes();
    }
    if (size == 0) return;
    const auto apply = [&](const Vector<double>& c) {
      Vector<double> t = Vector<double>::Zero(weights.size());
      Index first = 0;
      for (const TangentGenerator& g : generators) g.add(weights, c.data() + first, t), first += g.size();
      return t;
    };
    const auto transposed = [&](const Vector<double>& v) {
      const Vector<double> on_sources = v.cwiseProduct(is_source);
      Vector<double> c(size);
      Index first = 0;
      for (const TangentGenerator& g : generators)
        g.transposed(weights, on_sources, c.data() + first), first += g.size();
      return c;
    };
    Vector<double> c = Vector<double>::Zero(size), r = -transposed(weights), p = r;
    const double wanted = 1e-30 * r.squaredNorm();
    double rr = r.squaredNorm();
    for (Index step = 0; step < 10 * size && rr > wanted && rr > 0; ++step) {
      const Vector<double> Ap = transposed(apply(p));
      const double a = rr / p.dot(Ap);
      if (!std::isfinite(a)) break;
      c += a * p;
      r -= a * Ap;
      const double next = r.squaredNorm();
      p = r + (next / rr) * p;
      rr = next;
    }
    weights += apply(c);
  }

  /// Nothing along directions that nobody reads: of all but keys, as what queries see of these depends on
  /// them, and then of keys. Units of an activation stay where they are, and gains.
  void leave_unread(const Visibility& seen, Vector<double>& weights) { remove_unread(seen, false, weights); }
  void leave_unread_keys(const Visibility& seen, Vector<double>& weights) {
    remove_unread(seen, true, weights);
  }
  static void remove_unread(const Visibility& seen, bool keys, Vector<double>& weights) {
    for (SeenMap& map : seen_maps(seen)) {
      const std::string& name = (map.W.entry != nullptr ? map.W : map.b).entry->block.name;
      if (name.ends_with("_K") != keys || is_gain(name) || feeds_units(seen, map)) continue;
      map.N = zero(map.rows(), 0);
      map.add(-map.unseen_part(map.read(weights)), weights);
    }
  }
  static bool is_gain(const std::string& name) { return name == "g" || name.ends_with(".g"); }
  static bool feeds_units(const Visibility& seen, const SeenMap& map) {
    const StepBlocks blocks(seen);
    for (const GraphStep& step : seen.graph().steps) {
      if (!is_layer(step, "linear") || (map.W.entry == nullptr || blocks.linear(step).entry != map.W.entry))
        continue;
      for (const GraphStep* reader : readers_of(seen.graph(), step.out))
        if (is_layer(*reader, "activation") || reader->kind == GraphStep::Kind::multiply) return true;
    }
    return false;
  }

  /// Nothing along what the data do not see. What heads and units give is seen as if it had one size in all
  /// directions, so that this is the same wherever one started.
  void leave_unseen(const Visibility& seen, Vector<double>& weights) {
    struct Change {
      const TangentGenerator& g;
      Part part;
      Dense S;
    };
    const TangentGenerators generators = network_generators(seen, false);
    std::vector<Change> changes;
    for (const TangentGenerator& g : generators) {
      if (folds(g) || !rescales(g) || g.family == kStreamFamily) continue;
      for (const Part& part : parts_of(g.X)) {
        const Dense P = grams(g, weights).P(part.at, part.at);
        const double size = P.trace() / static_cast<double>(P.rows());
        changes.push_back({g, part,
                           part.scales ? Dense(identity(P.rows()) * (size > 0 ? 1 / size : 1))
                                       : function_of(P, 1, [](double x) { return 1 / x; })});
        rescale(g, part, changes.back().S, weights);
      }
    }
    const ModelPoint<double> even = point_.at_weights(weights);
    const std::optional<NetworkGraph> graph = moderate_network_graph(even);
    if (!graph) return keep("what the data do not see, as activations are not finite");
    const Visibility data(even, *graph, zero(even.model->network().output().width, 0));
    const auto of_keys = [&](const SeenMap& map) {
      return std::any_of(generators.begin(), generators.end(), [&](const TangentGenerator& g) {
        return g.family == kKeyBiasFamily && g.terms.front().target.offset == map.b.offset;
      });
    };
    for (SeenMap& map : seen_maps(data)) {
      if (map.N.cols() > 0 && map.b.trained() && map.N.bottomRows(1).norm() > 1e-9 && of_keys(map))
        keep("key biases that features of the data make, too");
      map.U = zero(map.cols(), 0);
      map.add(-map.unseen_part(map.read(weights)), weights);
    }
    for (const Change& change : changes)
      rescale(change.g, change.part, function_of(change.S, 1, [](double x) { return 1 / x; }), weights);
  }

  /// The least norm along gauges and scales: one after the other until nothing moves.
  void balance_scales(const Visibility& seen, Vector<double>& weights) {
    TangentGenerators scales;
    for (TangentGenerator& g : network_generators(seen, false))
      if (!folds(g) && rescales(g) && g.X.kind != TangentMatrices::Kind::skew) {
        if (parts_of(g.X).empty() && g.X.kind != TangentMatrices::Kind::span)
          keep(g.family + "s of which some members would move frozen blocks");
        scales.push_back(std::move(g));
      }
    for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
      double most = 0;
      for (const TangentGenerator& g : scales) most = std::max(most, balance_one(g, weights));
      if (most <= kAtRest || scales.size() < 2) break;
    }
  }
  /// |S - 1|, the largest.
  double balance_one(const TangentGenerator& g, Vector<double>& weights) {
    double most = 0;
    for (const Part& part : parts_of(g.X)) {
      const Grams of = grams(g, weights);
      const Dense P = of.P(part.at, part.at), N = of.N(part.at, part.at);
      Dense S = identity(P.rows());
      if (part.scales) {
        if (P.trace() > 0 && N.trace() > 0) S *= std::sqrt(N.trace() / P.trace());
        if (P.trace() > 0 && N.trace() == 0 && g.family == kStreamFamily) S *= even_size(g, weights);
      } else if (!balance(P, N, S)) {
        keep(g.family + "s whose two sides are of different rank");
        continue;
      }
      most = std::max(most, (S - identity(S.rows())).cwiseAbs().maxCoeff());
      rescale(g, part, S, weights);
    }
    return most;
  }
  /// Where nothing takes a scale back there is no least norm: the first block of the stream has the mean
  /// square 1.
  static double even_size(const TangentGenerator& g, const Vector<double>& weights) {
    const Dense W = g.terms.front().target.read(weights);
    const double squares = W.squaredNorm();
    return squares > 0 ? static_cast<double>(W.size()) / squares : 1;
  }
  /// E^2 = S in this part, 1 elsewhere.
  static void rescale(const TangentGenerator& g, const Part& part, const Dense& S, Vector<double>& weights) {
    Dense E = identity(g.X.rows), inverse = E;
    E(part.at, part.at) = function_of(S, 1, [](double x) { return std::sqrt(x); });
    inverse(part.at, part.at) = function_of(S, 1, [](double x) { return 1 / std::sqrt(x); });
    act(g, E, inverse, weights);
  }

  ModelPoint<double> point_;
  std::set<std::string> folded_;  // names of gains
  std::vector<std::string> kept_;
};

}  // namespace

BalancedPoint balanced_point(const ModelPoint<double>& point, Index modes) {
  return Balancing(point).run(modes);
}

}  // namespace basin
