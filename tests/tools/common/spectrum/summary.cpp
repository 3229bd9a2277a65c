#include "common/spectrum/summary.h"

#include <catch2/catch.hpp>

using namespace basin;
using namespace basin::tools;

namespace {

SpectrumResults results(SpectrumEnd smallest, SpectrumEnd largest) {
  SpectrumResults r;
  r.matrix = "hessian";
  r.smallest = smallest;
  r.largest = largest;
  return r;
}

EigenvalueCounts counts(Index size, Index removed, Index negative, Index zero) {
  EigenvalueCounts c;
  c.size = size, c.removed = removed, c.negative = negative, c.zero = zero;
  c.positive = size - removed - negative - zero;
  return c;
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

const SpectrumEnd kLargest = {26.1345, 1e-12, true};
const Stationarity kOnTheWay = {0.012, 3e-15, 0.3, 4e-4, 1e-14, 10};
const Stationarity kStationary = {2e-15, 3e-15, 30, 1.5, 1e-14, 10};

}  // namespace

TEST_CASE("the verdict says how large negative curvature is, and whether the point is stationary") {
  const SpectrumResults small = results({-1.2e-5, 3e-10, true}, kLargest);
  CHECK(
      curvature_verdict(small, &kOnTheWay) ==
      "slight negative curvature in the Hessian: the steepest, -1.2e-05 +- 3e-10, is 4.6e-07 of the largest "
      "eigenvalue, 26.1345; the point is not stationary, |grad f| = 0.012 (rounding 3e-15) is about 0.04 of "
      "|J| |F - Y|, the most it can be: negative curvature here says nothing of a saddle nearby");
  SpectrumResults large = results({-9.93, 1e-12, true}, kLargest);
  CHECK(curvature_verdict(large, &kStationary) ==
        "negative curvature in the Hessian: the steepest, -9.93 +- 1e-12, is 0.38 of the largest eigenvalue, "
        "26.1345; the point is stationary to rounding, |grad f| = 2e-15 (rounding 3e-15): it is no minimum");
  large.counts = {counts(40, 0, 12, 1), counts(40, 8, 9, 0)};
  CHECK(
      starts_with(curvature_verdict(large),
                  "negative curvature in the Hessian, 12 of 40 directions: the steepest, -9.93 +- 1e-12, is "
                  "0.38 of the largest eigenvalue, 26.1345 (modulo symmetries 9 of 32 directions)"));
  large.counts[1].negative = 0;
  CHECK(starts_with(curvature_verdict(large).substr(curvature_verdict(large).find('(')),
                    "(modulo symmetries there is none)"));
}

TEST_CASE("a ratio has the digits that hold, or is a bound, or an estimate") {
  const auto text = [](SpectrumEnd smallest, SpectrumEnd largest) {
    return curvature_verdict(results(smallest, largest));
  };
  CHECK(text({-1, 1e-9, true}, {3, 1e-9, true}).find("is 0.33 of") != std::string::npos);
  CHECK(text({-1, 0.3, true}, {4, 0.1, true}).find("is at most 0.34 of") != std::string::npos);
  CHECK(text({-1, 1e-9, true}, {3.0123, 1e-9, false})
            .find("is about 0.33 of the largest eigenvalue, about 3.01") != std::string::npos);
  CHECK(text({-1.23456, 1e-9, false}, {3.0123, 1e-9, false}) ==
        "negative curvature in the Hessian: an eigenvalue is -1.234 or below, which is about 0.41 of the "
        "largest, "
        "about 3.01");
  CHECK(text({-2, 1e-9, true}, {-1, 1e-9, true}).find("and no eigenvalue is clearly positive") !=
        std::string::npos);
}

TEST_CASE("one sentence speaks of one matrix, by its name") {
  SpectrumResults r = results({0.25, 1e-12, true}, kLargest);
  r.removed = 8;
  r.block = "W_Q";
  r.counts = {counts(40, 0, 3, 0), counts(40, 8, 0, 0)};
  CHECK(curvature_verdict(r) ==
        "the W_Q block of the Hessian modulo symmetries is positive definite: the smallest eigenvalue found, "
        "0.25 "
        "+- 1e-12, is 0.0096 of the largest, 26.1345 (of the whole matrix 3 of 40 directions)");
  r.matrix = "gauss-newton";
  r.block.clear();
  CHECK(matrix_title(r, 0) == "Gauss-Newton matrix");
  CHECK(matrix_title(r, 8) == "Gauss-Newton matrix modulo symmetries");
  r.counts.clear();
  r.smallest.found = false;
  CHECK(curvature_verdict(r) ==
        "no negative curvature in the Gauss-Newton matrix modulo symmetries: it is J^T J");
}

TEST_CASE("what rounding hides is not decided") {
  const SpectrumResults r = results({-1, 1e-9, true}, kLargest);
  Stationarity p = kStationary;
  p.gradient = 2e-4, p.gradient_error = 1e-3, p.largest_gradient = 0.1;
  CHECK(curvature_verdict(r, &p).find(
            "whether the point is stationary is not known: |grad f| = 0.0002 (rounding "
            "0.001)") != std::string::npos);
  p.gradient = 0, p.gradient_error = 1e-290, p.largest_gradient = 0;
  CHECK(curvature_verdict(results({0, 1e-290, true}, {0, 1e-290, true}), &p)
            .find("gradient and curvature are zero in double precision, |grad f| = 0 (rounding 1e-290)") !=
        std::string::npos);
  p.theta = 1;  // J = 0, but there is curvature
  CHECK(curvature_verdict(r, &p).find("the point is stationary to rounding") != std::string::npos);
  p.residual = 1e-15, p.residual_error = 1e-14;
  CHECK(curvature_verdict(r, &p).find("f = 0 to rounding, so the point is a global minimum") !=
        std::string::npos);
  p.residual_error = 1;
  p.residual = 0.5;
  CHECK(curvature_verdict(r, &p).find("rounding hides the targets") != std::string::npos);
}

TEST_CASE("a matrix that is zero in double precision is called that") {
  CHECK(curvature_verdict(results({0, 3e-290, true}, {0, 4e-290, true})) ==
        "the Hessian is zero in double precision: every eigenvalue is within 4e-290 of 0");
}
