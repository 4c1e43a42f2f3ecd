// Rows of the tensor warp; compiled once for each instruction set.
#include <cstring>

#include "warp/warp_lanes.h"

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

template <Filter filter, typename T, typename S>
void warp_rows_of(const BackwardWarp<T, S>& warp, const double* basis, int64_t first,
                  int64_t last) {
  Tile<T> tile;
  [[maybe_unused]] const bool lanes = use_lanes(warp);
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / warp.output_height, row = i % warp.output_height;
    for (int64_t column = 0; column < warp.output_width; column += kWarpTile) {
      fill_tile(warp, basis, n, row, column, tile);
#if defined(__AVX2__)
      if constexpr (sizeof(T) == 4) {
        for (int k = 0; lanes && k < tile.count; k += kLanes) {
          warp_lanes<filter, false>(warp, nullptr, tile, k, warp.output);
        }
        if (lanes) continue;
      }
#endif
      for (int k = 0; k < tile.count; ++k) {
        warp_pixel<filter>(warp, point_of(tile, k), n, row * warp.output_width + column + k);
      }
    }
  }
}

template <Filter filter, typename T>
void gradient_rows_of(const BackwardWarpGradient<T>& gradient, const double* basis, int64_t first,
                      int64_t last) {
  const BackwardWarp<T>& warp = gradient.forward;
  Tile<T> tile;
  [[maybe_unused]] const bool lanes = use_lanes(warp);
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / warp.output_height, row = i % warp.output_height;
    for (int64_t column = 0; column < warp.output_width; column += kWarpTile) {
      fill_tile(warp, basis, n, row, column, tile);
#if defined(__AVX2__)
      if constexpr (sizeof(T) == 4) {
        for (int k = 0; lanes && k < tile.count; k += kLanes) {
          warp_lanes<filter, true>(warp, gradient.grad_output, tile, k, gradient.grad_points);
        }
        if (lanes) continue;
      }
#endif
      for (int k = 0; k < tile.count; ++k) {
        pixel_gradient<filter>(gradient, point_of(tile, k), n,
                               row * warp.output_width + column + k);
      }
    }
  }
}

}  // namespace

template <typename T, typename S>
void warp_rows(const BackwardWarp<T, S>& warp, const double* basis, int64_t first, int64_t last) {
  const auto rows = warp.filter == Filter::bilinear      ? warp_rows_of<Filter::bilinear, T, S>
                    : warp.filter == Filter::bicubic     ? warp_rows_of<Filter::bicubic, T, S>
                    : warp.filter == Filter::catmull_rom ? warp_rows_of<Filter::catmull_rom, T, S>
                                                         : warp_rows_of<Filter::lanczos3, T, S>;
  rows(warp, basis, first, last);
}

template <typename T>
void gradient_rows(const BackwardWarpGradient<T>& gradient, const double* basis, int64_t first,
                   int64_t last) {
  const Filter filter = gradient.forward.filter;
  const auto rows = filter == Filter::bilinear      ? gradient_rows_of<Filter::bilinear, T>
                    : filter == Filter::bicubic     ? gradient_rows_of<Filter::bicubic, T>
                    : filter == Filter::catmull_rom ? gradient_rows_of<Filter::catmull_rom, T>
                                                    : gradient_rows_of<Filter::lanczos3, T>;
  rows(gradient, basis, first, last);
}

template void warp_rows(const BackwardWarp<float>&, const double*, int64_t, int64_t);
template void warp_rows(const BackwardWarp<double>&, const double*, int64_t, int64_t);
template void warp_rows(const BackwardWarp<float, uint8_t>&, const double*, int64_t, int64_t);
template void gradient_rows(const BackwardWarpGradient<float>&, const double*, int64_t, int64_t);
template void gradient_rows(const BackwardWarpGradient<double>&, const double*, int64_t, int64_t);

}  // namespace steadyview::warping::STEADYVIEW_ISA
