#include "basin/stationary/momentum.h"

namespace basin {

Move Momentum::advance(Objective& f, Iterate& x, DescentMemory& memory) const {
  const auto last = memory.vectors.find("velocity");
  Vector<double> v = -eta_ * x.gradient;
  if (last != memory.vectors.end()) v += mu_ * last->second.col(0);
  Move move = move_to(f, x, x.theta + v, eta_);
  if (move.outcome == Move::Outcome::moved) memory.vectors["velocity"] = v;
  return move;
}

}  // namespace basin
