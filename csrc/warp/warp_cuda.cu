#include <cuda_runtime.h>

#include "warp/warp.h"

namespace steadyview {
namespace {

using namespace warp_maths;

constexpr int kThreads = 256;

struct AtomicAdd {
  template <typename T>
  __device__ void operator()(T* pixel, T value) const {
    atomicAdd(pixel, value);
  }
};

// A thread an output pixel, all its channels.
template <Filter filter, typename T>
__global__ void forward(BackwardWarp<T> warp) {
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < warp.batch * pixels; i += step) {
    const int64_t n = i / pixels, pixel = i % pixels;
    Taps<filter, T> taps;
    find_taps<filter>(warp, n, pixel / warp.output_width, pixel % warp.output_width, taps,
                      static_cast<T*>(nullptr), static_cast<T*>(nullptr));
    for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
      const T* plane = warp.image + c * warp.height * warp.width;
      warp.output[c * pixels + pixel] = weigh(plane, taps, taps.wx, taps.wy);
    }
  }
}

template <Filter filter, typename T>
__global__ void gradients(BackwardWarpGradient<T> gradient) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < warp.batch * pixels; i += step) {
    const int64_t n = i / pixels, pixel = i % pixels;
    Taps<filter, T> taps;
    T slopes_x[Taps<filter, T>::count], slopes_y[Taps<filter, T>::count];
    find_taps<filter>(warp, n, pixel / warp.output_width, pixel % warp.output_width, taps, slopes_x,
                      slopes_y);
    double by_x = 0, by_y = 0;
    for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
      const T grad = gradient.grad_output[c * pixels + pixel];
      if (gradient.grad_points) {
        const T* plane = warp.image + c * warp.height * warp.width;
        by_x += double{grad} * weigh(plane, taps, slopes_x, taps.wy);
        by_y += double{grad} * weigh(plane, taps, taps.wx, slopes_y);
      }
      if (!gradient.grad_image) continue;
      T* plane = gradient.grad_image + c * warp.height * warp.width;
      scatter(plane, grad, taps, AtomicAdd{});
    }
    if (gradient.grad_points) {
      gradient.grad_points[2 * i] = by_x;
      gradient.grad_points[2 * i + 1] = by_y;
    }
  }
}

template <typename Params>
const char* launch(void (*kernel)(Params), const Params& params, int64_t items, void* stream) {
  if (items == 0) return nullptr;
  const int64_t blocks = (items + kThreads - 1) / kThreads;
  const unsigned grid = static_cast<unsigned>(blocks < 65535 ? blocks : 65535);
  kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(params);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace

template <typename T>
const char* backward_warp_cuda(const BackwardWarp<T>& warp, void* stream) {
  const auto kernel = warp.filter == Filter::bilinear  ? forward<Filter::bilinear, T>
                      : warp.filter == Filter::bicubic ? forward<Filter::bicubic, T>
                                                       : forward<Filter::catmull_rom, T>;
  return launch(kernel, warp, warp.batch * warp.output_height * warp.output_width, stream);
}

template <typename T>
const char* backward_warp_gradient_cuda(const BackwardWarpGradient<T>& gradient, void* stream) {
  const BackwardWarp<T>& warp = gradient.forward;
  const auto kernel = warp.filter == Filter::bilinear  ? gradients<Filter::bilinear, T>
                      : warp.filter == Filter::bicubic ? gradients<Filter::bicubic, T>
                                                       : gradients<Filter::catmull_rom, T>;
  return launch(kernel, gradient, warp.batch * warp.output_height * warp.output_width, stream);
}

template const char* backward_warp_cuda(const BackwardWarp<float>&, void*);
template const char* backward_warp_cuda(const BackwardWarp<double>&, void*);
template const char* backward_warp_gradient_cuda(const BackwardWarpGradient<float>&, void*);
template const char* backward_warp_gradient_cuda(const BackwardWarpGradient<double>&, void*);

}  // namespace steadyview
