#pragma once

// Sampling in vectors, for float and uint8. Part of warp_rows.cpp, compiled for AVX2 and AVX-512.
//
// Neighbouring output pixels mostly look at neighbouring points: where the taps of kLanes pixels
// lie in a window of 2 kLanes columns and a few rows, a row is two loads, and shuffles deal the
// samples to the lanes. Elsewhere taps are gathered one by one.

#include "warp/lanes.h"
#include "warp/warp_tiles.h"

#if defined(__AVX2__)

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

constexpr int kWindow = 2 * kLanes;
constexpr int kMostSpan = 3;  // rows that the first taps of a window may differ by

#if defined(__AVX512BW__)

STEADYVIEW_LANE Floats pick(Floats low, Floats high, Ints index) {
  return _mm512_permutex2var_ps(low, index, high);
}
STEADYVIEW_LANE Mask below(Ints a, int limit) {  // unsigned
  return _mm512_cmplt_epu32_mask(a, splat_int(limit));
}
STEADYVIEW_LANE Mask equal(Ints a, int b) { return _mm512_cmpeq_epi32_mask(a, splat_int(b)); }
STEADYVIEW_LANE Mask both(Mask a, Mask b) { return a & b; }
STEADYVIEW_LANE Mask opposite(Mask a) { return static_cast<Mask>(~a); }
STEADYVIEW_LANE bool all(Mask a) { return a == 0xFFFF; }
STEADYVIEW_LANE Ints folded(Ints a) { return flip(a, _mm512_srai_epi32(a, 31)); }
STEADYVIEW_LANE Floats gather_or(Floats other, Mask m, const float* p, Ints index) {
  return _mm512_mask_i32gather_ps(other, m, index, p, 4);
}
STEADYVIEW_LANE Ints shift_right(Ints a, Ints bits) { return _mm512_srlv_epi32(a, bits); }
STEADYVIEW_LANE Ints masked_byte(Ints a) { return _mm512_and_si512(a, splat_int(255)); }
STEADYVIEW_LANE void load_window(const float* p, Floats* low, Floats* high) {
  *low = _mm512_loadu_ps(p);
  *high = _mm512_loadu_ps(p + 16);
}
STEADYVIEW_LANE void load_window(const uint8_t* p, Floats* low, Floats* high) {
  const auto load = [](const uint8_t* q) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q))));
  };
  *low = load(p);
  *high = load(p + 16);
}

#else

STEADYVIEW_LANE Floats pick(Floats low, Floats high, Ints index) {
  const Floats upper = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index),
                          _mm256_permutevar8x32_ps(high, index), upper);
}
STEADYVIEW_LANE Mask below(Ints a, int limit) {  // unsigned
  return _mm256_cmpeq_epi32(_mm256_min_epu32(a, splat_int(limit - 1)), a);
}
STEADYVIEW_LANE Mask equal(Ints a, int b) { return _mm256_cmpeq_epi32(a, splat_int(b)); }
STEADYVIEW_LANE Mask both(Mask a, Mask b) { return _mm256_and_si256(a, b); }
STEADYVIEW_LANE Mask opposite(Mask a) { return _mm256_xor_si256(a, splat_int(-1)); }
STEADYVIEW_LANE bool all(Mask a) { return _mm256_movemask_epi8(a) == -1; }
STEADYVIEW_LANE Ints folded(Ints a) { return flip(a, _mm256_srai_epi32(a, 31)); }
STEADYVIEW_LANE Floats gather_or(Floats other, Mask m, const float* p, Ints index) {
  return _mm256_mask_i32gather_ps(other, p, index, _mm256_castsi256_ps(m), 4);
}
STEADYVIEW_LANE Ints shift_right(Ints a, Ints bits) { return _mm256_srlv_epi32(a, bits); }
STEADYVIEW_LANE Ints masked_byte(Ints a) { return _mm256_and_si256(a, splat_int(255)); }
STEADYVIEW_LANE void load_window(const float* p, Floats* low, Floats* high) {
  *low = _mm256_loadu_ps(p);
  *high = _mm256_loadu_ps(p + 8);
}
STEADYVIEW_LANE void load_window(const uint8_t* p, Floats* low, Floats* high) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  *low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  *high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)));
}

#endif

// Samples of a plane of `size` pixels; nothing beyond its end is read.
STEADYVIEW_LANE Floats gather_samples(Floats other, Mask m, const float* p, Ints index, int64_t) {
  return gather_or(other, m, p, index);
}
STEADYVIEW_LANE Floats gather_samples(Floats other, Mask m, const uint8_t* p, Ints index,
                                      int64_t size) {
  const Ints start = lower(index, splat_int(static_cast<int>(size - 4)));
  const Ints bits = multiply(subtract(index, start), splat_int(8));
  return select(m, to_floats(masked_byte(shift_right(gather(p, start), bits))), other);
}

STEADYVIEW_LANE void store_some(float* p, Floats a, int count) {
  if (count >= kLanes) [[likely]] {
    store_floats(p, a);
  } else {
    float whole[kLanes];
    store_floats(whole, a);
    std::memcpy(p, whole, static_cast<size_t>(count) * sizeof(float));
  }
}
STEADYVIEW_LANE void store_some(uint8_t* p, Floats a, int count) {
  const Ints result = higher(round_int(lower(a, splat(255))), splat_int(0));
  if (count >= kLanes) [[likely]] {
    store_samples(p, result);
  } else {
    uint8_t whole[kLanes];
    store_samples(whole, result);
    std::memcpy(p, whole, static_cast<size_t>(count));
  }
}
STEADYVIEW_LANE Floats load_some(const float* p, int count) {
  if (count >= kLanes) [[likely]]
    return load_floats(p);
  float whole[kLanes] = {};
  std::memcpy(whole, p, static_cast<size_t>(count) * sizeof(float));
  return load_floats(whole);
}

// Weights of kLanes pixels for a block of `rows` rows and, with kGradient, their slopes.
template <int taps, int rows>
struct Weights {
  Floats x[taps], y[rows], slope_x[taps], slope_y[rows];
  Mask row[rows];  // lanes that have taps in it: in the first and last few rows not all do
};

template <Filter filter, bool kGradient, int rows>
STEADYVIEW_LANE void find_weights(const Tile<float>& tile, int i, Ints start_row,
                                  Weights<filter_taps(filter), rows>& w) {
  constexpr int taps = filter_taps(filter), span = rows - taps;
  const Floats tx = load_floats(tile.tx + i), ty = load_floats(tile.ty + i);
  Floats y[taps], slope_y[taps];
  filter_weights<filter, float>(tx, 1.0f, w.x);
  filter_weights<filter, float>(ty, 1.0f, y);
  if constexpr (kGradient) {
    filter_slopes<filter, float>(tx, w.slope_x);
    filter_slopes<filter, float>(ty, slope_y);
  }
  Mask starts[span + 1];
  for (int s = 0; s <= span; ++s) starts[s] = equal(start_row, s);
  for (int r = 0; r < rows; ++r) {
    Floats weight = splat(0), slope = splat(0);
    Ints used = splat_int(0);
    for (int s = 0; s <= span; ++s) {
      if (r - s < 0 || r - s >= taps) continue;
      weight = span == 0 ? y[r - s] : select(starts[s], y[r - s], weight);
      if constexpr (kGradient) {
        slope = span == 0 ? slope_y[r - s] : select(starts[s], slope_y[r - s], slope);
      }
      used = either(used, minus_one_if(starts[s]));
    }
    w.y[r] = weight;
    w.slope_y[r] = slope;
    w.row[r] = opposite(equal(used, 0));
  }
}

// Sums channel after channel. value(plane, r, k) gives the samples of row r and tap k; lanes of
// `holes` see none; gradients are 0 but in the lanes of `moves`, x and y.
template <bool kGradient, int taps, int rows, typename S, typename Out, typename Row>
STEADYVIEW_LANE void sum_channels(const BackwardWarp<float, S>& warp, const float* grad_output,
                                  const Tile<float>& tile, int i, const Weights<taps, rows>& w,
                                  bool holes, Mask alive, const Mask* moves, Out* out,
                                  Row row_values) {
  const int64_t plane_size = warp.height * warp.width;
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t first = tile.row * warp.output_width + tile.column + i;
  const int count = tile.count - i;
  Floats by_x = splat(0), by_y = splat(0);
  for (int64_t c = tile.n * warp.channels; c < (tile.n + 1) * warp.channels; ++c) {
    const S* plane = warp.image + c * plane_size;
    Floats sum = splat(0), slope = splat(0);
    for (int r = 0; r < rows; ++r) {
      Floats v[taps];
      row_values(plane, r, v);
      Floats line = v[0] * w.x[0];
      for (int k = 1; k < taps; ++k) line = fused(v[k], w.x[k], line);
      // Rows beyond a lane's taps may hold what is not finite: no weight makes that 0.
      const bool part = rows > taps && (r < rows - taps || r >= taps);
      if constexpr (kGradient) {
        Floats across = v[0] * w.slope_x[0];
        for (int k = 1; k < taps; ++k) across = fused(v[k], w.slope_x[k], across);
        const Floats next = fused(across, w.y[r], sum), down = fused(line, w.slope_y[r], slope);
        sum = part ? select(w.row[r], next, sum) : next;
        slope = part ? select(w.row[r], down, slope) : down;
      } else {
        const Floats next = fused(line, w.y[r], sum);
        sum = part ? select(w.row[r], next, sum) : next;
      }
    }
    if constexpr (kGradient) {
      const Floats grad = load_some(grad_output + c * pixels + first, count);
      by_x = fused(grad, sum, by_x);
      by_y = fused(grad, slope, by_y);
    } else {
      if (holes) sum = select(alive, sum, splat(warp.fill));
      store_some(out + c * pixels + first, sum, count);
    }
  }
  if constexpr (kGradient) {
    if (holes) {
      by_x = select(moves[0], by_x, splat(0));
      by_y = select(moves[1], by_y, splat(0));
    }
    Out* const at = out + 2 * tile.n * pixels + first;
    store_some(at, by_x, count);
    store_some(at + pixels, by_y, count);
  }
}

// kLanes pixels whose taps lie in a window.
template <Filter filter, bool kGradient, int span, typename S, typename Out>
STEADYVIEW_LANE void warp_window(const BackwardWarp<float, S>& warp, const float* grad_output,
                                 const Tile<float>& tile, int i, Ints deal, Ints start_row,
                                 int64_t start, Out* out) {
  constexpr int taps = filter_taps(filter), rows = taps + span;
  Weights<taps, rows> w;
  find_weights<filter, kGradient>(tile, i, start_row, w);
  Ints deals[taps];
  for (int k = 0; k < taps; ++k) deals[k] = add(deal, splat_int(k));
  const int64_t width = warp.width;
  sum_channels<kGradient>(warp, grad_output, tile, i, w, false, w.row[0], nullptr, out,
                          [&](const S* plane, int r, Floats* v) __attribute__((always_inline)) {
                            Floats low, high;
                            const S* const line = plane + start + r * width;
                            load_window(line, &low, &high);
                            // As read_ahead().
                            if (r == rows - 1) __builtin_prefetch(line + width + kLanes);
                            for (int k = 0; k < taps; ++k) v[k] = pick(low, high, deals[k]);
                          });
}

// The pixels of the image along an axis that tap k sees, and the lanes where it is inside.
template <typename S>
STEADYVIEW_LANE Ints place(const BackwardWarp<float, S>& warp, Ints index, int64_t size,
                           Mask* inside) {
  const int n = static_cast<int>(size);
  const Ints last = splat_int(n - 1), zero = splat_int(0);
  if (warp.border == Border::constant) *inside = both(*inside, below(index, n));
  if (warp.border == Border::reflect) {  // wrap() has brought it near
    const Ints low = folded(index);
    index = folded(lower(low, subtract(splat_int(2 * n - 1), low)));
  }
  return lower(higher(index, zero), last);
}

// Any kLanes pixels.
template <Filter filter, bool kGradient, typename S, typename Out>
__attribute__((noinline)) void warp_gathered(const BackwardWarp<float, S>& warp,
                                             const float* grad_output, const Tile<float>& tile,
                                             int i, Out* out) {
  constexpr int taps = filter_taps(filter);
  Weights<taps, taps> w;
  find_weights<filter, kGradient>(tile, i, splat_int(0), w);
  const Ints x = load_ints(tile.x + i), y = load_ints(tile.y + i);
  const Mask alive = opposite(equal(x, kHole));
  Ints columns[taps], lines[taps];
  Mask across[taps], down[taps];
  for (int k = 0; k < taps; ++k) {
    across[k] = down[k] = alive;
    columns[k] = place(warp, add(x, splat_int(k + 1 - taps / 2)), warp.width, &across[k]);
    lines[k] = multiply(place(warp, add(y, splat_int(k + 1 - taps / 2)), warp.height, &down[k]),
                        splat_int(static_cast<int>(warp.width)));
  }
  Mask moves[2] = {alive, alive};  // as find_flat()
  if (kGradient && warp.border == Border::replicate) {
    moves[0] = both(alive, opposite(equal(subtract(columns[0], columns[taps - 1]), 0)));
    moves[1] = both(alive, opposite(equal(subtract(lines[0], lines[taps - 1]), 0)));
  } else if (kGradient && warp.border == Border::constant) {
    Mask none_x = opposite(across[0]), none_y = opposite(down[0]);
    for (int k = 1; k < taps; ++k) {
      none_x = both(none_x, opposite(across[k]));
      none_y = both(none_y, opposite(down[k]));
    }
    moves[0] = moves[1] = both(alive, both(opposite(none_x), opposite(none_y)));
  }
  const int64_t size = warp.height * warp.width;
  const Floats fill = splat(warp.fill), zero = splat(0);
  // A constant that is not finite is not multiplied by weights of 0.
  const bool odd = !kGradient && !(warp.fill - warp.fill == 0);
  const auto zeros = [&](Floats a) __attribute__((always_inline)) {
    return both(at_least(a, zero), at_least(zero, a));
  };
  sum_channels<kGradient>(warp, grad_output, tile, i, w, true, alive, moves, out,
                          [&](const S* plane, int r, Floats* v) __attribute__((always_inline)) {
                            for (int k = 0; k < taps; ++k) {
                              Floats outside = fill;
                              if (odd) [[unlikely]] {
                                outside = select(zeros(w.x[k]), zero, outside);
                                outside = select(zeros(w.y[r]), zero, outside);
                              }
                              v[k] = gather_samples(outside, both(across[k], down[r]), plane,
                                                    add(columns[k], lines[r]), size);
                            }
                          });
}

// The first column of a window for taps from column `first` on, where two pixels at x and other_x
// are the outermost: whole vectors of the line, which cross no line of the cache, where they
// suffice.
STEADYVIEW_LANE int window_start(int first, int x, int other_x, int taps) {
  const int whole = first & -kLanes, span = x < other_x ? other_x - x : x - other_x;
  const int slack = (kWindow - kLanes - taps) / 4;
  return first - whole + span <= kWindow - taps - slack ? whole : first - slack;
}

template <Filter filter, bool kGradient, typename S, typename Out>
STEADYVIEW_LANE void warp_lanes(const BackwardWarp<float, S>& warp, const float* grad_output,
                                const Tile<float>& tile, int i, Out* out) {
  constexpr int taps = filter_taps(filter);
  const auto smaller = [](int a, int b) { return a < b ? a : b; };
  const int end = smaller(i + kLanes, tile.count) - 1;
  const int first = smaller(tile.x[i], tile.x[end]) + 1 - taps / 2;
  const int fits = smaller(window_start(first, tile.x[i], tile.x[end], taps),
                           static_cast<int>(warp.width) - kWindow);
  const int left = fits > 0 ? fits : 0, top = smaller(tile.y[i], tile.y[end]);
  const Ints deal = add(load_ints(tile.x + i), splat_int(1 - taps / 2 - left));
  const Ints start_row = add(load_ints(tile.y + i), splat_int(-top));
  if (warp.width < kWindow || top + 1 < taps / 2 || !all(below(deal, kWindow - taps + 1))) {
    return warp_gathered<filter, kGradient>(warp, grad_output, tile, i, out);
  }
  const int64_t start = (int64_t{top} + 1 - taps / 2) * warp.width + left;
  const int64_t most_span = warp.height - 1 - taps / 2 - top;
  if (most_span >= 0 && all(below(start_row, 1))) {
    warp_window<filter, kGradient, 0>(warp, grad_output, tile, i, deal, start_row, start, out);
  } else if (most_span >= 1 && all(below(start_row, 2))) {
    warp_window<filter, kGradient, 1>(warp, grad_output, tile, i, deal, start_row, start, out);
  } else if (most_span >= kMostSpan && all(below(start_row, kMostSpan + 1))) {
    warp_window<filter, kGradient, kMostSpan>(warp, grad_output, tile, i, deal, start_row, start,
                                              out);
  } else {
    warp_gathered<filter, kGradient>(warp, grad_output, tile, i, out);
  }
}

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA

#endif
