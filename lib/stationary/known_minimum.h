/// What is known of the global minimum beforehand, whatever is found from which starts (MATHEMATICS.md,
/// "The global minimum").
#pragma once

#include <optional>
#include <string>

#include "basin/stationary/polish.h"

namespace basin {

/// Whether the trained blocks can be those of `at` (all weights), the others being where they are held, and f
/// there is `value` to rounding; for 0 by the residual.
bool attains(const ModelLoss& loss, const Vector<double>& at, double value);

/// Whether F is known to be affine in the trained blocks (NetworkTheory::is_linear) and the loss is convex in
/// F: then f is convex, and a stationary point a global minimum.
bool is_convex(const ModelLoss& loss);

/// The minimum of a convex quadratic loss: that of linear least squares. Nothing where it may be 0 (rounding
/// hides residuals below 1e-8 |Y|), or where it would take more than 1e9 operations.
std::optional<double> convex_minimum(const ModelLoss& loss);

/// A global minimum, and where it is known from, in words: "the teacher reaches it".
struct GlobalMinimum {
  double loss = 0;
  std::string source;
};

/// A claim that `minimum` is attained at these weights of all blocks.
struct StatedMinimum {
  GlobalMinimum minimum;
  Vector<double> weights;
};

/// What is stated, if f there is what is said (attains), else what convexity says; nothing where the minimum
/// is not known.
std::optional<GlobalMinimum> global_minimum(const ModelLoss& loss,
                                            const std::optional<StatedMinimum>& stated = std::nullopt);

/// "as f is convex in W_V": the source, where is_convex.
std::string by_convexity(const ModelLoss& loss);

}  // namespace basin
