#pragma once

// Launching of kernels, for *_cuda.cu only.

#include <cuda_runtime.h>

#include <cstdint>

namespace steadyview {

inline constexpr int kThreads = 256;

__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t item_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// Launches kernels one after the other and remembers the first error.
class Launcher {
 public:
  explicit Launcher(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  // A thread an item; kernels walk with item_step().
  template <typename... Params, typename... Arguments>
  void run(void (*kernel)(Params...), int64_t items, const Arguments&... arguments) {
    launch(kernel, (items + kThreads - 1) / kThreads, items == 1 ? 1 : kThreads, arguments...);
  }

  // A block of kThreads an item.
  template <typename... Params, typename... Arguments>
  void run_blocks(void (*kernel)(Params...), int64_t items, const Arguments&... arguments) {
    launch(kernel, items, kThreads, arguments...);
  }

  void fill(void* data, int byte, int64_t bytes) {
    if (error_ == cudaSuccess && bytes > 0)
      error_ = cudaMemsetAsync(data, byte, static_cast<size_t>(bytes), stream_);
  }

  const char* result() const {
    return error_ == cudaSuccess ? nullptr : cudaGetErrorString(error_);
  }

 private:
  template <typename... Params, typename... Arguments>
  void launch(void (*kernel)(Params...), int64_t blocks, int threads,
              const Arguments&... arguments) {
    if (error_ != cudaSuccess || blocks == 0) return;
    const unsigned grid = static_cast<unsigned>(blocks < 65535 ? blocks : 65535);
    kernel<<<grid, threads, 0, stream_>>>(arguments...);
    error_ = cudaGetLastError();
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace steadyview
