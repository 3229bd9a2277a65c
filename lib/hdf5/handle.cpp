#include "basin/hdf5/handle.h"

#include <algorithm>

namespace basin::hdf5 {
namespace {

// Our messages say what the library's error stack would print. After a write has failed, the library's own
// cleaning up at exit crashes (HDF5 1.10.8); our handles close everything that can be closed.
[[maybe_unused]] const bool prepared = (H5dont_atexit(), H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0);

}  // namespace

std::string library_error() {
  std::string message;
  const auto first = [](unsigned n, const H5E_error2_t* error, void* text) -> herr_t {
    const std::string description = error->desc ? error->desc : "";
    // of a filter that is missing the innermost is the folder in which it was looked for
    if (n == 0 || description.rfind("required filter", 0) == 0)
      *static_cast<std::string*>(text) = description;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first, &message);
  std::replace(message.begin(), message.end(), '\n', ' ');
  return message.empty() ? "unknown HDF5 error" : message;
}

}  // namespace basin::hdf5
