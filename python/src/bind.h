#pragma once

#include <torch/csrc/utils/pybind.h>

namespace midstream {

void bind_convert(pybind11::module_& m);
void bind_errors(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_probe(pybind11::module_& m);
void bind_register(pybind11::module_& m);
void bind_train(pybind11::module_& m);

}  // namespace midstream
