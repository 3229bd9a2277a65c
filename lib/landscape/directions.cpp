#include "basin/landscape/directions.h"

#include <array>
#include <cmath>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"
#include "basin/model/attention_model.h"

namespace basin {
namespace {

const std::array<std::pair<const char*, Normalisation>, 5> kNames = {{{"none", Normalisation::none},
                                                                      {"filter", Normalisation::filter},
                                                                      {"block", Normalisation::block},
                                                                      {"vector", Normalisation::vector},
                                                                      {"gauge", Normalisation::gauge}}};

/// Numbers of a block, `stride` apart from the first on.
struct Numbers {
  Index first, count, stride;
};

template <class Part, class WeightsPart>
void scale(Part part, const WeightsPart& weights) {
  const double norm = part.norm();
  if (norm > 0) part *= weights.norm() / norm;
}

/// Each part of `direction`, at `theta_offset`, to the norm of that of the weights, at `offset`.
void normalise_part(const Vector<double>& weights, Index offset, const Numbers& part,
                    Vector<double>& direction, Index theta_offset) {
  offset += part.first, theta_offset += part.first;
  if (part.stride == 1)
    return scale(direction.segment(theta_offset, part.count), weights.segment(offset, part.count));
  const Eigen::InnerStride<> apart(part.stride);
  scale(
      Eigen::Map<Vector<double>, 0, Eigen::InnerStride<>>(direction.data() + theta_offset, part.count, apart),
      Eigen::Map<const Vector<double>, 0, Eigen::InnerStride<>>(weights.data() + offset, part.count, apart));
}

/// Every trained block by the parts that parts_of(block) names.
template <class PartsOf>
void normalise_parts(const ModelPoint<double>& point, const PartsOf& parts_of, Vector<double>& direction) {
  for (const auto& e : point.parameters().entries())
    if (e.trainable())
      for (const Numbers& part : parts_of(e.block))
        normalise_part(point.weights, e.offset, part, direction, e.theta_offset);
}

std::vector<Numbers> whole(const ParameterBlock& block) {
  return {{0, block.size(), 1}};
}

/// The last axis: of a table a row of it.
std::vector<Numbers> rows(const ParameterBlock& block) {
  std::vector<Numbers> all;
  for (Index i = 0; i < block.size(); i += block.cols()) all.push_back({i, block.cols(), 1});
  return all;
}

/// What reaches one output unit: a column of each of these matrices, or of all of them if they add up.
std::vector<Numbers> output_units(const ParameterBlock& block) {
  const bool add_up = block.role == BlockRole::stacked_map;
  const Index height = block.rows() * (add_up ? block.slices() : 1);
  std::vector<Numbers> all;
  for (Index first = 0; first < block.size(); first += height * block.cols())
    for (Index unit = 0; unit < block.cols(); ++unit) all.push_back({first + unit, height, block.cols()});
  return all;
}

std::vector<Numbers> filters(const ParameterBlock& block) {
  switch (block.role) {
    case BlockRole::map:
    case BlockRole::stacked_map:
      return output_units(block);
    case BlockRole::table:
      return rows(block);
    default:
      return whole(block);
  }
}

}  // namespace

Normalisation normalisation_from_name(const std::string& name) {
  std::string all;
  for (const auto& [known, kind] : kNames) {
    if (name == known) return kind;
    all += (all.empty() ? "" : ", ") + std::string(known);
  }
  throw InputError("unknown normalisation '" + name + "'; expected one of " + all);
}

std::string normalisation_name(Normalisation kind) {
  for (const auto& [name, known] : kNames)
    if (kind == known) return name;
  return "";
}

void normalise(const ModelPoint<double>& point, Normalisation kind, Vector<double>& direction,
               const CanonicalPointOf& canonical) {
  switch (kind) {
    case Normalisation::none:
      return;
    case Normalisation::filter:
      return normalise_parts(point, single_attention(point.model->architecture()) ? rows : filters,
                             direction);
    case Normalisation::block:
      return normalise_parts(point, whole, direction);
    case Normalisation::vector: {
      const double norm = direction.norm();
      if (norm > 0) direction *= point.theta().norm() / norm;
      return;
    }
    case Normalisation::gauge: {
      if (!canonical) throw InputError("normalisation gauge: no canonical gauge of this network is known");
      const auto gauge = canonical(point);
      normalise(gauge->point(), Normalisation::filter, direction);
      gauge->carry_back(direction);
    }
  }
}

Vector<double> random_direction(const ModelPoint<double>& point, Normalisation kind, Random& random,
                                const CanonicalPointOf& canonical) {
  Vector<double> direction(point.theta_size());
  random.fill_normal(direction);
  normalise(point, kind, direction, canonical);
  return direction;
}

Vector<double> orthogonalised(const Vector<double>& v, const Vector<double>& u) {
  const double norm = u.norm();
  if (!(norm > 0)) throw InputError("a direction is zero; expected two that span a plane");
  Vector<double> w = v;
  project_out(u / norm, w);
  // With fewer than six digits left, the plane would be one of the rounding of v.
  if (!(w.norm() > 1e3 * kDependent * v.norm()))
    throw InputError("the directions are parallel; expected two that span a plane");
  return w;
}

double cosine(const Vector<double>& u, const Vector<double>& v) {
  const double norms = u.norm() * v.norm();
  return norms > 0 ? u.dot(v) / norms : 0;
}

}  // namespace basin
