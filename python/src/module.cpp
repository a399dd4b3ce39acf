// The Python extension module midstream._core: one bind_ function a room.
#include <torch/csrc/utils/pybind.h>

#include "base/error.h"
#include "bind.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core of midstream.";
  midstream::bind_errors(m);
  midstream::bind_model(m);
  midstream::bind_convert(m);
  midstream::bind_probe(m);
  midstream::bind_register(m);
  midstream::bind_train(m);
}
