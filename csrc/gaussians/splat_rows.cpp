// From means, conics and opacities to what the raster wants, a lane a splat. Compiled for each
// instruction set.
#include "gaussians/logarithm.h"
#include "gaussians/maths.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;
constexpr double kLog2E = 1.4426950408889634;

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
    const T opacity = most(g.opacity[l], T(kSmallestAlpha) / 2);
    const T height = logarithm(opacity) * T(kLog2E);
    const T a = g.A[l] * T(kLog2E / 2), b = g.B[l] * T(kLog2E), c = g.C[l] * T(kLog2E / 2);
    // The determinant in float64: a thin ellipse's is a small difference of large products.
    const double exact = 4 * static_cast<double>(a) * static_cast<double>(c) -
                         static_cast<double>(b) * static_cast<double>(b);
    const T det = static_cast<T>(most(exact, 1e-30));
    const T drop = most(height + T(kCutoff), T(0)) * (4 / det);
    const T rx = root(drop * c), ry = root(drop * a);
    // A little more, for rounding; never beyond the radii.
    const T hx = least(rx * T(1.0001) + T(1e-3), g.radius[0][l]);
    const T hy = least(ry * T(1.0001) + T(1e-3), g.radius[1][l]);
    const T sum = g.x[l] + g.y[l] + a + b + c + g.opacity[l] + g.depth[l] + hx + hy;
    const bool finite = sum - sum == 0;
    const T visible = g.opacity[l] >= T(kSmallestAlpha) ? T(1) : T(0);
    const T shown = finite ? visible : T(0);
    const T p = root(a);
    g.p[l] = p;
    g.q[l] = b / (2 * p);
    g.r[l] = root(det) / (2 * p);
    g.height[l] = height;
    g.tilt[l] = -b * rx / (2 * c);
    // Centres lie at + 0.5. Bounded before they become whole numbers.
    g.left[l] = shown > 0 ? least(most(g.x[l] - hx + T(0.5), T(0)), width) : T(0);
    g.right[l] = shown > 0 ? least(most(g.x[l] + hx + T(0.5), T(0)), width) : T(0);
    g.top[l] = shown > 0 ? least(most(g.y[l] - hy + T(0.5), T(0)), image_height) : T(0);
    g.bottom[l] = shown > 0 ? least(most(g.y[l] + hy + T(0.5), T(0)), image_height) : T(0);
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
    for (int k = 0; k < 2; ++k) g.radius[k][l] = r.radii ? static_cast<T>(r.radii[2 * i + k]) : T(1e9);
  }
}

template <typename T>
int64_t splats(const Raster<T>& r, int64_t base, int64_t group, int channels, int64_t first,
               int64_t last, Splat<T>* out, Keyed<T>* keyed) {
  Geometry<T> g;
  int64_t visible = 0;
  for (int64_t i = first; i < last; i += kBlock) {
    const int64_t n = least<int64_t>(kBlock, last - i);
    load_block(r, base + i, n, g);
    shape_block(static_cast<T>(r.width), static_cast<T>(r.height), g);
    for (int64_t l = 0; l < n; ++l) {
      Splat<T>& s = out[i + l];
      const T* color = r.colors + (base + i + l) * r.channels + group;
      T sum = 0;
      for (int k = 0; k < kGroup; ++k) {
        s.color[k] = k < channels ? color[k] : T(0);
        sum += s.color[k];
      }
      // Pixel k is inside when its centre is: ceil(x - 1/2) and floor(x - 1/2) of the borders.
      s.left = static_cast<int32_t>(g.left[l]);
      s.right = static_cast<int32_t>(g.right[l]) - 1;
      s.top = static_cast<int32_t>(g.top[l]);
      s.bottom = static_cast<int32_t>(g.bottom[l]) - 1;
      const bool seen = g.radius[0][l] > 0 && g.radius[1][l] > 0 && s.left <= s.right &&
                        s.top <= s.bottom && sum - sum == 0;
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
      keyed[visible++] = {depth_key(g.depth[l]), static_cast<uint32_t>(i + l)};
    }
  }
  return visible;
}

}  // namespace

int64_t splat_rows(const Raster<float>& r, int64_t base, int64_t group, int channels, int64_t first,
                   int64_t last, Splat<float>* out, Keyed<float>* keyed) {
  return splats(r, base, group, channels, first, last, out, keyed);
}
int64_t splat_rows(const Raster<double>& r, int64_t base, int64_t group, int channels,
                   int64_t first, int64_t last, Splat<double>* out, Keyed<double>* keyed) {
  return splats(r, base, group, channels, first, last, out, keyed);
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
