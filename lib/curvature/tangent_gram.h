/// T^T T of the tangents of a network, from products of its blocks that are formed once.
#pragma once

#include <cstddef>
#include <vector>

#include "basin/curvature/seen_maps.h"
#include "basin/curvature/weight_tangents.h"

namespace basin {

/// V += L X R, or with X^T, of V = [W; b] of a map, without what is not seen of it.
struct SeenTerm {
  Dense L, R;
  bool x_transposed;
};

/// What the generator moves of the map.
std::vector<SeenTerm> seen_terms(const TangentGenerator& generator, const SeenMap& map,
                                 const Vector<double>& weights);

/// c -> T^T T c for t = T c, the sum of the tangents of all generators without what is not seen. Two terms of
/// a map give L'^T L X R R'^T: no vector over all weights is needed, but small matrices L'^T L and R R'^T.
class TangentGram {
 public:
  TangentGram() = default;
  /// Each block that the generators move is in one of the maps.
  TangentGram(const std::vector<SeenMap>& maps, const std::vector<TangentGenerator>& generators,
              const Vector<double>& weights);

  Vector<double> operator()(const Vector<double>& c) const;

 private:
  /// X of `from` adds A X B to that of `to`, or A X^T B; of diagonal ones alone A x, where B is empty.
  struct Coupling {
    std::size_t to, from;
    bool x_transposed;
    Dense A, B;
  };
  void couple(Coupling next);
  bool is_diagonal(std::size_t k) const { return X_[k].kind == TangentMatrices::Kind::diagonal; }

  std::vector<TangentMatrices> X_;
  std::vector<Coupling> couplings_;  // to <= from: the others are their transposes
};

}  // namespace basin
