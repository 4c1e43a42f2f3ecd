#pragma once

#include <cmath>
#include <cstdint>

#include "common/sampling.h"

namespace steadyview {

// Forward splat of points that know their depth. A point spreads over the four pixels around it
// with bilinear weights. In each pixel only those count that lie at most `tolerance` behind the
// nearest (of the points that weigh at least a quarter there, if there are any); what is shown is
// their weighted mean. Arrays are contiguous. T is float or double.
template <typename T>
struct DepthSplat {
  const T* image;   // (batch, channels, points)
  const T* places;  // (batch, views, 3, points): x, y in px of the view, depth; holes have none > 0
  T* output;        // (batch, views, channels, height, width), 0 where empty
  T* depth;         // (batch, views, height, width), 0 where empty
  T* weight;        // likewise: the sum of the weights
  T* limit;         // likewise: the depth up to which points count, 0 where empty
  int64_t batch, views, channels, points, height, width;
  double tolerance;  // share of the nearest depth
};

template <typename T>
struct DepthSplatGradient {
  DepthSplat<T> forward;  // with what it wrote
  const T* grad_output;
  const T* grad_depth;
  const T* grad_weight;
  T* grad_image;   // as image; or null
  T* grad_places;  // as places
};

template <typename T>
void depth_splat_cpu(const DepthSplat<T>& splat);
template <typename T>
void depth_splat_gradient_cpu(const DepthSplatGradient<T>& gradient);

// The CUDA twins launch on `stream` and return null or what went wrong. The splat is summed with
// atomics: its last bits depend on the order. nearest is scratch (batch * views * height * width).
template <typename T>
const char* depth_splat_cuda(const DepthSplat<T>& splat, uint32_t* nearest, void* stream);
template <typename T>
const char* depth_splat_gradient_cuda(const DepthSplatGradient<T>& gradient, void* stream);

namespace multiplane {

// The pixels around a point, and their weights.
template <typename T>
struct Footprint {
  int64_t x, y;  // upper left pixel; may be -1
  T tx, ty;
};

// A point counts in pixels where it weighs this.
template <typename T>
constexpr T kLeastShare = T(1e-6);

// False for holes and for what lies outside.
template <typename T>
STEADYVIEW_HOST_DEVICE bool find_footprint(const DepthSplat<T>& s, const T* places, int64_t i,
                                           Footprint<T>* footprint) {
  const T x = places[i] - T(0.5), y = places[s.points + i] - T(0.5), z = places[2 * s.points + i];
  if (!(z > 0 && z <= T(3.402823466e38) && x > -1 && y > -1 && x < static_cast<T>(s.width) &&
        y < static_cast<T>(s.height))) {
    return false;
  }
  const T fx = floor(x), fy = floor(y);
  *footprint = {static_cast<int64_t>(fx), static_cast<int64_t>(fy), x - fx, y - fy};
  return true;
}

// pixel(index, weight, slope_x, slope_y) for each of the up to four pixels that a point reaches in
// rows [first_row, last_row) with at least this weight.
template <typename T, typename Pixel>
STEADYVIEW_HOST_DEVICE void for_pixels(const DepthSplat<T>& s, const Footprint<T>& f,
                                       int64_t first_row, int64_t last_row, T least, Pixel pixel) {
  for (int j = 0; j < 2; ++j) {
    const int64_t y = f.y + j;
    const T wy = j ? f.ty : 1 - f.ty;
    if (y < first_row || y >= last_row) continue;
    for (int k = 0; k < 2; ++k) {
      const int64_t x = f.x + k;
      const T wx = k ? f.tx : 1 - f.tx;
      if (x < 0 || x >= s.width || wx * wy < least) continue;
      pixel(y * s.width + x, wx * wy, k ? wy : -wy, j ? wx : -wx);
    }
  }
}

// What is least for the point that a pixel shows: one that weighs enough, then the nearest. Depths
// are compared as floats.
template <typename T>
STEADYVIEW_HOST_DEVICE uint32_t splat_key(T z, T weight) {
  const float depth = static_cast<float>(z);
  return __builtin_bit_cast(uint32_t, depth) | (weight < T(0.25) ? uint32_t{1} << 31 : 0);
}

inline constexpr uint32_t kNoKey = ~uint32_t{0};

// Up to which depth the points of a pixel count; a little more than float's rounding is allowed.
template <typename T>
STEADYVIEW_HOST_DEVICE T depth_limit(uint32_t key, double tolerance) {
  if (key == kNoKey) return 0;
  const float nearest = __builtin_bit_cast(float, key & 0x7FFFFFFFu);
  return static_cast<T>(nearest * (1 + tolerance + 2e-7));
}

// Whether a point counts in a pixel with this limit.
STEADYVIEW_HOST_DEVICE bool counts(double z, double limit, double tolerance) {
  return z <= limit && z * (1 + tolerance) >= limit * (1 - tolerance) * (1 - 4e-7);
}

// Gradients by the colours and the place of point i of view `view`.
template <typename T>
STEADYVIEW_HOST_DEVICE void point_gradient(const DepthSplatGradient<T>& g, int64_t view,
                                           int64_t i) {
  const DepthSplat<T>& s = g.forward;
  const int64_t size = s.height * s.width, n = view / s.views;
  const T* places = s.places + view * 3 * s.points;
  T* by_place = g.grad_places + view * 3 * s.points + i;
  T by_x = 0, by_y = 0, by_z = 0;
  Footprint<T> footprint;
  if (find_footprint(s, places, i, &footprint)) {
    const T z = places[2 * s.points + i];
    // Also pixels where it weighs nothing yet: else a point on a centre would have no slope.
    for_pixels(s, footprint, 0, s.height, T(0), [&](int64_t pixel, T weight, T slope_x, T slope_y) {
      const int64_t at = view * size + pixel;
      if (!(s.weight[at] > 0) || !counts(z, s.limit[at], s.tolerance)) return;
      const T share = 1 / s.weight[at];
      T by_weight = g.grad_weight[at] + g.grad_depth[at] * share * (z - s.depth[at]);
      by_z += g.grad_depth[at] * share * weight;
      for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t channel = (view * s.channels + c) * size + pixel;
        const T grad = g.grad_output[channel] * share;
        by_weight += grad * (s.image[(n * s.channels + c) * s.points + i] - s.output[channel]);
        if (g.grad_image) g.grad_image[(n * s.channels + c) * s.points + i] += grad * weight;
      }
      by_x += by_weight * slope_x;
      by_y += by_weight * slope_y;
    });
  }
  by_place[0] = by_x;
  by_place[s.points] = by_y;
  by_place[2 * s.points] = by_z;
}

}  // namespace multiplane
}  // namespace steadyview
