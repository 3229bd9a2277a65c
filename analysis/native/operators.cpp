#include "native/operators.h"

#include "basin/linalg/errors.h"
#include "basin/linalg/words.h"
#include "native/callable_operator.h"

namespace basin::python {
namespace {

/// A callable of Python.
class ForeignOperator final : public BoundOperator {
 public:
  ForeignOperator(py::object multiply, Index size, const CallingConvention& convention)
      : BoundOperator(std::make_shared<std::recursive_mutex>()),
        operator_(std::move(multiply), size, convention) {}
  const SelfAdjointOperator& get() const override { return operator_; }

 private:
  CallableOperator operator_;
};

}  // namespace

Rows rows_from(const py::object& V, const char* what) {
  const py::array found = py::module_::import("numpy").attr("asarray")(V);
  if (const char kind = found.dtype().kind(); kind != 'f' && kind != 'i' && kind != 'u')
    throw py::type_error(std::string(what) + ": found numbers of type " +
                         py::str(found.dtype()).cast<std::string>() + ", expected real numbers");
  return Rows(found);
}

Eigen::Map<const Vectors<double>> block_of(const Rows& V, Index size, const char* what) {
  const bool one = V.ndim() == 1;
  if ((!one && V.ndim() != 2) || V.shape(V.ndim() - 1) != size) {
    std::vector<Index> shape(V.shape(), V.shape() + V.ndim());
    throw InputError(std::string(what) + ": found an array of shape " + shape_text(shape) +
                     ", expected (k, " + std::to_string(size) + ") or (" + std::to_string(size) + ",)");
  }
  return {V.data(), size, one ? 1 : V.shape(0)};
}

void raise_signals() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

py::array rows_of(Vectors<double>&& block) {
  auto* const kept = new Vectors<double>(std::move(block));
  const py::capsule owner(kept, [](void* memory) { delete static_cast<Vectors<double>*>(memory); });
  const Index P = kept->rows(), k = kept->cols();
  constexpr Index bytes = sizeof(double);
  return {py::dtype::of<double>(), {k, P}, {P * bytes, bytes}, kept->data(), owner};
}

py::array numbers_of(const Vector<double>& values) {
  return py::array_t<double>(values.size(), values.data());
}

py::array BoundOperator::apply(const py::object& vectors) {
  const Rows V = rows_from(vectors, "vectors");
  const auto block = block_of(V, size(), "vectors");
  Vectors<double> out(size(), block.cols());
  {
    const Working work(lock());
    get().apply(block, out);
  }
  py::array rows = rows_of(std::move(out));
  return V.ndim() == 1 ? rows.reshape({size()}) : rows;
}

void define_operators(py::module_& m) {
  py::class_<BoundOperator, std::shared_ptr<BoundOperator>>(m, "Operator")
      .def(
          py::init([](py::object multiply, Index size, bool columns, bool out, bool single, Index max_block) {
            return std::shared_ptr<BoundOperator>(std::make_shared<ForeignOperator>(
                std::move(multiply), size, CallingConvention{columns, out, single, max_block}));
          }),
          py::arg("multiply"), py::arg("size"), py::kw_only(), py::arg("columns") = false,
          py::arg("out") = false, py::arg("single") = false, py::arg("max_block") = 0)
      .def_property_readonly("size", &BoundOperator::size)
      .def_property_readonly("products", [](const BoundOperator& of) { return of.get().products(); })
      .def("apply", &BoundOperator::apply, py::arg("V"));
  m.def("set_threads", &set_threads, py::arg("threads"));
  m.def("threads", &threads);
  watch_forks();
}

}  // namespace basin::python
