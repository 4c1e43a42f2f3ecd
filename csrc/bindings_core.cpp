// steadyview._core: NumPy in and out, no torch.
#include <pybind11/pybind11.h>

#include "common/isa.h"
#include "common/parallel.h"

namespace steadyview {

void register_trajectory(pybind11::module_& module);
void register_motion(pybind11::module_& module);
void register_warp(pybind11::module_& module);
void register_matching(pybind11::module_& module);

}  // namespace steadyview

PYBIND11_MODULE(_core, module) {
  module.doc() = "Kernels of steadyview that take NumPy arrays";
  module.def("set_num_threads", &steadyview::set_num_threads, pybind11::arg("count"));
  module.def("num_threads", &steadyview::num_threads);
  module.def("active_isa", [] { return steadyview::isa_name(steadyview::active_isa()); });
  module.attr("compiler") = __VERSION__;
  steadyview::register_trajectory(module);
  steadyview::register_motion(module);
  steadyview::register_warp(module);
  steadyview::register_matching(module);
}
