#pragma once

#include <cmath>
#include <cstdint>

#include "common/sampling.h"

namespace steadyview {

// How source pixels that fall together are put together: their sum, or their mean weighted alike,
// by metric, or by exp(metric); or the one with the least metric (depth).
enum class SplatMode : int { sum, average, linear, softmax, nearest_z };

// Forward splat: pixel s of the image goes to the point s + flow(s) and is shared by the four
// pixels around it (with nearest_z: it covers the one there). All arrays are contiguous. Pixels
// whose flow or metric is not finite, and what falls beyond the image, are left out.
template <typename T>
struct ForwardSplat {
  const T* image;   // (batch, channels, height, width)
  const T* flow;    // (batch, 2, height, width) px, x then y
  const T* metric;  // (batch, height, width); null for sum and average
  const T* offset;  // (batch) largest finite metric of each image; for softmax only
  T* output;        // as image; zero on entry for CUDA
  T* weight;        // (batch, height, width) sum of weights, of a mean 0 where it counts as
                    // nothing; zero on entry for CUDA
  int32_t* index;   // (batch, height, width) source pixel or -1; for nearest_z only
  uint64_t* keys;   // scratch as index, all bits set on entry; for nearest_z on CUDA only
  int64_t batch, channels, height, width;
  SplatMode mode;
};

// Gradients of a loss, given those by the output and (or null) by the weight.
template <typename T>
struct ForwardSplatGradient {
  ForwardSplat<T> forward;  // with its results; those of nearest_z are output and index
  const T* grad_output;
  const T* grad_weight;
  T* scaled;  // scratch (batch, channels + 1, height, width), not for nearest_z
  T* grad_image;
  T* grad_flow;    // zero on entry for nearest_z, which has no slope; as for
  T* grad_metric;  // (null without metric)
};

// The same results for any number of threads.
template <typename T>
void forward_splat_cpu(const ForwardSplat<T>& splat);
template <typename T>
void forward_splat_gradient_cpu(const ForwardSplatGradient<T>& gradient);

// The CUDA twins launch on `stream` (a cudaStream_t) and return null or what went wrong. They sum
// with atomics: the last bits depend on the order. nearest_z compares metrics as float.
template <typename T>
const char* forward_splat_cuda(const ForwardSplat<T>& splat, void* stream);
template <typename T>
const char* forward_splat_gradient_cuda(const ForwardSplatGradient<T>& gradient, void* stream);

namespace splat_maths {  // for both twins

// exp(metric) beyond this below the largest counts as at it: weights stay well above the least.
template <typename T>
constexpr T kMostBelow = sizeof(T) == 4 ? T(40) : T(600);

// In a mean, sums of weights that are not above this count as nothing: 1 / weight stays finite.
template <typename T>
constexpr T kLeastWeight = sizeof(T) == 4 ? T(1e-30) : T(1e-290);

template <typename T>
STEADYVIEW_HOST_DEVICE T inverse_weight(T weight) {
  return weight > kLeastWeight<T> ? T(1) / weight : T(0);
}

// exp to 2e-7 of its value, without a call for float on the CPU.
STEADYVIEW_HOST_DEVICE double exponential(double x) { return std::exp(x); }
STEADYVIEW_HOST_DEVICE float exponential(float x) {  // -87 < x < 88
#if defined(__CUDA_ARCH__)
  return std::exp(x);
#else
  const float halves = x * 1.44269504f, whole = __builtin_floorf(halves + 0.5f);
  const float t = (x - whole * 0.693145752f) - whole * 1.42860677e-6f;  // |t| <= ln(2) / 2
  const float series =
      1 +
      t * (1 + t * (0.5f + t * (0.166666667f +
                                t * (0.0416666667f + t * (0.00833333333f + t * 0.00138888889f)))));
  return series * __builtin_bit_cast(float, (static_cast<int32_t>(whole) + 127) << 23);
#endif
}

// A source pixel's weight and its derivative by the metric.
template <typename T>
struct SplatWeight {
  T value, slope;
};

template <typename T>
STEADYVIEW_HOST_DEVICE SplatWeight<T> splat_weight(SplatMode mode, T metric, T offset) {
  if (mode == SplatMode::linear) {
    return metric > T(0) ? SplatWeight<T>{metric, T(1)} : SplatWeight<T>{T(0), T(0)};
  }
  if (mode == SplatMode::softmax) {
    const T below = metric - offset;
    const bool far = below < -kMostBelow<T>;
    const T value = exponential(far ? -kMostBelow<T> : below);
    return {value, far ? T(0) : value};
  }
  return {T(1), T(0)};
}

STEADYVIEW_HOST_DEVICE bool normalised(SplatMode mode) {
  return mode == SplatMode::average || mode == SplatMode::linear || mode == SplatMode::softmax;
}

template <typename T>
STEADYVIEW_HOST_DEVICE bool is_finite(T a) {
  return a - a == 0;
}

// Where a source pixel goes: the pixel left and above, and how far beyond its centre.
template <typename T>
struct Target {
  int x, y;
  T tx, ty;
  bool valid;
};

template <typename T>
STEADYVIEW_HOST_DEVICE Target<T> splat_target(const ForwardSplat<T>& splat, int64_t n, int64_t row,
                                              int64_t column) {
  const int64_t pixels = splat.height * splat.width, at = row * splat.width + column;
  T x = splat.flow[2 * n * pixels + at], y = splat.flow[(2 * n + 1) * pixels + at];
  const bool valid =
      is_finite(x) && is_finite(y) && (!splat.metric || is_finite(splat.metric[n * pixels + at]));
  constexpr T limit = T(1 << 29);
  x = valid ? (x > -limit ? (x < limit ? x : limit) : -limit) : T(0);
  y = valid ? (y > -limit ? (y < limit ? y : limit) : -limit) : T(0);
  const T half = splat.mode == SplatMode::nearest_z ? T(0.5) : T(0);  // to the pixel it falls in
  const T whole_x = std::floor(x + half), whole_y = std::floor(y + half);
  return {static_cast<int>(whole_x) + static_cast<int>(column),
          static_cast<int>(whole_y) + static_cast<int>(row), x - whole_x, y - whole_y, valid};
}

// A product in which a factor of exactly 0 makes 0 even of what is not finite, as in the splat.
template <typename T>
STEADYVIEW_HOST_DEVICE T times(T factor, T value) {
  return factor == T(0) ? T(0) : factor * value;
}

// Gradients of what the channels of target pixel `at` sum up to before they are divided by their
// weight: written to `scaled`.
template <typename T>
STEADYVIEW_HOST_DEVICE void scale_gradient(const ForwardSplatGradient<T>& gradient, int64_t n,
                                           int64_t at) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t pixels = splat.height * splat.width, channels = splat.channels;
  const T weight = splat.weight[n * pixels + at];
  const bool divided = normalised(splat.mode);
  const T scale = divided ? inverse_weight(weight) : T(1);
  T* out = gradient.scaled + n * (channels + 1) * pixels + at;
  T by_weight = 0;
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t i = (n * channels + c) * pixels + at;
    const T by_sum = times(scale, gradient.grad_output[i]);
    out[c * pixels] = by_sum;
    if (divided) by_weight -= times(by_sum, splat.output[i]);
  }
  if (gradient.grad_weight) by_weight += gradient.grad_weight[n * pixels + at];
  out[channels * pixels] = by_weight;
}

// Gradients by a source pixel, from those of the four pixels that share it.
template <typename T>
STEADYVIEW_HOST_DEVICE void gather_gradient(const ForwardSplatGradient<T>& gradient, int64_t n,
                                            int64_t row, int64_t column) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t pixels = splat.height * splat.width, channels = splat.channels;
  const int64_t at = row * splat.width + column;
  const Target<T> target = splat_target(splat, n, row, column);
  const SplatWeight<T> weight =
      target.valid ? splat_weight(splat.mode, splat.metric ? splat.metric[n * pixels + at] : T(0),
                                  splat.offset ? splat.offset[n] : T(0))
                   : SplatWeight<T>{T(0), T(0)};
  const bool left = target.valid && target.x >= 0 && target.x < splat.width;
  const bool right = target.valid && target.x >= -1 && target.x + 1 < splat.width;
  const bool upper = target.y >= 0 && target.y < splat.height;
  const bool lower = target.y >= -1 && target.y + 1 < splat.height;
  const int64_t first = int64_t{target.y} * splat.width + target.x;
  const T tx = target.tx, ty = target.ty;
  T by_weight = 0, by_x = 0, by_y = 0;
  for (int64_t c = 0; c <= channels; ++c) {
    const T* plane = gradient.scaled + (n * (channels + 1) + c) * pixels;
    // What is not finite counts only for those that have a share in it.
    const auto tap = [&](bool inside, int64_t i, T share) {
      const T value = inside ? plane[first + i] : T(0);
      return share == T(0) && !is_finite(value) ? T(0) : value;
    };
    const T a = tap(left && upper, 0, (T(1) - tx) * (T(1) - ty));
    const T b = tap(right && upper, 1, tx * (T(1) - ty));
    const T d = tap(left && lower, splat.width, (T(1) - tx) * ty);
    const T e = tap(right && lower, splat.width + 1, tx * ty);
    const T value = c < channels ? splat.image[(n * channels + c) * pixels + at] : T(1);
    const T seen = (T(1) - ty) * ((T(1) - tx) * a + tx * b) + ty * ((T(1) - tx) * d + tx * e);
    if (c < channels && gradient.grad_image) {
      gradient.grad_image[(n * channels + c) * pixels + at] = times(weight.value, seen);
    }
    if (!target.valid) continue;
    by_weight += times(seen, value);
    by_x += times((T(1) - ty) * (b - a) + ty * (e - d), value);
    by_y += times((T(1) - tx) * (d - a) + tx * (e - b), value);
  }
  if (gradient.grad_flow) {
    gradient.grad_flow[2 * n * pixels + at] = times(weight.value, by_x);
    gradient.grad_flow[(2 * n + 1) * pixels + at] = times(weight.value, by_y);
  }
  if (gradient.grad_metric) {
    gradient.grad_metric[n * pixels + at] = times(weight.slope, by_weight);
  }
}

// nearest_z: the gradient goes to the pixel that is seen.
template <typename T>
STEADYVIEW_HOST_DEVICE void gather_seen(const ForwardSplatGradient<T>& gradient, int64_t n,
                                        int64_t row, int64_t column) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t pixels = splat.height * splat.width, at = row * splat.width + column;
  const Target<T> target = splat_target(splat, n, row, column);
  const bool inside = target.valid && target.x >= 0 && target.x < splat.width && target.y >= 0 &&
                      target.y < splat.height;
  const int64_t to = inside ? int64_t{target.y} * splat.width + target.x : 0;
  const bool seen = inside && splat.index[n * pixels + to] == at;
  for (int64_t c = n * splat.channels; c < (n + 1) * splat.channels; ++c) {
    gradient.grad_image[c * pixels + at] = seen ? gradient.grad_output[c * pixels + to] : T(0);
  }
}

}  // namespace splat_maths
}  // namespace steadyview
