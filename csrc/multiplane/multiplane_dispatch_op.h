#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <limits>
#include <string>

#include "common/check.h"
#include "common/parallel.h"

// A call of a CUDA twin, where the build has them.
#ifdef STEADYVIEW_HAS_CUDA
#define STEADYVIEW_CUDA_CALL(call) call
#else
#define STEADYVIEW_CUDA_CALL(call) static_cast<const char*>(nullptr)
#endif

namespace steadyview::multiplane {

// Source and target pixels are counted in 32 bits.
inline void check_pixels(const char* op, const char* name, int64_t height, int64_t width) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (height < 0 || width < 0 || height > kMost || width > kMost ||
      (width > 0 && height > kMost / width)) {
    check::fail(op, name, " must have at most ", kMost, " pixels, got ", height, " x ", width);
  }
}

// Runs cpu(), or cuda(stream), which may return an error, on the device of `tensor`.
template <typename Cpu, typename Cuda>
void dispatch(const char* op, const at::Tensor& tensor, Cpu cpu, [[maybe_unused]] Cuda cuda) {
  if (tensor.device().is_cpu()) {
    set_num_threads(at::get_num_threads());
    cpu();
    return;
  }
  if (!tensor.device().is_cuda()) {
    check::fail(op, "tensors must be on cpu or cuda, got ", tensor.device());
  }
#ifdef STEADYVIEW_HAS_CUDA
  const c10::DeviceGuard guard(tensor.device());
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  const char* error = cuda(device.getStreamNativeHandle(device.getStream(tensor.device())));
  if (error) throw std::runtime_error(std::string(op) + ": CUDA: " + error);
#else
  throw std::runtime_error(std::string(op) +
                           ": built without the CUDA kernels; put nvcc on PATH and run `make "
                           "install` with STEADYVIEW_CUDA=ON");
#endif
}

template <typename Compute>
void for_type(const at::Tensor& tensor, Compute compute) {
  tensor.scalar_type() == at::kFloat ? compute.template operator()<float>()
                                     : compute.template operator()<double>();
}

}  // namespace steadyview::multiplane
