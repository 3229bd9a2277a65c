#include "native/callable_operator.h"

#include <omp.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "native/threads.h"

namespace basin::python {
namespace {

constexpr Index kCopied = Index{1} << 20U;  // bytes up to which a block is copied

/// An array on k vectors of length P that lie one after another: (P, k) in Fortran order or (k, P) in C
/// order.
template <class S>
py::array array_on(const S* data, Index P, Index k, bool columns, py::handle base) {
  constexpr Index bytes = sizeof(S);
  if (columns) return {py::dtype::of<S>(), {P, k}, {bytes, P * bytes}, data, base};
  return {py::dtype::of<S>(), {k, P}, {P * bytes, bytes}, data, base};
}

/// A number that any change of the data changes, most likely.
std::uint64_t fingerprint(const double* data, Index count) {
  std::uint64_t sum[4] = {0, 0, 0, 0};
  for (Index i = 0; i < count; ++i) {
    std::uint64_t bits;
    std::memcpy(&bits, data + i, sizeof bits);
    sum[i % 4] = sum[i % 4] * 3 + bits;
  }
  return sum[0] ^ (sum[1] << 1U) ^ (sum[2] << 2U) ^ (sum[3] << 3U);
}

[[noreturn]] void raise(PyObject* type, const std::string& message) {
  PyErr_SetString(type, message.c_str());
  throw py::error_already_set();
}

std::string text_of(const py::handle& object) {
  return py::str(object).cast<std::string>();
}

/// Memory of ours that Python has seen. Once the call is over nobody may hold on to it.
class Lent {
 public:
  template <class S>
  Lent(const S* data, Index P, Index k, bool columns)
      : array_(array_on(data, P, k, columns, py::capsule(data, [](void*) {}))) {}
  const py::array& array() const { return array_; }

  /// False: an array on it is still there, which is emptied as far as it is known.
  bool returned() {
    if (array_.ref_count() > 1) py::module_::import("gc").attr("collect")();
    if (array_.ref_count() == 1) return true;
    auto* const raw = py::detail::array_proxy(array_.ptr());
    for (int i = 0; i < raw->nd; ++i) raw->dimensions[i] = 0;
    return false;
  }

 private:
  py::array array_;
};

}  // namespace

CallableOperator::CallableOperator(py::object multiply, Index size, const CallingConvention& convention)
    : SelfAdjointOperator(size), multiply_(std::move(multiply)), convention_(convention) {}

CallableOperator::~CallableOperator() {
  const py::gil_scoped_acquire gil;
  multiply_ = py::object();
}

void CallableOperator::do_apply(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  if (omp_in_parallel()) throw WorkError("a Python callable was asked for a product inside a parallel loop");
  const py::gil_scoped_acquire gil;
  const CallersThreads theirs;
  const Index most = convention_.max_block > 0 ? convention_.max_block : V.cols();
  for (Index j = 0; j < V.cols(); j += most) {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    const Index k = std::min(most, V.cols() - j);
    multiply_block(V.middleCols(j, k), out.middleCols(j, k));
  }
}

py::object CallableOperator::call(const py::array& in, const py::object& out) const {
  if (!convention_.out) return multiply_(in);
  return multiply_(in, py::arg("out") = out);
}

void CallableOperator::read(py::object result, VectorsRef<double> out, bool in_place) const {
  const Index P = out.rows(), k = out.cols();
  const bool columns = convention_.columns;
  const py::module_ numpy = py::module_::import("numpy");
  if (!py::isinstance<py::array>(result)) result = numpy.attr("asarray")(result);
  auto array = py::reinterpret_borrow<py::array>(result);
  const Index rows = columns ? P : k, cols = columns ? k : P;
  if (array.ndim() != 2 || array.shape(0) != rows || array.shape(1) != cols)
    raise(PyExc_ValueError, "the operator returned an array of shape " + text_of(array.attr("shape")) +
                                ", expected " + shape_text({rows, cols}));
  const bool float64 = array.dtype().is(py::dtype::of<double>()),
             float32 = array.dtype().is(py::dtype::of<float>());
  if (!float64 && !(convention_.single && float32))
    raise(PyExc_TypeError, "the operator returned numbers of type " + text_of(array.dtype()) +
                               ", expected float64" +
                               (convention_.single ? " or float32"
                                : float32          ? "; say dtype=\"float32\" if that is its precision"
                                                   : ""));
  if (!in_place) {
    const Index far = P * array.itemsize();
    const bool as_ours =
        array.strides(columns ? 0 : 1) == array.itemsize() && array.strides(columns ? 1 : 0) == far;
    if (!as_ours) array = numpy.attr(columns ? "asfortranarray" : "ascontiguousarray")(array);
    if (float64)
      out = Eigen::Map<const Vectors<double>>(static_cast<const double*>(array.data()), P, k);
    else
      out = Eigen::Map<const Vectors<float>>(static_cast<const float*>(array.data()), P, k).cast<double>();
  }
  for (Index j = 0; j < k; ++j) {
    if (out.col(j).allFinite()) continue;
    Index i = 0;
    while (std::isfinite(out(i, j))) ++i;
    raise(PyExc_ValueError, "product " + std::to_string(j) + " of a block of " + std::to_string(k) + " has " +
                                (std::isnan(out(i, j)) ? "NaN" : "an infinite number") + " at entry " +
                                std::to_string(i));
  }
}

void CallableOperator::multiply_block(ConstVectorsRef<double> V, VectorsRef<double> out) const {
  const Index P = V.rows(), k = V.cols();
  const bool columns = convention_.columns, single = convention_.single;
  const bool lend =
      !single && P * k * Index{sizeof(double)} > kCopied && V.outerStride() == P && out.outerStride() == P;
  // What goes in: our memory, or a copy that is Python's own.
  std::optional<Lent> lent_in, lent_out;
  py::array in;
  py::object result_memory = py::none();
  if (lend) {
    in = lent_in.emplace(V.data(), P, k, columns).array();
    if (convention_.out) result_memory = lent_out.emplace(out.data(), P, k, columns).array();
  } else if (single) {
    const Vectors<float> converted = V.cast<float>();
    in = array_on(converted.data(), P, k, columns, {});
  } else {
    const Vectors<double> dense = V;
    in = array_on(dense.data(), P, k, columns, {});
  }
  if (convention_.out && !lent_out) {
    result_memory = single ? py::array(array_on<float>(nullptr, P, k, columns, {}))
                           : py::array(array_on<double>(nullptr, P, k, columns, {}));
  }
  // What is not filled shows.
  if (convention_.out) result_memory.attr("fill")(kNaN);
  const std::uint64_t before = lend ? fingerprint(V.data(), P * k) : 0;

  py::object result;
  try {
    result = call(in, result_memory);
  } catch (py::error_already_set& error) {
    if (lend) {  // the frames of the traceback hold what they were given
      if (error.trace()) py::module_::import("traceback").attr("clear_frames")(error.trace());
      in = py::array();
      result_memory = py::none();
      lent_in->returned();
      if (lent_out) lent_out->returned();
    }
    throw;
  }
  if (convention_.out) {
    if (!result.is_none() && !result.is(result_memory))
      raise(PyExc_TypeError, "the operator was given out= and returned " +
                                 text_of(py::type::of(result).attr("__name__")) + ", expected None or out");
    result = result_memory;
  }
  if (lend && fingerprint(V.data(), P * k) != before)
    raise(PyExc_ValueError, "the operator changed the vectors that it was given; let it work on a copy");

  read(result, out, lent_out && result.is(result_memory));
  result = py::object();
  in = py::array();
  result_memory = py::none();
  if ((lent_in && !lent_in->returned()) || (lent_out && !lent_out->returned()))
    raise(PyExc_ValueError,
          "the operator keeps a reference to an array that it was given, whose memory is used again; "
          "let it keep a copy");
}

}  // namespace basin::python
