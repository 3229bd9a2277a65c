/// The Hessian, its Gauss-Newton part, the Jacobian and the NTK as linear operators.
#pragma once

#include <deque>
#include <vector>

#include "basin/linalg/combinators.h"
#include "basin/model/linearization.h"

namespace basin {

// Each operator is a view: the linearization must outlive it.

/// H = J^T H_l J + sum_i (grad l)_i grad^2 F_i, the Hessian of the loss in theta.  P x P. `underflow`:
/// LinearOperator::underflow, say what NetworkTheory::product_underflow says.
class HessianOperator final : public SelfAdjointOperator {
 public:
  explicit HessianOperator(const Linearization<double>& at, double underflow = 0)
      : SelfAdjointOperator(at.theta_size()), at_(at) {
    set_underflow(underflow);
  }

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
};

/// G = J^T H_l J, positive semidefinite for a convex loss; J^T J for squared loss.  P x P.
class GaussNewtonOperator final : public SelfAdjointOperator {
 public:
  explicit GaussNewtonOperator(const Linearization<double>& at, double underflow = 0)
      : SelfAdjointOperator(at.theta_size()), at_(at) {
    set_underflow(underflow);
  }

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
};

/// J^T J, whose eigenvalues but 0 are those of the NTK.  P x P. Outputs need not exist for all samples at
/// once.
class GramOperator final : public SelfAdjointOperator {
 public:
  explicit GramOperator(const Linearization<double>& at) : SelfAdjointOperator(at.theta_size()), at_(at) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
};

/// The Hessian at several perturbed points (model/perturbation.h), of which the farthest from H counts.
class PerturbedHessians {
 public:
  PerturbedHessians(const HessianOperator& H, const std::vector<Linearization<double>>& perturbed)
      : perturbed_(perturbed.begin(), perturbed.end()), farthest_(H, pointers()) {}
  const SelfAdjointOperator& farthest() const { return farthest_; }

 private:
  std::vector<const SelfAdjointOperator*> pointers() const {
    std::vector<const SelfAdjointOperator*> all;
    for (const HessianOperator& other : perturbed_) all.push_back(&other);
    return all;
  }
  std::deque<HessianOperator> perturbed_;
  FarthestPerturbed farthest_;
};

/// J, the Jacobian of vec(F) in theta.  m x P.
class JacobianOperator final : public LinearOperator {
 public:
  explicit JacobianOperator(const Linearization<double>& at)
      : LinearOperator(at.output_size(), at.theta_size()), at_(at) {}

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  void do_apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
};

/// K = J J^T, the empirical neural tangent kernel (paper, section 4).  m x m.
class NtkOperator final : public SelfAdjointOperator {
 public:
  explicit NtkOperator(const Linearization<double>& at) : SelfAdjointOperator(at.output_size()), at_(at) {}

 private:
  void do_apply(ConstVectorsRef<double> U, VectorsRef<double> out) const override;
  const Linearization<double>& at_;
};

}  // namespace basin
