#include "basin/ntk/linear_certificate.h"

#include <algorithm>
#include <cmath>

namespace basin {
namespace {

/// The loss of a row is s |F - Y|^2 / 2, averages included.
double curvature_of_rows(const Linearization<double>& at) {
  const Mask& counting = at.counting_rows();
  const auto first =
      std::find_if(counting.begin(), counting.end(), [](std::uint8_t row) { return row != 0; });
  const Index row = counting.empty() ? 0 : static_cast<Index>(first - counting.begin());
  const Matrix<double> F = at.outputs().row(row), dF = Matrix<double>::Ones(1, F.cols());
  Matrix<double> dr(1, F.cols());
  DataLoss<double>(at.model(), *at.point().data).curvature(row, F, dF, dr);
  return dr(0, 0);
}

}  // namespace

bool trains_last_layer_alone(const Model<double>& model) {
  const Architecture& a = model.architecture();
  if (a.layers.back().type != "linear") return false;
  // a network of one layer has no prefix
  const std::string prefix = a.layers.size() == 1 ? "" : block_prefixes(a.layers).back() + ".";
  const std::vector<std::string> trained = model.parameters().trained();
  return std::all_of(trained.begin(), trained.end(), [&](const std::string& block) {
    return block.starts_with(prefix) && block.find('.', prefix.size()) == std::string::npos;
  });
}

std::optional<LinearCertificate> linear_certificate(const Linearization<double>& at,
                                                    const KernelMinimum& sum) {
  if (at.loss_facts().name != "squared" || !trains_last_layer_alone(at.model())) return std::nullopt;
  LinearCertificate c;
  c.curvature = curvature_of_rows(at);
  c.passes = sum.lower > 0 && std::isfinite(sum.largest_upper);
  if (!c.passes) return c;
  c.step = 1 / (c.curvature * sum.largest_upper);
  const double left = 1 - sum.lower / sum.largest_upper;
  c.rate = left * left;
  return c;
}

}  // namespace basin
