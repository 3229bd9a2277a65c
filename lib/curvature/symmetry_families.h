/// Families of symmetry directions with orthonormal bases that are known in closed form.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "basin/network/parameters.h"

namespace basin {

/// One slice of a block inside a vector of parameters, maybe seen as its transpose.
struct BlockSlice {
  BlockSlot slot;  ///< of the block; only a trained one has numbers in theta
  Index slice;
  bool transposed;

  Index rows() const { return transposed ? slot.cols : slot.rows; }  ///< as it is seen
  Index cols() const { return transposed ? slot.rows : slot.cols; }

  /// Its numbers in the vector v.
  Vectors<double> read(const double* v) const;
  /// Adds them to the vector out.
  void add(const Vectors<double>& block, double* out) const;
};

/// Names and dimensions.
using FamilyTable = std::vector<std::pair<std::string, Index>>;
/// Adds to the row of that name, or a row.
void add_row(FamilyTable& table, const std::string& name, Index dimension);

/// A space of directions, given by its orthogonal projector.
class SymmetryFamily {
 public:
  virtual ~SymmetryFamily() = default;
  virtual Index dimension() const = 0;
  /// What it is made of: its own name, of a family of families theirs.
  virtual FamilyTable table(const std::string& name) const { return {{name, dimension()}}; }
  /// out += P v; both of length P. Safe to call from several threads.
  virtual void add_projection(const double* v, double* out) const = 0;
};

/// {u c^T : u in the span of `features`, any c}: what the data do not see of a block.
class FeatureFamily final : public SymmetryFamily {
 public:
  /// features: orthonormal columns, rows of the block x count.
  FeatureFamily(BlockSlice block, Vectors<double> features);
  Index dimension() const override;
  void add_projection(const double* v, double* out) const override;

 private:
  BlockSlice block_;
  Vectors<double> features_;
};

/// {(u c^T, u c^T) / sqrt 2 : u in the span of `features`, any c}: two blocks moved alike.
class TranslationFamily final : public SymmetryFamily {
 public:
  TranslationFamily(BlockSlice first, BlockSlice second, Vectors<double> features);
  Index dimension() const override;
  void add_projection(const double* v, double* out) const override;

 private:
  BlockSlice first_, second_;
  Vectors<double> features_;
};

/// What leaves a product A B^T unchanged to first order: {(A M, -B M^T)} where both factors are trained, and
/// what moves one factor in the null space of the other. A: a x d, B: b x d.
class ProductFamily final : public SymmetryFamily {
 public:
  struct Factor {
    Vectors<double> value;  ///< the factor, rows x d
    Vectors<double> seen;   ///< orthonormal, rows x r: what the data see of the rows
    BlockSlice block;       ///< where it stands
    bool trained;
  };
  ProductFamily(const Factor& A, const Factor& B);
  Index dimension() const override { return dimension_; }
  void add_projection(const double* v, double* out) const override;

 private:
  /// What is seen of a factor, left diag(values) right^T.
  struct Side {
    bool trained = false;
    BlockSlice block{};
    Vectors<double> seen, left, right;
    Vector<double> values;  ///< d of them, zero where negligible
    Index rank = 0;
    bool moves_freely = false;  ///< in the null space of the other side
  };
  static Side make_side(const Factor& factor);
  bool in_gauge(Index i, Index j) const;

  Side A_, B_;
  Index dimension_ = 0;
};

/// {Z Omega : Omega skew}, for Z = [block 1; block 2; ...] r x d: rotations of all rows together.
class RotationFamily final : public SymmetryFamily {
 public:
  /// Z columns: sum of the rows of the blocks x s, with `columns` (d x s, orthonormal) that say which
  /// rotations there are: Omega = columns Omega' columns^T, Omega' skew. Singular values of it below 1e-10
  /// scale are zeros.
  RotationFamily(std::vector<BlockSlice> blocks, const Vectors<double>& Z, const Vectors<double>& columns,
                 double scale);
  Index dimension() const override;
  void add_projection(const double* v, double* out) const override;

 private:
  std::vector<BlockSlice> blocks_;
  Vectors<double> left_, right_;
  Vector<double> values_;
  Index rank_ = 0;
};

/// The span of orthonormal vectors over some blocks.
class DenseFamily final : public SymmetryFamily {
 public:
  /// basis: sum of the sizes of the blocks (each column after column) x count.
  DenseFamily(std::vector<BlockSlice> blocks, Vectors<double> basis)
      : blocks_(std::move(blocks)), basis_(std::move(basis)) {}
  Index dimension() const override { return basis_.cols(); }
  void add_projection(const double* v, double* out) const override;

 private:
  std::vector<BlockSlice> blocks_;
  Vectors<double> basis_;
};

/// An orthonormal basis of {x : A x = 0}; singular values up to 1e-10 of the largest count as zero, or of
/// `scale` if that is larger.
Vectors<double> null_space(const Vectors<double>& A, double scale = 0);

}  // namespace basin
