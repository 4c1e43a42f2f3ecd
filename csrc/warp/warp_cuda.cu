#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "common/launch.h"
#include "warp/warp_pixel.h"

namespace steadyview {
namespace {

using namespace warp_maths;

// What kernels call the types of the interface.
template <typename S>
using Stored = std::conditional_t<std::is_same_v<S, Half16>, __half,
                                  std::conditional_t<std::is_same_v<S, Brain16>, __nv_bfloat16, S>>;

// A thread an output pixel, all its channels.
template <Filter filter, typename T, typename S>
__global__ void forward(BackwardWarp<T, S> warp) {
  const int64_t pixels = warp.output_height * warp.output_width;
  for (int64_t i = first_item(); i < warp.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, pixel = i % pixels;
    const Point<T> point =
        source_point(warp, n, pixel / warp.output_width, pixel % warp.output_width);
    warp_pixel<filter>(warp, point, n, pixel);
  }
}

template <Filter filter, typename T, typename S>
__global__ void gradients(BackwardWarpGradient<T, S> gradient) {
  const BackwardWarp<T, S>& warp = gradient.forward;
  const int64_t pixels = warp.output_height * warp.output_width;
  for (int64_t i = first_item(); i < warp.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, pixel = i % pixels;
    const Point<T> point =
        source_point(warp, n, pixel / warp.output_width, pixel % warp.output_width);
    if (gradient.grad_points) pixel_gradient<filter>(gradient, point, n, pixel);
    if (!gradient.grad_image || point.x == kHole) continue;
    Taps<filter, T> taps;
    find_taps(warp, point, taps);
    for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
      T* plane = gradient.grad_image + c * warp.height * warp.width;
      const T grad = static_cast<T>(gradient.grad_output[c * pixels + pixel]);
      for (int j = 0; j < taps.count; ++j) {
        if (!taps.inside_y[j]) continue;
        for (int k = 0; k < taps.count; ++k) {
          if (!taps.inside_x[k]) continue;
          atomicAdd(plane + taps.line[j] + taps.x[k], grad * taps.wy[j] * taps.wx[k]);
        }
      }
    }
  }
}

// A block a term of an image: sums in a fixed order.
template <typename T, typename S>
__global__ void sum_terms(BackwardWarpGradient<T, S> gradient, int64_t terms) {
  __shared__ double sums[kThreads];
  const BackwardWarp<T, S>& warp = gradient.forward;
  const int64_t pixels = warp.output_height * warp.output_width;
  for (int64_t i = blockIdx.x; i < warp.batch * terms; i += gridDim.x) {
    double sum = 0;
    for (int64_t pixel = threadIdx.x; pixel < pixels; pixel += kThreads) {
      sum += term_gradient(gradient, i / terms, pixel / warp.output_width,
                           pixel % warp.output_width, i % terms);
    }
    sums[threadIdx.x] = sum;
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) gradient.grad_terms[i] = sums[0];
    __syncthreads();
  }
}

template <typename T, typename S>
BackwardWarp<T, Stored<S>> as_stored(const BackwardWarp<T, S>& warp) {
  using D = Stored<S>;
  return {reinterpret_cast<const D*>(warp.image),
          reinterpret_cast<D*>(warp.output),
          warp.motion,
          warp.batch,
          warp.channels,
          warp.height,
          warp.width,
          warp.output_height,
          warp.output_width,
          warp.filter,
          warp.border,
          warp.fill};
}

}  // namespace

template <typename T, typename S>
const char* backward_warp_cuda(const BackwardWarp<T, S>& warp, void* stream) {
  using D = Stored<S>;
  const auto kernel = warp.filter == Filter::bilinear      ? forward<Filter::bilinear, T, D>
                      : warp.filter == Filter::bicubic     ? forward<Filter::bicubic, T, D>
                      : warp.filter == Filter::catmull_rom ? forward<Filter::catmull_rom, T, D>
                                                           : forward<Filter::lanczos3, T, D>;
  Launcher launcher(stream);
  launcher.run(kernel, warp.batch * warp.output_height * warp.output_width, as_stored(warp));
  return launcher.result();
}

template <typename T, typename S>
const char* backward_warp_gradient_cuda(const BackwardWarpGradient<T, S>& gradient, void* stream) {
  using D = Stored<S>;
  const BackwardWarp<T, S>& warp = gradient.forward;
  const auto kernel = warp.filter == Filter::bilinear      ? gradients<Filter::bilinear, T, D>
                      : warp.filter == Filter::bicubic     ? gradients<Filter::bicubic, T, D>
                      : warp.filter == Filter::catmull_rom ? gradients<Filter::catmull_rom, T, D>
                                                           : gradients<Filter::lanczos3, T, D>;
  const BackwardWarpGradient<T, D> params{
      as_stored(warp), reinterpret_cast<const D*>(gradient.grad_output), gradient.grad_image,
      gradient.grad_points, gradient.grad_terms};
  Launcher launcher(stream);
  launcher.run(kernel, warp.batch * warp.output_height * warp.output_width, params);
  const int64_t terms = warp_terms(warp.motion);
  if (gradient.grad_terms) {
    launcher.run_blocks(sum_terms<T, D>, warp.batch * terms, kThreads, params, terms);
  }
  return launcher.result();
}

#define STEADYVIEW_INSTANTIATE(T, S) \
  template const char* backward_warp_cuda(const BackwardWarp<T, S>&, void*)
#define STEADYVIEW_INSTANTIATE_BOTH(T, S) \
  STEADYVIEW_INSTANTIATE(T, S);           \
  template const char* backward_warp_gradient_cuda(const BackwardWarpGradient<T, S>&, void*)
STEADYVIEW_INSTANTIATE(float, uint8_t);
STEADYVIEW_INSTANTIATE_BOTH(float, float);
STEADYVIEW_INSTANTIATE_BOTH(double, double);
STEADYVIEW_INSTANTIATE_BOTH(float, Half16);
STEADYVIEW_INSTANTIATE_BOTH(float, Brain16);

}  // namespace steadyview
