#pragma once

#include <cuda_runtime.h>

namespace cub {

struct DeviceScan {
  template <typename T>
  static cudaError_t ExclusiveSum(void* room, size_t& bytes, const T* from, T* to, int64_t count,
                                  cudaStream_t) {
    bytes = 1;
    if (!room) return cudaSuccess;
    T sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const T value = from[i];
      to[i] = sum;
      sum += value;
    }
    return cudaSuccess;
  }
};

}  // namespace cub
