// From means, conics and opacities to what the raster wants, a lane a splat. Compiled for each
// instruction set.
#include "common/vector_bytes.h"
#include "gaussians/rows.h"
#include "gaussians/shape.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;
constexpr int64_t kAhead = 512;  // splats whose inputs are fetched before their turn

// Columns of a block.
template <typename T>
struct Geometry {
  T A[kBlock], B[kBlock], C[kBlock], opacity[kBlock], depth[kBlock], finite_color[kBlock];
  T radius[2][kBlock];
  T left[kBlock], right[kBlock], top[kBlock], bottom[kBlock];  // right < left: not visible
  // Of the splats that come of them, in Splat's order.
  T x[kBlock], y[kBlock], p[kBlock], q[kBlock], r[kBlock], height[kBlock];
  T color[kGroup][kBlock];
  T tilt[kBlock];
  int32_t box[4][kBlock];
  uint32_t seen[kBlock];
};

template <typename T>
__attribute__((noinline)) void shape_block(T width, T image_height, Geometry<T>& g) {
#pragma GCC ivdep
  for (int l = 0; l < kBlock; ++l) {
    const Shape<T> s = shape_of(g.x[l], g.y[l], g.A[l], g.B[l], g.C[l], g.opacity[l], g.depth[l],
                                g.radius[0][l], g.radius[1][l], width, image_height);
    g.p[l] = s.p;
    g.q[l] = s.q;
    g.r[l] = s.r;
    g.height[l] = s.height;
    g.tilt[l] = s.tilt;
    g.left[l] = s.left;
    g.right[l] = s.right;
    g.top[l] = s.top;
    g.bottom[l] = s.bottom;
  }
}

// Pixel k is inside when its centre is: ceil(x - 1/2) and floor(x - 1/2) of the borders.
template <typename T>
void box_block(Geometry<T>& g) {
#pragma GCC ivdep
  for (int l = 0; l < kBlock; ++l) {
    const int32_t left = static_cast<int32_t>(g.left[l]);
    const int32_t right = static_cast<int32_t>(g.right[l]) - 1;
    const int32_t top = static_cast<int32_t>(g.top[l]);
    const int32_t bottom = static_cast<int32_t>(g.bottom[l]) - 1;
    const bool seen = (g.radius[0][l] > 0) & (g.radius[1][l] > 0) & (left <= right) &
                      (top <= bottom) & (g.finite_color[l] == 0);
    g.box[0][l] = seen ? left : 0;
    g.box[1][l] = seen ? right : -1;
    g.box[2][l] = seen ? top : 0;
    g.box[3][l] = seen ? bottom : -1;
    g.seen[l] = seen ? 1 : 0;
  }
}

// Splats from `at` on; where there are less than a block, the last one again and again.
template <bool whole, typename T>
STEADYVIEW_HOST_DEVICE void load_block(const Raster<T>& r, int64_t at, int64_t n, Geometry<T>& g) {
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = at + (whole || l < n ? l : n - 1);
    g.x[l] = r.means2d[2 * i];
    g.y[l] = r.means2d[2 * i + 1];
  }
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = at + (whole || l < n ? l : n - 1);
    g.A[l] = r.conics[3 * i];
    g.B[l] = r.conics[3 * i + 1];
    g.C[l] = r.conics[3 * i + 2];
  }
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = at + (whole || l < n ? l : n - 1);
    g.opacity[l] = r.opacities[i];
  }
  if (!r.depths) {
    for (int64_t l = 0; l < kBlock; ++l) {
      g.depth[l] = T(0);
      g.radius[0][l] = g.radius[1][l] = T(1e9);
    }
    return;
  }
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = at + (whole || l < n ? l : n - 1);
    g.depth[l] = r.depths[i];
    g.radius[0][l] = static_cast<T>(r.radii[2 * i]);
    g.radius[1][l] = static_cast<T>(r.radii[2 * i + 1]);
  }
}

// The group's channels; finite_color is 0 where all of the splat's channels are finite.
template <int all_channels, bool whole, typename T>
STEADYVIEW_HOST_DEVICE void load_colors(const Raster<T>& r, int64_t at, int64_t n, int64_t group,
                                        int channels, Geometry<T>& g) {
  const int64_t stride = all_channels > 0 ? all_channels : r.channels;
  if (all_channels > 0) channels = all_channels;
  for (int64_t l = 0; l < kBlock; ++l) {
    const T* color = r.colors + (at + (whole || l < n ? l : n - 1)) * stride;
    T nothing = 0;
    for (int64_t c = 0; c < stride; ++c) nothing += color[c] - color[c];
    g.finite_color[l] = nothing;
    for (int k = 0; k < kGroup; ++k) g.color[k][l] = k < channels ? color[group + k] : T(0);
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE void fetch_ahead(const Raster<T>& r, int64_t at) {
  const auto ask = [&](const auto* array, int64_t each) {
    if (!array) return;
    for (int64_t k = 0; k < kBlock * each; k += 64 / static_cast<int64_t>(sizeof(*array))) {
      __builtin_prefetch(array + at * each + k);
    }
  };
  ask(r.means2d, 2);
  ask(r.conics, 3);
  ask(r.opacities, 1);
  ask(r.depths, 1);
  ask(r.radii, 2);
  if (r.channels <= kGroup) ask(r.colors, r.channels);
}

template <typename T>
STEADYVIEW_HOST_DEVICE void load(const Raster<T>& r, int64_t at, int64_t n, int64_t group,
                                 int channels, Geometry<T>& g) {
  if (n < kBlock) {
    load_block<false>(r, at, n, g);
    load_colors<0, false>(r, at, n, group, channels, g);
    return;
  }
  load_block<true>(r, at, n, g);
  if (r.channels == 3) {
    load_colors<3, true>(r, at, n, group, channels, g);
  } else {
    load_colors<0, true>(r, at, n, group, channels, g);
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE void store_block(const Geometry<T>& g, int64_t n, Splat<T>* out) {
  for (int64_t l = 0; l < n; ++l) {
    Splat<T>& s = out[l];
    s = {.x = g.x[l],
         .y = g.y[l],
         .p = g.p[l],
         .q = g.q[l],
         .r = g.r[l],
         .height = g.height[l],
         .color = {g.color[0][l], g.color[1][l], g.color[2][l], g.color[3][l]},
         .tilt = g.tilt[l],
         .left = g.box[0][l],
         .right = g.box[1][l],
         .top = g.box[2][l],
         .bottom = g.box[3][l]};
  }
}

constexpr int kLanes = kVectorBytes / 4;
using Numbers __attribute__((vector_size(4 * kLanes))) = float;
using Places __attribute__((vector_size(4 * kLanes))) = int32_t;

// Swaps what lies across the diagonal, in squares of `half` and then ever smaller ones.
template <int half = kLanes / 2>
STEADYVIEW_HOST_DEVICE void transpose(Numbers* rows) {
  Places low{}, high{};
#pragma GCC unroll 16
  for (int l = 0; l < kLanes; ++l) {
    low[l] = l & half ? kLanes + l - half : l;
    high[l] = l & half ? kLanes + l : l + half;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & half) continue;
    const Numbers a = rows[i], b = rows[i + half];
    rows[i] = __builtin_shuffle(a, b, low);
    rows[i + half] = __builtin_shuffle(a, b, high);
  }
  if constexpr (half > 1) transpose<half / 2>(rows);
}

// A splat is 16 numbers of 4 bytes, as are the columns from x on.
STEADYVIEW_HOST_DEVICE void store_block(const Geometry<float>& g, Splat<float>* out) {
  static_assert(sizeof(Splat<float>) == 4 * kBlock);
  const char* columns = reinterpret_cast<const char*>(g.x);
  char* splats = reinterpret_cast<char*>(out);
  for (int row = 0; row < kBlock; row += kLanes) {
    for (int column = 0; column < kBlock; column += kLanes) {
      Numbers square[kLanes];
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) {
        __builtin_memcpy(&square[k], columns + ((column + k) * kBlock + row) * 4, sizeof(Numbers));
      }
      transpose(square);
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) {
        __builtin_memcpy(splats + ((row + k) * kBlock + column) * 4, &square[k], sizeof(Numbers));
      }
    }
  }
}
STEADYVIEW_HOST_DEVICE void store_block(const Geometry<double>& g, Splat<double>* out) {
  store_block(g, kBlock, out);
}

template <typename T>
int64_t splats(const Raster<T>& r, int64_t base, int64_t group, int channels, int64_t first,
               int64_t last, Splat<T>* out, TileBox* boxes, Keyed<T>* keyed) {
  Geometry<T> g;
  int64_t visible = 0;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    if (i + kAhead + kBlock <= last) fetch_ahead(r, base + i + kAhead);
    load(r, base + i, n, group, channels, g);
    shape_block(static_cast<T>(r.width), static_cast<T>(r.height), g);
    box_block(g);
    if (n == kBlock) {
      store_block(g, out + i);
    } else {
      store_block(g, n, out + i);
    }
    for (int64_t l = 0; boxes && l < n; ++l) {
      const auto tile = [&](int side) {
        return static_cast<uint16_t>(static_cast<uint32_t>(g.box[side][l]) / kTile);
      };
      boxes[i + l] = {tile(0), tile(1), tile(2), tile(3)};
    }
    for (int64_t l = 0; l < n; ++l) {
      keyed[visible] = {depth_key(g.depth[l]), static_cast<uint32_t>(i + l)};
      visible += g.seen[l];
    }
  }
  return visible;
}

}  // namespace

int64_t splat_rows(const Raster<float>& r, int64_t base, int64_t group, int channels, int64_t first,
                   int64_t last, Splat<float>* out, TileBox* boxes, Keyed<float>* keyed) {
  return splats(r, base, group, channels, first, last, out, boxes, keyed);
}
int64_t splat_rows(const Raster<double>& r, int64_t base, int64_t group, int channels,
                   int64_t first, int64_t last, Splat<double>* out, TileBox* boxes,
                   Keyed<double>* keyed) {
  return splats(r, base, group, channels, first, last, out, boxes, keyed);
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
