#include "common/spectrum_file.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace basin::tools {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Appended to the name of a matrix that is restricted to the complement of the symmetry directions.
std::string restriction(Index removed) {
  return removed > 0 ? " modulo symmetries" : "";
}

/// G = J^T J and its blocks have no negative eigenvalue, and no restriction of them has.
bool semidefinite(const SpectrumResults& r) {
  return r.matrix == "gauss-newton";
}

Mass share_below(const SpectrumResults& r, double x) {
  return semidefinite(r) && x <= 0 ? Mass{} : mass_below(*r.quadrature, x);
}

void write_eigenvalues(hdf5::Writer& file, const std::string& group, const std::string& which,
                       const std::string& matrix, const EigenResult& r, bool with_vectors) {
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  file.attribute(group, "operator", matrix);
  file.attribute(group, "method", r.method);
  file.attribute(group, "completeness", r.completeness);
  file.attribute(group, "products", static_cast<std::int64_t>(r.products));
  file.attribute(group, "shared", static_cast<std::int64_t>(r.shared ? 1 : 0));
  file.attribute(group, "requested", static_cast<std::int64_t>(r.requested));
  file.attribute(group, "joint_bound", r.joint_bound);
  file.attribute(group, "no_more_beyond", r.no_more_beyond);
  file.attribute(group, "resolution", r.resolution);
  file.attribute(group, "symmetry", static_cast<std::int64_t>(r.removed));
  std::vector<double> index, value, error, residual;
  std::vector<std::uint8_t> converged;
  for (const Eigenvalue& e : r.eigenvalues) {
    index.push_back(static_cast<double>(index.size() + 1));
    value.push_back(e.value);
    error.push_back(e.error_bound);
    residual.push_back(e.residual);
    converged.push_back(e.converged ? 1 : 0);
  }
  file.write(group + "/index", index);
  file.write(group + "/eigenvalue", value);
  file.write(group + "/eigenvalue_errors", error);
  if (residual.empty() || !std::isnan(residual.front())) file.write(group + "/residual", residual);
  file.write_bytes(group + "/converged", converged, {static_cast<Index>(converged.size())});
  file.write(group + "/title",
             which + " eigenvalues of the " + matrix_title(matrix) + restriction(r.removed));
  if (with_vectors)
    file.write(group + "/eigenvectors", r.eigenvectors.data(),
               {r.eigenvectors.cols(), r.eigenvectors.rows()});
}

void write_counts(hdf5::Writer& file, const std::string& group,
                  const std::vector<std::pair<std::string, EigenvalueCounts>>& counts) {
  file.group(group, "NXcollection");
  const auto rows = static_cast<Index>(counts.size());
  const auto texts = [&](const char* name, const auto& get) {
    std::vector<std::string> column;
    for (const auto& c : counts) column.push_back(get(c));
    file.write(group + "/" + name, column, {rows});
  };
  const auto integers = [&](const char* name, Index EigenvalueCounts::*member) {
    std::vector<std::int64_t> column;
    for (const auto& c : counts) column.push_back(c.second.*member);
    file.write(group + "/" + name, column);
  };
  const auto doubles = [&](const char* name, double EigenvalueCounts::*member) {
    std::vector<double> column;
    for (const auto& c : counts) column.push_back(c.second.*member);
    file.write(group + "/" + name, column);
  };
  const auto flags = [&](const char* name, bool EigenvalueCounts::*member) {
    std::vector<std::uint8_t> column;
    for (const auto& c : counts) column.push_back(c.second.*member ? 1 : 0);
    file.write_bytes(group + "/" + name, column, {rows});
  };
  texts("of", [](const auto& c) { return c.first; });
  integers("size", &EigenvalueCounts::size);
  integers("symmetry", &EigenvalueCounts::removed);
  integers("zero", &EigenvalueCounts::zero);
  integers("negative", &EigenvalueCounts::negative);
  integers("positive", &EigenvalueCounts::positive);
  flags("negative_exact", &EigenvalueCounts::negative_exact);
  flags("zero_exact", &EigenvalueCounts::zero_exact);
  doubles("tolerance", &EigenvalueCounts::tolerance);
  doubles("rounding", &EigenvalueCounts::rounding);
  texts("tolerance_reason", [](const auto& c) { return c.second.tolerance_reason; });
  texts("method", [](const auto& c) { return c.second.method; });
  texts("completeness", [](const auto& c) { return c.second.completeness; });
}

void write_curve(hdf5::Writer& file, const std::string& group, const std::string& title,
                 const DensityCurve& c, const std::string& axis, const std::string& axis_scale) {
  hdf5::make_plot(file, group, "density", {"eigenvalue"});
  hdf5::logarithmic_curve(file, group, axis_scale);
  file.attribute(group, "width", c.width);
  file.attribute(group, "scale", c.scale);
  file.attribute(group, "coordinate", axis);
  file.write(group + "/title", title);
  file.write(group + "/eigenvalue", c.eigenvalue);
  file.write(group + "/density", c.density);
  file.write(group + "/noise", c.noise);
  file.write(group + "/truncation", c.truncation);
  file.write(group + "/density_errors", Vector<double>(1.96 * c.noise + c.truncation));
}

void write_density(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r) {
  const LanczosQuadrature& q = *r.quadrature;
  const std::string title = "spectral density of the " + matrix_title(r.matrix) + restriction(q.removed);
  write_curve(file, prefix + "/density", title, *r.density, "eigenvalue", "linear");
  write_curve(file, prefix + "/density_symlog", title + ", per unit of asinh(eigenvalue / scale)",
              density_curve(q, DensityAxis::symmetric_log, 400), "asinh(eigenvalue / scale)", "symlog");

  const std::string group = prefix + "/quadrature";
  file.group(group, "NXcollection");
  Index most = 0;
  for (const ProbeRule& p : q.probes) most = std::max(most, p.nodes.size());
  const auto probes = static_cast<Index>(q.probes.size());
  Vectors<double> nodes = Vectors<double>::Constant(most, probes, kNaN), weights = nodes, couplings = nodes;
  std::vector<std::uint8_t> exhausted;
  for (Index j = 0; j < probes; ++j) {
    const ProbeRule& p = q.probes[j];
    nodes.col(j).head(p.nodes.size()) = p.nodes;
    weights.col(j).head(p.nodes.size()) = p.weights;
    couplings.col(j).head(p.nodes.size()) = p.couplings;
    exhausted.push_back(p.exhausted ? 1 : 0);
  }
  file.write(group + "/nodes", nodes.data(), {probes, most});
  file.write(group + "/weights", weights.data(), {probes, most});
  file.write(group + "/couplings", couplings.data(), {probes, most});
  file.write_bytes(group + "/exhausted", exhausted, {probes});
  file.attribute(group, "size", static_cast<std::int64_t>(q.size));
  file.attribute(group, "products", static_cast<std::int64_t>(q.products));
  file.attribute(group, "rounding", q.rounding);
  file.attribute(group, "symmetry", static_cast<std::int64_t>(q.removed));

  // The cumulative share on the grid of the symmetric logarithmic axis, and just below zero.
  const std::string cumulative = prefix + "/cumulative";
  const Vector<double> grid = density_curve(q, DensityAxis::symmetric_log, 200).eigenvalue;
  Vector<double> share(grid.size()), lower(grid.size()), upper(grid.size());
  for (Index i = 0; i < grid.size(); ++i) {
    const Mass m = share_below(r, grid[i]);
    share[i] = m.value, lower[i] = m.lower, upper[i] = m.upper;
  }
  hdf5::make_plot(file, cumulative, "share", {"eigenvalue"});
  file.write(cumulative + "/eigenvalue", grid);
  file.write(cumulative + "/share", share);
  file.write(cumulative + "/lower", lower);
  file.write(cumulative + "/upper", upper);
  file.write(cumulative + "/share_errors", Vector<double>((upper - share).cwiseMax(share - lower)));
  file.write(cumulative + "/title",
             std::string("share of the eigenvalues below a value, with its 95 % band"));
  // At zero, and as close to it as the quadrature tells what is there from what is near it.
  for (const auto& [name, x] : {std::pair<std::string, double>{"/negative_mass", -zero_threshold(q)},
                                {"/resolved_mass", -resolved_threshold(q)}}) {
    const Mass m = share_below(r, x);
    file.group(prefix + name, "NXcollection");
    file.write(prefix + name + "/below", x);
    file.write(prefix + name + "/share", m.value);
    file.write(prefix + name + "/lower", m.lower);
    file.write(prefix + name + "/upper", m.upper);
    file.write(prefix + name + "/noise", m.noise);
    file.write(prefix + name + "/truncation", m.truncation);
  }
}

void write_norms(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r) {
  const TraceEstimates& t = *r.traces;
  const std::string traces = prefix + "/traces", norms = prefix + "/block_norms";
  file.group(traces, "NXcollection");
  file.write(traces + "/trace", t.trace.value);
  file.write(traces + "/trace_error", t.trace.error);
  file.write(traces + "/frobenius", t.frobenius.value);
  file.write(traces + "/frobenius_error", t.frobenius.error);
  file.attribute(traces, "exact", static_cast<std::int64_t>(t.exact ? 1 : 0));
  const BlockNorms& b = *r.norms;
  const auto count = static_cast<Index>(b.blocks.size());
  std::vector<std::string> names;
  std::vector<double> number;
  for (const BlockRange& block : b.blocks) {
    names.push_back(block.name);
    number.push_back(static_cast<double>(number.size()));
  }
  hdf5::make_plot(file, norms, "frobenius", {"row", "column"});
  file.write(norms + "/blocks", names, {count});
  file.write(norms + "/row", number);
  file.write(norms + "/column", number);
  file.write(norms + "/frobenius", b.norms.data(), {count, count});
  file.write(norms + "/frobenius_errors", b.errors.data(), {count, count});
  file.attribute(norms, "exact", static_cast<std::int64_t>(b.exact ? 1 : 0));
  file.write(norms + "/title", "Frobenius norms of the blocks of the " + matrix_title(r.matrix));
}

std::string percent(double share) {
  return number(100 * share, 3) + " %";
}

std::string mass_text(const LanczosQuadrature& quadrature, double x) {
  const Mass m = mass_below(quadrature, x);
  return percent(m.value) + " of the eigenvalues are below " + number(x, 3) + " (95 %: " + percent(m.lower) +
         " to " + percent(m.upper) + "; noise " + percent(m.noise) + ", quadrature " + percent(m.truncation) +
         ")";
}

std::string signed_text(const Eigenvalue& e) {
  return with_error(e.value, e.error_bound) + (e.converged ? "" : " (not converged)");
}

const EigenResult* find(const SpectrumResults& r, const std::string& which) {
  for (const auto& [name, result] : r.eigenvalues)
    if (name == which) return &result;
  return nullptr;
}

const EigenvalueCounts* find_counts(const SpectrumResults& r, const std::string& which) {
  for (const auto& [name, counts] : r.counts)
    if (name == which) return &counts;
  return nullptr;
}

std::string counts_text(const EigenvalueCounts& c) {
  const auto least = [](bool exact) { return std::string(exact ? "" : "at least "); };
  std::string text = "P = " + std::to_string(c.size);
  if (c.removed > 0)
    text += " = " + std::to_string(c.removed) + " symmetry modes + " + least(c.zero_exact) +
            std::to_string(c.zero) + " further zero + ";
  else
    text += " = " + least(c.zero_exact) + std::to_string(c.zero) + " zero + ";
  return text + least(c.negative_exact) + std::to_string(c.negative) + " negative + " +
         (c.exact() ? "" : "at most ") + std::to_string(c.positive) +
         " positive (zero: |lambda| <= " + number(c.tolerance, 2) + ", " + c.tolerance_reason + ")";
}

/// "3.1e5 +- 2" or without error when exact.
std::string estimate_text(const Estimate& e) {
  return number(e.value, 6) + (e.error > 0 ? " +- " + number(e.error, 2) : "");
}

}  // namespace

std::string matrix_title(const std::string& matrix) {
  if (matrix == "hessian") return "Hessian";
  return matrix == "gauss-newton" ? "Gauss-Newton matrix" : "residual part";
}

double zero_threshold(const LanczosQuadrature& quadrature) {
  return std::max(1e-10 * std::max(std::abs(quadrature.lowest()), std::abs(quadrature.highest())),
                  quadrature.rounding);
}

double resolved_threshold(const LanczosQuadrature& quadrature) {
  constexpr double kSmall = 0.005;
  const double largest = std::max(std::abs(quadrature.lowest()), std::abs(quadrature.highest()));
  double best = largest, least = 1;
  for (double x = 1e-10 * largest; x < 0.2 * largest; x *= 1.5) {
    const double truncation = mass_below(quadrature, -x).truncation;
    if (truncation <= kSmall) return x;
    if (truncation < 0.8 * least) best = x, least = truncation;
  }
  return best;
}

void write_results(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r,
                   bool with_vectors) {
  for (const auto& [which, result] : r.eigenvalues)
    write_eigenvalues(file, prefix + "/" + which, which, r.matrix, result, with_vectors);
  if (!r.counts.empty()) write_counts(file, prefix + "/counts", r.counts);
  if (r.quadrature) write_density(file, prefix, r);
  if (r.norms) write_norms(file, prefix, r);
}

bool has_no_negative_curvature(const SpectrumResults& r) {
  const EigenvalueCounts* counts = find_counts(r, "modulo symmetries");
  if (counts == nullptr) counts = find_counts(r, "whole");
  if (counts != nullptr) return counts->negative == 0 && counts->exact();
  const EigenResult* all = find(r, "spectrum");
  return all != nullptr && all->eigenvalues.front().value >= -all->eigenvalues.front().error_bound;
}

std::string curvature_verdict(const SpectrumResults& r) {
  const std::string matrix = matrix_title(r.matrix);
  const EigenvalueCounts* counts = find_counts(r, "modulo symmetries");
  if (counts == nullptr) counts = find_counts(r, "whole");
  const EigenResult* all = find(r, "spectrum");
  const EigenResult* smallest = all != nullptr ? all : find(r, "smallest");
  // Only a value of the same matrix backs a verdict.
  if (counts != nullptr && smallest != nullptr && smallest->removed != counts->removed)
    smallest = find(r, "smallest");
  if (counts != nullptr && smallest != nullptr && smallest->removed != counts->removed) smallest = nullptr;
  std::string value;
  if (smallest != nullptr)
    value =
        std::string(smallest->dense ? "the smallest eigenvalue is " : "the smallest eigenvalue found is ") +
        signed_text(smallest->eigenvalues.front());
  if (counts != nullptr) {
    const std::string where = restriction(counts->removed), end = value.empty() ? "" : ": " + value;
    if (counts->removed == counts->size)
      return "no curvature in the " + matrix + where + ": all " + std::to_string(counts->size) +
             " directions are symmetries";
    if (counts->negative > 0)
      return "negative curvature in the " + matrix + where + ", " +
             (counts->negative_exact ? "" : "at least ") + std::to_string(counts->negative) +
             " directions of " + std::to_string(counts->size - counts->removed) + end;
    if (counts->exact() && counts->zero == 0) return "the " + matrix + " is positive definite" + where + end;
    return "no negative curvature beyond the tolerance in the " + matrix + where + end;
  }
  if (smallest != nullptr) {
    const Eigenvalue& e = smallest->eigenvalues.front();
    const std::string where = restriction(smallest->removed);
    if (e.value < -e.error_bound) return "negative curvature in the " + matrix + where + ": " + value;
    if (!e.converged)
      return "no negative curvature found in the " + matrix + where + ", but not converged: " + value;
    if (e.value <= e.error_bound)
      return "no negative curvature beyond the error bound in the " + matrix + where + ": " + value;
    return (smallest->dense ? "the " + matrix + " is positive definite" + where + ": "
                            : "no negative curvature found in the " + matrix + where + ": ") +
           value;
  }
  if (const EigenResult* largest = find(r, "largest"))
    return "the largest eigenvalue found" + restriction(largest->removed) + " is " +
           signed_text(largest->eigenvalues.front());
  if (r.quadrature) {
    const LanczosQuadrature& q = *r.quadrature;
    const std::string where = restriction(q.removed);
    if (semidefinite(r)) return "no negative curvature in the " + matrix + where + ": it is J^T J";
    const double x = zero_threshold(q);
    const Mass m = mass_below(q, -x);
    // A node is an upper bound on the smallest eigenvalue.
    if (q.lowest() < -x)
      return "negative curvature in the " + matrix + where + ": the smallest eigenvalue is at most " +
             number(q.lowest(), 6) + "; about " + percent(m.value) + " are below " + number(-x, 3);
    return "no negative curvature seen in the " + matrix + where + ": up to " + percent(m.upper) +
           " of the eigenvalues (95 %) may be below " + number(-x, 3);
  }
  return "the " + matrix + " has trace " + estimate_text(r.traces->trace) + " and Frobenius norm " +
         estimate_text(r.traces->frobenius);
}

void say_results(Command& command, const SpectrumResults& r) {
  std::vector<std::string> said;  // what backs the results, each sentence once
  for (const auto& [which, result] : r.eigenvalues) {
    if (which == "spectrum") {
      Index negative = 0, zero = 0;
      for (const Eigenvalue& e : result.eigenvalues) {
        negative += e.value < -e.error_bound ? 1 : 0;
        zero += std::abs(e.value) <= e.error_bound ? 1 : 0;
      }
      const auto total = static_cast<Index>(result.eigenvalues.size());
      command.say(
          std::to_string(negative) + " negative, " + std::to_string(zero) +
          " not distinguishable from zero (|lambda| <= " + number(result.eigenvalues.front().error_bound, 2) +
          "), " + std::to_string(total - negative - zero) + " positive, of P = " + std::to_string(total));
    } else {
      command.say(which + restriction(result.removed) + " (" + std::to_string(result.products) +
                  (result.shared ? " products for both ends):" : " products):"));
      for (const Eigenvalue& e : result.eigenvalues) command.say("  " + signed_text(e));
    }
    if (std::find(said.begin(), said.end(), result.completeness) == said.end()) {
      said.push_back(result.completeness);
      command.say("  " + result.completeness);
    }
  }
  for (const auto& [which, counts] : r.counts) {
    command.say(which + ": " + counts_text(counts));
    if (std::find(said.begin(), said.end(), counts.completeness) == said.end()) {
      said.push_back(counts.completeness);
      command.say("  " + counts.completeness);
    }
  }
  if (r.quadrature) {
    const LanczosQuadrature& q = *r.quadrature;
    const double x = zero_threshold(q);
    command.say("density" + restriction(q.removed) + " (" + std::to_string(q.products) +
                " products): " + (semidefinite(r) ? "no eigenvalue of J^T J is below 0" : mass_text(q, -x)));
    const double resolved = resolved_threshold(q);
    if (share_below(r, -x).truncation > 0.005 && resolved > 2 * x)
      command.say("  " + mass_text(q, -resolved));
  }
  if (r.traces)
    command.say("trace " + estimate_text(r.traces->trace) + ", Frobenius norm " +
                estimate_text(r.traces->frobenius) + (r.traces->exact ? " (exact)" : ""));
  if (r.norms) {
    const BlockNorms& b = *r.norms;
    for (std::size_t i = 0; i < b.blocks.size(); ++i) {
      std::string line = "  block norms " + b.blocks[i].name + ":";
      for (std::size_t j = 0; j <= i; ++j) {
        const auto row = static_cast<Index>(i), column = static_cast<Index>(j);
        line += "  " + b.blocks[j].name + " " + estimate_text({b.norms(row, column), b.errors(row, column)});
      }
      command.say(line);
    }
  }
}

}  // namespace basin::tools
