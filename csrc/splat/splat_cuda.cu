#include "common/launch.h"
#include "splat/splat.h"

namespace steadyview {
namespace {

using namespace splat_maths;

// A thread a source pixel: adds to the four pixels around where it goes.
template <typename T>
__global__ void add_pixels(ForwardSplat<T> splat) {
  const int64_t pixels = splat.height * splat.width;
  for (int64_t i = first_item(); i < splat.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, at = i % pixels;
    const Target<T> target = splat_target(splat, n, at / splat.width, at % splat.width);
    if (!target.valid) continue;
    const T weight = splat_weight(splat.mode, splat.metric ? splat.metric[i] : T(0),
                                  splat.offset ? splat.offset[n] : T(0))
                         .value;
    for (int k = 0; k < 4; ++k) {
      const int64_t x = int64_t{target.x} + k % 2, y = int64_t{target.y} + k / 2;
      if (x < 0 || x >= splat.width || y < 0 || y >= splat.height) continue;
      const T share =
          weight * (k % 2 ? target.tx : T(1) - target.tx) * (k / 2 ? target.ty : T(1) - target.ty);
      if (share == T(0)) continue;  // not even of a value that is not finite
      const int64_t to = y * splat.width + x;
      atomicAdd(splat.weight + n * pixels + to, share);
      for (int64_t c = n * splat.channels; c < (n + 1) * splat.channels; ++c) {
        atomicAdd(splat.output + c * pixels + to, share * splat.image[c * pixels + at]);
      }
    }
  }
}

template <typename T>
__global__ void divide(ForwardSplat<T> splat) {
  const int64_t pixels = splat.height * splat.width;
  for (int64_t i = first_item(); i < splat.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, at = i % pixels;
    const T scale = inverse_weight(splat.weight[i]);
    if (scale == T(0)) splat.weight[i] = T(0);
    for (int64_t c = n * splat.channels; c < (n + 1) * splat.channels; ++c) {
      splat.output[c * pixels + at] *= scale;
    }
  }
}

// Depths whose order is that of their bits, above the source pixel: the least is seen.
template <typename T>
__global__ void find_nearest(ForwardSplat<T> splat) {
  const int64_t pixels = splat.height * splat.width;
  for (int64_t i = first_item(); i < splat.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, at = i % pixels;
    const Target<T> target = splat_target(splat, n, at / splat.width, at % splat.width);
    if (!target.valid || target.x < 0 || target.x >= splat.width || target.y < 0 ||
        target.y >= splat.height) {
      continue;
    }
    const float depth = static_cast<float>(splat.metric[i]) + 0.0f;  // -0 is 0
    const unsigned bits = __float_as_uint(depth);
    const unsigned order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    const unsigned long long key = static_cast<unsigned long long>(order) << 32 | at;
    atomicMin(reinterpret_cast<unsigned long long*>(splat.keys) + n * pixels +
                  int64_t{target.y} * splat.width + target.x,
              key);
  }
}

template <typename T>
__global__ void show_nearest(ForwardSplat<T> splat) {
  const int64_t pixels = splat.height * splat.width;
  for (int64_t i = first_item(); i < splat.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, at = i % pixels;
    const uint64_t key = splat.keys[i];
    const bool seen = key != ~uint64_t{0};
    const int64_t from = static_cast<int64_t>(key & 0xFFFFFFFFu);
    splat.index[i] = seen ? static_cast<int32_t>(from) : -1;
    splat.weight[i] = seen ? T(1) : T(0);
    for (int64_t c = n * splat.channels; c < (n + 1) * splat.channels; ++c) {
      splat.output[c * pixels + at] = seen ? splat.image[c * pixels + from] : T(0);
    }
  }
}

template <typename T>
__global__ void scale_gradients(ForwardSplatGradient<T> gradient) {
  const int64_t pixels = gradient.forward.height * gradient.forward.width;
  for (int64_t i = first_item(); i < gradient.forward.batch * pixels; i += item_step()) {
    scale_gradient(gradient, i / pixels, i % pixels);
  }
}

template <typename T>
__global__ void gather_gradients(ForwardSplatGradient<T> gradient) {
  const int64_t width = gradient.forward.width, pixels = gradient.forward.height * width;
  for (int64_t i = first_item(); i < gradient.forward.batch * pixels; i += item_step()) {
    const int64_t n = i / pixels, at = i % pixels;
    if (gradient.forward.mode == SplatMode::nearest_z) {
      gather_seen(gradient, n, at / width, at % width);
    } else {
      gather_gradient(gradient, n, at / width, at % width);
    }
  }
}

}  // namespace

template <typename T>
const char* forward_splat_cuda(const ForwardSplat<T>& splat, void* stream) {
  const int64_t items = splat.batch * splat.height * splat.width;
  const bool nearest = splat.mode == SplatMode::nearest_z;
  Launcher launcher(stream);
  launcher.run(nearest ? find_nearest<T> : add_pixels<T>, items, splat);
  if (nearest || normalised(splat.mode)) {
    launcher.run(nearest ? show_nearest<T> : divide<T>, items, splat);
  }
  return launcher.result();
}

template <typename T>
const char* forward_splat_gradient_cuda(const ForwardSplatGradient<T>& gradient, void* stream) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t items = splat.batch * splat.height * splat.width;
  Launcher launcher(stream);
  if (splat.mode != SplatMode::nearest_z) launcher.run(scale_gradients<T>, items, gradient);
  launcher.run(gather_gradients<T>, items, gradient);
  return launcher.result();
}

#define STEADYVIEW_INSTANTIATE(T)                                         \
  template const char* forward_splat_cuda(const ForwardSplat<T>&, void*); \
  template const char* forward_splat_gradient_cuda(const ForwardSplatGradient<T>&, void*)
STEADYVIEW_INSTANTIATE(float);
STEADYVIEW_INSTANTIATE(double);

}  // namespace steadyview
