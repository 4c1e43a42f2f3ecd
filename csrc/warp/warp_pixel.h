#pragma once

// One output pixel of the backward warp at a time: what CUDA threads do, and the CPU where vectors
// do not serve.

#include "warp/warp.h"

namespace steadyview::warp_maths {

// Whole parts and rests of a source point, relative to the centre of image pixel (0, 0).
template <typename T>
struct Point {
  int x, y;  // x is kHole where the point is not finite
  T tx, ty;
};

template <typename T, typename S>
STEADYVIEW_HOST_DEVICE Point<T> source_point(const BackwardWarp<T, S>& warp, int64_t n, int64_t row,
                                             int64_t column) {
  const Motion<T>& motion = warp.motion;
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t at = 2 * n * pixels + row * warp.output_width + column;
  Point<T> point;
  bool finite;
  if (motion.flow) {
    finite = split(motion.flow[at], &point.x, &point.tx);
    finite = split(motion.flow[at + pixels], &point.y, &point.ty) && finite;
    point.x += static_cast<int>(column);
    point.y += static_cast<int>(row);
  } else if (motion.points) {
    finite = split(motion.points[at] - T(0.5), &point.x, &point.tx);
    finite = split(motion.points[at + pixels] - T(0.5), &point.y, &point.ty) && finite;
  } else {
    const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
    Projected moved = project(motion.source_from_output + 9 * n, x, y);
    if (motion.displacement) {
      // cos((v + 1) a) = 2 cos a cos(v a) - cos((v - 1) a)
      constexpr double pi = 3.14159265358979323846;
      const double cos_x = cos(pi * x / static_cast<double>(warp.output_width));
      const double cos_y = cos(pi * y / static_cast<double>(warp.output_height));
      const int terms = motion.terms;
      const double* c = motion.displacement + 2 * n * terms * terms;
      double basis_y = 1, before_y = cos_y;
      for (int u = 0; u < terms; ++u) {
        double basis_x = 1, before_x = cos_x;
        for (int v = 0; v < terms; ++v) {
          moved.x += c[u * terms + v] * basis_x * basis_y;
          moved.y += c[(terms + u) * terms + v] * basis_x * basis_y;
          const double next = 2 * cos_x * basis_x - before_x;
          before_x = basis_x;
          basis_x = next;
        }
        const double next = 2 * cos_y * basis_y - before_y;
        before_y = basis_y;
        basis_y = next;
      }
    }
    finite = split(moved.x - 0.5, &point.x, &point.tx);
    finite = split(moved.y - 0.5, &point.y, &point.ty) && finite;
  }
  if (!finite) point.x = kHole;
  return point;
}

// Taps of a point: pixels and weights.
template <Filter filter, typename T>
struct Taps {
  static constexpr int count = filter_taps(filter);
  int64_t x[count], line[count];          // of the nearest pixel; line is its row times the width
  bool inside_x[count], inside_y[count];  // false where the tap sees the constant
  T wx[count], wy[count];
};

template <Filter filter, typename T, typename S>
STEADYVIEW_HOST_DEVICE void find_taps(const BackwardWarp<T, S>& warp, const Point<T>& point,
                                      Taps<filter, T>& taps) {
  constexpr int count = Taps<filter, T>::count;
  filter_weights<filter, T>(point.tx, T(1), taps.wx);
  filter_weights<filter, T>(point.ty, T(1), taps.wy);
  const bool constant = warp.border == Border::constant;
  for (int k = 0; k < count; ++k) {
    const int64_t x = int64_t{point.x} + k + 1 - count / 2,
                  y = int64_t{point.y} + k + 1 - count / 2;
    taps.x[k] = tap_index(x, warp.width, warp.border);
    taps.line[k] = tap_index(y, warp.height, warp.border) * warp.width;
    taps.inside_x[k] = !constant || (x >= 0 && x < warp.width);
    taps.inside_y[k] = !constant || (y >= 0 && y < warp.height);
  }
}

// Sum of a plane's taps with these weights; the constant, which may be nan, only where it weighs.
template <Filter filter, typename T, typename S>
STEADYVIEW_HOST_DEVICE T weigh(const S* plane, const Taps<filter, T>& taps, const T* wx,
                               const T* wy, T fill) {
  T sum = 0;
  for (int j = 0; j < taps.count; ++j) {
    T line = 0;
    for (int k = 0; k < taps.count; ++k) {
      const bool inside = taps.inside_x[k] && taps.inside_y[j];
      const T outside = wx[k] == T(0) || wy[j] == T(0) ? T(0) : fill;
      line += wx[k] * (inside ? static_cast<T>(plane[taps.line[j] + taps.x[k]]) : outside);
    }
    sum += wy[j] * line;
  }
  return sum;
}

// Whether the image does not change along x or y around a point: beyond a repeated edge or in the
// constant. Slopes sum to 0 only nearly, which a homography enlarges without bounds far out.
struct Flat {
  bool x, y;
};

template <Filter filter, typename T>
STEADYVIEW_HOST_DEVICE Flat find_flat(Border border, const Taps<filter, T>& taps) {
  if (border == Border::reflect) return {false, false};
  constexpr int last = Taps<filter, T>::count - 1;
  if (border == Border::replicate) {
    return {taps.x[0] == taps.x[last], taps.line[0] == taps.line[last]};
  }
  bool some_x = false, some_y = false;
  for (int k = 0; k <= last; ++k) {
    some_x |= taps.inside_x[k];
    some_y |= taps.inside_y[k];
  }
  return {!some_x || !some_y, !some_x || !some_y};
}

// What is stored of a value: 8-bit samples are rounded and kept in range.
template <typename S, typename T>
STEADYVIEW_HOST_DEVICE S stored(T value) {
  if constexpr (sizeof(S) == 1) {
    const T low = value > T(0) ? value : T(0);  // NaN becomes 0
    return static_cast<S>(std::nearbyint(low < T(255) ? low : T(255)));
  } else {
    return static_cast<S>(value);
  }
}

// All channels of an output pixel.
template <Filter filter, typename T, typename S>
STEADYVIEW_HOST_DEVICE void warp_pixel(const BackwardWarp<T, S>& warp, const Point<T>& point,
                                       int64_t n, int64_t pixel) {
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t first = n * warp.channels, last = first + warp.channels;
  if (point.x == kHole) {
    for (int64_t c = first; c < last; ++c) warp.output[c * pixels + pixel] = stored<S>(warp.fill);
    return;
  }
  Taps<filter, T> taps;
  find_taps(warp, point, taps);
  for (int64_t c = first; c < last; ++c) {
    const S* plane = warp.image + c * warp.height * warp.width;
    warp.output[c * pixels + pixel] = stored<S>(weigh(plane, taps, taps.wx, taps.wy, warp.fill));
  }
}

// The gradient by an output pixel's source point.
template <Filter filter, typename T, typename S>
STEADYVIEW_HOST_DEVICE void pixel_gradient(const BackwardWarpGradient<T, S>& gradient,
                                           const Point<T>& point, int64_t n, int64_t pixel) {
  const BackwardWarp<T, S>& warp = gradient.forward;
  const int64_t pixels = warp.output_height * warp.output_width;
  T by_x = 0, by_y = 0;
  if (point.x != kHole) {
    Taps<filter, T> taps;
    T slopes_x[taps.count], slopes_y[taps.count];
    find_taps(warp, point, taps);
    filter_slopes<filter, T>(point.tx, slopes_x);
    filter_slopes<filter, T>(point.ty, slopes_y);
    for (int64_t c = n * warp.channels; c < (n + 1) * warp.channels; ++c) {
      const S* plane = warp.image + c * warp.height * warp.width;
      const T grad = static_cast<T>(gradient.grad_output[c * pixels + pixel]);
      by_x += grad * weigh(plane, taps, slopes_x, taps.wy, warp.fill);
      by_y += grad * weigh(plane, taps, taps.wx, slopes_y, warp.fill);
    }
    const Flat flat = find_flat(warp.border, taps);
    by_x = flat.x ? T(0) : by_x;
    by_y = flat.y ? T(0) : by_y;
  }
  gradient.grad_points[2 * n * pixels + pixel] = by_x;
  gradient.grad_points[(2 * n + 1) * pixels + pixel] = by_y;
}

// What a pixel adds to grad_terms[k] of its image.
template <typename T, typename S>
STEADYVIEW_HOST_DEVICE double term_gradient(const BackwardWarpGradient<T, S>& gradient, int64_t n,
                                            int64_t row, int64_t column, int64_t k) {
  const BackwardWarp<T, S>& warp = gradient.forward;
  const int64_t pixels = warp.output_height * warp.output_width;
  const T* at = gradient.grad_points + 2 * n * pixels + row * warp.output_width + column;
  const double by_x = at[0], by_y = at[pixels];
  const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
  if (k >= 9) {
    constexpr double pi = 3.14159265358979323846;
    const int64_t terms = warp.motion.terms, u = (k - 9) / terms % terms, v = (k - 9) % terms;
    return (k - 9 < terms * terms ? by_x : by_y) *
           cos(pi * y * static_cast<double>(u) / static_cast<double>(warp.output_height)) *
           cos(pi * x * static_cast<double>(v) / static_cast<double>(warp.output_width));
  }
  const Projected moved = project(warp.motion.source_from_output + 9 * n, x, y);
  const double scale = moved.by_w < 0 ? -moved.by_w : moved.by_w;
  const double by_q = k < 3            ? by_x * scale
                      : k < 6          ? by_y * scale
                      : moved.by_w < 0 ? 0.0
                                       : -(by_x * moved.x + by_y * moved.y) * scale;
  return by_q * (k % 3 == 0 ? x : k % 3 == 1 ? y : 1.0);
}

}  // namespace steadyview::warp_maths
