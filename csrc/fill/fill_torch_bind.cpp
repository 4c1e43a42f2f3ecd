#include <torch/csrc/utils/pybind.h>

#include "fill/fill_op.h"

namespace py = pybind11;

namespace steadyview {

void register_fill(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("fill_holes", &fill_holes, release);
  module.def("fill_holes_backward", &fill_holes_backward, release);
}

}  // namespace steadyview
