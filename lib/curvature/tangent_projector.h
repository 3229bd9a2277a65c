/// The orthogonal projector on the tangents of a large network: conjugate gradients on the coefficients.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "basin/curvature/seen_maps.h"
#include "basin/curvature/symmetry_families.h"
#include "basin/curvature/tangent_gram.h"

namespace basin {

/// The span of what is not seen of the maps and of the tangents of the generators, over theta. What is not
/// seen is projected on in closed form, v - P v for maps; the rest, t = T c with T orthogonal to that, by
/// preconditioned conjugate gradients on T^T T c = T^T v, twice. No matrix of the size of P x modes is
/// formed; memory: some vectors over all weights for each vector.
class TangentFamily final : public SymmetryFamily {
 public:
  /// Which of the coefficients are combinations of others is found by solving for random ones, until they
  /// come back: as many solutions as there are such combinations, and one.
  /// Throws WorkError where conjugate gradients do not converge.
  TangentFamily(const ModelPoint<double>& point, std::vector<SeenMap> maps,
                std::vector<TangentGenerator> generators);

  Index dimension() const override;
  FamilyTable table(const std::string& name) const override;
  void add_projection(const double* v, double* out) const override;

 private:
  void precondition();
  void find_combinations();
  Vector<double> apply(const Vector<double>& c) const;       // T c, over all weights
  Vector<double> transposed(const Vector<double>& v) const;  // T^T v
  void remove_unseen(Vector<double>& v) const;               // v without its part in the maps
  /// T^T T c = right, where that is T^T of a vector so long.
  Vector<double> solve(const Vector<double>& right, double of) const;
  Index size() const { return static_cast<Index>(diagonal_.size()); }

  const ParameterLayout& parameters() const { return model_->parameters(); }

  std::shared_ptr<const Model<double>> model_;  // whose blocks the slices are of
  Vector<double> weights_;
  std::vector<SeenMap> maps_;
  std::vector<TangentGenerator> generators_;
  std::vector<Index> first_;  // coefficient of each generator
  Vector<double> diagonal_;   // of T^T T in the coordinates chosen
  TangentGram gram_;          // T^T T
  Index combinations_ = 0;
};

}  // namespace basin
