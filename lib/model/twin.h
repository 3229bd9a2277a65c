/// The same problem with other roundings.
#pragma once

#include <cstdint>
#include <memory>

#include "model/model.h"

namespace basin {

/// Weights and data whose every number is moved by one to two relative eps, by its own random amount up or
/// down (always the same one).
///
/// A quantity computed from the twin differs from the original by the rounding of the whole computation,
/// where all roundings come out differently, and by what one rounding of its inputs does to it: a measure of
/// how many of its digits mean something, also where terms cancel, which no bound made of norms sees.
///
/// What it cannot show is a digit that is lost in the same way whatever the last digits of the inputs are:
///
/// - when a small number is added to a large one that the result does not depend on, so that its move does
/// not
///   show either. A sum of products of inputs has no such terms; centring has them. Therefore nothing in the
///   library takes a mean away that is not there in the result: see GaussianTiles, and `Heaviest` and
///   `centre_tokens` of TiledAttention;
/// - in weights e^z of small scores z, which are rounded on the grid of 1, however z moves. Beside the moves
/// of
///   other factors that does not matter in matrices, J or H, but it does in a product with a vector in which
///   the rows of J cancel and the moves with them: compare a product A v with that of the twin and a vector
///   that is moved, too (`moved`).
///
/// tests/lib/model/rounding.cpp holds errors against twins, on inputs of mixed sizes.
template <class S>
struct Twin {
  Vector<S> weights;
  std::shared_ptr<const Data<S>> data;
};

/// `index`: another one for each number, with other moves.
template <class S>
Twin<S> make_twin(const Vector<S>& weights, const Data<S>& data, std::uint64_t index = 0);

/// The vectors for the products of twin `index`: every number moved likewise.
template <class S>
Vectors<S> moved(const Vectors<S>& V, std::uint64_t index = 0);

/// How many twins it takes to measure the rounding of so many numbers. Of a million, one shows what is
/// typical; of a handful, it may be as wrong as the original is by chance, with a probability of about a
/// seventh in the worst case, a single number that is one product.
inline std::uint64_t rounding_twins(Index numbers) {
  return numbers <= 1000 ? 16 : numbers <= 1000000 ? 4 : 1;
}

}  // namespace basin
