/// Vectors of the machine: a few numbers that are processed by one instruction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

#if defined(__FMA__)
#include <immintrin.h>
#endif

#include "basin/linalg/types.h"

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
/// Says that a pack that was loaded stays in a register: compilers like to read it again for each operation,
/// and two reads in a cycle are all that processors do.
template <class S>
void hold(Pack<S>& pack) {
#if defined(__AVX512F__)
  asm("" : "+v"(pack));  // NOLINT(hicpp-no-assembler): no instruction
#elif defined(__AVX__)
  asm("" : "+x"(pack));  // NOLINT(hicpp-no-assembler): no instruction
#else
  (void)pack;
#endif
}
/// The first `count` numbers only; the others are zero.
template <class S>
Pack<S> load_part(const S* from, Index count) {
  if (count == kLanes<S>) return load(from);
  Pack<S> pack{};
  for (Index i = 0; i < count; ++i) pack[i] = from[i];
  return pack;
}
template <class S>
void store_part(S* to, Pack<S> pack, Index count) {
  if (count == kLanes<S>) return store<S>(to, pack);
  for (Index i = 0; i < count; ++i) to[i] = pack[i];
}
/// a b + c, rounded once where the processor can. Written as a sum of a product, the compiler rounds it once
/// or twice as it finds faster (GCC tuned for AMD: twice in chains), which may differ from one copy of the
/// code to the next.
template <class S>
Pack<S> multiply_add(Pack<S> a, Pack<S> b, Pack<S> c) {
#if defined(__AVX512F__)
  if constexpr (sizeof(S) == 8)
    return _mm512_fmadd_pd(a, b, c);
  else
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  if constexpr (sizeof(S) == 8)
    return _mm256_fmadd_pd(a, b, c);
  else
    return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
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

// 1 + r q(r) = exp(r) for |r| <= ln 2 / 2, where q interpolates (exp(r) - 1) / r at Chebyshev's points: off
// by less than 1e-17 (double) and 1.1e-8 (float).
template <class S>
inline constexpr auto kExpCoefficients = std::array<double, 12>{
    1,
    1,
    0x1.0000000000005p-1,
    0x1.5555555555557p-3,
    0x1.55555555520a4p-5,
    0x1.11111111100dcp-7,
    0x1.6c16c17f46982p-10,
    0x1.a01a01abe7fe1p-13,
    0x1.a019a6611cad5p-16,
    0x1.71de0231960ebp-19,
    0x1.28a2ca617b969p-22,
    0x1.af4de97ca4194p-26,
};
template <>
inline constexpr auto kExpCoefficients<float> =
    std::array<float, 7>{1, 1, 0.5F, 0x1.55547cp-3F, 0x1.5554eap-5F, 0x1.123d9p-7F, 0x1.6d4324p-10F};

/// exp(x) for x <= 0, within 2 units in the last place; 0 where the result would not be a normal number. Also
/// for positive x, if they are at most 700 (double) or 80 (float).
/// NaN stays NaN, if it is one that arithmetic makes (no payload).
///
/// With x = k ln 2 + r and |r| <= ln 2 / 2: a polynomial in r, with k added to its exponent.
template <class S>
Pack<S> exp_of_negative(Pack<S> x) {
  constexpr bool is_double = sizeof(S) == 8;
  using Integer = std::conditional_t<is_double, std::uint64_t, std::uint32_t>;  // wraps around
  constexpr int mantissa = is_double ? 52 : 23;
  constexpr S rounder = is_double ? S(0x1.8p52) : S(0x1.8p23);  // x + rounder ends in the integer nearest x
  constexpr S ln2_high = is_double ? S(0x1.62e42feep-1) : S(0x1.62e4p-1);  // times k without rounding
  constexpr S ln2_low = is_double ? S(0x1.a39ef35793c76p-33) : S(0x1.7f7d1cp-20);
  constexpr S smallest = is_double ? S(-708) : S(-87);

  const Pack<S> rounded = x * S(1.4426950408889634074) + rounder, k = rounded - rounder;
  const Pack<S> r = x - k * ln2_high - k * ln2_low;
  constexpr auto c = kExpCoefficients<S>;
  Pack<S> power = Pack<S>{} + c.back();
  for (std::size_t i = c.size() - 1; i-- > 0;) power = power * r + c[i];
  const auto bits = std::bit_cast<Pack<Integer>>(power) + (std::bit_cast<Pack<Integer>>(rounded) << mantissa);
  return x < smallest ? Pack<S>{} : std::bit_cast<Pack<S>>(bits);
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
