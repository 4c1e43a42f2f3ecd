#pragma once

// Where the pixels of an output row look. Part of planar_rows.cpp: compiled for each instruction
// set, so everything is inlined or anonymous, and no standard function is used that could be
// shared.

#include "warp/planar.h"

namespace steadyview::planar::STEADYVIEW_ISA {
namespace {

template <typename T>
STEADYVIEW_HOST_DEVICE T least(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
STEADYVIEW_HOST_DEVICE T most(T a, T b) {
  return a < b ? b : a;
}
template <typename T>
STEADYVIEW_HOST_DEVICE T bounded(T a, T low, T high) {
  return a > low ? (a < high ? a : high) : low;  // NaN becomes low
}

constexpr float kOne = 32768;  // weights are stored negated: -1 fits 16 bits, +1 does not
constexpr double kPi = 3.14159265358979323846;
constexpr double kSmallestW = 1e-6;

// Source coordinates of a row's groups along one axis: pixel i of group g looks at
// whole + part + i (slope + i bend), in units where the centre of source pixel 0 is at 0. With the
// whole part kept apart, floats resolve 2^-19 px.
struct AxisPlan {
  double *first, *middle;  // (groups + 1): exact at pixels 0 and 8 of each group
  int* whole;              // (groups)
  float *part, *slope, *bend;
};

struct RowPlan {
  AxisPlan axis[2];
  int* far;  // (groups) not 0: do not use the parabola
  int64_t groups;
};

// Pixels of group g.
STEADYVIEW_HOST_DEVICE int group_size(const PlaneWarp& plane, int64_t g) {
  return static_cast<int>(least(kGroup, plane.output_width - g * kGroup));
}

// Lays the plan out in `scratch`; arrays are padded to whole vectors. Returns what is left.
STEADYVIEW_HOST_DEVICE double* lay_out(RowPlan& plan, int64_t groups, double* scratch) {
  const int64_t padded = (groups + 1 + 15) / 16 * 16;
  plan.groups = groups;
  for (AxisPlan& axis : plan.axis) {
    axis.first = scratch;
    axis.middle = axis.first + padded;
    axis.whole = reinterpret_cast<int*>(axis.middle + padded);
    axis.part = reinterpret_cast<float*>(axis.whole + padded);
    axis.slope = axis.part + padded;
    axis.bend = axis.slope + padded;
    scratch += 4 * padded;
  }
  plan.far = reinterpret_cast<int*>(scratch);
  return scratch + padded / 2;
}

// Displacement of a row as cosine coefficients in x: terms (2, K).
void row_terms(const PlaneWarp& plane, int64_t row, double* terms) {
  const int n = plane.terms;
  const double y = static_cast<double>(row) + 0.5;
  const double angle = kPi * (y * plane.basis_scale[1] + plane.basis_offset[1]);
  for (int i = 0; i < 2 * n; ++i) terms[i] = 0;
  for (int u = 0; u < n; ++u) {
    const double cosine = __builtin_cos(u * angle);
    for (int v = 0; v < n; ++v) {
      terms[v] += plane.displacement[u * n + v] * cosine;
      terms[n + v] += plane.displacement[(n + u) * n + v] * cosine;
    }
  }
}

// Exact source points at pixels offset, offset + 16, ... of a row.
void line_points(const PlaneWarp& plane, int64_t row, int64_t offset, int64_t n, double* xs,
                 double* ys) {
  const double* m = plane.source_from_output;
  const double y = static_cast<double>(row) + 0.5;
  const double x0 = m[1] * y + m[2], y0 = m[4] * y + m[5], w0 = m[7] * y + m[8];
  const double start = static_cast<double>(offset) + 0.5;
  const double mx = m[0], my = m[3], mw = m[6];
  const bool flat = mw == 0 && m[7] == 0 && m[8] == 1;
  for (int i = 0; i < static_cast<int>(n); ++i) {
    const double x = i * static_cast<double>(kGroup) + start;
    xs[i] = mx * x + x0;
    ys[i] = my * x + y0;
  }
  for (int i = 0; !flat && i < static_cast<int>(n); ++i) {
    const double x = i * static_cast<double>(kGroup) + start;
    const double scale = 1 / most(mw * x + w0, kSmallestW);
    xs[i] *= scale;
    ys[i] *= scale;
  }
  for (int i = 0; i < static_cast<int>(n); ++i) {
    xs[i] -= 0.5;
    ys[i] -= 0.5;
  }
}

void add_displacement(const double* cosines, int64_t step, int64_t n, const double* terms, int K,
                      double* points) {
  for (int v = 0; v < K; ++v) {
    const double* cosine = cosines + v * step;
    const double term = terms[v];
    for (int64_t i = 0; i < n; ++i) points[i] += term * cosine[i];
  }
}

// Start, slope and bend of each group from its first pixel, its ninth and the next group's first.
void fit_parabolas(const AxisPlan& axis, int64_t groups, int* far) {
  // Adding and taking off rounds to a multiple of 2^-20 px (what is off a whole number by rounding
  // only becomes whole), and to whole numbers.
  constexpr double kSnap = 1.5 * static_cast<double>(int64_t{1} << 32);
  constexpr double kToWhole = 1.5 * static_cast<double>(int64_t{1} << 52);
  const double* __restrict first = axis.first, * __restrict middle = axis.middle;
  int* __restrict whole = axis.whole, * __restrict lost = far;
  float* __restrict part = axis.part, * __restrict slopes = axis.slope, * __restrict bends = axis.bend;
  for (int64_t g = 0; g < groups; ++g) {
    const double a = first[g], b = middle[g], c = first[g + 1];
    const double low = least(least(a, b), c), high = most(most(a, b), c);
    lost[g] |= !((low > -kFarthest) & (high < kFarthest));  // true for NaN
    double start = a > -kFarthest ? a : -kFarthest;
    start = start < kFarthest ? start : kFarthest;
    start = (start + kSnap) - kSnap;
    double floor = (start + kToWhole) - kToWhole;
    floor -= floor > start ? 1.0 : 0.0;
    const double bend = ((c - b) - (b - a)) * (1.0 / 128);
    whole[g] = static_cast<int>(floor);
    part[g] = static_cast<float>(start - floor);
    slopes[g] = static_cast<float>((b - a) * 0.125 - 8 * bend);
    bends[g] = static_cast<float>(bend);
  }
}

void plan_row(const PlaneWarp& plane, const Tables& tables, int64_t row, const double* terms,
              const RowPlan& plan) {
  const int64_t n = plan.groups + 1, step = 2 * n, filled = (plan.groups + 15) / 16 * 16;
  const AxisPlan &x = plan.axis[0], &y = plan.axis[1];
  line_points(plane, row, 0, n, x.first, y.first);
  line_points(plane, row, kGroup / 2, n, x.middle, y.middle);
  for (int axis = 0; plane.displacement && axis < 2; ++axis) {
    const double* own = terms + axis * plane.terms;
    add_displacement(tables.cosines, step, n, own, plane.terms, plan.axis[axis].first);
    add_displacement(tables.cosines + n, step, n, own, plane.terms, plan.axis[axis].middle);
  }
  // Whole vectors: what lies beyond the last group is never used.
  for (int64_t g = 0; g < filled; ++g) plan.far[g] = 0;
  fit_parabolas(x, filled, plan.far);
  fit_parabolas(y, filled, plan.far);
}

// The source point of one pixel, for planes whose groups are no parabolas and for far points.
void exact_point(const PlaneWarp& plane, int64_t column, int64_t row, const double* terms,
                 double* point) {
  constexpr double kSnap = 1 << 20;
  const double* m = plane.source_from_output;
  const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
  const double scale = 1 / most(m[6] * x + m[7] * y + m[8], kSmallestW);
  for (int axis = 0; axis < 2; ++axis) {
    point[axis] = (m[3 * axis] * x + m[3 * axis + 1] * y + m[3 * axis + 2]) * scale - 0.5;
  }
  if (plane.displacement) {
    // cos((v + 1) a) = 2 cos a cos(v a) - cos((v - 1) a)
    const double fraction = x * plane.basis_scale[0] + plane.basis_offset[0];
    const double cosine = __builtin_cos(kPi * fraction);
    double basis = 1, before = cosine;
    for (int v = 0; v < plane.terms; ++v) {
      point[0] += terms[v] * basis;
      point[1] += terms[plane.terms + v] * basis;
      const double next = 2 * cosine * basis - before;
      before = basis;
      basis = next;
    }
  }
  for (int axis = 0; axis < 2; ++axis) {
    point[axis] = __builtin_floor(bounded(point[axis], -1e9, 1e9) * kSnap + 0.5) / kSnap;
  }
}

}  // namespace
}  // namespace steadyview::planar::STEADYVIEW_ISA
