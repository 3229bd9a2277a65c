#include "basin/hdf5/trial.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <set>
#include <vector>

#include "basin/hdf5/handle.h"
#include "basin/linalg/errors.h"

namespace basin::hdf5 {
namespace {

// Of processor time, so that slow disks are no reason; and of large files the indices of chunks are large.
constexpr rlim_t kSecondsPerObject = 2;
constexpr off_t kBytesPerSecond = 100'000'000;
rlim_t seconds_per_object = kSecondsPerObject;
constexpr hsize_t kMostBytes = 1U << 24U, kMostStrings = 1U << 20U;

/// Another so many seconds from now on.
void allow_more_time() {
  rusage used{};
  rlimit limit{};
  if (getrusage(RUSAGE_SELF, &used) != 0 || getrlimit(RLIMIT_CPU, &limit) != 0) return;
  const auto spent = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1);
  const rlim_t until = std::min(spent + seconds_per_object, limit.rlim_max);
  if (until == limit.rlim_cur) return;
  limit.rlim_cur = until;
  setrlimit(RLIMIT_CPU, &limit);
}

/// Bytes that so many values take in memory, or nothing if it is not worth reading them here.
std::vector<char> room_for(hid_t type, hsize_t count) {
  const std::size_t size = H5Tget_size(type);
  if (size == 0 || count == 0 || count > kMostBytes / size) return {};
  return std::vector<char>(static_cast<std::size_t>(count) * size);
}

herr_t read_attribute(hid_t object, const char* name, const H5A_info_t*, void*) {
  const Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(attribute.get()), H5Tclose), space(H5Aget_space(attribute.get()), H5Sclose);
  const hssize_t count = H5Sget_simple_extent_npoints(space.get());
  std::vector<char> values = room_for(type.get(), count < 0 ? 0 : static_cast<hsize_t>(count));
  if (!values.empty()) H5Aread(attribute.get(), type.get(), values.data());
  return 0;
}

/// The leading rows that fit. What is stored in one piece is not looked at: its numbers can do no harm.
void read_dataset(hid_t dataset) {
  const Handle type(H5Dget_type(dataset), H5Tclose), space(H5Dget_space(dataset), H5Sclose),
      creation(H5Dget_create_plist(dataset), H5Pclose);
  const bool strings = H5Tis_variable_str(type.get()) > 0;
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  if (layout == H5D_VIRTUAL || (layout == H5D_CONTIGUOUS && !strings)) return;
  std::vector<hsize_t> dims(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space.get()))));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  hsize_t most = strings ? kMostStrings : kMostBytes / std::max<std::size_t>(1, H5Tget_size(type.get())),
          count = 1;
  std::vector<hsize_t> origin(dims.size(), 0), part(dims);
  for (std::size_t axis = dims.size(); axis-- > 0;) {
    part[axis] = std::min(dims[axis], std::max<hsize_t>(1, most));
    most /= std::max<hsize_t>(1, part[axis]);
    count *= part[axis];
  }
  if (layout == H5D_CHUNKED) {
    hsize_t chunks = 0;
    H5Dget_num_chunks(dataset, space.get(), &chunks);
  }
  std::vector<char> values = room_for(type.get(), count);
  if (values.empty()) return;
  if (!dims.empty())
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, origin.data(), nullptr, part.data(), nullptr);
  const Handle memory(dims.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Dread(dataset, type.get(), memory.get(), space.get(), H5P_DEFAULT, values.data());
}

herr_t read_object(hid_t file, const char* name, const H5O_info_t*, void*) {
  allow_more_time();
  const Handle object(H5Oopen(file, name, H5P_DEFAULT), H5Oclose);
  if (!object.valid()) return 0;
  H5Aiterate2(object.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, read_attribute, nullptr);
  if (H5Iget_type(object.get()) == H5I_DATASET) read_dataset(object.get());
  return 0;
}

/// What the child does. Errors are left to the parent to find: it says them better.
[[noreturn]] void read_and_exit(const std::string& path) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU}) std::signal(number, SIG_DFL);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  if (const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) {
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
  }
  allow_more_time();
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
#if H5_VERSION_GE(1, 12, 0)
  if (file >= 0) H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_NATIVE, read_object, nullptr, H5O_INFO_BASIC);
#else
  if (file >= 0) H5Ovisit1(file, H5_INDEX_NAME, H5_ITER_NATIVE, read_object, nullptr);
#endif
  _exit(0);
}

}  // namespace

void try_reading(const std::string& path) {
  static std::set<std::array<std::int64_t, 5>> tried;
  struct stat s {};
  if (stat(path.c_str(), &s) != 0) return;
  const std::array<std::int64_t, 5> file = {static_cast<std::int64_t>(s.st_dev),
                                            static_cast<std::int64_t>(s.st_ino), s.st_size, s.st_mtim.tv_sec,
                                            s.st_mtim.tv_nsec};
  if (tried.contains(file)) return;
  const pid_t child = fork();
  if (child < 0) return;
  if (child == 0) {
    seconds_per_object = kSecondsPerObject + static_cast<rlim_t>(s.st_size / kBytesPerSecond);
    read_and_exit(path);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return;
  const int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  if (signal_number == SIGXCPU)
    throw InputError(path + ": damaged: the HDF5 library does not come to an end reading it");
  const bool crashed = (WIFEXITED(status) && WEXITSTATUS(status) != 0) || signal_number == SIGSEGV ||
                       signal_number == SIGBUS || signal_number == SIGABRT || signal_number == SIGFPE ||
                       signal_number == SIGILL;
  if (crashed) throw InputError(path + ": damaged: the HDF5 library crashes reading it");
  tried.insert(file);
}

}  // namespace basin::hdf5
