#include "common/spectrum/density_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "basin/hdf5/result_file.h"
#include "common/spectrum/file.h"

namespace basin::tools {
namespace {

void write_curve(hdf5::Writer& file, const std::string& group, const std::string& title,
                 const DensityCurve& c, const std::string& axis, const std::string& scale,
                 const std::string& axis_scale) {
  hdf5::make_plot(file, group, "density", {"eigenvalue"});
  hdf5::curve_scales(file, group, scale, axis_scale);
  file.attribute(group, "width", c.width);
  file.attribute(group, "scale", c.scale);
  file.attribute(group, "coordinate", axis);
  file.write(group + "/title", title);
  file.write(group + "/eigenvalue", c.eigenvalue);
  file.write(group + "/density", c.density);
  file.write(group + "/noise", c.noise);
  file.write(group + "/truncation", c.truncation);
  file.write(group + "/density_errors", Vector<double>(1.96 * c.noise + c.truncation));
  hdf5::name_dimensions(file, group, {"density", "noise", "truncation", "density_errors"}, {"eigenvalue"});
}

void write_quadrature(hdf5::Writer& file, const std::string& group, const LanczosQuadrature& q) {
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
}

/// The cumulative share on the grid of the symmetric logarithmic axis.
void write_cumulative(hdf5::Writer& file, const std::string& group, const SpectrumResults& r) {
  const LanczosQuadrature& q = *r.quadrature;
  const Vector<double> grid = density_curve(q, DensityAxis::symmetric_log, 200).eigenvalue;
  Vector<double> share(grid.size()), lower(grid.size()), upper(grid.size());
  for (Index i = 0; i < grid.size(); ++i) {
    const Mass m = share_below(r, grid[i]);
    share[i] = m.value, lower[i] = m.lower, upper[i] = m.upper;
  }
  hdf5::make_plot(file, group, "share", {"eigenvalue"});
  file.write(group + "/eigenvalue", grid);
  file.write(group + "/share", share);
  file.write(group + "/lower", lower);
  file.write(group + "/upper", upper);
  file.attribute(group, "auxiliary_signals", std::vector<std::string>{"lower", "upper"});
  file.write(group + "/title", "share of the eigenvalues of the " + matrix_title(r, q.removed) +
                                   " below a value, with its 95 % band");
  hdf5::name_dimensions(file, group, {"share", "lower", "upper"}, {"eigenvalue"});
}

/// The share of the eigenvalues below x.
void write_mass(hdf5::Writer& file, const std::string& group, const SpectrumResults& r, double x) {
  const Mass m = share_below(r, x);
  file.group(group, "NXcollection");
  file.write(group + "/below", x);
  file.write(group + "/share", m.value);
  file.write(group + "/lower", m.lower);
  file.write(group + "/upper", m.upper);
  file.write(group + "/noise", m.noise);
  file.write(group + "/truncation", m.truncation);
}

}  // namespace

void write_density(hdf5::Writer& file, const std::string& prefix, const SpectrumResults& r) {
  const LanczosQuadrature& q = *r.quadrature;
  const std::string matrix = matrix_title(r, q.removed), title = "spectral density of the " + matrix;
  write_curve(file, prefix + "/density", title, *r.density, "eigenvalue", "log", "linear");
  write_curve(file, prefix + "/density_symlog", title + ", per unit of asinh(eigenvalue / scale)",
              density_curve(q, DensityAxis::symmetric_log, 400), "asinh(eigenvalue / scale)", "linear",
              "symlog");
  write_quadrature(file, prefix + "/quadrature", q);
  write_cumulative(file, prefix + "/cumulative", r);
  // At zero, and as close to it as the quadrature tells what is there from what is near it.
  write_mass(file, prefix + "/negative_mass", r, -zero_threshold(q));
  write_mass(file, prefix + "/resolved_mass", r, -resolved_threshold(q));
  for (const char* name :
       {"/density", "/density_symlog", "/quadrature", "/cumulative", "/negative_mass", "/resolved_mass"})
    name_matrix(file, prefix + name, r, q.removed);
}

}  // namespace basin::tools
