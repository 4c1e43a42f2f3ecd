#pragma once

// The part of CUDA that our kernels use, run on the CPU one thread after the other, so that tests
// can run the CUDA twins without a GPU. Not fast, and not a proof: memory of host and device is
// one, and threads never run at the same time.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads)
#define __shared__ static  // blocks run one after the other

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;  // one kernel runs at a time

namespace cuda_on_host {

// Runs thread() for every thread of every block. Threads wait for each other in the functions
// below; when they never meet there, the program ends with a message.
void run(unsigned blocks, unsigned threads, const std::function<void()>& thread);

// Waits for all threads of the block that have not ended; true when `value` was, for all of them.
bool meet_block(bool value);

// Waits for all 32 threads of the warp, which must not have ended; the words that they brought.
const uint64_t* meet_warp(uint64_t word);

template <typename T>
T of_lane(T value, unsigned lane) {
  uint64_t word = 0;
  static_assert(sizeof(T) <= sizeof(word));
  std::memcpy(&word, &value, sizeof(T));
  const uint64_t* words = meet_warp(word);
  std::memcpy(&value, words + lane % 32, sizeof(T));
  return value;
}

}  // namespace cuda_on_host

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
using cudaStream_t = struct CudaStream*;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const unsigned threads = config->blockDim.x;
  if (threads == 0 || threads > 1024 || config->gridDim.x == 0) {
    return cudaErrorInvalidConfiguration;
  }
  cuda_on_host::run(config->gridDim.x, threads, [&] { kernel(arguments...); });
  return cudaSuccess;
}

inline cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  *data = std::malloc(bytes);
  if (!*data) return cudaErrorMemoryAllocation;
  std::memset(*data, 0xa5, bytes);  // what is read before it is written shows
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  std::free(data);
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* data, int byte, size_t bytes, cudaStream_t) {
  std::memset(data, byte, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                                   cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "invalid configuration argument";
}

inline void __syncthreads() { cuda_on_host::meet_block(true); }
inline int __syncthreads_and(int value) { return cuda_on_host::meet_block(value != 0); }
inline int __any_sync(unsigned, int value) {
  const uint64_t* words = cuda_on_host::meet_warp(value != 0);
  return std::any_of(words, words + 32, [](uint64_t word) { return word != 0; });
}
template <typename T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = threadIdx.x % 32;
  return cuda_on_host::of_lane(value, lane + delta < 32 ? lane + delta : lane);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return cuda_on_host::of_lane(value, threadIdx.x % 32 ^ mask);
}

template <typename T>
T atomicAdd(T* place, T value) {
  const T old = *place;
  *place = old + value;
  return old;
}
template <typename T>
T atomicMin(T* place, T value) {
  const T old = *place;
  *place = value < old ? value : old;
  return old;
}

// Compiled without contraction, so that plain operations round as these do.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
inline float __uint_as_float(unsigned value) { return __builtin_bit_cast(float, value); }

using std::max;
using std::min;
