/// Directions in parameter space along which the model stays what it is.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "basin/curvature/symmetry_families.h"
#include "basin/linalg/linear_operator.h"

namespace basin {

/// The tangents of symmetries of a network at a point, over its trained blocks, as an orthogonal projector
/// that is never formed: a sum of families that are orthogonal to each other. At a stationary point they are
/// null vectors of the Hessian. Which ones there are is said by what is known of the network (NetworkTheory
/// in stationary/network_theory.h; of one attention layer single_layer/attention_symmetries.h).
class Symmetries {
 public:
  struct Named {
    std::string name;  ///< for reports: "query-key gauge"; several families may have the same
    std::unique_ptr<const SymmetryFamily> family;
  };

  /// parameters: P. left_out: which symmetries these are not, in words that follow "left out: "; empty where
  /// all are there. known_alone: they are the known families of a large network.
  Symmetries(Index parameters, std::vector<Named> families, std::string left_out = "",
             bool known_alone = false)
      : parameters_(parameters),
        families_(std::move(families)),
        left_out_(std::move(left_out)),
        known_alone_(known_alone) {}

  Index parameters() const { return parameters_; }  ///< P
  /// The dimension of the span: modes that are removed.
  Index modes() const;
  /// Names and dimensions of the families that are there.
  FamilyTable table() const;

  /// What was left out, as it is not known or would take too much memory, or empty. Its directions count as
  /// zero modes.
  const std::string& left_out() const { return left_out_; }
  /// Whether they are what known_symmetries finds, and not all.
  bool known_alone() const { return known_alone_; }

  /// out = the component of V in the span of the tangents.  V, out: P x k.
  void project(ConstVectorsRef<double> V, VectorsRef<double> out) const;
  /// V = V without that component.  V: P x k.
  void remove(VectorsRef<double> V) const;

 private:
  Index parameters_;
  std::vector<Named> families_;
  std::string left_out_;
  bool known_alone_;
};

}  // namespace basin
