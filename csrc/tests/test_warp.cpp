// Warps between buffers of exactly the size the kernel may touch, for every instruction set: under
// the sanitizers a byte read or written outside is an error. Values are compared with a slow sum.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "common/isa.h"
#include "tests/expect.h"
#include "warp/planar.h"
#include "warp/warp_pixel.h"
#include "warp/warp_rows.h"

using namespace steadyview;

namespace {

using WarpRows = void (*)(const PlaneWarp&, const planar::Tables&, double*, int64_t, int64_t);

struct Map {
  double matrix[9];
  double displacement;  // of every cosine term, px
};

double cubic(double d) {
  const double a = -0.75;
  d = std::abs(d);
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * (d * d * d - 5 * d * d + 8 * d - 4) : 0;
}

template <typename T>
double slow_bicubic(const T* plane, int64_t width, int64_t height, double x, double y) {
  const double fx = std::floor(x), fy = std::floor(y);
  double sum = 0;
  for (int j = -1; j <= 2; ++j) {
    for (int i = -1; i <= 2; ++i) {
      const auto column = static_cast<int64_t>(std::clamp(fx + i, 0.0, width - 1.0));
      const auto row = static_cast<int64_t>(std::clamp(fy + j, 0.0, height - 1.0));
      sum += cubic(x - fx - i) * cubic(y - fy - j) * plane[row * width + column];
    }
  }
  return sum;
}

template <typename T>
void warp_once(WarpRows warp_rows, int64_t width, int64_t height, int64_t out_width, const Map& map,
               Filter filter, int max_value, bool exact) {
  // On the heap and of the exact size: what lies beside is poisoned.
  std::unique_ptr<T[]> source(new T[width * height]), output(new T[out_width * height]);
  std::mt19937 random(7);
  for (int64_t i = 0; i < width * height; ++i) {
    source[i] = static_cast<T>(random() % (max_value + 1));
  }
  const int terms = 3;
  std::vector<double> coefficients(2 * terms * terms, map.displacement);
  PlaneWarp plane{};
  plane.source = source.get();
  plane.source_stride = width * static_cast<int64_t>(sizeof(T));
  plane.source_width = width;
  plane.source_height = height;
  plane.output = output.get();
  plane.output_stride = out_width * static_cast<int64_t>(sizeof(T));
  plane.output_width = out_width;
  plane.output_height = height;
  plane.sample_bytes = sizeof(T);
  plane.max_value = max_value;
  plane.filter = filter;
  std::memcpy(plane.source_from_output, map.matrix, sizeof(map.matrix));
  plane.displacement = map.displacement != 0 ? coefficients.data() : nullptr;
  plane.terms = terms;
  plane.basis_scale[0] = 1.0 / static_cast<double>(out_width);
  plane.basis_scale[1] = 1.0 / static_cast<double>(height);

  const int64_t groups = (out_width + planar::kGroup - 1) / planar::kGroup;
  const auto basis = [&](int v, double x) { return std::cos(M_PI * v * x * plane.basis_scale[0]); };
  std::vector<double> cosines;
  for (int v = 0; v < terms; ++v) {
    for (int64_t start : {0, 8}) {
      for (int64_t g = 0; g <= groups; ++g) {
        cosines.push_back(basis(v, static_cast<double>(g * planar::kGroup + start) + 0.5));
      }
    }
  }
  std::vector<double> scratch(planar::scratch_size(groups));
  const planar::Tables tables{groups, plane.displacement ? cosines.data() : nullptr, exact};
  warp_rows(plane, tables, scratch.data(), 0, height);

  bool in_range = true;
  double worst = 0;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < out_width; ++x) {
      in_range &= output[y * out_width + x] <= max_value;
      if (filter != Filter::bicubic || map.displacement != 0 || map.matrix[6] != 0) continue;
      const double px = static_cast<double>(x) + 0.5, py = static_cast<double>(y) + 0.5;
      const double* m = map.matrix;
      const double expected =
          slow_bicubic(source.get(), width, height, m[0] * px + m[1] * py + m[2] - 0.5,
                       m[3] * px + m[4] * py + m[5] - 0.5);
      const double clamped = std::clamp(expected, 0.0, static_cast<double>(max_value));
      worst = std::max(worst, std::abs(clamped - output[y * out_width + x]));
    }
  }
  EXPECT(in_range);
  EXPECT(worst <= 0.5 + max_value * 1e-4);
}

void warp_all(WarpRows warp_rows) {
  const Map maps[] = {
      {{1, 0, 0, 0, 1, 0, 0, 0, 1}, 0},
      {{0.95, -0.02, 1.5, 0.02, 0.95, -0.7, 0, 0, 1}, 0},
      {{0.95, -0.02, 1.5, 0.02, 0.95, -0.7, 0, 0, 1}, 0.3},
      {{1.6, 0, -9, 0, 1.6, -7, 0, 0, 1}, 0},
      {{0.3, 0.9, 5, -0.9, 0.3, 20, 0, 0, 1}, 0},
      {{-1, 0, 40, 0, -1, 12, 0, 0, 1}, 0},
      {{1, 0, 1e7, 0, 1, -1e12, 0, 0, 1}, 0},
      {{1, 0, 3, 0, 1, 2, -0.05, 0.01, 1.5}, 0},
      {{1e5, 0, 0, 0, 1e-5, 0, 0, 0, 1}, 0},
  };
  const int64_t sizes[][3] = {{1, 1, 1},   {1, 9, 5},    {9, 1, 9},    {3, 5, 40},   {16, 16, 16},
                              {17, 6, 17}, {40, 12, 33}, {37, 21, 64}, {120, 40, 99}};
  for (const Map& map : maps) {
    for (const auto& size : sizes) {
      for (Filter filter :
           {Filter::bilinear, Filter::bicubic, Filter::catmull_rom, Filter::lanczos3}) {
        for (bool exact : {false, true}) {
          warp_once<uint8_t>(warp_rows, size[0], size[1], size[2], map, filter, 255, exact);
          warp_once<uint16_t>(warp_rows, size[0], size[1], size[2], map, filter, 1023, exact);
        }
        warp_once<uint16_t>(warp_rows, size[0], size[1], size[2], map, filter, 65535, false);
      }
    }
  }
}

// The tensor warp in a variant, against one pixel at a time; and its gradient by the image is the
// transpose: <warp(image), grad> = <image, gradient(grad)>.
template <typename S>
void tensor_warp(void (*rows)(const BackwardWarp<float, S>&, const double*, int64_t, int64_t),
                 int64_t width, int64_t height, float roughness) {
  const int64_t out_width = width + 5, pixels = 2 * width * height, count = out_width * height;
  std::unique_ptr<S[]> image(new S[pixels]), output(new S[2 * count]), expected(new S[2 * count]);
  std::unique_ptr<float[]> flow(new float[2 * count]);
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int64_t i = 0; i < pixels; ++i) image[i] = static_cast<S>(200 * uniform(random));
  for (int64_t i = 0; i < 2 * count; ++i) {
    flow[i] = roughness * (uniform(random) - 0.5f) + 0.05f * static_cast<float>(i % out_width) - 3;
  }
  flow[0] = NAN;
  flow[2 * count - 1] = INFINITY;
  for (int filter = 0; filter < 4; ++filter) {
    for (int border = 0; border < 3; ++border) {
      BackwardWarp<float, S> warp{image.get(),
                                  output.get(),
                                  {flow.get(), nullptr, nullptr, nullptr, 0},
                                  1,
                                  2,
                                  height,
                                  width,
                                  height,
                                  out_width,
                                  static_cast<Filter>(filter),
                                  static_cast<Border>(border),
                                  7};
      rows(warp, nullptr, 0, height);
      warp.output = expected.get();
      double worst = 0;
      for (int64_t i = 0; i < count; ++i) {
        const auto point = warp_maths::source_point(warp, 0, i / out_width, i % out_width);
        switch (warp.filter) {
          case Filter::bilinear:
            warp_maths::warp_pixel<Filter::bilinear>(warp, point, 0, i);
            break;
          case Filter::bicubic:
            warp_maths::warp_pixel<Filter::bicubic>(warp, point, 0, i);
            break;
          case Filter::catmull_rom:
            warp_maths::warp_pixel<Filter::catmull_rom>(warp, point, 0, i);
            break;
          default:
            warp_maths::warp_pixel<Filter::lanczos3>(warp, point, 0, i);
        }
        for (int64_t c : {int64_t{0}, count}) {
          worst = std::max(worst, std::abs(double(output[i + c]) - double(expected[i + c])));
        }
      }
      EXPECT(worst <= (sizeof(S) == 1 ? 1 : 2e-3));  // float: 36 products of up to 300
    }
  }
}

// The gradient by the image is the transpose of the warp, in the variant that runs here.
template <typename T>
void tensor_gradients(int64_t width, int64_t height, T roughness, double tolerance) {
  const int64_t pixels = 2 * width * height;
  std::unique_ptr<T[]> image(new T[pixels]), output(new T[pixels]);
  std::unique_ptr<T[]> grad(new T[pixels]), grad_image(new T[pixels]);
  std::unique_ptr<T[]> flow(new T[pixels]), grad_points(new T[pixels]);
  std::mt19937 random(6);
  std::uniform_real_distribution<T> uniform(-1, 1);
  for (int64_t i = 0; i < pixels; ++i) {
    image[i] = uniform(random);
    grad[i] = uniform(random);
    flow[i] = roughness * uniform(random) - T(1.3);
  }
  for (int filter = 0; filter < 4; ++filter) {
    for (int border = 0; border < 3; ++border) {
      const BackwardWarp<T> warp{image.get(),
                                 output.get(),
                                 {flow.get(), nullptr, nullptr, nullptr, 0},
                                 1,
                                 2,
                                 height,
                                 width,
                                 height,
                                 width,
                                 static_cast<Filter>(filter),
                                 static_cast<Border>(border),
                                 0};
      backward_warp_cpu(warp);
      backward_warp_gradient_cpu(
          BackwardWarpGradient<T>{warp, grad.get(), grad_image.get(), grad_points.get(), nullptr});
      double forward = 0, back = 0;
      for (int64_t i = 0; i < pixels; ++i) {
        forward += double(output[i]) * double(grad[i]);
        back += double(image[i]) * double(grad_image[i]);
      }
      EXPECT_NEAR(forward, back, tolerance);
    }
  }
}

void tensor_all(void (*floats)(const BackwardWarp<float>&, const double*, int64_t, int64_t),
                void (*bytes)(const BackwardWarp<float, uint8_t>&, const double*, int64_t,
                              int64_t)) {
  const int64_t sizes[][2] = {{1, 1}, {3, 2}, {8, 8}, {33, 9}, {150, 20}};
  for (const auto& size : sizes) {
    for (float roughness : {0.0f, 0.5f, 60.0f}) {
      tensor_warp<float>(floats, size[0], size[1], roughness);
      tensor_warp<uint8_t>(bytes, size[0], size[1], roughness);
    }
  }
}

}  // namespace

int main() {
  warp_all(planar::baseline::warp_rows);
#if defined(__x86_64__)
  if (active_isa() >= Isa::avx2) warp_all(planar::avx2::warp_rows);
  if (active_isa() >= Isa::avx512) warp_all(planar::avx512::warp_rows);
#endif
  tensor_all(warping::baseline::warp_rows<float, float>,
             warping::baseline::warp_rows<float, uint8_t>);
#if defined(__x86_64__)
  if (active_isa() >= Isa::avx2) {
    tensor_all(warping::avx2::warp_rows<float, float>, warping::avx2::warp_rows<float, uint8_t>);
  }
  if (active_isa() >= Isa::avx512) {
    tensor_all(warping::avx512::warp_rows<float, float>,
               warping::avx512::warp_rows<float, uint8_t>);
  }
#endif
  for (double roughness : {0.2, 50.0}) {
    tensor_gradients<double>(1, 1, roughness, 1e-10);
    tensor_gradients<double>(140, 50, roughness, 1e-10);
  }
  for (float roughness : {0.0f, 0.05f, 0.4f, 50.0f}) {
    tensor_gradients<float>(8, 8, roughness, 1e-4);
    tensor_gradients<float>(141, 50, roughness, 2e-3);
  }
  return steadyview::test::report();
}
