/// Directions in parameter space, and their normalisation.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "basin/linalg/random.h"
#include "basin/model/model_point.h"

namespace basin {

/// How a direction is scaled, so that steps along it mean the same at weights of any size:
///
///     none      as it is
///     filter    every filter to the norm of the weights' filter (Li et al., "Visualizing the Loss Landscape
///               of Neural Nets", NeurIPS 2018, section 4): the weights that reach one output unit of a
///               linear map, in attention one of a head's queries, keys or values, and one output of all
///               heads together; one row of a table (a token, a position); biases and gains a block at a
///               time. Of the single attention layer it is a row of a slice of a block, one head and one
///               index along the first axis of its matrix, e.g. W_Q[h, i, :]
///     block     every block to the norm of the weights' block
///     vector    the whole to the norm of the trained weights
///     gauge     as filter, in the canonical gauge of the point: two points that are the same up to a gauge
///               get the same slice
///
/// What is zero in the weights becomes zero.
enum class Normalisation { none, filter, block, vector, gauge };

/// Throws InputError, listing the names.
Normalisation normalisation_from_name(const std::string& name);
std::string normalisation_name(Normalisation kind);

/// One point that stands for all that are the same function by a gauge.
class CanonicalPoint {
 public:
  virtual ~CanonicalPoint() = default;
  virtual const ModelPoint<double>& point() const = 0;
  /// A direction (P) at that point becomes the same one at the original point: f(theta + a u) = f(theta' + a
  /// u').
  virtual void carry_back(Vector<double>& direction) const = 0;
};
/// That of a point (of one attention layer: canonical_gauge in single_layer/gauge.h).
using CanonicalPointOf = std::function<std::unique_ptr<const CanonicalPoint>(const ModelPoint<double>&)>;

/// Scales a direction (P) by the weights of the point. Of `gauge`, the direction is one at the canonical
/// point, as random numbers are, and is carried back to this one. Throws InputError for `gauge` where nothing
/// says what is canonical, and what that throws.
void normalise(const ModelPoint<double>& point, Normalisation kind, Vector<double>& direction,
               const CanonicalPointOf& canonical = {});

/// Independent N(0, 1) entries, normalised. P. Throws InputError as `normalise`.
Vector<double> random_direction(const ModelPoint<double>& point, Normalisation kind, Random& random,
                                const CanonicalPointOf& canonical = {});

/// v minus its component along u. Throws InputError when u is zero, or when nothing but rounding is left: the
/// directions are parallel.
Vector<double> orthogonalised(const Vector<double>& v, const Vector<double>& u);

/// <u, v> / |u| |v|; 0 if one is zero.
double cosine(const Vector<double>& u, const Vector<double>& v);

}  // namespace basin
