#include "basin/curvature/operators.h"

namespace basin {

void HessianOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  at_.hessian(V, out);
}

void GaussNewtonOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  at_.gauss_newton(V, out);
}

void JacobianOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  at_.jvp(V, out);
}

void JacobianOperator::do_apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const {
  at_.vjp(U, out);
}

void GramOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  at_.gram(V, out);
}

void NtkOperator::do_apply(ConstVectorsRef<double> U, VectorsRef<double> out) const {
  Vectors<double> JtU(at_.theta_size(), U.cols());
  at_.vjp(U, JtU);
  at_.jvp(JtU, out);
}

}  // namespace basin
