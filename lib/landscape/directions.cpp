#include "landscape/directions.h"

#include <array>
#include <cmath>
#include <utility>

#include "landscape/gauge.h"
#include "linalg/errors.h"

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
                              const Vector<double>& weights, Random& random) {
  using Map = Eigen::Map<Matrix<double>>;
  using ConstMap = Eigen::Map<const Matrix<double>>;
  Vector<double> direction = Vector<double>::Zero(layout.theta_size());
  const Index d = spec.head_dim, half = d / 2;
  if (half == 0) return direction;
  const auto pair = [&](const char* first, const char* second, bool left) {
    const auto &a = layout.find(first), &b = layout.find(second);
    if (!a.trainable() || !b.trainable()) return;
    for (Index h = 0; h < spec.heads; ++h) {
      Matrix<double> Z(half, d - half), M = Matrix<double>::Zero(d, d);
      random.fill_normal(Z);
      M.topRightCorner(half, d - half) = Z;
      const auto slice = [&](const ParameterLayout::Entry& e) { return h * e.block.rows() * e.block.cols(); };
      const ConstMap A(weights.data() + a.offset + slice(a), a.block.rows(), a.block.cols());
      const ConstMap B(weights.data() + b.offset + slice(b), b.block.rows(), b.block.cols());
      Map dA(direction.data() + a.theta_offset + slice(a), A.rows(), A.cols());
      Map dB(direction.data() + b.theta_offset + slice(b), B.rows(), B.cols());
      dA = A * M;
      if (left)
        dB = -M * B;
      else
        dB = -B * M.transpose();
    }
  };
  if (spec.kernel == KernelKind::softmax) pair("W_Q", "W_K", false);
  pair("W_V", "W_O", true);
  return direction;
}

Vector<double> orthogonalised(const Vector<double>& v, const Vector<double>& u) {
  const double norm = u.norm();
  if (!(norm > 0)) throw InputError("a direction is zero; expected two that span a plane");
  Vector<double> w = v;
  for (int again = 0; again < 2; ++again) w -= u * (u.dot(w) / norm / norm);
  if (!(w.norm() > 1e-10 * v.norm()))
    throw InputError("the directions are parallel; expected two that span a plane");
  return w;
}

double cosine(const Vector<double>& u, const Vector<double>& v) {
  const double norms = u.norm() * v.norm();
  return norms > 0 ? u.dot(v) / norms : 0;
}

}  // namespace basin
