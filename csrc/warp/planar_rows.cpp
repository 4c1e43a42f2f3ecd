// Rows of the planar warp; compiled once for each instruction set.
//
// Sixteen output pixels in a row (a group) see source points on a parabola (planar_points.h), and
// are made in vectors (planar_lanes.h) or one by one. Horizontal sums are exact in integers
// (weights carry 15 bits), the vertical sum is in float.

#include "warp/planar_lanes.h"
#include "warp/planar_points.h"

namespace steadyview::planar::STEADYVIEW_ISA {
namespace {

STEADYVIEW_HOST_DEVICE float fused_scalar(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// One pixel at (ix + tx, iy + ty), 0 <= tx, ty <= 1.
template <typename T, Filter filter>
void warp_pixel(const PlaneWarp& plane, int64_t ix, int64_t iy, float tx, float ty, T* out) {
  constexpr int taps = filter_taps(filter), rest = taps / 2;
  float fx[taps], wy[taps];
  filter_weights<filter, float>(tx, -kOne, fx);
  filter_weights<filter, float>(ty, -1 / kOne, wy);
  int wx[taps], left_over = -static_cast<int>(kOne);
  for (int k = 0; k < taps; ++k) {
    wx[k] = static_cast<int>(__builtin_lrintf(fx[k]));
    if (k != rest) left_over -= wx[k];
  }
  wx[rest] = most(left_over, -static_cast<int>(kOne));
  float sum = 0;
  for (int r = 0; r < taps; ++r) {
    const int64_t y = bounded<int64_t>(iy + r + 1 - taps / 2, 0, plane.source_height - 1);
    const T* line = reinterpret_cast<const T*>(static_cast<const uint8_t*>(plane.source) +
                                               y * plane.source_stride);
    int64_t h = 0;
    for (int k = 0; k < taps; ++k) {
      const int64_t x = bounded<int64_t>(ix + k + 1 - taps / 2, 0, plane.source_width - 1);
      h += static_cast<int64_t>(line[x]) * wx[k];
    }
    sum = fused_scalar(static_cast<float>(h), wy[r], sum);
  }
  const float limit = static_cast<float>(plane.max_value);
  *out = static_cast<T>(__builtin_lrintf(least(most(sum, 0.0f), limit)));
}

template <typename T, Filter filter>
void warp_exactly(const PlaneWarp& plane, int64_t row, int64_t first, int64_t last,
                  const double* terms, T* line) {
  for (int64_t x = first; x < last; ++x) {
    double point[2];
    exact_point(plane, x, row, terms, point);
    const double fx = __builtin_floor(point[0]), fy = __builtin_floor(point[1]);
    warp_pixel<T, filter>(plane, static_cast<int64_t>(fx), static_cast<int64_t>(fy),
                          static_cast<float>(point[0] - fx), static_cast<float>(point[1] - fy),
                          line + x);
  }
}

template <typename T, Filter filter>
void warp_group_scalar(const PlaneWarp& plane, const RowPlan& plan, int64_t g, int count, T* out) {
  const AxisPlan &x = plan.axis[0], &y = plan.axis[1];
  for (int i = 0; i < count; ++i) {
    const float f = static_cast<float>(i);
    const float u = fused_scalar(f, fused_scalar(f, x.bend[g], x.slope[g]), x.part[g]);
    const float v = fused_scalar(f, fused_scalar(f, y.bend[g], y.slope[g]), y.part[g]);
    const float fu = __builtin_floorf(u), fv = __builtin_floorf(v);
    warp_pixel<T, filter>(plane, x.whole[g] + static_cast<int64_t>(fu),
                          y.whole[g] + static_cast<int64_t>(fv), u - fu, v - fv, out + i);
  }
}

// Whether the vector code serves this plane: offsets are 32-bit numbers, gathers read four bytes.
template <typename T>
bool use_lanes(const PlaneWarp& plane) {
#if defined(__AVX2__)
  constexpr int64_t bytes = sizeof(T), limit = int64_t{1} << 31;
  const int64_t size = plane.source_height * plane.source_stride;
  return plane.source_width * bytes >= 4 && size < limit && plane.source_stride > 0;
#else
  (void)plane;
  return false;
#endif
}

template <typename T, Filter filter>
void warp_rows_of(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
                  int64_t last) {
  double terms[2 * 32];
  RowPlan plan;
  [[maybe_unused]] double* rest = lay_out(plan, tables.groups, scratch);
  const bool lanes = use_lanes<T>(plane);
#if defined(__AVX2__)
  FetchPlan fetches;
  lay_out(fetches, tables.groups, rest);
#endif
  for (int64_t row = first; row < last; ++row) {
    T* line = reinterpret_cast<T*>(static_cast<uint8_t*>(plane.output) + row * plane.output_stride);
    if (plane.displacement) row_terms(plane, row, terms);
    if (tables.exact) {
      warp_exactly<T, filter>(plane, row, 0, plane.output_width, terms, line);
      continue;
    }
    plan_row(plane, tables, row, terms, plan);
#if defined(__AVX2__)
    if (lanes) {
      plan_fetches<T, filter_taps(filter)>(plane, plan, fetches);
      warp_row<T, filter>(plane, plan, fetches, line);
    }
#endif
    for (int64_t g = 0; g < tables.groups; ++g) {
      const int count = group_size(plane, g);
      if (plan.far[g]) {
        warp_exactly<T, filter>(plane, row, g * kGroup, g * kGroup + count, terms, line);
      } else if (!lanes) {
        warp_group_scalar<T, filter>(plane, plan, g, count, line + g * kGroup);
      }
    }
  }
}

template <typename T>
void warp_rows_as(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
                  int64_t last) {
  const auto rows = plane.filter == Filter::bilinear      ? warp_rows_of<T, Filter::bilinear>
                    : plane.filter == Filter::bicubic     ? warp_rows_of<T, Filter::bicubic>
                    : plane.filter == Filter::catmull_rom ? warp_rows_of<T, Filter::catmull_rom>
                                                          : warp_rows_of<T, Filter::lanczos3>;
  rows(plane, tables, scratch, first, last);
}

}  // namespace

void warp_rows(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
               int64_t last) {
  const auto rows = plane.sample_bytes == 1 ? warp_rows_as<uint8_t> : warp_rows_as<uint16_t>;
  rows(plane, tables, scratch, first, last);
}

}  // namespace steadyview::planar::STEADYVIEW_ISA
