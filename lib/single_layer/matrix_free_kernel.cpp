#include "basin/single_layer/matrix_free_kernel.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "basin/curvature/operators.h"
#include "basin/linalg/krylov.h"
#include "basin/linalg/lobpcg.h"
#include "basin/linalg/parallel.h"
#include "basin/linalg/random.h"
#include "basin/model/perturbation.h"
#include "basin/single_layer/attention_rounding.h"

namespace basin {
namespace {

// Enough for the largest eigenvalue of a kernel, which stands apart from the others as a rule.
constexpr Index kLargestSteps = 20;

/// The kernel of every sample alone, factorised.
class SampleKernels {
 public:
  SampleKernels(const ParameterLayout& parameters, Index samples,
                const std::function<AttentionFactors(Index)>& single)
      : factors_(samples) {
    parallel_for(samples, [&](Index i, Index) {
      const AttentionFactors f = single(i);
      Matrix<double> K = Matrix<double>::Zero(f.outputs(), f.outputs());
      for (const auto& entry : parameters.entries())
        if (entry.trainable()) K += block_kernel(f, entry.block.name);
      // A singular kernel of a sample must not make the preconditioner singular.
      K.diagonal().array() += 1e-10 * K.trace() + std::numeric_limits<double>::min();
      factors_[i].compute(K);
    });
  }
  void solve(VectorsRef<double> V) const {
    const Index rows = V.rows() / static_cast<Index>(factors_.size());
    parallel_for(static_cast<Index>(factors_.size()), [&](Index i, Index) {
      Vectors<double> part = V.middleRows(i * rows, rows);
      factors_[i].solveInPlace(part);
      V.middleRows(i * rows, rows) = part;
    });
  }

 private:
  std::vector<Eigen::LLT<Vectors<double>>> factors_;
};

/// J^T x of each column.
Vectors<double> pulled_back(const Linearization<double>& at, const Vectors<double>& x) {
  Vectors<double> Jtx(at.theta_size(), x.cols());
  at.vjp(x, Jtx);
  return Jtx;
}

Vector<double> norms(const Vectors<double>& columns) {
  Vector<double> result(columns.cols());
  for (Index j = 0; j < columns.cols(); ++j) result[j] = columns.col(j).stableNorm();
  return result;
}

}  // namespace

MatrixFreeMinimum matrix_free_minimum(const Linearization<double>& at,
                                      const std::vector<Linearization<double>>& perturbed,
                                      const AttentionFactors& factors,
                                      const std::function<AttentionFactors(Index)>& single,
                                      const MatrixFreeOptions& options, const Progress& progress) {
  const SampleKernels kernels(at.parameters(), at.samples(), single);
  const NtkOperator K(at);
  const SmallestPair found = smallest_pair(
      K, [&](VectorsRef<double> V) { kernels.solve(V); },
      {.tolerance = options.tolerance,
       .max_products = std::max<Index>(1, options.max_products - kLargestSteps),
       .seed = options.seed},
      progress);
  // The largest eigenvalue, from below: what some steps of Lanczos see of it.
  Vectors<double> start(at.output_size(), 1);
  Random(options.seed, "largest eigenvalue").fill_normal(start);
  KrylovSpace space(K, start, kLargestSteps);
  while (space.expand()) {
  }
  const SymmetricEigen ritz = symmetric_eigen(space.projected(), true);
  Vectors<double> ends(at.output_size(), 2);
  ends << found.vector, (space.basis() * ritz.vectors.rightCols(1)).normalized();

  // |J^T x| of both, and how far rounding moves it.
  const Vectors<double> pulled = pulled_back(at, ends);
  const Vector<double> sigma = norms(pulled);
  Vector<double> rounding = Vector<double>::Zero(2);
  for (std::size_t p = 0; p < perturbed.size(); ++p)  // vectors, too: rows of J may cancel (perturbation.h)
    for (const Vectors<double>& x : {ends, basin::perturbed(ends, p)})
      rounding = rounding.cwiseMax(4 * norms(pulled - pulled_back(perturbed[p], x)));
  double common = factorisation_error(at.output_size() + at.theta_size(), sigma[1]);
  for (const double hidden : centring_rounding(factors, at.parameters().trained())) common += hidden;
  rounding.array() += common + kUnderflowError;
  const auto squared_up = [](double x) { return std::max(x * x, std::numeric_limits<double>::min()); };
  MatrixFreeMinimum result;
  result.kernel.name = "sum";
  result.kernel.method = "products, preconditioned";
  result.kernel.size = at.output_size();
  result.kernel.parameters = at.theta_size();
  result.kernel.lambda_min = sigma[0] * sigma[0];
  result.kernel.upper = squared_up(sigma[0] + rounding[0]);
  result.kernel.lambda_max = sigma[1] * sigma[1];
  result.kernel.largest_lower = std::pow(std::max(0.0, sigma[1] - rounding[1]), 2);
  result.kernel.largest_upper = std::numeric_limits<double>::infinity();
  result.residual = found.residual;
  result.products = K.products();
  result.converged = found.status.converged;
  return result;
}

double matrix_free_bytes(const AttentionSpec& spec, Index samples) {
  const auto size = static_cast<double>(samples * spec.tokens * spec.outputs);
  // The kernels of samples, vectors of the iterations, and one sample's derivatives in its keys on every
  // thread.
  const double keys =
      static_cast<double>(spec.tokens * spec.outputs * spec.tokens * spec.heads * spec.head_dim);
  return 8 * (size * size / static_cast<double>(samples) + (80 + kLargestSteps) * size +
              2 * static_cast<double>(thread_slots()) * keys);
}

}  // namespace basin
