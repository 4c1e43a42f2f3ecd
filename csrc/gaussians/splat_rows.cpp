// From means, conics and opacities to what the raster wants, a lane a splat. Compiled for each
// instruction set.
#include "gaussians/rows.h"
#include "gaussians/shape.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;

// Columns of a block.
template <typename T>
struct Geometry {
  T x[kBlock], y[kBlock], A[kBlock], B[kBlock], C[kBlock], opacity[kBlock], depth[kBlock];
  T radius[2][kBlock];
  T p[kBlock], q[kBlock], r[kBlock], height[kBlock], tilt[kBlock];
  T left[kBlock], right[kBlock], top[kBlock], bottom[kBlock];  // right < left: not visible
};

template <typename T>
void shape_block(T width, T image_height, Geometry<T>& g) {
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

template <typename T>
STEADYVIEW_HOST_DEVICE void load_block(const Raster<T>& r, int64_t at, int64_t n, Geometry<T>& g) {
  for (int64_t l = 0; l < kBlock; ++l) {
    const int64_t i = at + (l < n ? l : n - 1);
    g.x[l] = r.means2d[2 * i];
    g.y[l] = r.means2d[2 * i + 1];
    g.A[l] = r.conics[3 * i];
    g.B[l] = r.conics[3 * i + 1];
    g.C[l] = r.conics[3 * i + 2];
    g.opacity[l] = r.opacities[i];
    g.depth[l] = r.depths ? r.depths[i] : T(0);
    for (int k = 0; k < 2; ++k)
      g.radius[k][l] = r.radii ? static_cast<T>(r.radii[2 * i + k]) : T(1e9);
  }
}

template <typename T>
STEADYVIEW_HOST_DEVICE bool finite_color(const T* color, int64_t channels) {
  bool finite = true;
  for (int64_t c = 0; c < channels; ++c) finite = finite && color[c] - color[c] == 0;
  return finite;
}

template <typename T>
int64_t splats(const Raster<T>& r, int64_t base, int64_t group, int channels, int64_t first,
               int64_t last, Splat<T>* out, TileBox* boxes, Keyed<T>* keyed) {
  Geometry<T> g;
  int64_t visible = 0;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_block(r, base + i, n, g);
    shape_block(static_cast<T>(r.width), static_cast<T>(r.height), g);
    for (int64_t l = 0; l < n; ++l) {
      Splat<T>& s = out[i + l];
      const T* color = r.colors + (base + i + l) * r.channels;
      for (int k = 0; k < kGroup; ++k) s.color[k] = k < channels ? color[group + k] : T(0);
      // Pixel k is inside when its centre is: ceil(x - 1/2) and floor(x - 1/2) of the borders.
      s.left = static_cast<int32_t>(g.left[l]);
      s.right = static_cast<int32_t>(g.right[l]) - 1;
      s.top = static_cast<int32_t>(g.top[l]);
      s.bottom = static_cast<int32_t>(g.bottom[l]) - 1;
      const bool seen = g.radius[0][l] > 0 && g.radius[1][l] > 0 && s.left <= s.right &&
                        s.top <= s.bottom && finite_color(color, r.channels);
      if (!seen) {
        s.left = s.top = 0;
        s.right = s.bottom = -1;
        continue;
      }
      s.x = g.x[l];
      s.y = g.y[l];
      s.p = g.p[l];
      s.q = g.q[l];
      s.r = g.r[l];
      s.height = g.height[l];
      s.tilt = g.tilt[l];
      if (boxes) {
        boxes[i + l] = {
            static_cast<uint16_t>(s.left / kTile), static_cast<uint16_t>(s.right / kTile),
            static_cast<uint16_t>(s.top / kTile), static_cast<uint16_t>(s.bottom / kTile)};
      }
      keyed[visible++] = {depth_key(g.depth[l]), static_cast<uint32_t>(i + l)};
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
