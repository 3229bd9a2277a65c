#include "basin/hdf5/provenance.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"

namespace basin::hdf5 {

void mark_kind(Writer& file, const std::string& kind, const std::string& version) {
  file.attribute("/", "basin_file", kind);
  file.attribute("/", "basin_format", version);
}

void check_kind(const Reader& file, const std::string& kind) {
  const std::string found = file.string_attribute("/", "basin_file");
  if (found.empty() && kind == "problem") return;
  if (found != kind)
    throw InputError(
        file.path() + ": " +
        (found.empty() ? std::string("not a Basin file") : "a Basin " + shortened(found) + " file") +
        "; expected a " + kind + " file");
  const std::string version = file.string_attribute("/", "basin_format");
  const char* newest = kind == "problem" ? kDescribedFormat : kFormatVersion;
  if (std::atoi(version.c_str()) > std::atoi(newest))
    throw InputError(file.path() + ": format version " + shortened(version) + "; this program reads up to " +
                     newest);
}

void write_provenance(Writer& file, const std::string& group, const Provenance& p) {
  file.group(group, "NXcollection");
  file.write(group + "/program", p.program);
  file.write(group + "/version", p.version);
  file.write(group + "/format_version", std::string(kFormatVersion));
  file.write(group + "/build", p.build);
  file.write(group + "/lapack", p.lapack);
  file.write(group + "/command_line", p.command_line);
  file.write(group + "/input_file", p.input_file);
  file.write(group + "/input_sha256", p.input_sha256);
  file.write(group + "/start_time", p.start_time);
  file.write(group + "/duration", p.duration);
  file.attribute(group + "/duration", "units", std::string("s"));
  file.write(group + "/threads", p.threads);
  file.write_unsigned(group + "/seed", p.seed);
  file.group(group + "/options", "NXcollection");
  for (const auto& [name, value] : p.options) file.write(group + "/options/" + name, value);
}

namespace {

/// Takes bytes piece by piece.
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
      throw WorkError("SHA-256 is not available");
  }
  void add(const char* bytes, std::size_t count) { EVP_DigestUpdate(context_.get(), bytes, count); }
  std::string text() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
      constexpr const char* kDigits = "0123456789abcdef";
      text += kDigits[digest[i] >> 4U];
      text += kDigits[digest[i] & 15U];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string sha256(std::istream& file) {
  Sha256 sum;
  std::array<char, 1U << 16U> buffer;
  while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0)
    sum.add(buffer.data(), static_cast<std::size_t>(file.gcount()));
  return sum.text();
}

/// Of an open file, from its beginning.
std::string sha256(int descriptor, const std::string& name) {
  Sha256 sum;
  std::array<char, 1U << 16U> buffer;
  for (off_t at = 0;;) {
    const ssize_t count = pread(descriptor, buffer.data(), buffer.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw InputError(name + ": cannot be read: " + std::strerror(errno));
    if (count == 0) return sum.text();
    sum.add(buffer.data(), static_cast<std::size_t>(count));
    at += count;
  }
}

}  // namespace

std::string sha256_of(const Reader& file) {
  const std::vector<Reader::Source> sources = file.sources();
  std::stringstream lines;
  std::string last;
  for (const Reader::Source& source : sources) {
    last = sha256(source.descriptor, source.name);
    lines << last << "  " << source.name << '\n';
  }
  file.sources();  // which looks once more whether they are what they were
  return sources.size() == 1 ? last : sha256(lines);
}

std::string sha256_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path + ": cannot be read");
  return sha256(file);
}

std::string sha256_of_files(const std::string& folder, const std::vector<std::string>& names) {
  std::stringstream lines;
  for (const std::string& name : names)
    lines << sha256_of_file((std::filesystem::path(folder) / name).string()) << "  " << name << '\n';
  return sha256(lines);
}

}  // namespace basin::hdf5
