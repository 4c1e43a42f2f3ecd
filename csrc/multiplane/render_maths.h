#pragma once

// Bilinear sampling of planes through homographies, for both twins.

#include <cmath>

#include "common/sampling.h"
#include "multiplane/multiplane.h"

namespace steadyview::multiplane {

inline constexpr double kSmallestW = 1e-9;

// Where a plane is sampled: the upper left of four pixels, which may lie outside, and the rests.
template <typename T>
struct Sample {
  int64_t x, y;
  T tx, ty;
};

template <typename T>
STEADYVIEW_HOST_DEVICE const T* plane_of(const MultiplaneRender<T>& r, int64_t n, int64_t d) {
  return r.planes + (n * r.depths + d) * r.channels * r.height * r.width;
}

// False where the plane is not seen.
template <typename T>
STEADYVIEW_HOST_DEVICE bool place(const MultiplaneRender<T>& r, const double* m, int64_t column,
                                  int64_t row, Sample<T>* sample) {
  const double u = static_cast<double>(column) + 0.5, v = static_cast<double>(row) + 0.5;
  const double w = m[6] * u + m[7] * v + m[8];
  if (!(w > kSmallestW)) return false;
  const double x = (m[0] * u + m[1] * v + m[2]) / w - 0.5;
  const double y = (m[3] * u + m[4] * v + m[5]) / w - 0.5;
  if (!(x > -1 && y > -1 && x < static_cast<double>(r.width) && y < static_cast<double>(r.height)))
    return false;
  const double fx = floor(x), fy = floor(y);
  *sample = {static_cast<int64_t>(fx), static_cast<int64_t>(fy), static_cast<T>(x - fx),
             static_cast<T>(y - fy)};
  return true;
}

template <typename T>
STEADYVIEW_HOST_DEVICE T tap(const MultiplaneRender<T>& r, const T* plane, int64_t c, int64_t x,
                             int64_t y) {
  return x >= 0 && x < r.width && y >= 0 && y < r.height ? plane[(c * r.height + y) * r.width + x]
                                                         : T(0);
}

template <typename T>
STEADYVIEW_HOST_DEVICE T read(const MultiplaneRender<T>& r, const T* plane, int64_t c,
                              const Sample<T>& s) {
  const T above = (1 - s.tx) * tap(r, plane, c, s.x, s.y) + s.tx * tap(r, plane, c, s.x + 1, s.y);
  const T below =
      (1 - s.tx) * tap(r, plane, c, s.x, s.y + 1) + s.tx * tap(r, plane, c, s.x + 1, s.y + 1);
  return (1 - s.ty) * above + s.ty * below;
}

// add(pixel, value) for the taps of a sample whose gradient is `grad`.
template <typename T, typename Add>
STEADYVIEW_HOST_DEVICE void scatter(const MultiplaneRender<T>& r, T* plane, int64_t c,
                                    const Sample<T>& s, T grad, Add add) {
  for (int j = 0; j < 2; ++j) {
    for (int k = 0; k < 2; ++k) {
      const int64_t x = s.x + k, y = s.y + j;
      if (x < 0 || x >= r.width || y < 0 || y >= r.height) continue;
      add(plane + (c * r.height + y) * r.width + x,
          grad * (k ? s.tx : 1 - s.tx) * (j ? s.ty : 1 - s.ty));
    }
  }
}

// Adds the gradient by the sampling point.
template <typename T>
STEADYVIEW_HOST_DEVICE void add_slopes(const MultiplaneRender<T>& r, const T* plane, int64_t c,
                                       const Sample<T>& s, T grad, double* by_x, double* by_y) {
  const T a = tap(r, plane, c, s.x, s.y), b = tap(r, plane, c, s.x + 1, s.y);
  const T e = tap(r, plane, c, s.x, s.y + 1), f = tap(r, plane, c, s.x + 1, s.y + 1);
  *by_x += static_cast<double>(grad) * ((1 - s.ty) * (b - a) + s.ty * (f - e));
  *by_y += static_cast<double>(grad) * ((1 - s.tx) * (e - a) + s.tx * (f - b));
}

// Chain rule of (q0 / q2, q1 / q2), q = m (u, v, 1).
STEADYVIEW_HOST_DEVICE void add_matrix_gradient(const double* m, int64_t column, int64_t row,
                                                double by_x, double by_y, double* sums) {
  const double p[3] = {static_cast<double>(column) + 0.5, static_cast<double>(row) + 0.5, 1};
  double q[3];
  for (int i = 0; i < 3; ++i) q[i] = m[3 * i] * p[0] + m[3 * i + 1] * p[1] + m[3 * i + 2] * p[2];
  const double by_q[3] = {by_x / q[2], by_y / q[2], -(by_x * q[0] + by_y * q[1]) / (q[2] * q[2])};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) sums[3 * i + j] += by_q[i] * p[j];
  }
}

}  // namespace steadyview::multiplane
