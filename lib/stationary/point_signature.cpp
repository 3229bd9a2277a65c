#include "basin/stationary/point_signature.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>

#include "basin/linalg/errors.h"
#include "basin/model/linearization.h"

namespace basin {
namespace {

constexpr Index kKeptOutputs = Index{1} << 16U;  // half a megabyte a start
constexpr Index kSketch = 1024;

/// 64 bits of a number that look random (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

/// |a - b| over `scale`; 0 where both are 0.
double relative(ConstMatrixRef<double> a, ConstMatrixRef<double> b, double scale) {
  return scale > 0 ? (a - b).stableNorm() / scale : 0;
}

/// Of rows of F from `first` on, what the loss sees: 0 in rows that do not count, and where the loss ignores
/// what is added to all outputs of a row nothing of that.
void keep_what_counts(const Linearization<double>& at, Index first, Matrix<double>& F) {
  const Mask& counting = at.counting_rows();
  for (Index row = 0; row < F.rows(); ++row)
    if (!counting.empty() && counting[static_cast<std::size_t>(first + row)] == 0) F.row(row).setZero();
  if (at.loss_facts().centred) F.colwise() -= F.rowwise().mean().eval();
}

/// Each output is added to one of kSketch sums with a sign, both drawn by its number (Charikar, Chen and
/// Farach-Colton, 2002): the squared norm of a difference of two sketches is that of the outputs, with a
/// standard deviation of sqrt(2 / kSketch) = 4 %.
Matrix<double> sketch(const Linearization<double>& at) {
  const Index width = at.model().network().output().width;
  std::map<Index, Vector<double>> parts;  // by their first rows, so that the order of the sum is fixed
  std::mutex changing;
  at.sum_over_outputs([&](Index first, ConstMatrixRef<double> F) {
    Matrix<double> rows = F;
    keep_what_counts(at, first, rows);
    Vector<double> part = Vector<double>::Zero(kSketch);
    for (Index i = 0; i < rows.size(); ++i) {
      const std::uint64_t drawn = mixed(static_cast<std::uint64_t>(first * width + i));
      const double value = rows.data()[i];
      part[static_cast<Index>(drawn % static_cast<std::uint64_t>(kSketch))] +=
          drawn >> 63U == 0 ? value : -value;
    }
    const std::lock_guard lock(changing);
    parts.emplace(first, std::move(part));
    return 0.0;
  });
  Matrix<double> sum = Matrix<double>::Zero(kSketch, 1);
  for (const auto& [first, part] : parts) sum += part;
  return sum;
}

}  // namespace

PointSignature output_signature(const ModelPoint<double>& point) {
  const Shape out = point.model->network().output();
  const Index rows = point.data->samples * out.tokens;
  const bool many = rows * out.width > kKeptOutputs;
  PointSignature f;
  try {
    const Linearization<double> at = point.linearize({.keep = false});
    f.outputs = many ? sketch(at) : at.outputs();
    if (!many) keep_what_counts(at, 0, f.outputs);
  } catch (const WorkError&) {  // not finite: near nothing
    f.outputs = Matrix<double>::Constant(many ? kSketch : rows, many ? 1 : out.width, kNaN);
    f.scale = HUGE_VAL;
    return f;
  }
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
