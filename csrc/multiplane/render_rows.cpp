// Rows of the compositing of planes; compiled once for each instruction set.
#include "multiplane/render_rows.h"

#include <limits>

#include "multiplane/render_lanes.h"
#include "multiplane/render_maths.h"

namespace steadyview::multiplane::STEADYVIEW_ISA {
namespace {

// Where the pixels of a tile look on a plane, as place(); false where none sees it.
template <typename T>
bool place_tile(const MultiplaneRender<T>& r, const double* matrix, int64_t row, int64_t column,
                Tile<T>& tile) {
  const int64_t rest = r.output_width - column;
  tile.count = rest < kWarpTile ? static_cast<int>(rest) : kWarpTile;
  double m[9];
  for (int k = 0; k < 9; ++k) m[k] = matrix[k];
  const double u = static_cast<double>(column) + 0.5, v = static_cast<double>(row) + 0.5;
  const double width = static_cast<double>(r.width), height = static_cast<double>(r.height);
  alignas(64) double px[kWarpTile], py[kWarpTile];
  for (int i = 0; i < tile.count; ++i) {
    const double w = m[6] * (u + i) + m[7] * v + m[8], by_w = 1 / w;
    const double x = (m[0] * (u + i) + m[1] * v + m[2]) * by_w - 0.5;
    const double y = (m[3] * (u + i) + m[4] * v + m[5]) * by_w - 0.5;
    const bool inside = (w > kSmallestW) & (x > -1) & (y > -1) & (x < width) & (y < height);
    px[i] = inside ? x : std::numeric_limits<double>::quiet_NaN();
    py[i] = inside ? y : 0.0;
  }
  split_points(px, py, 0.0, 0, tile);
  int seen = 0;
  for (int i = 0; i < tile.count; ++i) seen |= tile.x[i] != kHole;
  const int last = tile.count - 1;
  for (int i = tile.count; i % 16; ++i) {
    tile.x[i] = tile.x[last];
    tile.y[i] = tile.y[last];
    tile.tx[i] = tile.tx[last];
    tile.ty[i] = tile.ty[last];
  }
  return seen != 0;
}

// Offsets are 32-bit numbers.
template <typename T>
bool use_lanes([[maybe_unused]] const MultiplaneRender<T>& r) {
#if defined(__AVX2__)
  return sizeof(T) == 4 && r.width * r.height < (int64_t{1} << 31) - kWarpTile;
#else
  return false;
#endif
}

// Samples (channels, kWarpTile) of a plane at a tile's points; 0 where they do not see it.
template <typename T>
void sample_tile(const MultiplaneRender<T>& r, const T* plane, const Tile<T>& tile, T* values) {
#if defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    if (use_lanes(r)) {
      for (int i = 0; i < tile.count; i += kLanes) sample_lanes(r, plane, tile, i, values + i);
      return;
    }
  }
#endif
  for (int i = 0; i < tile.count; ++i) {
    const Sample<T> sample{tile.x[i], tile.y[i], tile.tx[i], tile.ty[i]};
    const bool seen = tile.x[i] != kHole;
    for (int64_t c = 0; c < r.channels; ++c) {
      values[c * kWarpTile + i] = seen ? read(r, plane, c, sample) : T(0);
    }
  }
}

template <typename T>
bool any(const T* values, int count) {
  int found = 0;
  for (int i = 0; i < count; ++i) found |= values[i] != T(0);
  return found != 0;
}

}  // namespace

// Planes from the nearest on, until nothing shines through.
template <typename T>
void render_row(const MultiplaneRender<T>& r, int64_t view, int64_t row, T* scratch) {
  const int64_t size = r.output_height * r.output_width, alpha = r.channels - 1;
  T* const values = scratch;
  T* __restrict const transmitted = scratch + r.channels * kWarpTile;
  T* __restrict const weights = transmitted + kWarpTile;
  Tile<T> tile;
  for (int64_t x = 0; x < r.output_width; x += kWarpTile) {
    const int count =
        static_cast<int>(r.output_width - x < kWarpTile ? r.output_width - x : kWarpTile);
    T* const output = r.output + view * r.channels * size + row * r.output_width + x;
    for (int64_t c = 0; c < r.channels; ++c) {
      for (int i = 0; i < count; ++i) output[c * size + i] = 0;
    }
    for (int i = 0; i < count; ++i) transmitted[i] = 1;
    for (int64_t d = r.depths - 1; d >= 0 && any(transmitted, count); --d) {
      const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
      if (!place_tile(r, matrix, row, x, tile)) continue;
      sample_tile(r, plane_of(r, view / r.views, d), tile, values);
      const T* __restrict const opaque = values + alpha * kWarpTile;
      // What nothing shines through to may be anything.
      for (int i = 0; i < count; ++i) {
        weights[i] = transmitted[i] == T(0) ? T(0) : transmitted[i] * opaque[i];
      }
      for (int64_t c = 0; c < r.channels; ++c) {
        const T* __restrict const value = values + c * kWarpTile;
        T* __restrict const out = output + c * size;
        for (int i = 0; i < count; ++i) {
          const T part = c == alpha ? weights[i] : weights[i] * value[i];
          out[i] += transmitted[i] == T(0) ? T(0) : part;
        }
      }
      for (int i = 0; i < count; ++i) transmitted[i] -= weights[i];
    }
  }
}

template <typename T>
void sample_gradients(const MultiplaneRenderGradient<T>& g, int64_t view, int64_t row, T* scratch) {
  const MultiplaneRender<T>& r = g.forward;
  const int64_t size = r.output_height * r.output_width, channels = r.channels;
  const int64_t lines = channels + 1, alpha = channels - 1;  // the last: what shines through to it
  T* __restrict const behind = scratch + r.depths * lines * kWarpTile;
  T* __restrict const here = behind + kWarpTile;
  Tile<T> tile;
  for (int64_t x = 0; x < r.output_width; x += kWarpTile) {
    const int64_t at = row * r.output_width + x;
    const T* const grad = g.grad_output + view * channels * size + at;
    for (int64_t d = r.depths - 1; d >= 0; --d) {
      T* const values = scratch + d * lines * kWarpTile;
      const double* matrix = r.source_from_output + 9 * (view * r.depths + d);
      place_tile(r, matrix, row, x, tile);
      sample_tile(r, plane_of(r, view / r.views, d), tile, values);
      T* __restrict const through = values + channels * kWarpTile;
      const bool nearest = d == r.depths - 1;
      const T* __restrict const before = nearest ? through : through + lines * kWarpTile;
      const T* __restrict const hides = before - kWarpTile;  // the alpha of the plane before it
      for (int i = 0; i < tile.count; ++i) {
        through[i] = nearest ? T(1) : before[i] * (T(1) - hides[i]);
      }
    }
    // behind: the gradient's product with the composite of what lies behind, alpha's colour
    // being 1.
    for (int i = 0; i < kWarpTile; ++i) behind[i] = 0;
    for (int64_t d = 0; d < r.depths; ++d) {
      const T* const values = scratch + d * lines * kWarpTile;
      const T* __restrict const opaque = values + alpha * kWarpTile;
      const T* __restrict const through = opaque + kWarpTile;
      T* const out = g.samples + d * channels * size + at;
      for (int i = 0; i < tile.count; ++i) here[i] = grad[alpha * size + i];
      for (int64_t c = 0; c < alpha; ++c) {
        const T* __restrict const value = values + c * kWarpTile;
        const T* __restrict const by = grad + c * size;
        T* __restrict const to = out + c * size;
        for (int i = 0; i < tile.count; ++i) {
          here[i] += by[i] * value[i];
          to[i] = by[i] * through[i] * opaque[i];
        }
      }
      T* __restrict const to = out + alpha * size;
      for (int i = 0; i < tile.count; ++i) {
        to[i] = through[i] * (here[i] - behind[i]);
        behind[i] = opaque[i] * here[i] + (T(1) - opaque[i]) * behind[i];
      }
    }
  }
}

#define STEADYVIEW_INSTANTIATE(T)                                             \
  template void render_row(const MultiplaneRender<T>&, int64_t, int64_t, T*); \
  template void sample_gradients(const MultiplaneRenderGradient<T>&, int64_t, int64_t, T*)
STEADYVIEW_INSTANTIATE(float);
STEADYVIEW_INSTANTIATE(double);

}  // namespace steadyview::multiplane::STEADYVIEW_ISA
