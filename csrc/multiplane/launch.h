#pragma once

// Launching of kernels, for *_cuda.cu only.

#include <cuda_runtime.h>

#include <cstdint>

namespace steadyview::multiplane {

inline constexpr int kThreads = 256;

__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t item_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// Launches kernels one after the other and remembers the first error.
class Launcher {
 public:
  explicit Launcher(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  template <typename... Params, typename... Arguments>
  void run(void (*kernel)(Params...), int64_t items, const Arguments&... arguments) {
    if (error_ != cudaSuccess || items == 0) return;
    const int64_t blocks = (items + kThreads - 1) / kThreads;
    const unsigned grid = static_cast<unsigned>(blocks < 65535 ? blocks : 65535);
    kernel<<<grid, items == 1 ? 1 : kThreads, 0, stream_>>>(arguments...);
    error_ = cudaGetLastError();
  }

  void fill(void* data, int byte, int64_t bytes) {
    if (error_ == cudaSuccess && bytes > 0)
      error_ = cudaMemsetAsync(data, byte, static_cast<size_t>(bytes), stream_);
  }

  const char* result() const {
    return error_ == cudaSuccess ? nullptr : cudaGetErrorString(error_);
  }

 private:
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace steadyview::multiplane
