// Splats between buffers of exactly the size the kernel may touch, for every instruction set; sums
// against one pixel at a time, and gradients in vectors against those of single pixels.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "common/isa.h"
#include "splat/splat_bands.h"
#include "tests/expect.h"
#include "warp/bands.h"

using namespace steadyview;

namespace {

using Rows = void (*)(const ForwardSplatGradient<float>&, int64_t, int64_t);
using Band = void (*)(const ForwardSplat<float>&, const ScatterBand<float>&);

struct Case {
  int64_t height, width;
  float roughness;
  SplatMode mode;
};

std::unique_ptr<float[]> noise(int64_t count, float scale, unsigned seed) {
  std::unique_ptr<float[]> values(new float[count]);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  for (int64_t i = 0; i < count; ++i) values[i] = uniform(random);
  return values;
}

// What reaches each pixel, in double.
std::vector<double> slow_weights(const ForwardSplat<float>& splat) {
  std::vector<double> sums(splat.height * splat.width);
  for (int64_t i = 0; i < splat.height * splat.width; ++i) {
    const auto to = splat_maths::splat_target(splat, 0, i / splat.width, i % splat.width);
    if (!to.valid) continue;
    double weight = 1;
    if (splat.mode == SplatMode::linear) weight = std::max(splat.metric[i], 0.0f);
    if (splat.mode == SplatMode::softmax) weight = std::exp(splat.metric[i] - splat.offset[0]);
    for (int k = 0; k < 4; ++k) {
      const int64_t x = to.x + k % 2, y = to.y + k / 2;
      if (x < 0 || x >= splat.width || y < 0 || y >= splat.height) continue;
      sums[y * splat.width + x] +=
          weight * (k % 2 ? to.tx : 1.0 - to.tx) * (k / 2 ? to.ty : 1.0 - to.ty);
    }
  }
  return sums;
}

void splat_once(const Case& c, Band splat_band, Band nearest_band, Rows scale_rows,
                Rows gather_rows) {
  const int64_t plane = c.height * c.width, channels = 4;
  const bool nearest = c.mode == SplatMode::nearest_z;
  const bool weighted = c.mode != SplatMode::sum && c.mode != SplatMode::average;
  auto image = noise(channels * plane, 1, 1), flow = noise(2 * plane, c.roughness, 2);
  auto metric = noise(plane, 2, 3), grad = noise(channels * plane, 1, 4);
  flow[0] = NAN;
  if (plane > 3) metric[3] = INFINITY;
  const float offset = 2;
  std::unique_ptr<float[]> output(new float[channels * plane]), weight(new float[plane]);
  std::unique_ptr<int32_t[]> index(new int32_t[plane]);
  const ForwardSplat<float> splat{.image = image.get(),
                                  .flow = flow.get(),
                                  .metric = weighted ? metric.get() : nullptr,
                                  .offset = c.mode == SplatMode::softmax ? &offset : nullptr,
                                  .output = output.get(),
                                  .weight = weight.get(),
                                  .index = nearest ? index.get() : nullptr,
                                  .keys = nullptr,
                                  .batch = 1,
                                  .channels = channels,
                                  .height = c.height,
                                  .width = c.width,
                                  .mode = c.mode};
  const BandPlan plan = plan_bands(as_warp(splat), nullptr);
  for (int64_t first = 0; first < c.height; first += plan.rows) {
    const int64_t last = std::min(first + plan.rows, c.height);
    for (int64_t channel = 0; channel < (nearest ? 1 : channels); channel += 3) {
      const ZeroedSums<float> sums(band_size(Filter::bilinear, last - first, c.width));
      (nearest ? nearest_band : splat_band)(
          splat, {0, channel, first, last, plan.reach.data(), plan.row_reach.data(), sums.get()});
    }
  }
  bool right = true;
  if (nearest) {
    for (int64_t i = 0; i < plane; ++i) {
      right &= index[i] < plane && weight[i] == (index[i] >= 0 ? 1 : 0);
      right &= output[i] == (index[i] >= 0 ? image[index[i]] : 0);
    }
  } else {
    const std::vector<double> expected = slow_weights(splat);
    for (int64_t i = 0; i < plane; ++i) {
      right &= std::abs(expected[i] - weight[i]) <= 1e-4 * (1 + expected[i]);
    }
  }
  EXPECT(right);
  // Quotients by small weights are as inexact as these.
  for (int64_t i = 0; i < channels * plane; ++i) {
    if (!(weight[i % plane] > 0.05f)) grad[i] = 0;
  }

  std::unique_ptr<float[]> scaled(new float[(channels + 1) * plane]);
  std::unique_ptr<float[]> by_image[2], by_flow[2], by_metric[2];
  for (int k = 0; k < 2; ++k) {
    by_image[k].reset(new float[channels * plane]());
    by_flow[k].reset(new float[2 * plane]());
    by_metric[k].reset(new float[plane]());
    const ForwardSplatGradient<float> gradient{splat,
                                               grad.get(),
                                               grad.get(),
                                               scaled.get(),
                                               by_image[k].get(),
                                               by_flow[k].get(),
                                               weighted ? by_metric[k].get() : nullptr};
    if (k == 0) {
      if (!nearest) scale_rows(gradient, 0, c.height);
      gather_rows(gradient, 0, c.height);
      continue;
    }
    for (int64_t i = 0; i < plane; ++i) {
      if (!nearest) splat_maths::scale_gradient(gradient, 0, i);
    }
    for (int64_t i = 0; i < plane; ++i) {
      const auto gather =
          nearest ? splat_maths::gather_seen<float> : splat_maths::gather_gradient<float>;
      gather(gradient, 0, i / c.width, i % c.width);
    }
  }
  const auto differ = [](const float* a, const float* b, int64_t count) {
    double most = 0, off = 0;
    for (int64_t i = 0; i < count; ++i) {
      most = std::max(most, std::abs(double{b[i]}));
      off = std::max(off, std::abs(double{a[i]} - double{b[i]}));
    }
    return off > 1e-4 * (1 + most);
  };
  EXPECT(!differ(by_image[0].get(), by_image[1].get(), channels * plane));
  EXPECT(!differ(by_flow[0].get(), by_flow[1].get(), 2 * plane));
  EXPECT(!differ(by_metric[0].get(), by_metric[1].get(), plane));
}

void splat_all(Band splat_band, Band nearest_band, Rows scale_rows, Rows gather_rows) {
  const int64_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {8, 40}, {70, 150}};
  for (const auto& size : sizes) {
    for (float roughness : {0.3f, 2.0f, 60.0f}) {
      for (int mode = 0; mode < 5; ++mode) {
        splat_once({size[0], size[1], roughness, static_cast<SplatMode>(mode)}, splat_band,
                   nearest_band, scale_rows, gather_rows);
      }
    }
  }
}

// Large sums do not stay with the thread.
void large_sums() {
  using Sums = ZeroedSums<float>;
  {
    const Sums small(1000);
  }
  EXPECT(Sums::held() == 1000);
  {
    const Sums large(Sums::kMostKept + 1);
    EXPECT(large.get()[Sums::kMostKept] == 0);
  }
  EXPECT(Sums::held() == 0);
}

}  // namespace

#define STEADYVIEW_SPLAT_ALL(isa)                                                   \
  splat_all(splatting::isa::splat_band<float>, splatting::isa::nearest_band<float>, \
            splatting::isa::scale_rows<float>, splatting::isa::gather_rows<float>)

int main() {
  large_sums();
  STEADYVIEW_SPLAT_ALL(baseline);
#if defined(__x86_64__)
  if (active_isa() >= Isa::avx2) STEADYVIEW_SPLAT_ALL(avx2);
  if (active_isa() >= Isa::avx512) STEADYVIEW_SPLAT_ALL(avx512);
#endif
  return steadyview::test::report();
}
