/// The symmetries of any network at a point, from equations between its layers.
#pragma once

#include <optional>
#include <vector>

#include "basin/curvature/symmetries.h"
#include "basin/model/model_point.h"

namespace basin {

/// Most unknowns of the equations, multipliers not counted, by default: some tenths of a second.
inline constexpr Index kMostSymmetryUnknowns = 1000;

/// All directions of the trained blocks along which later layers take back what earlier ones change, whatever
/// the data, and those that these data do not see. An activation x may change by x A + c, the same A and c in
/// every row; each layer says which changes of its input and of its own blocks make which change of its
/// output; and at the end nothing is left (of classes: nothing but the same for all). What is frozen, absent
/// or tied is part of the equations, so that no case is special. Exact: J t = 0 at the point, for a loss of
/// classes H_l J t = 0.
///
/// Found: gauges of queries and keys, values and outputs, gains, shifts, scales of hidden units, rotation,
/// shift and scale of the residual stream, shifts between rows of tables that never meet in the data, what is
/// read by nobody, what the data do not span, class shifts (MATHEMATICS.md). Not found: what holds for these
/// data alone because of which side of a kink of ReLU they are on, or because few rows are told apart;
/// Symmetries::left_out says so where a unit of ReLU is active in every row. Layers that are not the
/// library's own (add_layer_type) count as rigid.
///
/// The families are orthogonal to each other; what two of them share is counted in the first. Nothing where
/// the equations have more than `most_unknowns` unknowns, where the activations of all samples are more
/// than 2^26 numbers, or one is not finite.
std::optional<Symmetries> network_symmetries(const ModelPoint<double>& point,
                                             Index most_unknowns = kMostSymmetryUnknowns);

/// The same of a network of any size, from the families that are known (curvature/network_generators.h):
/// gauges of heads, gains and shifts with what reads them, units of ReLU and gates, rotation, scale and
/// shifts of streams and between tables, key biases, class shifts, what is not seen. Combinations of families
/// that only together leave frozen or tied blocks as they are, and what MATHEMATICS.md lists, are not among
/// them: left_out says so. Takes one pass over the data and as long as some hundred products with T, the map
/// from the coefficients. Nothing where the activations of all samples are more than 2^26 numbers, one is not
/// finite, or tangents are too close to each other for conjugate gradients.
std::optional<Symmetries> known_symmetries(const ModelPoint<double>& point);

}  // namespace basin
