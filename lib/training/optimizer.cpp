#include "basin/training/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "basin/linalg/errors.h"

namespace basin {
namespace {

/// The vector of that name in the memory, zero where it is new.
Eigen::Ref<Vector<double>> remembered(DescentMemory& memory, const std::string& name, Index size) {
  Vectors<double>& block = memory.vectors[name];
  if (block.size() == 0) block.setZero(size, 1);
  return block.col(0);
}

void sgd(const OptimizerOptions& o, double lr, const Vector<double>& gradient, Vector<double>& theta,
         DescentMemory& memory) {
  if (o.momentum == 0) {
    theta -= lr * gradient;
    return;
  }
  const bool first = memory.vectors.find("momentum") == memory.vectors.end();
  auto buffer = remembered(memory, "momentum", theta.size());
  if (first)
    buffer = gradient;
  else
    buffer = o.momentum * buffer + (1 - o.dampening) * gradient;
  if (o.nesterov)
    theta -= lr * (gradient + o.momentum * buffer);
  else
    theta -= lr * buffer;
}

void adam(const OptimizerOptions& o, double lr, const Vector<double>& gradient, Vector<double>& theta,
          DescentMemory& memory) {
  const double t = memory.numbers["t"] += 1;
  auto m = remembered(memory, "first moment", theta.size());
  auto v = remembered(memory, "second moment", theta.size());
  m = o.beta1 * m + (1 - o.beta1) * gradient;
  v = o.beta2 * v + (1 - o.beta2) * gradient.cwiseAbs2();
  const double correction1 = 1 - std::pow(o.beta1, t), correction2 = std::sqrt(1 - std::pow(o.beta2, t));
  theta.array() -= lr / correction1 * m.array() / (v.array().sqrt() / correction2 + o.eps);
}

/// From one number to another along half a cosine, share from 0 to 1.
double along_cosine(double from, double to, double share) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace

void optimizer_step(const OptimizerOptions& o, double lr, Vector<double> gradient, Vector<double>& theta,
                    DescentMemory& memory) {
  using Kind = OptimizerOptions::Kind;
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    throw InputError("nesterov: expected a momentum above 0 and no dampening");
  if (o.clip_value > 0) gradient = gradient.cwiseMax(-o.clip_value).cwiseMin(o.clip_value);
  if (o.clip_norm > 0) gradient *= std::min(1.0, o.clip_norm / (gradient.stableNorm() + 1e-6));
  if (o.weight_decay > 0) {
    if (o.kind == Kind::adamw)
      theta *= 1 - lr * o.weight_decay;
    else
      gradient += o.weight_decay * theta;
  }
  if (o.kind == Kind::sgd)
    sgd(o, lr, gradient, theta, memory);
  else
    adam(o, lr, gradient, theta, memory);
}

double Schedule::at(Index t) const {
  if (kind == Kind::one_cycle) {
    const double first = lr / 25, last = first / 1e4, top = 0.3 * static_cast<double>(steps) - 1,
                 end = static_cast<double>(steps) - 1, now = static_cast<double>(t);
    if (now <= top) return along_cosine(first, lr, top > 0 ? now / top : 1);
    return along_cosine(lr, last, end > top ? (now - top) / (end - top) : 1);
  }
  if (t < warm_up) return lr * static_cast<double>(t + 1) / static_cast<double>(warm_up);
  if (kind == Kind::constant) return lr;
  return along_cosine(
      lr, 0, static_cast<double>(t - warm_up) / static_cast<double>(std::max<Index>(1, steps - warm_up)));
}

}  // namespace basin
