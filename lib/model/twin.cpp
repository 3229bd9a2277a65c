#include "model/twin.h"

#include <limits>

#include "linalg/random.h"

namespace basin {
namespace {

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
Twin<S> make_twin(const Vector<S>& weights, const Data<S>& data, std::uint64_t index) {
  Twin<S> twin = {weights, nullptr};
  move_last_digit(twin.weights, index, "twin: weights");
  auto moved = std::make_shared<Data<S>>(data);
  move_last_digit(moved->X, index, "twin: inputs");
  move_last_digit(moved->Y, index, "twin: targets");
  twin.data = std::move(moved);
  return twin;
}

template <class S>
Vectors<S> moved(const Vectors<S>& V, std::uint64_t index) {
  Vectors<S> W = V;
  move_last_digit(W, index, "twin: vectors");
  return W;
}

template Vectors<double> moved(const Vectors<double>&, std::uint64_t);
template Vectors<float> moved(const Vectors<float>&, std::uint64_t);
template Twin<double> make_twin(const Vector<double>&, const Data<double>&, std::uint64_t);
template Twin<float> make_twin(const Vector<float>&, const Data<float>&, std::uint64_t);

}  // namespace basin
