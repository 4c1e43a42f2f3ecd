// Fills in buffers of exactly the size the kernel may touch: under the sanitizers a byte read or
// written outside is an error. The gradient is compared with what it is the transpose of.
#include <algorithm>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "common/parallel.h"
#include "fill/fill.h"
#include "tests/expect.h"

using namespace steadyview;
using steadyview::test::exact;

namespace {

template <typename T>
struct Case {
  int64_t batch = 2, channels = 2, height, width, gap;
  std::unique_ptr<T[]> image, depth, output, weight, clean, pyramid;
  std::unique_ptr<uint8_t[]> holes, known, kept;

  Case(int64_t h, int64_t w, int64_t g, double share) : height(h), width(w), gap(g) {
    const int64_t pixels = h * w;
    image = exact<T>(batch * channels * pixels);
    output = exact<T>(batch * channels * pixels);
    depth = exact<T>(batch * pixels);
    holes = exact<uint8_t>(batch * pixels);
    weight = exact<T>(pixels);
    clean = exact<T>(pixels);
    pyramid = exact<T>((channels + 1) * fill_cells(h, w));
    known = exact<uint8_t>(pixels);
    kept = exact<uint8_t>(pixels);
    std::mt19937 random(static_cast<unsigned>(h * 100 + w));
    std::uniform_real_distribution<double> unit(0, 1);
    std::generate_n(image.get(), batch * channels * pixels,
                    [&] { return static_cast<T>(unit(random)); });
    std::generate_n(depth.get(), batch * pixels,
                    [&] { return static_cast<T>(unit(random) < 0.5 ? 1 : 2); });
    std::generate_n(holes.get(), batch * pixels, [&] { return unit(random) < share; });
  }
  FillHoles<T> params(bool by_depth) {
    return {.image = image.get(),
            .holes = holes.get(),
            .depth = by_depth ? depth.get() : nullptr,
            .output = output.get(),
            .batch = batch,
            .channels = channels,
            .height = height,
            .width = width,
            .gap = gap,
            .scratch = {.known = known.get(),
                        .kept = gap ? kept.get() : known.get(),
                        .weight = weight.get(),
                        .depth = by_depth ? clean.get() : nullptr,
                        .pyramid = pyramid.get()}};
  }
};

template <typename T>
void check(int64_t height, int64_t width, int64_t gap, double share, bool by_depth) {
  Case<T> c(height, width, gap, share);
  const int64_t pixels = height * width, size = c.channels * pixels;
  c.image[0] = std::numeric_limits<T>::quiet_NaN();
  c.depth[0] = std::numeric_limits<T>::infinity();
  set_num_threads(2);
  fill_holes_cpu(c.params(by_depth));
  for (int64_t i = 0; i < c.batch * size; ++i) {
    const int64_t pixel = i / size * pixels + i % pixels;
    EXPECT(c.output[i] >= 0 && c.output[i] <= T(1 + 1e-5));
    if (!c.holes[pixel] && pixel > 0) EXPECT(c.output[i] == c.image[i]);
  }
  const auto first = exact<T>(c.batch * size);
  std::copy_n(c.output.get(), c.batch * size, first.get());
  set_num_threads(1);
  fill_holes_cpu(c.params(by_depth));
  EXPECT(std::equal(first.get(), first.get() + c.batch * size, c.output.get()));

  // g . fill(image) and gradient(g) . image are the same.
  const auto grad = exact<T>(c.batch * size), grad_image = exact<T>(c.batch * size);
  for (int64_t i = 0; i < c.batch * size; ++i) grad[i] = static_cast<T>(i % 7) - 3;
  const auto values = exact<T>(size);
  FillHoles<T> forward = c.params(by_depth);
  forward.output = values.get();
  fill_holes_gradient_cpu(FillHolesGradient<T>{
      .forward = forward, .grad_output = grad.get(), .grad_image = grad_image.get()});
  double by_output = 0, by_image = 0;
  for (int64_t i = 0; i < c.batch * size; ++i) {
    by_output += static_cast<double>(grad[i]) * first[i];
    const int64_t pixel = i / size * pixels + i % pixels;
    if (c.holes[pixel] || pixel == 0) {
      EXPECT(grad_image[i] == 0);
    } else {
      by_image += static_cast<double>(grad_image[i]) * c.image[i];
    }
  }
  const double rounding = std::numeric_limits<T>::epsilon();
  EXPECT_NEAR(by_output, by_image, 100 * rounding * static_cast<double>(c.batch * size));
}

}  // namespace

int main() {
  for (const auto& [height, width] :
       {std::pair<int64_t, int64_t>{1, 1}, {1, 9}, {150, 1}, {2, 3}, {17, 300}, {64, 32}}) {
    for (const int64_t gap : {0, 4, 1000}) {
      for (const double share : {0.0, 0.3, 0.95, 1.0}) {
        check<float>(height, width, gap, share, gap > 0);
        check<double>(height, width, gap, share, gap == 0);
      }
    }
  }
  return test::report();
}
