#include "problem/npy.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "linalg/errors.h"

namespace basin {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the reader copies little-endian numbers as they are");

[[noreturn]] void fail(const std::string& path, const std::string& message) {
  throw InputError(path + ": " + message);
}

struct Header {
  std::string type;  // "<f8" or "<f4"
  bool fortran_order;
  std::vector<Index> shape;
  std::size_t data_start;
};

/// What follows 'key': in the header, up to the given end character; empty when it is not there.
std::string value_of(const std::string& header, const std::string& key, char begin, char end) {
  const std::size_t at = header.find("'" + key + "':");
  if (at == std::string::npos) return "";
  const std::size_t first = header.find_first_not_of(' ', at + key.size() + 3);
  if (first == std::string::npos || (begin != 0 && header[first] != begin)) return "";
  const std::size_t last = header.find(end, first + 1);
  if (last == std::string::npos) return "";
  return begin != 0 ? header.substr(first + 1, last - first - 1) : header.substr(first, last - first);
}

/// "2, 3" or "6," or "" -> sizes; false for anything else.
bool parse_shape(const std::string& text, std::vector<Index>& shape) {
  std::istringstream in(text);
  for (std::string item; std::getline(in, item, ',');) {
    const std::size_t first = item.find_first_not_of(' '), last = item.find_last_not_of(' ');
    if (first == std::string::npos) continue;
    item = item.substr(first, last - first + 1);
    if (item.size() > 15 || item.find_first_not_of("0123456789") != std::string::npos) return false;
    shape.push_back(std::stoll(item));
  }
  return true;
}

/// The header is a Python dictionary in ASCII: {'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }
Header parse_header(const std::string& path, const std::string& file) {
  if (file.size() < 12 || file.compare(0, 6, "\x93NUMPY") != 0) fail(path, "not a .npy file");
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(file[i]));
  };
  const std::size_t version = byte(6);
  if (version < 1 || version > 3)
    fail(path, ".npy format version " + std::to_string(version) + "; expected 1, 2 or 3");
  const std::size_t start = version == 1 ? 10 : 12;
  const std::size_t length =
      version == 1 ? byte(8) + 256 * byte(9) : byte(8) + 256 * (byte(9) + 256 * (byte(10) + 256 * byte(11)));
  if (start + length > file.size()) fail(path, "truncated: the header is not complete");
  const std::string text = file.substr(start, length);

  Header header;
  header.data_start = start + length;
  header.type = value_of(text, "descr", '\'', '\'');
  if (header.type.empty()) fail(path, "found structured data, expected float64 or float32");
  if (header.type != "<f8" && header.type != "<f4")
    fail(path, "found data of type '" + header.type + "', expected float64 ('<f8') or float32 ('<f4')");
  const std::string order = value_of(text, "fortran_order", 0, ',');
  if (order != "True" && order != "False") fail(path, "the header has no 'fortran_order'");
  header.fortran_order = order == "True";
  if (text.find("'shape':") == std::string::npos ||
      !parse_shape(value_of(text, "shape", '(', ')'), header.shape))
    fail(path, "the header has no 'shape'");
  return header;
}

template <class T>
void copy_values(const Header& header, const char* bytes, Vector<double>& values) {
  // In Fortran order the first index runs fastest: entry i of the file belongs at C position `at`.
  const std::size_t rank = header.shape.size();
  std::vector<Index> index(rank, 0), stride(rank, 1);
  for (std::size_t axis = rank; axis-- > 1;) stride[axis - 1] = stride[axis] * header.shape[axis];
  Index at = 0;
  for (Index i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes + i * static_cast<Index>(sizeof(T)), sizeof(T));
    values[header.fortran_order ? at : i] = static_cast<double>(value);
    for (std::size_t axis = 0; axis < rank; ++axis) {
      at += stride[axis];
      if (++index[axis] < header.shape[axis]) break;
      at -= stride[axis] * header.shape[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

NpyArray read_npy(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream || !std::filesystem::is_regular_file(path)) fail(path, "cannot be opened");
  const std::string file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const Header header = parse_header(path, file);
  const std::size_t item = header.type == "<f8" ? 8 : 4;
  const std::size_t available = (file.size() - header.data_start) / item;
  std::size_t count = 1;
  for (const Index size : header.shape) {
    count *= static_cast<std::size_t>(size);
    if (count > available) break;
  }
  if (count * item != file.size() - header.data_start)
    fail(path, "damaged: its header promises another number of entries than the " +
                   std::to_string(available) + " it holds");
  NpyArray array{header.shape, Vector<double>(static_cast<Index>(count))};
  const char* bytes = file.data() + header.data_start;
  if (item == 8)
    copy_values<double>(header, bytes, array.values);
  else
    copy_values<float>(header, bytes, array.values);
  for (Index i = 0; i < array.values.size(); ++i)
    if (!std::isfinite(array.values[i]))
      fail(path,
           "found NaN or infinity at entry " + std::to_string(i) + " (C order); expected finite numbers");
  return array;
}

}  // namespace basin
