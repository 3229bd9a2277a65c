/// What times are divided by, and what every benchmark reports.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <string>

#include <omp.h>

#include "basin/linalg/lapack.h"
#include "basin/linalg/product.h"
#include "basin/model/evaluator.h"
#include "basin/model/linearization.h"
#include "support/cases.h"

namespace basin::test {

/// Operations per second of product(), of so many operations: the best of the repetitions.
inline double speed(double operations, int repetitions, const std::function<void()>& product) {
  double best = HUGE_VAL;
  for (int repeat = 0; repeat < repetitions; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    product();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return operations / best;
}

/// A matrix product of BLAS, on one thread.
template <class S>
double blas_speed() {
  const char* const name = sizeof(S) == 8 ? "dgemm_" : "sgemm_";
  using Product = void (*)(const char*, const char*, const int*, const int*, const int*, const S*, const S*,
                           const int*, const S*, const int*, const S*, S*, const int*);
  const auto product = reinterpret_cast<Product>(lapack::symbol(name));
  if (!product) return 0;
  const int n = 1024;
  const S one = 1, zero = 0;
  const Matrix<S> A = Matrix<S>::Ones(n, n), B = A;
  Matrix<S> C(n, n);
  return speed(2.0 * n * n * n, 30,
               [&] { product("N", "N", &n, &n, &n, &one, A.data(), &n, B.data(), &n, &zero, C.data(), &n); });
}

/// A product of our own whose matrices are in cache.
template <class S>
double kernel_speed() {
  constexpr Index n = 48, inner = 64, calls = 200;
  const Matrix<S> A = Matrix<S>::Ones(n, inner), B = Matrix<S>::Ones(inner, n);
  Matrix<S> C(n, n);
  return speed(2.0 * n * n * inner * calls, 100, [&] {
    for (Index call = 0; call < calls; ++call) sum_of_products<S>({{tile(A), tile(B)}}, tile(C));
  });
}

template <class S>
double peak() {
  static const double measured = std::max(blas_speed<S>(), kernel_speed<S>());
  return measured;
}

/// Resident memory in MB, the largest since `forget_peak_memory`.
inline double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1e3;
  return 0;
}
inline void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << 5;
}

/// Floating-point operations that are necessary for all samples, forward and in the derivative rules; what is
/// elementwise or done once for all samples is not counted.
struct Work {
  double value, tangent, adjoint, tangent_of_adjoint;
};

inline void report(benchmark::State& state, double flops, double flops_per_second, Index vectors = 1) {
  using benchmark::Counter;
  state.SetItemsProcessed(state.iterations() * vectors);
  state.counters["limit"] = Counter(static_cast<double>(vectors) * flops / flops_per_second,
                                    Counter::kIsIterationInvariantRate | Counter::kInvert);
  state.counters["MB"] = peak_memory();
}

/// Products with k random vectors. `point`: called once in the benchmark. `memory`: of the linearization.
template <class S>
void time_products(benchmark::State& state, const std::function<ModelPoint<double>()>& point,
                   void (Linearization<S>::*multiply)(ConstVectorsRef<S>, VectorsRef<S>) const, double flops,
                   bool from_outputs, bool to_outputs, Index k, int threads, std::size_t memory) {
  forget_peak_memory();
  omp_set_num_threads(threads);
  const Linearization<S> at = point().template cast<S>().linearize({.memory = memory});
  const auto length = [&](bool outputs) { return outputs ? at.output_size() : at.theta_size(); };
  const Vectors<S> V = random_vectors(length(from_outputs), k, 1).template cast<S>();
  Vectors<S> result(length(to_outputs), k);
  for (auto _ : state) {
    (at.*multiply)(V, result);
    benchmark::DoNotOptimize(result.data());
  }
  report(state, flops, peak<S>() * threads, k);
  omp_set_num_threads(1);
}

inline void time_loss(benchmark::State& state, const std::function<ModelPoint<double>()>& point,
                      double flops) {
  const ModelPoint<double> at = point();
  LossEvaluator<double> evaluate(at);
  forget_peak_memory();
  for (auto _ : state) benchmark::DoNotOptimize(evaluate(at.weights));
  report(state, flops, peak<double>());
}

/// Loss and gradient. With `keep`, what products need is kept: the construction of a Linearization.
inline void time_gradient(benchmark::State& state, const std::function<ModelPoint<double>()>& point,
                          double flops, bool keep) {
  const ModelPoint<double> at = point();
  LinearizationOptions options;
  options.keep = keep;
  forget_peak_memory();
  for (auto _ : state) benchmark::DoNotOptimize(at.linearize(options).gradient().data());
  report(state, flops, peak<double>());
}

/// All of them, named WORK/name: losses, gradients, products one by one and in blocks of k, on two threads,
/// in single precision.
inline void add_benchmarks(const std::string& name, const std::function<ModelPoint<double>()>& point,
                           const Work& w, Index k) {
  using L = Linearization<double>;
  const auto add = [&](const std::string& what, auto&&... args) {
    benchmark::RegisterBenchmark((what + "/" + name).c_str(), args...)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  const double hessian = w.tangent + w.tangent_of_adjoint;
  add("loss", time_loss, point, w.value);
  add("gradient", time_gradient, point, w.value + w.adjoint, false);
  add("construction", time_gradient, point, w.value + w.adjoint, true);
  constexpr std::size_t kMemory = std::size_t{8} << 30U;  // at G2, too, blocks are multiplied at once
  for (const Index count : {Index{1}, k}) {
    const std::string block = count == 1 ? "" : "_block_of_" + std::to_string(count);
    add("jvp" + block, time_products<double>, point, &L::jvp, w.tangent, false, true, count, 1, kMemory);
    add("vjp" + block, time_products<double>, point, &L::vjp, w.adjoint, true, false, count, 1, kMemory);
    add("gauss_newton" + block, time_products<double>, point, &L::gauss_newton, w.tangent + w.adjoint, false,
        false, count, 1, kMemory);
    add("hessian" + block, time_products<double>, point, &L::hessian, hessian, false, false, count, 1,
        kMemory);
  }
  add("hessian_2_threads", time_products<double>, point, &L::hessian, hessian, false, false, 1, 2, kMemory);
  add("hessian_without_memory", time_products<double>, point, &L::hessian, hessian, false, false, 1, 1,
      std::size_t{0});
  add("hessian_float", time_products<float>, point, &Linearization<float>::hessian, hessian, false, false, 1,
      1, kMemory);
}

/// The deep networks (networks.cpp).
void add_networks();

}  // namespace basin::test
