#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "common/check.h"
#include "common/parallel.h"

namespace steadyview::gaussians {

#ifdef STEADYVIEW_HAS_CUDA
#define STEADYVIEW_GAUSSIANS_CUDA(function) \
  [](const auto& params, void* stream) { return function(params, stream); }
#else
#define STEADYVIEW_GAUSSIANS_CUDA(function)                                           \
  [](const auto&, void*) {                                                            \
    return "built without the CUDA kernels; put nvcc on PATH and run `make install` " \
           "with STEADYVIEW_CUDA=ON";                                                 \
  }
#endif

// Calls cpu(make<float>()) or cpu(make<double>()) with torch's number of threads; for a tensor on a
// GPU cuda(make<float>(), stream), which may return an error.
template <typename Make, typename Cpu, typename Cuda>
void dispatch(const char* op, const at::Tensor& tensor, Make make, Cpu cpu, Cuda cuda) {
  if (tensor.device().is_cpu()) {
    set_num_threads(at::get_num_threads());
    tensor.scalar_type() == at::kFloat ? cpu(make.template operator()<float>())
                                       : cpu(make.template operator()<double>());
    return;
  }
  if (!tensor.device().is_cuda()) {
    check::fail(op, "tensors must be on cpu or cuda, got ", tensor.device());
  }
  if (tensor.scalar_type() != at::kFloat) {
    check::fail(op, "tensors on cuda must be float32, got ", tensor.scalar_type());
  }
  const c10::DeviceGuard guard(tensor.device());
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  void* stream = device.getStreamNativeHandle(device.getStream(tensor.device()));
  const char* error = cuda(make.template operator()<float>(), stream);
  if (error) throw std::runtime_error(std::string(op) + ": CUDA: " + error);
}

}  // namespace steadyview::gaussians
