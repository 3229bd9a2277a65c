// Counts what malloc hands out, which is where Eigen and the standard library get their memory. The
// sanitizers bring a malloc of their own: there is nothing to count then.
#include <cstdlib>

#if !defined(BASIN_SANITIZE) && defined(__GLIBC__)

#include <omp.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "basin/network/architecture_json.h"
#include "support/attention_specs.h"
#include "support/example_layers.h"

using namespace basin;
using namespace basin::test;

namespace {
std::atomic<long> allocations = 0;
}

extern "C" void* __libc_malloc(std::size_t);  // NOLINT(bugprone-reserved-identifier): glibc's own name
extern "C" void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

namespace {

/// What malloc hands out when every product is taken a second time.
long allocations_of_products(const Linearization<double>& at, Index k) {
  const Index P = at.theta_size(), m = at.output_size();
  const Vectors<double> V = random_vectors(P, k, 1), U = random_vectors(m, k, 2);
  Vectors<double> JV(m, k), JtU(P, k), GV(P, k), HV(P, k);
  const auto all = [&] {
    at.jvp(V, JV);
    at.vjp(U, JtU);
    at.gauss_newton(V, GV);
    at.hessian(V, HV);
  };
  all();
  const long before = allocations;
  CHECK(before > 0);  // the counter counts
  all();
  return allocations - before;
}

}  // namespace

TEST_CASE("nested networks allocate nothing either, with ids and masks") {
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto memory = GENERATE(std::size_t{0}, std::size_t{1} << 30U);
  const ModelPoint<double> x =
      example_network({"embedding.E", "first.linear.W", "second.inner.attention.W_K"}, true, 40);
  CHECK(allocations_of_products(x.linearize({.memory = memory, .chunk_rows = 16}), 3) == 0);
  omp_set_num_threads(threads_before);
}

TEST_CASE("repeated layers allocate nothing, their states kept or evaluated again") {
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto memory = GENERATE(std::size_t{0}, std::size_t{1} << 30U);
  const Architecture a =
      architecture_from_json(R"({"inputs": {"type": "vectors", "tokens": 5, "width": 6}, "layers": [
    {"type": "repeat", "times": 3, "layers": [
      {"type": "residual", "layers": [{"type": "layer-norm"},
        {"type": "attention", "heads": 2, "head-dim": 3, "bias": "qkvo"}]},
      {"type": "residual", "name": "mlp", "layers": [{"type": "linear", "name": "in", "outputs": 8},
        {"type": "activation", "function": "relu"}, {"type": "linear", "name": "out", "outputs": 6}]}]}]})");
  const auto model = build<double>(a, matching_blocks({"*"}, blocks(a)));
  const ModelPoint<double> x = {
      model, random_vectors(model->parameters().weight_count(), 1, 4),
      std::make_shared<Data<double>>(Data<double>{9, random_vectors(45, 6, 5), random_vectors(45, 6, 6)})};
  CHECK(allocations_of_products(x.linearize({.memory = memory, .chunk_rows = 10}), 3) == 0);
  omp_set_num_threads(threads_before);
}

TEST_CASE("attention with all its options allocates nothing either") {
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto memory = GENERATE(std::size_t{0}, std::size_t{1} << 30U);
  const std::vector<std::string> some = {"softmax.W_Q", "softmax.b_K", "softmax.b_O", "gaussian.W_V",
                                         "gaussian.b_K"};
  const ModelPoint<double> x = attention_network(7, 20, some);
  CHECK(allocations_of_products(x.linearize({.memory = memory, .chunk_rows = 40}), 3) == 0);
  omp_set_num_threads(threads_before);
}

TEST_CASE("products allocate nothing once they have been computed before") {
  const auto kind = GENERATE(KernelKind::softmax, KernelKind::gaussian);
  const Index D_out = GENERATE(9, 100);  // heads summed, or side by side before a linear layer
  const Index k = GENERATE(1, 20);
  const auto memory = GENERATE(std::size_t{0}, std::size_t{1} << 30U);
  const int threads_before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Linearization<double> at =
      make_instance({"allocations", 5, 60, 70, 3, 10, D_out, kind}).linearize({.memory = memory});
  CHECK(allocations_of_products(at, k) == 0);
  omp_set_num_threads(threads_before);
}

#endif
