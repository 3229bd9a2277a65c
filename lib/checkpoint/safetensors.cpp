#include "basin/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/linalg/words.h"
#include "basin/network/strict_json.h"

namespace basin {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLongestHeader = 100'000'000;  // bytes: the limit of the format
constexpr std::uint64_t kMostNumbers = std::uint64_t{1} << 40;
constexpr std::size_t kMostSizes = 32;                // of a shape: what HDF5 and NumPy can have
constexpr std::size_t kLongestName = 4096;            // bytes
constexpr std::size_t kPiece = std::size_t{1} << 20;  // bytes that are read at once
const char* const kFloating = "F64, F32, F16 or BF16";
const char* const kMetadataName = "__metadata__";

[[noreturn]] void refuse(const std::string& path, const std::string& message) {
  throw InputError(path.empty() ? message : path + ": " + message);
}

/// A name for messages: as it is where it looks like a tensor's, else in quotes, and at a length for one
/// line.
std::string named(const std::string& name) {
  constexpr std::size_t kShown = 200;
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  };
  if (!name.empty() && name.size() <= kShown && std::all_of(name.begin(), name.end(), plain)) return name;
  return "'" + printable(name, kShown) + "'";
}

std::string offsets_text(const StoredTensor& tensor) {
  return "[" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) + "]";
}

// Each type with the bytes of one number.
struct Type {
  const char* name;
  std::size_t bytes;
};
constexpr std::array<Type, 15> kTypes = {{{"BOOL", 1},
                                          {"U8", 1},
                                          {"I8", 1},
                                          {"F8_E5M2", 1},
                                          {"F8_E4M3", 1},
                                          {"I16", 2},
                                          {"U16", 2},
                                          {"F16", 2},
                                          {"BF16", 2},
                                          {"I32", 4},
                                          {"U32", 4},
                                          {"F32", 4},
                                          {"F64", 8},
                                          {"I64", 8},
                                          {"U64", 8}}};

/// A number of so many bytes, the least significant first.
template <class T>
T from_little_endian(const char* bytes) {
  T value = 0;
  for (std::size_t k = 0; k < sizeof(T); ++k)
    value |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[k])) << (8 * k));
  return value;
}

template <class T>
void to_little_endian(T value, char* bytes) {
  for (std::size_t k = 0; k < sizeof(T); ++k) bytes[k] = static_cast<char>(value >> (8 * k) & 0xffU);
}

double number_of_half(std::uint16_t bits) {
  const std::uint64_t sign = static_cast<std::uint64_t>(bits >> 15U) << 63U;
  const std::uint64_t exponent = bits >> 10U & 31U, fraction = bits & 1023U;
  if (exponent == 0) {
    const double size = static_cast<double>(fraction) * 0x1p-24;
    return sign != 0 ? -size : size;
  }
  const std::uint64_t wide = exponent == 31 ? 2047 : exponent + (1023 - 15);
  return std::bit_cast<double>(sign | wide << 52U | fraction << 42U);
}

using Decode = double (*)(const char*);

/// What reads a number of this type; null for a type that is not floating-point.
Decode decoder(const std::string& type) {
  if (type == "F64")
    return [](const char* bytes) { return std::bit_cast<double>(from_little_endian<std::uint64_t>(bytes)); };
  if (type == "F32")
    return [](const char* bytes) {
      return static_cast<double>(std::bit_cast<float>(from_little_endian<std::uint32_t>(bytes)));
    };
  if (type == "F16")
    return [](const char* bytes) { return number_of_half(from_little_endian<std::uint16_t>(bytes)); };
  if (type == "BF16")
    return [](const char* bytes) {
      const auto bits = static_cast<std::uint32_t>(from_little_endian<std::uint16_t>(bytes));
      return static_cast<double>(std::bit_cast<float>(bits << 16U));
    };
  return nullptr;
}

/// The nearest number of 16 bits with so many of its fraction, in ties the even one: its bits, perhaps those
/// of infinity. (By way of a float it would be rounded twice.)
std::uint16_t nearest_of_16_bits(double value, int fraction_bits) {
  const int least_exponent = 2 - (1 << (14 - fraction_bits));  // of a normal number
  int exponent = least_exponent;
  if (value != 0) exponent = std::max(exponent, std::ilogb(value));
  // In units of the last place: a sum of the exponent's bits and these, so that rounding up carries over.
  const double units = std::nearbyint(std::ldexp(std::abs(value), fraction_bits - exponent));
  const int most = (1 << 15) - (1 << fraction_bits);  // infinity
  const double bits = std::min<double>(most, std::ldexp(exponent - least_exponent, fraction_bits) + units);
  return static_cast<std::uint16_t>(static_cast<unsigned>(bits) | (std::signbit(value) ? 0x8000U : 0U));
}

/// What writes a number as this type, and says whether it stayed finite; null for other types.
using Encode = bool (*)(double, char*);
Encode encoder(const std::string& type) {
  if (type == "F64")
    return [](double value, char* bytes) {
      to_little_endian(std::bit_cast<std::uint64_t>(value), bytes);
      return true;
    };
  if (type == "F32")
    return [](double value, char* bytes) {
      const auto rounded = static_cast<float>(value);
      to_little_endian(std::bit_cast<std::uint32_t>(rounded), bytes);
      return std::isfinite(rounded);
    };
  if (type == "F16")
    return [](double value, char* bytes) {
      const std::uint16_t bits = nearest_of_16_bits(value, 10);
      to_little_endian(bits, bytes);
      return (bits & 0x7fffU) < 0x7c00U;
    };
  if (type == "BF16")
    return [](double value, char* bytes) {
      const std::uint16_t bits = nearest_of_16_bits(value, 7);
      to_little_endian(bits, bytes);
      return (bits & 0x7fffU) < 0x7f80U;
    };
  return nullptr;
}

double largest_of(const std::string& type) {
  return type == "F16" ? 65504 : type == "BF16" ? 0x1.fep127 : type == "F32" ? 0x1.fffffep127 : HUGE_VAL;
}

std::string number_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.17g", value);
  return text.data();
}

/// "entry [3, 1]" for the 7th number of a matrix with two columns; "its entry" of a single number.
std::string entry_text(const std::vector<Index>& shape, Index place) {
  if (shape.empty()) return "its entry";
  std::string text;
  for (std::size_t axis = shape.size(); axis-- > 0; place /= shape[axis])
    text = std::to_string(place % shape[axis]) + (text.empty() ? "" : ", ") + text;
  return "entry [" + text + "]";
}

/// require_memory, which itself reads files, for what is not small.
void require_room(const std::string& what, double bytes) {
  if (bytes > static_cast<double>(kPiece)) require_memory(what, bytes);
}

std::string not_finite_text(double value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";
}

void check_name(const std::string& path, const std::string& name) {
  if (name.empty()) refuse(path, "a tensor has an empty name");
  if (name == "." || name == "..") refuse(path, "a tensor has the name '" + name + "'; expected a word");
  if (name.size() > kLongestName)
    refuse(path, "the name " + named(name) + " has " + std::to_string(name.size()) +
                     " bytes; expected at most " + std::to_string(kLongestName));
  if (name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
    refuse(path, "a tensor has the name " + named(name) + "; expected one without '/' and zero bytes");
}

void check_type(const std::string& path, const std::string& name, const std::string& type) {
  if (type_size(type) > 0) return;
  std::string known;
  for (const Type& t : kTypes) known += (known.empty() ? "" : ", ") + std::string(t.name);
  refuse(path, named(name) + ": unknown type '" + printable(type) + "'; expected one of " + known);
}

/// What goes beyond its members' kinds.
void check_tensor(const std::string& path, const StoredTensor& tensor) {
  check_name(path, tensor.name);
  check_type(path, tensor.name, tensor.type);
  const std::string name = named(tensor.name);
  if (tensor.shape.size() > kMostSizes)
    refuse(path, name + ": 'shape' has more than " + std::to_string(kMostSizes) + " sizes");
  std::uint64_t product = 1;
  for (const Index size : tensor.shape) {
    if (size < 0) refuse(path, name + ": 'shape' has " + std::to_string(size) + "; expected at least 0");
    const auto factor = static_cast<std::uint64_t>(size);
    if (factor > kMostNumbers || (factor > 0 && product > kMostNumbers / factor))
      refuse(path, name + ": shape " + shape_text(tensor.shape) + " has more than 2^40 numbers");
    product *= factor;
  }
  if (tensor.begin > tensor.end)
    refuse(path, name + ": data_offsets " + offsets_text(tensor) + " end before they begin");
  const std::uint64_t bytes = product * type_size(tensor.type);
  if (tensor.end - tensor.begin != bytes)
    refuse(path, name + ": data_offsets " + offsets_text(tensor) + " hold " +
                     std::to_string(tensor.end - tensor.begin) + " bytes; expected " + std::to_string(bytes) +
                     ", for shape " + shape_text(tensor.shape) + " of type " + tensor.type);
}

/// The tensors in the order of the buffer, which they have to fill without holes and overlaps.
std::vector<std::size_t> tiling(const std::string& path, const std::vector<StoredTensor>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(tensors[a].begin, tensors[a].end) < std::pair(tensors[b].begin, tensors[b].end);
  });
  std::uint64_t end = 0;
  const StoredTensor* before = nullptr;
  for (const std::size_t k : order) {
    const StoredTensor& tensor = tensors[k];
    if (tensor.begin < end)
      refuse(path, "the data of " + named(before->name) + " and " + named(tensor.name) +
                       " overlap: data_offsets " + offsets_text(*before) + " and " + offsets_text(tensor));
    if (tensor.begin > end)
      refuse(path, "bytes " + std::to_string(end) + " to " + std::to_string(tensor.begin) +
                       " of the data belong to no tensor: a hole " +
                       (before != nullptr ? "between " + named(before->name) + " and " : "before ") +
                       named(tensor.name));
    end = tensor.end;
    before = &tensor;
  }
  return order;
}

void check_buffer(const std::string& path, const std::vector<StoredTensor>& tensors, std::uint64_t found) {
  const std::vector<std::size_t> order = tiling(path, tensors);
  const std::uint64_t expected = order.empty() ? 0 : tensors[order.back()].end;
  if (found < expected) {
    const auto cut =
        std::find_if(order.begin(), order.end(), [&](std::size_t k) { return tensors[k].end > found; });
    refuse(path, "the data end early: expected " + std::to_string(expected) + " bytes, found " +
                     std::to_string(found) + " (" + std::to_string(expected - found) + " missing); " +
                     named(tensors[*cut].name) + " is cut");
  }
  if (found > expected)
    refuse(path, "the data are too long: expected " + std::to_string(expected) + " bytes, found " +
                     std::to_string(found) + "; " + std::to_string(found - expected) + " follow " +
                     (order.empty() ? "a header without tensors"
                                    : "the last tensor, " + named(tensors[order.back()].name)));
}

/// Takes a header from nlohmann's parser, word by word, and refuses the first that is wrong. (The names of
/// its functions are the parser's.)
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  HeaderReader(const std::string& path, std::vector<StoredTensor>& tensors, Metadata& metadata)
      : path_(path), tensors_(tensors), metadata_(metadata) {}

  bool null() override { wrong("null"); }
  bool boolean(bool value) override { wrong(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { wrong(value == 0 ? "-0" : std::to_string(value)); }
  bool number_float(number_float_t /*value*/, const string_t& text) override { wrong(printable(text)); }
  bool binary(binary_t& /*value*/) override { wrong("bytes"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (in_ != In::shape && in_ != In::offsets) wrong(std::to_string(value));
    if (in_ == In::shape && value > kMostNumbers) wrong(std::to_string(value));
    if (numbers_.size() == (in_ == In::shape ? kMostSizes : 2)) wrong("more numbers");
    numbers_.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (in_ == In::metadata)
      metadata_.emplace_back(key_, std::move(value));
    else if (in_ == In::tensor && key_ == "dtype")
      check_type(path_, tensor_.name, tensor_.type = std::move(value));
    else
      wrong("a string");
    return true;
  }

  bool start_object(std::size_t /*size*/) override {
    if (in_ == In::nothing)
      in_ = In::header;
    else if (in_ == In::header)
      in_ = key_ == kMetadataName ? In::metadata : In::tensor;
    else
      wrong("an object");
    members_.clear();
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (in_ == In::header) {
      if (key_ != kMetadataName) check_name(path_, key_);
      if (!names_.insert(key_).second) refuse(path_, named(key_) + " stands twice in the header");
      tensor_ = {.name = key_, .type = {}, .shape = {}};
      return true;
    }
    const std::string& name = in_ == In::metadata ? kMetadataName : tensor_.name;
    if (in_ == In::tensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets")
      refuse(path_, named(name) + ": unknown member '" + printable(key_) +
                        "'; expected 'dtype', 'shape' and 'data_offsets'");
    if (!members_.insert(key_).second)
      refuse(path_, named(name) + ": '" + printable(key_) + "' stands twice");
    return true;
  }

  bool end_object() override {
    if (in_ == In::tensor) {
      for (const char* member : {"dtype", "shape", "data_offsets"})
        if (!members_.contains(member))
          refuse(path_, named(tensor_.name) + ": '" + std::string(member) + "' is missing");
      check_tensor(path_, tensor_);
      tensors_.push_back(std::move(tensor_));
    }
    in_ = In::header;
    return true;
  }

  bool start_array(std::size_t /*size*/) override {
    if (in_ != In::tensor || key_ == "dtype") wrong("an array");
    in_ = key_ == "shape" ? In::shape : In::offsets;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    if (in_ == In::shape) {
      tensor_.shape.assign(numbers_.begin(), numbers_.end());
    } else {
      if (numbers_.size() != 2) wrong(std::to_string(numbers_.size()) + " numbers");
      tensor_.begin = numbers_[0];
      tensor_.end = numbers_[1];
    }
    in_ = In::tensor;
    return true;
  }

  bool parse_error(std::size_t /*place*/, const std::string& /*word*/,
                   const nlohmann::detail::exception& error) override {
    refuse(path_, "its header is no JSON: " + json_problem(error));
  }

 private:
  enum class In { nothing, header, metadata, tensor, shape, offsets };

  /// Something that cannot stand there.
  [[noreturn]] void wrong(const std::string& found) const {
    const std::string message = "found " + found + "; expected ";
    if (in_ == In::nothing) refuse(path_, "its header: " + message + "an object");
    if (in_ == In::header) refuse(path_, named(key_) + ": " + message + "an object");
    if (in_ == In::metadata)
      refuse(path_, kMetadataName + (": '" + printable(key_) + "': ") + message + "a string");
    refuse(path_, named(tensor_.name) + ": '" + key_ + "': " + message +
                      (key_ == "dtype"   ? "a string"
                       : key_ == "shape" ? "a list of at most 32 integers from 0 to 2^40"
                                         : "two integers from 0, [begin, end]"));
  }

  const std::string& path_;
  std::vector<StoredTensor>& tensors_;
  Metadata& metadata_;
  In in_ = In::nothing;
  std::string key_;
  StoredTensor tensor_;
  std::vector<std::uint64_t> numbers_;
  std::set<std::string> names_, members_;
};

std::string header_text(const std::vector<StoredTensor>& tensors, const Metadata& metadata) {
  const auto quoted = [](const std::string& text) {
    try {
      return Json(text).dump();
    } catch (const Json::exception&) {
      refuse("", "'" + printable(text) + "' is not UTF-8");
    }
  };
  std::string text;
  const auto begin_member = [&](const std::string& name) {
    text += (text.empty() ? "{" : ",") + quoted(name) + ":";
  };
  if (!metadata.empty()) {
    begin_member(kMetadataName);
    std::string strings;
    for (const auto& [key, value] : metadata)
      strings += (strings.empty() ? "" : ",") + quoted(key) + ":" + quoted(value);
    text += "{" + strings + "}";
  }
  for (const StoredTensor& tensor : tensors) {
    begin_member(tensor.name);
    std::string sizes;
    for (const Index size : tensor.shape) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    text += R"({"dtype":")" + tensor.type + R"(","shape":[)" + sizes + R"(],"data_offsets":[)" +
            std::to_string(tensor.begin) + "," + std::to_string(tensor.end) + "]}";
  }
  text += text.empty() ? "{}" : "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

/// A regular file, open until the last that reads it is gone.
class SafetensorsFile::OpenFile {
 public:
  explicit OpenFile(const std::string& path)
      // A pipe would have us wait for its writer.
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
    if (descriptor_ < 0) refuse(path, std::string("cannot be opened: ") + std::strerror(errno));
    struct stat status {};
    const bool known = ::fstat(descriptor_, &status) == 0;
    if (!known || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      refuse(path, "cannot be opened: not a regular file; expected a .safetensors file");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { ::close(descriptor_); }

  std::uint64_t size() const { return size_; }

  void read(std::uint64_t place, char* bytes, std::size_t count) const {
    while (count > 0) {
      const ssize_t some = ::pread(descriptor_, bytes, count, static_cast<off_t>(place));
      if (some < 0 && errno == EINTR) continue;
      if (some < 0) refuse(path_, std::string("cannot be read: ") + std::strerror(errno));
      if (some == 0) refuse(path_, "cannot be read: it ends at byte " + std::to_string(place) + " by now");
      const auto taken = static_cast<std::size_t>(some);
      bytes += taken, count -= taken, place += taken;
    }
  }

 private:
  std::string path_;
  int descriptor_;
  std::uint64_t size_ = 0;
};

Index StoredTensor::size() const {
  Index product = 1;
  for (const Index size : shape) product *= size;
  return product;
}

SafetensorsFile::SafetensorsFile(std::string path)
    : path_(std::move(path)), file_(std::make_shared<const OpenFile>(path_)) {
  const std::uint64_t size = file_->size();
  if (size == 0) refuse(path_, "the file is empty; expected a .safetensors file");
  std::string start(std::min<std::uint64_t>(size, 9), '\0');
  file_->read(0, start.data(), start.size());
  if (looks_like_pickle(start)) throw PickleError(path_ + ": " + pickle_recipe(path_));
  if (start == "version h")  // of "version https://git-lfs.github.com/spec/v1"
    refuse(path_, "a pointer of Git LFS, not the file itself; expected what 'git lfs pull' puts there");
  if (size < 8)
    refuse(path_, "found " + std::to_string(size) + " bytes; expected 8 with the length of the header");
  const auto length = from_little_endian<std::uint64_t>(start.data());
  if (length == 0) refuse(path_, "found a header length of 0; expected a .safetensors file");
  if (length > kLongestHeader || length > size - 8)
    refuse(path_, "found a header length of " + std::to_string(length) + " bytes; expected at most " +
                      (length > kLongestHeader ? std::to_string(kLongestHeader) + ", and " : "") + "the " +
                      std::to_string(size - 8) + " bytes of the file after it");
  if (start[8] != '{')
    refuse(path_, "its header begins with '" + printable(start.substr(8)) + "'; expected '{'");

  // The text and what becomes of it: at worst of metadata of some characters each.
  require_room(path_ + ": its header", 12 * static_cast<double>(length));
  std::string header(length, '\0');
  file_->read(8, header.data(), header.size());
  if (const std::size_t zero = header.find('\0'); zero != std::string::npos)  // the parser would stop there
    refuse(path_, "its header has a zero byte at byte " + std::to_string(zero) + "; expected JSON");
  HeaderReader reader(path_, tensors_, metadata_);
  Json::sax_parse(header.data(), header.data() + header.size(), &reader);
  buffer_begin_ = 8 + length;
  buffer_bytes_ = size - buffer_begin_;
  check_buffer(path_, tensors_, buffer_bytes_);
}

Vector<double> SafetensorsFile::values(const StoredTensor& tensor) const {
  const Decode decode = decoder(tensor.type);
  if (decode == nullptr)
    refuse(path_, named(tensor.name) + " is stored as " + printable(tensor.type) + "; expected " + kFloating);
  check_tensor(path_, tensor);
  if (tensor.end > buffer_bytes_) refuse(path_, named(tensor.name) + " is not a tensor of this file");
  require_room(path_ + ": " + named(tensor.name) + ": shape " + shape_text(tensor.shape),
               8 * static_cast<double>(tensor.size()));
  Vector<double> values(tensor.size());
  const std::size_t width = type_size(tensor.type);
  std::vector<char> piece(std::min<std::size_t>(kPiece, tensor.end - tensor.begin));
  Index i = 0;
  for (std::uint64_t place = tensor.begin; place < tensor.end; place += piece.size()) {
    piece.resize(std::min<std::size_t>(kPiece, tensor.end - place));
    file_->read(buffer_begin_ + place, piece.data(), piece.size());
    for (std::size_t at = 0; at < piece.size(); at += width, ++i) {
      const double value = decode(piece.data() + at);
      if (!std::isfinite(value))
        refuse(path_, named(tensor.name) + ": " + entry_text(tensor.shape, i) + " is " +
                          not_finite_text(value) + "; expected finite numbers");
      values[i] = value;
    }
  }
  return values;
}

std::string SafetensorsFile::bytes(const StoredTensor& tensor) const {
  check_tensor(path_, tensor);
  if (tensor.end > buffer_bytes_) refuse(path_, named(tensor.name) + " is not a tensor of this file");
  const std::uint64_t count = tensor.end - tensor.begin;
  require_room(path_ + ": " + named(tensor.name) + ": shape " + shape_text(tensor.shape),
               static_cast<double>(count));
  std::string bytes(count, '\0');
  file_->read(buffer_begin_ + tensor.begin, bytes.data(), bytes.size());
  return bytes;
}

std::size_t type_size(const std::string& type) {
  for (const Type& t : kTypes)
    if (type == t.name) return t.bytes;
  return 0;
}

std::string encoded(const Vector<double>& values, const std::string& type, const std::string& name) {
  const Encode encode = encoder(type);
  if (encode == nullptr)
    refuse("", named(name) + " cannot be written as " + printable(type) + "; expected " + kFloating);
  const std::size_t width = type_size(type);
  std::string bytes(static_cast<std::size_t>(values.size()) * width, '\0');
  for (Index i = 0; i < values.size(); ++i) {
    const std::string entry = ": entry ";
    if (!std::isfinite(values[i]))
      throw WorkError(named(name) + entry + std::to_string(i) + " is " + not_finite_text(values[i]) +
                      "; expected finite numbers");
    if (!encode(values[i], bytes.data() + static_cast<std::size_t>(i) * width))
      throw WorkError(named(name) + entry + std::to_string(i) + " is " + number_text(values[i]) +
                      ", beyond the largest number of " + type + ", " + number_text(largest_of(type)));
  }
  return bytes;
}

void write_safetensors(std::ostream& out, const std::vector<StoredTensor>& tensors, const Metadata& metadata,
                       const std::function<std::string(std::size_t)>& bytes) {
  std::set<std::string> names;
  for (const StoredTensor& tensor : tensors) {
    check_tensor("", tensor);
    if (tensor.name == kMetadataName || !names.insert(tensor.name).second)
      refuse("", named(tensor.name) + ": the name is taken");
  }
  std::set<std::string> keys;
  for (const auto& [key, value] : metadata)
    if (!keys.insert(key).second) refuse("", kMetadataName + (": '" + printable(key) + "' stands twice"));
  const std::vector<std::size_t> order = tiling("", tensors);
  const std::string header = header_text(tensors, metadata);
  if (header.size() > kLongestHeader)
    refuse("", "the header has " + std::to_string(header.size()) + " bytes; safetensors allow at most " +
                   std::to_string(kLongestHeader));
  const auto put = [&](const std::string& text) {
    if (!out.write(text.data(), static_cast<std::streamsize>(text.size())))
      throw WorkError("the tensors cannot be written");
  };
  std::string length(8, '\0');
  to_little_endian<std::uint64_t>(header.size(), length.data());
  put(length);
  put(header);
  for (const std::size_t k : order) {
    const std::string of_tensor = bytes(k);
    if (of_tensor.size() != tensors[k].end - tensors[k].begin)
      throw WorkError(named(tensors[k].name) + ": " + std::to_string(of_tensor.size()) +
                      " bytes to write; expected " + std::to_string(tensors[k].end - tensors[k].begin));
    put(of_tensor);
  }
  if (!out.flush()) throw WorkError("the tensors cannot be written");
}

bool looks_like_pickle(std::string_view first_bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(first_bytes[i]); };
  const bool zip = first_bytes.starts_with("PK\x03\x04");
  const bool pickle = first_bytes.size() >= 2 && byte(0) == 0x80 && byte(1) >= 2 && byte(1) <= 5;
  // A header of 640 bytes begins like a pickle of protocol 2.
  const bool header = first_bytes.size() > 8 && first_bytes[8] == '{' &&
                      from_little_endian<std::uint64_t>(first_bytes.data()) <= kLongestHeader;
  return (zip || pickle) && !header;
}

std::string pickle_recipe(const std::string& path) {
  const std::filesystem::path from(path);
  std::filesystem::path to = from;
  to.replace_extension();
  to += from.extension() == ".safetensors" ? "-converted.safetensors" : ".safetensors";
  const auto quoted = [](const std::string& text) {  // as JSON, which Python reads the same
    return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
  };
  return "a PyTorch archive (zip, pickle), not safetensors; this Python converts it:\n"
         "    import torch, safetensors.torch\n"
         "    state = torch.load(" +
         quoted(path) +
         ", map_location=\"cpu\", weights_only=True)\n"
         "    for key in (\"model\", \"state_dict\", \"model_state_dict\"): state = state.get(key, state)\n"
         "    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in state.items()}, " +
         quoted(to.string()) + ")";
}

}  // namespace basin
