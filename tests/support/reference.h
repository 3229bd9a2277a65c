/// The Jacobian of the attention layer and its singular values with 50 digits: a witness for what double
/// precision can and cannot know.
///
/// It shares nothing with the library but the definition of the layer. Derivatives of S(Q, K) U W_O, with U =
/// X W_V, are central differences of step h = 1e-16: the truncation error is about h^2 = 1e-32, the rounding
/// error 1e-50 / h = 1e-34, both relative, and no rule of differentiation can be wrong in it. The rest is
/// dQ = X dW_Q and so on.
#pragma once

#include <Eigen/SVD>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <boost/multiprecision/eigen.hpp>

#include "support/cases.h"

namespace basin::test {

using Real =
    boost::multiprecision::number<boost::multiprecision::cpp_bin_float<50>, boost::multiprecision::et_off>;
using RealMatrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
using RealVector = Eigen::Matrix<Real, Eigen::Dynamic, 1>;

/// What a head reads of one sample: Q, K, U (n x d) and W_O (d x D_out).
struct RealHead {
  RealMatrix Q, K, U, W_O;
};

/// S(Q, K) U W_O, n x D_out: the definition.
inline RealMatrix real_outputs(const AttentionSpec& spec, const RealHead& at) {
  using std::max;
  const Real root = sqrt(Real(spec.head_dim));
  const Real variance = spec.bandwidth > 0 ? Real(spec.bandwidth) * Real(spec.bandwidth) : root;
  RealMatrix S = at.Q * at.K.transpose() / root;
  for (Index k = 0; k < S.rows(); ++k) {
    const Real top = S.row(k).maxCoeff();
    for (Index l = 0; l < S.cols(); ++l)
      S(k, l) = spec.kernel == KernelKind::softmax
                    ? Real(exp(Real(S(k, l) - top)))
                    : Real(exp(Real(-(at.Q.row(k) - at.K.row(l)).squaredNorm() / (2 * variance))));
    if (spec.kernel == KernelKind::softmax) S.row(k) /= S.row(k).sum();
  }
  return S * (at.U * at.W_O);
}

/// J, m x P: rows (sample, token, output), columns as in theta with all blocks trained.
inline RealMatrix real_jacobian(const AttentionSpec& spec, const Vector<double>& weights,
                                const Data<double>& data) {
  const Index D = spec.embedding, d = spec.head_dim, H = spec.heads, n = spec.tokens, o = spec.outputs;
  const Real h("1e-16");
  RealMatrix J = RealMatrix::Zero(data.X.rows() * o, weights.size());
  for (Index head = 0; head < H; ++head) {
    const auto block = [&](Index b) -> RealMatrix {
      const Index offset = b < 3 ? (b * H + head) * D * d : 3 * H * D * d + head * d * o;
      return Eigen::Map<const Matrix<double>>(weights.data() + offset, b < 3 ? D : d, b < 3 ? d : o)
          .cast<Real>();
    };
    for (Index i = 0; i < data.samples; ++i) {
      const RealMatrix X = data.X.middleRows(i * n, n).cast<Real>();
      RealHead at = {X * block(0), X * block(1), X * block(2), block(3)};
      RealMatrix* const inputs[] = {&at.Q, &at.K, &at.U, &at.W_O};
      for (Index b = 0; b < 4; ++b)
        for (Index r = 0; r < inputs[b]->rows(); ++r)
          for (Index c = 0; c < inputs[b]->cols(); ++c) {
            Real& x = (*inputs[b])(r, c);
            const Real here = x;
            x = here + h;
            RealMatrix slope = real_outputs(spec, at);
            x = here - h;
            slope = ((slope - real_outputs(spec, at)) / (2 * h)).eval();
            x = here;
            for (Index k = 0; k < n; ++k)
              for (Index out = 0; out < o; ++out) {
                const Index row = (i * n + k) * o + out;
                if (b == 3)
                  J(row, 3 * H * D * d + (head * d + r) * o + c) += slope(k, out);
                else
                  for (Index e = 0; e < D; ++e)
                    J(row, ((b * H + head) * D + e) * d + c) += X(r, e) * slope(k, out);
              }
          }
    }
  }
  return J;
}

/// The columns of some blocks.
inline RealMatrix real_columns(const RealMatrix& J, const AttentionSpec& spec,
                               const std::vector<std::string>& blocks) {
  const Index size = spec.heads * spec.embedding * spec.head_dim;
  RealMatrix part(J.rows(), 0);
  for (const std::string& name : blocks) {
    const auto all = attention_blocks();
    const Index b = std::find(all.begin(), all.end(), name) - all.begin();
    const RealMatrix of_block = J.middleCols(b * size, b < 3 ? size : J.cols() - 3 * size);
    part.conservativeResize(Eigen::NoChange, part.cols() + of_block.cols());
    part.rightCols(of_block.cols()) = of_block;
  }
  return part;
}

/// All m singular values of J, descending; below `zero`, the error of J, they are zero.
inline RealVector real_singular_values(const RealMatrix& J, const Real& zero) {
  const RealVector found = Eigen::JacobiSVD<RealMatrix>(J.transpose()).singularValues();
  RealVector values = RealVector::Zero(J.rows());
  for (Index i = 0; i < found.size(); ++i)
    if (found[i] > zero) values[i] = found[i];
  return values;
}

}  // namespace basin::test
