// Copying objects from one file to another: Writer::copy.
#include <algorithm>

#include "basin/hdf5/file.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"

namespace basin::hdf5 {
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
  const Reader::Place place = from.place_of(path);
  const Handle object(H5Oopen(place.file->file_.get(), place.path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object.valid()) from.refuse(path, "cannot be read: " + library_error());
  const bool is_group = H5Iget_type(object.get()) == H5I_GROUP;
  if (is_group) {
    constexpr std::ptrdiff_t kDeepest = 16;  // a group can hold itself
    if (std::count(path.begin(), path.end(), '/') > kDeepest) from.refuse(path, "more than 16 groups deep");
    group(path);
    for (const std::string& name : from.members(path)) copy(from, path + "/" + name);
  } else {
    const Handle type(H5Dget_type(object.get()), H5Tclose), space(H5Dget_space(object.get()), H5Sclose);
    if (!type.valid() || !space.valid()) from.refuse(path, "cannot be read: " + library_error());
    require_memory(from.path() + ": " + path, static_cast<double>(H5Sget_simple_extent_npoints(space.get())) *
                                                  static_cast<double>(H5Tget_size(type.get())));
    place.file->check_present(place.path, object.get());
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
    if (!written && !read) from.refuse(path, "cannot be read: " + library_error());
  }
  const Handle made(H5Oopen(file_.get(), path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!made.valid() || !copy_attributes(object.get(), made.get())) fail(path);
}

}  // namespace basin::hdf5
