#include "stationary/attention_function.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "linalg/errors.h"
#include "model/attention_view.h"
#include "model/gaussian_kernel.h"
#include "model/softmax_kernel.h"

namespace basin {
namespace {

/// |a - b| over `scale`; 0 where both are 0.
double relative(ConstMatrixRef<double> a, ConstMatrixRef<double> b, double scale) {
  return scale > 0 ? (a - b).stableNorm() / scale : 0;
}

/// |S_kl V_l - S'_kl V'_l| over all tokens k and l of each sample; without another head |S_kl V_l|.
double carried(const HeadFunction& a, const HeadFunction* b = nullptr) {
  const Index n = a.S.cols();
  Vector<double> norms(a.S.rows());
  for (Index row = 0; row < a.S.rows(); ++row) {
    const Index first = row - row % n;
    const auto part = [&](const HeadFunction& head) {
      return Matrix<double>(head.S.row(row).transpose().asDiagonal() * head.V.middleRows(first, n));
    };
    norms[row] = b ? (part(a) - part(*b)).stableNorm() : part(a).stableNorm();
  }
  return norms.stableNorm();
}

}  // namespace

AttentionFunction attention_function(const ModelPoint<double>& point) {
  const AttentionView view(point, "what a point is as a function");
  const AttentionSpec& spec = view.spec();
  const Data<double>& data = view.data();
  const Index n = spec.tokens, rows = data.X.rows();
  std::unique_ptr<const AttentionKernel<double>> kernel;
  if (spec.kernel == KernelKind::softmax)
    kernel = std::make_unique<SoftmaxKernel<double>>(spec.head_dim);
  else
    kernel = std::make_unique<GaussianKernel<double>>(spec.sigma());
  const auto block = [&](AttentionBlock which, Index h) { return Matrix<double>(view.block(which, h)); };
  AttentionFunction f;
  f.outputs = Matrix<double>::Zero(rows, spec.outputs);
  for (Index h = 0; h < spec.heads; ++h) {
    const Matrix<double> Q = data.X * block(kQ, h), K = data.X * block(kK, h);
    HeadFunction head;
    head.V = data.X * block(kV, h) * block(kO, h);
    head.S.resize(rows, n);
    Matrix<double> shared = Matrix<double>::Zero(data.samples, spec.outputs);
    for (Index i = 0; i < data.samples; ++i) {
      kernel->value(Q.middleRows(i * n, n), K.middleRows(i * n, n), head.S.middleRows(i * n, n));
      const Matrix<double> added = head.S.middleRows(i * n, n) * head.V.middleRows(i * n, n);
      f.outputs.middleRows(i * n, n) += added;
      shared.row(i) = added.colwise().mean();
    }
    head.scale = carried(head);
    if (spec.kernel == KernelKind::softmax)
      for (Index i = 0; i < data.samples; ++i) head.V.middleRows(i * n, n).rowwise() -= shared.row(i);
    f.heads.push_back(std::move(head));
  }
  f.scale = std::max(f.outputs.stableNorm(), data.Y.stableNorm());
  return f;
}

Saturation AttentionFunction::saturation() const {
  SaturationOfRows rows;
  for (const HeadFunction& head : heads) rows.add(head.S);
  return rows.result();
}

Index AttentionFunction::flat_size(Index rows, Index tokens, Index heads, Index outputs) {
  return rows * (outputs + heads * (tokens + outputs)) + 1 + heads;
}

Vector<double> AttentionFunction::flat() const {
  const Index rows = outputs.rows();
  Vector<double> all(flat_size(rows, heads.empty() ? 0 : heads[0].S.cols(), static_cast<Index>(heads.size()),
                               outputs.cols()));
  Index at = 0;
  const auto add = [&](const Matrix<double>& part) {
    all.segment(at, part.size()) = part.reshaped<Eigen::RowMajor>();
    at += part.size();
  };
  add(outputs);
  for (const HeadFunction& head : heads) add(head.S), add(head.V);
  all[at++] = scale;
  for (const HeadFunction& head : heads) all[at++] = head.scale;
  return all;
}

AttentionFunction AttentionFunction::from_flat(const Vector<double>& flat, Index rows, Index tokens,
                                               Index heads, Index outputs) {
  if (flat.size() != flat_size(rows, tokens, heads, outputs))
    throw InputError("AttentionFunction: found " + std::to_string(flat.size()) + " numbers, expected " +
                     std::to_string(flat_size(rows, tokens, heads, outputs)));
  Index at = 0;
  const auto take = [&](Index cols) {
    Matrix<double> part = Eigen::Map<const Matrix<double>>(flat.data() + at, rows, cols);
    at += part.size();
    return part;
  };
  AttentionFunction f;
  f.outputs = take(outputs);
  for (Index h = 0; h < heads; ++h) {
    HeadFunction head;
    head.S = take(tokens);
    head.V = take(outputs);
    f.heads.push_back(std::move(head));
  }
  f.scale = flat[at++];
  for (HeadFunction& head : f.heads) head.scale = flat[at++];
  return f;
}

double function_scale(const AttentionFunction& f) {
  double scale = f.scale;
  for (const HeadFunction& head : f.heads) scale = std::max(scale, head.scale);
  return scale;
}

double output_distance(const AttentionFunction& a, const AttentionFunction& b) {
  return relative(a.outputs, b.outputs, std::max(a.scale, b.scale));
}

double function_distance(const AttentionFunction& a, const AttentionFunction& b) {
  const double scale = std::max(function_scale(a), function_scale(b));
  double distance = output_distance(a, b);
  std::vector<bool> used(b.heads.size(), false);
  for (const HeadFunction& head : a.heads) {
    double nearest = HUGE_VAL;
    std::size_t which = 0;
    for (std::size_t h = 0; h < b.heads.size(); ++h) {
      if (used[h]) continue;
      const double d = carried(head, &b.heads[h]);
      if (d < nearest) nearest = d, which = h;
    }
    used[which] = true;
    if (scale > 0) distance = std::max(distance, nearest / scale);
  }
  return distance;
}

}  // namespace basin
