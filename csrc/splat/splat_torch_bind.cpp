#include <torch/csrc/utils/pybind.h>

#include "splat/splat_op.h"

namespace py = pybind11;

namespace steadyview {

void register_splat(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("forward_splat", &forward_splat, release);
  module.def("forward_splat_backward", &forward_splat_backward, release);
}

}  // namespace steadyview
