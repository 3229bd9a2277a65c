/// Linear equations between unknown matrices.
#pragma once

#include <vector>

#include "basin/linalg/types.h"

namespace basin {

/// A matrix of unknowns, in C order from `first` on, or its transpose; first < 0: it is 0.
struct UnknownMatrix {
  Index first = -1, rows = 0, cols = 0;
  bool transposed = false;

  Index index(Index row, Index col) const {
    return first + (transposed ? col * rows + row : row * cols + col);
  }
};

/// Homogeneous equations sum_i L_i X_i R_i = 0 for unknown matrices X_i; the unknowns are in groups.
class TangentSystem {
 public:
  /// rows x cols unknowns of a group.
  UnknownMatrix unknown(Index rows, Index cols, int group);
  /// The last row of these is of another group.
  void regroup_last_row(const UnknownMatrix& of, int group);

  /// rows x cols equations, to be filled by add; the number of the first.
  Index equations(Index rows, Index cols);
  /// Adds L X R, rows x cols, to the equations from `first` on.
  void add(Index first, const Vectors<double>& L, const UnknownMatrix& X, const Vectors<double>& R);
  /// Adds factor X(row, col) to equation `number`.
  void add(Index number, double factor, const UnknownMatrix& X, Index row, Index col);

  Index size() const { return static_cast<Index>(groups_.size()); }  ///< unknowns
  int group(Index unknown) const { return groups_[static_cast<std::size_t>(unknown)]; }
  /// An orthonormal basis of the solutions, size() x count: null_basis of the equations, each of length 1.
  Vectors<double> solutions() const;

 private:
  struct Term {
    Index equation, unknown;
    double factor;
  };
  std::vector<Term> terms_;
  std::vector<int> groups_;
  Index equations_ = 0;
};

}  // namespace basin
