#include "basin/linalg/sums.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "basin/linalg/parallel.h"
#include "basin/linalg/simd.h"

namespace basin {
namespace {

constexpr Index kLane = kLanes<double>;

// Rows of a leaf of the tree, about: as many leaves as come closest, all but the last of one size.
constexpr Index kLeaf = 960, kQuarters = 4;

Index leaf_rows(Index rows) {
  const Index leaves = std::max<Index>(1, (rows + kLeaf / 2) / kLeaf);
  return std::max(kLane, padded<double>((rows + leaves - 1) / leaves));
}

// Leaves over which a few columns are followed before the next few: short streams are slow to start.
constexpr Index kTogether = 8;

// Multiplications that are worth sharing among threads: some milliseconds, as long as a thread may have to be
// waited for on a busy machine. And the most parts they are shared in. Neither changes a bit.
constexpr Index kShared = 1 << 24, kParts = 64;

/// Columns in memory.
template <class S>
struct Columns {
  S* data;
  Index step;
  S* at(Index row, Index col) const { return data + row + col * step; }
};

Columns<const double> columns_of(ConstVectorsRef<double> X) {
  return {X.data(), X.outerStride()};
}

/// `size` cut into the fewest parts of at most `most`, as even as can be, the last one among the largest.
struct Parts {
  Index total, count;
  Parts(Index size, Index most) : total(size), count((size + most - 1) / most) {}
  Index first(Index i) const { return count == 1 ? i * total : total * i / count; }
  Index size(Index i) const { return first(i + 1) - first(i); }
};

// ---- sums over rows ---------------------------------------------------------------------------------------

/// Products of A columns x with B columns y over a leaf of `rows` rows; to out(i, j) at
/// out[i * row_step + j * col_step]. Each has four packs of partial sums, one for each quarter of the rows:
/// Q = 4 takes them at once, which hides the time of an addition where the columns are few, Q = 1 one by one.
template <int A, int B, int Q>
void leaf(Columns<const double> x, Columns<const double> y, Index rows, double* out, Index row_step,
          Index col_step) {
  using Sums = std::array<std::array<Pack<double>, B>, A>;
  const auto step = [&](Sums& sums, Index row, const auto& read) {
    Pack<double> ys[B];
#pragma GCC unroll 4
    for (int j = 0; j < B; ++j) ys[j] = read(y.at(row, j));
#pragma GCC unroll 6
    for (int i = 0; i < A; ++i) {
      const Pack<double> xs = read(x.at(row, i));
#pragma GCC unroll 4
      for (int j = 0; j < B; ++j) sums[i][j] = multiply_add<double>(xs, ys[j], sums[i][j]);
    }
  };
  const auto whole_pack = [](const double* from) { return load(from); };
  const Index quarter = padded<double>((rows + kQuarters - 1) / kQuarters);
  const auto finish = [&](Sums& sums, Index first, Index end) {
    Index row = first;
    for (; row + kLane <= end; row += kLane) step(sums, row, whole_pack);
    if (row < end) step(sums, row, [&](const double* from) { return load_part(from, end - row); });
  };
  const auto end_of = [&](Index q) { return std::min(rows, (q + 1) * quarter); };
  Sums total{};
  const auto add_to_total = [&](const Sums& first, const Sums& second) {
    for (int i = 0; i < A; ++i)
      for (int j = 0; j < B; ++j) total[i][j] += first[i][j] + second[i][j];
  };
  if constexpr (Q == kQuarters) {
    Sums sums[Q]{};
    Index done = 0;
    for (; (Q - 1) * quarter + done + kLane <= rows; done += kLane)
#pragma GCC unroll 4
      for (Index q = 0; q < Q; ++q) step(sums[q], q * quarter + done, whole_pack);
    for (Index q = 0; q < Q; ++q) finish(sums[q], q * quarter + done, end_of(q));
    add_to_total(sums[0], sums[1]);
    add_to_total(sums[2], sums[3]);
  } else {
    for (const Index q : {0, 2}) {
      Sums first{}, second{};
      finish(first, q * quarter, end_of(q));
      finish(second, (q + 1) * quarter, end_of(q + 1));
      add_to_total(first, second);
    }
  }
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < B; ++j) out[i * row_step + j * col_step] = sum<double>(total[i][j]);
}

using Leaf = decltype(&leaf<1, 1, 1>);

// By columns of y and of x, less one: what fits into 16 registers, with 8 streams or fewer, as many as the
// first-level cache has places for columns a power of two apart.
constexpr Index kMostX[] = {6, 6, 4, 3}, kMostY = 4;
constexpr Leaf kLeaves[kMostY][6] = {
    {leaf<1, 1, 4>, leaf<2, 1, 4>, leaf<3, 1, 4>, leaf<4, 1, 1>, leaf<5, 1, 1>, leaf<6, 1, 1>},
    {leaf<1, 2, 4>, leaf<2, 2, 1>, leaf<3, 2, 1>, leaf<4, 2, 1>, leaf<5, 2, 1>, leaf<6, 2, 1>},
    {leaf<1, 3, 4>, leaf<2, 3, 1>, leaf<3, 3, 1>, leaf<4, 3, 1>},
    {leaf<1, 4, 1>, leaf<2, 4, 1>, leaf<3, 4, 1>}};

/// One Gram matrix as a tree.
class Tree {
 public:
  /// X has at least as many columns as Y, and both one or more.
  Tree(ConstVectorsRef<double> X, ConstVectorsRef<double> Y, Index row_step, Index col_step)
      : x_(columns_of(X)),
        y_(columns_of(Y)),
        rows_(X.rows()),
        leaf_(leaf_rows(X.rows())),
        row_step_(row_step),
        col_step_(col_step),
        size_(X.cols() * Y.cols()),
        of_y_(Y.cols(), kMostY),
        of_x_(X.cols(), kMostX[of_y_.size(of_y_.count - 1) - 1]) {}

  Index size() const { return size_; }
  Index work() const { return rows_ * size_; }
  Index leaf_count() const { return std::max<Index>(1, (rows_ + leaf_ - 1) / leaf_); }
  /// Numbers that `sum` needs beside its result.
  Index spare(Index count) const { return size_ * std::bit_width(static_cast<std::size_t>(count)); }

  /// The sum of `count` leaves from `first`, a multiple of a power of two that is not below `count`.
  void sum(Index first, Index count, double* out, double* spare) const {
    if (count <= kTogether) return add_columns(first, count, out);
    const Index half = left_part(count);
    sum(first, half, out, spare);
    sum(first + half, count - half, spare, spare + size_);
    for (Index i = 0; i < size_; ++i) out[i] += spare[i];
  }

 private:
  static Index left_part(Index count) {
    return static_cast<Index>(std::bit_ceil(static_cast<std::size_t>(count)) / 2);
  }

  void add_columns(Index first, Index count, double* out) const {
    for (Index i = 0; i < of_x_.count; ++i)
      for (Index j = 0; j < of_y_.count; ++j) {
        const Block block = {of_x_.first(i), of_y_.first(j), of_x_.size(i), of_y_.size(j)};
        sum(block, first, count, out + block.x * row_step_ + block.y * col_step_, row_step_, col_step_);
      }
  }

  /// Columns of X and Y whose products are summed in registers.
  struct Block {
    Index x, y, of_x, of_y;
  };

  void sum(const Block& block, Index first, Index count, double* out, Index row_step, Index col_step) const {
    if (count == 1) {
      const Index row = first * leaf_;
      return kLeaves[block.of_y - 1][block.of_x - 1]({x_.at(row, block.x), x_.step},
                                                     {y_.at(row, block.y), y_.step},
                                                     std::min(leaf_, rows_ - row), out, row_step, col_step);
    }
    const Index half = left_part(count);
    sum(block, first, half, out, row_step, col_step);
    double rest[12];
    sum(block, first + half, count - half, rest, 1, block.of_x);
    for (Index i = 0; i < block.of_x; ++i)
      for (Index j = 0; j < block.of_y; ++j) out[i * row_step + j * col_step] += rest[i + j * block.of_x];
  }

  Columns<const double> x_, y_;
  Index rows_, leaf_, row_step_, col_step_, size_;
  Parts of_y_, of_x_;
};

void sum_tree(const Tree& tree, double* out) {
  const Index count = tree.leaf_count();
  const auto serial = [&](Index first, Index leaves, double* to) {
    std::array<double, 128> small;
    const Index need = tree.spare(leaves);
    if (need <= static_cast<Index>(small.size())) return tree.sum(first, leaves, to, small.data());
    std::vector<double> spare(need);
    tree.sum(first, leaves, to, spare.data());
  };
  if (tree.work() < kShared || thread_slots() == 1) return serial(0, count, out);
  // Subtrees of one size, and then the tree over them.
  const auto each =
      static_cast<Index>(std::bit_ceil(static_cast<std::size_t>((count + kParts - 1) / kParts)));
  Vectors<double> parts(tree.size(), (count + each - 1) / each);
  parallel_for(parts.cols(), [&](Index part, Index) {
    serial(part * each, std::min(each, count - part * each), parts.col(part).data());
  });
  for (Index width = 1; width < parts.cols(); width *= 2)
    for (Index i = 0; i + width < parts.cols(); i += 2 * width) parts.col(i) += parts.col(i + width);
  std::copy_n(parts.data(), tree.size(), out);
}

// ---- updates ----------------------------------------------------------------------------------------------

/// B columns v -= A columns x times c (A x B), over `rows` rows.
template <int A, int B>
void update(Columns<const double> x, Columns<const double> c, Columns<double> v, Index rows) {
  Pack<double> minus[A][B];
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < B; ++j) minus[i][j] = Pack<double>{} - *c.at(i, j);
  const auto step = [&](Index row, const auto& read, const auto& write) {
    Pack<double> vs[B];
#pragma GCC unroll 2
    for (int j = 0; j < B; ++j) vs[j] = read(v.at(row, j));
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i) {
      const Pack<double> xs = read(x.at(row, i));
#pragma GCC unroll 2
      for (int j = 0; j < B; ++j) vs[j] = multiply_add<double>(xs, minus[i][j], vs[j]);
    }
#pragma GCC unroll 2
    for (int j = 0; j < B; ++j) write(v.at(row, j), vs[j]);
  };
  const Index whole = rows / kLane * kLane, rest = rows - whole;
  for (Index row = 0; row < whole; row += kLane)
    step(
        row, [](const double* from) { return load(from); },
        [](double* to, Pack<double> pack) { store<double>(to, pack); });
  if (rest > 0)
    step(
        whole, [&](const double* from) { return load_part(from, rest); },
        [&](double* to, Pack<double> pack) { store_part<double>(to, pack, rest); });
}

using Update = decltype(&update<1, 1>);
constexpr Index kMostFactors[] = {8, 4};
constexpr Update kUpdate[2][8] = {{update<1, 1>, update<2, 1>, update<3, 1>, update<4, 1>, update<5, 1>,
                                   update<6, 1>, update<7, 1>, update<8, 1>},
                                  {update<1, 2>, update<2, 2>, update<3, 2>, update<4, 2>}};

}  // namespace

Vectors<double> gram(ConstVectorsRef<double> X, ConstVectorsRef<double> Y) {
  eigen_assert(X.rows() == Y.rows());
  Vectors<double> out(X.cols(), Y.cols());
  if (out.size() == 0) return out;
  if (X.cols() >= Y.cols())
    sum_tree(Tree(X, Y, 1, out.rows()), out.data());
  else
    sum_tree(Tree(Y, X, out.rows(), 1), out.data());
  return out;
}

double dot(ConstVectorRef<double> x, ConstVectorRef<double> y) {
  eigen_assert(x.size() == y.size());
  double out = 0;
  sum_tree(Tree(x, y, 1, 1), &out);
  return out;
}

double norm(ConstVectorRef<double> x) {
  // A sum between these bounds has lost nothing that matters to overflow or underflow; others are taken again
  // of numbers that a power of two has brought there.
  constexpr double kSmall = 0x1p-900, kLarge = 0x1p+1000, kUp = 0x1p+600, kDown = 0x1p-600;
  const double square = dot(x, x);
  if (square >= kSmall && square <= kLarge) return std::sqrt(square);
  if (std::isnan(square)) return square;
  const double factor = square < kSmall ? kUp : kDown;
  const Vector<double> scaled = factor * x;
  return std::sqrt(dot(scaled, scaled)) / factor;
}

Vector<double> norms(ConstVectorsRef<double> X) {
  Vector<double> out(X.cols());
  for (Index j = 0; j < X.cols(); ++j) out[j] = norm(X.col(j));
  return out;
}

void subtract(ConstVectorsRef<double> X, ConstVectorsRef<double> C, VectorsRef<double> V) {
  eigen_assert(X.rows() == V.rows() && X.cols() == C.rows() && C.cols() == V.cols());
  const Index a = X.cols(), b = V.cols(), P = V.rows();
  if (a == 0 || b == 0 || P == 0) return;
  const Parts of_v(b, 2), of_x(a, kMostFactors[b > 1 ? 1 : 0]);
  const Columns<const double> x = columns_of(X), c = columns_of(C);
  const Columns<double> v = {V.data(), V.outerStride()};
  constexpr Index kAtOnce = kTogether * kLeaf;
  const auto work = [&](Index first, Index end) {
    for (Index row = first; row < end; row += kAtOnce)
      for (Index i = 0; i < of_x.count; ++i)
        for (Index j = 0; j < of_v.count; ++j)
          kUpdate[of_v.size(j) - 1][of_x.size(i) - 1](
              {x.at(row, of_x.first(i)), x.step}, {c.at(of_x.first(i), of_v.first(j)), c.step},
              {v.at(row, of_v.first(j)), v.step}, std::min(kAtOnce, end - row));
  };
  const Index count = (P + kAtOnce - 1) / kAtOnce;
  if (P * a * b < kShared || thread_slots() == 1) return work(0, P);
  const Index each = (count + kParts - 1) / kParts * kAtOnce;
  parallel_for((P + each - 1) / each,
               [&](Index part, Index) { work(part * each, std::min(P, (part + 1) * each)); });
}

}  // namespace basin
