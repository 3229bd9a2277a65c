/// How a journal begins.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "common/command/specification.h"

namespace basin::tools {

/// The first line, the specification of the work, "specification CHECKSUM".
std::string journal_header(const std::string& first_line, const Specification& specification);

/// A header that was found.
struct FoundHeader {
  std::size_t end = 0;  ///< where records begin; 0 for a header that was not written to its end
  Specification specification;

  /// Whether a file of so many bytes has anything behind its header.
  bool has_records(std::size_t bytes) const { return end > 0 && end < bytes; }
};

/// The header at the beginning of a file, which may be the torn beginning of the expected one; nothing where
/// it is damaged or of another format.
std::optional<FoundHeader> find_header(const std::string& bytes, const std::string& first_line,
                                       const std::string& expected);

}  // namespace basin::tools
