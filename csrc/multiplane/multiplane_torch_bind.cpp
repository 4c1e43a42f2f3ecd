#include <torch/csrc/utils/pybind.h>

#include "multiplane/multiplane_op.h"

namespace py = pybind11;

namespace steadyview {

void register_multiplane(py::module_& module) {
  const py::call_guard<py::gil_scoped_release> release;
  module.def("multiplane_project", &multiplane_project, release);
  module.def("multiplane_project_backward", &multiplane_project_backward, release);
  module.def("multiplane_render", &multiplane_render, release);
  module.def("multiplane_render_backward", &multiplane_render_backward, release);
  module.def("depth_splat", &depth_splat, release);
  module.def("depth_splat_backward", &depth_splat_backward, release);
}

}  // namespace steadyview
