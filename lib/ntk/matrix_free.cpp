#include "ntk/matrix_free.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

#include "curvature/operators.h"
#include "linalg/lobpcg.h"
#include "linalg/parallel.h"

namespace basin {
namespace {

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

/// J^T x
Vectors<double> pulled_back(const Linearization<double>& at, const Vectors<double>& x) {
  Vectors<double> Jtx(at.theta_size(), 1);
  at.vjp(x, Jtx);
  return Jtx;
}

}  // namespace

MatrixFreeMinimum matrix_free_minimum(const Linearization<double>& at, const Linearization<double>& twin,
                                      const std::function<AttentionFactors(Index)>& single,
                                      const MatrixFreeOptions& options, const Progress& progress) {
  const SampleKernels kernels(at.parameters(), at.samples(), single);
  const NtkOperator K(at);
  const SmallestPair found = smallest_pair(
      K, [&](VectorsRef<double> V) { kernels.solve(V); },
      {.tolerance = options.tolerance, .max_products = options.max_products, .seed = options.seed}, progress);
  const Vectors<double> Jtx = pulled_back(at, found.vector);
  const double sigma = Jtx.norm(), rounding = 4 * (Jtx - pulled_back(twin, found.vector)).norm();

  // The largest eigenvalue: some steps of the power method are enough for its size.
  Vectors<double> top = Vectors<double>::Ones(at.output_size(), 1), next = top;
  for (int step = 0; step < 20; ++step) {
    top = next.normalized();
    K.apply(top, next);
  }
  MatrixFreeMinimum result;
  result.kernel.name = "sum";
  result.kernel.method = "products, preconditioned";
  result.kernel.size = at.output_size();
  result.kernel.parameters = at.theta_size();
  result.kernel.lambda_min = sigma * sigma;
  result.kernel.upper = (sigma + rounding) * (sigma + rounding);
  result.kernel.lambda_max = top.col(0).dot(next.col(0));
  result.kernel.largest_lower = result.kernel.lambda_max * (1 - 1e-10);
  result.kernel.largest_upper = std::numeric_limits<double>::infinity();
  result.residual = found.residual;
  result.products = K.products();
  result.converged = found.converged;
  return result;
}

double matrix_free_bytes(Index m, Index samples) {
  const auto size = static_cast<double>(m);
  return 8 * (size * size / static_cast<double>(samples) + 80 * size);
}

}  // namespace basin
