#include <torch/csrc/utils/pybind.h>

#include "depth/depth_op.h"

namespace py = pybind11;

namespace steadyview {

void register_depth(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("guided_filter", &guided_filter, release);
  module.def("smooth_depth", &smooth_depth, release);
}

}  // namespace steadyview
