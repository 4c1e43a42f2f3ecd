// Draws and differentiates splats in buffers of exactly the size the kernels may touch, for every
// instruction set: under the sanitizers a byte read or written outside is an error.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "gaussians/gaussians.h"
#include "gaussians/rows.h"
#include "tests/expect.h"

using namespace steadyview;
using namespace steadyview::gaussians;

namespace {

// On the heap and of the exact size: what lies beside is poisoned.
template <typename T>
std::unique_ptr<T[]> heap(int64_t size) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(size)]());
}

template <typename T>
struct Splats {
  std::unique_ptr<T[]> means2d, conics, opacities, depths, colors, background, image, alphas;
  std::unique_ptr<int[]> radii;
  int64_t first[2];
  Raster<T> raster;
};

// Splats of all sizes on and beyond the image, some of them not finite.
template <typename T>
Splats<T> make_splats(int64_t count, int64_t channels, int64_t width, int64_t height) {
  Splats<T> s{heap<T>(2 * count),
              heap<T>(3 * count),
              heap<T>(count),
              heap<T>(count),
              heap<T>(count * channels),
              heap<T>(channels),
              heap<T>(width * height * channels),
              heap<T>(width * height),
              heap<int>(2 * count),
              {0, count},
              {}};
  std::mt19937 random(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int64_t i = 0; i < count; ++i) {
    s.means2d[2 * i] = static_cast<T>((2 * uniform(random) - 0.5) * static_cast<double>(width));
    s.means2d[2 * i + 1] =
        static_cast<T>((2 * uniform(random) - 0.5) * static_cast<double>(height));
    const double major = std::exp(6 * uniform(random) - 1), minor = 0.3 + uniform(random);
    const double angle = 6 * uniform(random), c = std::cos(angle), d = std::sin(angle);
    const double a = 1 / (major * major), b = 1 / (minor * minor);
    s.conics[3 * i] = static_cast<T>(c * c * a + d * d * b);
    s.conics[3 * i + 1] = static_cast<T>(c * d * (a - b));
    s.conics[3 * i + 2] = static_cast<T>(d * d * a + c * c * b);
    s.opacities[i] = static_cast<T>(uniform(random));
    s.depths[i] = static_cast<T>(std::floor(8 * uniform(random)) - 2);  // many are the same
    s.radii[2 * i] = s.radii[2 * i + 1] =
        static_cast<int>(std::ceil(3.33 * std::max(major, minor)));
    for (int64_t k = 0; k < channels; ++k)
      s.colors[i * channels + k] = static_cast<T>(uniform(random));
  }
  const T nan = std::numeric_limits<T>::quiet_NaN(), inf = std::numeric_limits<T>::infinity();
  if (count > 8) {
    s.means2d[0] = nan;
    s.means2d[3] = inf;
    s.conics[6] = nan;
    s.conics[9] = T(-1);
    s.opacities[4] = nan;
    s.depths[5] = nan;
    s.colors[6 * channels] = inf;
    s.radii[14] = 0;
  }
  s.raster = {.means2d = s.means2d.get(),
              .conics = s.conics.get(),
              .opacities = s.opacities.get(),
              .depths = s.depths.get(),
              .radii = s.radii.get(),
              .colors = s.colors.get(),
              .backgrounds = s.background.get(),
              .first = s.first,
              .count = count,
              .images = 1,
              .channels = channels,
              .width = width,
              .height = height,
              .image = s.image.get(),
              .alphas = s.alphas.get(),
              .tile_offsets = nullptr,
              .tile_ids = nullptr,
              .tile_masks = nullptr,
              .entries = 0,
              .tile_size = 0};
  return s;
}

// Splat by splat in order of depth, at every pixel, in float64.
template <typename T>
void slow_pixel(const Splats<T>& s, int64_t count, int64_t x, int64_t y, std::vector<double>& color,
                double& left) {
  std::vector<int64_t> order;
  for (int64_t i = count > 8 ? 8 : 0; i < count; ++i) order.push_back(i);  // the first are bad
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return s.depths[a] < s.depths[b]; });
  left = 1;
  for (int64_t i : order) {
    const double dx = static_cast<double>(x) + 0.5 - static_cast<double>(s.means2d[2 * i]);
    const double dy = static_cast<double>(y) + 0.5 - static_cast<double>(s.means2d[2 * i + 1]);
    const double a = static_cast<double>(s.conics[3 * i]),
                 b = static_cast<double>(s.conics[3 * i + 1]);
    const double c = static_cast<double>(s.conics[3 * i + 2]);
    const double sigma = (a * dx * dx + c * dy * dy) / 2 + b * dx * dy;
    const double alpha =
        std::min(kLargestAlpha, static_cast<double>(s.opacities[i]) * std::exp(-sigma));
    if (alpha < kSmallestAlpha) continue;
    if (left * (1 - alpha) <= kSmallestTransmittance) return;
    for (size_t k = 0; k < color.size(); ++k) {
      color[k] += left * alpha *
                  static_cast<double>(
                      s.colors[i * static_cast<int64_t>(color.size()) + static_cast<int64_t>(k)]);
    }
    left *= 1 - alpha;
  }
}

template <typename T>
void check_image(int64_t count, int64_t channels, int64_t width, int64_t height) {
  const Splats<T> s = make_splats<T>(count, channels, width, height);
  rasterize_cpu(s.raster);
  int64_t off = 0;
  for (int64_t i = 0; i < width * height; ++i) {
    std::vector<double> color(static_cast<size_t>(channels), 0);
    double left;
    slow_pixel(s, count, i % width, i / width, color, left);
    // A step of 1/255 at a border that rounding moved a pixel over.
    EXPECT_NEAR(static_cast<double>(s.alphas[i]), 1 - left, 1.0 / 255);
    off += std::abs(static_cast<double>(s.alphas[i]) - (1 - left)) > (sizeof(T) == 4 ? 2e-4 : 1e-9);
    for (int64_t k = 0; k < channels; ++k) {
      EXPECT_NEAR(static_cast<double>(s.image[i * channels + k]), color[static_cast<size_t>(k)],
                  1.0 / 255);
    }
  }
  EXPECT(off <= width * height / 100);
  auto image = heap<T>(width * height * channels), alphas = heap<T>(width * height);
  std::fill_n(image.get(), width * height * channels, T(1));
  std::fill_n(alphas.get(), width * height, T(-1));
  auto means2d = heap<T>(2 * count), absolute = heap<T>(2 * count), conics = heap<T>(3 * count);
  auto opacities = heap<T>(count), colors = heap<T>(count * channels);
  const RasterGradient<T> gradient{.forward = s.raster,
                                   .grad_image = image.get(),
                                   .grad_alphas = alphas.get(),
                                   .grad_means2d = means2d.get(),
                                   .abs_means2d = absolute.get(),
                                   .grad_conics = conics.get(),
                                   .grad_opacities = opacities.get(),
                                   .grad_colors = colors.get()};
  rasterize_gradient_cpu(gradient);
  const std::vector<T> former(conics.get(), conics.get() + 3 * count);
  std::shared_ptr<void> made;
  rasterize_cpu(s.raster, &made);
  EXPECT((made != nullptr) == (channels <= 4));
  rasterize_gradient_cpu(gradient, made.get());
  EXPECT(std::equal(former.begin(), former.end(), conics.get()));
  for (int64_t i = 0; i < count; ++i) {
    EXPECT(std::isfinite(opacities[i]) && std::isfinite(means2d[2 * i]));
    EXPECT(std::abs(means2d[2 * i]) <= absolute[2 * i] * T(1.01) + T(1e-4));
    if (count > 8 && i < 8) EXPECT(opacities[i] == 0 && colors[i * channels] == 0);
  }
}

// Lists that name every good splat in every tile, in order of depth, draw what rasterize_cpu()
// does.
template <typename T>
void check_lists(int64_t count, int64_t width, int64_t height, int64_t tile_size) {
  const Splats<T> s = make_splats<T>(count, 2, width, height);
  rasterize_cpu(s.raster);
  std::vector<int32_t> order;
  for (int64_t i = 8; i < count; ++i) order.push_back(static_cast<int32_t>(i));  // see make_splats
  const int64_t each = static_cast<int64_t>(order.size());
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return s.depths[a] < s.depths[b]; });
  const int64_t across = (width + tile_size - 1) / tile_size;
  const int64_t tiles = across * ((height + tile_size - 1) / tile_size);
  auto offsets = heap<int32_t>(tiles), ids = heap<int32_t>(tiles * each);
  auto masks = heap<bool>(tiles);
  for (int64_t k = 0; k < tiles; ++k) {
    offsets[k] = static_cast<int32_t>(k * each);
    std::copy(order.begin(), order.end(), ids.get() + k * each);
    masks[k] = k % 3 != 1;
  }
  auto image = heap<T>(width * height * 2), alphas = heap<T>(width * height);
  Raster<T> listed = s.raster;
  listed.depths = nullptr;
  listed.radii = nullptr;
  listed.first = nullptr;
  listed.image = image.get();
  listed.alphas = alphas.get();
  listed.tile_offsets = offsets.get();
  listed.tile_ids = ids.get();
  listed.tile_masks = masks.get();
  listed.entries = tiles * each;
  listed.tile_size = tile_size;
  rasterize_cpu(listed);
  auto means2d = heap<T>(2 * count), conics = heap<T>(3 * count), opacities = heap<T>(count);
  auto colors = heap<T>(count * 2);
  rasterize_gradient_cpu(RasterGradient<T>{.forward = listed,
                                           .grad_image = s.image.get(),
                                           .grad_alphas = s.alphas.get(),
                                           .grad_means2d = means2d.get(),
                                           .abs_means2d = nullptr,
                                           .grad_conics = conics.get(),
                                           .grad_opacities = opacities.get(),
                                           .grad_colors = colors.get()});
  for (int64_t i = 0; i < 2 * count; ++i) EXPECT(std::isfinite(means2d[i]));
  auto ones = heap<T>(width * height);
  auto counts = heap<int64_t>(width * height), ends = heap<int64_t>(width * height);
  std::fill_n(ones.get(), width * height, T(1));
  Contributors<T> c{listed, ones.get(), 0, 1000, counts.get(), nullptr, nullptr};
  contributors_cpu(c);
  int64_t total = 0;
  for (int64_t i = 0; i < width * height; ++i) ends[i] = total += counts[i];
  auto found = heap<int64_t>(3 * total);
  c.ends = ends.get();
  c.ids = found.get();
  contributors_cpu(c);
  int64_t off = 0;  // at borders, where exp and exp2 round apart
  for (int64_t i = 0; i < width * height; ++i) {
    const bool drawn = masks[i / width / tile_size * across + i % width / tile_size];
    EXPECT_NEAR(static_cast<double>(alphas[i]), drawn ? static_cast<double>(s.alphas[i]) : 0.0,
                1e-5);
    off += (counts[i] > 0) != (s.alphas[i] > 0);
  }
  EXPECT(off <= width * height / 100);
  for (int64_t i = 0; i < total; ++i) EXPECT(found[3 * i] >= 0 && found[3 * i] < count);
}

template <typename T>
void check_projection(int64_t count, CameraModel model) {
  auto means = heap<T>(3 * count), quats = heap<T>(4 * count), scales = heap<T>(3 * count);
  auto opacities = heap<T>(count), depths = heap<T>(2 * count), means2d = heap<T>(4 * count);
  auto conics = heap<T>(6 * count), compensations = heap<T>(2 * count);
  auto radii = heap<int>(4 * count);
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t k = 0; k < 3; ++k) {
      means[3 * i + k] = static_cast<T>(normal(random) + (k == 2 ? 2 : 0));
      scales[3 * i + k] = static_cast<T>(std::exp(normal(random) - 2));
    }
    for (int64_t k = 0; k < 4; ++k) quats[4 * i + k] = static_cast<T>(normal(random));
    opacities[i] = T(0.7);
  }
  if (count > 0) means[0] = std::numeric_limits<T>::infinity();
  const T views[32] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1,
                       1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1};
  const T Ks[18] = {40, 0, 20, 0, 40, 15, 0, 0, 1, 50, 0, 20, 0, 45, 15, 0, 0, 1};
  int64_t invalid[2];
  const Projection<T> p{means.get(),
                        quats.get(),
                        scales.get(),
                        opacities.get(),
                        views,
                        Ks,
                        count,
                        2,
                        40,
                        30,
                        model,
                        0.01,
                        1e10,
                        0.3,
                        0,
                        radii.get(),
                        means2d.get(),
                        depths.get(),
                        conics.get(),
                        compensations.get(),
                        invalid};
  project_cpu(p);
  EXPECT(invalid[0] == (count > 0) && invalid[1] == invalid[0]);
  auto by_means = heap<T>(3 * count), by_quats = heap<T>(4 * count), by_scales = heap<T>(3 * count);
  T by_views[32], by_Ks[18];
  project_gradient_cpu(ProjectionGradient<T>{p, means2d.get(), depths.get(), conics.get(),
                                             compensations.get(), by_means.get(), by_quats.get(),
                                             by_scales.get(), by_views, by_Ks});
  for (int64_t i = 0; i < 4 * count; ++i) EXPECT(std::isfinite(by_quats[i]));
  for (T value : by_views) EXPECT(std::isfinite(value));
  auto coefficients = heap<T>(count * 27), colors = heap<T>(3 * count), grad = heap<T>(count * 27);
  auto masks = heap<bool>(count);
  for (int64_t i = 0; i < count; ++i) masks[i] = i % 2 == 0;
  const Harmonics<T> h{means.get(), coefficients.get(), masks.get(), count, 9, 2, colors.get()};
  harmonics_cpu(h);
  harmonics_gradient_cpu(HarmonicsGradient<T>{h, colors.get(), grad.get(), by_means.get()});
}

template <typename T>
void check_all() {
  for (int64_t count : {0, 1, 17, 90}) {
    for (auto model : {CameraModel::pinhole, CameraModel::ortho, CameraModel::fisheye}) {
      check_projection<T>(count, model);
    }
  }
  for (int64_t tile_size : {1, 5, 16, 32}) check_lists<T>(40, 37, 21, tile_size);
  check_image<T>(0, 3, 5, 3);
  check_image<T>(1, 1, 1, 1);
  check_image<T>(90, 3, 70, 45);
  check_image<T>(90, 6, 33, 65);
}

}  // namespace

int main() {
  set_num_threads(3);
  check_all<float>();
  check_all<double>();
  return test::report();
}
