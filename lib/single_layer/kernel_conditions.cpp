#include "basin/single_layer/kernel_conditions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "basin/linalg/dense.h"
#include "basin/linalg/parallel.h"
#include "basin/model/perturbation.h"

namespace basin {
namespace {

bool contains(const std::vector<AttentionBlock>& blocks, AttentionBlock block) {
  return std::find(blocks.begin(), blocks.end(), block) != blocks.end();
}

std::string text(Index value) {
  return std::to_string(value);
}

Index divide_up(Index a, Index b) {
  return (a + b - 1) / b;
}

/// The rows of each sample in coordinates without their mean: U^T X_i, n - 1 rows each, U an orthonormal
/// basis of the complement of 1 (Helmert's).
Matrix<double> centred_coordinates(const Matrix<double>& X, Index n) {
  const Index N = X.rows() / n;
  Matrix<double> out(N * (n - 1), X.cols());
  for (Index i = 0; i < N; ++i) {
    Eigen::RowVectorXd sum = X.row(i * n);  // of the first k rows
    for (Index k = 1; k < n; ++k) {
      const double kd = static_cast<double>(k);
      out.row(i * (n - 1) + k - 1) = (sum - kd * X.row(i * n + k)) / std::sqrt(kd * (kd + 1));
      sum += X.row(i * n + k);
    }
  }
  return out;
}

/// The number of different pairs of a token and the sample it is in, samples up to the order of their tokens.
/// What attention computes for a token depends on that pair alone.
Index distinct_tokens(const Data<double>& data) {
  const Index n = data.X.rows() / data.samples;
  std::map<std::vector<std::vector<double>>, Index> samples;  // sorted tokens -> how many are different
  for (Index i = 0; i < data.samples; ++i) {
    std::vector<std::vector<double>> rows;
    for (Index k = i * n; k < (i + 1) * n; ++k)
      rows.emplace_back(data.X.row(k).data(), data.X.row(k).data() + data.X.cols());
    std::sort(rows.begin(), rows.end());
    Index different = 1;
    for (std::size_t k = 1; k < rows.size(); ++k) different += rows[k] != rows[k - 1];
    samples.emplace(std::move(rows), different);
  }
  Index total = 0;
  for (const auto& [rows, different] : samples) total += different;
  return total;
}

/// How often each row occurs.
std::map<std::vector<double>, Index> copies_of_rows(const Matrix<double>& X) {
  std::map<std::vector<double>, Index> copies;
  for (Index k = 0; k < X.rows(); ++k) ++copies[{X.row(k).data(), X.row(k).data() + X.cols()}];
  return copies;
}

/// The heads whose output moves with the block at all: no other weights of theirs that multiply it are zero.
Index live_heads(const AttentionFactors& f, AttentionBlock block) {
  const bool softmax = f.spec.kernel == KernelKind::softmax, attention = block == kQ || block == kK;
  return std::count_if(f.heads.begin(), f.heads.end(), [&](const HeadFactors& h) {
    if (block != kO && h.zero[kO]) return false;
    if (block != kV && h.zero[kV]) return false;
    return !(softmax && attention && h.zero[block == kQ ? kK : kQ]);
  });
}

constexpr const char* kMoreHeads = "weights that are not zero";
constexpr const char* kMoreTokens =
    "samples of two tokens or more: softmax of one depends on neither queries nor keys";

/// What makes H f min(d, other) >= needed.
std::string heads_or_width(const AttentionSpec& s, Index f, Index other, Index needed) {
  if (f * other == 0) return kMoreTokens;
  const std::string heads = "H >= " + text(divide_up(needed, f * std::min(s.head_dim, other)));
  const Index d = divide_up(needed, s.heads * f);
  return d > other ? heads : "d >= " + text(d) + " at H = " + text(s.heads) + ", or " + heads;
}

/// What makes H r~ + e >= N n (softmax) or H r >= N n, r~, e and r being ranks of the inputs.
std::string features_or_heads(const AttentionSpec& s, Index samples) {
  const bool softmax = s.kernel == KernelKind::softmax;
  const Index tokens = samples * s.tokens, centred = tokens - samples;
  Index features = divide_up(tokens, s.heads);  // as long as e = 0
  if (softmax && features > centred) features = std::max(centred + 1, tokens - (s.heads - 1) * centred);
  const std::string more_heads = softmax && s.tokens == 1 ? "" : ", or more heads";
  return (s.embedding < features ? "D >= " + text(features) : "inputs of a higher rank") + more_heads;
}

/// The square of an upper bound, which must not underflow.
double square_up(double x) {
  return std::max(x * x, std::numeric_limits<double>::min());
}

Below square(const Below& x) {
  return x * x;
}

/// sum_h omega_h B_h B_h^T as a product of a matrix with itself: its factor, N n x H D.
Matrix<double> weighted_values(const AttentionFactors& f, const Vector<double>& omega) {
  Matrix<double> B = value_factor(f);
  const Index D = f.spec.embedding;
  for (Index h = 0; h < f.spec.heads; ++h) B.middleCols(h * D, D) *= std::sqrt(omega[h]);
  return B;
}

/// [L_i^B]_{B, h}: the derivative of the outputs of sample i in its queries, keys and values, n D_out rows.
Matrix<double> local_jacobian(const AttentionFactors& f, const std::vector<AttentionBlock>& blocks, Index i) {
  const Index n = f.spec.tokens, d = f.spec.head_dim, o = f.spec.outputs, H = f.spec.heads;
  Matrix<double> L = Matrix<double>::Zero(n * o, static_cast<Index>(blocks.size()) * H * n * d);
  Index column = 0;
  for (const AttentionBlock block : blocks)
    for (Index h = 0; h < H; ++h, column += n * d) {
      const HeadFactors& at = f.heads[h];
      if (block == kK) L.middleCols(column, n * d) = f.key_jacobian(i, h);
      for (Index k = 0; k < n; ++k) {
        if (block == kQ) L.block(k * o, column + k * d, o, d) = at.G.middleRows((i * n + k) * o, o);
        for (Index l = 0; block == kV && l < n; ++l)
          L.block(k * o, column + l * d, o, d) = at.S(i * n + k, l) * at.W_O.transpose();
      }
    }
  return L;
}

/// [G_a1 .. G_aH], D_out x H d.
Matrix<double> query_jacobians(const AttentionFactors& f, Index first_row, Index rows) {
  Matrix<double> G(rows, f.spec.heads * f.spec.head_dim);
  for (Index h = 0; h < f.spec.heads; ++h)
    G.middleCols(h * f.spec.head_dim, f.spec.head_dim) = f.heads[h].G.middleRows(first_row, rows);
  return G;
}

struct Extremes {
  Index rank = std::numeric_limits<Index>::max();
  Below smallest = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  double largest = 0;
};

/// The smallest rank, and bounds on the singular values, of `count` matrices that `make` makes of factors.
Extremes extremes_of(Index count, const MeasuredFactors& f,
                     const std::function<Matrix<double>(const AttentionFactors&, Index)>& make) {
  std::vector<Extremes> each(count);
  parallel_for(count, [&](Index i, Index) {
    const MeasuredValues values =
        measured_attention_values(f, [&](const AttentionFactors& at) { return make(at, i); });
    each[i] = {values.rank, values.smallest, values.largest()};
  });
  Extremes all;
  for (const Extremes& e : each)
    all = {std::min(all.rank, e.rank), std::min(all.smallest, e.smallest), std::max(all.largest, e.largest)};
  return all;
}

std::vector<Matrix<double>> at_perturbed(const MeasuredFactors& f, const Make& make) {
  std::vector<Matrix<double>> all;
  for (const AttentionFactors& there : f.perturbed) all.push_back(make(there));
  return all;
}

/// The powers of two that bring the largest entry of each row to 1 .. 2; 1 for a row of zeros.
Vector<double> row_scales(const Matrix<double>& A) {
  Vector<double> scales(A.rows());
  for (Index r = 0; r < A.rows(); ++r) {
    const double largest = A.row(r).cwiseAbs().maxCoeff();
    scales[r] = largest > 0 ? std::ldexp(1.0, std::min(1000, -std::ilogb(largest))) : 1;
  }
  return scales;
}

// Rows that differ by less than this factor lose no digits to each other.
constexpr double kUnequalRows = 8;

}  // namespace

MeasuredValues measured_values(const MeasuredFactors& f, const Make& make) {
  return measured_values(make(f.factors), at_perturbed(f, make));
}

MeasuredValues measured_attention_values(const MeasuredFactors& f, const Make& make) {
  const Matrix<double> plain = make(f.factors);
  MeasuredValues result = measured_values(plain, at_perturbed(f, make), kUnderflowError);
  if (result.rank == plain.rows() || plain.rows() > plain.cols()) return result;
  const MeasuredFactors& g = f.scaled ? *f.scaled : f;
  const Matrix<double> A = f.scaled ? make(g.factors) : plain;
  const Vector<double> scales = row_scales(A);
  if (!f.scaled && scales.maxCoeff() <= kUnequalRows * scales.minCoeff()) return result;
  const Make scaled = [&](const AttentionFactors& at) {
    return Matrix<double>(scales.asDiagonal() * make(at));
  };
  const MeasuredValues of_rows =
      measured_values(scaled(g.factors), at_perturbed(g, scaled), kUnderflowError * scales.maxCoeff());
  result.rank = std::max(result.rank, of_rows.rank);
  // A = diag(c) A' has sigma_min(A) >= min(c) sigma_min(A').
  double log10_of_rows = -std::log10(scales.maxCoeff());
  if (f.scaled) log10_of_rows += g.factors.log_scale.minCoeff() / std::log(10.0) * (1 + 1e-12);
  if (of_rows.smallest.positive())
    result.smallest =
        std::max(result.smallest, Below::of_log10(of_rows.smallest.log10 + log10_of_rows - 1e-10));
  return result;
}

InitialisationConditions::InitialisationConditions(const MeasuredFactors& factors)
    : measured_(factors), f_(factors.factors) {
  const Index n = f_.spec.tokens;
  inputs_ = measured_values(measured_, [](const AttentionFactors& f) { return f.data->X; });
  centred_ = measured_values(measured_,
                             [n](const AttentionFactors& f) { return centred_coordinates(f.data->X, n); });
  ranks_ = {inputs_.rank, centred_.rank};
  const auto copies = copies_of_rows(f_.data->X);
  copies_ = 0;
  for (const auto& [row, count] : copies) copies_ = std::max(copies_, count);
  different_ = static_cast<Index>(copies.size());
  distinct_ = distinct_tokens(*f_.data);
  nonzero_ = (f_.data->X.array() != 0).rowwise().any().count();
}

KernelConditions InitialisationConditions::of(const std::vector<std::string>& names) const {
  const Blocks blocks = blocks_named(names);
  KernelConditions result;
  if (blocks == Blocks{kO}) {
    result = of_output();
  } else if (blocks == Blocks{kV}) {
    result = of_values();
  } else {
    result = of_projections(blocks);
  }
  // A sum of kernels is at least each of them, and at most the sum of their largest eigenvalues.
  double upper = 0;
  if (blocks.size() > 1)
    for (const std::string& b : names) {
      const KernelConditions alone = of({b});
      upper += alone.upper_bound;
      result.bounds.push_back({b, "the bound of " + b + " alone", alone.lower_bound()});
    }
  if (blocks.size() > 1) result.upper_bound = upper;
  const std::vector<Condition> tokens = of_tokens(blocks);
  result.conditions.insert(result.conditions.begin(), tokens.begin(), tokens.end());
  result.blocks = joined(names);
  return result;
}

/// No two rows of J equal, and none zero: the same token in the same sample, twice; tokens that attention
/// cannot tell apart; tokens that are zero.
std::vector<Condition> InitialisationConditions::of_tokens(const Blocks& blocks) const {
  const bool softmax = f_.spec.kernel == KernelKind::softmax, several = f_.spec.tokens > 1;
  std::vector<Condition> conditions = {condition("distinct", "all N n pairs of a token and its sample differ",
                                                 Role::necessary, distinct_, f_.tokens(), true,
                                                 "no sample twice, and no token twice in a sample")};
  const auto zero = [&](AttentionBlock block) {
    return std::all_of(f_.heads.begin(), f_.heads.end(), [&](const HeadFactors& h) { return h.zero[block]; });
  };
  // With no queries (softmax: or no keys) all tokens of a sample have the same output, which moves alike.
  if (several && ((zero(kQ) && !contains(blocks, kQ)) || (softmax && zero(kK) && !contains(blocks, kK))))
    conditions.push_back(condition("attention", "attention tells the tokens of a sample apart",
                                   Role::necessary, f_.data->samples, f_.tokens(), true,
                                   softmax ? "W_Q and W_K that are not zero" : "W_Q that is not zero"));
  // The query of a zero token is zero and stays so; softmax then does not move with its keys either.
  const bool by_token = std::all_of(blocks.begin(), blocks.end(),
                                    [&](AttentionBlock b) { return b == kQ || (softmax && b == kK); });
  if (nonzero_ < f_.tokens() && (by_token || !several))
    conditions.push_back(condition("nonzero", "no token is zero", Role::necessary, nonzero_, f_.tokens(),
                                   true, "tokens that are not zero"));
  return conditions;
}

/// As many parameters as outputs. Those that the data can see: of each column of W_Q and W_V one for each
/// linearly independent token, N n at most, of W_K under softmax, which does not see the mean of a sample's
/// keys, N (n - 1). Heads do not count whose outputs do not see the block, other weights of theirs being
/// zero.
Condition InitialisationConditions::count(const Blocks& blocks) const {
  const AttentionSpec& s = f_.spec;
  const Index tokens = f_.tokens(), m = f_.outputs();
  Index per_d = 0, all = 0, live = 0;
  for (const AttentionBlock b : blocks) {
    const bool keys = b == kK && s.kernel == KernelKind::softmax;
    const Index features = std::min(s.embedding, keys ? tokens - f_.data->samples : tokens);
    per_d += live_heads(f_, b) * (b == kO ? s.outputs : features);
    all += s.heads * (b == kO ? s.outputs : s.embedding);
    live = std::max(live, live_heads(f_, b));
  }
  return condition("parameters", per_d < all ? "P that the data see >= N n D_out" : "P >= N n D_out",
                   Role::necessary, per_d * s.head_dim, m, true,
                   live == 0 ? kMoreHeads
                   : per_d == 0
                       ? kMoreTokens
                       : "d >= " + text(divide_up(m, per_d)) + ", more heads, or fewer samples or tokens");
}

/// What features and copies of tokens allow the rank of B, and of A, to be, for so many heads.
Index InitialisationConditions::largest_rank(Index heads) const {
  const Index rank = std::min(f_.spec.embedding, different_);
  if (f_.spec.kernel == KernelKind::gaussian) return heads * rank;
  return heads == 0 ? 0 : rank + (heads - 1) * std::min(rank, f_.tokens() - f_.data->samples);
}

/// K_O = (A A^T) (x) I.
KernelConditions InitialisationConditions::of_output() const {
  const AttentionSpec& s = f_.spec;
  const Index tokens = f_.tokens(), live = live_heads(f_, kO), width = live * s.head_dim;
  const MeasuredValues A = measured_attention_values(measured_, output_factor);
  KernelConditions k;
  k.conditions.push_back(condition("width", "H d >= N n", Role::necessary, width, tokens, true,
                                   live == 0 ? kMoreHeads
                                             : "d >= " + text(divide_up(tokens, live)) +
                                                   " at H = " + text(live) + ", or N n <= " + text(width)));
  if (s.tokens == 1 && s.kernel == KernelKind::softmax)
    k.conditions.push_back(condition("embedding", "D >= N (softmax of one token)", Role::necessary,
                                     s.embedding, tokens, true, "D >= " + text(tokens)));
  else if (const Index rank = std::min(live * std::min(s.head_dim, s.embedding), largest_rank(live));
           rank < std::min(tokens, width))
    k.conditions.push_back(condition("embedding", "the rank of A that D and different tokens allow >= N n",
                                     Role::necessary, rank, tokens, true,
                                     "a larger D, or more tokens that differ"));
  k.conditions.push_back(
      condition("rank_A", "rank [A_1 .. A_H] = N n", Role::equivalent, A.rank, tokens, false,
                width < tokens ? "see H d >= N n" : "tokens that differ, and attention of full rank"));
  k.bounds.push_back({"exact", "sigma_min([A_1 .. A_H])^2 (equality)", square(A.smallest)});
  k.upper_bound = square_up(A.largest());
  return k;
}

/// K_V = sum_h B_h B_h^T (x) W_O[h]^T W_O[h].
KernelConditions InitialisationConditions::of_values() const {
  const AttentionSpec& s = f_.spec;
  const Index tokens = f_.tokens(), H = s.heads;
  const bool softmax = s.kernel == KernelKind::softmax;
  KernelConditions k;
  k.conditions.push_back(count({kV}));
  const Index limit =
      std::min(largest_rank(H), softmax ? H * ranks_.centred + ranks_.constant() : H * ranks_.plain);
  k.conditions.push_back(condition("rank_limit", softmax ? "H r~ + e >= N n" : "H rank X >= N n",
                                   Role::necessary, limit, tokens, largest_rank(H) < tokens,
                                   features_or_heads(s, f_.data->samples)));
  const MeasuredValues B = measured_attention_values(measured_, value_factor);
  k.conditions.push_back(condition(
      "rank_B", "rank [B_1 .. B_H] = N n", Role::necessary, B.rank, tokens, false,
      limit < tokens ? "see the limit of the rank" : "tokens that differ, and attention of full rank"));
  Vector<double> omega(H);
  Below smallest = {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  Index rank = s.outputs;
  for (Index h = 0; h < H; ++h) {
    const MeasuredValues W =
        measured_values(measured_, [h](const AttentionFactors& f) { return f.heads[h].W_O.transpose(); });
    const MeasuredValues B_h = measured_values(
        measured_.factors.heads[h].B, at_perturbed(measured_, [h](const auto& f) { return f.heads[h].B; }),
        kUnderflowError);
    rank = std::min(rank, W.rank);
    omega[h] = square(W.smallest).value;
    smallest = std::min(smallest, square(W.smallest));
    k.upper_bound += square_up(B_h.largest() * W.largest());
  }
  k.conditions.push_back(
      condition("rank_W_O", "rank W_O[h] = D_out for every head", Role::sufficient, rank, s.outputs, false,
                s.head_dim < s.outputs ? "d >= D_out = " + text(s.outputs) : "output weights of full rank"));
  const MeasuredValues weighted = measured_attention_values(
      measured_, [&](const AttentionFactors& f) { return weighted_values(f, omega); });
  k.bounds.push_back({"weighted", "lambda_min(sum_h omega_h B_h B_h^T), omega_h = lambda_min(W_O^T W_O)",
                      square(weighted.smallest)});
  k.bounds.push_back({"product", "min_h omega_h sigma_min([B_1 .. B_H])^2", smallest * square(B.smallest)});
  return k;
}

/// Sets of W_Q, W_K, W_V (and W_O, whose kernel is then left out of the local conditions).
KernelConditions InitialisationConditions::of_projections(const Blocks& blocks) const {
  const AttentionSpec& s = f_.spec;
  const Index tokens = f_.tokens(), n = s.tokens, H = s.heads, d = s.head_dim, o = s.outputs;
  const bool softmax = s.kernel == KernelKind::softmax, with_output = contains(blocks, kO);
  Blocks local;
  for (const AttentionBlock b : blocks)
    if (b != kO) local.push_back(b);
  const bool query = local == Blocks{kQ}, key = local == Blocks{kK};
  KernelConditions k;
  k.conditions.push_back(count(blocks));
  // With W_O in the set, what the others lack it may have: their conditions are sufficient only.
  const Role necessary = with_output ? Role::sufficient : Role::necessary;
  if (query) {
    // The rank of G_ah is that of its values and its centred keys at most.
    const Index rank = std::min(softmax ? n - 1 : n, s.embedding);
    k.conditions.push_back(
        condition("rank_limit", softmax ? "H min(d, n-1, D) >= D_out" : "H min(d, n, D) >= D_out", necessary,
                  H * std::min(d, rank), o, true, heads_or_width(s, 1, rank, o)));
    k.conditions.push_back(condition(
        "copies", "H d >= D_out times the copies of the commonest token", necessary, H * d, o * copies_, true,
        "d >= " + text(divide_up(o * copies_, H)) + " at H = " + text(H) + ", or fewer equal tokens"));
  }
  if (key) {
    // Each key's part of T_ih has the rank of the queries at most; of q_k - k_l for the Gaussian kernel.
    const Index keys = softmax ? n - 1 : n, rank = std::min(n, softmax ? s.embedding : s.embedding + 1);
    k.conditions.push_back(condition(
        "rank_limit", softmax ? "H (n-1) min(d, n, D) >= n D_out" : "H n min(d, n, D+1) >= n D_out",
        necessary, H * keys * std::min(d, rank), n * o, true, heads_or_width(s, keys, rank, n * o)));
  }
  Extremes values;
  if (query)
    values = extremes_of(tokens, measured_,
                         [&](const AttentionFactors& f, Index a) { return query_jacobians(f, a * o, o); });
  else
    values = extremes_of(f_.data->samples, measured_,
                         [&](const AttentionFactors& f, Index i) { return local_jacobian(f, local, i); });
  k.conditions.push_back(
      condition("rank_local",
                query ? "rank [G_a1 .. G_aH] = D_out for every token"
                      : "rank of the local Jacobian = n D_out for every sample",
                necessary, values.rank, query ? o : n * o, false,
                "tokens that differ, attention that is not saturated, more heads or a larger d"));
  const bool centred = key && softmax;
  const MeasuredValues& X = centred ? centred_ : inputs_;
  const Index rows = X.values.size();
  k.conditions.push_back(condition(
      "rank_X", centred ? "rank of the centred inputs = N (n-1)" : "rank X = N n", Role::sufficient, X.rank,
      rows, false, s.embedding < rows ? "D >= " + text(rows) : "tokens that are linearly independent"));
  k.bounds.push_back({"local",
                      query ? "lambda_min(X X^T) min_a lambda_min(sum_h G_ah G_ah^T)"
                            : std::string(centred ? "lambda_min(U^T X X^T U)" : "lambda_min(X X^T)") +
                                  " min_i lambda_min(L_i L_i^T)",
                      rows == 0 ? Below() : square(X.smallest * values.smallest)});
  k.upper_bound = square_up((rows == 0 ? 0 : X.largest()) * values.largest);
  if (query && H * d >= f_.outputs()) {
    const MeasuredValues G = measured_attention_values(
        measured_, [](const AttentionFactors& f) { return query_jacobians(f, 0, f.outputs()); });
    const double shortest = f_.data->X.rowwise().norm().minCoeff() * (1 - 1e-13);
    k.bounds.push_back(
        {"stacked", "min_a |x_a|^2 lambda_min(sum_h G_h G_h^T)", square(Below::of(shortest) * G.smallest)});
  }
  return k;
}

double conditions_bytes(const AttentionSpec& spec, Index samples) {
  const Index rows = spec.tokens * spec.outputs, columns = 3 * spec.heads * spec.tokens * spec.head_dim;
  const Index stacked =
      samples * spec.tokens * spec.heads * spec.embedding;  // B of all points, and its copies
  const auto points = static_cast<double>(3 + perturbations(samples * rows * columns));
  return measured_factors_bytes(spec, samples) +
         8 * points * static_cast<double>(thread_slots() * rows * columns + stacked);
}

}  // namespace basin
