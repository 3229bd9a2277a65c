/// Vectors of the machine: a few numbers that are processed by one instruction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

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

/// exp(x) for x <= 0, within 2 units in the last place; 0 where the result would not be a normal number.
///
/// With x = k ln 2 + r and |r| <= ln 2 / 2: the Taylor polynomial of exp(r), whose remainder is below a
/// rounding, with k added to its exponent.
template <class S>
Pack<S> exp_of_negative(Pack<S> x) {
  constexpr bool is_double = sizeof(S) == 8;
  using Integer = std::conditional_t<is_double, std::uint64_t, std::uint32_t>;  // wraps around
  constexpr int mantissa = is_double ? 52 : 23, degree = is_double ? 13 : 7;
  constexpr S rounder = is_double ? S(0x1.8p52) : S(0x1.8p23);  // x + rounder ends in the integer nearest x
  constexpr S ln2_high = is_double ? S(0x1.62e42feep-1) : S(0x1.62e4p-1);  // times k without rounding
  constexpr S ln2_low = is_double ? S(0x1.a39ef35793c76p-33) : S(0x1.7f7d1cp-20);
  constexpr S smallest = is_double ? S(-708) : S(-87);

  const Pack<S> rounded = x * S(1.4426950408889634074) + rounder, k = rounded - rounder;
  const Pack<S> r = x - k * ln2_high - k * ln2_low;
  constexpr auto reciprocals = [] {  // 1 / i!, exactly 1 for i = 0 and 1
    std::array<S, degree + 1> all{};
    S factorial = 1;
    for (int i = 0; i <= degree; ++i) all[i] = 1 / (factorial *= static_cast<S>(i > 0 ? i : 1));
    return all;
  }();
  Pack<S> power = Pack<S>{} + reciprocals[degree];
  for (int i = degree; i-- > 0;) power = power * r + reciprocals[i];
  const auto bits = std::bit_cast<Pack<Integer>>(power) + (std::bit_cast<Pack<Integer>>(rounded) << mantissa);
  const auto is_number = x == x;  // NOLINT(misc-redundant-expression)
  const Pack<S> result = is_number ? std::bit_cast<Pack<S>>(bits) : x;
  return x < smallest ? Pack<S>{} : result;
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
