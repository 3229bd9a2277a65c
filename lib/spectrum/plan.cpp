#include "basin/spectrum/plan.h"

#include <algorithm>

#include "basin/spectrum/counts.h"
#include "basin/spectrum/trace.h"

namespace basin {
namespace {

/// Makes what eigenpairs of the ends keep small enough, if that can be.
void fit(EigenOptions& eigen, Index size, Index smallest, Index largest, double memory) {
  const auto bytes = [&] { return extreme_eigenpairs_bytes(size, smallest, largest, eigen); };
  if (bytes() > memory) eigen.dense_limit = 0;
  // What is left is for the linearization. A space of half as many vectors takes several times the products.
  while (eigen.krylov_vectors > 24 && bytes() > 0.75 * memory) eigen.krylov_vectors -= 8;
  while (eigen.probe_steps > 6 && bytes() > memory) --eigen.probe_steps;
}

}  // namespace

double SpectrumPlan::bytes() const {
  double most = 0;
  for (const Need& need : needs) most = std::max(most, need.bytes);
  return most;
}

const SpectrumPlan::Need* SpectrumPlan::beyond(double memory) const {
  for (const Need& need : needs)
    if (need.bytes > memory) return &need;
  return nullptr;
}

SpectrumPlan plan_spectrum(const SpectrumRequest& r, Index P, double memory) {
  SpectrumPlan plan;
  plan.eigen = r.eigen;
  plan.eigen.dense_limit = std::min(r.eigen.dense_limit, r.dense_limit);
  plan.quadrature = r.quadrature;
  const auto need = [&](const char* of, double bytes) { plan.needs.push_back({of, bytes}); };

  const auto size = static_cast<double>(P);
  const bool ends = r.smallest > 0 || r.largest > 0;
  if (r.full) need("full", full_spectrum_bytes(P, r.with_vectors));
  plan.dense_counts = r.counts && P <= r.dense_limit && 2 * dense_counts_bytes(P) <= memory;
  if (plan.dense_counts) need("counts", 2 * dense_counts_bytes(P));
  const double beside_matrix = full_spectrum_bytes(P, r.with_vectors) + 8 * size * size;
  if (plan.dense_counts && r.full) need("full", beside_matrix);
  // Where all eigenvectors would have to be computed for those of the ends, products are cheaper.
  plan.ends_from_matrix = (plan.dense_counts || r.full) && ends && beside_matrix <= memory &&
                          (r.full || !r.with_vectors || P <= plan.eigen.dense_limit);
  if (plan.ends_from_matrix) need("full", beside_matrix);

  const Index to_count =
      r.counts && !plan.dense_counts ? std::min(std::max(r.smallest, kFewestToCount), P) : 0;
  const Index smallest = std::max(r.smallest, to_count);
  if (!plan.ends_from_matrix && (smallest > 0 || r.largest > 0)) {
    fit(plan.eigen, P, smallest, r.largest, memory);
    need(r.largest > 0    ? "largest"
         : r.smallest > 0 ? "smallest"
                          : "counts",
         extreme_eigenpairs_bytes(P, smallest, r.largest, plan.eigen));
  }
  if (r.norms && !(r.full || plan.dense_counts))
    need("norms", estimated_traces_bytes(P, std::min(P, r.norm_probes)));
  if (r.density) {
    QuadratureOptions& q = plan.quadrature;
    while (q.at_once > 1 && lanczos_quadrature_bytes(P, q) > memory / 2) q.at_once = (q.at_once + 1) / 2;
    need("density", lanczos_quadrature_bytes(P, q));
  }
  return plan;
}

}  // namespace basin
