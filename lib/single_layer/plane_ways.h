/// The loss at the points of a plane, by the structure that the plane has (landscape/MATHEMATICS.md).
#pragma once

#include <memory>

#include "basin/landscape/plane_loss.h"

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

struct PlaneOptions {
  /// Automatic: polynomial where it applies; else structured where it takes fewer operations and its working
  /// memory is there; else plain. Networks other than a single attention layer have the plain way only.
  PlaneWay way = PlaneWay::automatic;
  /// Bytes that may be kept from call to call; what goes beyond is computed again, with the same bits.
  std::size_t memory = std::size_t{2} << 30U;
  /// Whether accuracies are counted, too, where the way makes outputs: the plain one.
  bool accuracy = false;
};

/// The loss of any network on a plane, by the best way that it has (PlaneOptions). u, v: P. Throws InputError
/// when a length does not fit, or a way does not apply.
std::unique_ptr<PlaneLoss> plane_loss(const ModelPoint<double>& point, const Vector<double>& u,
                                      const Vector<double>& v, const Grid& grid,
                                      const PlaneOptions& options = {});

}  // namespace basin
