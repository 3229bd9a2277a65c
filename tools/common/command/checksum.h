/// The checksum of what tools write and compare.
#pragma once

#include <string>
#include <string_view>

#include "basin/linalg/random.h"

namespace basin::tools {

/// FNV-1a, 16 hexadecimal digits.
inline std::string checksum(std::string_view bytes) {
  return hexadecimal(fnv1a(bytes));
}

/// The bytes of numbers that lie in one piece: of a std::vector, a Vector, a Matrix.
template <class Numbers>
std::string_view bytes_of(const Numbers& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()),
          static_cast<std::size_t>(numbers.size()) * sizeof(*numbers.data())};
}

}  // namespace basin::tools
