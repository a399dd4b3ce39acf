// midstream::Error as Python exceptions: midstream._core.Error and one subclass a kind.
#include "base/error.h"
#include "bind.h"

namespace py = pybind11;

namespace midstream {

void bind_errors(py::module_& m) {
  static PyObject* base = PyErr_NewException("midstream.Error", PyExc_Exception, nullptr);
  m.attr("Error") = py::handle(base);
  static PyObject* kinds[6];
  for (ErrorKind kind : {ErrorKind::Unsupported, ErrorKind::BadFile, ErrorKind::BadData, ErrorKind::Mismatch,
                         ErrorKind::Usage, ErrorKind::Internal}) {
    std::string name = std::string(to_string(kind)) + "Error";
    PyObject* type = PyErr_NewException(("midstream." + name).c_str(), base, nullptr);
    kinds[static_cast<int>(kind)] = type;
    m.attr(name.c_str()) = py::handle(type);
  }
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& error) {
      PyErr_SetString(kinds[static_cast<int>(error.kind())], error.what());
    }
  });
}

}  // namespace midstream
