#include "linalg/product.h"

#include "linalg/simd.h"

namespace basin {
namespace {

// The block of the result that is kept in registers: with the packs of a row of `right`, no more than there
// are.
constexpr Index kRows = kPackRegisters >= 32 ? 8 : 4, kPacks = 3;

template <class S>
using Terms = std::initializer_list<Term<S>>;

/// Rows x (Packs * lanes) of the result, or `part` columns of a last, incomplete pack.
template <int Rows, int Packs, bool Whole, class S>
inline void block(const Terms<S>& terms, Index i, Index j, Index part, Tile<S> out, bool add) {
  constexpr Index lanes = kLanes<S>;
  const auto get = [part](const S* from) { return Whole ? load(from) : load_part(from, part); };
  Pack<S> sums[Rows][Packs];
  for (int r = 0; r < Rows; ++r)
    for (int p = 0; p < Packs; ++p) sums[r][p] = add ? get(out.row(i + r) + j + p * lanes) : Pack<S>{};

  for (const auto& [left_factor, right_factor] : terms) {
    if (left_factor.empty() || right_factor.empty()) continue;
    const Index inner = left_factor.cols, row_step = left_factor.row_step;
    const S* left = left_factor.row(i);
    const S* right = right_factor.data + j;
    for (Index l = 0; l < inner; ++l, left += left_factor.col_step, right += right_factor.row_step) {
      Pack<S> row[Packs];
      for (int p = 0; p < Packs; ++p) row[p] = get(right + p * lanes);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
        for (int p = 0; p < Packs; ++p) sums[r][p] += left[r * row_step] * row[p];
    }
  }
  for (int r = 0; r < Rows; ++r)
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
  Index i = 0;
  for (; i + kRows <= out.rows; i += kRows) block<kRows, Packs, Whole>(terms, i, j, part, out, add);
  if constexpr (kRows > 4)
    for (; i + 4 <= out.rows; i += 4) block<4, Packs, Whole>(terms, i, j, part, out, add);
  for (; i < out.rows; ++i) block<1, Packs, Whole>(terms, i, j, part, out, add);
}

}  // namespace

template <class S>
void sum_of_products(std::initializer_list<Term<S>> terms, Tile<S> out, bool add) {
  constexpr Index lanes = kLanes<S>;
  Index j = 0;
  for (Index packs = out.cols / lanes; packs > 0;) {
    const Index wide = packs == 4 ? 2 : std::min(packs, kPacks);  // 4 = 2 + 2 keeps more sums going than 3 + 1
    if (wide == 3)
      columns<3, true>(terms, j, 0, out, add);
    else if (wide == 2)
      columns<2, true>(terms, j, 0, out, add);
    else
      columns<1, true>(terms, j, 0, out, add);
    j += wide * lanes, packs -= wide;
  }
  if (j < out.cols) columns<1, false>(terms, j, out.cols - j, out, add);
}

template <class S>
void transpose(Tile<const S> in, Tile<S> out) {
  constexpr Index block = 8;
  for (Index i = 0; i < in.rows; i += block)
    for (Index j = 0; j < in.cols; j += block)
      for (Index c = j; c < std::min(j + block, in.cols); ++c)
        for (Index r = i; r < std::min(i + block, in.rows); ++r) out.row(c)[r] = in.row(r)[c];
  for (Index c = 0; c < in.cols; ++c) std::fill(out.row(c) + in.rows, out.row(c) + out.cols, S(0));
}

template void sum_of_products(std::initializer_list<Term<double>>, Tile<double>, bool);
template void sum_of_products(std::initializer_list<Term<float>>, Tile<float>, bool);
template void transpose(Tile<const double>, Tile<double>);
template void transpose(Tile<const float>, Tile<float>);

}  // namespace basin
