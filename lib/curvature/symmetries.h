/// Directions in parameter space along which the model stays what it is (MATHEMATICS.md, "Symmetries").
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "basin/curvature/data_features.h"
#include "basin/curvature/symmetry_families.h"
#include "basin/linalg/linear_operator.h"
#include "basin/model/model_point.h"

namespace basin {

/// The tangents of all symmetries of an attention layer at a point, over its trained blocks, as an orthogonal
/// projector that is never formed: query-key gauge (softmax) or rotations (Gaussian), value-output gauge,
/// directions in the null space of a rank-deficient neighbour, features that the data do not see,
/// translations, and constants that heads trade with each other. At a stationary point they are null vectors
/// of the Hessian.
///
/// A product takes about 12 H D d^2 operations a vector and no memory beyond the weights' own, whatever the
/// dimension of the span (which is 2 H d^2 and more).
class Symmetries {
 public:
  /// Keeps nothing of the point. Throws InputError for a network that is not a single attention layer, and
  /// WorkError when squares of weights overflow.
  explicit Symmetries(const ModelPoint<double>& point);

  Index parameters() const { return parameters_; }  ///< P
  /// The dimension of the span: modes that are removed.
  Index modes() const;
  /// Names and dimensions of the families that are there, for reports: "query-key gauge" and so on.
  std::vector<std::pair<std::string, Index>> table() const;

  /// What was left out because it would take too much memory, or empty.
  const std::string& left_out() const { return left_out_; }

  /// out = the component of V in the span of the tangents.  V, out: P x k.
  void project(ConstVectorsRef<double> V, VectorsRef<double> out) const;
  /// V = V without that component.  V: P x k.
  void remove(VectorsRef<double> V) const;
  struct Named {
    std::string name;
    std::unique_ptr<const SymmetryFamily> family;
  };

 private:
  Index parameters_ = 0;
  std::string left_out_;
  std::vector<Named> families_;  ///< orthogonal to each other
};

}  // namespace basin
