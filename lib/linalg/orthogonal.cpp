#include "basin/linalg/orthogonal.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace basin {

void project_out(ConstVectorsRef<double> Q, VectorsRef<double> V) {
  for (int pass = 0; pass < 2; ++pass) subtract(Q, gram(Q, V), V);
}

Orthonormalised orthonormalise(ConstVectorsRef<double> Q, VectorsRef<double> W, double scale) {
  // Products of vectors that are longer or shorter may overflow, or lose digits to underflow.
  constexpr double kShort = 0x1p-400, kLong = 0x1p+400, kUp = 0x1p+600, kDown = 0x1p-600;
  const Index b = W.cols();
  struct Column {
    Index source;
    double factor, least;  // what it is multiplied by; dependent if no more is left
  };
  std::vector<Column> columns;
  Vector<double> factors = Vector<double>::Ones(b);
  for (Index j = 0; j < b; ++j) {
    double length = norm(W.col(j));
    if (!(length >= kShort && length <= kLong)) {
      factors[j] = length < kShort ? kUp : kDown;
      W.col(j) *= factors[j];
      length = norm(W.col(j));
    }
    const double least = kDependent * std::max(length, scale * factors[j]);
    if (length > least && std::isfinite(length)) columns.push_back({j, factors[j], least});
  }

  Orthonormalised result;
  result.coefficients = gram(Q, W);
  result.rest = Vector<double>::Zero(b);
  const auto k = static_cast<Index>(columns.size());
  Vectors<double> C(Q.cols(), k);
  for (Index i = 0; i < k; ++i) {
    C.col(i) = result.coefficients.col(columns[i].source);
    if (columns[i].source != i) W.col(i) = W.col(columns[i].source);
  }
  result.coefficients *= factors.cwiseInverse().asDiagonal();
  subtract(Q, C, W.leftCols(k));
  const Vector<double> once = norms(W.leftCols(k));
  subtract(Q, gram(Q, W.leftCols(k)), W.leftCols(k));

  for (Index i = 0; i < k && Q.cols() + result.count < W.rows(); ++i) {
    auto w = W.col(i);
    const auto before = W.leftCols(result.count);
    project_out(before, w);
    double rest = norm(w);
    if (!(rest > columns[i].least)) continue;
    w /= rest;
    if (rest < once[i] / 2) {  // the rounding of the second pass, eps once[i], is more beside so little
      subtract(Q, gram(Q, w), w);
      subtract(before, gram(before, w), w);
      const double length = norm(w);
      w /= length;
      rest *= length;
    }
    result.rest[columns[i].source] = rest / columns[i].factor;
    if (result.count != i) W.col(result.count) = w;
    ++result.count;
  }
  return result;
}

}  // namespace basin
