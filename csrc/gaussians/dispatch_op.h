#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <initializer_list>
#include <optional>

#include "common/check.h"
#include "common/parallel.h"

namespace steadyview::gaussians {

inline void check_size(const char* op, int64_t width, int64_t height) {
  constexpr int64_t most = 1 << 20;
  if (width < 1 || height < 1 || width > most || height > most) {
    check::fail(op, "width and height must be in [1, ", most, "], got ", width, " and ", height);
  }
}

// Of like's dtype and device.
inline void check_argument(const char* op, const char* name, const at::Tensor& tensor,
                           const at::Tensor& like, std::initializer_list<int64_t> sizes) {
  check::like(op, name, tensor, like.scalar_type(), like.device());
  check::shape(op, name, tensor, sizes);
}

inline at::Tensor contiguous(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->contiguous() : at::Tensor();
}

template <typename T>
const T* data(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

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
