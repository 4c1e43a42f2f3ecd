#pragma once

// What the CUDA kernels of this room share. For *_cuda.cu only.

#pragma nv_diag_suppress 1675  // GCC pragmas of shared headers

#include "common/launch.h"

namespace steadyview::gaussians {
namespace {

constexpr unsigned kWholeWarp = 0xffffffffu;

// Remembers the first error of a row of calls on one stream; after it nothing more is launched.
class Queue {
 public:
  explicit Queue(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  cudaStream_t stream() const { return stream_; }
  bool good() const { return error_ == cudaSuccess; }
  const char* message() const { return good() ? nullptr : cudaGetErrorString(error_); }
  void check(cudaError_t error) {
    if (good()) error_ = error;
  }
  void zero(void* data, size_t bytes) {
    if (good() && bytes > 0) check(cudaMemsetAsync(data, 0, bytes, stream_));
  }
  // A thread an item, in blocks of kThreads.
  template <typename... Parameters, typename... Arguments>
  void each(int64_t items, void (*kernel)(Parameters...), const Arguments&... arguments) {
    blocks((items + kThreads - 1) / kThreads, kThreads, kernel, arguments...);
  }
  template <typename... Parameters, typename... Arguments>
  void blocks(int64_t grid, int threads, void (*kernel)(Parameters...),
              const Arguments&... arguments) {
    if (!good() || grid == 0) return;
    if (grid > 0x7fffffff) {
      check(cudaErrorInvalidConfiguration);
      return;
    }
    check(launch_blocks(kernel, grid, threads, stream_, arguments...));
  }

 private:
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

// Memory for one call, taken and given back in the stream's order.
template <typename T>
class Scratch {
 public:
  Scratch(Queue& queue, int64_t count) : queue_(queue) {
    const size_t bytes = static_cast<size_t>(count > 0 ? count : 1) * sizeof(T);
    if (queue.good()) {
      queue.check(cudaMallocAsync(reinterpret_cast<void**>(&data_), bytes, queue.stream()));
    }
  }
  ~Scratch() {
    if (data_) cudaFreeAsync(data_, queue_.stream());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }

 private:
  Queue& queue_;
  T* data_ = nullptr;
};

// The sum over a warp, in lane 0.
template <typename T>
__device__ T warp_sum(T value) {
  for (int half = 16; half > 0; half /= 2) value += __shfl_down_sync(kWholeWarp, value, half);
  return value;
}

}  // namespace
}  // namespace steadyview::gaussians
