#include "landscape/directions.h"

#include <array>
#include <cmath>
#include <utility>

#include "curvature/data_features.h"
#include "landscape/gauge.h"
#include "linalg/errors.h"
#include "linalg/orthogonal.h"

namespace basin {
namespace {

const std::array<std::pair<const char*, Normalisation>, 5> kNames = {{{"none", Normalisation::none},
                                                                      {"filter", Normalisation::filter},
                                                                      {"block", Normalisation::block},
                                                                      {"vector", Normalisation::vector},
                                                                      {"gauge", Normalisation::gauge}}};

/// Parts of `length` numbers (0: the block) of every trained block to the norms of the weights' parts.
template <class Length>
void normalise_parts(const ParameterLayout& layout, const Vector<double>& weights, const Length& length_of,
                     Vector<double>& direction) {
  for (const auto& e : layout.entries()) {
    if (!e.trainable()) continue;
    const Index length = length_of(e.block);
    for (Index i = 0; i < e.block.size(); i += length) {
      auto part = direction.segment(e.theta_offset + i, length);
      const double norm = part.norm();
      if (norm > 0) part *= weights.segment(e.offset + i, length).norm() / norm;
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

void normalise(const AttentionSpec& spec, const ParameterLayout& layout, const Vector<double>& weights,
               Normalisation kind, Vector<double>& direction) {
  switch (kind) {
    case Normalisation::none:
      return;
    case Normalisation::filter:
      return normalise_parts(
          layout, weights, [](const ParameterBlock& block) { return block.cols(); }, direction);
    case Normalisation::block:
      return normalise_parts(
          layout, weights, [](const ParameterBlock& block) { return block.size(); }, direction);
    case Normalisation::vector: {
      const double norm = direction.norm();
      if (norm > 0) direction *= layout.extract(weights).norm() / norm;
      return;
    }
    case Normalisation::gauge: {
      const CanonicalGauge gauge(spec, layout, weights);
      normalise(spec, layout, gauge.weights(), Normalisation::filter, direction);
      gauge.carry_back(direction);
    }
  }
}

Vector<double> random_direction(const AttentionSpec& spec, const ParameterLayout& layout,
                                const Vector<double>& weights, Normalisation kind, Random& random) {
  Vector<double> direction(layout.theta_size());
  random.fill_normal(direction);
  normalise(spec, layout, weights, kind, direction);
  return direction;
}

Vector<double> flat_direction(const AttentionSpec& spec, const ParameterLayout& layout,
                              const Vector<double>& weights, const Data<double>& data, Random& random) {
  using ConstMap = Eigen::Map<const Matrix<double>>;
  Vector<double> direction = Vector<double>::Zero(layout.theta_size());
  const Index d = spec.head_dim, half = d / 2;
  const bool softmax = spec.kernel == KernelKind::softmax;
  const auto slice = [](const ParameterLayout::Entry& e, Index h) {
    return h * e.block.rows() * e.block.cols();
  };
  const auto head = [&](const ParameterLayout::Entry& e, Index h) {
    return Eigen::Map<Matrix<double>>(direction.data() + e.theta_offset + slice(e, h), e.block.rows(),
                                      e.block.cols());
  };
  const auto pair = [&](const char* first, const char* second, bool left) {
    const auto &a = layout.find(first), &b = layout.find(second);
    if (half == 0 || !a.trainable() || !b.trainable()) return;
    for (Index h = 0; h < spec.heads; ++h) {
      Matrix<double> Z(half, d - half), M = Matrix<double>::Zero(d, d);
      random.fill_normal(Z);
      M.topRightCorner(half, d - half) = Z;
      const ConstMap A(weights.data() + a.offset + slice(a, h), a.block.rows(), a.block.cols());
      const ConstMap B(weights.data() + b.offset + slice(b, h), b.block.rows(), b.block.cols());
      head(a, h) = A * M;
      if (left)
        head(b, h) = -M * B;
      else
        head(b, h) = -B * M.transpose();
    }
  };
  if (softmax) pair("W_Q", "W_K", false);
  pair("W_V", "W_O", true);
  if (!direction.isZero(0)) return direction;

  const DataFeatures features = data_features(data.X, spec.tokens);
  const auto random_of = [&](const Vectors<double>& basis) {
    Matrix<double> Z(basis.cols(), d);
    random.fill_normal(Z);
    return Matrix<double>(basis * Z);
  };
  const auto &Q = layout.find("W_Q"), &K = layout.find("W_K"), &V = layout.find("W_V");
  for (Index h = 0; h < spec.heads; ++h) {
    for (const auto* block : {&Q, &K, &V})
      if (block->trainable()) head(*block, h) += random_of(features.null);
    if (!K.trainable() || (!softmax && !Q.trainable())) continue;
    const Matrix<double> shift = random_of(features.constant);
    head(K, h) += shift;
    if (!softmax) head(Q, h) += shift;
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
