#pragma once

// Sums of bilinear shares in a band of an image's rows, sixteen pixels at a time: part of
// warp_scatter.cpp, compiled for AVX-512.
//
// Neighbouring pixels mostly look at neighbouring points. Of sixteen, those that look into the same
// row, and whose column less their own is one of two neighbouring numbers, give to three columns
// each: a plane's values are turned until each lies in the lane of the column that it falls on.
// Where the motion changes slowly, sixteen pixels are one such class or two. Tiles where it does
// not go to PairSums, which are added in the end.

#include <algorithm>

#include "warp/lanes.h"
#include "warp/pair_sums.h"

#if defined(__AVX512BW__)

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

struct LaneSums {
  static constexpr int kMostSteps = kWarpTile / 4;  // changes of whole displacement in a calm tile
  static constexpr int kGroups = kWarpTile / kLanes;

  float* sums;    // the band's first row in the first plane
  int64_t plane;  // pixels from plane to plane
  int channels;
  PairSums<float> quads;                      // has the band and the tile
  bool has_lanes = false, has_quads = false;  // which sums there are: else they are not even zero

  static BandMemory memory_of(int64_t rows, int64_t width) {
    return {band_size(Filter::bilinear, rows, width), 0};
  }
  // memory: as memory_of(); out: where the sums go in the end, `plane_size` numbers from channel to
  // channel.
  void begin(float* memory, int channel_count, int64_t plane_size, float* out) {
    quads.sums = memory;
    channels = channel_count;
    plane = plane_size;
    sums = out;
  }

  // Adds what the tile's pixels give to the band: their values in the planes.
  void add_tile(const float* const* planes) {
    if (quads.border == Border::reflect) quads.look_inside();
    Points points;
    if (find_points(points) <= kMostSteps) {
      if (!has_lanes) clear();
      has_lanes = true;
      for (int g = 0; g * kLanes < quads.tile.count; ++g) add_group(planes, points, g);
    } else {
      const int64_t size = band_size(Filter::bilinear, quads.last - quads.first, quads.width);
      if (!has_quads) std::fill_n(quads.sums, size, 0.0f);
      has_quads = true;
      load_quads(planes, quads.tile.count, quads.values);
      quads.add_tile();
    }
  }

  // Puts together what belongs to the same pixel.
  void finish() const {
    if (!has_quads) {
      if (!has_lanes) clear();
      return;
    }
    quads.fold();
    has_lanes ? put_quads<true>(quads, channels, plane, quads.width, sums)
              : put_quads<false>(quads, channels, plane, quads.width, sums);
  }

 private:
  void clear() const {
    const int64_t size = (quads.last - quads.first) * quads.width;
    for (int c = 0; c < channels; ++c) std::fill_n(sums + c * plane, size, 0.0f);
  }

  // Of the tile's pixels, brought next to the image; a group is kLanes of them.
  struct Points {
    alignas(64) int start[kWarpTile];  // the column that a pixel sees first, less its lane
    alignas(64) int row[kWarpTile];
    unsigned alive[kGroups];                 // lanes that add
    unsigned left[kGroups], right[kGroups];  // of these, those that see but one column: the edge
  };

  // Returns how often the whole displacement changes.
  STEADYVIEW_LANE int find_points(Points& points) const {
    const Tile<float>& tile = quads.tile;
    const Ints right = splat_int(static_cast<int>(quads.width) - 1), before = splat_int(-1);
    const Ints bottom = splat_int(static_cast<int>(quads.height) - 1);
    // Each lane against the next, the last against itself.
    const Ints next = lower(add(lane_numbers(), splat_int(1)), splat_int(kLanes - 1));
    const bool constant = quads.border == Border::constant;
    int steps = 0;
    for (int g = 0, i = 0; i < tile.count; ++g, i += kLanes) {
      const Ints x = load_ints(tile.x + i), y = load_ints(tile.y + i);
      const Ints near_x = lower(higher(x, before), right);
      const Ints near_y = lower(higher(y, before), bottom);
      const unsigned here = tile.count - i < kLanes ? (1u << (tile.count - i)) - 1 : 0xFFFFu;
      unsigned alive = here & _mm512_cmpneq_epi32_mask(x, splat_int(kHole));
      if (constant) {
        alive &= _mm512_cmpeq_epi32_mask(x, near_x) & _mm512_cmpeq_epi32_mask(y, near_y);
      }
      const Ints start = subtract(near_x, lane_numbers());
      points.alive[g] = alive;
      points.left[g] = constant ? 0 : alive & equal(near_x, -1);
      points.right[g] = constant ? 0 : alive & _mm512_cmpeq_epi32_mask(near_x, right);
      store_ints(points.start + i, start);
      store_ints(points.row + i, near_y);
      const unsigned moves =
          _mm512_cmpneq_epi32_mask(start, _mm512_permutexvar_epi32(next, start)) |
          _mm512_cmpneq_epi32_mask(near_y, _mm512_permutexvar_epi32(next, near_y));
      steps += __builtin_popcount(moves & alive & ~(points.left[g] | points.right[g]));
    }
    return steps;
  }

  // The rows of the first plane that pixels at row v see; null where they are not of the band.
  struct Lines {
    float* at[2];
  };
  Lines lines_of(int v) const {
    Lines lines;
    for (int j = 0; j < 2; ++j) {
      const int64_t y = int64_t{v} + j, low = y < 0 ? 0 : y;
      const int64_t near =
          low < quads.height ? low : quads.height - 1;  // what lies beside the image
      const bool lost = near != y && quads.border == Border::constant;  // belongs to its edge
      const bool own = near >= quads.first && near < quads.last && !lost;
      lines.at[j] = own ? sums + (near - quads.first) * quads.width : nullptr;
    }
    return lines;
  }

  STEADYVIEW_LANE void add_group(const float* const* planes, const Points& points, int g) const {
    const int i = g * kLanes, *const start = points.start + i, *const row = points.row + i;
    const Ints starts = load_ints(start), rows = load_ints(row);
    const unsigned edge = points.left[g] | points.right[g];
    if (edge != 0) {
      add_edge(planes, i, 0, points.left[g], row);
      add_edge(planes, i, quads.width - 1, points.right[g], row);
    }
    for (unsigned left = points.alive[g] & ~edge; left != 0;) {
      const int one = __builtin_ctz(left), other = 31 - __builtin_clz(left);
      const int u = start[other] < start[one] ? start[one] - 1 : start[one], v = row[one];
      const Mask same_row = static_cast<Mask>(left) & equal(rows, v);
      const unsigned here = same_row & equal(starts, u);
      const unsigned next = same_row & equal(starts, u + 1);
      left &= ~(here | next);
      // A class in its order is the same in all bands: sums do not depend on them.
      const Lines lines = lines_of(v);
      if (!lines.at[0] && !lines.at[1]) continue;
      // The kLanes + 2 columns lie in two vectors, which are whole ones of the line where they can.
      const int within = u & (kLanes - 1), shift = within < kLanes - 1 ? within : kLanes - 2;
      if (u >= shift && u - shift + 2 * kLanes <= quads.width) [[likely]] {
        add_class<true>(planes, i, u - shift, shift, lines, here, next);
      } else {
        add_class_at_edge(planes, i, u - shift, shift, lines, here, next);
      }
    }
  }

  // Pixels that see but one column.
  void add_edge(const float* const* planes, int i, int64_t column, unsigned pixels,
                const int* row) const {
    const Floats ty = load_floats(quads.tile.ty + i), before = splat(1) - ty;
    const Ints rows = load_ints(row);
    while (pixels != 0) {
      const int v = row[__builtin_ctz(pixels)];
      const Mask here = static_cast<Mask>(pixels) & equal(rows, v);
      pixels &= ~here;
      const Lines lines = lines_of(v);
      for (int c = 0; c < channels; ++c) {
        const Floats values = _mm512_maskz_loadu_ps(here, planes[c] + i);
        for (int j = 0; j < 2; ++j) {
          if (!lines.at[j]) continue;
          lines.at[j][c * plane + column] += _mm512_reduce_add_ps(values * (j == 0 ? before : ty));
        }
      }
    }
  }

  __attribute__((noinline)) void add_class_at_edge(const float* const* planes, int i,
                                                   int64_t column, int shift, Lines lines,
                                                   unsigned here, unsigned next) const {
    add_class<false>(planes, i, column, shift, lines, here, next);
  }

  // Pixels that see the same rows: lane k of `here` from column + shift + k on, lane k of `next`
  // from the one after it on. Unless kInside, some of the 2 kLanes columns are not the image's.
  template <bool kInside>
  STEADYVIEW_LANE void add_class(const float* const* planes, int i, int64_t column, int shift,
                                 const Lines& lines, unsigned here, unsigned next) const {
    const Floats tx = load_floats(quads.tile.tx + i), ty = load_floats(quads.tile.ty + i);
    const Floats one = splat(1), before = one - tx;
    const Floats across[3] = {before, select(static_cast<Mask>(here), tx, before), tx};
    const unsigned givers[3] = {here, here | next, next};
    Ints turn[3];
    Mask low[3], high[3];
    Floats weights[2][3];
    for (int k = 0; k < 3; ++k) {
      turn[k] = subtract(lane_numbers(), splat_int(shift + k));
      low[k] = static_cast<Mask>(givers[k] << (shift + k));
      high[k] = static_cast<Mask>(givers[k] << (shift + k) >> kLanes);
      weights[0][k] = turned(across[k] * (one - ty), turn[k]);
      weights[1][k] = turned(across[k] * ty, turn[k]);
    }
    const Mask inside[2] = {columns_inside(column), columns_inside(column + kLanes)};
    for (int c = 0; c < channels; ++c) {
      const Floats values = _mm512_maskz_loadu_ps(static_cast<Mask>(givers[1]), planes[c] + i);
      const Floats value[3] = {turned(values, turn[0]), turned(values, turn[1]),
                               turned(values, turn[2])};
      for (int j = 0; j < 2; ++j) {
        if (!lines.at[j]) continue;
        float* const at = lines.at[j] + c * plane + column;
        Floats low_sum = kInside ? load_floats(at) : _mm512_maskz_loadu_ps(inside[0], at);
        Floats high_sum =
            kInside ? load_floats(at + kLanes) : _mm512_maskz_loadu_ps(inside[1], at + kLanes);
        for (int k = 0; k < 3; ++k) {
          low_sum = _mm512_mask3_fmadd_ps(value[k], weights[j][k], low_sum, low[k]);
          high_sum = _mm512_mask3_fmadd_ps(value[k], weights[j][k], high_sum, high[k]);
        }
        if constexpr (kInside) {
          store_floats(at, low_sum);
          store_floats(at + kLanes, high_sum);
        } else {
          _mm512_mask_storeu_ps(at, inside[0], low_sum);
          _mm512_mask_storeu_ps(at + kLanes, inside[1], high_sum);
        }
      }
    }
  }

  Mask columns_inside(int64_t column) const {
    const Ints columns = add(lane_numbers(), splat_int(static_cast<int>(column)));
    return below(columns, static_cast<int>(quads.width));
  }

  static STEADYVIEW_LANE Ints lane_numbers() {
    return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  }
  // Lane i of the result is lane index[i] modulo kLanes.
  static STEADYVIEW_LANE Floats turned(Floats a, Ints index) {
    return _mm512_permutexvar_ps(index, a);
  }
};

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA

#endif
