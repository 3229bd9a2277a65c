#include "basin/checkpoint/text_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "basin/linalg/errors.h"

namespace basin {

std::string text_of_file(const std::string& path, std::size_t most_bytes) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw InputError(path + ": cannot be opened: not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path + ": cannot be opened: " + std::strerror(errno));
  if (const auto size = fs::file_size(path, error); !error && size > most_bytes)
    throw InputError(path + ": has " + std::to_string(size) + " bytes; expected at most " +
                     std::to_string(most_bytes));
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace basin
