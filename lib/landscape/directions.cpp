#include "basin/landscape/directions.h"

#include <array>
#include <cmath>
#include <utility>

#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"

namespace basin {
namespace {

const std::array<std::pair<const char*, Normalisation>, 5> kNames = {{{"none", Normalisation::none},
                                                                      {"filter", Normalisation::filter},
                                                                      {"block", Normalisation::block},
                                                                      {"vector", Normalisation::vector},
                                                                      {"gauge", Normalisation::gauge}}};

/// Parts of `length` numbers (0: the block) of every trained block to the norms of the weights' parts.
template <class Length>
void normalise_parts(const ModelPoint<double>& point, const Length& length_of, Vector<double>& direction) {
  for (const auto& e : point.parameters().entries()) {
    if (!e.trainable()) continue;
    const Index length = length_of(e.block);
    for (Index i = 0; i < e.block.size(); i += length) {
      auto part = direction.segment(e.theta_offset + i, length);
      const double norm = part.norm();
      if (norm > 0) part *= point.weights.segment(e.offset + i, length).norm() / norm;
    }
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
      return normalise_parts(
          point, [](const ParameterBlock& block) { return block.cols(); }, direction);
    case Normalisation::block:
      return normalise_parts(
          point, [](const ParameterBlock& block) { return block.size(); }, direction);
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
