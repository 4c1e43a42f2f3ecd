#pragma once

// What the raster kernels of the CPU and CUDA need of a splat.

#include "gaussians/gaussians.h"
#include "gaussians/logarithm.h"
#include "gaussians/maths.h"

namespace steadyview::gaussians {

inline constexpr double kCutoff = 7.99435343685886;  // -log2(kSmallestAlpha)
inline constexpr double kTop = -0.00144341686969;    // log2(kLargestAlpha)
inline constexpr double kLog2E = 1.4426950408889634;

// log2 of a splat's opacity at (x + dx, y + dy) is height - u^2 - w^2 with u = p dx + q dy and
// w = r dy: for thin ellipses that is far more precise than A dx^2 + 2 B dx dy + C dy^2, whose
// terms cancel.
template <typename T>
struct Shape {
  T p, q, r, height;
  T tilt;                      // dy of the rightmost point of its ellipse
  T left, right, top, bottom;  // pixels [left, right) may be inside when rounded down; 0: none
};

// radius: (x, y), the most that it may reach. width, image_height bound the box.
template <typename T>
STEADYVIEW_HOST_DEVICE Shape<T> shape_of(T x, T y, T A, T B, T C, T own_opacity, T depth,
                                         T radius_x, T radius_y, T width, T image_height) {
  Shape<T> s;
  const T opacity = most(own_opacity, T(kSmallestAlpha) / 2);
  const T height = logarithm(opacity) * T(kLog2E);
  const T a = A * T(kLog2E / 2), b = B * T(kLog2E), c = C * T(kLog2E / 2);
  // The determinant in float64: a thin ellipse's is a small difference of large products.
  const double exact = 4 * static_cast<double>(a) * static_cast<double>(c) -
                       static_cast<double>(b) * static_cast<double>(b);
  const T det = static_cast<T>(most(exact, 1e-30));
  const T drop = most(height + T(kCutoff), T(0)) * (4 / det);
  const T rx = root(drop * c), ry = root(drop * a);
  // A little more, for rounding; never beyond the radii.
  const T hx = least(rx * T(1.0001) + T(1e-3), radius_x);
  const T hy = least(ry * T(1.0001) + T(1e-3), radius_y);
  const T sum = x + y + a + b + c + own_opacity + depth + hx + hy;
  const bool finite = sum - sum == 0;
  const T visible = own_opacity >= T(kSmallestAlpha) ? T(1) : T(0);
  const T shown = finite ? visible : T(0);
  const T p = root(a);
  s.p = p;
  s.q = b / (2 * p);
  s.r = root(det) / (2 * p);
  s.height = height;
  s.tilt = -b * rx / (2 * c);
  // Centres lie at + 0.5. Bounded before they become whole numbers.
  s.left = shown > 0 ? least(most(x - hx + T(0.5), T(0)), width) : T(0);
  s.right = shown > 0 ? least(most(x + hx + T(0.5), T(0)), width) : T(0);
  s.top = shown > 0 ? least(most(y - hy + T(0.5), T(0)), image_height) : T(0);
  s.bottom = shown > 0 ? least(most(y + hy + T(0.5), T(0)), image_height) : T(0);
  return s;
}

// Order of depths: whole numbers that sort as T does.
STEADYVIEW_HOST_DEVICE uint32_t depth_key(float depth) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, depth + 0.0f);  // -0 counts as 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
STEADYVIEW_HOST_DEVICE uint64_t depth_key(double depth) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, depth + 0.0);
  return bits >> 63 ? ~bits : bits | (uint64_t{1} << 63);
}
// What a splat's gradients are made of, sums over pixels: v, v dx, v dy, v dx^2, v dx dy, v dy^2
// with v = alpha by-alpha, then by the colours, and with_abs |by x|, |by y| in units of log2(e).
STEADYVIEW_HOST_DEVICE constexpr int record_size(int channels, bool with_abs) {
  return 6 + channels + (with_abs ? 2 : 0);
}

// By the mean (2), the conic (3) and the opacity, from the first six sums.
template <typename T>
STEADYVIEW_HOST_DEVICE void gradients_of(const T* sum, const T* conic, T opacity, T* values) {
  values[0] = conic[0] * sum[1] + conic[1] * sum[2];
  values[1] = conic[1] * sum[1] + conic[2] * sum[2];
  values[2] = sum[3] * T(-0.5);
  values[3] = -sum[4];
  values[4] = sum[5] * T(-0.5);
  values[5] = opacity > 0 ? sum[0] / opacity : T(0);
}

// Calls visit(splat) for the splats that pixel (x, y) of an image shows, front to back, of the
// batches [begin, end) of tile_size^2 entries of its tile's list. `left`: the transmittance before.
template <typename T, typename Visit>
STEADYVIEW_HOST_DEVICE void visit_pixel(const Raster<T>& r, int64_t image, int64_t x, int64_t y,
                                        T left, int64_t begin, int64_t end, Visit visit) {
  const int64_t columns = (r.width + r.tile_size - 1) / r.tile_size;
  const int64_t rows = (r.height + r.tile_size - 1) / r.tile_size;
  const int64_t tile = (image * rows + y / r.tile_size) * columns + x / r.tile_size;
  const int64_t batch = r.tile_size * r.tile_size;
  const int64_t start = r.tile_offsets[tile];
  const int64_t stop = tile + 1 < r.images * rows * columns ? r.tile_offsets[tile + 1] : r.entries;
  for (int64_t i = start + begin * batch; i < stop && i < start + end * batch; ++i) {
    const int64_t splat = r.tile_ids[i];
    if (splat < 0 || splat >= r.count) continue;
    const T* mean = r.means2d + 2 * splat;
    const T* conic = r.conics + 3 * splat;
    const T dx = static_cast<T>(x) + T(0.5) - mean[0], dy = static_cast<T>(y) + T(0.5) - mean[1];
    const T sigma = (conic[0] * dx * dx + conic[2] * dy * dy) / 2 + conic[1] * dx * dy;
    const T alpha = least(T(kLargestAlpha), r.opacities[splat] * exponential(-sigma));
    if (!(alpha >= T(kSmallestAlpha)) || !(sigma >= 0)) continue;
    const T after = left * (1 - alpha);
    if (after <= T(kSmallestTransmittance)) return;
    visit(splat);
    left = after;
  }
}

// Counts or writes the splats of pixel i of all images.
template <typename T>
STEADYVIEW_HOST_DEVICE void find_contributors(const Contributors<T>& c, int64_t i) {
  const Raster<T>& r = c.raster;
  const int64_t pixels = r.width * r.height, pixel = i % pixels;
  int64_t found = c.ids ? c.ends[i] - c.counts[i] : 0;
  const int64_t first = found;
  visit_pixel(r, i / pixels, pixel % r.width, pixel / r.width, c.transmittances[i], c.begin, c.end,
              [&](int64_t splat) {
                if (c.ids) {
                  c.ids[3 * found] = splat;
                  c.ids[3 * found + 1] = pixel;
                  c.ids[3 * found + 2] = i / pixels;
                }
                ++found;
              });
  if (!c.ids) c.counts[i] = found - first;
}

}  // namespace steadyview::gaussians
