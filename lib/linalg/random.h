/// Random numbers that are the same on every platform.
#pragma once

#include <boost/random/mersenne_twister.hpp>
#include <cstdint>
#include <string_view>

#include "basin/linalg/types.h"

namespace basin {

/// The 64-bit FNV-1a hash.
std::uint64_t fnv1a(std::string_view text);
/// 16 hexadecimal digits, as hashes are written.
std::string hexadecimal(std::uint64_t hash);

/// One stream of random numbers, named by a seed and a purpose ("W_Q", "inputs", "word:film", ...).
/// Streams of different purpose are independent, so that drawing more of one thing never changes another.
///
/// Boost.Random rather than <random>: the standard leaves the algorithms of its distributions open, and two
/// compilers give different numbers. The engine is MT19937-64, seeded by a seed sequence over the seed and
/// the 64-bit FNV-1a hash of the purpose.
class Random {
 public:
  Random(std::uint64_t seed, std::string_view purpose);

  /// Independent draws from N(0, 1), in memory order of a (any shape).
  template <class Derived>
  void fill_normal(Eigen::PlainObjectBase<Derived>& a) {
    for (Index i = 0; i < a.size(); ++i) a.data()[i] = normal();
  }
  /// Independent draws from U[low, high), in memory order of a.
  template <class Derived>
  void fill_uniform(Eigen::PlainObjectBase<Derived>& a, double low, double high) {
    for (Index i = 0; i < a.size(); ++i) a.data()[i] = low + (high - low) * uniform();
  }

  double normal();
  double uniform();  ///< U[0, 1)

 private:
  boost::random::mt19937_64 engine_;
};

}  // namespace basin
