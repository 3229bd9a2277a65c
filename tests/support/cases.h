/// Models, data and weights for the tests: random shapes, and every degenerate one we know.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "basin/linalg/random.h"
#include "basin/model/attention_model.h"
#include "basin/model/linearization.h"

namespace basin::test {

struct Case {
  std::string name;
  Index N, n, D, H, d, D_out;
  KernelKind kernel = KernelKind::softmax;
  double bandwidth = 0;           // 0: the default
  double score_scale = 1;         // size of the attention scores
  bool duplicate_tokens = false;  // all tokens of a sample equal
  double token_spread = 0;  // > 0: tokens of a sample this close to each other (near ties of large scores)
  double key_distance = 0;  // > 0: W_K this close to W_Q (keys within a small bandwidth of large queries)
  std::vector<std::string> trainable = attention_blocks();

  AttentionSpec spec() const { return {n, D, H, d, D_out, kernel, bandwidth}; }
};

inline std::string describe(const Case& c) {
  std::string text = c.name + ", " + kernel_name(c.kernel) + ", N n D H d D_out =";
  for (Index s : {c.N, c.n, c.D, c.H, c.d, c.D_out}) text += " " + std::to_string(s);
  text += ", trained:";
  for (const auto& b : c.trainable) text += " " + b;
  return text;
}

/// Every shape and difficulty, for one kernel, all blocks trained.
inline std::vector<Case> hard_cases(KernelKind kernel) {
  std::vector<Case> cases = {
      {"generic", 3, 4, 5, 2, 3, 2},      {"one token", 3, 1, 4, 2, 3, 2},
      {"one head", 2, 3, 4, 1, 2, 3},     {"head dimension 1", 2, 3, 4, 2, 1, 2},
      {"one output", 2, 3, 4, 2, 2, 1},   {"one sample", 1, 4, 3, 2, 2, 2},
      {"all ones", 1, 1, 1, 1, 1, 1},     {"wide heads", 2, 3, 2, 1, 5, 2},
      {"many tokens", 2, 65, 3, 1, 2, 2}, {"chunks that do not divide N", 7, 3, 4, 2, 2, 3},
  };
  cases.push_back({"duplicate tokens", 2, 4, 5, 2, 3, 2});
  cases.back().duplicate_tokens = true;
  cases.push_back({"scores of 1e4", 2, 5, 6, 2, 3, 2});
  cases.back().score_scale = 1e4;
  cases.push_back({"near ties of scores of 1e4", 2, 5, 6, 2, 3, 2});
  cases.back().score_scale = 1e4;
  if (kernel == KernelKind::softmax)
    cases.back().token_spread = 1e-4;
  else
    cases.back().key_distance = 1e-2;
  for (Case& c : cases) c.kernel = kernel;
  if (kernel == KernelKind::gaussian) {
    cases.push_back({"tiny bandwidth", 2, 4, 5, 2, 3, 2, kernel, 1e-3});
    cases.back().key_distance = 1e-3;
    cases.push_back({"huge bandwidth", 2, 4, 5, 2, 3, 2, kernel, 1e4});
  }
  return cases;
}

/// All 15 non-empty sets of blocks.
inline std::vector<std::vector<std::string>> all_trainable_sets() {
  std::vector<std::vector<std::string>> sets;
  for (unsigned mask = 1; mask < 16; ++mask) {
    sets.emplace_back();
    for (unsigned b = 0; b < 4; ++b)
      if (mask >> b & 1U) sets.back().push_back(attention_blocks()[b]);
  }
  return sets;
}

/// Inputs, targets and weights N(0, 1), weights scaled by 1/sqrt(D) or 1/sqrt(d), scores by score_scale.
inline ModelPoint<double> make_instance(const Case& c, std::uint64_t seed = 1) {
  Random random(seed, c.name);
  auto data = std::make_shared<Data<double>>();
  data->samples = c.N;
  data->X.resize(c.N * c.n, c.D);
  data->Y.resize(c.N * c.n, c.D_out);
  random.fill_normal(data->X);
  random.fill_normal(data->Y);
  if (c.duplicate_tokens)
    for (Index row = 0; row < data->X.rows(); ++row) data->X.row(row) = data->X.row(row - row % c.n);

  if (c.token_spread > 0)
    for (Index row = 0; row < data->X.rows(); ++row)
      if (row % c.n != 0) data->X.row(row) = data->X.row(row - row % c.n) + c.token_spread * data->X.row(row);

  ModelPoint<double> instance;
  instance.model = build_single_attention<double>(c.spec(), c.trainable);
  instance.weights.resize(instance.model->parameters().weight_count());
  random.fill_normal(instance.weights);
  const double qk = std::sqrt(c.score_scale / static_cast<double>(c.D));
  for (const auto& e : instance.model->parameters().entries())
    instance.weights.segment(e.offset, e.block.size()) *=
        e.block.name == "W_Q" || e.block.name == "W_K" ? qk
                                                       : 1 / std::sqrt(static_cast<double>(e.block.rows()));
  if (c.key_distance > 0) {
    const Index size = c.H * c.D * c.d;
    Vector<double> noise(size);
    random.fill_normal(noise);
    instance.weights.segment(size, size) = instance.weights.head(size) + c.key_distance * noise;
  }
  instance.data = data;
  return instance;
}

inline Vectors<double> random_vectors(Index rows, Index k, std::uint64_t seed) {
  Vectors<double> V(rows, k);
  Random(seed, "vectors").fill_normal(V);
  return V;
}

/// (g(h) - g(-h)) / 2h, extrapolated once: error O(h^4) + rounding of g / h.
template <class G>
Vector<double> central_difference(const G& g, double h) {
  const Vector<double> near = (g(h) - g(-h)) / (2 * h), far = (g(2 * h) - g(-2 * h)) / (4 * h);
  return (4 * near - far) / 3;
}

}  // namespace basin::test
