#include "basin/landscape/directions.h"

#include <array>
#include <cmath>
#include <utility>

#include "basin/curvature/data_features.h"
#include "basin/landscape/gauge.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/orthogonal.h"
#include "basin/model/attention_view.h"

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

void normalise(const ModelPoint<double>& point, Normalisation kind, Vector<double>& direction) {
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
      const CanonicalGauge gauge(point);
      normalise(gauge.point(), Normalisation::filter, direction);
      gauge.carry_back(direction);
    }
  }
}

Vector<double> random_direction(const ModelPoint<double>& point, Normalisation kind, Random& random) {
  Vector<double> direction(point.theta_size());
  random.fill_normal(direction);
  normalise(point, kind, direction);
  return direction;
}

Vector<double> flat_direction(const ModelPoint<double>& point, Random& random) {
  const AttentionView at(point, "a direction of symmetry");
  Vector<double> direction = Vector<double>::Zero(point.theta_size());
  const auto head = [moving = at.of_theta(direction)](AttentionBlock b, Index h) { return moving(b, 0, h); };
  const Index d = at.spec().head_dim, half = d / 2, heads = at.spec().heads;
  const auto pair = [&](AttentionBlock a, AttentionBlock b, bool left) {
    if (half == 0 || !at.trains(a) || !at.trains(b)) return;
    for (Index h = 0; h < heads; ++h) {
      Matrix<double> Z(half, d - half), M = Matrix<double>::Zero(d, d);
      random.fill_normal(Z);
      M.topRightCorner(half, d - half) = Z;
      const auto A = at.block(a, h), B = at.block(b, h);
      head(a, h) = A * M;
      if (left)
        head(b, h) = -M * B;
      else
        head(b, h) = -B * M.transpose();
    }
  };
  if (at.softmax()) pair(kQ, kK, false);
  pair(kV, kO, true);
  if (!direction.isZero(0)) return direction;

  const DataFeatures features = data_features(at.data());
  const auto random_of = [&](const Vectors<double>& basis) {
    Matrix<double> Z(basis.cols(), d);
    random.fill_normal(Z);
    return Matrix<double>(basis * Z);
  };
  for (Index h = 0; h < heads; ++h) {
    for (const AttentionBlock b : {kQ, kK, kV})
      if (at.trains(b)) head(b, h) += random_of(features.null);
    if (!at.trains(kK) || (!at.softmax() && !at.trains(kQ))) continue;
    const Matrix<double> shift = random_of(features.constant);
    head(kK, h) += shift;
    if (!at.softmax()) head(kQ, h) += shift;
  }
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
