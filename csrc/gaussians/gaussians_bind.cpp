#include <torch/csrc/utils/pybind.h>

#include "gaussians/gaussians_op.h"

namespace py = pybind11;

namespace steadyview {

void register_gaussians(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("project_gaussians", &project_gaussians, release);
  module.def("project_gaussians_backward", &project_gaussians_backward, release);
  module.def("evaluate_harmonics", &evaluate_harmonics, release);
  module.def("evaluate_harmonics_backward", &evaluate_harmonics_backward, release);
  py::class_<RasterState, std::shared_ptr<RasterState>>(module, "RasterState");
  module.def("rasterize_gaussians", &rasterize_gaussians, release);
  module.def("rasterize_gaussians_backward", &rasterize_gaussians_backward, release);
  module.def("find_gaussian_contributors", &find_contributors, release);
  module.def("gather_gradients", &gather_gradients, release);
  module.def("shade_gaussians", &shade_gaussians, release);
  module.def("adam_step", &adam_step, release);
  module.def("harmonics_adam_step", &harmonics_adam_step, release);
}

}  // namespace steadyview
