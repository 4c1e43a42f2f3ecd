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
  static constexpr int64_t kBefore = kLanes, kAfter = 2 * kLanes;  // columns beside the image

  float* sums;                                // (channels, rows + 2, stride); aligned to 64 bytes
  PairSums<float> quads;                      // has the band and the tile
  bool has_lanes = false, has_quads = false;  // which sums there are: else they are not even zero

  // An odd number of vectors: lines of a power of two would meet in a few sets of the cache.
  static int64_t stride_of(int64_t width) {
    return ((kBefore + width + kAfter + kLanes - 1) / kLanes | 1) * kLanes;
  }
  static int64_t lanes_size(int64_t rows, int64_t width, int64_t channels) {
    return channels * (rows + 2) * stride_of(width);
  }
  static BandMemory memory_of(int64_t rows, int64_t width, int64_t channels) {
    return {lanes_size(rows, width, channels) + band_size(Filter::bilinear, rows, width), 0};
  }
  void use_memory(float* memory, int64_t channels) {
    sums = memory;
    quads.sums = memory + lanes_size(quads.last - quads.first, quads.width, channels);
  }

  // Rows first - 1 ... last have lines.
  float* line(int c, int64_t y) const {
    const int64_t rows = quads.last - quads.first + 2;
    return sums + (c * rows + y - quads.first + 1) * stride_of(quads.width) + kBefore;
  }

  // Adds what the tile's pixels give to the band: their values in the planes.
  void add_tile(const float* const* planes, int channels) {
    const int64_t rows = quads.last - quads.first;
    if (quads.border == Border::reflect) quads.look_inside();
    if (is_calm()) {
      if (!has_lanes) std::fill_n(sums, lanes_size(rows, quads.width, channels), 0.0f);
      has_lanes = true;
      for (int i = 0; i < quads.tile.count; i += kLanes) add_group(planes, channels, i);
    } else {
      const int64_t size = band_size(Filter::bilinear, rows, quads.width);
      if (!has_quads) std::fill_n(quads.sums, size, 0.0f);
      has_quads = true;
      load_quads(planes, quads.tile.count, quads.values);
      quads.add_tile();
    }
  }

  // Puts together what belongs to the same pixel, in planes of `plane` pixels.
  void finish(int channels, int64_t plane, float* out) const {
    const int64_t width = quads.width, first = quads.first, rows = quads.last - first;
    if (has_quads) quads.fold();
    if (has_quads && !has_lanes) return put_quads<false>(quads, channels, plane, width, out);
    if (has_quads) {
      const int64_t apart = line(1, first) - line(0, first);
      put_quads<true>(quads, channels, apart, stride_of(width), line(0, first));
    }
    for (int c = 0; c < channels; ++c, out += plane) {
      if (!has_lanes) {
        std::fill_n(out, rows * width, 0.0f);
        continue;
      }
      if (quads.border != Border::constant) fold(c);
      for (int64_t y = 0; y < rows; ++y) {
        const size_t bytes = static_cast<size_t>(width) * sizeof(float);
        std::memcpy(out + y * width, line(c, first + y), bytes);
      }
    }
  }

 private:
  // What falls on the row and the columns beside the image belongs to its edge.
  void fold(int c) const {
    const int64_t width = quads.width, height = quads.height;
    for (int64_t y = quads.first - 1; y <= quads.last; ++y) {
      float* const at = line(c, y);
      at[0] += at[-1];
      at[width - 1] += at[width];
    }
    if (quads.first == 0) add_line(line(c, -1), line(c, 0));
    if (quads.last == height) add_line(line(c, height), line(c, height - 1));
  }
  void add_line(const float* __restrict from, float* __restrict to) const {
    for (int64_t x = 0; x < quads.width; ++x) to[x] += from[x];
  }

  // Points of kLanes pixels, in columns and rows that have sums.
  struct Group {
    Ints start, row;       // the column that a pixel sees first, less its lane
    unsigned alive;        // lanes that add
    unsigned left, right;  // of these, those that see but the image's first or last column
  };
  STEADYVIEW_LANE Group group_of(int i) const {
    const Tile<float>& tile = quads.tile;
    const Ints right = splat_int(static_cast<int>(quads.width) - 1), before = splat_int(-1);
    const Ints bottom = splat_int(static_cast<int>(quads.height) - 1);
    const Ints x = load_ints(tile.x + i), y = load_ints(tile.y + i);
    const Ints near_x = lower(higher(x, before), right), near_y = lower(higher(y, before), bottom);
    const unsigned here = tile.count - i < kLanes ? (1u << (tile.count - i)) - 1 : 0xFFFFu;
    const unsigned alive = here & _mm512_cmpneq_epi32_mask(x, splat_int(kHole));
    const unsigned far_x = alive & _mm512_cmpneq_epi32_mask(x, near_x);
    const unsigned far_y = alive & _mm512_cmpneq_epi32_mask(y, near_y);
    const Ints start = subtract(near_x, lane_numbers());
    if (quads.border == Border::replicate) {
      return {start, near_y, alive, alive & equal(near_x, -1),
              alive & _mm512_cmpeq_epi32_mask(near_x, right)};
    }
    return {start, near_y, alive & ~(far_x | far_y), 0, 0};
  }

  bool is_calm() const {
    const Tile<float>& tile = quads.tile;
    int steps = 0;
    for (int i = 0; i < tile.count; i += kLanes) {
      const Group group = group_of(i);
      // Each lane against the next, the last against itself.
      const Ints next = lower(add(lane_numbers(), splat_int(1)), splat_int(kLanes - 1));
      const unsigned moves =
          _mm512_cmpneq_epi32_mask(group.start, _mm512_permutexvar_epi32(next, group.start)) |
          _mm512_cmpneq_epi32_mask(group.row, _mm512_permutexvar_epi32(next, group.row));
      steps += __builtin_popcount(moves & group.alive & ~(group.left | group.right));
    }
    return steps <= kMostSteps;
  }

  STEADYVIEW_LANE void add_group(const float* const* planes, int channels, int i) const {
    const Group group = group_of(i);
    alignas(64) int start[kLanes], row[kLanes];
    store_ints(start, group.start);
    store_ints(row, group.row);
    const unsigned edge = group.left | group.right;
    if (edge != 0) {
      add_edge(planes, channels, i, 0, group.left, group.row);
      add_edge(planes, channels, i, quads.width - 1, group.right, group.row);
    }
    for (unsigned left = group.alive & ~edge; left != 0;) {
      const int one = __builtin_ctz(left), other = 31 - __builtin_clz(left);
      const int u = start[other] < start[one] ? start[one] - 1 : start[one], v = row[one];
      const Mask same_row = static_cast<Mask>(left) & equal(group.row, v);
      const unsigned here = same_row & equal(group.start, u);
      const unsigned next = same_row & equal(group.start, u + 1);
      left &= ~(here | next);
      // A class in its order is the same in all bands: sums do not depend on them.
      if (has_line(v)) add_class(planes, channels, i, u, v, here, next);
    }
  }

  bool has_line(int v) const { return v >= quads.first - 1 && v < quads.last; }

  // Pixels that see but one column.
  void add_edge(const float* const* planes, int channels, int i, int64_t column, unsigned pixels,
                Ints rows) const {
    const Floats ty = load_floats(quads.tile.ty + i), before = splat(1) - ty;
    alignas(64) int row[kLanes];
    store_ints(row, rows);
    while (pixels != 0) {
      const int v = row[__builtin_ctz(pixels)];
      const Mask here = static_cast<Mask>(pixels) & equal(rows, v);
      pixels &= ~here;
      if (!has_line(v)) continue;
      for (int c = 0; c < channels; ++c) {
        const Floats values = _mm512_maskz_loadu_ps(here, planes[c] + i);
        line(c, v)[column] += _mm512_reduce_add_ps(values * before);
        line(c, v + 1)[column] += _mm512_reduce_add_ps(values * ty);
      }
    }
  }

  // Pixels that see rows v and v + 1: lane k of `here` from column u + k on, lane k of `next` from
  // column u + 1 + k on.
  STEADYVIEW_LANE void add_class(const float* const* planes, int channels, int i, int u, int v,
                                 unsigned here, unsigned next) const {
    // The kLanes + 2 columns lie in two vectors, which are whole ones of the line where they can.
    const int within = u & (kLanes - 1), shift = within < kLanes - 1 ? within : kLanes - 2;
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
    const int64_t stride = stride_of(quads.width);
    for (int c = 0; c < channels; ++c) {
      const Floats values = _mm512_maskz_loadu_ps(static_cast<Mask>(givers[1]), planes[c] + i);
      const Floats value[3] = {turned(values, turn[0]), turned(values, turn[1]),
                               turned(values, turn[2])};
      float* at = line(c, v) + u - shift;
      for (int j = 0; j < 2; ++j, at += stride) {
        Floats low_sum = load_floats(at), high_sum = load_floats(at + kLanes);
        for (int k = 0; k < 3; ++k) {
          low_sum = _mm512_mask3_fmadd_ps(value[k], weights[j][k], low_sum, low[k]);
          high_sum = _mm512_mask3_fmadd_ps(value[k], weights[j][k], high_sum, high[k]);
        }
        store_floats(at, low_sum);
        store_floats(at + kLanes, high_sum);
      }
    }
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
