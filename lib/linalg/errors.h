/// Errors with one readable line each: what was expected, what came, and where.
#pragma once

#include <stdexcept>
#include <string>

namespace basin {

/// What the caller handed in is wrong (an option, a file, a shape): the tools exit with code 2.
class InputError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The input was legal but the work cannot be finished (overflow, disk, memory): the tools exit with code 1.
class WorkError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace basin
