#include "basin/hdf5/file.h"

#include <hdf5_hl.h>

#include <cerrno>
#include <cstring>

#include "basin/linalg/errors.h"
#include "basin/problem/encoding.h"

namespace basin::hdf5 {
namespace {

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

}  // namespace

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

void Writer::write(const std::string& path, const std::vector<std::int64_t>& values, const Extent& shape) {
  write_dataset(path, H5T_NATIVE_INT64, values.data(), shape);
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

void Writer::dimensions(const std::string& path, const std::vector<std::string>& scales) {
  const Handle dataset(H5Dopen2(file_.get(), path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) fail(path);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (scales[i].empty()) continue;
    const Handle scale(H5Dopen2(file_.get(), scales[i].c_str(), H5P_DEFAULT), H5Dclose);
    const std::string name = scales[i].substr(scales[i].rfind('/') + 1);
    if (!scale.valid() || (H5DSis_scale(scale.get()) <= 0 && H5DSset_scale(scale.get(), name.c_str()) < 0) ||
        H5DSattach_scale(dataset.get(), scale.get(), static_cast<unsigned>(i)) < 0)
      fail(path + " dimension " + name);
  }
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
