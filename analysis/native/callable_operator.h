/// A symmetric operator that is multiplied with in Python.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "basin/linalg/linear_operator.h"

namespace basin::python {

namespace py = pybind11;

/// How the callable wants its vectors.
struct CallingConvention {
  bool columns = false;  ///< (size, k) in Fortran order, not (k, size) in C order: the same bytes
  bool out = false;      ///< it is given `out=`, an array of the shape of the result, to fill
  bool single = false;   ///< float32 in; float32 or float64 out
  Index max_block = 0;   ///< at most so many vectors at once; 0: any number
};

/// Products by calling `multiply` on the calling thread, with the GIL, which the caller may or may not hold.
/// Blocks beyond 1 MB are handed over as they lie in memory, writable as some libraries insist on that;
/// smaller ones are copies. What is handed over is checked afterwards: that it was not changed, and that
/// nobody holds on to it. Results are checked for shape, type and numbers that are not finite.
/// Throws py::error_already_set for whatever Python raises, a pending signal included.
class CallableOperator final : public SelfAdjointOperator {
 public:
  CallableOperator(py::object multiply, Index size, const CallingConvention& convention);
  ~CallableOperator() override;
  CallableOperator(const CallableOperator&) = delete;
  CallableOperator& operator=(const CallableOperator&) = delete;

 private:
  void do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const override;
  void multiply_block(ConstVectorsRef<double> V, VectorsRef<double> out) const;
  /// What came back, checked. in_place: it is `out` already.
  void read(py::object result, VectorsRef<double> out, bool in_place) const;
  py::object call(const py::array& in, const py::object& out) const;

  py::object multiply_;
  CallingConvention convention_;
};

}  // namespace basin::python
