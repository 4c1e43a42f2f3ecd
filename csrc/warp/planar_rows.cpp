// Rows of the planar warp; compiled once for each instruction set.
//
// Sixteen output pixels in a row (a group) see source points on a parabola (planar_points.h). For
// each run of 8 (uint8) or 4 (uint16) of them one load of 16 bytes a source row usually holds all
// taps, and a byte shuffle deals them out. Where it does not (edges, steep maps) taps are gathered.
// Horizontal sums are exact in integers (weights carry 15 bits), the vertical sum is in float.

#include <cstring>

#include "warp/lanes.h"
#include "warp/planar_points.h"

namespace steadyview::planar::STEADYVIEW_ISA {
namespace {

constexpr float kOne = 32768;  // weights are stored negated: -1 fits 16 bits, +1 does not

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

#if defined(__AVX2__)

alignas(64) constexpr float kIota[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

enum Kind : int { kSameRows, kTwoRows, kGathered };  // how a group's taps are fetched

// How the runs of a row's groups read: the run's smallest tap, relative to the group's whole part.
template <int bytes>
struct RunPlan {
  static constexpr int runs = bytes == 1 ? 2 : 4;  // of a group
  int* left[runs];
  int* top[runs];
  int* kind;
};

template <int bytes>
STEADYVIEW_LANE void lay_out(RunPlan<bytes>& plan, int64_t groups, double* scratch) {
  const int64_t padded = (groups + 15) / 16 * 16;
  int* next = reinterpret_cast<int*>(scratch);
  for (int j = 0; j < plan.runs; ++j) {
    plan.left[j] = next + (2 * j) * padded;
    plan.top[j] = next + (2 * j + 1) * padded;
  }
  plan.kind = next + 2 * plan.runs * padded;
}

STEADYVIEW_LANE Floats parabola(const AxisPlan& axis, int64_t g, Floats i) {
  return fused(i, fused(i, load_floats(axis.bend + g), load_floats(axis.slope + g)),
               load_floats(axis.part + g));
}

// Bounds of floor(parabola) over the pixels i0 ... i1 of kLanes groups: between its ends it leaves
// their span by at most bend (i1 - i0)^2 / 4.
STEADYVIEW_LANE void run_bounds(const AxisPlan& axis, int64_t g, float i0, float i1, Ints* low,
                                Ints* high) {
  const Floats a = parabola(axis, g, splat(i0)), b = parabola(axis, g, splat(i1));
  const Floats slack = magnitude(load_floats(axis.bend + g)) * splat((i1 - i0) * (i1 - i0) / 4);
  *low = floor_int(lower(a, b) - slack);
  *high = floor_int(larger(a, b) + slack);
}

template <typename T, int taps>
STEADYVIEW_LANE void plan_runs(const PlaneWarp& plane, const RowPlan& row,
                               const RunPlan<sizeof(T)>& plan) {
  constexpr int runs = plan.runs, length = 16 / runs, samples = 16 / static_cast<int>(sizeof(T));
  const Ints last_left = splat_int(static_cast<int>(plane.source_width) - samples);
  const Ints last_top = splat_int(static_cast<int>(plane.source_height) - taps);
  for (int64_t g = 0; g < row.groups; g += kLanes) {
    const Ints whole_x = add(load_ints(row.axis[0].whole + g), splat_int(1 - taps / 2));
    const Ints whole_y = add(load_ints(row.axis[1].whole + g), splat_int(1 - taps / 2));
    Ints gathered = splat_int(0), two = splat_int(0);  // -1 where true
    Ints lowest = splat_int(0);
    for (int j = 0; j < runs; ++j) {
      Ints left, right, top, bottom;
      const float i0 = static_cast<float>(j * length), i1 = i0 + static_cast<float>(length - 1);
      run_bounds(row.axis[0], g, i0, i1, &left, &right);
      run_bounds(row.axis[1], g, i0, i1, &top, &bottom);
      const Ints x = add(whole_x, left), y = add(whole_y, top), down = subtract(bottom, top);
      gathered = either(gathered, above(subtract(right, left), splat_int(samples - taps)));
      gathered = either(gathered, above(down, splat_int(1)));
      gathered = either(gathered, either(above(splat_int(0), x), above(x, last_left)));
      gathered = either(gathered, above(splat_int(0), y));
      lowest = higher(lowest, y);
      two = either(two, above(down, splat_int(0)));
      store_ints(plan.left[j] + g, left);
      store_ints(plan.top[j] + g, top);
    }
    // With two rows every run of the group reads one row more.
    gathered = either(gathered, above(subtract(lowest, two), last_top));
    const Ints kind =
        higher(subtract(splat_int(0), two), subtract(subtract(splat_int(0), gathered), gathered));
    store_ints(plan.kind + g, kind);
  }
}

// The integer weights at t, in pairs: those of taps 2j and 2j + 1 are the words of lane w[j].
template <Filter filter>
STEADYVIEW_LANE void pair_weights(Floats t, Ints* w) {
  constexpr int taps = filter_taps(filter), rest = taps / 2;
  constexpr float kMagic = 1.5f * (1 << 23);  // its lower bits are the number, rounded to even
  Floats weights[taps];
  filter_weights<filter, float>(t, -kOne, weights);
  Ints whole[taps], sum = splat_int(0);
  for (int k = 0; k < taps; ++k) {
    if (k == rest) continue;
    whole[k] = bits(weights[k] + splat(kMagic));
    sum = add_words(sum, whole[k]);
  }
  // Saturated: rounding may leave 1.00003, which 16 bits do not hold.
  whole[rest] = subtract_words(splat_int(static_cast<int>(0x80008000)), sum);
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

// Samples are signed words to the dot products. Above 32767 they are moved down by 32768, which
// flips their top bit; as weights sum to 1 the result is moved as much.
template <typename T>
STEADYVIEW_LANE bool is_moved(const PlaneWarp& plane) {
  return sizeof(T) == 2 && plane.max_value > 32767;
}
template <typename T>
STEADYVIEW_LANE Ints signed_samples(const PlaneWarp& plane, Ints samples) {
  if constexpr (sizeof(T) == 1) return samples;
  return flip(samples, splat_int(is_moved<T>(plane) ? static_cast<int>(0x80008000) : 0));
}

template <typename T>
STEADYVIEW_LANE void store_result(const PlaneWarp& plane, Floats sum, int count, T* out) {
  if (sizeof(T) == 2) sum = sum + splat(is_moved<T>(plane) ? 32768.0f : 0.0f);
  Ints result = higher(round_int(sum), splat_int(0));
  if constexpr (sizeof(T) == 2) result = lower(result, splat_int(plane.max_value));
  if (count >= kLanes) [[likely]] {
    store_samples(out, result);  // uint8 saturates
  } else if (count > 0) {
    T whole[kLanes];
    store_samples(whole, result);
    std::memcpy(out, whole, static_cast<size_t>(count) * sizeof(T));
  }
}

// Source points of kLanes pixels from pixel `offset` of group g. Beyond the end of the row the last
// pixel is repeated.
STEADYVIEW_LANE void lane_points(const RowPlan& plan, int64_t g, int offset, int count, Floats* u,
                                 Floats* v) {
  const AxisPlan &x = plan.axis[0], &y = plan.axis[1];
  Floats i = load_floats(kIota + offset);
  if (count < kGroup) i = lower(i, splat(static_cast<float>(count - 1)));
  *u = fused(i, fused(i, splat(x.bend[g]), splat(x.slope[g])), splat(x.part[g]));
  *v = fused(i, fused(i, splat(y.bend[g]), splat(y.slope[g])), splat(y.part[g]));
}

template <typename T, Filter filter, bool two_rows>
STEADYVIEW_LANE void warp_runs(const PlaneWarp& plane, const RowPlan& plan,
                               const RunPlan<sizeof(T)>& run_plan, int64_t g, int offset, int count,
                               T* out) {
  constexpr int taps = filter_taps(filter), half = taps / 2, bytes = sizeof(T);
  constexpr int runs = kRuns<bytes>;
  const int* const* left = run_plan.left + offset / kLanes * runs;
  const int* const* top = run_plan.top + offset / kLanes * runs;
  Floats u, v;
  lane_points(plan, g, offset, count, &u, &v);
  const Ints floor_u = floor_int(u), rel = subtract(floor_u, spread<bytes>(left, g));
  Ints deal[half], wx[half];
  const Ints first = add(pairs(rel, rel), splat_int(0x00010000));
  for (int j = 0; j < half; ++j) deal[j] = control<bytes>(add(first, splat_int(j * 0x00020002)));
  pair_weights<filter>(u - to_floats(floor_u), wx);
  Floats wy[taps], ty = v - to_floats(spread<bytes>(top, g));
  const Mask lower_row = at_least(ty, splat(1));
  if (two_rows) ty = ty - select(lower_row, splat(1), splat(0));
  filter_weights<filter, float>(ty, -1 / kOne, wy);

  const uint8_t* lines[runs];
  for (int j = 0; j < runs; ++j) {
    lines[j] = static_cast<const uint8_t*>(plane.source) +
               (plan.axis[1].whole[g] + top[j][g] + 1 - half) * plane.source_stride +
               (plan.axis[0].whole[g] + left[j][g] + 1 - half) * int64_t{bytes};
  }
  Floats sum = splat(0);
  for (int r = 0; r < taps + two_rows; ++r) {
    const Ints line = signed_samples<T>(plane, load_runs<bytes>(lines));
    for (int j = 0; j < runs; ++j) lines[j] += plane.source_stride;
    Ints h = dot_pairs(pick_bytes(line, deal[0]), wx[0]);
    for (int j = 1; j < half; ++j) h = add(h, dot_pairs(pick_bytes(line, deal[j]), wx[j]));
    const Floats weight = two_rows ? select(lower_row, r > 0 ? wy[r > 0 ? r - 1 : 0] : splat(0),
                                            r < taps ? wy[r < taps ? r : 0] : splat(0))
                                   : wy[r];
    sum = fused(to_floats(h), weight, sum);
  }
  store_result(plane, sum, count - offset, out + offset);
}

// Any source points: two taps at a time are gathered, and taps beyond the source repeat its edge.
template <typename T, Filter filter>
__attribute__((noinline)) void warp_gathered(const PlaneWarp& plane, const RowPlan& plan, int64_t g,
                                             int offset, int count, T* out) {
  constexpr int taps = filter_taps(filter), half = taps / 2, bytes = sizeof(T);
  constexpr int samples = 4 / bytes;  // in what is gathered
  const Ints zero = splat_int(0), last_x = splat_int(static_cast<int>(plane.source_width) - 1);
  const Ints last_y = splat_int(static_cast<int>(plane.source_height) - 1);
  Floats u, v, wy[taps];
  lane_points(plan, g, offset, count, &u, &v);
  const Ints floor_u = floor_int(u), floor_v = floor_int(v);
  Ints wx[half], start[half], deal[half];
  pair_weights<filter>(u - to_floats(floor_u), wx);
  filter_weights<filter, float>(v - to_floats(floor_v), -1 / kOne, wy);
  // Shuffles number the bytes of 16: what lane n of four gathered begins at 4 n.
  alignas(64) static constexpr int kLaneStart[16] = {0, 4, 8, 12, 0, 4, 8, 12,
                                                     0, 4, 8, 12, 0, 4, 8, 12};
  const Ints lane_start =
      multiply(load_ints(kLaneStart), splat_int(bytes == 1 ? 0x00010001 : 0x01010101));
  for (int j = 0; j < half; ++j) {
    Ints tap[2];
    for (int k = 0; k < 2; ++k) {
      const int shift = plan.axis[0].whole[g] + 1 - half + 2 * j + k;
      tap[k] = lower(higher(add(floor_u, splat_int(shift)), zero), last_x);
    }
    start[j] = lower(tap[0], splat_int(static_cast<int>(plane.source_width) - samples));
    const Ints pair = pairs(subtract(tap[0], start[j]), subtract(tap[1], start[j]));
    deal[j] = add(control<bytes>(pair), lane_start);
    start[j] = multiply(start[j], splat_int(bytes));
  }
  Floats sum = splat(0);
  const uint8_t* source = static_cast<const uint8_t*>(plane.source);
  for (int r = 0; r < taps; ++r) {
    const Ints y = add(floor_v, splat_int(plan.axis[1].whole[g] + 1 - half + r));
    const Ints line =
        multiply(lower(higher(y, zero), last_y), splat_int(static_cast<int>(plane.source_stride)));
    Ints h = zero;
    for (int j = 0; j < half; ++j) {
      const Ints samples4 = signed_samples<T>(plane, gather(source, add(line, start[j])));
      h = add(h, dot_pairs(pick_bytes(samples4, deal[j]), wx[j]));
    }
    sum = fused(to_floats(h), wy[r], sum);
  }
  store_result(plane, sum, count - offset, out + offset);
}

#endif

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
  RunPlan<sizeof(T)> runs;
  lay_out(runs, tables.groups, rest);
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
    if (lanes) plan_runs<T, filter_taps(filter)>(plane, plan, runs);
#endif
    for (int64_t g = 0; g < tables.groups; ++g) {
      T* out = line + g * kGroup;
      const int count = static_cast<int>(least(kGroup, plane.output_width - g * kGroup));
      if (plan.far[g]) {
        warp_exactly<T, filter>(plane, row, g * kGroup, g * kGroup + count, terms, line);
      } else if (!lanes) {
        warp_group_scalar<T, filter>(plane, plan, g, count, out);
      } else {
#if defined(__AVX2__)
        for (int offset = 0; offset < kGroup; offset += kLanes) {
          if (runs.kind[g] == kSameRows) {
            warp_runs<T, filter, false>(plane, plan, runs, g, offset, count, out);
          } else if (runs.kind[g] == kTwoRows) {
            warp_runs<T, filter, true>(plane, plan, runs, g, offset, count, out);
          } else {
            warp_gathered<T, filter>(plane, plan, g, offset, count, out);
          }
        }
#endif
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
