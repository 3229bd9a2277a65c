#include "common/spectrum/file.h"

#include <cmath>
#include <cstdint>

#include "common/spectrum/density_file.h"

namespace basin::tools {
namespace {

void write_eigenvalues(hdf5::Writer& file, const std::string& group, const std::string& which,
                       const SpectrumResults& of, const EigenResult& r, const WrittenVectors& vectors) {
  hdf5::make_plot(file, group, "eigenvalue", {"index"});
  name_matrix(file, group, of, r.removed);
  file.attribute(group, "operator", of.matrix);
  file.attribute(group, "method", r.method);
  file.attribute(group, "completeness", r.completeness);
  file.attribute(group, "products", static_cast<std::int64_t>(r.products));
  file.attribute(group, "shared", static_cast<std::int64_t>(r.shared ? 1 : 0));
  file.attribute(group, "requested", static_cast<std::int64_t>(r.requested));
  file.attribute(group, "joint_bound", r.joint_bound);
  file.attribute(group, "no_more_beyond", r.no_more_beyond);
  file.attribute(group, "resolution", r.resolution);
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
  const bool has_residuals = residual.empty() || !std::isnan(residual.front());
  if (has_residuals) file.write(group + "/residual", residual);
  file.write_bytes(group + "/converged", converged, {static_cast<Index>(converged.size())});
  file.write(group + "/title",
             (which == "spectrum" ? "all" : which) + " eigenvalues of the " + matrix_title(of, r.removed));
  if (vectors.arrays)
    file.write(group + "/eigenvectors", r.eigenvectors.data(),
               {r.eigenvectors.cols(), r.eigenvectors.rows()});
  std::vector<std::string> arrays = {"eigenvalue", "eigenvalue_errors", "converged"};
  if (has_residuals) arrays.emplace_back("residual");
  hdf5::name_dimensions(file, group, arrays, {"index"});
  if (vectors.arrays) file.dimensions(group + "/eigenvectors", {group + "/index", ""});
  if (vectors.by_tensor)
    for (Index k = 0; k < r.eigenvectors.cols(); ++k)
      vectors.by_tensor->write(file, group + "/by_tensor/" + std::to_string(k), r.eigenvectors.col(k));
}

void write_counts(hdf5::Writer& file, const std::string& group, const SpectrumResults& r) {
  const std::vector<EigenvalueCounts>& counts = r.counts;
  file.group(group, "NXcollection");
  const auto rows = static_cast<Index>(counts.size());
  const auto texts = [&](const char* name, const auto& get) {
    std::vector<std::string> column;
    for (const auto& c : counts) column.push_back(get(c));
    file.write(group + "/" + name, column, {rows});
  };
  const auto integers = [&](const char* name, Index EigenvalueCounts::*member) {
    std::vector<std::int64_t> column;
    for (const auto& c : counts) column.push_back(c.*member);
    file.write(group + "/" + name, column);
  };
  const auto doubles = [&](const char* name, double EigenvalueCounts::*member) {
    std::vector<double> column;
    for (const auto& c : counts) column.push_back(c.*member);
    file.write(group + "/" + name, column);
  };
  const auto flags = [&](const char* name, bool EigenvalueCounts::*member) {
    std::vector<std::uint8_t> column;
    for (const auto& c : counts) column.push_back(c.*member ? 1 : 0);
    file.write_bytes(group + "/" + name, column, {rows});
  };
  texts("of", [](const auto& c) { return std::string(c.removed > 0 ? "modulo symmetries" : "whole"); });
  texts("matrix", [&](const auto& c) { return matrix_title(r, c); });
  integers("size", &EigenvalueCounts::size);
  integers("symmetry", &EigenvalueCounts::removed);
  integers("zero", &EigenvalueCounts::zero);
  integers("negative", &EigenvalueCounts::negative);
  integers("positive", &EigenvalueCounts::positive);
  flags("negative_exact", &EigenvalueCounts::negative_exact);
  flags("zero_exact", &EigenvalueCounts::zero_exact);
  doubles("tolerance", &EigenvalueCounts::tolerance);
  doubles("rounding", &EigenvalueCounts::rounding);
  flags("elsewhere", &EigenvalueCounts::elsewhere);
  doubles("reach", &EigenvalueCounts::reach);
  integers("negative_within", &EigenvalueCounts::negative_within);
  integers("positive_within", &EigenvalueCounts::positive_within);
  flags("within_exact", &EigenvalueCounts::within_exact);
  texts("tolerance_reason", [](const auto& c) { return c.tolerance_reason; });
  texts("method", [](const auto& c) { return c.method; });
  texts("completeness", [](const auto& c) { return c.completeness; });
}

/// The picture of the counts: how many eigenvalues have each sign.
void write_signs(hdf5::Writer& file, const std::string& group, const SpectrumResults& r) {
  std::vector<std::string> names;
  file.group(group);
  file.write(group + "/sign", std::vector<double>{-1, 0, 1});
  file.attribute(group + "/sign", "long_name", std::string("sign: -1 = negative, 0 = zero, 1 = positive"));
  for (const EigenvalueCounts& c : r.counts) {
    names.emplace_back(c.removed > 0 ? "modulo_symmetries" : "whole");
    file.write(group + "/" + names.back(), std::vector<std::int64_t>{c.negative, c.zero, c.positive});
    file.attribute(group + "/" + names.back(), "long_name", "eigenvalues of the " + matrix_title(r, c));
  }
  hdf5::make_plot(file, group, names.front(), {"sign"});
  if (names.size() > 1)
    file.attribute(group, "auxiliary_signals", std::vector<std::string>(names.begin() + 1, names.end()));
  file.write(group + "/title", "signs of the eigenvalues of the " + matrix_title(r, r.counts.front()));
  hdf5::name_dimensions(file, group, names, {"sign"});
}

/// What the errors of traces and norms are.
std::string error_kind(bool estimated) {
  return estimated ? "estimated: 95 % intervals of random vectors, and rounding"
                   : "bounded: rounding, as measured";
}

void write_traces(hdf5::Writer& file, const std::string& group, const SpectrumResults& r) {
  const TraceEstimates& t = *r.traces;
  file.group(group, "NXcollection");
  file.write(group + "/trace", t.trace.value);
  file.write(group + "/trace_error", t.trace.error);
  file.write(group + "/frobenius", t.frobenius.value);
  file.write(group + "/frobenius_error", t.frobenius.error);
  file.attribute(group, "errors", error_kind(t.estimated));
  name_matrix(file, group, r, 0);
}

void write_norms(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r) {
  const BlockNorms& b = *r.norms;
  const std::string norms = prefix + "/block_norms";
  const auto count = static_cast<Index>(b.blocks.size());
  std::vector<std::string> names;
  std::vector<double> number;
  for (const BlockRange& block : b.blocks) {
    names.push_back(block.name);
    number.push_back(static_cast<double>(number.size()));
  }
  hdf5::make_plot(file, norms, "frobenius", {"row", "column"});
  file.write(norms + "/blocks", names, {count});
  for (const char* axis : {"row", "column"}) {
    file.write(norms + "/" + axis, number);
    file.attribute(norms + "/" + axis, "long_name", hdf5::legend(axis, names));
  }
  file.write(norms + "/frobenius", b.norms.data(), {count, count});
  file.write(norms + "/frobenius_errors", b.errors.data(), {count, count});
  hdf5::name_dimensions(file, norms, {"frobenius", "frobenius_errors"}, {"row", "column"});
  for (const auto& [name, values] : {std::pair{"/trace", &b.traces}, {"/trace_errors", &b.trace_errors}})
    file.write(norms + name, *values);
  hdf5::name_dimensions(file, norms, {"trace", "trace_errors"}, {"row"});
  file.attribute(norms, "errors", error_kind(b.estimated));
  file.write(norms + "/title", "Frobenius norms of the blocks of the " + matrix_title(r, 0));
  name_matrix(file, norms, r, 0);
}

/// Traces and norms of the diagonal blocks of tensors of the checkpoint, by their names.
void write_tensor_norms(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r,
                        const NamedVectors& names) {
  std::vector<std::string> blocks;
  for (const BlockRange& block : r.norms->blocks) blocks.push_back(block.name);
  const BlockNorms tensors = grouped(*r.norms, names.groups(blocks));
  const std::string group = prefix + "/by_tensor/";
  for (std::size_t t = 0; t < tensors.blocks.size(); ++t) {
    const auto at = static_cast<Index>(t);
    const std::string& name = tensors.blocks[t].name;
    file.write(group + "block_trace/" + name, tensors.traces[at]);
    file.write(group + "block_trace_errors/" + name, tensors.trace_errors[at]);
    file.write(group + "block_frobenius/" + name, tensors.norms(at, at));
    file.write(group + "block_frobenius_errors/" + name, tensors.errors(at, at));
  }
}

void write_ends(hdf5::Writer& file, const std::string& group, const SpectrumResults& r) {
  file.group(group, "NXcollection");
  file.attribute(group, "matrix", ends_title(r));
  file.attribute(group, "symmetry", static_cast<std::int64_t>(r.removed));
  for (const auto& [name, end] :
       {std::pair<std::string, const SpectrumEnd&>{"/smallest", r.smallest}, {"/largest", r.largest}}) {
    file.write(group + name, end.value);
    file.write(group + name + "_error", end.error);
    file.write(group + name + "_known", std::string(end.found ? "found" : "at or beyond"));
  }
}

}  // namespace

void name_matrix(hdf5::Writer& file, const std::string& group, const SpectrumResults& r, Index removed) {
  file.attribute(group, "matrix", matrix_title(r, removed));
  file.attribute(group, "symmetry", static_cast<std::int64_t>(removed));
}

void write_results(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r,
                   const WrittenVectors& vectors) {
  for (const auto& [which, result] : r.eigenvalues)
    write_eigenvalues(file, prefix + "/" + which, which, r, result, vectors);
  write_ends(file, prefix + "/ends", r);
  if (!r.counts.empty()) {
    write_counts(file, prefix + "/counts", r);
    write_signs(file, prefix + "/signs", r);
  }
  if (r.quadrature) write_density(file, prefix, r);
  if (r.traces) write_traces(file, prefix + "/traces", r);
  if (r.norms) write_norms(file, prefix, r);
  if (r.norms && vectors.by_tensor) write_tensor_norms(file, prefix, r, *vectors.by_tensor);
}

std::string picture_of(const SpectrumResults& r) {
  return r.quadrature             ? "density"
         : !r.eigenvalues.empty() ? r.eigenvalues.front().first
         : r.norms                ? "block_norms"
                                  : "signs";
}

void write_symmetries(hdf5::Writer& file, const Symmetries& symmetries,
                      const std::optional<Index>& generic_count) {
  std::vector<std::string> names;
  std::vector<std::int64_t> dimensions;
  for (const auto& [name, dimension] : symmetries.table()) {
    names.push_back(name);
    dimensions.push_back(dimension);
  }
  const std::string group = "/entry/symmetries";
  file.group(group, "NXcollection");
  file.write(group + "/family", names, {static_cast<Index>(names.size())});
  file.write(group + "/modes", dimensions);
  file.write(group + "/total", static_cast<std::int64_t>(symmetries.modes()));
  if (generic_count) file.write(group + "/generic_count", static_cast<std::int64_t>(*generic_count));
  file.write(group + "/left_out", symmetries.left_out());
}

void write_pseudo(hdf5::Writer& file, const std::vector<PseudoSymmetry>& pseudo) {
  const std::string group = "/entry/symmetries/pseudo";
  file.group(group, "NXcollection");
  std::vector<std::string> names;
  for (const PseudoSymmetry& p : pseudo) names.push_back(p.name);
  file.write(group + "/name", names, {static_cast<Index>(names.size())});
  for (const auto& [name, member] : {std::pair{"/gauss_newton", &PseudoSymmetry::gauss_newton},
                                     {"/hessian", &PseudoSymmetry::curvature}}) {
    std::vector<double> column;
    for (const PseudoSymmetry& p : pseudo) column.push_back(p.*member);
    file.write(group + name, column);
  }
}

void write_balanced(hdf5::Writer& file, const BalancedPoint& balanced) {
  const std::string group = "/entry/symmetries/balanced";
  file.group(group, "NXcollection");
  file.write(group + "/distance", balanced.distance);
  file.write(group + "/folded", static_cast<std::int64_t>(balanced.folded));
  file.write(group + "/kept", balanced.kept, {static_cast<Index>(balanced.kept.size())});
}

void write_point(hdf5::Writer& file, const SpectrumResults& first, const Stationarity& point) {
  file.write("/entry/matrix", first.matrix);
  file.write("/entry/block", first.block);
  file.write("/entry/loss", point.loss);
  file.write("/entry/loss_error", point.loss_error);
  file.write("/entry/gradient_norm", point.gradient);
  file.write("/entry/gradient_error", point.gradient_error);
  file.write("/entry/largest_gradient", point.largest_gradient);
}

}  // namespace basin::tools
