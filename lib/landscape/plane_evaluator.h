/// The loss at the points of a plane, by the structure that the plane has (MATHEMATICS.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "basin/landscape/grid.h"
#include "basin/landscape/plane_projections.h"
#include "basin/linalg/progress.h"

namespace basin {

/// How the loss is evaluated on a plane.
enum class PlaneWay {
  automatic,
  /// The model, point by point.
  plain,
  /// Projections and scores are polynomials in the steps, their coefficients computed once.
  structured,
  /// Only W_V or W_O moves: outputs are polynomials, and the loss one of degree four.
  polynomial
};
std::string plane_way_name(PlaneWay way);

struct PlaneOptions {
  /// Automatic: polynomial where it applies; else structured where it takes fewer operations and its working
  /// memory is there; else plain. Networks other than a single attention layer have the plain way only.
  PlaneWay way = PlaneWay::automatic;
  /// Bytes that may be kept from call to call; projections beyond it are computed again, with the same bits.
  std::size_t memory = std::size_t{2} << 30U;
};

/// f(theta + a u + b v) on a grid. All ways agree to rounding: about 1e-12, relative to the larger of the
/// loss and the squared outputs.
///
/// Work is shared out to threads; the bits of a loss depend neither on their number nor on which other points
/// are computed with it.
class PlaneEvaluator {
 public:
  /// u, v: P. Throws InputError when a length does not fit, or a way does not apply.
  PlaneEvaluator(const ModelPoint<double>& point, const Vector<double>& u, const Vector<double>& v,
                 const Grid& grid, const PlaneOptions& options = {});

  PlaneWay way() const { return way_; }
  const std::vector<Piece>& pieces() const { return pieces_; }

  /// The losses of some pieces, one after the other. They may be infinite or NaN far out. `progress` counts
  /// units of work. The more pieces at once, the less is computed again: `pieces_at_once` are enough.
  Vector<double> losses(std::span<const Index> pieces, const Progress& progress = {});
  Index pieces_at_once() const;

  /// The weights at a point.
  Vector<double> weights_at(double a, double b) const;

 private:
  PlaneWay choose(const PlaneOptions& options) const;
  Vectors<double> polynomial_triangle() const;
  Vector<double> plain(std::span<const Index> pieces, const Progress& progress) const;
  Vector<double> structured(std::span<const Index> pieces, const Progress& progress);
  Vector<double> polynomial(std::span<const Index> pieces) const;
  Index points(std::span<const Index> pieces) const;
  template <class Body>
  void for_points(std::span<const Index> pieces, const Body& body) const;

  ModelPoint<double> point_;
  Vector<double> u_, v_;
  Grid grid_;
  std::vector<Piece> pieces_;
  PlaneWay way_;
  std::optional<PlaneWeights> plane_;          // structured
  std::vector<PlaneProjections> projections_;  // of all samples, if there is room
  Vectors<double> triangle_;                   // polynomial: f = |R m|^2 / 2, m the monomials
};

}  // namespace basin
