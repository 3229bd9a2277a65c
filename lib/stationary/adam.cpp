#include "basin/stationary/adam.h"

#include <cmath>

namespace basin {

Move Adam::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const auto& [eta, beta1, beta2, epsilon] = options_;
  const bool first = memory.numbers.find("t") == memory.numbers.end();
  const double t = first ? 1 : memory.numbers["t"] + 1;
  Vector<double> m = (1 - beta1) * x.gradient, v = (1 - beta2) * x.gradient.cwiseAbs2();
  if (!first) {
    m += beta1 * memory.vectors["first moment"].col(0);
    v += beta2 * memory.vectors["second moment"].col(0);
  }
  const double scale1 = 1 - std::pow(beta1, t), scale2 = 1 - std::pow(beta2, t);
  const Vector<double> direction = ((m.array() / scale1) / ((v.array() / scale2).sqrt() + epsilon)).matrix();
  Move move = move_to(f, x, x.theta - eta * direction, eta);
  if (move.outcome != Move::Outcome::moved) return move;
  memory.vectors["first moment"] = m;
  memory.vectors["second moment"] = v;
  memory.numbers["t"] = t;
  return move;
}

}  // namespace basin
