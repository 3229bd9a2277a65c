/// Valleys: no point, but a limit at infinity that descent runs to (MATHEMATICS.md, "Valleys").
#pragma once

#include <string>
#include <vector>

#include "basin/stationary/network_theory.h"
#include "basin/stationary/objective.h"

namespace basin {

enum class Valley {
  none,
  saturated,
  vanished,
  exploding,
  separated,  ///< every row is in its class, and the loss falls strictly to its infimum (Separation)
};

/// A factor on |theta|, since earlier, that is a sign of a limit at infinity.
inline constexpr double kExplosion = 1.5;

/// What grows or fades on the way to infinity, at a point.
struct Extent {
  Vector<double> theta;
  Saturation saturation;                ///< of the single attention layer, where it moves
  std::vector<LayerSaturation> layers;  ///< of any other network
};
Extent extent_of(const NetworkTheory& theory, const ModelPoint<double>& point);
/// The same where the signature is known.
Extent extent_of(const NetworkTheory& theory, const ModelPoint<double>& point,
                 const PointSignature& function);

/// What an end is compared with: where descent was then, and for attention that was at rounding by then where
/// it started.
Extent history(const Extent& start, Extent then);

/// Of the rows of a layer that fade since then (null: of the faint ones) the one that leaves least; -1: none
/// does.
Index fading_row(const LayerSaturation& now, const LayerSaturation* before);
/// Makes that row what both say of their layers, where there is one.
void show_what_fades(Extent& before, Extent& now);

/// |theta| at two points, the earlier one with what the part of the way in symmetry directions adds to it:
/// along these the loss stays what it is, however long the weights become.
struct Growth {
  double before = 0, now = 0;
  double factor() const { return before > 0 ? now / before : now > 0 ? kInfinity : 1; }
};
Growth growth_between(const Vector<double>& before, const Vector<double>& now, const Symmetries& symmetries);

/// The sign of a limit at infinity, if there is one. point: where `now` is of; before: where descent was
/// earlier; null: there was none.
Valley valley_of(const NetworkTheory& theory, const ModelPoint<double>& point, const Extent& now,
                 const Extent* before);

/// Attention of which little is left somewhere.
bool is_faint(const Extent& extent);

/// The loss is flat, as on the way to infinity: over a distance |theta| a gradient so long promises less than
/// a thousandth of it.
bool is_flat(double loss, double gradient, double norm);

/// What became of a descent over its last part.
struct Outlook {
  Valley valley = Valley::none;   ///< where it runs to infinity
  bool along_symmetries = false;  ///< weights grew, but along symmetries alone
  Growth growth;
  double norm_before = 0;  ///< |theta|
  double loss_before = 0, loss = 0, gradient_before = 0, gradient = 0;
  Extent before, extent;  ///< where it was, and is
  std::string left_out;   ///< Symmetries::left_out
};

/// Whether a descent runs to infinity above `least`, below which the loss cannot get: its last part gained
/// less than a thousandth of what is left, the loss is flat, and weights grow by a twentieth, or attention
/// fades. Of what does neither, losses and gradients alone are said. point: the network and its data; start:
/// of the descent.
Outlook outlook_of(const NetworkTheory& theory, const ModelPoint<double>& point, const Vector<double>& start,
                   const Iterate& before, const Iterate& now, double least);

}  // namespace basin
