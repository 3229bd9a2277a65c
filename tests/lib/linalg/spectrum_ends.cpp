#include "basin/linalg/spectrum_ends.h"

#include <catch2/catch.hpp>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("both ends of known spectra, from any start") {
  const Index size = GENERATE(1, 2, 7, 300);
  Vector<double> values = Vector<double>::LinSpaced(size, -1, 2);
  if (size > 2) values[0] = -4, values[size - 1] = 9;
  const MatrixOperator A(values);
  Vectors<double> none(size, 0);
  const SpectrumEnds cold = spectrum_ends(A, none);
  CHECK(cold.status.converged);
  CHECK(cold.smallest == Approx(values[0]).epsilon(1e-10));
  CHECK(cold.largest == Approx(values[size - 1]).epsilon(1e-10));
  CHECK(cold.smallest_residual <= 1e-6 * 9);
  if (size < 2) return;
  // A start that holds other eigenvectors exactly does not hide the ends.
  const Vectors<double> Q = random_orthogonal(size, 1);
  const SpectrumEnds misled = spectrum_ends(A, Q.middleCols(size / 2, 1));
  CHECK(misled.smallest == Approx(values[0]).epsilon(1e-10));
  CHECK(misled.largest == Approx(values[size - 1]).epsilon(1e-10));
  const SpectrumEnds warm = spectrum_ends(A, cold.vectors);
  CHECK(warm.largest == Approx(values[size - 1]).epsilon(1e-10));
  for (Index j = 0; j < 2; ++j) CHECK(warm.vectors.col(j).norm() == Approx(1));
}

TEST_CASE("a good start saves products") {
  const MatrixOperator A(
      Vector<double>(Vector<double>::LinSpaced(300, -1, 2)));  // ends that are hard to find
  const SpectrumEnds cold = spectrum_ends(A, Vectors<double>(300, 0)), warm = spectrum_ends(A, cold.vectors);
  CHECK(warm.status.converged);
  CHECK(2 * warm.status.products < cold.status.products);
}

TEST_CASE("not converging is said") {
  const MatrixOperator A(Vector<double>(Vector<double>::LinSpaced(400, 0, 1).array().pow(8)));
  const SpectrumEnds ends =
      spectrum_ends(A, Vectors<double>(400, 0), {.tolerance = 1e-14, .max_products = 30});
  CHECK_FALSE(ends.status.converged);
  CHECK_THAT(ends.status.text, Catch::Matchers::StartsWith("the residuals are above the tolerance after "));
  CHECK(ends.status.products >= 30);
  CHECK(ends.smallest >= -1e-14);
}
