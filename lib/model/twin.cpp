#include "model/twin.h"

#include <limits>

#include "linalg/random.h"

namespace basin {
namespace {

template <class Derived>
void move_last_digit(Eigen::PlainObjectBase<Derived>& values, Random& random) {
  using S = typename Derived::Scalar;
  constexpr double last_digit = std::numeric_limits<S>::epsilon();
  for (Index i = 0; i < values.size(); ++i) {
    const double up = random.uniform() < 0.5 ? -1 : 1;
    values.data()[i] += static_cast<S>(up * (1 + random.uniform()) * last_digit) * values.data()[i];
  }
}

}  // namespace

template <class S>
Twin<S> make_twin(const Vector<S>& weights, const Data<S>& data, std::uint64_t index) {
  Random random(index, "twin");
  Twin<S> twin = {weights, nullptr};
  move_last_digit(twin.weights, random);
  auto moved = std::make_shared<Data<S>>(data);
  move_last_digit(moved->X, random);
  move_last_digit(moved->Y, random);
  twin.data = std::move(moved);
  return twin;
}

template <class S>
Vectors<S> moved(const Vectors<S>& V, std::uint64_t index) {
  Random random(index, "twin's vectors");
  Vectors<S> W = V;
  move_last_digit(W, random);
  return W;
}

template Vectors<double> moved(const Vectors<double>&, std::uint64_t);
template Vectors<float> moved(const Vectors<float>&, std::uint64_t);
template Twin<double> make_twin(const Vector<double>&, const Data<double>&, std::uint64_t);
template Twin<float> make_twin(const Vector<float>&, const Data<float>&, std::uint64_t);

}  // namespace basin
