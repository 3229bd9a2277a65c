#include "basin/linalg/product.h"

#include <algorithm>
#include <utility>

#include "basin/linalg/batch.h"
#include "basin/linalg/simd.h"

namespace basin {
namespace {

// The block of the result that is kept in registers: with the packs of a row of `right`, no more than there
// are.
constexpr Index kRows = kPackRegisters >= 32 ? 8 : 4, kPacks = 3;

template <class S>
using Terms = std::initializer_list<Term<S>>;

// Steps of an inner sum that are made for all blocks of the result before the next ones: the columns of
// `right` that a block reads then stay in the first-level cache for the blocks below.
constexpr Index kInner = 128;

/// What a block brings closer while it computes: rows of `left` for the block below, and columns of `right`
/// for the block beside. Hardware does not foresee these strided reads.
enum Prefetch : unsigned { kNone = 0, kLeft = 1, kRight = 2 };

/// Rows x (Packs * lanes) of the result, or its last `part` columns, for which `right` is in whole packs.
template <int Rows, int Packs, bool Whole, unsigned Ahead = kNone, class S>
inline void block(const Terms<S>& terms, Index i, Index j, Index part, Tile<S> out, bool add) {
  constexpr Index lanes = kLanes<S>;
  Pack<S> sums[Rows][Packs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
    for (int p = 0; p < Packs; ++p) {
      const S* from = out.row(i + r) + j + p * lanes;
      sums[r][p] = !add ? Pack<S>{} : Whole ? load(from) : load_part(from, part);
    }

  for (const auto& [left_factor, right_factor] : terms) {
    if (left_factor.empty() || right_factor.empty()) continue;
    const Index inner = left_factor.cols, row_step = left_factor.row_step;
    const S* left = left_factor.row(i);
    const S* right = right_factor.data + (Whole ? j : 0);
    for (Index l = 0; l < inner; ++l, left += left_factor.col_step, right += right_factor.row_step) {
      Pack<S> row[Packs];
      for (int p = 0; p < Packs; ++p) row[p] = load(right + p * lanes), hold<S>(row[p]);
      if constexpr ((Ahead & kLeft) != 0) __builtin_prefetch(left + Rows * row_step, 0, 2);
      if constexpr ((Ahead & kRight) != 0)
        for (int p = 0; p < Packs; ++p) __builtin_prefetch(right + (Packs + p) * lanes, 0, 2);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
        for (int p = 0; p < Packs; ++p)
          sums[r][p] = multiply_add<S>(left[r * row_step] - Pack<S>{}, row[p], sums[r][p]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
    for (int p = 0; p < Packs; ++p) {
      S* to = out.row(i + r) + j + p * lanes;
      if constexpr (Whole)
        store(to, sums[r][p]);
      else
        store_part(to, sums[r][p], part);
    }
}

template <int Packs, bool Whole, class S>
void columns(const Terms<S>& terms, Index j, Index part, Tile<S> out, bool add) {
  constexpr Index rows = Packs == 1 ? 2 * kRows : kRows;  // enough sums to keep the multipliers busy
  Index i = 0;
  if (out.rows >= 2 * rows) {
    block<rows, Packs, Whole, kLeft | kRight>(terms, i, j, part, out, add);
    i += rows;
    if (j == 0)
      for (; i + 2 * rows <= out.rows; i += rows)
        block<rows, Packs, Whole, kLeft>(terms, i, j, part, out, add);
  }
  for (; i + rows <= out.rows; i += rows) block<rows, Packs, Whole>(terms, i, j, part, out, add);
  if constexpr (rows > 8)
    if (i + 8 <= out.rows) block<8, Packs, Whole>(terms, i, j, part, out, add), i += 8;
  if constexpr (rows > 4)
    for (; i + 4 <= out.rows; i += 4) block<4, Packs, Whole>(terms, i, j, part, out, add);
  for (; i < out.rows; ++i) block<1, Packs, Whole>(terms, i, j, part, out, add);
}

/// The last columns of the result, fewer than a pack: those of the right factors are copied into packs first.
template <class S>
void last_columns(const Terms<S>& terms, Index j, Tile<S> out, bool add) {
  constexpr Index lanes = kLanes<S>;
  const Index part = out.cols - j;
  S packs[kInner * lanes];
  for (const auto& [left, right] : terms) {
    if (left.empty() || right.empty()) continue;
    for (Index l = 0; l < left.cols; ++l) store<S>(packs + l * lanes, load_part(right.row(l) + j, part));
    columns<1, false>(Terms<S>{{left, {packs, left.cols, lanes, lanes, 1}}}, j, part, out, add);
    add = true;
  }
  if (!add) columns<1, false>(Terms<S>{}, j, part, out, false);
}

/// a0 b0 a1 b1 ... of the first (High: second) halves of two packs.
template <bool High, class S, std::size_t... I>
Pack<S> interleave(Pack<S> a, Pack<S> b, std::index_sequence<I...>) {
  constexpr std::size_t lanes = sizeof...(I), first = High ? lanes / 2 : 0;
  return __builtin_shufflevector(a, b, (first + I / 2 + (I % 2) * lanes)...);
}

/// One pack from each row and column. Interleaving row i with row i + lanes / 2, for all i, moves the last
/// bit of the index of a column to the front of the index of its row: after log2(lanes) times, they have
/// changed places.
template <class S>
void transpose_square(Tile<const S> in, Tile<S> out) {
  constexpr Index lanes = kLanes<S>;
  constexpr auto indices = std::make_index_sequence<lanes>();
  Pack<S> rows[lanes], next[lanes];
  for (Index i = 0; i < lanes; ++i) rows[i] = load(in.row(i));
  for (Index round = 1; round < lanes; round *= 2) {
    for (Index i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleave<false, S>(rows[i], rows[i + lanes / 2], indices);
      next[2 * i + 1] = interleave<true, S>(rows[i], rows[i + lanes / 2], indices);
    }
    std::copy_n(next, lanes, rows);
  }
  for (Index i = 0; i < lanes; ++i) store<S>(out.row(i), rows[i]);
}

// ---- large products ---------------------------------------------------------------------------------------

// Large factors are copied, part by part, to where reading them is cheap: rows of a wide matrix stand in the
// same few places of the first-level cache, and each on a page of its own. A panel of `right`, kDeep rows of
// as many columns as a block of the result has, then stays in the first-level cache, kTall rows of `left` in
// the second. Rows of `left` that are contiguous are read where they are: a block reads a few at once.
constexpr Index kDeep = kPackBytes == 64 ? 128 : 192, kTall = 256;

template <class S>
struct PackedFactors {
  Batch<S> left, right;
};

/// Parts of about the same size, at most `most`.
Index balanced(Index size, Index most) {
  const Index parts = (size + most - 1) / most;
  return (size + parts - 1) / parts;
}

/// The columns j, ... of a factor that stands in rows or columns, `packs` packs of them, row after row; zero
/// beyond its last column.
template <class S>
void pack_right(Tile<const S> right, Index j, Index packs, S* to) {
  constexpr Index lanes = kLanes<S>;
  const Index width = packs * lanes, there = std::min(width, right.cols - j), whole = there / lanes * lanes;
  if (right.col_step != 1)
    return transpose<S>(right.transpose().middle_rows(j, there), {to, right.rows, width, width, 1});
  for (Index l = 0; l < right.rows; ++l, to += width) {
    const S* const from = right.row(l) + j;
    for (Index c = 0; c < whole; c += lanes) store<S>(to + c, load(from + c));
    if (whole < there) store<S>(to + whole, load_part(from + whole, there - whole));
  }
}

/// Groups of kRows rows of a factor that stands in columns (row_step 1), column after column; rows that are
/// left over at the end are not copied.
template <class S>
void pack_left(Tile<const S> left, S* to) {
  constexpr Index kColumns = 8;  // at once: each cache line is read and written in one go
  for (Index l = 0; l < left.cols; l += kColumns) {
    const Index end = std::min(l + kColumns, left.cols);
    for (Index i = 0; i + kRows <= left.rows; i += kRows)
      for (Index c = l; c < end; ++c) {
        const S* const from = left.data + c * left.col_step + i;
        for (Index r = 0; r < kRows; ++r) to[i * left.cols + c * kRows + r] = from[r];
      }
  }
}

/// As `columns`, of a panel of `right` that was copied, and `left` in groups, or null.
template <int Packs, bool Whole, class S>
void panel(Tile<const S> left, const S* groups, Tile<const S> right, Tile<S> out, bool add) {
  Index i = 0;
  for (; i + kRows <= out.rows; i += kRows) {
    const Tile<const S> rows = groups != nullptr
                                   ? Tile<const S>{groups + i * left.cols, kRows, left.cols, 1, kRows}
                                   : left.middle_rows(i, kRows);
    block<kRows, Packs, Whole>(Terms<S>{{rows, right}}, 0, 0, out.cols, out.middle_rows(i, kRows), add);
  }
  for (; i < out.rows; ++i) block<1, Packs, Whole>(Terms<S>{{left, right}}, i, 0, out.cols, out, add);
}

template <class S>
void packed_product(Tile<const S> left, Tile<const S> right, Tile<S> out, bool add) {
  constexpr Index lanes = kLanes<S>;
  thread_local PackedFactors<S> memory;
  memory.left.resize(1, kTall, kDeep);
  memory.right.resize(1, kDeep, kPacks * lanes);
  S *const left_memory = memory.left[0].data(), *const right_memory = memory.right[0].data();
  const Index tall = balanced(out.rows, kTall), deep = balanced(left.cols, kDeep);
  for (Index i = 0; i < out.rows; i += tall)
    for (Index l = 0; l < left.cols; l += deep) {
      const Index rows = std::min(tall, out.rows - i), steps = std::min(deep, left.cols - l);
      const Tile<const S> some_left = left.middle_rows(i, rows).middle_cols(l, steps);
      const bool grouped = left.col_step != 1;
      if (grouped) pack_left(some_left, left_memory);
      for (Index j = 0; j < out.cols;) {
        const Index packs = (out.cols - j) / lanes;
        const Index wide = packs == 4 ? 2 : std::clamp<Index>(packs, 1, kPacks), width = wide * lanes;
        pack_right(right.middle_rows(l, steps), j, wide, right_memory);
        const auto multiply = packs == 0  ? panel<1, false, S>
                              : wide == 1 ? panel<1, true, S>
                              : wide == 2 ? panel<2, true, S>
                                          : panel<3, true, S>;
        multiply(some_left, grouped ? left_memory : nullptr, {right_memory, steps, width, width, 1},
                 out.middle_rows(i, rows).middle_cols(j, std::min(width, out.cols - j)), add || l > 0);
        j += width;
      }
    }
}

/// Whether copying pays: a factor that is spread over more than the first-level cache, read again for many
/// rows of the result.
template <class S>
bool is_large(const Term<S>& t, Tile<S> out) {
  constexpr Index kEnough = 32, kNumbers = (32 << 10) / static_cast<Index>(sizeof(S));
  return out.rows >= kEnough &&
         std::max(t.right.rows * t.right.row_step, t.right.cols * t.right.col_step) > kNumbers;
}

/// The terms one after the other, each copied or in parts of at most kInner steps.
template <class S>
void one_by_one(const Terms<S>& terms, Tile<S> out, bool add) {
  for (const Term<S>& t : terms) {
    if (t.left.empty() || t.right.empty()) continue;
    if (is_large(t, out)) {
      packed_product(t.left, t.right, out, add);
      add = true;
      continue;
    }
    for (Index l = 0; l < t.left.cols; l += kInner, add = true) {
      const Index steps = std::min(kInner, t.left.cols - l);
      sum_of_products<S>({{t.left.middle_cols(l, steps), t.right.middle_rows(l, steps)}}, out, add);
    }
  }
  if (!add) sum_of_products<S>({}, out);
}

}  // namespace

template <class S>
void sum_of_products(std::initializer_list<Term<S>> terms, Tile<S> out, bool add) {
  for (const Term<S>& t : terms)
    if (!t.left.empty() && !t.right.empty() && (t.left.cols > kInner || is_large(t, out)))
      return one_by_one(terms, out, add);
  constexpr Index lanes = kLanes<S>;
  Index j = 0;
  for (Index packs = out.cols / lanes; packs > 0;) {
    const Index wide =
        packs == 4 ? 2 : std::min(packs, kPacks);  // 4 = 2 + 2 keeps more sums going than 3 + 1
    if (wide == 3)
      columns<3, true>(terms, j, 0, out, add);
    else if (wide == 2)
      columns<2, true>(terms, j, 0, out, add);
    else
      columns<1, true>(terms, j, 0, out, add);
    j += wide * lanes, packs -= wide;
  }
  if (j < out.cols) last_columns(terms, j, out, add);
}

template <class S>
void transpose(Tile<const S> in, Tile<S> out) {
  constexpr Index lanes = kLanes<S>;
  const Index whole_rows = in.rows / lanes * lanes, whole_cols = in.cols / lanes * lanes;
  for (Index i = 0; i < whole_rows; i += lanes)
    for (Index j = 0; j < whole_cols; j += lanes)
      transpose_square(in.middle_rows(i, lanes).middle_cols(j, lanes),
                       out.middle_rows(j, lanes).middle_cols(i, lanes));
  const bool whole = whole_rows == in.rows && in.rows == out.cols;
  for (Index c = whole ? whole_cols : 0; c < in.cols; ++c) {
    for (Index r = c < whole_cols ? whole_rows : 0; r < in.rows; ++r) out.row(c)[r] = in.row(r)[c];
    std::fill(out.row(c) + in.rows, out.row(c) + out.cols, S(0));
  }
}

template <class S>
void times_transpose(Tile<const S> left, Tile<const S> W, Tile<S> out, bool add) {
  if (is_large<S>({left, W.transpose()}, out)) return packed_product<S>(left, W.transpose(), out, add);
  thread_local Batch<S> memory;
  memory.resize(1, W.cols, padded<S>(W.rows));
  transpose<S>(W, tile(memory[0]));
  sum_of_products<S>({{left, tile(memory[0])}}, out, add);
}

template <>
void sum_of_products(std::initializer_list<Term<long double>> terms, Tile<long double> out, bool add) {
  for (Index i = 0; i < out.rows; ++i)
    for (Index j = 0; j < out.cols; ++j) {
      long double sum = add ? out.row(i)[j] : 0;
      for (const Term<long double>& t : terms)
        for (Index c = 0; c < t.left.cols && !t.left.empty() && !t.right.empty(); ++c)
          sum += t.left.row(i)[c * t.left.col_step] * t.right.row(c)[j * t.right.col_step];
      out.row(i)[j] = sum;
    }
}

template <>
void times_transpose(Tile<const long double> left, Tile<const long double> W, Tile<long double> out,
                     bool add) {
  sum_of_products<long double>({{left, W.transpose()}}, out, add);
}

template void times_transpose(Tile<const double>, Tile<const double>, Tile<double>, bool);
template void times_transpose(Tile<const float>, Tile<const float>, Tile<float>, bool);
template void sum_of_products(std::initializer_list<Term<double>>, Tile<double>, bool);
template void sum_of_products(std::initializer_list<Term<float>>, Tile<float>, bool);
template void transpose(Tile<const double>, Tile<double>);
template void transpose(Tile<const float>, Tile<float>);

}  // namespace basin
