#include "basin/problem/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/problem/encoding.h"

namespace basin {
namespace {

static_assert(std::endian::native == std::endian::little, "'=' stands for little-endian numbers here");

[[noreturn]] void fail(const std::string& path, const std::string& message) {
  throw InputError(path + ": " + message);
}

struct Header {
  std::string type;  ///< as numpy names it: "<f8"
  char kind = 'f';   ///< 'f', 'i', 'u' or 'b'
  std::size_t item = 8;
  bool big_endian = false, fortran_order = false;
  std::vector<Index> shape;

  double count() const {  // not as an integer: a file can claim any shape
    double product = 1;
    for (const Index size : shape) product *= static_cast<double>(size);
    return product;
  }
};

/// The Python dictionary of a header: {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  HeaderParser(const std::string& path, const std::string& text, NpyNumbers numbers)
      : path_(path), text_(text), whole_(numbers == NpyNumbers::whole) {}

  Header parse() {
    expect('{');
    while (!next_is('}')) {
      const std::string key = quoted("a key");
      expect(':');
      if (!seen_.insert(key).second) bad("'" + shortened(key) + "' is there twice");
      if (key == "descr")
        type();
      else if (key == "fortran_order")
        header_.fortran_order = boolean();
      else if (key == "shape")
        shape();
      else
        bad("found '" + shortened(key) + "', expected 'descr', 'fortran_order' and 'shape'");
      if (!next_is('}')) expect(',');
    }
    ++at_;
    skip_blanks();
    if (at_ < text_.size()) bad("something follows its '}'");
    for (const char* key : {"descr", "fortran_order", "shape"})
      if (!seen_.contains(key)) bad(std::string("it has no '") + key + "'");
    return header_;
  }

 private:
  [[noreturn]] void bad(const std::string& message) const { fail(path_, "in its header " + message); }

  void skip_blanks() {
    while (at_ < text_.size() && std::strchr(" \t\r\n\f", text_[at_]) != nullptr && text_[at_] != 0) ++at_;
  }
  bool next_is(char c) {
    skip_blanks();
    return at_ < text_.size() && text_[at_] == c;
  }
  void expect(char c) {
    if (!next_is(c))
      bad("found " + (at_ < text_.size() ? "'" + text_.substr(at_, 1) + "'" : std::string("its end")) +
          " at byte " + std::to_string(at_) + ", expected '" + c + "'");
    ++at_;
  }
  /// A string in either quotes, perhaps with a prefix of Python 2 or 3.
  std::string quoted(const std::string& what) {
    skip_blanks();
    if (at_ + 1 < text_.size() && (text_[at_] == 'u' || text_[at_] == 'b') &&
        (text_[at_ + 1] == '\'' || text_[at_ + 1] == '"'))
      ++at_;
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : std::string::npos;
    if (end == std::string::npos) bad("expected " + what + " in quotes at byte " + std::to_string(at_));
    std::string found = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return found;
  }
  std::string word() {
    skip_blanks();
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::isalnum(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  bool boolean() {
    const std::string found = word();
    if (found != "True" && found != "False")
      bad("'fortran_order' is '" + shortened(found) + "', expected True or False");
    return found == "True";
  }
  void shape() {
    expect('(');
    while (!next_is(')')) {
      std::string size = word();
      if (size.size() > 1 && size.back() == 'L') size.pop_back();  // Python 2
      if (size.empty() || size.find_first_not_of("0123456789") != std::string::npos)
        bad("'shape' has '" + shortened(size.empty() ? text_.substr(at_, 1) : size) +
            "', expected whole numbers");
      if (size.size() > 18) bad("'shape' has " + shortened(size) + ", more than any machine holds");
      header_.shape.push_back(std::stoll(size));
      if (!next_is(')')) expect(',');
    }
    ++at_;
  }
  void type() {
    const std::string expected = whole_ ? "expected numbers" : "expected float64 ('<f8') or float32 ('<f4')";
    if (next_is('[')) fail(path_, "found structured data, " + expected);
    const std::string found = header_.type = quoted("a type");
    const bool ordered = !found.empty() && std::strchr("<>=|", found[0]) != nullptr;
    const std::string name = found.substr(ordered ? 1 : 0);
    header_.big_endian = ordered && found[0] == '>';
    if (name == "f8" || name == "d" || found == "float64")
      header_.item = 8;
    else if (name == "f4" || name == "f" || found == "float32")
      header_.item = 4;
    else if (whole_ && (name == "b1" || name == "?"))
      header_.kind = 'b', header_.item = 1;
    else if (whole_ && name.size() == 2 && (name[0] == 'i' || name[0] == 'u') &&
             std::string("1248").find(name[1]) != std::string::npos)
      header_.kind = name[0], header_.item = static_cast<std::size_t>(name[1] - '0');
    else
      fail(path_, "found " + (name == "O" || found == "object" ? std::string("Python objects") : "data") +
                      " of type '" + shortened(found) + "', " + expected);
  }

  const std::string &path_, &text_;
  bool whole_;
  std::size_t at_ = 0;
  Header header_;
  std::set<std::string> seen_;
};

/// Reads what is before the data, and leaves the stream there.
Header read_header(const std::string& path, std::istream& file, std::size_t file_size, NpyNumbers numbers) {
  std::string start(12, '\0');
  file.read(start.data(), 12);
  start.resize(static_cast<std::size_t>(file.gcount()));
  if (start.compare(0, 4, "PK\x03\x04") == 0) fail(path, "an .npz archive; expected one array, a .npy file");
  if (start.compare(0, 6, "\x93NUMPY") != 0) fail(path, "not a .npy file");
  if (start.size() < 12) fail(path, "truncated: the header is not complete");
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(start[i]));
  };
  const std::size_t version = byte(6);
  if (version < 1 || version > 3)
    fail(path, ".npy format version " + std::to_string(version) + "; expected 1, 2 or 3");
  const std::size_t begin = version == 1 ? 10 : 12;
  const std::size_t length =
      version == 1 ? byte(8) + 256 * byte(9) : byte(8) + 256 * (byte(9) + 256 * (byte(10) + 256 * byte(11)));
  if (begin + length > file_size) fail(path, "truncated: the header is not complete");
  std::string text(length, '\0');
  file.seekg(static_cast<std::streamoff>(begin));
  file.read(text.data(), static_cast<std::streamsize>(length));
  Header header = HeaderParser(path, text, numbers).parse();
  const double bytes = header.count() * static_cast<double>(header.item);
  const auto there = static_cast<double>(file_size - begin - length);
  if (bytes != there)
    fail(path, "found " + std::to_string(file_size - begin - length) + " bytes after the header; expected " +
                   (bytes < 1e15 ? std::to_string(static_cast<long long>(bytes)) : bytes_text(bytes)) +
                   ", for shape " + shortened(shape_text(header.shape)) + " of type '" + header.type + "'");
  return header;
}

template <class T>
double number_from(const char* bytes, bool big_endian) {
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), bytes, sizeof(T));
  if (big_endian) std::reverse(raw.begin(), raw.end());
  return static_cast<double>(std::bit_cast<T>(raw));
}

double number(const Header& of, const char* bytes) {
  const bool big = of.big_endian;
  switch (of.kind) {
    case 'f':
      return of.item == 8 ? number_from<double>(bytes, big) : number_from<float>(bytes, big);
    case 'i':
      return of.item == 1   ? number_from<std::int8_t>(bytes, big)
             : of.item == 2 ? number_from<std::int16_t>(bytes, big)
             : of.item == 4 ? number_from<std::int32_t>(bytes, big)
                            : number_from<std::int64_t>(bytes, big);
    case 'b':
      return *bytes != 0 ? 1 : 0;
    default:
      return of.item == 1   ? number_from<std::uint8_t>(bytes, big)
             : of.item == 2 ? number_from<std::uint16_t>(bytes, big)
             : of.item == 4 ? number_from<std::uint32_t>(bytes, big)
                            : number_from<std::uint64_t>(bytes, big);
  }
}

/// The place in C order of one entry after another in Fortran order, where the first index runs fastest.
class FortranPlaces {
 public:
  explicit FortranPlaces(const std::vector<Index>& shape)
      : shape_(shape), index_(shape.size(), 0), stride_(shape.size(), 1) {
    for (std::size_t axis = shape.size(); axis-- > 1;) stride_[axis - 1] = stride_[axis] * shape[axis];
  }
  Index next() {
    const Index place = at_;
    for (std::size_t axis = 0; axis < shape_.size(); ++axis) {
      at_ += stride_[axis];
      if (++index_[axis] < shape_[axis]) break;
      at_ -= stride_[axis] * shape_[axis];
      index_[axis] = 0;
    }
    return place;
  }

 private:
  const std::vector<Index>& shape_;
  std::vector<Index> index_, stride_;
  Index at_ = 0;
};

}  // namespace

NpyArray read_npy(const std::string& path, NpyNumbers numbers) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status))
    fail(path, "cannot be opened: not a regular file; expected a .npy file");
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  const Header header = read_header(path, file, fs::file_size(path), numbers);
  require_memory(path + ": shape " + shortened(shape_text(header.shape)), 8 * header.count());
  NpyArray array{header.shape, Vector<double>(static_cast<Index>(header.count())), header.kind == 'f'};
  FortranPlaces places(header.shape);
  std::vector<char> buffer(std::size_t{1} << 20U);
  for (Index i = 0; i < array.values.size();) {
    const Index some =
        std::min<Index>(static_cast<Index>(buffer.size() / header.item), array.values.size() - i);
    const Index bytes = some * static_cast<Index>(header.item);
    if (!file.read(buffer.data(), bytes)) fail(path, std::string("cannot be read: ") + std::strerror(errno));
    for (Index k = 0; k < some; ++k, ++i) {
      const char* from = buffer.data() + k * static_cast<Index>(header.item);
      array.values[header.fortran_order ? places.next() : i] = number(header, from);
    }
  }
  for (Index i = 0; i < array.values.size(); ++i)
    if (!std::isfinite(array.values[i]))
      fail(path,
           "found NaN or infinity at entry " + std::to_string(i) + " (C order); expected finite numbers");
  return array;
}

}  // namespace basin
