// Gradients of the tensor warp by the image and by the terms of a motion; compiled once for each
// instruction set.
//
// A band of the image's rows gathers, in the order of the output's pixels, all that falls on it:
// sums do not depend on the bands, nor on who works on them.
#include <limits>
#include <type_traits>

#include "warp/band_sums.h"
#include "warp/gradient_tile.h"
#include "warp/lane_sums.h"
#include "warp/pair_sums.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// Sums of a band where LaneSums do not serve.
template <Filter filter, typename T>
struct QuadSums {
  std::conditional_t<filter == Filter::bilinear, PairSums<T>, BandSums<T>> quads;

  int channels;
  int64_t plane;
  T* out;

  // As LaneSums::begin().
  void begin(T* memory, int channel_count, int64_t plane_size, T* to) {
    quads.sums = memory;
    channels = channel_count;
    plane = plane_size;
    out = to;
  }

  // Adds what the tile's pixels give to the band: their values in the planes.
  void add_tile(const T* const* planes) {
    load_quads(planes, quads.tile.count, quads.values);
    if constexpr (filter == Filter::bilinear) {
      quads.add_tile();
    } else {
      TileWeights<filter, T> weights;
      quads.template add_tile<filter>(weights);
    }
  }

  // Puts together what belongs to the same pixel.
  void finish() {
    if constexpr (filter == Filter::bilinear) quads.fold();
    put_quads<false>(quads, channels, plane, quads.width, out);
  }
};

template <Filter filter, typename Sums, typename T>
void scatter_band_of(const BackwardWarpGradient<T>& gradient, const double* basis,
                     const ScatterBand<T>& band) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int64_t tiles = (warp.output_width + kWarpTile - 1) / kWarpTile;
  const int64_t pixels = warp.output_height * warp.output_width;
  const int64_t first = band.n * warp.channels + band.channel;  // plane
  const int channels = static_cast<int>(least(4, warp.channels - band.channel));
  Sums sums;
  auto& quads = sums.quads;
  quads.first = band.first;
  quads.last = band.last;
  quads.height = warp.height;
  quads.width = warp.width;
  quads.border = warp.border;
  const int64_t plane = warp.height * warp.width;
  sums.begin(band.sums, channels, plane,
             gradient.grad_image + first * plane + band.first * warp.width);
  const bool lanes = use_lanes(warp), points = gradient.grad_points && band.channel == 0;
  for (int64_t i = 0;
       (i = band.next_tile(i, tiles, warp.output_height)) < warp.output_height * tiles; ++i) {
    const bool adds = band.reached_by(i);
    const int top = band.reach[i].first;
    const bool own = points && top >= band.first && top < band.last;
    if (!adds && !own) continue;
    const int64_t row = i / tiles, column = i % tiles * kWarpTile;
    fill_tile(warp, basis, band.n, row, column, quads.tile);
    const T* planes[4];  // with less than four channels the last again
    for (int c = 0; c < 4; ++c) {
      planes[c] = gradient.grad_output + (first + least(c, channels - 1)) * pixels +
                  row * warp.output_width + column;
      if (c < channels) read_ahead(planes[c] + warp.output_width, quads.tile.count);
    }
    if (own) gradient_tile<filter>(gradient, quads.tile, lanes);
    if (adds) sums.add_tile(planes);
  }
  sums.finish();
}

// The least and the largest finite value; 16 side by side, else the compiler makes no vectors.
template <typename T>
void find_range(const T* values, int64_t count, T* least_value, T* largest) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  alignas(64) T low[16], high[16];
  for (int k = 0; k < 16; ++k) {
    low[k] = infinity;
    high[k] = -infinity;
  }
  const auto add = [&](T value, int k) __attribute__((always_inline)) {
    const bool finite = value - value == 0;
    const T a = finite ? value : infinity, b = finite ? value : -infinity;
    low[k] = a < low[k] ? a : low[k];
    high[k] = b > high[k] ? b : high[k];
  };
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int k = 0; k < 16; ++k) add(values[i + k], k);
  }
  for (; i < count; ++i) add(values[i], static_cast<int>(i % 16));
  for (int half = 8; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) {
      low[k] = low[k + half] < low[k] ? low[k + half] : low[k];
      high[k] = high[k + half] > high[k] ? high[k + half] : high[k];
    }
  }
  *least_value = low[0];
  *largest = high[0];
}

// Sum of products; eight sums side by side.
double dot(const double* a, const double* b, int count) {
  double sums[8] = {};
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int k = 0; k < 8; ++k) sums[k] += a[i + k] * b[i + k];
  }
  double sum = 0;
  for (; i < count; ++i) sum += a[i] * b[i];
  for (int k = 0; k < 8; ++k) sum += sums[k];
  return sum;
}

// Whether LaneSums serve.
template <typename T>
bool use_lane_sums([[maybe_unused]] const BackwardWarp<T>& warp) {
#if defined(__AVX512BW__)
  return sizeof(T) == 4 && warp.filter == Filter::bilinear && use_lanes(warp);
#else
  return false;
#endif
}

}  // namespace

template <typename T>
void find_reach(const BackwardWarp<T>& warp, const double* basis, int64_t first, int64_t last,
                RowReach* reach) {
  const int64_t tiles = (warp.output_width + kWarpTile - 1) / kWarpTile;
  const int64_t pixels = warp.output_height * warp.output_width;
  const int half = filter_taps(warp.filter) / 2;
  const T* field = warp.motion.flow ? warp.motion.flow : warp.motion.points;
  Tile<T> tile;
  for (int64_t i = first * tiles; i < last * tiles; ++i) {
    const int64_t n = i / tiles / warp.output_height, row = i / tiles % warp.output_height;
    const int64_t column = i % tiles * kWarpTile;
    int low = 1 << 30, high = -(1 << 30);
    if (field) {  // down only: what is a hole for its other half is reached in vain
      const T* y = field + (2 * n + 1) * pixels + row * warp.output_width + column;
      const int64_t count = least(kWarpTile, warp.output_width - column);
      T top, bottom;
      find_range(y, count, &top, &bottom);
      const T offset = warp.motion.flow ? T(0) : T(-0.5);
      T rest;
      if (bottom >= top) {
        split(top + offset, &low, &rest);
        split(bottom + offset, &high, &rest);
        low += warp.motion.flow ? static_cast<int>(row) : 0;
        high += warp.motion.flow ? static_cast<int>(row) : 0;
      }
    } else {
      fill_tile(warp, basis, n, row, column, tile);
      for (int k = 0; k < tile.count; ++k) {
        const bool hole = tile.x[k] == kHole;
        const int a = hole ? 1 << 30 : tile.y[k], b = hole ? -(1 << 30) : tile.y[k];
        low = a < low ? a : low;
        high = b > high ? b : high;
      }
    }
    reach[i] = {0, -1};
    if (high < low) continue;
    int64_t top = int64_t{low} + 1 - half, bottom = int64_t{high} + half;
    const int64_t end = warp.height - 1;
    if (warp.border == Border::reflect && (top < 0 || bottom > end)) {
      top = 0;
      bottom = end;
    }
    reach[i] = {static_cast<int>(most(0, least(top, end))),
                static_cast<int>(most(0, least(bottom, end)))};
  }
}

template <typename T>
BandMemory band_memory(const BackwardWarp<T>& warp, int64_t rows) {
#if defined(__AVX512BW__)
  if (use_lane_sums(warp)) return LaneSums::memory_of(rows, warp.width);
#endif
  const int64_t size = band_size(warp.filter, rows, warp.width);
  return {size, size};
}

template <typename T>
void scatter_band(const BackwardWarpGradient<T>& gradient, const double* basis,
                  const ScatterBand<T>& band) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(T) == 4) {
    if (use_lane_sums(gradient.forward)) {
      return scatter_band_of<Filter::bilinear, LaneSums>(gradient, basis, band);
    }
  }
#endif
  const auto scatter = [&]<Filter filter>() {
    scatter_band_of<filter, QuadSums<filter, T>>(gradient, basis, band);
  };
  switch (gradient.forward.filter) {
    case Filter::bilinear:
      return scatter.template operator()<Filter::bilinear>();
    case Filter::bicubic:
      return scatter.template operator()<Filter::bicubic>();
    case Filter::catmull_rom:
      return scatter.template operator()<Filter::catmull_rom>();
    case Filter::lanczos3:
      return scatter.template operator()<Filter::lanczos3>();
  }
}

template <typename T>
void sum_rows(const BackwardWarpGradient<T>& gradient, const double* basis, int64_t first,
              int64_t last, double* sums) {
  const BackwardWarp<T>& warp = gradient.forward;
  const int64_t width = warp.output_width, pixels = warp.output_height * width;
  const int terms = warp.motion.displacement ? warp.motion.terms : 0;
  alignas(64) double by_q[3][kWarpTile], by[2][kWarpTile], across[kWarpTile], one[kWarpTile];
  for (int i = 0; i < kWarpTile; ++i) one[i] = 1;
  for (int64_t i = first; i < last; ++i, sums += 6 + 2 * terms) {
    const int64_t n = i / warp.output_height, row = i % warp.output_height;
    double m[9];
    for (int k = 0; k < 9; ++k) m[k] = warp.motion.source_from_output[9 * n + k];
    for (int k = 0; k < 6 + 2 * terms; ++k) sums[k] = 0;
    const double y = static_cast<double>(row) + 0.5;
    for (int64_t column = 0; column < width; column += kWarpTile) {
      const int count = static_cast<int>(least(kWarpTile, width - column));
      const T* grad = gradient.grad_points + 2 * n * pixels + row * width + column;
      for (int k = 0; k < count; ++k) {
        const double x = static_cast<double>(column) + 0.5 + k;
        const Projected moved = project(m, x, y);
        const double scale = moved.by_w < 0 ? -moved.by_w : moved.by_w;
        by[0][k] = static_cast<double>(grad[k]);
        by[1][k] = static_cast<double>(grad[k + pixels]);
        across[k] = x;
        by_q[0][k] = by[0][k] * scale;
        by_q[1][k] = by[1][k] * scale;
        by_q[2][k] = moved.by_w < 0 ? 0 : -(by[0][k] * moved.x + by[1][k] * moved.y) * scale;
      }
      for (int q = 0; q < 3; ++q) {
        sums[2 * q] += dot(by_q[q], across, count);
        sums[2 * q + 1] += dot(by_q[q], one, count);
      }
      for (int v = 0; v < terms; ++v) {
        const double* cosines = basis + v * basis_columns(width) + column;
        sums[6 + v] += dot(by[0], cosines, count);
        sums[6 + terms + v] += dot(by[1], cosines, count);
      }
    }
  }
}

#define STEADYVIEW_INSTANTIATE(T)                                                               \
  template void find_reach(const BackwardWarp<T>&, const double*, int64_t, int64_t, RowReach*); \
  template BandMemory band_memory(const BackwardWarp<T>&, int64_t);                             \
  template void scatter_band(const BackwardWarpGradient<T>&, const double*,                     \
                             const ScatterBand<T>&);                                            \
  template void sum_rows(const BackwardWarpGradient<T>&, const double*, int64_t, int64_t, double*)
STEADYVIEW_INSTANTIATE(float);
STEADYVIEW_INSTANTIATE(double);

}  // namespace steadyview::warping::STEADYVIEW_ISA
