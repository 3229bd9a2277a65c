#include "basin/linalg/random.h"

#include <array>
#include <boost/random/normal_distribution.hpp>
#include <boost/random/seed_seq.hpp>
#include <boost/random/uniform_01.hpp>

namespace basin {
std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return hash;
}

std::string hexadecimal(std::uint64_t hash) {
  std::string digits(16, '0');
  for (std::size_t i = digits.size(); i-- > 0; hash >>= 4U) digits[i] = "0123456789abcdef"[hash & 15U];
  return digits;
}

Random::Random(std::uint64_t seed, std::string_view purpose) {
  const std::uint64_t hash = fnv1a(purpose);
  const std::array<std::uint32_t, 4> words = {
      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U),
      static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32U)};
  boost::random::seed_seq sequence(words.begin(), words.end());
  engine_.seed(sequence);
}

// The distributions hold no state worth keeping: boost's normal is the ziggurat, one draw at a time.
double Random::normal() {
  return boost::random::normal_distribution<double>()(engine_);
}

double Random::uniform() {
  return boost::random::uniform_01<double>()(engine_);
}

}  // namespace basin
