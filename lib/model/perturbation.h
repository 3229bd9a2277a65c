/// The same problem with other roundings.
///
/// A point is perturbed by moving its every real number, weights, inputs and targets, by one to two relative
/// eps, by its own random amount up or down (always the same one): ModelPoint::perturbed.
///
/// A quantity computed from the perturbed point differs from the original by the rounding of the whole
/// computation, where all roundings come out differently, and by what one rounding of its inputs does to it:
/// a measure of how many of its digits mean something, also where terms cancel, which no bound made of norms
/// sees.
///
/// What it cannot show is a digit that is lost in the same way whatever the last digits of the inputs are:
///
/// - when a small number is added to a large one that the result does not depend on, so that its move does
///   not show either. A sum of products of inputs has no such terms; centring has them. Therefore nothing in
///   the library takes a mean away that is not there in the result: see GaussianTiles, and `Heaviest` and
///   `centre_tokens` of TiledAttention;
/// - in weights e^z of small scores z, which are rounded on the grid of 1, however z moves. Beside the moves
///   of other factors that does not matter in matrices, J or H, but it does in a product with a vector in
///   which the rows of J cancel and the moves with them: compare a product A v with that of the perturbed
///   point and a vector that is moved, too (`perturbed`).
///
/// tests/lib/model/rounding.cpp holds errors against perturbed points, on inputs of mixed sizes.
#pragma once

#include <cstdint>
#include <vector>

#include "basin/model/linearization.h"
#include "basin/model/model_point.h"

namespace basin {

/// The vectors for the products at the perturbed point `index`: every number moved likewise.
template <class S>
Vectors<S> perturbed(const Vectors<S>& V, std::uint64_t index = 0);

/// How many perturbed points it takes to measure the rounding of so many numbers. Of a million, one shows
/// what is typical; of a handful, it may be as wrong as the original is by chance, with a probability of
/// about a seventh in the worst case, a single number that is one product.
inline std::uint64_t perturbations(Index numbers) {
  return numbers <= 1000 ? 16 : numbers <= 1000000 ? 4 : 1;
}

/// Linearised at as many perturbed points as it takes to measure the rounding of J, m x P; they keep nothing
/// between products.
std::vector<Linearization<double>> linearize_perturbed(const ModelPoint<double>& point);

}  // namespace basin
