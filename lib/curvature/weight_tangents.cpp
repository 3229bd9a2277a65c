#include "basin/curvature/weight_tangents.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

using Multiplied = TangentFactor::Kind;

Dense matrix_of(const TangentFactor& f, const Vector<double>& weights) {
  if (f.kind == Multiplied::constant) return f.constant;
  Dense B = f.block.read(weights);
  if (f.kind == Multiplied::block) return B;
  const Vector<double> d = B.row(0).transpose();
  return Dense((f.kind == Multiplied::diagonal ? d : Vector<double>(d.cwiseInverse())).asDiagonal());
}

/// F M, or with `transpose` F^T M.
Dense multiply(const TangentFactor& f, const Vector<double>& weights, const Dense& M, bool transpose) {
  if (f.kind == Multiplied::constant)
    return transpose ? Dense(f.constant.transpose() * M) : Dense(f.constant * M);
  const Dense B = f.block.read(weights);
  if (f.kind == Multiplied::block) return transpose ? Dense(B.transpose() * M) : Dense(B * M);
  const Vector<double> d = B.row(0).transpose();
  if (f.kind == Multiplied::diagonal) return d.asDiagonal() * M;
  return d.cwiseInverse().asDiagonal() * M;
}

/// The product of `factors` times M.
Dense multiply_left(const std::vector<TangentFactor>& factors, const Vector<double>& weights, Dense M) {
  for (auto f = factors.rbegin(); f != factors.rend(); ++f) M = multiply(*f, weights, M, false);
  return M;
}
Dense multiply_left_transposed(const std::vector<TangentFactor>& factors, const Vector<double>& weights,
                               Dense M) {
  for (const TangentFactor& f : factors) M = multiply(f, weights, M, true);
  return M;
}
/// M F, or with `transpose` M F^T.
Dense multiply_by(const TangentFactor& f, const Vector<double>& weights, const Dense& M, bool transpose) {
  if (f.kind == Multiplied::constant)
    return transpose ? Dense(M * f.constant.transpose()) : Dense(M * f.constant);
  const Dense B = f.block.read(weights);
  if (f.kind == Multiplied::block) return transpose ? Dense(M * B.transpose()) : Dense(M * B);
  const Vector<double> d = B.row(0).transpose();
  if (f.kind == Multiplied::diagonal) return M * d.asDiagonal();
  return M * d.cwiseInverse().asDiagonal();
}

/// M times the product of `factors`.
Dense multiply_right(const std::vector<TangentFactor>& factors, const Vector<double>& weights, Dense M) {
  for (const TangentFactor& f : factors) M = multiply_by(f, weights, M, false);
  return M;
}
Dense multiply_right_transposed(const std::vector<TangentFactor>& factors, const Vector<double>& weights,
                                Dense M) {
  for (auto f = factors.rbegin(); f != factors.rend(); ++f) M = multiply_by(*f, weights, M, true);
  return M;
}

/// out += what a change of the factor by dF adds to <adjoint, F>.
void add_factor_adjoint(const TangentFactor& f, const Vector<double>& weights, const Dense& adjoint,
                        Vector<double>& out) {
  if (f.kind == Multiplied::constant) return;
  if (f.kind == Multiplied::block) return f.block.add(adjoint, out);
  Dense row = adjoint.diagonal().transpose();
  if (f.kind == Multiplied::inverse_diagonal) row.array() /= -f.block.read(weights).array().square();
  f.block.add(row, out);
}

}  // namespace

Dense product_of(const std::vector<TangentFactor>& factors, const Vector<double>& weights) {
  if (factors.empty()) return {};
  Dense M = matrix_of(factors.back(), weights);
  for (auto f = factors.rbegin() + 1; f != factors.rend(); ++f) M = multiply(*f, weights, M, false);
  return M;
}

namespace {

/// to(to, from), some rows at a time: of a row-major and a column-major matrix each cache line is then used
/// once.
template <class To, class From, class Assign>
void by_rows(To&& to, const From& from, const Assign& assign) {
  constexpr Index kRows = 8;
  for (Index i = 0; i < to.rows(); i += kRows) {
    const Index rows = std::min(kRows, to.rows() - i);
    assign(to.middleRows(i, rows), from.middleRows(i, rows));
  }
}

}  // namespace

Dense WeightSlice::read(const Vector<double>& weights) const {
  const double* data = weights.data() + offset;
  if (transposed) return Eigen::Map<const Dense>(data, rows, cols);
  Dense block(rows, cols);
  by_rows(block, Eigen::Map<const Matrix<double>>(data, rows, cols),
          [](auto to, const auto& from) { to = from; });
  return block;
}

void WeightSlice::add(const Dense& block, Vector<double>& weights) const {
  double* data = weights.data() + offset;
  if (transposed)
    Eigen::Map<Dense>(data, rows, cols) += block;
  else
    by_rows(Eigen::Map<Matrix<double>>(data, rows, cols), block,
            [](auto to, const auto& from) { to += from; });
}

TangentMatrices TangentMatrices::all_of(Index rows, Index cols) {
  TangentMatrices X{.kind = Kind::all, .left = identity(rows), .right = identity(cols)};
  X.rows = rows, X.cols = cols;
  X.choose_all();
  return X;
}
TangentMatrices TangentMatrices::skew_of(const Dense& basis) {
  TangentMatrices X{.kind = Kind::skew, .left = basis, .right = {}};
  X.rows = X.cols = basis.rows();
  X.choose_all();
  return X;
}
TangentMatrices TangentMatrices::diagonal_of(Index size) {
  TangentMatrices X{.kind = Kind::diagonal, .left = {}, .right = {}};
  X.rows = X.cols = size;
  X.choose_all();
  return X;
}
TangentMatrices TangentMatrices::span_of(std::vector<Dense> basis) {
  TangentMatrices X{.kind = Kind::span, .left = {}, .right = {}};
  X.rows = basis.empty() ? 0 : basis.front().rows();
  X.cols = basis.empty() ? 0 : basis.front().cols();
  X.basis = std::move(basis);
  return X;
}

void TangentMatrices::choose_all() {
  which.clear();
  if (kind == Kind::diagonal)
    for (Index i = 0; i < rows; ++i) which.push_back(i);
  if (kind == Kind::all)
    for (Index k = 0; k < left.cols() * right.cols(); ++k) which.push_back(k);
  if (kind == Kind::skew)
    for (Index i = 0; i < left.cols(); ++i)
      for (Index j = i + 1; j < left.cols(); ++j) which.push_back(i * left.cols() + j);
}

Index TangentMatrices::size() const {
  return static_cast<Index>(kind == Kind::span ? basis.size() : which.size());
}

Dense TangentMatrices::value(const double* c) const {
  Dense M = inner_value(c);
  switch (kind) {
    case Kind::all:
      return left * M * right.transpose();
    case Kind::skew:
      return left * M * left.transpose();
    case Kind::diagonal:
      return Dense(M.col(0).asDiagonal());
    case Kind::span:
      break;
  }
  return M;
}

void TangentMatrices::transposed(const Dense& X, double* c) const {
  switch (kind) {
    case Kind::all:
      return inner_transposed(left.transpose() * X * right, c);
    case Kind::skew:
      return inner_transposed(left.transpose() * X * left, c);
    case Kind::diagonal:
      return inner_transposed(X.diagonal(), c);
    case Kind::span:
      return inner_transposed(X, c);
  }
}

Dense TangentMatrices::inner_value(const double* c) const {
  if (kind == Kind::span) {
    Dense X = zero(rows, cols);
    for (const Dense& B : basis) X += *c++ * B;
    return X;
  }
  if (kind == Kind::diagonal) {
    Dense d = zero(rows, 1);
    for (const Index i : which) d(i, 0) = *c++;
    return d;
  }
  const Index q = kind == Kind::all ? right.cols() : left.cols();
  Dense C = zero(left.cols(), q);
  for (const Index k : which) C(k / q, k % q) = *c++;
  return kind == Kind::all ? C : Dense((C - C.transpose()) / std::sqrt(2.0));
}

void TangentMatrices::inner_transposed(const Dense& M, double* c) const {
  if (kind == Kind::span) {
    for (const Dense& B : basis) *c++ = B.cwiseProduct(M).sum();
    return;
  }
  const Index q = M.cols();  // 1 of diagonals
  for (const Index k : which) {
    const Index i = k / q, j = k % q;
    *c++ = kind == Kind::skew ? (M(i, j) - M(j, i)) / std::sqrt(2.0) : M(i, j);
  }
}

namespace {

/// Of diagonal X: L X R where L or R is 1, and the diagonal of L^T V R^T, without products of matrices.
Dense scaled(const TangentTerm& t, const Vector<double>& weights, const Vector<double>& diagonal) {
  if (t.left.empty()) return diagonal.asDiagonal() * product_of(t.right, weights);
  return product_of(t.left, weights) * diagonal.asDiagonal();
}
Vector<double> diagonal_of(const TangentTerm& t, const Vector<double>& weights, const Dense& V) {
  if (t.left.empty()) return V.cwiseProduct(product_of(t.right, weights)).rowwise().sum();
  return V.cwiseProduct(product_of(t.left, weights)).colwise().sum().transpose();
}
bool one_sided(const TangentTerm& t) {
  return t.left.empty() != t.right.empty();
}

}  // namespace

void TangentGenerator::add(const Vector<double>& weights, const double* coefficients,
                           Vector<double>& out) const {
  const Dense M = X.value(coefficients), Mt = M.transpose();
  const bool diagonal = X.kind == TangentMatrices::Kind::diagonal;
  for (const TangentTerm& t : terms)
    if (diagonal && one_sided(t))
      t.target.add(t.sign * scaled(t, weights, M.diagonal()), out);
    else
      t.target.add(
          t.sign * multiply_right(t.right, weights, multiply_left(t.left, weights, t.x_transposed ? Mt : M)),
          out);
}

void TangentGenerator::transposed(const Vector<double>& weights, const Vector<double>& v,
                                  double* coefficients) const {
  Dense sum = zero(X.rows, X.cols);
  const bool diagonal = X.kind == TangentMatrices::Kind::diagonal;
  for (const TangentTerm& t : terms) {
    if (diagonal && one_sided(t)) {
      sum.diagonal() += t.sign * diagonal_of(t, weights, t.target.read(v));
      continue;
    }
    const Dense M = multiply_right_transposed(t.right, weights,
                                              multiply_left_transposed(t.left, weights, t.target.read(v)));
    if (t.x_transposed)
      sum += t.sign * M.transpose();
    else
      sum += t.sign * M;
  }
  X.transposed(sum, coefficients);
}

void TangentGenerator::add_derivative(const Vector<double>& weights, const double* coefficients,
                                      const Vector<double>& g, Vector<double>& out) const {
  const Dense M = X.value(coefficients), Mt = M.transpose();
  for (const TangentTerm& t : terms) {
    // sign <gamma, F_1 ... F_m X F_{m+1} ... F_n>, in each F
    const Dense gamma = t.sign * t.target.read(g);
    const Dense& inner = t.x_transposed ? Mt : M;
    const Dense right = multiply_right(t.right, weights, inner), left = multiply_left(t.left, weights, inner);
    for (std::size_t k = 0; k < t.left.size(); ++k) {
      const std::vector<TangentFactor> before(t.left.begin(),
                                              t.left.begin() + static_cast<std::ptrdiff_t>(k)),
          behind(t.left.begin() + static_cast<std::ptrdiff_t>(k) + 1, t.left.end());
      add_factor_adjoint(t.left[k], weights,
                         multiply_left_transposed(before, weights, gamma) *
                             multiply_left(behind, weights, right).transpose(),
                         out);
    }
    for (std::size_t k = 0; k < t.right.size(); ++k) {
      const std::vector<TangentFactor> before(t.right.begin(),
                                              t.right.begin() + static_cast<std::ptrdiff_t>(k)),
          behind(t.right.begin() + static_cast<std::ptrdiff_t>(k) + 1, t.right.end());
      add_factor_adjoint(t.right[k], weights,
                         multiply_right(before, weights, left).transpose() *
                             multiply_right_transposed(behind, weights, gamma),
                         out);
    }
  }
}

}  // namespace basin
