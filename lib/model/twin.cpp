#include "model/twin.h"

#include <limits>

#include "linalg/random.h"

namespace basin {
namespace {

template <class Derived>
void move_last_digit(Eigen::PlainObjectBase<Derived>& values, Random& random) {
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  for (Index i = 0; i < values.size(); ++i) values.data()[i] *= random.uniform() < 0.5 ? 1 - kEps : 1 + kEps;
}

}  // namespace

Twin make_twin(const Vector<double>& weights, const Data<double>& data, std::uint64_t index) {
  Random random(index, "twin");
  Twin twin = {weights, nullptr};
  move_last_digit(twin.weights, random);
  auto moved = std::make_shared<Data<double>>(data);
  move_last_digit(moved->X, random);
  move_last_digit(moved->Y, random);
  twin.data = std::move(moved);
  return twin;
}

}  // namespace basin
