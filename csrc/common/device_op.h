#pragma once

// Running a kernel on the device of a tensor. For *_op.cpp and *_op.h only.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <stdexcept>
#include <string>

#include "common/check.h"
#include "common/huge_pages.h"
#include "common/parallel.h"

// A call of a CUDA twin, which returns an error or null; that it is not there, where it is not.
#ifdef STEADYVIEW_HAS_CUDA
#define STEADYVIEW_CUDA_CALL(call) call
#else
#define STEADYVIEW_CUDA_CALL(call) steadyview::kNoCuda
#endif

namespace steadyview {

inline constexpr const char* kNoCuda =
    "built without the CUDA kernels; put nvcc on PATH and run `make install` with "
    "STEADYVIEW_CUDA=ON";

// A build for tests, in which the CUDA twins run on the CPU.
#ifdef STEADYVIEW_CUDA_ON_HOST
inline constexpr bool kCudaOnHost = true;
#else
inline constexpr bool kCudaOnHost = false;
#endif

// Whether the CPU's kernels get a tensor of this device.
inline bool for_cpu_kernels(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && !kCudaOnHost;
}

// A result that was just allocated, on huge pages where it is large and the CPU's, as numpy's
// arrays are: malloc returns such memory to the system between calls, and every call would fault it
// in.
inline at::Tensor on_huge_pages(at::Tensor fresh) {
  if (fresh.device().is_cpu() && fresh.nbytes() >= 2 * kHugePage) {
    ask_for_huge_pages(fresh.mutable_data_ptr(), fresh.nbytes());
  }
  return fresh;
}

inline void report(const char* op, const char* error) {
  if (error) throw std::runtime_error(std::string(op) + ": CUDA: " + error);
}

// Runs cpu() with torch's number of threads, or cuda(stream), which may return an error. `name` is
// what a message calls the tensor.
template <typename Cpu, typename Cuda>
void on_device(const char* op, const char* name, const at::Tensor& tensor, Cpu cpu, Cuda cuda) {
  if (tensor.device().is_cpu()) {
    set_num_threads(at::get_num_threads());
    kCudaOnHost ? report(op, cuda(nullptr)) : cpu();
    return;
  }
  if (!tensor.device().is_cuda()) {
    check::fail(op, name, " must be on cpu or cuda, got ", tensor.device());
  }
  const c10::DeviceGuard guard(tensor.device());
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  report(op, cuda(device.getStreamNativeHandle(device.getStream(tensor.device()))));
}

}  // namespace steadyview
