#include <torch/csrc/utils/pybind.h>

#include "warp/warp_op.h"

namespace py = pybind11;

namespace steadyview {

void register_warp_tensors(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("backward_warp", &backward_warp, release);
  module.def("backward_warp_backward", &backward_warp_backward, release);
}

}  // namespace steadyview
