#include <torch/csrc/utils/pybind.h>

#include "stereo/stereo_op.h"

namespace py = pybind11;

namespace steadyview {

void register_stereo_tensors(py::module_& module) {
  module.def("plane_sweep", &plane_sweep, py::call_guard<py::gil_scoped_release>());
}

}  // namespace steadyview
