// steadyview._C: tensors in and out. Calls each room's register function, and nothing else.
#include <pybind11/pybind11.h>

#include "common/torch_threads.h"

namespace steadyview {

void register_depth(pybind11::module_& module);
void register_fill(pybind11::module_& module);
void register_gaussians(pybind11::module_& module);
void register_stereo_tensors(pybind11::module_& module);
void register_multiplane(pybind11::module_& module);
void register_photometric(pybind11::module_& module);
void register_splat(pybind11::module_& module);
void register_warp_tensors(pybind11::module_& module);

}  // namespace steadyview

PYBIND11_MODULE(_C, module) {
  module.doc() = "Tensor kernels of steadyview";
  module.attr("torch_version") = STEADYVIEW_TORCH_VERSION;
#ifdef STEADYVIEW_HAS_CUDA
  module.attr("has_cuda") = true;
#else
  module.attr("has_cuda") = false;
#endif
  steadyview::use_torch_threads();
  steadyview::register_depth(module);
  steadyview::register_fill(module);
  steadyview::register_gaussians(module);
  steadyview::register_stereo_tensors(module);
  steadyview::register_multiplane(module);
  steadyview::register_photometric(module);
  steadyview::register_splat(module);
  steadyview::register_warp_tensors(module);
}
