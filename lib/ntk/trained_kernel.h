/// Kernels of the trained blocks of any network, from its Jacobian or from products with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "basin/linalg/combinators.h"
#include "basin/ntk/kernel_minimum.h"

namespace basin {

/// Which rows of J a kernel is of.
enum class KernelRows {
  counting,  ///< the outputs that count in the loss (counting_rows)
  all,       ///< all outputs
  /// Logit differences: those that count, on the numbers that add up to 0 over the classes of each row, where
  /// the residuals of a loss like cross-entropy are (LossFacts::centred). C - 1 of C for each row.
  centred,
};
/// "outputs that count in the loss", ...
std::string to_string(KernelRows rows);
/// " on logit differences", or nothing of outputs: what tells kernels apart where they are named in short.
std::string on_rows(KernelRows rows);

/// The rows that matter under the loss: centred ones where residuals are, else those that count.
KernelRows rows_of_loss(const Model<double>& model);

/// Eigenvalues of a kernel of such rows: their number.
Index kernel_size(const Linearization<double>& at, KernelRows rows);

/// The columns of J^T (any rows x m) that belong to such rows of J; of the centred ones in coordinates.
Vectors<double> rows_of_kernel(const Linearization<double>& at, ConstVectorsRef<double> Jt, KernelRows rows);

/// J of all trained blocks, once for the kernels of any of them.
class TrainedJacobian {
 public:
  /// memory: bytes. Throws InputError where J and its factors take more.
  TrainedJacobian(const Linearization<double>& at, double memory);

  /// The spectra of the kernels of these sets of trained blocks, each the sum of its blocks', as ntk_spectra.
  /// Their rounding is what perturbed points measure (jacobian_rounding): what these cannot show, the
  /// centring of saturated attention, is not allowed for.
  std::vector<NtkSpectrum> spectra(const std::vector<std::vector<std::string>>& sets, KernelRows rows) const;

 private:
  const Linearization<double>& at_;
  Vectors<double> Jt_;  ///< P x m
  std::vector<double> rounding_;
};

/// Bytes that takes at its peak.
double trained_jacobian_bytes(const ModelPoint<double>& point);
double trained_jacobian_bytes(const Linearization<double>& at);

/// J J^T over some rows, by products.
class TrainedKernelOperator final : public SelfAdjointOperator {
 public:
  /// A view: the linearization must outlive it.
  TrainedKernelOperator(const Linearization<double>& at, KernelRows rows);

 private:
  void do_apply(ConstVectorsRef<double> U, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
  KernelRows rows_;
};

struct KernelProducts {
  /// lambda_min is the smallest value that was found: `upper` bounds the smallest eigenvalue from above, and
  /// `lower` is 0, as products prove nothing from below; lambda_max is bounded from below.
  KernelMinimum kernel;
  double residual = 0;  ///< some eigenvalue lies within this of lambda_min
  Index products = 0;
  bool converged = false;
};

/// Both ends of the kernel of all trained blocks, by products alone (spectrum of J J^T by restarted Lanczos,
/// no more than about max_products). Throws WorkError where a product is not finite.
KernelProducts kernel_by_products(const Linearization<double>& at, KernelRows rows, Index max_products,
                                  std::uint64_t seed, const Progress& progress = {});

}  // namespace basin
