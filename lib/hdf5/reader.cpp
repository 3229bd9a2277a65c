#include "basin/hdf5/reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "basin/hdf5/trial.h"
#include "basin/linalg/errors.h"
#include "basin/linalg/memory.h"
#include "basin/problem/encoding.h"

namespace basin::hdf5 {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 16;  // one behind the other: as many as the library follows

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

Extent shape_of(hid_t space) {
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
  H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  Extent shape;
  for (const hsize_t size : dims)
    shape.push_back(
        static_cast<Index>(std::min<hsize_t>(size, static_cast<hsize_t>(std::numeric_limits<Index>::max()))));
  return shape;
}

/// Not as an integer: a file can claim any shape without holding it.
double size_of(const Extent& shape) {
  double count = 1;
  for (const Index size : shape) count *= static_cast<double>(size);
  return count;
}

/// "(4, any, 3)"
std::string expected_text(const Extent& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i > 0 ? ", " : "") + (shape[i] == kAnySize ? "any" : std::to_string(shape[i]));
  return text + (shape.size() == 1 ? ",)" : ")");
}

bool fits(const Extent& shape, const Extent& expected) {
  if (shape.size() != expected.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (expected[i] != kAnySize && shape[i] != expected[i]) return false;
  return true;
}

std::string number_text(double value) {
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}

bool is_index(double value, Index least, Index most) {
  return value == std::floor(value) && value >= static_cast<double>(least) &&
         value <= static_cast<double>(most);  // false for NaN
}

std::string range_text(Index least, Index most) {
  return most == kLargestIndex
             ? "a whole number from " + std::to_string(least)
             : "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

bool unchanged(int descriptor, const struct stat& before) {
  struct stat now {};
  return fstat(descriptor, &now) == 0 && now.st_size == before.st_size &&
         now.st_mtim.tv_sec == before.st_mtim.tv_sec && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec;
}

/// A name of two parts that HDF5 gives out in two calls.
template <class Get>
std::string name_from(const Get& get) {
  const ssize_t length = get(nullptr, 0);
  std::string name(static_cast<std::size_t>(std::max<ssize_t>(0, length)) + 1, '\0');
  get(name.data(), name.size());
  name.pop_back();
  return name;
}

}  // namespace

std::string text(const Extent& shape) {
  return expected_text(shape);
}

Reader::Reader(const std::string& path) : path_(path) {
  std::error_code error;
  if (!fs::exists(path, error)) throw InputError(path + ": no such file");
  if (fs::is_directory(path, error)) throw InputError(path + ": a folder; expected an HDF5 file");
  if (access(path.c_str(), R_OK) != 0) throw InputError(path + ": cannot be read: " + std::strerror(errno));
  try_reading(path);
  if (H5Fis_hdf5(path.c_str()) <= 0) throw InputError(path + ": not an HDF5 file");
  file_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file_.valid()) throw InputError(path + ": cannot be opened: " + library_error());
  void* handle = nullptr;
  if (H5Fget_vfd_handle(file_.get(), H5P_DEFAULT, &handle) >= 0 && handle)
    descriptor_ = *static_cast<const int*>(handle);
  if (descriptor_ < 0 || fstat(descriptor_, &status_) != 0)
    throw InputError(path + ": cannot be read: not on the file system");
}

void Reader::refuse(const std::string& object, const std::string& message) const {
  throw InputError(path_ + ": " + shortened(object, 200) + ": " + message);
}

std::vector<Reader::Source> Reader::sources() const {
  if (!unchanged(descriptor_, status_)) throw InputError(path_ + ": was changed while it was read");
  std::vector<Source> all = {{fs::path(path_).filename().string(), descriptor_}};
  for (const auto& [path, link] : linked_) {
    if (link.file) {
      const std::vector<Source> behind = link.file->sources();
      all.push_back({link.name, behind[0].descriptor});
      all.insert(all.end(), behind.begin() + 1, behind.end());
    } else {
      if (!unchanged(*link.raw, link.status)) throw InputError(path + ": was changed while it was read");
      all.push_back({link.name, *link.raw});
    }
  }
  return all;
}

// ------------------------------------------------------------------------------------------- links

/// The file that an object of this one names, looked for where the HDF5 library looks: in the folders of an
/// environment variable, beside this file, in the working folder, beside the file that this one is a link to.
std::string Reader::find(const std::string& name, const char* prefixes, const std::string& object) const {
  const fs::path wanted(name);
  std::vector<fs::path> places;
  if (wanted.is_absolute()) places.push_back(wanted);
  const fs::path relative = wanted.is_absolute() ? wanted.filename() : wanted;
  if (const char* list = std::getenv(prefixes)) {
    std::istringstream folders(list);
    for (std::string folder; std::getline(folders, folder, ':');)
      places.push_back(fs::path(folder) / relative);
  }
  std::error_code error;
  places.push_back(fs::path(path_).parent_path() / relative);
  places.push_back(relative);
  places.push_back(fs::canonical(path_, error).parent_path() / relative);
  for (const fs::path& place : places)
    if (fs::exists(place, error)) return place.string();
  refuse(object, "needs the file '" + shortened(name) + "', which is not there");
}

const Reader& Reader::linked(const std::string& name, const char* prefixes, const std::string& object) const {
  if (depth_ >= kMostLinks)
    refuse(object, "more than " + std::to_string(kMostLinks) + " files one behind the other");
  const std::string path = find(name, prefixes, object);
  Linked& link = linked_[path];
  if (!link.file) {
    auto file = std::make_unique<Reader>(path);
    file->depth_ = depth_ + 1;
    link.name = name;
    link.file = std::move(file);
  }
  return *link.file;
}

Reader::Place Reader::follow(const std::string& path, int links) const {
  if (links > kMostLinks)
    refuse(path, "more than " + std::to_string(kMostLinks) + " links one behind the other");
  std::string at, rest = path;
  while (!rest.empty()) {
    const std::size_t begin = rest.find_first_not_of('/');
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(rest.find('/', begin), rest.size());
    const std::string next = at + "/" + rest.substr(begin, end - begin);
    rest = rest.substr(end);
    H5L_info_t info;
    if (H5Lget_info(file_.get(), next.c_str(), &info, H5P_DEFAULT) < 0) return {this, next + rest, false};
    if (info.type == H5L_TYPE_HARD) {
      at = next;
      continue;
    }
    std::vector<char> value(info.u.val_size + 1, '\0');
    if (H5Lget_val(file_.get(), next.c_str(), value.data(), info.u.val_size, H5P_DEFAULT) < 0)
      refuse(next, "a damaged link: " + library_error());
    const auto behind = [&](const Reader& file, const std::string& target) {
      Place place = file.follow(target + rest, links + 1);
      if (!place.there && !file.follow(target, links + 1).there)
        refuse(next, "a link to '" + shortened(target) + "'" + (&file == this ? "" : " in " + file.path_) +
                         ", which is not there");
      return place;
    };
    if (info.type == H5L_TYPE_SOFT) {
      const std::string target = value.data();
      return behind(*this, target.starts_with('/') ? target : at + "/" + target);
    }
    const char *name = nullptr, *object = nullptr;
    if (info.type != H5L_TYPE_EXTERNAL ||
        H5Lunpack_elink_val(value.data(), info.u.val_size, nullptr, &name, &object) < 0)
      refuse(next, "a link of unknown kind, or a damaged one");
    return behind(linked(name, "HDF5_EXT_PREFIX", next), object);
  }
  return {this, at.empty() ? "/" : at, true};
}

bool Reader::has(const std::string& object) const {
  return follow(object).there;
}

bool Reader::has_group(const std::string& object) const {
  const Place place = follow(object);
  if (!place.there) return false;
  const Handle handle(H5Oopen(place.file->file_.get(), place.path.c_str(), H5P_DEFAULT), H5Oclose);
  return handle.valid() && H5Iget_type(handle.get()) == H5I_GROUP;
}

Reader::Place Reader::place_of(const std::string& object) const {
  Place place = follow(object);
  if (!place.there) place.file->refuse(place.path, "is missing");
  return place;
}

std::vector<std::string> Reader::members(const std::string& group) const {
  const Place place = place_of(group);
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  const Handle there(H5Gopen2(place.file->file_.get(), place.path.c_str(), H5P_DEFAULT), H5Gclose);
  if (!there.valid()) place.file->refuse(place.path, "not a group");
  if (H5Literate(there.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0)
    place.file->refuse(place.path, "cannot be read: " + library_error());
  return names;
}

std::vector<std::string> Reader::attributes(const std::string& object) const {
  const Place place = place_of(object);
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  if (H5Aiterate_by_name(place.file->file_.get(), place.path.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr,
                         add, &names, H5P_DEFAULT) < 0)
    place.file->refuse(place.path, "cannot be read: " + library_error());
  return names;
}

Reader::Dataset Reader::open_dataset(const std::string& path) const {
  const Place place = follow(path);
  if (!place.there) {
    const auto slash = place.path.rfind('/');
    const std::string group = slash == 0 ? "/" : place.path.substr(0, slash);
    std::string found;
    if (const Place above = place.file->follow(group);
        above.there && H5Oexists_by_name(above.file->file_.get(), above.path.c_str(), H5P_DEFAULT) > 0) {
      const Handle object(H5Oopen(above.file->file_.get(), above.path.c_str(), H5P_DEFAULT), H5Oclose);
      if (H5Iget_type(object.get()) == H5I_GROUP) {
        const auto names = above.file->members(above.path);
        constexpr std::size_t kMost = 20;
        for (std::size_t i = 0; i < names.size() && i < kMost; ++i)
          found += (found.empty() ? "" : ", ") + shortened(names[i]);
        if (names.size() > kMost) found += ", ...";
      }
    }
    place.file->refuse(place.path, "dataset is missing; " + shortened(group) +
                                       (found.empty() ? " is missing or empty" : " has " + found));
  }
  const hid_t file = place.file->file_.get();
  Handle object(H5Oopen(file, place.path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object.valid()) place.file->refuse(place.path, "cannot be opened: " + library_error());
  if (H5Iget_type(object.get()) != H5I_DATASET) place.file->refuse(place.path, "not a dataset");
  return {place.file, place.path, std::move(object)};
}

// ------------------------------------------------------------------------------------------- data that are
// there

void Reader::check_present(const std::string& path, hid_t dataset) const {
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose), space(H5Dget_space(dataset), H5Sclose);
  const Extent shape = shape_of(space.get());
  const double count = size_of(shape);
  if (count == 0) return;
  switch (H5Pget_layout(creation.get())) {
    case H5D_CHUNKED:
      return check_chunks(path, dataset, creation.get(), shape);
    case H5D_VIRTUAL:
      return check_virtual(path, creation.get(), count);
    case H5D_CONTIGUOUS: {
      if (H5Pget_external_count(creation.get()) > 0)
        return check_external(path, dataset, creation.get(), count);
      H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
      if (H5Dget_space_status(dataset, &status) < 0 || status != H5D_SPACE_STATUS_ALLOCATED)
        refuse(path, "its values were never written");
      return;
    }
    default:
      return;  // compact: in the header
  }
}

void Reader::check_chunks(const std::string& path, hid_t dataset, hid_t creation, const Extent& shape) const {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  std::vector<hsize_t> chunk(shape.size(), 1);
  hsize_t written = 0;
  if (H5Pget_chunk(creation, static_cast<int>(chunk.size()), chunk.data()) < 0 ||
      H5Dget_num_chunks(dataset, space.get(), &written) < 0)
    refuse(path, "cannot be read: " + library_error());
  double all = 1;
  for (std::size_t i = 0; i < shape.size(); ++i)
    all *= std::ceil(static_cast<double>(shape[i]) / static_cast<double>(std::max<hsize_t>(1, chunk[i])));
  if (static_cast<double>(written) < all)
    refuse(path, number_text(all - static_cast<double>(written)) + " of its " + number_text(all) +
                     " chunks were never written");
}

void Reader::check_external(const std::string& path, hid_t dataset, hid_t creation, double count) const {
  const Handle type(H5Dget_type(dataset), H5Tclose), access_list(H5Dget_access_plist(dataset), H5Pclose);
  double needed = count * static_cast<double>(H5Tget_size(type.get()));
  const int files = H5Pget_external_count(creation);
  for (int i = 0; i < files && needed > 0; ++i) {
    std::vector<char> name(4096, '\0');
    off_t offset = 0;
    hsize_t size = 0;
    if (H5Pget_external(creation, static_cast<unsigned>(i), name.size() - 1, name.data(), &offset, &size) < 0)
      refuse(path, "cannot be read: " + library_error());
    // The library takes a name as it is, or in the folder of an environment variable or property.
    std::string prefix = name_from(
        [&](char* text, std::size_t most) { return H5Pget_efile_prefix(access_list.get(), text, most); });
    if (const char* of_environment = std::getenv("HDF5_EXTFILE_PREFIX")) prefix = of_environment;
    if (prefix.starts_with("${ORIGIN}")) prefix = fs::path(path_).parent_path().string() + prefix.substr(9);
    const fs::path file(name.data());
    const std::string place =
        (file.is_absolute() || prefix.empty() ? file : fs::path(prefix) / file).string();
    Linked& link = linked_[place];
    if (!link.raw) {
      const int descriptor = open(place.c_str(), O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) refuse(path, "needs the file '" + shortened(place) + "': " + std::strerror(errno));
      link.name = name.data();
      link.raw = std::shared_ptr<const int>(new int(descriptor), [](const int* open_file) {
        ::close(*open_file);
        delete open_file;
      });
      fstat(descriptor, &link.status);
    }
    const double wanted = size == H5F_UNLIMITED ? needed : std::min(needed, static_cast<double>(size));
    if (static_cast<double>(link.status.st_size) < static_cast<double>(offset) + wanted)
      refuse(path, "needs " + number_text(static_cast<double>(offset) + wanted) + " bytes of the file '" +
                       shortened(place) + "', which has " + std::to_string(link.status.st_size));
    needed -= wanted;
  }
  if (needed > 0) refuse(path, "its external files are too short for it");
}

void Reader::check_virtual(const std::string& path, hid_t creation, double count) const {
  std::size_t sources = 0;
  if (H5Pget_virtual_count(creation, &sources) < 0) refuse(path, "cannot be read: " + library_error());
  double mapped = 0;
  for (std::size_t i = 0; i < sources; ++i) {
    const std::string name = name_from(
        [&](char* text, std::size_t most) { return H5Pget_virtual_filename(creation, i, text, most); });
    const std::string dataset = name_from(
        [&](char* text, std::size_t most) { return H5Pget_virtual_dsetname(creation, i, text, most); });
    const Handle to(H5Pget_virtual_vspace(creation, i), H5Sclose),
        from(H5Pget_virtual_srcspace(creation, i), H5Sclose);
    const hssize_t here = H5Sget_select_npoints(to.get());
    if (here < 0)  // as H5S_UNLIMITED is
      refuse(
          path,
          "a virtual dataset of unlimited size, of which it is not known whether all its sources are there; "
          "expected one of fixed size, or a copy of it");
    mapped += static_cast<double>(here);
    const Reader& file = name == "." ? *this : linked(name, "HDF5_VDS_PREFIX", path);
    const int depth = file.depth_;
    file.depth_ = depth_ + 1;
    if (file.depth_ > kMostLinks)
      refuse(path, "more than " + std::to_string(kMostLinks) + " virtual datasets one behind the other");
    const Dataset source = file.open_dataset(dataset);
    source.file->check_present(source.path, source.id.get());
    file.depth_ = depth;
    const Handle space(H5Dget_space(source.id.get()), H5Sclose);
    const Extent shape = shape_of(space.get());
    bool inside = size_of(shape) >= static_cast<double>(here);
    if (H5Sget_select_type(from.get()) != H5S_SEL_ALL) {
      std::vector<hsize_t> first(shape.size()), last(shape.size());
      inside = H5Sget_simple_extent_ndims(from.get()) == static_cast<int>(shape.size()) &&
               H5Sget_select_bounds(from.get(), first.data(), last.data()) >= 0;
      for (std::size_t axis = 0; inside && axis < shape.size(); ++axis)
        inside = static_cast<double>(last[axis]) < static_cast<double>(shape[axis]);
    }
    if (!inside)
      source.file->refuse(source.path, "found shape " + text(shape) + ", too small for the virtual dataset " +
                                           path + " of " + path_);
  }
  if (mapped < count)
    refuse(path, "a virtual dataset with sources for " + number_text(mapped) + " of its " +
                     number_text(count) + " values");
}

// ------------------------------------------------------------------------------------------- numbers

Array Reader::read_doubles(const Dataset& dataset) const {
  const Reader& file = *dataset.file;
  const Handle space(H5Dget_space(dataset.id.get()), H5Sclose);
  Array array;
  array.shape = shape_of(space.get());
  const double count = size_of(array.shape);
  require_memory(file.path_ + ": " + dataset.path + ", shape " + text(array.shape) + ", with a copy of it,",
                 2 * sizeof(double) * count);
  file.check_present(dataset.path, dataset.id.get());
  array.values.resize(static_cast<Index>(count));
  if (count > 0 &&
      H5Dread(dataset.id.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.values.data()) < 0)
    file.refuse(dataset.path, "cannot be read: " + library_error());
  return array;
}

Array Reader::read_array(const std::string& path, int rank) const {
  const Dataset dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.id.get()), H5Tclose), space(H5Dget_space(dataset.id.get()), H5Sclose);
  const std::size_t bytes = H5Tget_size(type.get());
  if (H5Tget_class(type.get()) != H5T_FLOAT || (bytes != 4 && bytes != 8))
    dataset.file->refuse(dataset.path, "found " + type_name(type.get()) + ", expected float64 or float32");
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL)
    dataset.file->refuse(dataset.path, "the dataset is empty");
  const Extent shape = shape_of(space.get());
  if (rank >= 0 && static_cast<int>(shape.size()) != rank)
    dataset.file->refuse(dataset.path, "found rank " + std::to_string(shape.size()) + ", shape " +
                                           text(shape) + "; expected rank " + std::to_string(rank));
  Array array = read_doubles(dataset);
  for (Index i = 0; i < array.values.size(); ++i)
    if (!std::isfinite(array.values[i])) {
      Extent where(shape.size());
      Index rest = i;
      for (std::size_t axis = shape.size(); axis-- > 0; rest /= shape[axis]) where[axis] = rest % shape[axis];
      dataset.file->refuse(dataset.path, "found " +
                                             std::string(std::isnan(array.values[i]) ? "NaN" : "infinity") +
                                             " at " + text(where) + "; expected finite numbers");
    }
  return array;
}

Array Reader::read_numbers(const std::string& path) const {
  const Dataset dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.id.get()), H5Tclose), space(H5Dget_space(dataset.id.get()), H5Sclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind != H5T_FLOAT && kind != H5T_INTEGER)
    dataset.file->refuse(dataset.path, "found " + type_name(type.get()) + ", expected numbers");
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL)
    dataset.file->refuse(dataset.path, "the dataset is empty");
  return read_doubles(dataset);
}

Array Reader::read_numbers(const std::string& path, const Extent& expected) const {
  const Dataset dataset = open_dataset(path);
  const Handle space(H5Dget_space(dataset.id.get()), H5Sclose);
  const Extent shape = shape_of(space.get());
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL)
    dataset.file->refuse(dataset.path, "the dataset is empty");
  if (!fits(shape, expected))
    dataset.file->refuse(dataset.path,
                         "found shape " + text(shape) + "; expected " + expected_text(expected));
  return read_numbers(path);
}

double Reader::read_number(const std::string& path) const {
  return read_numbers(path, {}).values[0];
}

double Reader::read_finite(const std::string& path) const {
  const double value = read_number(path);
  if (!std::isfinite(value)) refuse(path, "found " + number_text(value) + "; expected a finite number");
  return value;
}

Index Reader::read_index(const std::string& path, Index least, Index most) const {
  const double value = read_number(path);
  if (!is_index(value, least, most))
    refuse(path, "found " + number_text(value) + "; expected " + range_text(least, most));
  return static_cast<Index>(value);
}

std::vector<Index> Reader::read_indices(const std::string& path, Index count, Index least, Index most) const {
  const Array array = read_numbers(path, {count});
  std::vector<Index> values;
  for (const double value : array.values) {
    if (!is_index(value, least, most))
      refuse(path, "found " + number_text(value) + " at (" + std::to_string(values.size()) + ",); expected " +
                       range_text(least, most));
    values.push_back(static_cast<Index>(value));
  }
  return values;
}

// ------------------------------------------------------------------------------------------- strings,
// attributes

std::string Reader::read_string(const std::string& path) const {
  const Dataset dataset = open_dataset(path);
  const Handle type(H5Dget_type(dataset.id.get()), H5Tclose), space(H5Dget_space(dataset.id.get()), H5Sclose);
  if (H5Tis_variable_str(type.get()) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1)
    dataset.file->refuse(dataset.path, "found " + type_name(type.get()) + ", shape " +
                                           text(shape_of(space.get())) +
                                           "; expected one string of variable length");
  dataset.file->check_present(dataset.path, dataset.id.get());
  char* value = nullptr;
  if (H5Dread(dataset.id.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &value) < 0)
    dataset.file->refuse(dataset.path, "cannot be read: " + library_error());
  std::string result = value ? value : "";
  H5free_memory(value);
  return result;
}

std::string Reader::string_attribute(const std::string& object, const std::string& name) const {
  const Place place = place_of(object);
  const hid_t file = place.file->file_.get();
  if (H5Aexists_by_name(file, place.path.c_str(), name.c_str(), H5P_DEFAULT) <= 0) return "";
  const auto fail = [&](const std::string& message) {
    place.file->refuse(place.path, "attribute '" + name + "'" + message);
  };
  const Handle attribute(H5Aopen_by_name(file, place.path.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
  if (!attribute.valid()) fail(" cannot be read: " + library_error());
  if (H5Tget_class(type.get()) != H5T_STRING || H5Sget_simple_extent_npoints(space.get()) != 1)
    fail(": found " + type_name(type.get()) + ", expected one string");
  if (H5Tis_variable_str(type.get()) > 0) {
    char* value = nullptr;
    if (H5Aread(attribute.get(), type.get(), &value) < 0) fail(" cannot be read: " + library_error());
    std::string result = value ? value : "";
    H5free_memory(value);
    return result;
  }
  std::string value(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) fail(" cannot be read: " + library_error());
  value.resize(strnlen(value.data(), value.size()));
  if (H5Tget_strpad(type.get()) == H5T_STR_SPACEPAD) value.erase(value.find_last_not_of(' ') + 1);
  return value;
}

std::optional<double> Reader::number_attribute(const std::string& object, const std::string& name) const {
  const Place place = place_of(object);
  const hid_t file = place.file->file_.get();
  if (H5Aexists_by_name(file, place.path.c_str(), name.c_str(), H5P_DEFAULT) <= 0) return std::nullopt;
  const auto fail = [&](const std::string& found) {
    place.file->refuse(place.path, "attribute '" + name + "': found " + found);
  };
  const Handle attribute(H5Aopen_by_name(file, place.path.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                         H5Aclose);
  if (!attribute.valid()) fail("nothing that can be read: " + library_error());
  const Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_STRING) {
    const std::string value = string_attribute(object, name);
    std::size_t used = 0;
    double number = 0;
    try {
      number = std::stod(value, &used);
    } catch (const std::exception&) {
    }
    if (used == 0 || used != value.size()) fail("'" + shortened(value) + "', expected a number");
    return number;
  }
  double value = 0;
  if ((kind != H5T_FLOAT && kind != H5T_INTEGER) || H5Sget_simple_extent_npoints(space.get()) != 1 ||
      H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value) < 0)
    fail(type_name(type.get()) + ", expected one number");
  return value;
}

}  // namespace basin::hdf5
