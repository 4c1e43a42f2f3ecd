#pragma once

// Gradients of the splat by source pixels in vectors of float. Part of splat_bands.cpp, compiled
// for AVX2 and AVX-512; as in warp_lanes.h, neighbours mostly look at neighbouring points.

#include <cstring>

#include "splat/splat.h"
#include "warp/warp_lanes.h"

namespace steadyview::splatting::STEADYVIEW_ISA {
namespace {

using namespace warping::STEADYVIEW_ISA;

#if defined(__AVX2__)

// row_values(plane, r, v) gives the two samples of row r of a plane of `scaled`.
template <int rows, typename Row>
STEADYVIEW_LANE void gather_channels(const ForwardSplatGradient<float>& gradient,
                                     const Tile<float>& tile, int i, const Weights<2, rows>& w,
                                     Mask alive, Floats weight, Floats slope, Row row_values) {
  const ForwardSplat<float>& splat = gradient.forward;
  const int64_t pixels = splat.height * splat.width, channels = splat.channels;
  const int64_t at = tile.row * splat.width + tile.column + i;
  const int count = tile.count - i;
  const Floats zero = ::splat(0);
  Floats by_weight = zero, by_x = zero, by_y = zero;
  for (int64_t c = 0; c <= channels; ++c) {
    const float* plane = gradient.scaled + (tile.n * (channels + 1) + c) * pixels;
    Floats seen = zero, across = zero, down = zero;
    for (int r = 0; r < rows; ++r) {
      Floats v[2];
      row_values(plane, r, v);
      const Floats line = fused(v[1], w.x[1], v[0] * w.x[0]);
      const bool part = rows > 2 && (r < rows - 2 || r >= 2);
      const Floats s = fused(line, w.y[r], seen), x = fused(v[1] - v[0], w.y[r], across);
      const Floats y = fused(line, w.slope_y[r], down);
      seen = part ? select(w.row[r], s, seen) : s;
      across = part ? select(w.row[r], x, across) : x;
      down = part ? select(w.row[r], y, down) : y;
    }
    if (c == channels) {
      by_weight = by_weight + seen;
      by_x = by_x + across;
      by_y = by_y + down;
      break;
    }
    const int64_t own = (tile.n * channels + c) * pixels + at;
    const Floats value = load_some(splat.image + own, count);
    by_weight = fused(value, seen, by_weight);
    by_x = fused(value, across, by_x);
    by_y = fused(value, down, by_y);
    store_some(gradient.grad_image + own, select(alive, weight * seen, zero), count);
  }
  // Zeros may meet what is not finite: that has rules of its own.
  const Floats sums = by_weight + by_x + by_y, nothing = sums - sums;
  if (!all(at_least(nothing, zero))) [[unlikely]] {
    for (int p = 0; p < count && p < kLanes; ++p) {
      splat_maths::gather_gradient(gradient, tile.n, tile.row, tile.column + i + p);
    }
    return;
  }
  float* const flow = gradient.grad_flow + 2 * tile.n * pixels + at;
  store_some(flow, select(alive, weight * by_x, zero), count);
  store_some(flow + pixels, select(alive, weight * by_y, zero), count);
  if (gradient.grad_metric) {
    store_some(gradient.grad_metric + tile.n * pixels + at, select(alive, slope * by_weight, zero),
               count);
  }
}

template <int span>
STEADYVIEW_LANE void gather_window(const ForwardSplatGradient<float>& gradient,
                                   const Tile<float>& tile, int i, Ints deal, Ints start_row,
                                   int64_t start, Mask alive, Floats weight, Floats slope) {
  Weights<2, 2 + span> w;
  find_weights<Filter::bilinear, true>(tile, i, start_row, w);
  const Ints next = add(deal, splat_int(1));
  const int64_t width = gradient.forward.width;
  gather_channels(gradient, tile, i, w, alive, weight, slope,
                  [&](const float* plane, int r, Floats* v) __attribute__((always_inline)) {
                    Floats low, high;
                    load_window(plane + start + r * width, &low, &high);
                    v[0] = pick(low, high, deal);
                    v[1] = pick(low, high, next);
                  });
}

__attribute__((noinline)) void gather_anywhere(const ForwardSplatGradient<float>& gradient,
                                               const Tile<float>& tile, int i, Mask alive,
                                               Floats weight, Floats slope) {
  const ForwardSplat<float>& splat = gradient.forward;
  Weights<2, 2> w;
  find_weights<Filter::bilinear, true>(tile, i, splat_int(0), w);
  Ints columns[2], lines[2];
  Mask across[2], down[2];
  for (int k = 0; k < 2; ++k) {
    const Ints x = add(load_ints(tile.x + i), splat_int(k));
    const Ints y = add(load_ints(tile.y + i), splat_int(k));
    const int width = static_cast<int>(splat.width), height = static_cast<int>(splat.height);
    across[k] = both(alive, below(x, width));
    down[k] = below(y, height);
    columns[k] = lower(higher(x, splat_int(0)), splat_int(width - 1));
    lines[k] = multiply(lower(higher(y, splat_int(0)), splat_int(height - 1)), splat_int(width));
  }
  gather_channels(gradient, tile, i, w, alive, weight, slope,
                  [&](const float* plane, int r, Floats* v) __attribute__((always_inline)) {
                    for (int k = 0; k < 2; ++k) {
                      v[k] = gather_or(::splat(0), both(across[k], down[r]), plane,
                                       add(columns[k], lines[r]));
                    }
                  });
}

// kLanes source pixels from pixel i of the tile on.
inline void gather_lanes(const ForwardSplatGradient<float>& gradient, const Tile<float>& tile,
                         int i, const float* weights, const float* slopes) {
  const ForwardSplat<float>& splat = gradient.forward;
  const auto smaller = [](int a, int b) { return a < b ? a : b; };
  const int end = smaller(i + kLanes, tile.count) - 1, slack = (kWindow - kLanes - 2) / 4;
  const int fits =
      smaller(smaller(tile.x[i], tile.x[end]) - slack, static_cast<int>(splat.width) - kWindow);
  const int left = fits > 0 ? fits : 0, top = smaller(tile.y[i], tile.y[end]);
  const Ints x = load_ints(tile.x + i);
  const Mask alive = opposite(equal(x, kHole));
  const Ints deal = add(x, splat_int(-left)),
             start_row = add(load_ints(tile.y + i), splat_int(-top));
  const Floats weight = load_floats(weights + i), slope = load_floats(slopes + i);
  const int64_t start = int64_t{top} * splat.width + left, most = splat.height - 2 - top;
  const bool near = splat.width >= kWindow && top >= 0 && all(below(deal, kWindow - 1));
  if (near && most >= 0 && all(below(start_row, 1))) {
    gather_window<0>(gradient, tile, i, deal, start_row, start, alive, weight, slope);
  } else if (near && most >= 1 && all(below(start_row, 2))) {
    gather_window<1>(gradient, tile, i, deal, start_row, start, alive, weight, slope);
  } else if (near && most >= kMostSpan && all(below(start_row, kMostSpan + 1))) {
    gather_window<kMostSpan>(gradient, tile, i, deal, start_row, start, alive, weight, slope);
  } else {
    gather_anywhere(gradient, tile, i, alive, weight, slope);
  }
}

#endif

}  // namespace
}  // namespace steadyview::splatting::STEADYVIEW_ISA
