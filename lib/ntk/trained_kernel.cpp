#include "basin/ntk/trained_kernel.h"

#include <algorithm>
#include <cmath>

#include "basin/curvature/operators.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/model/perturbation.h"
#include "basin/spectrum/eigenpairs.h"

namespace basin {
namespace {

/// Orthonormal columns that add up to 0 (Helmert): C x (C - 1). Column k: k + 1 equal numbers and one that
/// balances them.
Vectors<double> helmert(Index C) {
  Vectors<double> Q = Vectors<double>::Zero(C, C - 1);
  for (Index k = 0; k + 1 < C; ++k) {
    const auto n = static_cast<double>(k + 1);
    Q.col(k).head(k + 1).setConstant(1 / std::sqrt(n * (n + 1)));
    Q(k + 1, k) = -std::sqrt(n / (n + 1));
  }
  return Q;
}

Index outputs_of_a_row(const Linearization<double>& at) {
  return at.model().network().output().width;
}

/// Visits the rows of outputs that a kernel is of.
template <class Visit>
void for_each_row(const Linearization<double>& at, KernelRows rows, const Visit& visit) {
  const Mask& counting = at.counting_rows();
  const Index count = at.output_size() / outputs_of_a_row(at);
  for (Index row = 0; row < count; ++row)
    if (rows == KernelRows::all || counting.empty() || counting[row] != 0) visit(row);
}

}  // namespace

std::string to_string(KernelRows rows) {
  switch (rows) {
    case KernelRows::counting:
      return "outputs that count in the loss";
    case KernelRows::all:
      return "all outputs";
    default:
      return "logit differences: outputs that count in the loss, up to a number added to all classes of a "
             "row";
  }
}

std::string on_rows(KernelRows rows) {
  return rows == KernelRows::centred ? " on logit differences" : "";
}

KernelRows rows_of_loss(const Model<double>& model) {
  return model.loss().facts().centred && model.network().output().width > 1 ? KernelRows::centred
                                                                            : KernelRows::counting;
}

Index kernel_size(const Linearization<double>& at, KernelRows rows) {
  Index count = 0;
  for_each_row(at, rows, [&](Index) { ++count; });
  return count * (outputs_of_a_row(at) - (rows == KernelRows::centred ? 1 : 0));
}

Vectors<double> rows_of_kernel(const Linearization<double>& at, ConstVectorsRef<double> Jt, KernelRows rows) {
  const Index C = outputs_of_a_row(at), width = C - (rows == KernelRows::centred ? 1 : 0);
  const Vectors<double> Q = rows == KernelRows::centred ? helmert(C) : Vectors<double>();
  Vectors<double> kept(Jt.rows(), kernel_size(at, rows));
  Index first = 0;
  for_each_row(at, rows, [&](Index row) {
    if (rows == KernelRows::centred)
      kept.middleCols(first, width).noalias() = Jt.middleCols(C * row, C) * Q;
    else
      kept.middleCols(first, width) = Jt.middleCols(C * row, C);
    first += width;
  });
  return kept;
}

double trained_jacobian_bytes(const ModelPoint<double>& point) {
  // J, and a copy that is factorised
  return ntk_bytes(point.parameters(), point.output_size(), point.data->samples) +
         8 * static_cast<double>(point.output_size()) * static_cast<double>(point.theta_size());
}

double trained_jacobian_bytes(const Linearization<double>& at) {
  return trained_jacobian_bytes(at.point());
}

TrainedJacobian::TrainedJacobian(const Linearization<double>& at, double memory) : at_(at) {
  if (const double bytes = trained_jacobian_bytes(at); bytes > memory)
    throw InputError("the kernel of the trained blocks: the Jacobian needs " + bytes_text(bytes) +
                     ", more than the memory allowed; train fewer blocks");
  Jt_ = at.jacobian_transposed();
  for (const Linearization<double>& other : linearize_perturbed(at.point())) {
    const std::vector<double> one = jacobian_rounding(Jt_, other);
    rounding_.resize(one.size());
    for (std::size_t b = 0; b < one.size(); ++b) rounding_[b] = std::max(rounding_[b], one[b]);
  }
  for (double& block : rounding_) block += kUnderflowError;
}

std::vector<NtkSpectrum> TrainedJacobian::spectra(const std::vector<std::vector<std::string>>& sets,
                                                  KernelRows rows) const {
  if (kernel_size(at_, rows) < 1) throw InputError("one class alone: no output differs from another one");
  Vectors<double> Jt = rows_of_kernel(at_, Jt_, rows);
  std::vector<double> rounding = rounding_;
  if (rows == KernelRows::centred) {
    std::size_t b = 0;  // the products' own rounding
    for (const auto& e : at_.parameters().entries())
      if (e.trainable())
        rounding[b++] += static_cast<double>(outputs_of_a_row(at_)) * kEps *
                         Jt_.middleRows(e.theta_offset, e.block.size()).norm();
  }
  return ntk_spectra(Jt, at_.parameters(), rounding, sets);
}

TrainedKernelOperator::TrainedKernelOperator(const Linearization<double>& at, KernelRows rows)
    : SelfAdjointOperator(kernel_size(at, rows)), at_(at), rows_(rows) {}

void TrainedKernelOperator::do_apply(ConstVectorsRef<double> U, VectorsRef<double> out) const {
  const Index C = outputs_of_a_row(at_), width = C - (rows_ == KernelRows::centred ? 1 : 0);
  const Vectors<double> Q = rows_ == KernelRows::centred ? helmert(C) : Vectors<double>::Identity(C, C);
  Vectors<double> all = Vectors<double>::Zero(at_.output_size(), U.cols()), JtU(at_.theta_size(), U.cols());
  Index kept = 0;
  for_each_row(at_, rows_, [&](Index row) {
    all.middleRows(C * row, C).noalias() = Q * U.middleRows(width * kept++, width);
  });
  at_.vjp(all, JtU);
  at_.jvp(JtU, all);
  kept = 0;
  for_each_row(at_, rows_, [&](Index row) {
    out.middleRows(width * kept++, width).noalias() = Q.transpose() * all.middleRows(C * row, C);
  });
}

KernelProducts kernel_by_products(const Linearization<double>& at, KernelRows rows, Index max_products,
                                  std::uint64_t seed, const Progress& progress) {
  const TrainedKernelOperator K(at, rows);
  EigenOptions options;
  options.tolerance = 1e-6;
  options.seed = seed;
  options.dense_limit = 0;
  options.krylov_vectors = std::clamp<Index>(max_products / 2, 8, 256);
  options.max_restarts = std::max<Index>(1, 2 * max_products / options.krylov_vectors);
  const ExtremeEigenpairs found = extreme_eigenpairs(K, 1, 1, options, progress);
  const Eigenvalue &smallest = found.smallest.eigenvalues.front(),
                   &largest = found.largest.eigenvalues.front();
  KernelProducts result;
  KernelMinimum& k = result.kernel;
  k.name = "sum";
  k.method = "products";
  k.size = K.rows();
  k.parameters = at.theta_size();
  k.lambda_min = std::max(0.0, smallest.value);
  k.upper = k.parameters < k.size ? 0 : k.lambda_min + smallest.error_bound;
  if (k.parameters < k.size) k.lambda_min = 0;
  k.lambda_max = largest.value;
  k.largest_lower = std::max(0.0, largest.value - largest.error_bound);
  k.largest_upper = kInfinity;
  result.residual = smallest.error_bound;
  result.products = K.products();
  result.converged = smallest.converged;
  return result;
}

}  // namespace basin
