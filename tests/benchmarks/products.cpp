/// Times of losses, gradients and products, by size and kernel, against the limit of the machine.
///
///     basin-benchmark --benchmark_filter=hessian/M                       (some of them)
///     basin-benchmark --benchmark_out=times.json                         (machine readable, beside the
///     table)
///
/// Columns: `limit` is the time divided by the time that the necessary floating-point operations would take
/// at the speed of a 1024 x 1024 x 1024 matrix product of BLAS or of our own kernel in cache, whichever is
/// faster, measured at the start of the run on one thread (in the same precision); `MB` is the largest
/// resident memory of the process during the measurement. One thread, where the name does not say otherwise.
/// items_per_second counts vectors.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>

#include "basin/landscape/directions.h"
#include "basin/linalg/lapack.h"
#include "basin/linalg/product.h"
#include "basin/model/evaluator.h"
#include "support/cases.h"
#include "support/plane.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::vector<Case> kSizes = {
    {"S", 16, 8, 32, 2, 8, 8},
    {"M", 64, 32, 128, 4, 16, 16},
    {"L", 256, 128, 256, 4, 64, 64},
    {"X", 16, 1024, 64, 2, 32, 8},
};

// ---- the machine ------------------------------------------------------------------------------------------

/// Operations per second of product(), of so many operations: the best of the repetitions.
double speed(double operations, int repetitions, const std::function<void()>& product) {
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
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1e3;
  return 0;
}
void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << 5;
}

// ---- the work ---------------------------------------------------------------------------------------------

/// Floating-point operations that are necessary for all samples, with W_V W_O multiplied first or not,
/// whichever takes fewer; what is elementwise or done once for all samples is not counted.
struct Work {
  double value, tangent, adjoint, tangent_of_adjoint;
};

Work work_with(const Case& c, bool multiplied) {
  const double n = static_cast<double>(c.n), D = static_cast<double>(c.D), d = static_cast<double>(c.d);
  const double out = static_cast<double>(c.D_out), e = multiplied ? out : d;
  const double scores = 2 * n * n * d, values = 2 * n * n * e;  // Q K^T;  A V
  const double projections = 2 * n * D * (2 * d + e), rest = multiplied ? 0 : 2 * n * d * out;
  const Work per_head = {
      projections + scores + values + rest, projections + 2 * scores + 2 * values + 2 * rest,
      projections + 2 * scores + 2 * values + 2 * rest, projections + 4 * scores + 4 * values + 4 * rest};
  const double heads = static_cast<double>(c.N * c.H);
  return {heads * per_head.value, heads * per_head.tangent, heads * per_head.adjoint,
          heads * per_head.tangent_of_adjoint};
}

Work work_of(const Case& c) {
  const Work a = work_with(c, true), b = work_with(c, false);
  return a.tangent_of_adjoint < b.tangent_of_adjoint ? a : b;
}

void report(benchmark::State& state, double flops, double flops_per_second, Index vectors = 1) {
  using benchmark::Counter;
  state.SetItemsProcessed(state.iterations() * vectors);
  state.counters["limit"] = Counter(static_cast<double>(vectors) * flops / flops_per_second,
                                    Counter::kIsIterationInvariantRate | Counter::kInvert);
  state.counters["MB"] = peak_memory();
}

void loss(benchmark::State& state, const Case& c) {
  const ModelPoint<double> instance = make_instance(c);
  LossEvaluator<double> evaluate(instance);
  forget_peak_memory();
  for (auto _ : state) benchmark::DoNotOptimize(evaluate(instance.weights));
  report(state, work_of(c).value, peak<double>());
}

/// A whole slice of 51 x 51 points along filter-normalised directions, one iteration of it at the large
/// sizes.
void slice(benchmark::State& state, const Case& c) {
  const ModelPoint<double> instance = make_instance(c);
  Random x(1, "x"), y(1, "y");
  const auto u = random_direction(instance, Normalisation::filter, x);
  const auto v = random_direction(instance, Normalisation::filter, y);
  const Grid grid{{-1, 1, 51}, {-1, 1, 51}};
  forget_peak_memory();
  for (auto _ : state) {
    const auto plane = plane_loss(instance, u, v, grid);
    benchmark::DoNotOptimize(loss_on_plane(*plane, grid).data());
  }
  state.SetItemsProcessed(state.iterations() * grid.size());
  state.counters["MB"] = peak_memory();
}

/// Loss and gradient. With `keep`, what products need is kept: the construction of a Linearization.
void gradient(benchmark::State& state, const Case& c, bool keep) {
  const ModelPoint<double> instance = make_instance(c);
  LinearizationOptions options;
  if (!keep) options.memory = 0;
  forget_peak_memory();
  for (auto _ : state) benchmark::DoNotOptimize(instance.linearize(options).gradient().data());
  report(state, work_of(c).value + work_of(c).adjoint, peak<double>());
}

template <class S>
void product(benchmark::State& state, const Case& c,
             void (Linearization<S>::*multiply)(ConstVectorsRef<S>, VectorsRef<S>) const, double flops,
             bool from_outputs, bool to_outputs, Index k, int threads) {
  forget_peak_memory();
  omp_set_num_threads(threads);
  const Linearization<S> at = make_instance(c).cast<S>().linearize();
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

void add_all(const Case& c) {
  using L = Linearization<double>;
  const Work w = work_of(c);
  const auto add = [&](const std::string& what, auto&&... args) {
    benchmark::RegisterBenchmark((what + "/" + c.name + "/" + kernel_name(c.kernel)).c_str(), args...)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  add("loss", loss, c);
  add("slice", slice, c);
  add("gradient", gradient, c, false);
  add("construction", gradient, c, true);
  for (const Index k : {1, 16}) {
    const std::string block = k == 1 ? "" : "_block_of_16";
    add("jvp" + block, product<double>, c, &L::jvp, w.tangent, false, true, k, 1);
    add("vjp" + block, product<double>, c, &L::vjp, w.adjoint, true, false, k, 1);
    add("gauss_newton" + block, product<double>, c, &L::gauss_newton, w.tangent + w.adjoint, false, false, k,
        1);
    add("hessian" + block, product<double>, c, &L::hessian, w.tangent + w.tangent_of_adjoint, false, false, k,
        1);
  }
  add("hessian_2_threads", product<double>, c, &L::hessian, w.tangent + w.tangent_of_adjoint, false, false, 1,
      2);
  add("hessian_float", product<float>, c, &Linearization<float>::hessian, w.tangent + w.tangent_of_adjoint,
      false, false, 1, 1);
}

}  // namespace

int main(int argc, char** argv) {
  omp_set_num_threads(1);
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : kSizes) {
      c.kernel = kind;
      add_all(c);
    }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("lapack", lapack::library().text());
  benchmark::AddCustomContext("dgemm_gflops", std::to_string(blas_speed<double>() * 1e-9));
  benchmark::AddCustomContext("kernel_gflops", std::to_string(kernel_speed<double>() * 1e-9));
  benchmark::AddCustomContext("peak_gflops", std::to_string(peak<double>() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
}
