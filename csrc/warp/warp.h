#pragma once

#include <cmath>
#include <cstdint>

#include "common/sampling.h"

namespace steadyview {

// Backward warp of images: output(p) = image(source_from_output p + displacement(p)), for pixel
// centres p = (x + 0.5, y + 0.5). All arrays are contiguous. T is float or double.
template <typename T>
struct BackwardWarp {
  const T* image;                    // (batch, channels, height, width)
  const double* source_from_output;  // (batch, 3, 3), w about 1 at the output's centre
  const double* displacement;        // (batch, 2, terms, terms) cosine coefficients in px, or null
  T* output;                         // (batch, channels, output_height, output_width)
  int64_t batch, channels, height, width, output_height, output_width;
  int terms;
  Filter filter;  // not lanczos3
  bool zeros;     // taps beyond the image are 0; else they repeat its edge
};

// Gradients of a loss, given its gradient by the output.
template <typename T>
struct BackwardWarpGradient {
  BackwardWarp<T> forward;  // output is not used
  const T* grad_output;     // as output
  T* grad_image;            // as image, zero on entry; or null
  double* grad_points;      // (batch, output_height, output_width, 2) by the source point; or null
};

template <typename T>
void backward_warp_cpu(const BackwardWarp<T>& warp);
template <typename T>
void backward_warp_gradient_cpu(const BackwardWarpGradient<T>& gradient);

// The CUDA twins launch on `stream` (a cudaStream_t) and return null or what went wrong. They sum
// grad_image with atomics: the last bits depend on the order.
template <typename T>
const char* backward_warp_cuda(const BackwardWarp<T>& warp, void* stream);
template <typename T>
const char* backward_warp_gradient_cuda(const BackwardWarpGradient<T>& gradient, void* stream);

namespace warp_maths {  // for both twins

// Taps and weights of an output pixel.
template <Filter filter, typename T>
struct Taps {
  static constexpr int count = filter_taps(filter);
  int64_t x[count], line[count];  // of the nearest pixel; line is its row times the width
  T wx[count], wy[count];         // 0 beyond the image when that counts as zeros
};

// The source point of pixel (column, row), relative to the centre of image pixel (0, 0).
template <typename T>
STEADYVIEW_HOST_DEVICE void source_point(const BackwardWarp<T>& warp, int64_t n, int64_t row,
                                         int64_t column, double* point) {
  const double* m = warp.source_from_output + 9 * n;
  const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
  const double w = m[6] * x + m[7] * y + m[8];
  const double scale = 1 / (w < 1e-6 ? 1e-6 : w);
  point[0] = (m[0] * x + m[1] * y + m[2]) * scale - 0.5;
  point[1] = (m[3] * x + m[4] * y + m[5]) * scale - 0.5;
  if (!warp.displacement) return;
  // cos((v + 1) a) = 2 cos a cos(v a) - cos((v - 1) a)
  constexpr double pi = 3.14159265358979323846;
  const double cos_x = cos(pi * x / static_cast<double>(warp.output_width));
  const double cos_y = cos(pi * y / static_cast<double>(warp.output_height));
  const int terms = warp.terms;
  const double* c = warp.displacement + 2 * terms * terms * n;
  double basis_y = 1, before_y = cos_y;
  for (int u = 0; u < terms; ++u) {
    double basis_x = 1, before_x = cos_x;
    for (int v = 0; v < terms; ++v) {
      point[0] += c[u * terms + v] * basis_x * basis_y;
      point[1] += c[(terms + u) * terms + v] * basis_x * basis_y;
      const double next = 2 * cos_x * basis_x - before_x;
      before_x = basis_x;
      basis_x = next;
    }
    const double next = 2 * cos_y * basis_y - before_y;
    before_y = basis_y;
    basis_y = next;
  }
}

// Whole part and rest of a coordinate. NaN stays in the rest, and so reaches the output.
template <typename T>
STEADYVIEW_HOST_DEVICE int64_t split(double x, T* rest) {
  const double near = x > -1e9 ? (x < 1e9 ? x : 1e9) : -1e9;
  const double whole = floor(near);
  *rest = static_cast<T>(x != x ? x : near - whole);
  return static_cast<int64_t>(whole);
}

// Indices of an axis's taps. Where the image ends and zeros begin, weights become 0.
template <int count, typename T>
STEADYVIEW_HOST_DEVICE void place_taps(int64_t first, int64_t size, int64_t step, bool zeros,
                                       int64_t* index, T* weights, T* slopes) {
  for (int k = 0; k < count; ++k) {
    const int64_t i = first + k;
    const int64_t near = i < 0 ? 0 : i >= size ? size - 1 : i;
    index[k] = near * step;
    if (!zeros || near == i) continue;
    weights[k] = 0;
    if (slopes) slopes[k] = 0;
  }
}

// With `slopes`, also the derivatives of the weights by the point.
template <Filter filter, typename T>
STEADYVIEW_HOST_DEVICE void find_taps(const BackwardWarp<T>& warp, int64_t n, int64_t row,
                                      int64_t column, Taps<filter, T>& taps, T* slopes_x,
                                      T* slopes_y) {
  constexpr int count = Taps<filter, T>::count;
  double point[2];
  source_point(warp, n, row, column, point);
  T tx, ty;
  const int64_t ix = split(point[0], &tx), iy = split(point[1], &ty);
  filter_weights<filter, T>(tx, T(1), taps.wx);
  filter_weights<filter, T>(ty, T(1), taps.wy);
  if (slopes_x) {
    filter_slopes<filter, T>(tx, slopes_x);
    filter_slopes<filter, T>(ty, slopes_y);
  }
  place_taps<count>(ix + 1 - count / 2, warp.width, 1, warp.zeros, taps.x, taps.wx, slopes_x);
  place_taps<count>(iy + 1 - count / 2, warp.height, warp.width, warp.zeros, taps.line, taps.wy,
                    slopes_y);
}

// Sum of a plane's taps with these weights.
template <Filter filter, typename T>
STEADYVIEW_HOST_DEVICE T weigh(const T* plane, const Taps<filter, T>& taps, const T* wx,
                               const T* wy) {
  T sum = 0;
  for (int j = 0; j < taps.count; ++j) {
    T line = 0;
    for (int k = 0; k < taps.count; ++k) line += wx[k] * plane[taps.line[j] + taps.x[k]];
    sum += wy[j] * line;
  }
  return sum;
}

// Adds what a pixel's gradient is to the pixels it came from.
template <Filter filter, typename T, typename Add>
STEADYVIEW_HOST_DEVICE void scatter(T* plane, T grad, const Taps<filter, T>& taps, Add add) {
  for (int j = 0; j < taps.count; ++j) {
    const T part = grad * taps.wy[j];
    for (int k = 0; k < taps.count; ++k) add(plane + taps.line[j] + taps.x[k], part * taps.wx[k]);
  }
}

}  // namespace warp_maths
}  // namespace steadyview
