#include "basin/spectrum/plan.h"

#include <catch2/catch.hpp>
#include <limits>

#include "basin/spectrum/counts.h"

using namespace basin;

namespace {

constexpr double kEnough = std::numeric_limits<double>::infinity();

SpectrumRequest everything() {
  SpectrumRequest r;
  r.smallest = r.largest = 2;
  r.full = r.counts = r.density = r.norms = true;
  return r;
}

}  // namespace

TEST_CASE("with memory enough all comes from the assembled matrix") {
  const SpectrumPlan plan = plan_spectrum(everything(), 100, kEnough);
  CHECK(plan.dense_counts);
  CHECK(plan.ends_from_matrix);
  CHECK(plan.beyond(kEnough) == nullptr);
  CHECK(plan.bytes() >= 2 * dense_counts_bytes(100));
  CHECK(plan.beyond(plan.bytes()) == nullptr);
  REQUIRE(plan.beyond(1) != nullptr);
  CHECK(plan.beyond(1)->of == "full");
}

TEST_CASE("counts above the limit, or beyond memory, come from eigenpairs") {
  SpectrumRequest r;
  r.counts = true;
  CHECK(plan_spectrum(r, 100, kEnough).dense_counts);
  r.dense_limit = 99;
  const SpectrumPlan above = plan_spectrum(r, 100, kEnough);
  CHECK(!above.dense_counts);
  CHECK(above.eigen.dense_limit == 99);
  REQUIRE(above.needs.size() == 1);
  CHECK(above.needs[0].of == "counts");
  r.dense_limit = kDenseLimit;
  const double bytes = 2 * dense_counts_bytes(100);
  CHECK(plan_spectrum(r, 100, bytes).dense_counts);
  CHECK(!plan_spectrum(r, 100, bytes - 1).dense_counts);
}

TEST_CASE("what is kept shrinks with the memory, and what does not fit is named") {
  SpectrumRequest r;
  r.smallest = 3;
  r.density = true;
  const Index size = 20000;
  const SpectrumPlan roomy = plan_spectrum(r, size, kEnough);
  CHECK(roomy.eigen.krylov_vectors == r.eigen.krylov_vectors);
  CHECK(roomy.quadrature.at_once == r.quadrature.at_once);
  const double memory = roomy.bytes() / 2;
  const SpectrumPlan tight = plan_spectrum(r, size, memory);
  CHECK(tight.beyond(memory) == nullptr);
  CHECK(tight.eigen.krylov_vectors < roomy.eigen.krylov_vectors);
  CHECK(tight.quadrature.at_once < roomy.quadrature.at_once);
  CHECK(tight.quadrature.probes == r.quadrature.probes);
  REQUIRE(plan_spectrum(r, size, 1e6).beyond(1e6) != nullptr);
  CHECK(plan_spectrum(r, size, 1e6).beyond(1e6)->of == "smallest");
  r.smallest = 0;
  CHECK(plan_spectrum(r, size, 1e6).beyond(1e6)->of == "density");
  r.density = false;
  r.norms = true;
  CHECK(plan_spectrum(r, size, 1e6).beyond(1e6)->of == "norms");
}
