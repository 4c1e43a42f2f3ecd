// Rows of the tensor warp; compiled once for each instruction set.
#include <cstring>

#include "warp/gradient_tile.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

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
  const bool lanes = use_lanes(warp);
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / warp.output_height, row = i % warp.output_height;
    for (int64_t column = 0; column < warp.output_width; column += kWarpTile) {
      fill_tile(warp, basis, n, row, column, tile);
      gradient_tile<filter>(gradient, tile, lanes);
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
