/// The same problem with other roundings.
#pragma once

#include <cstdint>
#include <memory>

#include "model/model.h"

namespace basin {

/// Weights and data whose every number is moved by one relative eps, up or down at random (always the same
/// way).
///
/// A quantity computed from the twin differs from the original by the rounding of the whole computation,
/// where all roundings come out differently, and by what one rounding of its inputs does to it: a measure of
/// how many of its digits mean something, also where terms cancel, which no bound made of norms sees.
struct Twin {
  Vector<double> weights;
  std::shared_ptr<const Data<double>> data;
};

/// `index`: another one for each number, with other moves.
Twin make_twin(const Vector<double>& weights, const Data<double>& data, std::uint64_t index = 0);

/// How many twins it takes to measure the rounding of so many numbers: of few, a single one may show too
/// little by chance.
inline std::uint64_t rounding_twins(Index numbers) {
  return numbers <= 1000000 ? 4 : 1;
}

}  // namespace basin
