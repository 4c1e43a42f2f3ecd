#include <torch/csrc/utils/pybind.h>

#include "photometric/photometric_op.h"

namespace py = pybind11;

namespace steadyview {

void register_photometric(py::module_& module) {
  module.def("photometric_loss", &photometric_loss, py::call_guard<py::gil_scoped_release>());
}

}  // namespace steadyview
