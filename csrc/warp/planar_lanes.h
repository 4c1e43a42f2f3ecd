#pragma once

// Groups of the planar warp in vectors. Part of planar_rows.cpp: compiled for AVX2 and AVX-512.
//
// Where one span of the source rows holds all taps, a row is one load and a shuffle deals the
// samples to the lanes. AVX-512 shuffles words across 64 bytes, which hold the taps of a whole
// group. Shuffles of bytes reach 16 bytes: those of a run of 8 (uint8) or 4 (uint16) pixels; they
// serve AVX2 and steeper maps. Elsewhere (edges, very steep maps) taps are gathered one by one.

#include <cstring>

#include "warp/lanes.h"
#include "warp/planar_points.h"

#if defined(__AVX2__)

namespace steadyview::planar::STEADYVIEW_ISA {
namespace {

alignas(64) constexpr float kIota[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// How a group's taps are fetched. With two rows, the pixels' first taps lie in one of two rows.
enum Kind : int { kWhole, kWholeTwoRows, kByRuns, kByRunsTwoRows, kGathered, kFar };

// Part of a source row that holds the taps of some pixels, for each group of an output row.
struct Spans {
  int* start;  // bytes from the plane's first sample
  int* left;   // first column, relative to the whole part of the group's first point and tap
  float* top;  // first row, likewise
};

struct FetchPlan {
  Spans whole;    // AVX-512 only; left holds two words: what takes a column to its first two taps
  Spans runs[4];  // of 16 bytes: two for uint8, four for uint16
  int* kind;
};

STEADYVIEW_LANE void lay_out(FetchPlan& plan, int64_t groups, double* scratch) {
  const int64_t padded = (groups + 15) / 16 * 16;
  int* next = reinterpret_cast<int*>(scratch);
  const auto lay_spans = [&](Spans& spans) {
    spans.start = next;
    spans.left = next + padded;
    spans.top = reinterpret_cast<float*>(next + 2 * padded);
    next += 3 * padded;
  };
  lay_spans(plan.whole);
  for (Spans& run : plan.runs) lay_spans(run);
  plan.kind = next;
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

// What a span says of kLanes groups, in masks: -1 where true.
struct Reach {
  Ints outside;   // it does not hold all taps, or leaves the source
  Ints two_rows;  // the first taps lie in two rows
};

// Spans of `samples` for the pixels first ... first + length - 1 of kLanes groups from g on.
template <int bytes, int taps, int samples>
STEADYVIEW_LANE Reach plan_spans(const PlaneWarp& plane, const RowPlan& row, int64_t g, int first,
                                 int length, const Spans& spans) {
  const float i0 = static_cast<float>(first), i1 = static_cast<float>(first + length - 1);
  const Ints whole_x = add(load_ints(row.axis[0].whole + g), splat_int(1 - taps / 2));
  const Ints whole_y = add(load_ints(row.axis[1].whole + g), splat_int(1 - taps / 2));
  Ints left, right, top, bottom;
  run_bounds(row.axis[0], g, i0, i1, &left, &right);
  run_bounds(row.axis[1], g, i0, i1, &top, &bottom);
  // At the right edge the span begins earlier than its first tap.
  const Ints last = splat_int(static_cast<int>(plane.source_width) - samples);
  left = lower(left, subtract(last, whole_x));
  const Ints x = add(whole_x, left), y = add(whole_y, top), down = subtract(bottom, top);
  const Ints two_rows = above(down, splat_int(0));
  const Ints last_top = splat_int(static_cast<int>(plane.source_height) - taps);
  Ints outside = above(subtract(right, left), splat_int(samples - taps));
  outside = either(outside, above(down, splat_int(1)));
  outside = either(outside, above(splat_int(0), lower(x, y)));
  outside = either(outside, above(subtract(y, two_rows), last_top));
  const Ints stride = splat_int(static_cast<int>(plane.source_stride));
  store_ints(spans.start + g, add(multiply(y, stride), multiply(x, splat_int(bytes))));
  store_ints(spans.left + g, left);
  store_floats(spans.top + g, to_floats(top));
  return {outside, two_rows};
}

template <typename T, int taps>
STEADYVIEW_LANE void plan_fetches(const PlaneWarp& plane, const RowPlan& row,
                                  const FetchPlan& plan) {
  constexpr int bytes = sizeof(T), runs = 2 * bytes, length = 16 / runs;
  for (int64_t g = 0; g < row.groups; g += kLanes) {
    const Ints far = above(load_ints(row.far + g), splat_int(0));
    Ints not_whole = splat_int(-1), kind = splat_int(0);
#if defined(__AVX512BW__)
    const Reach whole = plan_spans<bytes, taps, 32>(plane, row, g, 0, 16, plan.whole);
    not_whole = either(whole.outside, far);
    kind = subtract(splat_int(kWhole), whole.two_rows);
    const Ints to_first = subtract(splat_int(0), load_ints(plan.whole.left + g));
    store_ints(plan.whole.left + g, pairs(to_first, add(to_first, splat_int(1))));
    if (none(not_whole)) {
      store_ints(plan.kind + g, kind);
      continue;
    }
#endif
    Ints outside = splat_int(0), two_rows = splat_int(0);
    for (int j = 0; j < runs; ++j) {
      const Reach run =
          plan_spans<bytes, taps, 16 / bytes>(plane, row, g, j * length, length, plan.runs[j]);
      outside = either(outside, run.outside);
      two_rows = either(two_rows, run.two_rows);
    }
    // With two rows every run of the group reads one row more.
    for (int j = 0; j < runs; ++j) {
      const Ints y =
          add(load_ints(row.axis[1].whole + g), round_int(load_floats(plan.runs[j].top + g)));
      const int last = static_cast<int>(plane.source_height) - taps - 1 + taps / 2;
      outside = either(outside, above(subtract(y, two_rows), splat_int(last)));
    }
    const Ints by_runs =
        blend(outside, splat_int(kGathered), subtract(splat_int(kByRuns), two_rows));
    kind = blend(not_whole, by_runs, kind);
    store_ints(plan.kind + g, blend(far, splat_int(kFar), kind));
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
    sum = k == 0 ? whole[k] : add_words(sum, whole[k]);
  }
  // Saturated: rounding may leave 1.00003, which 16 bits do not hold.
  whole[rest] = subtract_words(splat_int(static_cast<int>(0x80008000)), sum);
  for (int j = 0; j < taps / 2; ++j) w[j] = pairs(whole[2 * j], whole[2 * j + 1]);
}

// The vertical weights of the rows from `top` on: one row more than taps when the first taps lie in
// two rows.
template <Filter filter, bool two_rows>
STEADYVIEW_LANE void row_weights(Floats v, Floats top, Floats* w) {
  constexpr int taps = filter_taps(filter);
  const Floats t = v - top;
  if constexpr (!two_rows) {
    filter_weights<filter, float>(t, -1 / kOne, w);
  } else {
    const Mask lower_row = at_least(t, splat(1));
    Floats own[taps];
    filter_weights<filter, float>(t - select(lower_row, splat(1), splat(0)), -1 / kOne, own);
    w[0] = select(lower_row, splat(0), own[0]);
    for (int r = 1; r < taps; ++r) w[r] = select(lower_row, own[r - 1], own[r]);
    w[taps] = select(lower_row, own[taps - 1], splat(0));
  }
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
STEADYVIEW_LANE Floats moved_back(const PlaneWarp& plane) {
  return splat(is_moved<T>(plane) ? 32768.0f : 0.0f);
}

template <typename T>
STEADYVIEW_LANE void store_result(const PlaneWarp& plane, Floats sum, int count, T* out) {
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

#if defined(__AVX512BW__)

// A group whose taps lie in 32 samples a row.
template <typename T, Filter filter, bool two_rows>
STEADYVIEW_LANE void warp_whole(const PlaneWarp& plane, const RowPlan& plan, const Spans& spans,
                                int64_t g, int count, T* out) {
  constexpr int taps = filter_taps(filter), half = taps / 2;
  Floats u, v, wy[taps + 1];
  lane_points(plan, g, 0, count, &u, &v);
  const Ints floor_u = floor_int(u);
  Ints deal[half], wx[half];
  deal[0] = add_words(twice(floor_u), splat_int(spans.left[g]));
  for (int j = 1; j < half; ++j) deal[j] = add_words(deal[0], splat_int(j * 0x00020002));
  pair_weights<filter>(u - to_floats(floor_u), wx);
  row_weights<filter, two_rows>(v, splat(spans.top[g]), wy);

  const uint8_t* line = static_cast<const uint8_t*>(plane.source) + spans.start[g];
  Floats sum = moved_back<T>(plane);
  for (int r = 0; r < taps + two_rows; ++r, line += plane.source_stride) {
    const Ints samples = signed_samples<T>(plane, load_words(reinterpret_cast<const T*>(line)));
    Ints h = dot_pairs(pick_words(samples, deal[0]), wx[0]);
    for (int j = 1; j < half; ++j) h = add(h, dot_pairs(pick_words(samples, deal[j]), wx[j]));
    sum = fused(to_floats(h), wy[r], sum);
  }
  store_result(plane, sum, count, out);
}

#endif

// kLanes pixels whose taps lie in 16 bytes a row and run.
template <typename T, Filter filter, bool two_rows>
STEADYVIEW_LANE void warp_runs(const PlaneWarp& plane, const RowPlan& plan, const Spans* spans,
                               int64_t g, int offset, int count, T* out) {
  constexpr int taps = filter_taps(filter), half = taps / 2, bytes = sizeof(T);
  constexpr int runs = kRuns<bytes>;
  const Spans* own = spans + offset / kLanes * runs;
  Floats u, v, wy[taps + 1];
  lane_points(plan, g, offset, count, &u, &v);
  const Ints floor_u = floor_int(u);
  const Ints rel = subtract(floor_u, spread<bytes>([&](int j) { return own[j].left[g]; }));
  Ints deal[half], wx[half];
  const Ints first = add(pairs(rel, rel), splat_int(0x00010000));
  for (int j = 0; j < half; ++j) deal[j] = control<bytes>(add(first, splat_int(j * 0x00020002)));
  pair_weights<filter>(u - to_floats(floor_u), wx);
  const Ints top = spread<bytes>([&](int j) { return __builtin_bit_cast(int, own[j].top[g]); });
  row_weights<filter, two_rows>(v, as_floats(top), wy);

  const uint8_t* lines[runs];
  for (int j = 0; j < runs; ++j) {
    lines[j] = static_cast<const uint8_t*>(plane.source) + own[j].start[g];
  }
  Floats sum = moved_back<T>(plane);
  for (int r = 0; r < taps + two_rows; ++r) {
    const Ints line = signed_samples<T>(plane, load_runs<bytes>(lines));
    for (int j = 0; j < runs; ++j) lines[j] += plane.source_stride;
    Ints h = dot_pairs(pick_bytes(line, deal[0]), wx[0]);
    for (int j = 1; j < half; ++j) h = add(h, dot_pairs(pick_bytes(line, deal[j]), wx[j]));
    sum = fused(to_floats(h), wy[r], sum);
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
  Floats sum = moved_back<T>(plane);
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

// The groups from g on that are fetched as g is; returns the next. What the loops read is copied:
// stores of uint8 might change the originals.
template <typename T, Filter filter, bool two_rows>
__attribute__((noinline)) int64_t warp_groups(const PlaneWarp& original, const RowPlan& row,
                                              const FetchPlan& fetches, int64_t g, T* line) {
  const PlaneWarp plane = original;
  const RowPlan plan = row;
  const int *const kinds = fetches.kind, kind = kinds[g];
#if defined(__AVX512BW__)
  if (kind == kWhole + two_rows) {
    const Spans whole = fetches.whole;
    for (; g < plan.groups && kinds[g] == kind; ++g) {
      const int count = group_size(plane, g);
      warp_whole<T, filter, two_rows>(plane, plan, whole, g, count, line + g * kGroup);
    }
    return g;
  }
#endif
  Spans runs[4];
  for (int j = 0; j < 4; ++j) runs[j] = fetches.runs[j];
  for (; g < plan.groups && kinds[g] == kind; ++g) {
    const int count = group_size(plane, g);
    for (int offset = 0; offset < kGroup; offset += kLanes) {
      warp_runs<T, filter, two_rows>(plane, plan, runs, g, offset, count, line + g * kGroup);
    }
  }
  return g;
}

// A row whose plans are made, but for its far groups.
template <typename T, Filter filter>
void warp_row(const PlaneWarp& plane, const RowPlan& plan, const FetchPlan& fetches, T* line) {
  for (int64_t g = 0; g < plan.groups;) {
    const int kind = fetches.kind[g];
    if (kind == kWhole || kind == kByRuns) {
      g = warp_groups<T, filter, false>(plane, plan, fetches, g, line);
    } else if (kind == kWholeTwoRows || kind == kByRunsTwoRows) {
      g = warp_groups<T, filter, true>(plane, plan, fetches, g, line);
    } else {
      for (int offset = 0; kind == kGathered && offset < kGroup; offset += kLanes) {
        const int count = group_size(plane, g);
        warp_gathered<T, filter>(plane, plan, g, offset, count, line + g * kGroup);
      }
      ++g;
    }
  }
}

}  // namespace
}  // namespace steadyview::planar::STEADYVIEW_ISA

#endif
