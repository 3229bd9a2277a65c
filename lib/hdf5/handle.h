/// What the HDF5 library hands out, closed in time.
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

namespace basin::hdf5 {

/// Closes what it holds.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Handle() = default;
  Handle(hid_t id, Close close_function) : id_(id), close_(close_function) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Gives up the handle without closing it.
  void release() { id_ = -1; }
  /// Closes now; negative on failure.
  herr_t close() { return id_ >= 0 ? close_(std::exchange(id_, -1)) : 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// The innermost description of the library's error stack: what actually went wrong.
std::string library_error();

}  // namespace basin::hdf5
