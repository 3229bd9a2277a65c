/// Linear operators known by their products only.
#pragma once

#include "basin/linalg/progress.h"
#include "basin/linalg/types.h"

namespace basin {

/// A linear map A: R^cols -> R^rows in double precision. Products are taken for a block of k vectors at once;
/// a single vector is a block with one column. Both products overwrite their result.
class LinearOperator {
 public:
  LinearOperator(Index rows, Index cols) : rows_(rows), cols_(cols) {}
  virtual ~LinearOperator() = default;
  LinearOperator(const LinearOperator&) = delete;
  LinearOperator& operator=(const LinearOperator&) = delete;

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }

  /// out = A V.  V: cols x k, out: rows x k. Throws InputError on a shape mismatch.
  void apply(ConstVectorsRef<double> V, VectorsRef<double> out) const;
  /// out = A^T U.  U: rows x k, out: cols x k. Throws InputError on a shape mismatch.
  void apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const;

  /// Vectors multiplied so far, by A or A^T: the cost of an algorithm, whatever the machine.
  Index products() const { return products_; }

  /// A bound on |computed - true| product of A with a unit vector, as far as results below the range of
  /// double precision cause it: other rounding is relative, and shows in products that are rounded
  /// differently. 0 where nothing is known.
  double underflow() const { return underflow_; }

 protected:
  void set_underflow(double bound) { underflow_ = bound; }

 private:
  virtual void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const = 0;
  virtual void do_apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const = 0;

  Index rows_, cols_;
  double underflow_ = 0;
  mutable Index products_ = 0;
};

/// A = A^T: the adjoint comes for free.
class SelfAdjointOperator : public LinearOperator {
 public:
  explicit SelfAdjointOperator(Index size) : LinearOperator(size, size) {}

 private:
  void do_apply_adjoint(ConstVectorsRef<double> U, VectorsRef<double> out) const final { do_apply(U, out); }
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override = 0;
};

/// The matrix of A, rows x cols, column by column in blocks of products. `progress(done, total)` counts
/// columns.
Vectors<double> assemble(const LinearOperator& A, const Progress& progress = {});

}  // namespace basin
