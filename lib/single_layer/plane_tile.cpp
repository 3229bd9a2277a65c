#include "basin/single_layer/plane_tile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "basin/linalg/simd.h"
#include "basin/network/tile_weights.h"

namespace basin {
namespace {

// Keys of a block; measured, with most_queries.
constexpr Index kKeys = 48;
constexpr std::size_t kOne = 0, kA = 1, kB = 2, kAA = 3, kAB = 4, kBB = 5;
constexpr Index kPack = kLanes<double>;
using Lanes = Pack<double>;

/// out += sum over the dimensions of x o y, for coefficients of scores <q, k>: an empty factor is zero.
void add_products(Tile<const double> k, Tile<const double> qt, Tile<double> out) {
  if (!k.empty() && !qt.empty()) sum_of_products<double>({{k, qt}}, out, true);
}

/// All coefficients of -|q - k|^2 / 2 from the differences: squares are not expanded, so that keys close to
/// long queries keep their digits.
void square_coefficients(const std::array<Tile<const double>, 3>& qt,
                         const std::array<Tile<const double>, 3>& k,
                         const std::array<Tile<double>, kMonomials>& out) {
  const Index d = qt[0].rows;
  const int parts = qt[1].empty() && k[1].empty() ? 1 : 3;
  const auto difference = [&](int p, Index i, Index l, Index lane) {
    Lanes delta{};
    if (!qt[p].empty()) delta += load(qt[p].row(i) + lane);
    if (!k[p].empty()) delta -= k[p].row(l)[i];
    return delta;
  };
  for_lanes<double>(out[kOne].cols, [&](Index lane) {
    for (Index l = 0; l < out[kOne].rows; ++l) {
      Lanes sums[kMonomials] = {};
      for (Index i = 0; i < d; ++i) {
        const Lanes at = difference(0, i, l, lane);
        sums[kOne] += at * at;
        if (parts == 1) continue;
        const Lanes u = difference(1, i, l, lane), v = difference(2, i, l, lane);
        sums[kA] += at * u, sums[kB] += at * v;
        sums[kAA] += u * u, sums[kAB] += u * v, sums[kBB] += v * v;
      }
      for (std::size_t c = 0; c < kMonomials; ++c)
        if (!out[c].empty())
          store<double>(out[c].row(l) + lane, sums[c] * (c == kOne || c == kAA || c == kBB ? -0.5 : -1.0));
    }
  });
}

/// The largest absolute value; a NaN is passed over, as it makes the loss NaN in any case.
double largest_entry(Tile<const double> x) {
  Lanes largest{};
  for (Index l = 0; l < x.rows; ++l)
    for_lanes<double>(x.cols, [&](Index p) {
      const Lanes y = load(x.row(l) + p), size = y < 0 ? -y : y;
      largest = size > largest ? size : largest;
    });
  double result = 0;
  for (Index p = 0; p < kPack; ++p) result = std::max(result, largest[p]);
  return result;
}

}  // namespace

Tile<double> PlaneTile::score(std::size_t c, Index h, Index first, Index count) {
  return has_[c] ? tile(scores_[c][h]).middle_rows(first, count) : Tile<double>{};
}

void PlaneTile::prepare(const PlaneProjections& sample, Index first, Index rows, double step) {
  sample_ = &sample;
  first_ = first, rows_ = rows, lanes_ = padded<double>(rows);
  const bool moves_q = !sample.queries_t[1].empty(), moves_k = !sample.keys[1].empty();
  const bool linear = moves_q || moves_k, quadratic = softmax() ? moves_q && moves_k : linear;
  has_ = {true, linear, linear, quadratic, quadratic, quadratic};
  largest_ = Matrix<double>::Zero(spec_.heads, kMonomials);
  for (std::size_t c = 0; c < kMonomials; ++c)
    if (has_[c]) scores_[c].resize(spec_.heads, keys(), lanes_);
  for (Index h = 0; h < spec_.heads; ++h) score_coefficients(h);

  // C = exp(2 c step^2), where that is certainly finite; it is not used elsewhere.
  growth_.clear();
  if (!quadratic) return;
  growth_.resize(spec_.heads, keys(), lanes_);
  for (Index h = 0; h < spec_.heads; ++h) {
    const double factor = 2 * step * step;
    if (!(largest_(h, kAA) * factor <= 2 * kLargestExponent)) continue;
    const Tile<const double> from = score(kAA, h, 0, keys());
    const Tile<double> to = tile(growth_[h]);
    for (Index l = 0; l < keys(); ++l)
      for_lanes<double>(lanes_, [&](Index p) {
        store<double>(to.row(l) + p, exp_of_negative<double>(load(from.row(l) + p) * factor));
      });
  }
}

void PlaneTile::score_coefficients(Index h) {
  std::array<Tile<const double>, 3> qt, k;
  for (std::size_t p = 0; p < 3; ++p) {
    const Batch<double>&q = sample_->queries_t[p], &key = sample_->keys[p];
    if (!q.empty()) qt[p] = tile(q[h]).middle_cols(first_, lanes_);
    if (!key.empty()) k[p] = tile(key[h]);
  }
  std::array<Tile<double>, kMonomials> out;
  for (std::size_t c = 0; c < kMonomials; ++c) out[c] = score(c, h, 0, keys());
  if (softmax()) {
    for (std::size_t c = 0; c < kMonomials; ++c)
      if (has_[c]) scores_[c][h].setZero();
    for (std::size_t p = 0; p < 3; ++p) add_products(k[p], qt[0], out[p]);
    for (std::size_t p = 1; p < 3; ++p) add_products(k[0], qt[p], out[p]);
    if (has_[kAA]) {
      add_products(k[1], qt[1], out[kAA]);
      add_products(k[2], qt[1], out[kAB]), add_products(k[1], qt[2], out[kAB]);
      add_products(k[2], qt[2], out[kBB]);
    }
  } else {
    square_coefficients(qt, k, out);
  }
  for (std::size_t c = 0; c < kMonomials; ++c)
    if (has_[c]) largest_(h, c) = largest_entry(out[c]);
}

/// Whether the terms of all scores are small at every point of the piece.
bool PlaneTile::small(const PlanePiece& piece, Index h) const {
  const double end = piece.a(piece.count - 1) + piece.x.step();  // one further, where R looks
  const auto m = monomials(std::max(std::abs(piece.a(0)), std::abs(end)), std::abs(piece.b));
  double sum = 0;
  for (std::size_t c = 0; c < kMonomials; ++c) sum += m[c] * largest_(h, c);
  return sum <= kLargestExponent;
}

void PlaneTile::losses(const PlanePiece& piece, ConstMatrixRef<double> targets, double* losses) {
  const Index e = spec_.outputs;
  head_.resize(piece.count, e, lanes_);
  outputs_.resize(piece.count, e, lanes_);
  sums_.resize(piece.count, 1, lanes_);
  e_.resize(1, std::min(kKeys, keys()), lanes_);
  r_.resize(1, std::min(kKeys, keys()), lanes_);
  for (Index h = 0; h < spec_.heads; ++h) {
    if (small(piece, h))
      head_by_recurrence(piece, h);
    else
      head_by_scores(piece, h);
    finish_head(piece.count, h == 0);
  }
  targets_t_.resize(1, e, lanes_);
  transpose<double>(tile(targets), tile(targets_t_[0]));
  const Tile<const double> Y = tile(targets_t_[0]);
  for (Index j = 0; j < piece.count; ++j) {
    const Tile<const double> F = tile(outputs_[j]);
    double total = 0;
    for (Index p = 0; p < lanes_; p += kPack) {
      Lanes squares{};
      for (Index o = 0; o < e; ++o) {
        const Lanes residual = load(F.row(o) + p) - load(Y.row(o) + p);
        squares += residual * residual;
      }
      for (Index lane = rows_ - p; lane < kPack; ++lane) squares[lane] = 0;  // beyond the queries
      total += sum<double>(squares);
    }
    losses[j] += total / 2;
  }
}

/// values_ = the coefficients of V in a, for a block of keys.
void PlaneTile::value_along(double b, Index h, Index first, Index count) {
  const auto& V = sample_->value;
  if (V[kA].empty()) return;
  const bool quadratic = !V[kAA].empty();
  const auto block = [&](std::size_t c) { return tile(V[c][h]).middle_rows(first, count); };
  const auto V0 = block(kOne), Va = block(kA), Vb = block(kB);
  const Index size = count * V[kOne].cols();
  for (Index c = 0; c < (quadratic ? 3 : 2); ++c) values_[c].resize(1, count, V[kOne].cols());
  double *constant = values_[0][0].data(), *slope = values_[1][0].data();
  for (Index i = 0; i < size; i += kPack) {
    store<double>(constant + i, load(V0.data + i) + b * load(Vb.data + i));
    store<double>(slope + i, load(Va.data + i));
  }
  if (!quadratic) return;
  const auto Vaa = block(kAA), Vab = block(kAB), Vbb = block(kBB);
  double* curvature = values_[2][0].data();
  for (Index i = 0; i < size; i += kPack) {
    store<double>(constant + i, load(constant + i) + b * b * load(Vbb.data + i));
    store<double>(slope + i, load(slope + i) + b * load(Vab.data + i));
    store<double>(curvature + i, load(Vaa.data + i));
  }
}

/// V at a point.
Tile<const double> PlaneTile::value_at(double a, Index h, Index first, Index count) {
  const auto& V = sample_->value;
  if (V[kA].empty()) return tile(V[kOne][h]).middle_rows(first, count);
  const Index size = values_[0].rows() * values_[0].cols();
  v_.resize(1, count, values_[0].cols());
  const double *v0 = values_[0][0].data(), *v1 = values_[1][0].data();
  double* out = v_[0].data();
  if (V[kAA].empty()) {
    for (Index i = 0; i < size; i += kPack) store<double>(out + i, load(v0 + i) + a * load(v1 + i));
  } else {
    const double* v2 = values_[2][0].data();
    for (Index i = 0; i < size; i += kPack)
      store<double>(out + i, load(v0 + i) + a * (load(v1 + i) + a * load(v2 + i)));
  }
  return tile(v_[0]);
}

/// head_[j] (+)= V^T A for a block of keys.
void PlaneTile::add_output(Index j, Index h, Index first, Index count, double a, Tile<const double> weights) {
  const Tile<const double> V = value_at(a, h, first, count).middle_cols(0, spec_.outputs);
  sum_of_products<double>({{V.transpose(), weights}}, tile(head_[j]), first > 0);
}

void PlaneTile::head_by_recurrence(const PlanePiece& piece, Index h) {
  const double a = piece.a(0), b = piece.b, step = piece.x.step();
  const bool linear = has_[kA], quadratic = has_[kAA];
  for (Index first = 0; first < keys(); first += kKeys) {
    const Index count = std::min(kKeys, keys() - first);
    const auto block = [&](std::size_t c) { return score(c, h, first, count); };
    const auto s0 = block(kOne), sa = block(kA), sb = block(kB), saa = block(kAA), sab = block(kAB),
               sbb = block(kBB);
    const Tile<double> E = tile(e_[0]).middle_rows(0, count), R = tile(r_[0]).middle_rows(0, count);
    const Tile<const double> C =
        quadratic ? tile(growth_[h]).middle_rows(first, count) : Tile<const double>{};
    value_along(piece.b, h, first, count);

    // E = exp(s),  R = exp(s(a + step) - s(a))
    for_lanes<double>(lanes_, [&](Index p) {
      Lanes sum{};
      for (Index l = 0; l < count; ++l) {
        const auto at = [&](const Tile<double>& from) { return load(from.row(l) + p); };
        Lanes s = at(s0);
        if (linear) {
          const Lanes A = at(sa);
          Lanes slope = A;
          s += a * A + b * at(sb);
          if (quadratic) {
            const Lanes AA = at(saa), AB = at(sab);
            s += a * (a * AA + b * AB) + b * b * at(sbb);
            slope += (2 * a + step) * AA + b * AB;
          }
          store<double>(R.row(l) + p, exp_of_negative<double>(step * slope));
        }
        const Lanes weight = exp_of_negative<double>(s);
        store<double>(E.row(l) + p, weight);
        sum += weight;
      }
      double* sums = sums_[0].data() + p;
      store<double>(sums, first > 0 ? load(sums) + sum : sum);
    });
    add_output(0, h, first, count, a, E);

    // E = E R,  R = R C
    for (Index j = 1; j < piece.count; ++j) {
      for_lanes<double>(lanes_, [&](Index p) {
        Lanes even{}, odd{};
        const auto advance = [&](Index l) {
          const Lanes ratio = load(R.row(l) + p), weight = load(E.row(l) + p) * ratio;
          store<double>(E.row(l) + p, weight);
          if (quadratic) store<double>(R.row(l) + p, ratio * load(C.row(l) + p));
          return weight;
        };
        if (linear) {
          Index l = 0;
          for (; l + 1 < count; l += 2) even += advance(l), odd += advance(l + 1);
          if (l < count) even += advance(l);
        } else {
          for (Index l = 0; l < count; ++l) even += load(E.row(l) + p);
        }
        double* sums = sums_[j].data() + p;
        store<double>(sums, first > 0 ? load(sums) + (even + odd) : even + odd);
      });
      add_output(j, h, first, count, piece.a(j), E);
    }
  }
}

/// Scores and exponentials at each point, with the largest score of each query subtracted first.
void PlaneTile::head_by_scores(const PlanePiece& piece, Index h) {
  const Index d = spec_.head_dim;
  queries_at_.resize(1, d, lanes_);
  keys_at_.resize(1, keys(), d);
  all_.resize(1, keys(), lanes_);
  Batch<double> largest;
  largest.resize(1, 1, lanes_);
  for (Index j = 0; j < piece.count; ++j) {
    const double a = piece.a(j), b = piece.b;
    const auto at = [&](const std::array<Batch<double>, 3>& parts, auto&& select, auto out) {
      out = select(parts[0][h]);
      if (!parts[1].empty()) out += a * select(parts[1][h]);
      if (!parts[2].empty()) out += b * select(parts[2][h]);
    };
    at(
        sample_->queries_t, [&](auto x) { return x.middleCols(first_, lanes_); }, queries_at_[0]);
    at(
        sample_->keys, [](auto x) { return x; }, keys_at_[0]);
    const Tile<double> z = tile(all_[0]);
    const Tile<const double> qt = tile(queries_at_[0]), k = tile(keys_at_[0]);
    double* max = nullptr;
    if (softmax()) {
      sum_of_products<double>({{k, qt}}, z);
      max = largest[0].data();
      std::fill_n(max, lanes_, -std::numeric_limits<double>::infinity());
      raise_to_largest<double>(z, max);
    } else {
      for_lanes<double>(lanes_, [&](Index p) {
        for (Index l = 0; l < keys(); ++l) {
          Lanes total{};
          for (Index i = 0; i < d; ++i) {
            const Lanes delta = load(qt.row(i) + p) - k.row(l)[i];
            total += delta * delta;
          }
          store<double>(z.row(l) + p, total * -0.5);
        }
      });
    }
    exponentials<double>(z, max);
    std::fill_n(sums_[j].data(), lanes_, 0.0);
    add_columns<double>(z, sums_[j].data());
    for (Index first = 0; first < keys(); first += kKeys) {
      const Index count = std::min(kKeys, keys() - first);
      value_along(piece.b, h, first, count);
      add_output(j, h, first, count, a, z.middle_rows(first, count));
    }
  }
}

/// F (+)= S V of a head, its rows divided by their sums for softmax.
void PlaneTile::finish_head(Index count, bool first_head) {
  for (Index j = 0; j < count; ++j) {
    const double* sums = sums_[j].data();
    const Tile<const double> from = tile(head_[j]);
    const Tile<double> to = tile(outputs_[j]);
    for_lanes<double>(lanes_, [&](Index p) {
      const Lanes factor = softmax() ? 1 / load(sums + p) : Lanes{} + 1.0;
      for (Index o = 0; o < spec_.outputs; ++o) {
        const Lanes part = load(from.row(o) + p) * factor;
        store<double>(to.row(o) + p, first_head ? part : load(to.row(o) + p) + part);
      }
    });
  }
}

double PlaneTile::bytes(const AttentionSpec& spec) {
  const auto lanes = static_cast<double>(std::min(most_queries(spec), padded<double>(spec.tokens)));
  const auto n = static_cast<double>(spec.tokens), H = static_cast<double>(spec.heads);
  return 8 * lanes * (7 * H * n + n + 40 * static_cast<double>(spec.outputs) + 3 * kKeys) +
         8 * n * static_cast<double>(spec.head_dim);
}

}  // namespace basin
