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
#include "basin/landscape/directions.h"
#include "machine.h"
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

/// The necessary operations, with W_V W_O multiplied first or not, whichever takes fewer.
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

}  // namespace

int main(int argc, char** argv) {
  omp_set_num_threads(1);
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : kSizes) {
      c.kernel = kind;
      const std::string name = c.name + "/" + kernel_name(kind);
      add_benchmarks(
          name, [c] { return make_instance(c); }, work_of(c), 16);
      benchmark::RegisterBenchmark(("slice/" + name).c_str(), slice, c)
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  add_networks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("lapack", lapack::library().text());
  benchmark::AddCustomContext("dgemm_gflops", std::to_string(blas_speed<double>() * 1e-9));
  benchmark::AddCustomContext("kernel_gflops", std::to_string(kernel_speed<double>() * 1e-9));
  benchmark::AddCustomContext("peak_gflops", std::to_string(peak<double>() * 1e-9));
  benchmark::RunSpecifiedBenchmarks();
}
