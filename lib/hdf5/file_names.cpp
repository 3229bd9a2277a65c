#include "basin/hdf5/file_names.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "basin/linalg/errors.h"
#include "basin/linalg/random.h"

namespace basin {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPart = ".part-";
constexpr int kMostLinks = 40;  // as Linux

/// The beginning of a name that leaves room for so many bytes more, whole characters of UTF-8; one that is
/// cut ends in its checksum.
std::string fitting(const fs::path& file, std::size_t room) {
  std::string name = file.filename().string();
  const long most = pathconf(folder_of(file).c_str(), _PC_NAME_MAX);
  const std::size_t longest = most > 0 ? static_cast<std::size_t>(most) : 255;
  if (name.size() + room <= longest) return name;
  const std::string checksum = "~" + hexadecimal(fnv1a(name));
  std::size_t length = longest - std::min(longest, room + checksum.size());
  while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0U) == 0x80U) --length;
  return name.substr(0, length) + checksum;
}

}  // namespace

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

fs::path follow_links(const std::string& path) {
  fs::path target(path);
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    if (links == kMostLinks) throw InputError(path + ": symbolic links that lead round in a circle");
    const fs::path next = fs::read_symlink(target, error);
    if (error) break;
    target = (next.is_absolute() ? next : folder_of(target) / next).lexically_normal();
  }
  return target;
}

std::string companion(const std::string& path, const std::string& suffix) {
  const fs::path file(path);
  const std::string name = fitting(file, suffix.size()) + suffix;
  return file.has_parent_path() ? (file.parent_path() / name).string() : name;
}

std::string part_beginning(const fs::path& target) {
  constexpr std::size_t kRoom = 48;  // more than the dot, ".part-", a process and the random number take
  return "." + fitting(target, kRoom) + kPart;
}

pid_t process_of(const std::string& name, const std::string& beginning) {
  if (name.rfind(beginning, 0) != 0) return 0;
  const std::string rest = name.substr(beginning.size()), process = rest.substr(0, rest.find('-'));
  const bool number =
      !process.empty() && process.size() < 10 && process.find_first_not_of("0123456789") == std::string::npos;
  return number ? static_cast<pid_t>(std::atol(process.c_str())) : 0;
}

}  // namespace basin
