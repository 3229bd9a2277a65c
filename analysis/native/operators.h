/// Operators that Python holds: its own, and ours.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <mutex>

#include "basin/linalg/linear_operator.h"
#include "native/threads.h"

namespace basin::python {

namespace py = pybind11;

/// Vectors as rows, (k, size) in C order: the bytes of our own blocks, size x k.
using Rows = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// Whatever NumPy makes an array of, if its numbers are real. Throws py::type_error for others, complex ones
/// say.
Rows rows_from(const py::object& V, const char* what);

/// V as a block of ours, without a copy. Throws InputError unless it is (k, size), or (size,) for one.
Eigen::Map<const Vectors<double>> block_of(const Rows& V, Index size, const char* what);

/// A block as an array of rows (k, size) that has taken its memory.
py::array rows_of(Vectors<double>&& block);
/// Numbers, (n,).
py::array numbers_of(const Vector<double>& values);

/// While work of ours goes on: without the GIL, alone with what the locks guard, with our number of threads.
class Working {
 public:
  explicit Working(std::recursive_mutex& lock) : Working(lock, lock) {}
  Working(std::recursive_mutex& first, std::recursive_mutex& second) : alone_(first, second) {}

 private:
  py::gil_scoped_release released_;  // before waiting: who has the lock may need the GIL
  std::scoped_lock<std::recursive_mutex, std::recursive_mutex> alone_;
  OurThreads threads_;
};

/// Throws what Python makes of signals that came in, Ctrl-C say. Without the GIL.
void raise_signals();

/// A symmetric operator.
class BoundOperator {
 public:
  virtual ~BoundOperator() = default;
  virtual const SelfAdjointOperator& get() const = 0;
  /// The same with other roundings (EigenOptions::perturbed); null where that has to be measured by
  /// evaluating it again, as of what somebody else computes.
  virtual const SelfAdjointOperator* perturbed() { return nullptr; }
  std::recursive_mutex& lock() { return *lock_; }

  Index size() const { return get().rows(); }
  py::array apply(const py::object& vectors);

 protected:
  explicit BoundOperator(std::shared_ptr<std::recursive_mutex> lock) : lock_(std::move(lock)) {}

 private:
  std::shared_ptr<std::recursive_mutex> lock_;
};

void define_operators(py::module_& m);
void define_spectra(py::module_& m);
void define_points(py::module_& m);

}  // namespace basin::python
