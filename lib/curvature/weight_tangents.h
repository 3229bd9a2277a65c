/// Tangents of families of weights that a group moves: products of blocks with a small unknown matrix.
#pragma once

#include <string>
#include <vector>

#include "basin/curvature/subspaces.h"
#include "basin/network/parameters.h"

namespace basin {

/// One slice of a block among all weights, seen as rows x cols; or its transpose.
struct WeightSlice {
  const ParameterLayout::Entry* entry = nullptr;  ///< null: a block that the layer does not have
  Index offset = 0;                               ///< among all weights
  Index rows = 0, cols = 0;                       ///< as it is seen
  bool transposed = false;                        ///< against how it is stored

  bool trained() const { return entry != nullptr && entry->trainable(); }
  /// Its numbers in a vector over all weights, rows x cols.
  Dense read(const Vector<double>& weights) const;
  /// Adds rows x cols numbers to that place of the vector.
  void add(const Dense& block, Vector<double>& weights) const;
};

/// What X is multiplied with.
struct TangentFactor {
  enum class Kind { block, diagonal, inverse_diagonal, constant };
  Kind kind;
  WeightSlice block = {};  ///< of the first three; of the diagonals a row
  Dense constant = {};
};

/// target += sign L X R, or with X^T; L and R are products of their factors, none: 1.
struct TangentTerm {
  WeightSlice target;
  double sign = 1;
  std::vector<TangentFactor> left = {}, right = {};
  bool x_transposed = false;
  bool tied_twice = false;  ///< the target stands in two places, and this is right in both
};

/// Matrices X that depend linearly on some coefficients, as long as these are: left C right^T for all C, left
/// (C - C^T) left^T / sqrt 2 for all C above the diagonal, diagonal ones, or a span.
struct TangentMatrices {
  enum class Kind { all, skew, diagonal, span };
  Kind kind = Kind::all;
  Dense left, right;              ///< orthonormal columns: rows of X x p, columns of X x q (skew: left alone)
  std::vector<Index> which = {};  ///< diagonal: these entries; all, skew: these of C, in C order
  std::vector<Dense> basis = {};  ///< of the span, orthonormal
  Index rows = 0, cols = 0;       ///< of X

  static TangentMatrices all_of(Index rows, Index cols);
  static TangentMatrices skew_of(const Dense& basis);
  static TangentMatrices diagonal_of(Index size);
  static TangentMatrices span_of(std::vector<Dense> basis);

  Index size() const;  ///< how many coefficients
  Dense value(const double* coefficients) const;
  /// The transpose: coefficients = value^T (X).
  void transposed(const Dense& X, double* coefficients) const;
  /// The same of what stands between left and right: C, (C - C^T) / sqrt 2, all of X (span), or the diagonal
  /// as a column.
  Dense inner_value(const double* coefficients) const;
  void inner_transposed(const Dense& inner, double* coefficients) const;
  /// All coefficients that left, right and the kind allow, after these have changed.
  void choose_all();
};

/// A family of tangents t = sum of terms, for each X.
struct TangentGenerator {
  std::string family;  ///< for reports
  TangentMatrices X;
  std::vector<TangentTerm> terms;

  Index size() const { return X.size(); }
  /// out += t, over all weights.
  void add(const Vector<double>& weights, const double* coefficients, Vector<double>& out) const;
  /// coefficients = the transpose of that map, applied to v.
  void transposed(const Vector<double>& weights, const Vector<double>& v, double* coefficients) const;
  /// out += (D t)^T g: the gradient in the weights of g . t(weights).
  void add_derivative(const Vector<double>& weights, const double* coefficients, const Vector<double>& g,
                      Vector<double>& out) const;
};

/// L or R of a term as a matrix; none: nothing where there are no factors.
Dense product_of(const std::vector<TangentFactor>& factors, const Vector<double>& weights);

}  // namespace basin
