// Filters and averages in buffers of exactly the size the kernel may touch: under the sanitizers a
// byte read or written outside is an error. The filter is compared with its definition.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "common/parallel.h"
#include "depth/depth.h"
#include "depth/depth_maths.h"
#include "tests/expect.h"

using namespace steadyview;
using steadyview::test::exact;

namespace {

template <typename T>
std::unique_ptr<T[]> random_values(int64_t count, unsigned seed, double low, double high) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> between(low, high);
  auto values = exact<T>(count);
  std::generate_n(values.get(), count, [&] { return static_cast<T>(between(random)); });
  return values;
}

// The mean over the window around each pixel.
template <typename Value>
std::vector<double> box(int64_t height, int64_t width, int64_t radius, Value value) {
  std::vector<double> means;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      double sum = 0, count = 0;
      for (int64_t v = std::max(y - radius, int64_t{0}); v < std::min(y + radius + 1, height);
           ++v) {
        for (int64_t u = std::max(x - radius, int64_t{0}); u < std::min(x + radius + 1, width);
             ++u, ++count) {
          sum += value(static_cast<size_t>(v * width + u));
        }
      }
      means.push_back(sum / count);
    }
  }
  return means;
}

template <typename T>
void check_filter(int64_t height, int64_t width, int64_t radius) {
  const int64_t size = height * width, pictures = 2;
  const auto guide = random_values<T>(pictures * size, 1, 5, 6);
  const auto source = random_values<T>(pictures * size, 2, 0, 1);
  const auto output = exact<T>(pictures * size), lines = exact<T>(2 * pictures * size);
  const auto facts = exact<double>(pictures * depth::kFacts);
  const double epsilon = 0.01;
  guided_filter_cpu(
      GuidedFilter<T>{.guide = guide.get(),
                      .source = source.get(),
                      .output = output.get(),
                      .pictures = pictures,
                      .height = height,
                      .width = width,
                      .radius = radius,
                      .epsilon = epsilon,
                      .least = T(-100),
                      .by_range = false,
                      .scratch = {.lines = lines.get(), .facts = facts.get(), .sums = nullptr}});
  for (int64_t n = 0; n < pictures; ++n) {
    const T *g = guide.get() + n * size, *s = source.get() + n * size;
    const auto x = box(height, width, radius, [&](size_t i) { return g[i]; });
    const auto y = box(height, width, radius, [&](size_t i) { return s[i]; });
    const auto xx = box(height, width, radius, [&](size_t i) { return double(g[i]) * g[i]; });
    const auto xy = box(height, width, radius, [&](size_t i) { return double(g[i]) * s[i]; });
    std::vector<double> slope, offset;
    for (size_t i = 0; i < static_cast<size_t>(size); ++i) {
      slope.push_back((xy[i] - x[i] * y[i]) / (xx[i] - x[i] * x[i] + epsilon));
      offset.push_back(y[i] - slope[i] * x[i]);
    }
    const auto a = box(height, width, radius, [&](size_t i) { return slope[i]; });
    const auto b = box(height, width, radius, [&](size_t i) { return offset[i]; });
    for (size_t i = 0; i < static_cast<size_t>(size); ++i) {
      EXPECT_NEAR(output[static_cast<size_t>(n * size) + i], a[i] * g[i] + b[i],
                  sizeof(T) == 4 ? 3e-6 : 1e-10);
    }
  }
}

template <typename T, typename F>
void check_smoothing(int64_t frames, int64_t height, int64_t width, int64_t radius) {
  const int64_t size = height * width, channels = 2, group = std::min<int64_t>(frames, 2);
  const auto disparity = random_values<T>(frames * size, 1, -0.1, 1);
  const auto pictures = random_values<F>(frames * channels * size, 2, 0, sizeof(F) == 1 ? 9 : 1);
  const auto there = random_values<T>((frames - 1) * 2 * size, 3, -3, 3);
  const auto back = random_values<T>((frames - 1) * 2 * size, 4, -3, 3);
  if (frames > 1) {
    there[0] = std::numeric_limits<T>::quiet_NaN();
    back[0] = T(1e30);
  }
  disparity[0] = std::numeric_limits<T>::infinity();
  const auto lines = exact<T>(radius ? 2 * group * size : 0), guide = exact<T>(group * size);
  const auto facts = exact<double>(group * depth::kFacts);
  const auto run = [&](T* output) {
    smooth_depth_cpu(SmoothDepth<T, F>{
        .disparity = disparity.get(),
        .pictures = pictures.get(),
        .forward_flow = there.get(),
        .backward_flow = back.get(),
        .output = output,
        .frames = frames,
        .channels = channels,
        .height = height,
        .width = width,
        .colour_tolerance = F(sizeof(F) == 1 ? 5 : 0.5),
        .disparity_tolerance = 0.5,
        .radius = radius,
        .epsilon = 1e-3,
        .group = group,
        .guide = guide.get(),
        .scratch = {.lines = lines.get(), .facts = facts.get(), .sums = nullptr}});
  };
  const auto output = exact<T>(frames * size), again = exact<T>(frames * size);
  set_num_threads(2);
  run(output.get());
  set_num_threads(1);
  run(again.get());
  EXPECT(std::equal(output.get(), output.get() + frames * size, again.get()));
  for (int64_t i = 0; i < frames * size; ++i) EXPECT(output[i] >= 0 && output[i] < 3);
}

}  // namespace

int main() {
  for (const auto& [height, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {1, 70}, {140, 1}, {3, 2}, {150, 33}}) {
    for (const int64_t radius : {0, 1, 4, 1000}) {
      if (height * width > 1000 && radius == 1000) continue;  // slow, but for the kernel
      check_filter<float>(height, width, radius);
      check_filter<double>(height, width, radius);
    }
    for (const int64_t frames : {1, 2, 5}) {
      for (const int64_t radius : {0, 3, 1000}) {
        check_smoothing<float, float>(frames, height, width, radius);
        check_smoothing<float, uint8_t>(frames, height, width, radius);
        check_smoothing<double, double>(frames, height, width, radius);
        check_smoothing<double, uint8_t>(frames, height, width, radius);
      }
    }
  }
  return test::report();
}
