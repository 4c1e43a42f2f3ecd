// Rows of the planar warp; compiled once for each instruction set.
//
// Sixteen output pixels in a row (a group) see source points on a parabola through three exact
// points. Their taps lie close together: for each run of 8 (uint8) or 4 (uint16) pixels one load of
// 16 bytes a source row holds all of them, and a byte shuffle deals them out. Horizontal sums are
// exact in integers (weights carry 15 bits), the vertical sum is in float. Groups that this does
// not fit are done pixel by pixel with the same weights.

#include <cstring>

#include "warp/lanes.h"
#include "warp/planar.h"

namespace steadyview::planar::STEADYVIEW_ISA {
namespace {

// Own always-inlined helpers: a shared inline function would exist once for all variants.
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
  return a < low ? low : high < a ? high : a;
}

constexpr float kOne = 32768;  // weights are stored negated: -1 fits 16 bits, +1 does not

STEADYVIEW_HOST_DEVICE float fused_scalar(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// Source points of a group: (x + i (dx + i ddx), y + ...) for pixel i, in units where the centre of
// source pixel (0, 0) is (0, 0). The whole part is kept apart: floats then resolve 2^-19 px.
struct Group {
  int ix, iy;
  float x, dx, ddx, y, dy, ddy;
  bool far;
};

struct Axis {
  int whole;
  float part, slope, bend;
};

STEADYVIEW_HOST_DEVICE Axis parabola(const double* p) {
  // To a multiple of 2^-20 px: what is off a whole number by rounding only becomes whole.
  constexpr double kSnap = 1.5 * (int64_t{1} << 32);
  const double start = (p[0] + kSnap) - kSnap;
  const int whole = static_cast<int>(start) - (start < static_cast<int>(start));
  const double bend = (p[2] - p[1] - (p[1] - p[0])) * (1.0 / 128);
  return {whole, static_cast<float>(start - whole),
          static_cast<float>((p[1] - p[0]) * 0.125 - 8 * bend), static_cast<float>(bend)};
}

STEADYVIEW_HOST_DEVICE bool is_far(const double* p) {
  const double low = least(p[0], least(p[1], p[2])), high = most(p[0], most(p[1], p[2]));
  return !(low > -kFarthest && high < kFarthest);
}

STEADYVIEW_HOST_DEVICE Group make_group(const double* xs, const double* ys) {
  if (is_far(xs) || is_far(ys))
    return {.ix = 0, .iy = 0, .x = 0, .dx = 0, .ddx = 0, .y = 0, .dy = 0, .ddy = 0, .far = true};
  const Axis x = parabola(xs), y = parabola(ys);
  return {x.whole, y.whole, x.part, x.slope, x.bend, y.part, y.slope, y.bend, false};
}

// Displacement of a row as cosine coefficients in x.
STEADYVIEW_HOST_DEVICE void row_terms(const PlaneWarp& plane, int axis, double y, double* terms) {
  const int n = plane.terms;
  const double* c = plane.displacement + axis * n * n;
  const double angle = 3.14159265358979323846 * (y * plane.basis_scale[1] + plane.basis_offset[1]);
  for (int v = 0; v < n; ++v) terms[v] = 0;
  for (int u = 0; u < n; ++u) {
    const double cosine = __builtin_cos(u * angle);
    for (int v = 0; v < n; ++v) terms[v] += c[u * n + v] * cosine;
  }
}

// Source points at every half group of row `row`.
void row_points(const PlaneWarp& plane, const Tables& tables, int64_t row, const double* terms,
                double* xs, double* ys) {
  const double* m = plane.source_from_output;
  const double y = static_cast<double>(row) + 0.5;
  const double x0 = m[1] * y + m[2], y0 = m[4] * y + m[5], w0 = m[7] * y + m[8];
  const int64_t n = tables.points;
  if (m[6] == 0 && m[7] == 0 && m[8] == 1) {
    for (int64_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(static_cast<int>(i)) * (kGroup / 2) + 0.5;
      xs[i] = m[0] * x + x0 - 0.5;
      ys[i] = m[3] * x + y0 - 0.5;
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(static_cast<int>(i)) * (kGroup / 2) + 0.5;
      const double scale = 1 / most(m[6] * x + w0, 1e-6);
      xs[i] = (m[0] * x + x0) * scale - 0.5;
      ys[i] = (m[3] * x + y0) * scale - 0.5;
    }
  }
  for (int v = 0; plane.displacement && v < plane.terms; ++v) {
    const double* cosine = tables.cosines + v * n;
    for (int64_t i = 0; i < n; ++i) {
      xs[i] += terms[v] * cosine[i];
      ys[i] += terms[plane.terms + v] * cosine[i];
    }
  }
}

// The source point of one pixel, for the planes whose groups are no parabolas and for far points.
void exact_point(const PlaneWarp& plane, int64_t column, int64_t row, const double* terms,
                 double* point) {
  const double* m = plane.source_from_output;
  const double x = static_cast<double>(column) + 0.5, y = static_cast<double>(row) + 0.5;
  const double w = most(m[6] * x + m[7] * y + m[8], 1e-6);
  const double angle = 3.14159265358979323846 * (x * plane.basis_scale[0] + plane.basis_offset[0]);
  for (int axis = 0; axis < 2; ++axis) {
    point[axis] = (m[3 * axis] * x + m[3 * axis + 1] * y + m[3 * axis + 2]) / w - 0.5;
    for (int v = 0; plane.displacement && v < plane.terms; ++v) {
      point[axis] += terms[axis * plane.terms + v] * __builtin_cos(v * angle);
    }
    constexpr double kSnap = 1 << 20;
    point[axis] = __builtin_floor(bounded(point[axis], -1e9, 1e9) * kSnap + 0.5) / kSnap;
  }
}

template <Filter filter>
STEADYVIEW_HOST_DEVICE void whole_weights(float t, int* w) {
  constexpr int taps = filter_taps(filter), rest = taps / 2;
  float weights[taps];
  filter_weights<filter, float>(t, weights);
  int sum = -static_cast<int>(kOne);
  for (int k = 0; k < taps; ++k) {
    if (k == rest) continue;
    w[k] = static_cast<int>(__builtin_lrintf(weights[k] * -kOne));
    sum -= w[k];
  }
  w[rest] = most(sum, -static_cast<int>(kOne));
}

// One pixel at (ix + tx, iy + ty), 0 <= tx, ty <= 1.
template <typename T, Filter filter>
void warp_pixel(const PlaneWarp& plane, int64_t ix, int64_t iy, float tx, float ty, T* out) {
  constexpr int taps = filter_taps(filter);
  int wx[taps];
  float wy[taps];
  whole_weights<filter>(tx, wx);
  filter_weights<filter, float>(ty, wy);
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
    sum = fused_scalar(static_cast<float>(h), wy[r] * (-1 / kOne), sum);
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
void warp_group_scalar(const PlaneWarp& plane, const Group& g, int64_t count, T* out) {
  for (int64_t i = 0; i < count; ++i) {
    const float f = static_cast<float>(i);
    const float u = fused_scalar(f, fused_scalar(f, g.ddx, g.dx), g.x);
    const float v = fused_scalar(f, fused_scalar(f, g.ddy, g.dy), g.y);
    const float fx = __builtin_floorf(u), fy = __builtin_floorf(v);
    warp_pixel<T, filter>(plane, g.ix + static_cast<int64_t>(fx), g.iy + static_cast<int64_t>(fy),
                          u - fx, v - fy, out + i);
  }
}

#if defined(__AVX2__)

alignas(64) constexpr float kIota[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

template <Filter filter>
STEADYVIEW_LANE void pair_weights(Floats t, Ints* w) {
  constexpr int taps = filter_taps(filter), rest = taps / 2;
  Floats weights[taps];
  filter_weights<filter, float>(t, weights);
  Ints whole[taps], sum = splat_int(-static_cast<int>(kOne));
  for (int k = 0; k < taps; ++k) {
    if (k == rest) continue;
    whole[k] = round_int(weights[k] * splat(-kOne));
    sum = subtract(sum, whole[k]);
  }
  whole[rest] = higher(sum, splat_int(-static_cast<int>(kOne)));
  for (int j = 0; j < taps / 2; ++j) w[j] = pairs(whole[2 * j], whole[2 * j + 1]);
}

// Shuffle control that deals the samples numbered by the words of `pair` to the words of a lane.
template <int bytes>
STEADYVIEW_LANE Ints control(Ints pair) {
  if constexpr (bytes == 1) {
    return either(pair, splat_int(static_cast<int>(0x80008000)));
  } else {
    return add(multiply_words(pair, splat_int(0x02020202)), splat_int(0x01000100));
  }
}

// kLanes pixels from number `offset` of the group; false when their taps lie too far apart.
template <typename T, Filter filter>
STEADYVIEW_LANE bool warp_lanes(const PlaneWarp& plane, const Group& g, int offset, int64_t count,
                                T* out) {
  constexpr int taps = filter_taps(filter), half = taps / 2, bytes = sizeof(T);
  constexpr int runs = kRuns<bytes>, stride = kLanes / runs, samples = 16 / bytes;
  static_assert(samples >= taps);
  // Lanes beyond the end of the row repeat the last pixel.
  const Floats i = lower(load_floats(kIota + offset), splat(static_cast<float>(count - 1)));
  const Floats u = fused(i, fused(i, splat(g.ddx), splat(g.dx)), splat(g.x));
  const Floats v = fused(i, fused(i, splat(g.ddy), splat(g.dy)), splat(g.y));
  const Ints ux = floor_int(u), vy = floor_int(v);
  const Ints base_x = run_end<bytes>(ux, false), base_y = run_end<bytes>(vy, g.dy < 0);
  Ints rel = subtract(ux, base_x);
  const Ints down = subtract(vy, base_y);  // 0 or 1: the lane's first row is the run's or the next
  if (any_above(rel, splat_int(samples - taps)) || any_above(down, splat_int(1))) return false;

  alignas(64) int left[kLanes], top[kLanes];
  store_ints(left, add(base_x, splat_int(g.ix + 1 - half)));
  store_ints(top, add(base_y, splat_int(g.iy + 1 - half)));
  const int last_left = static_cast<int>(plane.source_width) - samples;
  const int last_top = static_cast<int>(plane.source_height) - taps - 1;
  bool inside_x = true, inside_y = true;
  for (int j = 0; j < runs; ++j) {
    inside_x &= left[j * stride] >= 0 && left[j * stride] <= last_left;
    inside_y &= top[j * stride] >= 0 && top[j * stride] <= last_top;
  }

  Ints deal[half], wx[half];
  if (inside_x) [[likely]] {
    const Ints first = add(pairs(rel, rel), splat_int(0x00010000));
    for (int j = 0; j < half; ++j) deal[j] = control<bytes>(add(first, splat_int(j * 0x00020002)));
  } else {
    if (last_left < 0) return false;
    // Loads stay inside the row, and the shuffle repeats its first or last sample.
    const Ints tap = add(ux, splat_int(g.ix + 1 - half));
    Ints start = load_ints(left), shuffled[taps];
    for (int j = 0; j < kLanes; ++j) left[j] = bounded(left[j], 0, last_left);
    start = load_ints(left);
    for (int k = 0; k < taps; ++k) {
      const Ints x = lower(higher(add(tap, splat_int(k)), splat_int(0)),
                           splat_int(static_cast<int>(plane.source_width) - 1));
      shuffled[k] = subtract(x, start);
      if (any_above(shuffled[k], splat_int(samples - 1))) return false;
    }
    for (int j = 0; j < half; ++j) {
      deal[j] = control<bytes>(pairs(shuffled[2 * j], shuffled[2 * j + 1]));
    }
  }
  pair_weights<filter>(u - to_floats(ux), wx);
  Floats wy[taps];
  filter_weights<filter, float>((v - to_floats(vy)), wy);
  for (Floats& w : wy) w = w * splat(-1 / kOne);

  const uint8_t* lines[runs];
  const uint8_t* source = static_cast<const uint8_t*>(plane.source);
  const auto find_lines = [&](int r) {
    for (int j = 0; j < runs; ++j) {
      const int64_t y = bounded<int64_t>(top[j * stride] + r, 0, plane.source_height - 1);
      lines[j] = source + y * plane.source_stride + left[j * stride] * int64_t{bytes};
    }
  };
  find_lines(0);
  Floats sum = splat(0);
  const auto add_row = [&](Floats weight) {
    const Ints samples16 = load_runs<bytes>(lines);
    Ints h = dot_pairs(pick_bytes(samples16, deal[0]), wx[0]);
    for (int j = 1; j < half; ++j) {
      h = add(h, dot_pairs(pick_bytes(samples16, deal[j]), wx[j]));
    }
    sum = fused(to_floats(h), weight, sum);
  };
  const auto next_row = [&](int r) {
    if (inside_y) {
      for (int j = 0; j < runs; ++j) lines[j] += plane.source_stride;
    } else {
      find_lines(r);
    }
  };
  const Mask lower_row = nonzero(down);
  if (!any(lower_row)) {
    for (int r = 0; r < taps; ++r) {
      add_row(wy[r]);
      if (r + 1 < taps) next_row(r + 1);
    }
  } else {
    const Floats zero = splat(0);
    for (int r = 0; r <= taps; ++r) {
      add_row(select(lower_row, r > 0 ? wy[r - 1] : zero, r < taps ? wy[r] : zero));
      if (r < taps) next_row(r + 1);
    }
  }
  const Ints result = lower(higher(round_int(sum), splat_int(0)), splat_int(plane.max_value));
  if (count >= offset + kLanes) {
    store_samples(out + offset, result);
  } else {
    T whole[kLanes];
    store_samples(whole, result);
    std::memcpy(out + offset, whole, (count - offset) * sizeof(T));
  }
  return true;
}

#endif

template <typename T, Filter filter>
void warp_group(const PlaneWarp& plane, const Group& g, int64_t count, T* out) {
#if defined(__AVX2__)
  bool done = plane.max_value < 32768;  // samples are signed words to the dot products
  if constexpr (16 / sizeof(T) < filter_taps(filter)) done = false;
  for (int offset = 0; done && offset < count; offset += kLanes) {
    done = warp_lanes<T, filter>(plane, g, offset, count, out);
  }
  if (done) return;
#endif
  warp_group_scalar<T, filter>(plane, g, count, out);
}

template <typename T, Filter filter>
void warp_rows_of(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
                  int64_t last) {
  double terms[2 * 32];
  for (int64_t row = first; row < last; ++row) {
    T* line = reinterpret_cast<T*>(static_cast<uint8_t*>(plane.output) + row * plane.output_stride);
    for (int axis = 0; plane.displacement && axis < 2; ++axis) {
      row_terms(plane, axis, static_cast<double>(row) + 0.5, terms + axis * plane.terms);
    }
    if (tables.exact) {
      warp_exactly<T, filter>(plane, row, 0, plane.output_width, terms, line);
      continue;
    }
    double *xs = scratch, *ys = scratch + tables.points;
    row_points(plane, tables, row, terms, xs, ys);
    for (int64_t x = 0; x < plane.output_width; x += kGroup, xs += 2, ys += 2) {
      const int64_t count = least(kGroup, plane.output_width - x);
      const Group g = make_group(xs, ys);
      if (g.far) {
        warp_exactly<T, filter>(plane, row, x, x + count, terms, line);
      } else {
        warp_group<T, filter>(plane, g, count, line + x);
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
