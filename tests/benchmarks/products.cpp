/// Times of loss, construction (loss and gradient), and products, by size and kernel.
///
///     basin-benchmark --benchmark_format=json          (Google Benchmark: machine readable)
///     basin-benchmark --benchmark_filter=hessian/M     (some of them)
///
/// One thread unless OMP_NUM_THREADS says otherwise. items_per_second counts vectors.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <cstdlib>

#include "model/evaluator.h"
#include "support/cases.h"

using namespace basin;
using namespace basin::test;

namespace {

const std::vector<Case> kSizes = {
    {"S", 16, 8, 32, 2, 8, 8},
    {"M", 64, 32, 128, 4, 16, 16},
    {"L", 256, 128, 256, 4, 64, 64},
    {"X", 16, 1024, 64, 2, 32, 8},
};

using Product = void (Linearization<double>::*)(ConstVectorsRef<double>, VectorsRef<double>) const;

void loss(benchmark::State& state, const Case& c) {
  const Instance<double> instance = make_instance(c);
  LossEvaluator<double> evaluate(instance.model, instance.data);
  for (auto _ : state) benchmark::DoNotOptimize(evaluate(instance.weights));
  state.SetItemsProcessed(state.iterations());
}

void gradient(benchmark::State& state, const Case& c) {
  const Instance<double> instance = make_instance(c);
  for (auto _ : state) benchmark::DoNotOptimize(instance.linearize().gradient().data());
  state.SetItemsProcessed(state.iterations());
}

void product(benchmark::State& state, const Case& c, Product multiply, bool from_outputs, bool to_outputs,
             Index k) {
  const Linearization<double> at = make_instance(c).linearize();
  const auto length = [&](bool outputs) { return outputs ? at.output_size() : at.theta_size(); };
  const Vectors<double> V = random_vectors(length(from_outputs), k, 1);
  Vectors<double> result(length(to_outputs), k);
  for (auto _ : state) {
    (at.*multiply)(V, result);
    benchmark::DoNotOptimize(result.data());
  }
  state.SetItemsProcessed(state.iterations() * k);
}

}  // namespace

int main(int argc, char** argv) {
  if (!std::getenv("OMP_NUM_THREADS")) omp_set_num_threads(1);
  for (const KernelKind kind : {KernelKind::softmax, KernelKind::gaussian})
    for (Case c : kSizes) {
      c.kernel = kind;
      const std::string name = "/" + c.name + "/" + kernel_name(kind);
      const auto add = [&](const std::string& what, auto&&... args) {
        benchmark::RegisterBenchmark((what + name).c_str(), args...)
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      };
      add("loss", loss, c);
      add("gradient", gradient, c);
      for (const Index k : {1, 16}) {
        const std::string block = k == 1 ? "" : "_block_of_16";
        add("jvp" + block, product, c, &Linearization<double>::jvp, false, true, k);
        add("vjp" + block, product, c, &Linearization<double>::vjp, true, false, k);
        add("gauss_newton" + block, product, c, &Linearization<double>::gauss_newton, false, false, k);
        add("hessian" + block, product, c, &Linearization<double>::hessian, false, false, k);
      }
    }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
