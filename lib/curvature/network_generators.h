/// The known families of symmetries of a Transformer of any size, as maps and not as vectors.
#pragma once

#include <string>
#include <vector>

#include "basin/curvature/visibility.h"
#include "basin/curvature/weight_tangents.h"

namespace basin {

/// Names of families that are looked for by them, too.
inline constexpr const char* kNormFamily = "norm and its readers";
inline constexpr const char* kValueBiasFamily = "value and output biases";
inline constexpr const char* kKeyBiasFamily = "key bias";
inline constexpr const char* kQueryBiasFamily = "query and key biases";
inline constexpr const char* kShiftFamily = "shift of a stream";
inline constexpr const char* kStreamFamily = "residual stream";

/// The families that move several maps at once (mathematics: MATHEMATICS.md, "Large networks"), only those
/// members of them that leave what is frozen, absent or tied as it is. With `everywhere` also what seen_maps
/// has, as far as it is there at all weights: behind a LayerNorm, in front of one, class shifts. Appends to
/// `left_out` what would take too many numbers.
std::vector<TangentGenerator> network_generators(const Visibility& seen, bool everywhere,
                                                 std::string* left_out = nullptr);

/// Scales of streams that would be symmetries if the epsilon of norms behind were 0: one for each stream.
std::vector<TangentGenerator> broken_generators(const Visibility& seen);

}  // namespace basin
