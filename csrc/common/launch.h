#pragma once

// Launching of kernels, for *_cuda.cu only.

#include <cuda_runtime.h>

#include <cstdint>

namespace steadyview {

inline constexpr int kThreads = 256;
inline constexpr int64_t kMostBlocks = 65535;

__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t item_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// Launches a kernel on a row of blocks.
template <typename... Params, typename... Arguments>
cudaError_t launch_blocks(void (*kernel)(Params...), int64_t blocks, int threads,
                          cudaStream_t stream, const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>(blocks);
  config.blockDim = static_cast<unsigned>(threads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// Launches kernels one after the other and remembers the first error.
class Launcher {
 public:
  explicit Launcher(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  // A thread an item; kernels walk with item_step().
  template <typename... Params, typename... Arguments>
  void run(void (*kernel)(Params...), int64_t items, const Arguments&... arguments) {
    launch(kernel, (items + kThreads - 1) / kThreads, items == 1 ? 1 : kThreads, arguments...);
  }

  // A block of `threads` an item; kernels walk with gridDim.x.
  template <typename... Params, typename... Arguments>
  void run_blocks(void (*kernel)(Params...), int64_t items, int threads,
                  const Arguments&... arguments) {
    launch(kernel, items, threads, arguments...);
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
    error_ = launch_blocks(kernel, blocks < kMostBlocks ? blocks : kMostBlocks, threads, stream_,
                           arguments...);
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace steadyview
