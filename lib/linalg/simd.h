/// Vectors of the machine: a few numbers that are processed by one instruction.
#pragma once

#include <algorithm>

#include "linalg/types.h"

namespace basin {

// The widest vectors this program is compiled for, and how many of them the processor can hold at once.
#if defined(__AVX512F__)
inline constexpr int kPackBytes = 64, kPackRegisters = 32;
#elif defined(__AVX__)
inline constexpr int kPackBytes = 32, kPackRegisters = 16;
#else
inline constexpr int kPackBytes = 16, kPackRegisters = 16;
#endif

/// How many numbers a vector holds.
template <class S>
inline constexpr Index kLanes = kPackBytes / static_cast<int>(sizeof(S));

/// A vector of kLanes numbers: a compiler extension (GCC and Clang) with the arithmetic operators of S.
/// Sums over packs take their terms in an order that the code fixes, whatever the address of the memory.
template <class S>
struct PackOf {
  using Type [[gnu::vector_size(kPackBytes)]] = S;
  using InMemory [[gnu::vector_size(kPackBytes), gnu::aligned(alignof(S)), gnu::may_alias]] = S;
};
template <class S>
using Pack = typename PackOf<S>::Type;

template <class S>
Pack<S> load(const S* from) {
  return *reinterpret_cast<const typename PackOf<S>::InMemory*>(from);
}
template <class S>
void store(S* to, Pack<S> pack) {
  *reinterpret_cast<typename PackOf<S>::InMemory*>(to) = pack;
}
/// The first `count` numbers only; the others are zero.
template <class S>
Pack<S> load_part(const S* from, Index count) {
  Pack<S> pack{};
  for (Index i = 0; i < count; ++i) pack[i] = from[i];
  return pack;
}
template <class S>
void store_part(S* to, Pack<S> pack, Index count) {
  for (Index i = 0; i < count; ++i) to[i] = pack[i];
}
/// The sum of the numbers in a pack, pairwise.
template <class S>
S sum(Pack<S> pack) {
  S parts[kLanes<S>];
  store(parts, pack);
  for (Index half = kLanes<S> / 2; half > 0; half /= 2)
    for (Index i = 0; i < half; ++i) parts[i] += parts[i + half];
  return parts[0];
}

/// The smallest multiple of kLanes that is not below `count`: row lengths that need no special case.
template <class S>
constexpr Index padded(Index count) {
  return (count + kLanes<S> - 1) / kLanes<S> * kLanes<S>;
}

/// Distance of two rows of `count` numbers: padded, and by one more pack where rows of a large power of two
/// would compete for the same few places of the first-level cache.
template <class S>
constexpr Index row_step(Index count) {
  const Index step = padded<S>(count);
  return step * static_cast<Index>(sizeof(S)) % 1024 == 0 ? step + kLanes<S> : step;
}

}  // namespace basin
