#include "basin/problem/constructions.h"

#include "basin/linalg/errors.h"

namespace basin {
namespace {

using Numbers = std::vector<double>;

/// n = D = length of the weights, X = I: W_Q, W_K, W_V are then queries, keys and values of the tokens.
Problem one_sample(KernelKind kernel, const Numbers& W_Q, const Numbers& W_K, const Numbers& W_V,
                   double target) {
  const auto n = static_cast<Index>(W_Q.size());
  Problem problem;
  problem.tokens = n;
  problem.data = {1, Matrix<double>::Identity(n, n), Matrix<double>::Constant(n, 1, target)};
  problem.network.kernel = kernel;
  AttentionWeights weights{1, 1, Vector<double>(3 * n + 1)};
  const auto block = [](const Numbers& values) {
    return Eigen::Map<const Vector<double>>(values.data(), static_cast<Index>(values.size()));
  };
  weights.values << block(W_Q), block(W_K), block(W_V), 1;
  problem.network.weights = std::move(weights);
  return problem;
}

/// f = 0 with these queries and, unless they are those of the construction, keys.
KnownMinimum attained(KernelKind kernel, const Numbers& queries, const Numbers& keys = {}) {
  KnownMinimum minimum{
      0, "attained with other queries" + std::string(keys.empty() ? "" : " and keys"), kernel, 0, 1, 1, {}};
  for (const auto& [name, values] : {std::pair<const char*, const Numbers&>{"W_Q", queries}, {"W_K", keys}})
    if (!values.empty())
      minimum.blocks[name] =
          Eigen::Map<const Vector<double>>(values.data(), static_cast<Index>(values.size()));
  return minimum;
}

}  // namespace

std::vector<Construction> constructions() {
  constexpr auto softmax = KernelKind::softmax, gaussian = KernelKind::gaussian;
  // Outputs 5/4 with values (2, 1, 0): softmax weights (2, 1, 1) / 4; Gaussian weights of 5/12 for the first
  // two.
  const double two = 0.69314718055994531, near = 1.3232299402249784;  // log 2, sqrt(2 log(12/5))
  const KnownMinimum uneven = attained(softmax, {two, two, two}, {1, 0, 0}),
                     two_near = attained(gaussian, {0, 0, 0}, {near, near, 40});
  // The query at which the output of two Gaussian keys is stationary, next to the wrong key.
  const double q = 0.0027111239912752678;
  return {
      {"softmax-trap", "W_Q",
       "softmax with more keys than d + 1: a strict local minimum with f = 1/2, where f = 0 is attained "
       "elsewhere",
       one_sample(KernelKind::softmax, {0, 0, 0, 0}, {0, 1, 2, 3}, {-1, 6, -3, 2}, 1.5),
       attained(softmax, Numbers(4, 2.0727468416833930)), attained(gaussian, Numbers(4, 2.1081194689975069))},
      {"gaussian-trap", "W_Q",
       "two Gaussian keys, the queries next to the wrong one: a strict local minimum with f = 0.2493259, "
       "where "
       "f = 0 is attained elsewhere",
       one_sample(KernelKind::gaussian, {q, q}, {0, 4}, {1, 2}, 1.5), attained(softmax, {0, 0}),
       attained(gaussian, Numbers(2, 3.2368129560606497))},
      {"softmax-saddle", "W_Q,W_K",
       "softmax with keys of zero and queries that the gradient in W_K does not see: a strict saddle with "
       "f = 0.09375",
       one_sample(KernelKind::softmax, {1, -1, 0}, {0, 0, 0}, {2, 1, 0}, 1.25), uneven, two_near},
      {"zero-scores", "W_Q,W_K", "W_Q = W_K = 0: stationary under both kernels (--kernel gaussian), f > 0",
       one_sample(KernelKind::softmax, {0, 0, 0}, {0, 0, 0}, {2, 1, 0}, 1.25), uneven, two_near},
  };
}

Construction construction(const std::string& name) {
  std::string names;
  for (Construction& c : constructions()) {
    if (c.name == name) return std::move(c);
    names += (names.empty() ? "" : ", ") + c.name;
  }
  throw InputError((name.empty() ? "no construction given" : "unknown construction '" + name + "'") +
                   "; expected one of " + names);
}

}  // namespace basin
