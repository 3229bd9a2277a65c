#include "basin/stationary/point_signature.h"

#include <algorithm>
#include <cmath>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"

namespace basin {
namespace {

/// |a - b| over `scale`; 0 where both are 0.
double relative(ConstMatrixRef<double> a, ConstMatrixRef<double> b, double scale) {
  return scale > 0 ? (a - b).stableNorm() / scale : 0;
}

}  // namespace

PointSignature output_signature(const ModelPoint<double>& point) {
  PointSignature f;
  try {
    f.outputs = point.linearize({.keep = false}).outputs();
  } catch (const WorkError&) {  // not finite: near nothing
    const Shape out = point.model->network().output();
    f.outputs = Matrix<double>::Constant(point.data->samples * out.tokens, out.width, kNaN);
    f.scale = HUGE_VAL;
    return f;
  }
  const Mask counting = counting_rows(point.model->network(), *point.data);
  for (Index row = 0; row < static_cast<Index>(counting.size()); ++row)
    if (counting[row] == 0) f.outputs.row(row).setZero();
  f.scale = std::max(f.outputs.stableNorm(), point.data->Y.stableNorm());
  return f;
}

double carried(const HeadSignature& a, const HeadSignature* b) {
  const Index n = a.S.cols();
  Vector<double> norms(a.S.rows());
  for (Index row = 0; row < a.S.rows(); ++row) {
    const Index first = row - row % n;
    const auto part = [&](const HeadSignature& head) {
      return Matrix<double>(head.S.row(row).transpose().asDiagonal() * head.V.middleRows(first, n));
    };
    norms[row] = b ? (part(a) - part(*b)).stableNorm() : part(a).stableNorm();
  }
  return norms.stableNorm();
}

Saturation PointSignature::saturation() const {
  SaturationOfRows rows;
  for (const HeadSignature& head : heads) rows.add(head.S);
  return rows.result();
}

Index PointSignature::flat_size(Index rows, Index tokens, Index heads, Index outputs) {
  return rows * (outputs + heads * (tokens + outputs)) + 1 + heads;
}

Vector<double> PointSignature::flat() const {
  const Index rows = outputs.rows();
  Vector<double> all(flat_size(rows, heads.empty() ? 0 : heads[0].S.cols(), static_cast<Index>(heads.size()),
                               outputs.cols()));
  Index at = 0;
  const auto add = [&](const Matrix<double>& part) {
    all.segment(at, part.size()) = part.reshaped<Eigen::RowMajor>();
    at += part.size();
  };
  add(outputs);
  for (const HeadSignature& head : heads) add(head.S), add(head.V);
  all[at++] = scale;
  for (const HeadSignature& head : heads) all[at++] = head.scale;
  return all;
}

PointSignature PointSignature::from_flat(const Vector<double>& flat, Index rows, Index tokens, Index heads,
                                         Index outputs) {
  if (flat.size() != flat_size(rows, tokens, heads, outputs))
    throw InputError("PointSignature: found " + std::to_string(flat.size()) + " numbers, expected " +
                     std::to_string(flat_size(rows, tokens, heads, outputs)));
  Index at = 0;
  const auto take = [&](Index cols) {
    Matrix<double> part = Eigen::Map<const Matrix<double>>(flat.data() + at, rows, cols);
    at += part.size();
    return part;
  };
  PointSignature f;
  f.outputs = take(outputs);
  for (Index h = 0; h < heads; ++h) {
    HeadSignature head;
    head.S = take(tokens);
    head.V = take(outputs);
    f.heads.push_back(std::move(head));
  }
  f.scale = flat[at++];
  for (HeadSignature& head : f.heads) head.scale = flat[at++];
  return f;
}

double signature_scale(const PointSignature& f) {
  double scale = f.scale;
  for (const HeadSignature& head : f.heads) scale = std::max(scale, head.scale);
  return scale;
}

double output_distance(const PointSignature& a, const PointSignature& b) {
  return relative(a.outputs, b.outputs, std::max(a.scale, b.scale));
}

double signature_distance(const PointSignature& a, const PointSignature& b) {
  const double scale = std::max(signature_scale(a), signature_scale(b));
  double distance = output_distance(a, b);
  std::vector<bool> used(b.heads.size(), false);
  for (const HeadSignature& head : a.heads) {
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
