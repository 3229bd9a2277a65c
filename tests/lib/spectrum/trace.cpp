#include "spectrum/trace.h"

#include <catch2/catch.hpp>

#include "linalg/errors.h"
#include "spectrum/block_norms.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

/// Decaying, indefinite.
Vector<double> spectrum(Index size) {
  Vector<double> values(size);
  for (Index i = 0; i < size; ++i)
    values[i] = (i % 3 == 0 ? -1.0 : 2.0) / static_cast<double>((1 + i) * (1 + i));
  return values;
}

}  // namespace

TEST_CASE("trace and Frobenius norm: within their errors, which are honest and small") {
  const Vector<double> values = spectrum(200);
  const MatrixOperator A(values, 2);
  double squared_trace = 0, squared_norm = 0, hutchinson = 0;
  const Index runs = 100;
  Index far = 0;
  for (Index seed = 0; seed < runs; ++seed) {
    const TraceEstimates t = estimated_traces(A, 10, static_cast<std::uint64_t>(seed));
    CHECK(t.products == 20);
    CHECK_FALSE(t.exact);
    const double trace_off = (t.trace.value - values.sum()) / t.trace.error;
    const double norm_off = (t.frobenius.value - values.norm()) / t.frobenius.error;
    squared_trace += trace_off * trace_off / static_cast<double>(runs);
    squared_norm += norm_off * norm_off / static_cast<double>(runs);
    far += std::abs(trace_off) > 5 || std::abs(norm_off) > 5 ? 1 : 0;
    hutchinson = std::max(hutchinson, t.trace.error);
  }
  // Errors in units of the stated one: about 1 on average (Student's t with 9 degrees of freedom: 9/7).
  CHECK(squared_trace < 3);
  CHECK(squared_norm < 3);
  CHECK(squared_trace > 0.1);
  CHECK(far <= 2);
  CHECK(hutchinson < 0.3 * std::sqrt(2.0 / 20) * values.norm());  // Hutchinson's with as many products
}

TEST_CASE("low rank and dense matrices are exact") {
  Vector<double> values = Vector<double>::Zero(60);
  values.head(4) << 3, -2, 1, 0.5;
  const MatrixOperator A(values, 3);
  const TraceEstimates low = estimated_traces(A, 8);
  CHECK(low.trace.value == Approx(2.5).epsilon(1e-12));
  CHECK(low.frobenius.value == Approx(values.norm()).epsilon(1e-12));
  CHECK(low.trace.error <= 1e-12);
  const TraceEstimates exact = exact_traces(assemble(A));
  CHECK(exact.exact);
  CHECK(exact.trace.value == Approx(2.5).epsilon(1e-12));
  CHECK(exact.frobenius.value == Approx(values.norm()).epsilon(1e-12));
  const TraceEstimates all = estimated_traces(A, 200);  // more probes than dimensions
  CHECK(all.trace.value == Approx(2.5).epsilon(1e-10));
  const MatrixOperator zero(Vectors<double>(Vectors<double>::Zero(20, 20)));
  CHECK(estimated_traces(zero, 4).frobenius.value == 0);
  CHECK_THROWS_AS(estimated_traces(A, 1), InputError);
}

TEST_CASE("norms of blocks, exact and estimated") {
  const MatrixOperator A(spectrum(90), 5);
  const std::vector<BlockRange> blocks = {{"a", 0, 20}, {"b", 20, 60}, {"c", 80, 10}};
  const Vectors<double> M = assemble(A);
  const BlockNorms exact = exact_block_norms(M, blocks);
  CHECK(exact.norms(0, 2) == Approx(M.block(0, 80, 20, 10).norm()).epsilon(1e-13));
  CHECK(exact.norms.norm() == Approx(M.norm()).epsilon(1e-13));
  Vectors<double> squared = Vectors<double>::Zero(3, 3);
  const Index runs = 60;
  for (Index seed = 0; seed < runs; ++seed) {
    const BlockNorms found = estimated_block_norms(A, blocks, 20, static_cast<std::uint64_t>(seed));
    CHECK(found.products == 60);
    CHECK(found.norms(1, 0) == found.norms(0, 1));
    squared.array() += ((found.norms - exact.norms).array() / found.errors.array()).square() / runs;
  }
  CHECK(squared.maxCoeff() < 3);
  CHECK(squared.minCoeff() > 0.2);
  CHECK_THROWS_AS(estimated_block_norms(A, blocks, 1), InputError);
}
