#include "basin/model/perturbation.h"

#include <limits>

#include "basin/linalg/random.h"

namespace basin {
namespace {

// The names of the streams are part of the arithmetic: other ones move every number elsewhere.
template <class Derived>
void move_last_digit(Eigen::PlainObjectBase<Derived>& values, std::uint64_t index, const char* stream) {
  Random random(index, stream);
  using S = typename Derived::Scalar;
  constexpr double last_digit = std::numeric_limits<S>::epsilon();
  for (Index i = 0; i < values.size(); ++i) {
    const double up = random.uniform() < 0.5 ? -1 : 1;
    values.data()[i] += static_cast<S>(up * (1 + random.uniform()) * last_digit) * values.data()[i];
  }
}

}  // namespace

template <class S>
ModelPoint<S> ModelPoint<S>::perturbed(std::uint64_t index) const {
  ModelPoint other = *this;
  move_last_digit(other.weights, index, "twin: weights");
  auto moved = std::make_shared<Data<S>>(*data);
  move_last_digit(moved->X, index, "twin: inputs");
  move_last_digit(moved->Y, index, "twin: targets");
  other.data = std::move(moved);
  return other;
}

template <class S>
Vectors<S> perturbed(const Vectors<S>& V, std::uint64_t index) {
  Vectors<S> W = V;
  move_last_digit(W, index, "twin: vectors");
  return W;
}

std::vector<Linearization<double>> linearize_perturbed(const ModelPoint<double>& point) {
  std::vector<Linearization<double>> all;
  const std::uint64_t count = perturbations(point.output_size() * point.theta_size());
  for (std::uint64_t index = 0; index < count; ++index)
    all.emplace_back(point.perturbed(index), LinearizationOptions{.keep = false});
  return all;
}

template ModelPoint<double> ModelPoint<double>::perturbed(std::uint64_t) const;
template ModelPoint<float> ModelPoint<float>::perturbed(std::uint64_t) const;
template Vectors<double> perturbed(const Vectors<double>&, std::uint64_t);
template Vectors<float> perturbed(const Vectors<float>&, std::uint64_t);

}  // namespace basin
