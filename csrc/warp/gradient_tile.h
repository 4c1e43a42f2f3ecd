#pragma once

// The gradient by the source points of a tile: part of warp_rows.cpp and warp_scatter.cpp, compiled
// for each instruction set.

#include "warp/warp_lanes.h"
#include "warp/warp_tiles.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

// Whether the vector code serves: offsets are 32-bit numbers, uint8 is gathered by four, and
// mirrored taps are folded a few times only.
template <typename T, typename S>
bool use_lanes([[maybe_unused]] const BackwardWarp<T, S>& warp) {
#if defined(__AVX2__)
  return sizeof(T) == 4 && warp.width >= 8 && warp.height >= 8 &&
         warp.width * warp.height < (int64_t{1} << 31) - kWarpTile;
#else
  return false;
#endif
}

template <typename T>
Point<T> point_of(const Tile<T>& tile, int i) {
  return {tile.x[i], tile.y[i], tile.tx[i], tile.ty[i]};
}

template <Filter filter, typename T>
void gradient_tile(const BackwardWarpGradient<T>& gradient, const Tile<T>& tile,
                   [[maybe_unused]] bool lanes) {
#if defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    for (int k = 0; lanes && k < tile.count; k += kLanes) {
      warp_lanes<filter, true>(gradient.forward, gradient.grad_output, tile, k,
                               gradient.grad_points);
    }
    if (lanes) return;
  }
#endif
  const int64_t first = tile.row * gradient.forward.output_width + tile.column;
  for (int k = 0; k < tile.count; ++k) {
    pixel_gradient<filter>(gradient, point_of(tile, k), tile.n, first + k);
  }
}

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA
