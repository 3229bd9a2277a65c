#include "basin/spectrum/trace.h"

#include <catch2/catch.hpp>

#include "basin/linalg/combinators.h"
#include "basin/linalg/errors.h"
#include "basin/spectrum/block_norms.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

/// X^T X, from products with X; `seed` moves the last digits of X.
class GramOperator final : public SelfAdjointOperator {
 public:
  explicit GramOperator(Vectors<double> X, std::uint64_t seed = 0)
      : SelfAdjointOperator(X.cols()), X_(std::move(X)) {
    Random random(seed, "digits");
    if (seed > 0)
      for (Index i = 0; i < X_.size(); ++i)
        X_.data()[i] *= random.uniform() < 0.5 ? 1 - 0x1p-52 : 1 + 0x1p-52;
  }

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override {
    out = X_.transpose() * (X_ * V);
  }
  Vectors<double> X_;
};

/// Zero, as far as double precision shows.
class ZeroOperator final : public SelfAdjointOperator {
 public:
  ZeroOperator(Index size, double underflow) : SelfAdjointOperator(size) { set_underflow(underflow); }

 private:
  void do_apply(ConstVectorsRef<double>, VectorsRef<double> out) const override { out.setZero(); }
};

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
  const Vector<double> rounding = row_rounding(A, nullptr);
  double squared_trace = 0, squared_norm = 0, hutchinson = 0;
  const Index runs = 100;
  Index far = 0, outside = 0;
  for (Index seed = 0; seed < runs; ++seed) {
    const TraceEstimates t = estimated_traces(A, rounding, 10, static_cast<std::uint64_t>(seed));
    CHECK(t.products == 20);
    CHECK(t.estimated);
    const double trace_off = (t.trace.value - values.sum()) / t.trace.error;
    const double norm_off = (t.frobenius.value - values.norm()) / t.frobenius.error;
    squared_trace += trace_off * trace_off / static_cast<double>(runs);
    squared_norm += norm_off * norm_off / static_cast<double>(runs);
    outside += (std::abs(trace_off) > 1 ? 1 : 0) + (std::abs(norm_off) > 1 ? 1 : 0);
    far += std::abs(trace_off) > 2 || std::abs(norm_off) > 2 ? 1 : 0;
    hutchinson = std::max(hutchinson, t.trace.error);
  }
  // 95 % intervals, of 2.26 standard errors: with honest ones errors are 0.22 squared half widths on average
  // (Student's t with 9 degrees of freedom has variance 9/7).
  CHECK(outside <= 20);  // of 200: 10 and three standard deviations
  CHECK(squared_trace < 0.6);
  CHECK(squared_norm < 0.6);
  CHECK(squared_trace > 0.02);
  CHECK(far <= 2);
  CHECK(hutchinson < 0.6 * std::sqrt(2.0 / 20) * values.norm());  // Hutchinson's with as many products
}

TEST_CASE("of low rank and dense matrices nothing but rounding is open") {
  Vector<double> values = Vector<double>::Zero(60);
  values.head(4) << 3, -2, 1, 0.5;
  const MatrixOperator A(values, 3);
  const Vector<double> rounding = row_rounding(A, nullptr);
  const TraceEstimates low = estimated_traces(A, rounding, 8);
  CHECK(low.trace.value == Approx(2.5).epsilon(1e-12));
  CHECK(low.frobenius.value == Approx(values.norm()).epsilon(1e-12));
  const TraceEstimates dense = traces_of(assembled_matrix(A));
  CHECK_FALSE(dense.estimated);
  for (const TraceEstimates& t : {low, dense}) {
    CHECK(t.trace.error <= 1e-11);
    CHECK(std::abs(t.trace.value - 2.5) <= t.trace.error);
    CHECK(t.frobenius.error <= 1e-11);
    CHECK(std::abs(t.frobenius.value - values.norm()) <= t.frobenius.error);
  }
  const TraceEstimates all = estimated_traces(A, rounding, 200);  // more probes than dimensions
  CHECK(all.trace.value == Approx(2.5).epsilon(1e-10));
  CHECK_THROWS_AS(estimated_traces(A, rounding, 1), InputError);
}

TEST_CASE("norms of blocks, exact and estimated") {
  const MatrixOperator A(spectrum(90), 5);
  const std::vector<BlockRange> blocks = {{"a", 0, 20}, {"b", 20, 60}, {"c", 80, 10}};
  const Vectors<double> M = assemble(A);
  const BlockNorms exact = block_norms_of(assembled_matrix(A), blocks);
  CHECK_FALSE(exact.estimated);
  CHECK(exact.errors.maxCoeff() <= 1e-12);
  CHECK(exact.errors.minCoeff() > 0);
  const Vector<double> rounding = row_rounding(A, nullptr);
  CHECK(exact.norms(0, 2) == Approx(M.block(0, 80, 20, 10).norm()).epsilon(1e-13));
  CHECK(exact.norms.norm() == Approx(M.norm()).epsilon(1e-13));
  for (Index b = 0; b < 3; ++b) {
    const double trace = M.diagonal().segment(blocks[b].first, blocks[b].size).sum();
    REQUIRE(std::abs(trace) > 1e-3);
    CHECK(std::abs(exact.traces[b] - trace) <= exact.trace_errors[b]);
    CHECK(exact.trace_errors[b] <= 1e-11);
  }
  // the first and last block as one
  const BlockNorms together = grouped(exact, {{"ends", {0, 2}}, {"middle", {1}}});
  Vectors<double> ends(30, 30);
  ends << M.block(0, 0, 20, 20), M.block(0, 80, 20, 10), M.block(80, 0, 10, 20), M.block(80, 80, 10, 10);
  CHECK(together.blocks[0].name == "ends");
  CHECK(together.blocks[0].size == 30);
  CHECK(together.norms(0, 0) == Approx(ends.norm()).epsilon(1e-13));
  CHECK(together.norms(1, 1) == exact.norms(1, 1));
  CHECK(together.norms.norm() == Approx(M.norm()).epsilon(1e-13));
  CHECK(std::abs(together.traces[0] - ends.trace()) <= together.trace_errors[0]);
  CHECK(together.errors(0, 0) >= exact.errors(0, 0));
  Vector<double> squared_traces = Vector<double>::Zero(3);
  Vectors<double> squared = Vectors<double>::Zero(3, 3);
  const Index runs = 60;
  for (Index seed = 0; seed < runs; ++seed) {
    const BlockNorms found = estimated_block_norms(A, rounding, blocks, 20, static_cast<std::uint64_t>(seed));
    CHECK(found.estimated);
    CHECK(found.products == 60);
    CHECK(found.norms(1, 0) == found.norms(0, 1));
    squared_traces.array() +=
        ((found.traces - exact.traces).array() / found.trace_errors.array()).square() / runs;
    squared.array() += ((found.norms - exact.norms).array() / found.errors.array()).square() / runs;
  }
  CHECK(squared.maxCoeff() < 0.7);  // of half the width of 95 % intervals, 2.1 standard errors
  CHECK(squared.minCoeff() > 0.05);
  CHECK(squared_traces.maxCoeff() < 0.7);
  CHECK(squared_traces.minCoeff() > 0.05);
  CHECK_THROWS_AS(estimated_block_norms(A, rounding, blocks, 1), InputError);
}

TEST_CASE("sums of a matrix of parts that cancel hold their errors") {
  // A - B, with B known to nine digits fewer than A - B has: Gram matrices, whose products round.
  const Index size = 40, half = size / 2;
  Vectors<double> X(60, size), Y(60, size);
  Random(4, "parts").fill_normal(X);
  Random(5, "parts").fill_normal(Y);
  const Vectors<double> Z = 3e4 * X + Y;
  const GramOperator A(Z), B(3e4 * X), A_perturbed(Z, 1), B_perturbed(3e4 * X, 1);
  const DifferenceOperator D(A, B), perturbed(A_perturbed, B_perturbed);
  using Long = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
  const Long a = Z.cast<long double>(), b = (3e4 * X).cast<long double>();
  const Long truth = a.transpose() * a - b.transpose() * b;
  const AssembledMatrix assembled = assembled_matrix(D, &perturbed);
  const std::vector<BlockRange> blocks = {{"a", 0, half}, {"b", half, half}};
  const TraceEstimates dense = traces_of(assembled),
                       few = estimated_traces(D, row_rounding(D, &perturbed), size);
  const BlockNorms norms = block_norms_of(assembled, blocks);
  for (const TraceEstimates& t : {dense, few}) {
    CHECK(std::abs(t.trace.value - static_cast<double>(truth.trace())) <= t.trace.error);
    CHECK(std::abs(t.frobenius.value - static_cast<double>(truth.norm())) <= t.frobenius.error);
  }
  CHECK(dense.trace.error <= 1e-9 * static_cast<double>(a.squaredNorm()));
  CHECK(dense.trace.value != static_cast<double>(truth.trace()));
  for (Index i = 0; i < 2; ++i)
    for (Index j = 0; j < 2; ++j)
      CHECK(std::abs(norms.norms(i, j) -
                     static_cast<double>(truth.block(half * i, half * j, half, half).norm())) <=
            norms.errors(i, j));
}

TEST_CASE("sums of matrices of any scale: nothing overflows or vanishes on the way, and what does is named") {
  const Vector<double> values = spectrum(30);
  const std::vector<BlockRange> blocks = {{"a", 0, 10}, {"b", 10, 20}};
  const MatrixOperator unit(values, 2);
  for (const double scale : {0x1p-900, 0x1p-600, 0x1p600, 0x1p900}) {
    const MatrixOperator A(Vectors<double>(scale * assemble(unit)));
    const Vector<double> rounding = row_rounding(A, nullptr), rounding_unit = row_rounding(unit, nullptr);
    const TraceEstimates t = estimated_traces(A, rounding, 6),
                         expected = estimated_traces(unit, rounding_unit, 6);
    CHECK(t.trace.value == Approx(scale * expected.trace.value).epsilon(1e-9));
    CHECK(t.frobenius.value == Approx(scale * expected.frobenius.value).epsilon(1e-9));
    CHECK(t.frobenius.error == Approx(scale * expected.frobenius.error).epsilon(1e-6));
    CHECK(traces_of(assembled_matrix(A)).frobenius.value == Approx(scale * values.norm()).epsilon(1e-12));
    const BlockNorms b = estimated_block_norms(A, rounding, blocks, 6),
                     c = estimated_block_norms(unit, rounding_unit, blocks, 6);
    CHECK((b.norms / scale - c.norms).norm() <= 1e-9 * c.norms.norm());
    CHECK((b.errors / scale - c.errors).norm() <= 1e-6 * c.errors.norm());
  }
  const MatrixOperator huge(Vectors<double>(1e308 * Vectors<double>::Identity(30, 30)));
  CHECK_THROWS_AS(traces_of(assembled_matrix(huge)), WorkError);
}

TEST_CASE("a matrix of zeros is known to what underflows, and not better") {
  const ZeroOperator A(20, 1e-290);
  const std::vector<BlockRange> blocks = {{"a", 0, 10}, {"b", 10, 10}};
  const Vector<double> rounding = row_rounding(A, nullptr);
  const AssembledMatrix assembled = assembled_matrix(A);
  for (const TraceEstimates& t : {traces_of(assembled), estimated_traces(A, rounding, 4)}) {
    CHECK(t.trace.value == 0);
    CHECK(t.trace.error >= 20 * 1e-290);
    CHECK(t.frobenius.error >= std::sqrt(20) * 1e-290);
  }
  CHECK(block_norms_of(assembled, blocks).errors.minCoeff() >= 1e-290);
  CHECK(estimated_block_norms(A, rounding, blocks, 4).errors.minCoeff() >= 1e-290);
}
