#include "basin/spectrum/analysis.h"

#include <catch2/catch.hpp>
#include <limits>

#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

namespace {

constexpr Index kSize = 60;

/// -2, -1, then 0.1 to 3.
Vector<double> known() {
  Vector<double> values = Vector<double>::LinSpaced(kSize, 0.1, 3);
  values[0] = -2, values[1] = -1;
  return values;
}

SpectrumAnalysis analyse(const SpectrumSubject& of, const SpectrumRequest& request,
                         double memory = std::numeric_limits<double>::infinity()) {
  return analyse_spectrum(of, request, plan_spectrum(request, of.A.rows(), memory));
}

}  // namespace

TEST_CASE("one analysis has all that is asked for, with and without the matrix") {
  const MatrixOperator A(known());
  SpectrumRequest request;
  request.smallest = request.largest = 2;
  request.counts = request.density = request.norms = true;
  const bool dense = GENERATE(true, false);
  const double memory = dense ? std::numeric_limits<double>::infinity() : 1e5;
  REQUIRE(plan_spectrum(request, kSize, memory).dense_counts == dense);
  const SpectrumAnalysis found =
      analyse({.A = A, .blocks = {{"first", 0, 10}, {"rest", 10, kSize - 10}}}, request, memory);

  REQUIRE(found.find("smallest") != nullptr);
  CHECK(found.find("spectrum") == nullptr);
  CHECK(found.find("smallest")->eigenvalues[1].value == Approx(-1));
  CHECK(found.find("largest")->eigenvalues[0].value == Approx(3));
  CHECK(found.find("largest")->dense == dense);
  CHECK(found.all_converged());
  CHECK(found.smallest.found);
  CHECK(std::abs(found.smallest.value + 2) <= found.smallest.error);
  CHECK(std::abs(found.largest.value - 3) <= found.largest.error);
  REQUIRE(found.find_counts(0) != nullptr);
  CHECK(found.find_counts(0)->negative == 2);
  CHECK(found.find_counts(0)->negative_exact);
  CHECK(found.find_counts(7) == nullptr);
  CHECK(!found.has_no_negative());
  REQUIRE(found.density);
  CHECK(std::abs(mass_below(*found.quadrature, -0.5).value - 2.0 / kSize) < 0.1);
  REQUIRE(found.traces);
  CHECK(found.traces->estimated == !dense);
  CHECK(std::abs(found.traces->trace.value - known().sum()) <= 3 * found.traces->trace.error);
  REQUIRE(found.norms);
  CHECK(found.norms->blocks[1].name == "rest");
}

TEST_CASE("the ends are known whatever was asked for") {
  const MatrixOperator A(known());
  SpectrumRequest request;
  request.norms = true;
  request.dense_limit = 0;
  const SpectrumAnalysis found = analyse({.A = A}, request);
  CHECK(!found.smallest.found);
  CHECK(found.smallest.value == Approx(-2).margin(0.1));
  CHECK(found.largest.value == Approx(3).margin(0.1));
  CHECK(found.counts.empty());
  CHECK(!found.has_no_negative());  // nothing excludes it
}

TEST_CASE("a space is set aside in what asks for it, and counted in both ways") {
  const MatrixOperator A(known());
  const Vectors<double> X = random_orthogonal(kSize, 1).leftCols(2);  // the eigenvectors of -2 and -1
  const SpectrumSubject of = {.A = A, .remove = removal_of(X), .modes = 2};
  SpectrumRequest request;
  request.full = request.counts = request.restricted = true;
  std::vector<std::string> works;
  const SpectrumAnalysis found =
      analyse_spectrum(of, request, plan_spectrum(request, kSize, 1e12), {{}, [&](const std::string& work) {
                                                                            works.push_back(work);
                                                                            return Progress();
                                                                          }});
  CHECK(works == std::vector<std::string>{"columns"});
  REQUIRE(found.find("spectrum") != nullptr);
  CHECK(found.find("spectrum")->eigenvalues.size() == kSize - 2);
  CHECK(found.removed == 2);
  CHECK(found.smallest.value == Approx(known()[2]));
  REQUIRE(found.counts.size() == 2);
  CHECK(found.find_counts(0)->negative == 2);
  CHECK(found.find_counts(2)->negative == 0);
  CHECK(found.has_no_negative());

  request.restricted = false;
  CHECK(analyse(of, request).smallest.value == Approx(-2));
}

TEST_CASE("where the space is all there is, nothing is left") {
  const MatrixOperator A(known());
  const Vectors<double> X = random_orthogonal(kSize, 1);
  SpectrumRequest request;
  request.full = request.restricted = true;
  const SpectrumAnalysis found = analyse({.A = A, .remove = removal_of(X), .modes = kSize}, request);
  CHECK(found.removed == kSize);
  CHECK(std::isnan(found.smallest.value));
  CHECK(std::isnan(found.largest.error));
}
