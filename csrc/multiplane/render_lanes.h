#pragma once

// Samples of planes of float in vectors: part of render_rows.cpp, compiled for AVX2 and AVX-512; as
// in warp_lanes.h, neighbours mostly look at neighbouring points.

#include <cstring>

#include "multiplane/multiplane.h"
#include "warp/warp_lanes.h"

namespace steadyview::multiplane::STEADYVIEW_ISA {
namespace {

using namespace warping::STEADYVIEW_ISA;

#if defined(__AVX2__)

// row_values(plane, r, v) gives the two samples of row r of a channel; lanes of `alive` see some.
template <int rows, typename Row>
STEADYVIEW_LANE void sample_channels(const MultiplaneRender<float>& r, const float* plane,
                                     const Weights<2, rows>& w, Mask alive, float* values,
                                     Row row_values) {
  const int64_t size = r.height * r.width, channels = r.channels;
  for (int64_t c = 0; c < channels; ++c, plane += size, values += kWarpTile) {
    Floats sum = splat(0);
    for (int k = 0; k < rows; ++k) {
      Floats v[2];
      row_values(plane, k, v);
      const Floats next = fused(fused(v[1], w.x[1], v[0] * w.x[0]), w.y[k], sum);
      sum = rows > 2 && (k < rows - 2 || k >= 2) ? select(w.row[k], next, sum) : next;
    }
    store_floats(values, select(alive, sum, splat(0)));
  }
}

template <int span>
STEADYVIEW_LANE void sample_window(const MultiplaneRender<float>& r, const float* plane,
                                   const Tile<float>& tile, int i, Ints deal, Ints start_row,
                                   int64_t start, Mask alive, float* values) {
  Weights<2, 2 + span> w;
  find_weights<Filter::bilinear, false>(tile, i, start_row, w);
  const Ints next = add(deal, splat_int(1));
  const int64_t width = r.width;
  sample_channels(r, plane, w, alive, values,
                  [&](const float* from, int k, Floats* v) __attribute__((always_inline)) {
                    Floats low, high;
                    load_window(from + start + k * width, &low, &high);
                    v[0] = pick(low, high, deal);
                    v[1] = pick(low, high, next);
                  });
}

// Any kLanes pixels; what lies beyond the plane is 0.
__attribute__((noinline)) void sample_anywhere(const MultiplaneRender<float>& r, const float* plane,
                                               const Tile<float>& tile, int i, Mask alive,
                                               float* values) {
  Weights<2, 2> w;
  find_weights<Filter::bilinear, false>(tile, i, splat_int(0), w);
  const int width = static_cast<int>(r.width), height = static_cast<int>(r.height);
  Ints columns[2], lines[2];
  Mask across[2], down[2];
  for (int k = 0; k < 2; ++k) {
    const Ints x = add(load_ints(tile.x + i), splat_int(k));
    const Ints y = add(load_ints(tile.y + i), splat_int(k));
    across[k] = both(alive, below(x, width));
    down[k] = below(y, height);
    columns[k] = lower(higher(x, splat_int(0)), splat_int(width - 1));
    lines[k] = multiply(lower(higher(y, splat_int(0)), splat_int(height - 1)), splat_int(width));
  }
  sample_channels(r, plane, w, alive, values,
                  [&](const float* from, int j, Floats* v) __attribute__((always_inline)) {
                    for (int k = 0; k < 2; ++k) {
                      v[k] = gather_or(splat(0), both(across[k], down[j]), from,
                                       add(columns[k], lines[j]));
                    }
                  });
}

// Samples of all channels for kLanes pixels from pixel i of the tile on; values of a channel are
// kWarpTile apart.
inline void sample_lanes(const MultiplaneRender<float>& r, const float* plane,
                         const Tile<float>& tile, int i, float* values) {
  const auto smaller = [](int a, int b) { return a < b ? a : b; };
  const int end = smaller(i + kLanes, tile.count) - 1;
  const int first = smaller(tile.x[i], tile.x[end]);
  const int fits =
      smaller(window_start(first, tile.x[i], tile.x[end], 2), static_cast<int>(r.width) - kWindow);
  const int left = fits > 0 ? fits : 0, top = smaller(tile.y[i], tile.y[end]);
  const Ints x = load_ints(tile.x + i);
  const Mask alive = opposite(equal(x, kHole));
  const Ints deal = add(x, splat_int(-left));
  const Ints start_row = add(load_ints(tile.y + i), splat_int(-top));
  const int64_t start = int64_t{top} * r.width + left, most = r.height - 2 - top;
  const bool near = r.width >= kWindow && top >= 0 && all(below(deal, kWindow - 1));
  if (near && most >= 0 && all(below(start_row, 1))) {
    sample_window<0>(r, plane, tile, i, deal, start_row, start, alive, values);
  } else if (near && most >= 1 && all(below(start_row, 2))) {
    sample_window<1>(r, plane, tile, i, deal, start_row, start, alive, values);
  } else {
    sample_anywhere(r, plane, tile, i, alive, values);
  }
}

#endif

}  // namespace
}  // namespace steadyview::multiplane::STEADYVIEW_ISA
