#pragma once

#include <cmath>
#include <cstdint>

#include "common/sampling.h"

namespace steadyview {

// 16-bit floats as they are stored, for CUDA: IEEE's and the upper half of a float.
struct Half16 {
  uint16_t bits;
};
struct Brain16 {
  uint16_t bits;
};

// What lies beyond the image: its edge repeated, a constant, or its mirror image (dcba|abcd|dcba).
enum class Border : int { replicate, constant, reflect };

// Where output pixels look. One of flow, points and source_from_output is given.
template <typename T>
struct Motion {
  const T* flow;    // (batch, 2, output_height, output_width) px from the pixel's centre, x then y
  const T* points;  // the same, from the image's corner
  const double* source_from_output;  // (batch, 3, 3), w about 1 at the output's centre
  const double* displacement;  // (batch, 2, terms, terms) cosine coefficients in px, or null: added
  int terms;                   // to what source_from_output gives
};

// Backward warp of images: output(p) = image(source point of p), for pixel centres
// p = (x + 0.5, y + 0.5). All arrays are contiguous. T (float or double) computes, S is stored: T,
// uint8_t, or on CUDA also Half16 or Brain16. Pixels whose source point is not finite become
// `fill`.
template <typename T, typename S = T>
struct BackwardWarp {
  const S* image;  // (batch, channels, height, width)
  S* output;       // (batch, channels, output_height, output_width)
  Motion<T> motion;
  int64_t batch, channels, height, width, output_height, output_width;  // up to kLargestSide
  Filter filter;
  Border border;
  T fill;  // the constant
};

// Gradients of a loss, given its gradient by the output.
template <typename T, typename S = T>
struct BackwardWarpGradient {
  BackwardWarp<T, S> forward;  // output is not used
  const S* grad_output;        // as output
  T* grad_image;               // as image, zero on entry; or null
  T* grad_points;      // (batch, 2, output_height, output_width) by the source point; or null
  double* grad_terms;  // (batch, warp_terms) by the matrix, then the displacement; or null. Needs
                       // grad_points.
};

inline constexpr int64_t kLargestSide = int64_t{1} << 28;

// Matrix elements and coefficients of a motion.
template <typename T>
int64_t warp_terms(const Motion<T>& motion) {
  return 9 + (motion.displacement ? 2 * int64_t{motion.terms} * motion.terms : 0);
}

// The same results for any number of threads.
template <typename T, typename S>
void backward_warp_cpu(const BackwardWarp<T, S>& warp);
template <typename T>
void backward_warp_gradient_cpu(const BackwardWarpGradient<T>& gradient);

// The CUDA twins launch on `stream` (a cudaStream_t) and return null or what went wrong. They sum
// grad_image with atomics: the last bits depend on the order. T, S: as above.
template <typename T, typename S>
const char* backward_warp_cuda(const BackwardWarp<T, S>& warp, void* stream);
template <typename T, typename S>
const char* backward_warp_gradient_cuda(const BackwardWarpGradient<T, S>& gradient, void* stream);

namespace warp_maths {  // for both twins

constexpr int kHole = -(1 << 30);  // the column of a source point that is not finite

// Whole part and rest of a coordinate in pixels; false for what is not finite.
template <typename T, typename X>
STEADYVIEW_HOST_DEVICE bool split(X x, int* whole, T* rest) {
  constexpr X limit = X(1 << 29);
  const bool finite = x - x == 0;
  const X some = finite ? x : X(0);
  const X above = some > -limit ? some : -limit;
  const X near = above < limit ? above : limit;
  const X floored = std::floor(near);
  *whole = static_cast<int>(floored);
  *rest = static_cast<T>(near - floored);
  return finite;
}

// A matrix applied to a pixel's centre. What lies behind the camera goes infinitely far.
struct Projected {
  double x, y, by_w;  // by_w: 1 / w, negative where w was raised
};
constexpr double kSmallestW = 1e-6;

STEADYVIEW_HOST_DEVICE Projected project(const double* m, double x, double y) {
  const double w = m[6] * x + m[7] * y + m[8];
  const double scale = 1 / (w < kSmallestW ? kSmallestW : w);
  return {(m[0] * x + m[1] * y + m[2]) * scale, (m[3] * x + m[4] * y + m[5]) * scale,
          w < kSmallestW ? -scale : scale};
}

// Mirror image of an index: 0 <= result < size.
template <typename I>
STEADYVIEW_HOST_DEVICE I reflected(I i, I size) {
  const I period = 2 * size, rest = i % period, positive = rest < 0 ? rest + period : rest;
  return positive < size ? positive : period - 1 - positive;
}

// The pixel of an image that tap i sees.
STEADYVIEW_HOST_DEVICE int64_t tap_index(int64_t i, int64_t size, Border border) {
  if (i >= 0 && i < size) return i;
  if (border == Border::reflect) return reflected(i, size);
  return i < 0 ? 0 : size - 1;
}

}  // namespace warp_maths
}  // namespace steadyview
