#include "basin/curvature/tangent_gram.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace basin {
namespace {

/// sum += A X B; diagonal ones are columns.
template <class Left, class Right>
void add_product(const Left& A, const Dense& X, bool diagonal, const Right& B, bool diagonal_sum,
                 Dense& sum) {
  const Dense AX = diagonal ? Dense(A * X.col(0).asDiagonal()) : Dense(A * X);
  if (diagonal_sum)
    sum += AX.cwiseProduct(B.transpose()).rowwise().sum();
  else
    sum.noalias() += AX * B;
}

/// How many weights both have.
Index common(const WeightSlice& a, const WeightSlice& b) {
  const auto end = [](const WeightSlice& s) { return s.offset + s.rows * s.cols; };
  if (!a.trained() || !b.trained()) return 0;
  return std::max<Index>(0, std::min(end(a), end(b)) - std::max(a.offset, b.offset));
}

bool same(const Dense& a, const Dense& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() && a == b;
}

/// The term of what stands between left and right of X.
SeenTerm inner_term(const TangentMatrices& X, SeenTerm t) {
  using Kind = TangentMatrices::Kind;
  if (X.kind != Kind::all && X.kind != Kind::skew) return t;
  const Dense& right = X.kind == Kind::all ? X.right : X.left;
  return {t.L * (t.x_transposed ? right : X.left), (t.x_transposed ? X.left : right).transpose() * t.R,
          t.x_transposed};
}

}  // namespace

std::vector<SeenTerm> seen_terms(const TangentGenerator& generator, const SeenMap& map,
                                 const Vector<double>& weights) {
  std::vector<SeenTerm> all;
  for (const TangentTerm& t : generator.terms)
    for (const WeightSlice* block : {&map.W, &map.b}) {
      const Index count = common(*block, t.target), from = std::max(block->offset, t.target.offset),
                  cols = t.target.cols;
      if (count == 0) continue;
      Dense L = product_of(t.left, weights), R = product_of(t.right, weights);
      if (L.size() == 0) L = identity(t.target.rows);
      if (R.size() == 0) R = identity(cols);
      const Index above = block == &map.b && map.W.trained() ? map.W.rows : 0;
      Dense V = zero(map.rows(), L.cols());
      V.middleRows(above + (from - block->offset) / cols, count / cols) =
          t.sign * L.middleRows((from - t.target.offset) / cols, count / cols);
      all.push_back({outside(V, map.N), outside(R.transpose(), map.U).transpose(), t.x_transposed});
    }
  return all;
}

TangentGram::TangentGram(const std::vector<SeenMap>& maps, const std::vector<TangentGenerator>& generators,
                         const Vector<double>& weights) {
  for (const TangentGenerator& g : generators) {
    X_.push_back(g.X);
    for (const TangentTerm& t : g.terms) {
      Index rest = t.target.rows * t.target.cols;
      for (const SeenMap& map : maps) rest -= common(map.W, t.target) + common(map.b, t.target);
      if (rest != 0) throw std::logic_error("symmetries: a block that is in no map");
    }
  }
  for (const SeenMap& map : maps) {
    std::vector<std::pair<std::size_t, SeenTerm>> terms;
    for (std::size_t k = 0; k < generators.size(); ++k)
      for (SeenTerm& t : seen_terms(generators[k], map, weights))
        terms.emplace_back(k, inner_term(X_[k], std::move(t)));
    for (const auto& [to, a] : terms)
      for (const auto& [from, b] : terms) {
        if (to > from) continue;
        Dense A = a.L.transpose() * b.L, B = b.R * a.R.transpose();
        if (a.x_transposed) {
          A.swap(B);
          A.transposeInPlace(), B.transposeInPlace();
        }
        couple({to, from, a.x_transposed != b.x_transposed, std::move(A), std::move(B)});
      }
  }
}

/// Adds it to one that has the same factor: what reads behind a norm has A in common, what writes to a
/// stream B.
void TangentGram::couple(Coupling next) {
  if (next.A.isZero(0) || next.B.isZero(0)) return;
  if (is_diagonal(next.to) && is_diagonal(next.from))
    next.A = next.A.cwiseProduct(next.B.transpose()).eval(), next.B = {};
  for (Coupling& c : couplings_) {
    if (c.to != next.to || c.from != next.from || c.x_transposed != next.x_transposed) continue;
    if (same(c.B, next.B)) {
      c.A += next.A;
      return;
    }
    if (same(c.A, next.A)) {
      c.B += next.B;
      return;
    }
  }
  couplings_.push_back(std::move(next));
}

Vector<double> TangentGram::operator()(const Vector<double>& c) const {
  std::vector<Dense> X, sum;
  Index first = 0;
  for (const TangentMatrices& x : X_) {
    X.push_back(x.inner_value(c.data() + first));
    sum.push_back(zero(X.back().rows(), X.back().cols()));
    first += x.size();
  }
  for (const Coupling& k : couplings_) {
    const bool one = is_diagonal(k.to), other = is_diagonal(k.from);
    if (one && other) {
      sum[k.to] += k.A * X[k.from];
      if (k.to != k.from) sum[k.from] += k.A.transpose() * X[k.to];
    } else if (k.x_transposed) {
      const auto turned = [&](std::size_t g, bool diagonal) {
        return diagonal ? X[g] : Dense(X[g].transpose());
      };
      add_product(k.A, turned(k.from, other), other, k.B, one, sum[k.to]);
      if (k.to != k.from) add_product(k.B, turned(k.to, one), one, k.A, other, sum[k.from]);
    } else {
      add_product(k.A, X[k.from], other, k.B, one, sum[k.to]);
      if (k.to != k.from) add_product(k.A.transpose(), X[k.to], one, k.B.transpose(), other, sum[k.from]);
    }
  }
  Vector<double> product(c.size());
  first = 0;
  for (std::size_t k = 0; k < X_.size(); ++k) {
    X_[k].inner_transposed(sum[k], product.data() + first);
    first += X_[k].size();
  }
  return product;
}

}  // namespace basin
