#include "basin/linalg/lapack.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "basin/linalg/dense.h"
#include "support/known_matrix.h"

using namespace basin;
using namespace basin::test;

TEST_CASE("the library that was loaded says what it is, and leaves the environment as it was") {
  const char* const before = std::getenv("OPENBLAS_CORETYPE");
  const lapack::Library& library = lapack::library();
  CHECK(!library.name.empty());
  CHECK(library.text().rfind(library.name, 0) == 0);
  CHECK(std::getenv("OPENBLAS_CORETYPE") == before);
  CHECK(lapack::symbol("dgemm_") != nullptr);
  CHECK(lapack::symbol("no_such_routine_") == nullptr);
}

// OpenBLAS 0.3.21 takes processors that it does not know for one with SSE3 alone.
TEST_CASE("a processor with AVX2 is not served by code for older ones") {
#if defined(__x86_64__)
  const std::string core = lapack::library().core;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !std::getenv("OPENBLAS_CORETYPE") &&
      !core.empty()) {
    INFO(core);
    CHECK((core == "Zen" || core == "Haswell" || core == "SkylakeX" || core == "Cooperlake" ||
           core == "SapphireRapids"));
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) CHECK(core == "SkylakeX");
  }
#endif
}

// Debian's OpenBLAS without threads fails this: it has no locks.
TEST_CASE("threads that call at the same time get the same bits") {
  constexpr Index n = 96;
  constexpr int kThreads = 4, kCalls = 30;
  Vector<double> values(n);
  Random(1, "values").fill_normal(values);
  const Vectors<double> Q = random_orthogonal(n, 1), A = Q * values.asDiagonal() * Q.transpose();
  const SymmetricEigen once = symmetric_eigen(A, true);
  std::vector<int> wrong(kThreads, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int call = 0; call < kCalls; ++call) {
        const SymmetricEigen again = symmetric_eigen(A, true);
        if (again.values != once.values || again.vectors != once.vectors) ++wrong[t];
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(kThreads, 0));
}

TEST_CASE("matrices that are not numbers are refused by name") {
  Vectors<double> A = Vectors<double>::Identity(3, 3);
  A(2, 1) = std::nan("");
  CHECK_THROWS_WITH(symmetric_eigen(A, false), Catch::Contains("dsyevd") && Catch::Contains("not a number"));
  CHECK_THROWS_WITH(singular_values(A), Catch::Contains("dgesvd"));
  CHECK_THROWS_WITH(inertia(A), Catch::Contains("dsytrf_rook"));
}
