#pragma once

// Sums of what pixels add to a band of an image's rows, for the wider filters (bilinear ones have
// pair_sums.h): part of warp_scatter.cpp, compiled for each instruction set.

#include "warp/quads.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

// Weights of a tile's taps.
template <Filter filter, typename T>
struct TileWeights {
  static constexpr int count = filter_taps(filter);
  alignas(64) T x[count][kWarpTile], y[count][kWarpTile];
};

template <Filter filter, typename T>
void find_tile_weights(const T* __restrict t, int size, T (*__restrict weights)[kWarpTile]) {
  for (int i = 0; i < size; ++i) {
    T w[filter_taps(filter)];
    filter_weights<filter, T>(t[i], T(1), w);
    for (int k = 0; k < filter_taps(filter); ++k) weights[k][i] = w[k];
  }
}

template <typename T>
struct BandSums {
  using Quad = typename QuadOf<T>::type;
  T* sums;              // (last - first + 2, width, 4), zero on entry; aligned to 64 bytes
  int64_t first, last;  // rows of the band, last excluded
  int64_t height, width;
  Border border;
  Tile<T> tile;                        // pixels that add
  alignas(64) Quad values[kWarpTile];  // what they add

  // A line of the band; there is one more before the first and after the last, which nobody reads.
  Quad* line(int64_t y) const { return reinterpret_cast<Quad*>(sums) + (y - first + 1) * width; }

  // The sum of a pixel.
  void total(int64_t x, int64_t y, Quad* sum) const { *sum = line(y)[x]; }

  template <Filter filter>
  void add_tile(TileWeights<filter, T>& weights) {
    find_tile_weights<filter>(tile.tx, tile.count, weights.x);
    find_tile_weights<filter>(tile.ty, tile.count, weights.y);
    for (int j = 0; j < weights.count; j += 2) add_rows(weights, j);
  }

  // Any pixel: its taps may meet at the image's edge, or see what lies beyond it.
  template <Filter filter>
  void add_pixel(const TileWeights<filter, T>& w, int p) {
    constexpr int count = TileWeights<filter, T>::count;
    const bool constant = border == Border::constant;
    for (int j = 0; j < count; ++j) {
      const int64_t y = int64_t{tile.y[p]} + j + 1 - count / 2;
      const int64_t near_y = tap_index(y, height, border);
      if (near_y < first || near_y >= last || (constant && near_y != y)) continue;
      const Quad part = values[p] * w.y[j][p];
      for (int k = 0; k < count; ++k) {
        const int64_t x = int64_t{tile.x[p]} + k + 1 - count / 2;
        const int64_t near_x = tap_index(x, width, border);
        if (!constant || near_x == x) line(near_y)[near_x] += part * w.x[k][p];
      }
    }
  }

  // Adds the taps of rows j and j + 1. Neighbouring pixels mostly see neighbouring taps: the sums
  // of their columns stay in registers and move along.
  template <Filter filter>
  void add_rows(const TileWeights<filter, T>& w, int j) {
    constexpr int count = TileWeights<filter, T>::count;
    const int most_x = static_cast<int>(width) - count, most_y = static_cast<int>(height) - count;
    const int above = static_cast<int>(first) - 1 - j, below = static_cast<int>(last) - j;
    const int64_t next_line = width;
    Quad upper[count] = {}, lower[count] = {};
    Quad* place = nullptr;  // of upper[0]; null while no sums are kept
    int x = kHole, y = kHole;
    const auto flush = [&]() __attribute__((always_inline)) {
      if (!place) return;
      for (int k = 0; k < count; ++k) {
        place[k] += upper[k];
        place[k + next_line] += lower[k];
        upper[k] = lower[k] = Quad{};
      }
    };
    for (int p = 0; p < tile.count; ++p) {
      const int next_x = tile.x[p] + 1 - count / 2, next_y = tile.y[p] + 1 - count / 2;
      if (place && next_y == y && next_x == x + 1 && next_x <= most_x) [[likely]] {
        place[0] += upper[0];
        place[next_line] += lower[0];
        ++place;
        for (int k = 1; k < count; ++k) {
          upper[k - 1] = upper[k];
          lower[k - 1] = lower[k];
        }
        upper[count - 1] = lower[count - 1] = Quad{};
      } else if (!place || next_y != y || next_x != x) {
        flush();
        place = nullptr;
        if (next_x >= 0 && next_x <= most_x && next_y >= 0 && next_y <= most_y) {
          if (next_y >= above && next_y < below) place = line(next_y + j) + next_x;
        } else if (j == 0 && tile.x[p] != kHole) {
          add_pixel(w, p);
        }
        if (!place) continue;
      }
      x = next_x;
      y = next_y;
      const Quad one = values[p] * w.y[j][p], two = values[p] * w.y[j + 1][p];
      for (int k = 0; k < count; ++k) {
        upper[k] += one * w.x[k][p];
        lower[k] += two * w.x[k][p];
      }
    }
    flush();
  }
};

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA
