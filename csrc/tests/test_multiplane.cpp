// Projections between buffers of exactly the size the kernel may touch: under the sanitizers a byte
// read or written outside is an error. The landing is compared with a plain z-buffer.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "multiplane/depth_splat.h"
#include "multiplane/multiplane.h"
#include "multiplane/rows.h"
#include "tests/expect.h"

using namespace steadyview;
using steadyview::test::exact;

namespace {

struct Size {
  int64_t height, width, output_height, output_width;
};

struct Result {
  std::unique_ptr<float[]> image, depth, edges;
  std::unique_ptr<int32_t[]> landed, index;
  std::unique_ptr<uint8_t[]> kept, owner;
};

constexpr int64_t kChannels = 2, kViews = 2;

Result project(const Size& size, const float* image, const float* depth, const double* transform,
               int planes, Split split) {
  const int64_t output = size.output_height * size.output_width * kViews;
  Result r{exact<float>(output * kChannels),
           exact<float>(output),
           exact<float>(kViews * (planes - 1)),
           exact<int32_t>(output),
           exact<int32_t>(output),
           exact<uint8_t>(output),
           exact<uint8_t>(output)};
  const uint8_t same[kViews] = {};
  std::vector<float> given(static_cast<size_t>(kViews * (planes - 1)), 3.0f);
  int64_t invalid = -1;
  multiplane_project_cpu(
      MultiplaneProject<float>{.image = image,
                               .depth = depth,
                               .transform = transform,
                               .same = same,
                               .given = split == Split::given ? given.data() : nullptr,
                               .output = r.image.get(),
                               .output_depth = r.depth.get(),
                               .landed = r.landed.get(),
                               .index = r.index.get(),
                               .kept = r.kept.get(),
                               .owner = r.owner.get(),
                               .edges = r.edges.get(),
                               .invalid = &invalid,
                               .batch = 1,
                               .views = kViews,
                               .channels = kChannels,
                               .height = size.height,
                               .width = size.width,
                               .output_height = size.output_height,
                               .output_width = size.output_width,
                               .planes = planes,
                               .split = split,
                               .keep_above = 0.5,
                               .fill_above = 0.2});
  EXPECT(invalid == std::count_if(depth, depth + size.height * size.width,
                                  [](float z) { return !(z > 0 && std::isfinite(z)); }));
  return r;
}

// A few pixels may differ from the plain z-buffer, whose sums are double.
void compare_landing(const Size& size, const float* depth, const double* m, const int32_t* landed) {
  const int64_t pixels = size.output_height * size.output_width;
  std::vector<int32_t> expected(static_cast<size_t>(pixels), -1);
  std::vector<double> nearest(static_cast<size_t>(pixels), 1e300);
  for (int64_t i = 0; i < size.height * size.width; ++i) {
    const double z = depth[i];
    if (!(z > 0 && std::isfinite(z))) continue;
    const double u = static_cast<double>(i % size.width) + 0.5;
    const double v = static_cast<double>(i / size.width) + 0.5;
    double q[3];
    for (int k = 0; k < 3; ++k) {
      q[k] = z * (m[4 * k] * u + m[4 * k + 1] * v + m[4 * k + 2]) + m[4 * k + 3];
    }
    const double x = std::floor(q[0] / q[2]), y = std::floor(q[1] / q[2]);
    if (!(q[2] > 0 && x >= 0 && y >= 0 && x < static_cast<double>(size.output_width) &&
          y < static_cast<double>(size.output_height))) {
      continue;
    }
    const int64_t place = static_cast<int64_t>(y) * size.output_width + static_cast<int64_t>(x);
    if (q[2] >= nearest[place]) continue;
    nearest[place] = q[2];
    expected[place] = static_cast<int32_t>(i);
  }
  int64_t different = 0;
  for (int64_t i = 0; i < pixels; ++i) different += landed[i] != expected[i];
  EXPECT(different <= pixels / 500);
}

void project_sizes() {
  const Size sizes[] = {{1, 1, 1, 1},     {1, 9, 1, 9},      {9, 1, 7, 1},        {2, 3, 3, 2},
                        {17, 33, 17, 33}, {40, 150, 33, 99}, {130, 257, 130, 257}};
  const double inf = std::numeric_limits<double>::infinity();
  const double transforms[][12] = {
      {1, 0, 0, -7, 0, 1, 0, 0, 0, 0, 1, 0},
      {0.98, -0.1, 3, 5, 0.1, 0.98, -2, 2, 1e-4, -1e-4, 1, -0.3},
      {-1, 0, 60, 0, 0, -1, 60, 0, 0, 0, 1, 0},
      {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, -4},       // partly behind
      {1e9, 0, -1e12, 0, 0, 1, 0, 0, 0, 0, 1, 0},  // far outside
      {inf, 0, 0, 0, 0, 1, 0, 0, 0, 0, -inf, 0},
  };
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (const Size& size : sizes) {
    const int64_t pixels = size.height * size.width;
    const auto image = exact<float>(pixels * kChannels), depth = exact<float>(pixels);
    for (int64_t i = 0; i < pixels * kChannels; ++i) image[i] = uniform(random);
    for (int64_t i = 0; i < pixels; ++i) depth[i] = 2 + 4 * uniform(random) * uniform(random);
    if (pixels > 8) {
      const float bad[] = {0, -1, NAN, INFINITY, -INFINITY};
      std::copy_n(bad, 5, depth.get() + 2);
    }
    for (const auto& first : transforms) {
      std::vector<double> both(first, first + 12);
      both.insert(both.end(), transforms[0], transforms[0] + 12);
      for (Split split : {Split::given, Split::median, Split::disparity, Split::quantiles}) {
        for (int planes : {1, 4, 255}) {
          const Result r = project(size, image.get(), depth.get(), both.data(), planes, split);
          compare_landing(size, depth.get(), both.data(), r.landed.get());
          const int64_t output = size.output_height * size.output_width;
          compare_landing(size, depth.get(), both.data() + 12, r.landed.get() + output);
          bool shown = true;
          for (int64_t i = 0; i < 2 * output; ++i) {
            shown &= (r.owner[i] == kNoPlane) == (r.depth[i] == 0);
            shown &= r.index[i] < pixels && (r.index[i] < 0 || r.index[i] == r.landed[i]);
          }
          EXPECT(shown);
          EXPECT(std::is_sorted(r.edges.get(), r.edges.get() + planes - 1));
        }
      }
    }
  }
}

// Every instruction set gives the same bits, and any number of threads.
void same_bits() {
  const Size size{61, 203, 61, 203};
  const int64_t pixels = size.height * size.width;
  const auto depth = exact<float>(pixels);
  std::mt19937 random(5);
  for (int64_t i = 0; i < pixels; ++i) depth[i] = 1 + static_cast<float>(random() % 4096) / 777;
  const auto run_rows = [&](auto project_row) {
    std::vector<float> z(static_cast<size_t>(pixels));
    std::vector<int32_t> target(static_cast<size_t>(pixels));
    int32_t rows[2] = {61, -1};
    for (int64_t row = 0; row < size.height; ++row) {
      multiplane::SourceRun run{};
      run.depth = depth.get() + row * size.width;
      run.count = size.width;
      run.first_u = 0.5f;
      run.slope[0] = 0.97f, run.slope[1] = 0.03f, run.slope[2] = 1e-4f;
      run.start[0] = 1.7f, run.start[1] = static_cast<float>(row) + 0.5f, run.start[2] = 1;
      run.offset[0] = -7.3f, run.offset[1] = 0.3f, run.offset[2] = 0.1f;
      run.output_height = size.output_height;
      run.output_width = size.output_width;
      project_row(run, target.data() + row * size.width, z.data() + row * size.width, rows);
    }
    return std::pair(target, z);
  };
  [[maybe_unused]] const auto expected = run_rows(multiplane::baseline::project_row);
#if defined(__x86_64__)
  if (active_isa() >= Isa::avx2) EXPECT(run_rows(multiplane::avx2::project_row) == expected);
  if (active_isa() >= Isa::avx512) EXPECT(run_rows(multiplane::avx512::project_row) == expected);
#endif
}

void render_sizes() {
  const double matrices[][9] = {{1, 0, 0, 0, 1, 0, 0, 0, 1},
                                {0.9, -0.2, 1, 0.1, 1.1, -3, 1e-3, -2e-2, 1},
                                {1, 0, 1e30, 0, 1, -1e30, 0, 0, 1},
                                {NAN, 0, 0, 0, 1, 0, 0, 0, 1},
                                {-1, 0, 0, 0, -1, 0, 0, 0, -1}};
  for (const Size& size : {Size{1, 1, 1, 1}, Size{1, 7, 3, 5}, Size{13, 9, 11, 12}}) {
    const int64_t D = 2, C = 3, in = D * C * size.height * size.width;
    const int64_t out = C * size.output_height * size.output_width;
    const auto planes = exact<float>(in), output = exact<float>(out), grad = exact<float>(out);
    const auto samples = exact<float>(D * out), grad_planes = exact<float>(in);
    const auto grad_matrix = exact<double>(9 * D);
    for (int64_t i = 0; i < in; ++i) planes[i] = static_cast<float>(i % 7) / 6;
    std::fill_n(grad.get(), out, 1.0f);
    for (const auto& matrix : matrices) {
      std::vector<double> both(matrix, matrix + 9);
      both.insert(both.end(), matrices[0], matrices[0] + 9);
      const MultiplaneRender<float> render{
          planes.get(), both.data(),        output.get(),     1, 1, D, C, size.height,
          size.width,   size.output_height, size.output_width};
      multiplane_render_cpu(render);
      bool in_range = true;
      for (int64_t i = 0; i < out; ++i) in_range &= output[i] >= 0 && output[i] <= 1.00001f;
      EXPECT(in_range);
      std::fill_n(grad_planes.get(), in, 0.0f);
      multiplane_render_gradient_cpu(MultiplaneRenderGradient<float>{
          render, grad.get(), samples.get(), grad_planes.get(), grad_matrix.get()});
      EXPECT(std::all_of(grad_planes.get(), grad_planes.get() + in,
                         [](float g) { return std::isfinite(g); }));
    }
  }
}

// Points at centres copy; points anywhere, and none, stay inside the buffers.
void splat_points() {
  constexpr int64_t height = 5, width = 7, points = 300, size = height * width, channels = 2;
  const auto image = exact<float>(channels * points), places = exact<float>(3 * points);
  const auto output = exact<float>(channels * size), depth = exact<float>(size);
  const auto weight = exact<float>(size), limit = exact<float>(size);
  const auto grad_image = exact<float>(channels * points), grad_places = exact<float>(3 * points);
  std::vector<float> ones(channels * size, 1.0f);
  for (int64_t i = 0; i < channels * points; ++i) image[i] = static_cast<float>(i % 11);
  const DepthSplat<float> splat{
      image.get(), places.get(), output.get(), depth.get(), weight.get(), limit.get(), 1,
      1,           channels,     points,       height,      width,        0.01};
  for (int64_t i = 0; i < points; ++i) {
    places[i] = static_cast<float>(i % width) + 0.5f;
    places[points + i] = static_cast<float>(i / width) + 0.5f;
    places[2 * points + i] = i < size ? 2.0f : 0.0f;
  }
  depth_splat_cpu(splat);
  bool copied = true;
  for (int64_t i = 0; i < size; ++i) {
    copied &= output[i] == image[i] && output[size + i] == image[points + i] && weight[i] == 1 &&
              depth[i] == 2;
  }
  EXPECT(copied);
  std::mt19937 random(9);
  std::uniform_real_distribution<float> uniform(-3, 10);
  for (int64_t i = 0; i < 3 * points; ++i) places[i] = uniform(random);
  const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f};
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t k = 0; k < 3; ++k) places[k * points + 10 * k + i] = odd[i];
  }
  depth_splat_cpu(splat);
  std::fill_n(grad_image.get(), channels * points, 0.0f);
  depth_splat_gradient_cpu(DepthSplatGradient<float>{splat, ones.data(), ones.data(), ones.data(),
                                                     grad_image.get(), grad_places.get()});
  const auto finite = [](float x) { return std::isfinite(x); };
  EXPECT(std::all_of(output.get(), output.get() + channels * size, finite));
  EXPECT(std::all_of(grad_image.get(), grad_image.get() + channels * points, finite));
  EXPECT(std::all_of(grad_places.get(), grad_places.get() + 3 * points, finite));
}

}  // namespace

int main() {
  project_sizes();
  same_bits();
  render_sizes();
  splat_points();
  return steadyview::test::report();
}
