#pragma once

// Sums of bilinear shares in a band of an image's rows: part of warp_scatter.cpp and of the splat,
// compiled for each instruction set.
//
// A pixel's taps lie in two rows. An entry (x, y) holds what such pixels give to (x, y), four
// channels, and beside it what they give to (x, y + 1): a pixel adds to two neighbouring entries,
// and of pixels in a row the second addition of one and the first of the next are one. In the end
// the two parts of each row are put together.

#include "warp/quads.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

template <typename T>
struct PairSums {
  using Quad = typename QuadOf<T>::type;
  using Pair = typename QuadOf<T>::pair;
  T* sums;              // as many as band_size(), zero on entry; aligned to 64 bytes
  int64_t first, last;  // rows of the band, last excluded
  int64_t height, width;
  Border border;
  Tile<T> tile;                        // pixels that add
  alignas(64) Quad values[kWarpTile];  // what they add

  Pair* entries() const { return reinterpret_cast<Pair*>(sums); }

  // Index of an entry. Rows first - 1 ... last - 1 have some, and columns -1 ... width; the two
  // before are for what nobody reads.
  int64_t entry(int64_t x, int64_t y) const { return (y - first + 1) * (width + 2) + x + 3; }

  // Adds what the tile's pixels give to the band, in their order.
  void add_tile() {
    if (border == Border::reflect) look_inside();
    alignas(64) int64_t at[kWarpTile];
    find_entries(at);
    constexpr Pair one{1, 1, 1, 1}, sign{-1, -1, -1, -1, 1, 1, 1, 1};
    Pair* const all = entries();
    Pair carry{};  // for the entry after that of the pixel before
    int64_t before = 0;
    for (int p = 0; p < tile.count; ++p) {
      const Pair value = __builtin_shufflevector(values[p], values[p], 0, 1, 2, 3, 0, 1, 2, 3);
      const Pair part = value * (sign * tile.ty[p] + one);  // by 1 - ty and ty
      const Pair left = part * (T(1) - tile.tx[p]), right = part * tile.tx[p];
      const int64_t step = at[p] - before;
      before = at[p];
      if (step == 1) [[likely]] {
        all[before] += carry + left;
        carry = right;
      } else if (step == 0) {
        all[before] += left;
        carry += right;
      } else {
        all[before - step + 1] += carry;
        all[before] += left;
        carry = right;
      }
    }
    all[before + 1] += carry;
  }

  // What is seen in the mirror, is seen where it stands: the other way round.
  void look_inside() {
    mirror(static_cast<int>(width), tile.x, tile.tx);
    mirror(static_cast<int>(height), tile.y, tile.ty);
  }

  // Puts together what belongs to the same pixel. Then total() is right.
  void fold() const {
    if (border == Border::constant) return;  // what fell beyond the image is lost
    for (int64_t y = first - 1; y < last; ++y) {
      Pair* const line = entries() + entry(0, y);
      line[0] += line[-1];
      line[width - 1] += line[width];
    }
    const auto move = [&](int64_t y, int from) {
      T* const line = sums + 8 * entry(0, y);
      for (int64_t i = 0; i < 8 * width; i += 8) {
        for (int64_t c = i; c < i + 4; ++c) line[c + 4 - from] += line[c + from];
      }
    };
    if (first == 0) move(-1, 0);
    if (last == height) move(height - 1, 4);
  }

  // The sum of a pixel.
  void total(int64_t x, int64_t y, Quad* sum) const {
    const Pair own = entries()[entry(x, y)], above = entries()[entry(x, y - 1)];
    *sum = __builtin_shufflevector(own, own, 0, 1, 2, 3) +
           __builtin_shufflevector(above, above, 4, 5, 6, 7);
  }

 private:
  void mirror(int size, int* __restrict whole, T* __restrict rest) const {
    for (int p = 0; p < tile.count; ++p) {
      const int i = whole[p];
      const bool before = (i < -1) & (i != kHole), after = i >= size;
      whole[p] = before ? -2 - i : after ? 2 * size - 2 - i : i;
      rest[p] = before | after ? T(1) - rest[p] : rest[p];
    }
  }

  void find_entries(int64_t* __restrict at) const {
    const int right = static_cast<int>(width) - 1, bottom = static_cast<int>(height) - 1;
    const int top = static_cast<int>(first) - 1, end = static_cast<int>(last);
    const int64_t stride = width + 2;
    const bool replicate = border == Border::replicate;
    for (int p = 0; p < tile.count; ++p) {
      const int x = tile.x[p], y = tile.y[p];
      const int low_x = x < -1 ? -1 : x, low_y = y < -1 ? -1 : y;
      const int near_x = low_x > right ? right : low_x, near_y = low_y > bottom ? bottom : low_y;
      const bool inside = replicate | ((near_x == x) & (near_y == y));
      const bool here = inside & (x != kHole) & (near_y >= top) & (near_y < end);
      const int64_t found = static_cast<int64_t>(near_y - top) * stride + near_x + 3;
      at[p] = here ? found : 0;
    }
  }
};

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA
