/// The module _basin: what of the library the Python package is made of. People use the package, which says
/// more.
#include <pybind11/pybind11.h>

#include "basin/linalg/errors.h"
#include "basin/linalg/lapack.h"
#include "common/command/command.h"
#include "native/operators.h"

PYBIND11_MODULE(_basin, m) {
  namespace py = pybind11;
  m.doc() = "The compiled part of the package basin.";
  m.attr("__version__") = basin::tools::version();
  py::register_exception<basin::InputError>(m, "InputError", PyExc_ValueError);
  py::register_exception<basin::WorkError>(m, "WorkError", PyExc_RuntimeError);
  basin::python::define_operators(m);
  basin::python::define_spectra(m);
  basin::python::define_points(m);
  m.def("lapack_is_shared", [] { return basin::lapack::library().shared; });
}
