// The loss between buffers of exactly the size the kernel may touch, for every instruction set:
// under the sanitizers a byte read or written outside is an error. Compared with slow sums.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>

#include "common/isa.h"
#include "photometric/photometric.h"
#include "tests/expect.h"

using namespace steadyview;
using photometric::LossParams;
using photometric::Tile;
using photometric::TileFunction;

namespace steadyview::photometric {
namespace baseline {
extern const TileFunction loss_tile;
}
#if defined(__x86_64__)
namespace avx2 {
extern const TileFunction loss_tile;
}
namespace avx512 {
extern const TileFunction loss_tile;
}
#endif
}  // namespace steadyview::photometric

namespace {

constexpr int64_t kTile = 48;  // pixels

// The blur of f at one pixel, with zeros around the image.
template <typename F>
double slow_blur(const LossParams& p, int64_t row, int64_t column, const F& f) {
  double sum = 0, total = 0;
  for (int i = -5; i <= 5; ++i) {
    for (int j = -5; j <= 5; ++j) {
      const double weight = std::exp(-(i * i + j * j) / 4.5);
      total += weight;
      const int64_t y = row + i, x = column + j;
      if (y >= 0 && y < p.height && x >= 0 && x < p.width) sum += weight * f(y, x);
    }
  }
  return sum / total;
}

double slow_loss(const LossParams& p) {
  double loss = 0;
  for (int64_t i = 0; i < p.height; ++i) {
    for (int64_t j = 0; j < p.width; ++j) {
      for (int c = 0; c < p.channels; ++c) {
        const auto x = [&](int64_t r, int64_t k) {
          return double{p.image[(r * p.width + k) * p.channels + c]};
        };
        const auto y = [&](int64_t r, int64_t k) {
          return double{p.target[(r * p.width + k) * p.channels + c]};
        };
        const double a = slow_blur(p, i, j, x), b = slow_blur(p, i, j, y);
        const double xx = slow_blur(p, i, j, [&](auto r, auto k) { return x(r, k) * x(r, k); });
        const double yy = slow_blur(p, i, j, [&](auto r, auto k) { return y(r, k) * y(r, k); });
        const double xy = slow_blur(p, i, j, [&](auto r, auto k) { return x(r, k) * y(r, k); });
        const double ssim = (2 * a * b + 1e-4) * (2 * (xy - a * b) + 9e-4) /
                            ((a * a + b * b + 1e-4) * (xx + yy - a * a - b * b + 9e-4));
        const double weight = p.scale * (p.mask ? p.mask[i * p.width + j] : 1.0);
        loss += weight *
                ((1 - p.ssim_weight) * std::abs(x(i, j) - y(i, j)) + p.ssim_weight * (1 - ssim));
      }
    }
  }
  return loss;
}

void check(TileFunction tile, int64_t height, int64_t width, int channels, bool masked) {
  const int64_t pixels = height * width, values = pixels * channels;
  std::unique_ptr<float[]> image(new float[values]), target(new float[values]),
      mask(new float[pixels]), gradient(new float[values]),
      scratch(new float[photometric::tile_scratch(kTile, channels)]);
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int64_t i = 0; i < values; ++i) {
    target[i] = uniform(random);
    image[i] = 0.7f * target[i] + 0.3f * uniform(random);
  }
  for (int64_t i = 0; i < pixels; ++i) mask[i] = uniform(random);
  LossParams p{image.get(),   target.get(), masked ? mask.get() : nullptr,  height,
               width,         channels,     1 / static_cast<float>(values), 0.2f,
               gradient.get()};
  double loss = 0;
  for (int64_t i = 0; i < height; i += kTile) {
    for (int64_t j = 0; j < width; j += kTile) {
      const Tile part{i, j, std::min(kTile, height - i), std::min(kTile, width - j)};
      loss += tile(p, part, scratch.get());
    }
  }
  EXPECT_NEAR(loss, slow_loss(p), 1e-5 * loss);
  EXPECT_NEAR(loss, photometric::loss_and_gradient(p), 1e-5 * loss);
  // Central differences: their own error is about 1e-3 of a slope.
  for (const int64_t at : {int64_t{0}, values / 2, values - 1}) {
    const float before = image[at], step = 1e-3f;
    image[at] = before + step;
    const double above = slow_loss(p);
    image[at] = before - step;
    const double below = slow_loss(p);
    image[at] = before;
    const double slope = (above - below) / (2.0 * step);
    EXPECT_NEAR(gradient[at], slope, 1e-2 * std::abs(slope) + 1e-3 / static_cast<double>(values));
  }
}

}  // namespace

int main() {
  TileFunction tiles[3] = {photometric::baseline::loss_tile};
  int count = 1;
#if defined(__x86_64__)
  if (active_isa() != Isa::baseline) tiles[count++] = photometric::avx2::loss_tile;
  if (active_isa() == Isa::avx512) tiles[count++] = photometric::avx512::loss_tile;
#endif
  for (int k = 0; k < count; ++k) {
    check(tiles[k], 1, 1, 3, false);
    check(tiles[k], 7, 5, 1, true);
    check(tiles[k], 13, 101, 3, true);
    check(tiles[k], 98, 20, 4, false);
  }
  return test::report();
}
