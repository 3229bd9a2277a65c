#include "basin/single_layer/gain_bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace basin {
namespace {

// All bounds are wider than their rounding by far.
constexpr double kSlack = 1e-6;
constexpr Index kMostEvaluations = 10000;

/// |dF / dgain|, from above, for a gain on W_Q or W_K. Softmax: scores are proportional to it, and |diag(s) -
/// s s^T| <= 1/2. Gaussian kernel: queries (keys) are, and |grad e| <= exp(-1/2) / sigma.
double speed_of(const AttentionView& at, const NormConstants& norms, AttentionBlock block) {
  const Index n = at.spec().tokens;
  double speed = 0;
  for (Index h = 0; h < at.spec().heads; ++h) {
    double square = 0;
    for (Index i = 0; i < at.data().samples; ++i) {
      const Matrix<double> X = at.data().X.middleRows(i * n, n), Q = X * at.W_Q(h), K = X * at.W_K(h);
      if (at.softmax()) {
        Matrix<double> scores = Q * K.transpose() / std::sqrt(norms.head_dim);
        scores.colwise() -= scores.rowwise().mean().eval();
        square += scores.squaredNorm() / 4;
      } else {
        square += static_cast<double>(n) * (block == kQ ? Q : K).squaredNorm() /
                  (std::exp(1) * norms.sigma * norms.sigma);
      }
    }
    speed += norms.heads[static_cast<std::size_t>(h)].outputs * std::sqrt(square);
  }
  return speed * (1 + kSlack);
}

/// trace(K) = |J|_F^2 from above, whatever the attention weights are.
double trace_bound(const NormConstants& norms, const Data<double>& data) {
  const bool softmax = norms.kernel == KernelKind::softmax;
  const double n = norms.tokens, d = norms.head_dim, tokens = static_cast<double>(data.X.rows()),
               sigma = norms.sigma, X = data.X.squaredNorm(), xi = norms.zeta() * norms.zeta(),
               outputs = static_cast<double>(data.Y.cols());
  // |A_k.|^2 |V|^2 for a row of A V: a mean of rows under softmax, weights of at most 1 under the other
  // kernel
  const double row = softmax ? 1 : n;
  double trace = 0;
  for (const HeadNorms& h : norms.heads) {
    const double head = h.outputs * h.outputs;
    const double slope = softmax ? 1 / (4 * d) : n / (std::exp(1) * sigma * sigma);
    // queries of all tokens, keys seen by each: rank at most d
    const double keys = softmax ? d * h.keys * h.keys : 1;
    if (norms.trained[kQ]) trace += X * head * slope * keys;
    const double inputs = xi * std::min(n, static_cast<double>(data.X.cols()));
    if (norms.trained[kK]) trace += tokens * head * inputs * (softmax ? h.query * h.query * slope : slope);
    if (norms.trained[kV]) trace += row * n * X * outputs * h.W_O * h.W_O;
    if (norms.trained[kO]) trace += row * n * X * h.W_V * h.W_V * outputs;
  }
  return trace * (1 + kSlack);
}

}  // namespace

GainBounds::GainBounds(const ModelPoint<double>& point, const KernelMinimum& sum, const std::string& block)
    : point_(point),
      block_(blocks_named({block})[0]),
      norms_(norm_constants(point)),
      smallest_(sum.upper),
      loss_(point) {
  // Attention changes with W_Q and W_K, and nothing is known of this norm then.
  if (!linear() && !norms_.trained[kQ] && !norms_.trained[kK])
    for (HeadNorms& head : norms_.heads) head.mixed = 0;
  const double targets = point_.data->Y.squaredNorm();
  slack_ = kSlack * std::sqrt(targets);
  if (linear()) {  // 2 f = |gain F - Y|^2
    const double plus = 2 * loss(1), minus = 2 * loss(-1);
    square_ = {(plus + minus) / 2 - targets, (minus - plus) / 4, targets};
  } else {
    speed_ = speed_of(AttentionView(point_), norms_, block_);
  }
}

double GainBounds::loss(double gain) {
  ++evaluations_;
  const ParameterLayout::Entry& entry = point_.parameters().entries()[block_];
  Vector<double> weights = point_.weights;
  weights.segment(entry.offset, entry.block.size()) *= gain;
  return loss_(weights);
}

/// All of them grow with the gain.
NormConstants GainBounds::norms_at(double gain) const {
  NormConstants norms = norms_;
  for (HeadNorms& h : norms.heads) {
    if (block_ == kQ) h.queries *= gain, h.query *= gain;
    if (block_ == kK) h.keys *= gain;
    if (block_ == kV) h.W_V *= gain, h.values *= gain;
    if (block_ == kO) h.W_O *= gain;
    if (linear()) h.outputs *= gain;
  }
  return norms;
}

/// Of J, from above, at all gains up to this.
double GainBounds::smallest_singular_value(double gain) const {
  if (smallest_ == 0) return 0;  // by sizes, copies or zeros: at every gain
  double lambda = trace_bound(norms_at(gain), *point_.data) / static_cast<double>(point_.output_size());
  // The kernels of the blocks are constant or grow as gain^2.
  if (linear()) lambda = std::min(lambda, smallest_ * std::max(1.0, gain * gain));
  return std::sqrt(lambda) * (1 + kSlack);
}

/// |F - Y|, from below.
double GainBounds::residual(double gain) {
  const double r = std::sqrt(2 * loss(gain));
  return std::isfinite(r) ? (1 - kSlack) * r - slack_ : 0;
}

bool GainBounds::stays_above(double needed, double low, double high) {
  if (!linear()) return stays_above(needed, low, high, residual(low), residual(high));
  const auto [a, b, c] = square_;  // a gain^2 - 2 b gain + c
  const double gain = a > 0 ? std::clamp(b / a, low, high) : low, size = (gain * gain + gain) * a + c;
  const double square = (gain * a - 2 * b) * gain + c - 1e-13 * size;
  return square > 0 && std::sqrt(square) - slack_ > needed;
}

/// With the residuals at the ends, and that it changes no faster than `speed_`.
bool GainBounds::stays_above(double needed, double low, double high, double at_low, double at_high) {
  if (!(std::min(at_low, at_high) > needed)) return false;
  if ((at_low + at_high - speed_ * (high - low)) / 2 > needed) return true;
  const double middle = (low + high) / 2;
  if (evaluations_ >= kMostEvaluations || middle == low || middle == high) return false;
  const double at_middle = residual(middle);
  return stays_above(needed, low, middle, at_low, at_middle) &&
         stays_above(needed, middle, high, at_middle, at_high);
}

bool GainBounds::excludes(double low, double high) {
  const double most = largest_residual(norms_at(low), smallest_singular_value(high)) * (1 + kSlack);
  return std::isfinite(most) && stays_above(most, low, high);
}

}  // namespace basin
