#include "hdf5/file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "linalg/errors.h"
#include "problem/encoding.h"

namespace basin::hdf5 {
namespace {

// Our messages say what the library's error stack would print. After a write has failed, the library's own
// cleaning up at exit crashes (HDF5 1.10.8); our handles close everything that can be closed.
[[maybe_unused]] const bool prepared = (H5dont_atexit(), H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0);

/// The innermost description of the library's error stack: what actually went wrong.
std::string library_error() {
  std::string message;
  const auto first = [](unsigned n, const H5E_error2_t* error, void* text) -> herr_t {
    if (n == 0 && error->desc) *static_cast<std::string*>(text) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first, &message);
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message.empty() ? "unknown HDF5 error" : message;
}

std::vector<hsize_t> extent(const Extent& shape) {
  return {shape.begin(), shape.end()};
}

Handle dataspace(const Extent& shape) {
  const auto dims = extent(shape);
  return {shape.empty() ? H5Screate(H5S_SCALAR)
                        : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
          H5Sclose};
}

Handle string_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

/// Strings as they are written: UTF-8, with escapes for bytes that are none (of file names, say).
class Strings {
 public:
  explicit Strings(const std::vector<std::string>& values) {
    for (const std::string& value : values) values_.push_back(escaped(value));
    for (const std::string& value : values_) pointers_.push_back(value.c_str());
  }
  const char* const* pointers() const { return pointers_.data(); }

 private:
  std::vector<std::string> values_;
  std::vector<const char*> pointers_;
};

std::string type_name(hid_t type) {
  const std::size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return (H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int") + std::to_string(bits);
    case H5T_FLOAT:
      return "float" + std::to_string(bits);
    case H5T_STRING:
      return "text";
    case H5T_COMPOUND:
      return "compound (or complex)";
    case H5T_ENUM:
      return "enumeration (or boolean)";
    default:
      return "data of another kind";
  }
}

}  // namespace

std::string text(const Extent& shape) {
  std::string s = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return s + (shape.size() == 1 ? ",)" : ")");
}

// ---------------------------------------------------------------------------------------------- Reader

Reader::Reader(const std::string& path) : path_(path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw InputError(path + ": no such file");
  if (std::filesystem::is_directory(path, error))
    throw InputError(path + ": a folder; expected an HDF5 file");
  if (access(path.c_str(), R_OK) != 0) throw InputError(path + ": cannot be read: " + std::strerror(errno));
  if (H5Fis_hdf5(path.c_str()) <= 0) throw InputError(path + ": not an HDF5 file");
  file_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file_.valid()) throw InputError(path + ": cannot be opened: " + library_error());
}

void Reader::fail(const std::string& object, const std::string& message) const {
  throw InputError(path_ + ": " + object + ": " + message);
}

bool Reader::has(const std::string& object) const {
  // Every link on the way must be there, H5Lexists says.
  for (std::size_t slash = object.find('/', 1);; slash = object.find('/', slash + 1)) {
    if (H5Lexists(file_.get(), object.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
    if (slash == std::string::npos) return true;
  }
}

std::vector<std::string> Reader::members(const std::string& group) const {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  H5Literate_by_name(file_.get(), group.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names,
                     H5P_DEFAULT);
  return names;
}

Handle Reader::open_dataset(const std::string& path) const {
  if (!has(path)) {
    const auto slash = path.rfind('/');
    const std::string group = slash == 0 ? "/" : path.substr(0, slash);
    std::string found;
    if (group == "/" || has(group)) {
      const auto names = members(group);
      constexpr std::size_t kMost = 20;
      for (std::size_t i = 0; i < names.size() && i < kMost; ++i)
        found += (found.empty() ? "" : ", ") + shortened(names[i]);
      if (names.size() > kMost) found += ", ...";
    }
    fail(path, "dataset is missing; " + group + (found.empty() ? " is missing or empty" : " has " + found));
  }
  Handle dataset(H5Dopen2(file_.get(), path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) fail(path, "not a dataset");
  return dataset;
}

Array Reader::read_doubles(const std::string& path, hid_t dataset, int rank) const {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) fail(path, "the dataset is empty");
  std::vector<hsize_t> dims(H5Sget_simple_extent_ndims(space.get()));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  Array array;
  array.shape.assign(dims.begin(), dims.end());
  if (rank >= 0 && static_cast<int>(dims.size()) != rank)
    fail(path, "found rank " + std::to_string(dims.size()) + ", shape " + text(array.shape) +
                   "; expected rank " + std::to_string(rank));
  double count = 1;  // not as an integer: a file can claim any shape without holding it
  for (const hsize_t size : dims) count *= static_cast<double>(size);
  if (count > 1e12) fail(path, "found shape " + text(array.shape) + ": more numbers than any machine holds");
  array.values.resize(static_cast<Index>(count));
  if (H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.values.data()) < 0)
    fail(path, "cannot be read: " + library_error());
  return array;
}

Array Reader::read_array(const std::string& path, int rank) const {
  const Handle dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const std::size_t bytes = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) != H5T_FLOAT || (bytes != 4 && bytes != 8))
    fail(path, "found " + type_name(type.get()) + ", expected float64 or float32");
  Array array = read_doubles(path, dataset.get(), rank);
  const Extent& dims = array.shape;
  for (Index i = 0; i < array.values.size(); ++i)
    if (!std::isfinite(array.values[i])) {
      Extent where(dims.size());
      Index rest = i;
      for (std::size_t axis = dims.size(); axis-- > 0; rest /= array.shape[axis])
        where[axis] = rest % array.shape[axis];
      fail(path, "found " + std::string(std::isnan(array.values[i]) ? "NaN" : "infinity") + " at " +
                     text(where) + "; expected finite numbers");
    }
  return array;
}

Array Reader::read_numbers(const std::string& path) const {
  const Handle dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind != H5T_FLOAT && kind != H5T_INTEGER)
    fail(path, "found " + type_name(type.get()) + ", expected numbers");
  return read_doubles(path, dataset.get(), -1);
}

std::string Reader::read_string(const std::string& path) const {
  const Handle dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const Handle space(H5Dget_space(dataset.get()), H5Sclose);
  if (H5Tis_variable_str(type.get()) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1)
    fail(path, "found " + type_name(type.get()) + ", expected one string of variable length");
  char* value = nullptr;
  if (H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &value) < 0)
    fail(path, "cannot be read: " + library_error());
  std::string result = value ? value : "";
  H5free_memory(value);
  return result;
}

std::string Reader::string_attribute(const std::string& object, const std::string& name) const {
  if (H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) <= 0) return "";
  const Handle attribute(H5Aopen_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const Handle space(H5Aget_space(attribute.get()), H5Sclose);
  if (H5Tget_class(type.get()) != H5T_STRING || H5Sget_simple_extent_npoints(space.get()) != 1)
    fail(object, "attribute '" + name + "': found " + type_name(type.get()) + ", expected one string");
  if (H5Tis_variable_str(type.get()) > 0) {
    char* value = nullptr;
    const Handle memory(H5Tcopy(type.get()), H5Tclose);
    if (H5Aread(attribute.get(), memory.get(), &value) < 0)
      fail(object, "attribute '" + name + "' cannot be read: " + library_error());
    std::string result = value ? value : "";
    H5free_memory(value);
    return result;
  }
  std::string value(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0)
    fail(object, "attribute '" + name + "' cannot be read: " + library_error());
  value.resize(std::strlen(value.c_str()));
  if (H5Tget_strpad(type.get()) == H5T_STR_SPACEPAD) value.erase(value.find_last_not_of(' ') + 1);
  return value;
}

std::optional<double> Reader::number_attribute(const std::string& object, const std::string& name) const {
  if (H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) <= 0) return std::nullopt;
  const Handle attribute(H5Aopen_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose);
  const Handle space(H5Aget_space(attribute.get()), H5Sclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_STRING) {
    const std::string value = string_attribute(object, name);
    std::size_t used = 0;
    double number = 0;
    try {
      number = std::stod(value, &used);
    } catch (const std::exception&) {
    }
    if (used == 0 || used != value.size())
      fail(object, "attribute '" + name + "': found '" + value + "', expected a number");
    return number;
  }
  double value = 0;
  if ((kind != H5T_FLOAT && kind != H5T_INTEGER) || H5Sget_simple_extent_npoints(space.get()) != 1 ||
      H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value) < 0)
    fail(object, "attribute '" + name + "': found " + type_name(type.get()) + ", expected one number");
  return value;
}

// ---------------------------------------------------------------------------------------------- Writer

Writer::Writer(const std::string& path, bool overwrite) : part_(path, overwrite) {
  file_ = Handle(H5Fcreate(part_.part().c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (!file_.valid()) fail("/");
}

Writer::~Writer() {
  if (broken_) file_.release();  // of a file that cannot be written nothing is left to close
}

void Writer::fail(const std::string& object) {
  const int reason = errno;
  broken_ = true;
  const bool no_space =
      reason == ENOSPC || reason == EFBIG || reason == EDQUOT;  // said more clearly by the system
  throw WorkError(path() + ": " + object +
                  " cannot be written: " + (no_space ? std::string(std::strerror(reason)) : library_error()));
}

void Writer::group(const std::string& path, const std::string& nx_class) {
  if (H5Oexists_by_name(file_.get(), path.c_str(), H5P_DEFAULT) <= 0) {
    const Handle creation(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(creation.get(), 1);
    const Handle made(H5Gcreate2(file_.get(), path.c_str(), creation.get(), H5P_DEFAULT, H5P_DEFAULT),
                      H5Gclose);
    if (!made.valid()) fail(path);
  }
  if (!nx_class.empty()) attribute(path, "NX_class", nx_class);
}

void Writer::write_dataset(const std::string& path, hid_t type, const void* values, const Extent& shape) {
  const Handle creation(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(creation.get(), 1);
  const Handle space = dataspace(shape);
  const Handle dataset(
      H5Dcreate2(file_.get(), path.c_str(), type, space.get(), creation.get(), H5P_DEFAULT, H5P_DEFAULT),
      H5Dclose);
  if (!dataset.valid()) fail(path);
  if (H5Sget_simple_extent_npoints(space.get()) == 0) return;
  if (H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) fail(path);
}

void Writer::write(const std::string& path, const double* values, const Extent& shape) {
  write_dataset(path, H5T_NATIVE_DOUBLE, values, shape);
}

void Writer::write(const std::string& path, const std::vector<double>& values) {
  write(path, values.data(), {static_cast<Index>(values.size())});
}

void Writer::write(const std::string& path, const std::vector<std::int64_t>& values) {
  write_dataset(path, H5T_NATIVE_INT64, values.data(), {static_cast<Index>(values.size())});
}

void Writer::write(const std::string& path, std::int64_t value) {
  write_dataset(path, H5T_NATIVE_INT64, &value, {});
}

void Writer::write_unsigned(const std::string& path, std::uint64_t value) {
  write_dataset(path, H5T_NATIVE_UINT64, &value, {});
}

void Writer::write_unsigned(const std::string& path, const std::vector<std::uint64_t>& values,
                            const Extent& shape) {
  write_dataset(path, H5T_NATIVE_UINT64, values.data(), shape);
}

void Writer::write(const std::string& path, const std::string& value) {
  write(path, {value}, {});
}

void Writer::write(const std::string& path, const std::vector<std::string>& values, const Extent& shape) {
  const Strings strings(values);
  write_dataset(path, string_type().get(), strings.pointers(), shape);
}

void Writer::write_bytes(const std::string& path, const std::vector<std::uint8_t>& values,
                         const Extent& shape) {
  write_dataset(path, H5T_NATIVE_UINT8, values.data(), shape);
}

void Writer::write_attribute(const std::string& object, const std::string& name, hid_t type,
                             const void* values, const Extent& shape) {
  const Handle space = dataspace(shape);
  const Handle attribute(H5Acreate_by_name(file_.get(), object.c_str(), name.c_str(), type, space.get(),
                                           H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  if (!attribute.valid() || H5Awrite(attribute.get(), type, values) < 0) fail(object + " attribute " + name);
}

void Writer::attribute(const std::string& object, const std::string& name, const std::string& value) {
  write_attribute(object, name, string_type().get(), Strings({value}).pointers(), {});
}

void Writer::attribute(const std::string& object, const std::string& name, std::int64_t value) {
  write_attribute(object, name, H5T_NATIVE_INT64, &value, {});
}

void Writer::attribute(const std::string& object, const std::string& name, double value) {
  write_attribute(object, name, H5T_NATIVE_DOUBLE, &value, {});
}

void Writer::attribute(const std::string& object, const std::string& name,
                       const std::vector<std::string>& values) {
  write_attribute(object, name, string_type().get(), Strings(values).pointers(),
                  {static_cast<Index>(values.size())});
}

void Writer::attribute(const std::string& object, const std::string& name,
                       const std::vector<std::int64_t>& values) {
  write_attribute(object, name, H5T_NATIVE_INT64, values.data(), {static_cast<Index>(values.size())});
}

void Writer::ascii_attribute(const std::string& object, const std::string& name, const std::string& value) {
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), value.size());
  H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  write_attribute(object, name, type.get(), value.data(), {});
}

namespace {

/// Reads all of an attribute or a dataset of a type of memory, and gives it to `use`.
template <class Read, class Use>
bool pass_on(hid_t type, hid_t space, const Read& read, const Use& use) {
  const auto count = static_cast<std::size_t>(std::max<hssize_t>(0, H5Sget_simple_extent_npoints(space)));
  std::vector<char> bytes(count * H5Tget_size(type) + 1);
  if (count > 0 && read(type, bytes.data()) < 0) return false;
  const bool done = use(type, bytes.data()) >= 0;
  if (count > 0 && (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0))
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, bytes.data());
  return done;
}

bool copy_attributes(hid_t from, hid_t to) {
  const auto copy = [](hid_t object, const char* name, const H5A_info_t*, void* target) -> herr_t {
    const Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
    if (!type.valid() || !space.valid()) return -1;
    if (H5Tdetect_class(type.get(), H5T_REFERENCE) > 0) return 0;  // to other objects of that file
    const Handle made(H5Acreate2(*static_cast<const hid_t*>(target), name, type.get(), space.get(),
                                 H5P_DEFAULT, H5P_DEFAULT),
                      H5Aclose);
    return made.valid() && pass_on(
                               type.get(), space.get(),
                               [&](hid_t t, void* bytes) { return H5Aread(attribute.get(), t, bytes); },
                               [&](hid_t t, const void* bytes) {
                                 const bool empty = H5Sget_simple_extent_npoints(space.get()) == 0;
                                 return empty ? herr_t{0} : H5Awrite(made.get(), t, bytes);
                               })
               ? 0
               : -1;
  };
  return H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, nullptr, copy, &to) >= 0;
}

}  // namespace

void Writer::copy(const Reader& from, const std::string& path) {
  // H5Ocopy crashes where the disk is full (HDF5 1.10.8).
  const Handle object(H5Oopen(from.file_.get(), path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object.valid()) from.fail(path, "cannot be read: " + library_error());
  const bool is_group = H5Iget_type(object.get()) == H5I_GROUP;
  if (is_group) {
    group(path);
    for (const std::string& name : from.members(path)) copy(from, path + "/" + name);
  } else {
    const Handle type(H5Dget_type(object.get()), H5Tclose), space(H5Dget_space(object.get()), H5Sclose);
    if (!type.valid() || !space.valid()) from.fail(path, "cannot be read: " + library_error());
    bool read = H5Sget_simple_extent_npoints(space.get()) == 0;
    const bool written = pass_on(
        type.get(), space.get(),
        [&](hid_t t, void* bytes) {
          const herr_t status = H5Dread(object.get(), t, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
          read = status >= 0;
          return status;
        },
        [&](hid_t t, const void* bytes) {
          Extent shape(H5Sget_simple_extent_ndims(space.get()));
          std::vector<hsize_t> dims(shape.size());
          H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
          std::copy(dims.begin(), dims.end(), shape.begin());
          write_dataset(path, t, bytes, shape);
          return 0;
        });
    if (!written && !read) from.fail(path, "cannot be read: " + library_error());
  }
  const Handle made(H5Oopen(file_.get(), path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!made.valid() || !copy_attributes(object.get(), made.get())) fail(path);
}

void Writer::hard_link(const std::string& existing, const std::string& link) {
  if (H5Lcreate_hard(file_.get(), existing.c_str(), file_.get(), link.c_str(), H5P_DEFAULT, H5P_DEFAULT) < 0)
    fail(link);
}

void Writer::commit() {
  errno = 0;
  if (H5Fflush(file_.get(), H5F_SCOPE_GLOBAL) < 0) fail("the file");
  if (file_.close() < 0) fail("the file");
  part_.commit();
}

}  // namespace basin::hdf5
