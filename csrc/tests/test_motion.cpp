// Global motion between frames, against motions that are known.
#include <cmath>
#include <vector>

#include "motion/estimate.h"
#include "tests/expect.h"

using namespace steadyview::motion;

namespace {

// A smooth picture that is known everywhere, in grey levels.
double picture(double x, double y) {
  double sum = 128;
  for (int k = 1; k <= 12; ++k) {
    sum += 8 * std::sin(0.05 * k * x + 0.03 * (13 - k) * y + k) *
           std::cos(0.04 * k * y - 0.02 * k * x + 2 * k);
  }
  return sum;
}

// Where a frame sees the picture: its centred point p shows [[a, -b], [b, a]] p + (tx, ty).
struct View {
  double a = 1, b = 0, tx = 0, ty = 0;
};

// Frames of one size.
struct Scene {
  int width, height, factor = 1, depth = 8;

  template <typename Sample = uint8_t>
  AnalysisFrame frame(const View& view = {}) const {
    // Rows lie further apart than they are long, and the buffer ends with the last sample.
    const int64_t stride = width + 5;
    std::vector<Sample> samples(static_cast<size_t>((height - 1) * stride + width));
    const double scale = (1 << depth) / 256.0;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const double px = x + 0.5 - 0.5 * width, py = y + 0.5 - 0.5 * height;
        const double value =
            picture(view.a * px - view.b * py + view.tx, view.b * px + view.a * py + view.ty);
        samples[static_cast<size_t>(y * stride + x)] = static_cast<Sample>(scale * value);
      }
    }
    return AnalysisFrame({.data = samples.data(),
                          .stride = stride * static_cast<int64_t>(sizeof(Sample)),
                          .bytes = sizeof(Sample),
                          .depth = depth,
                          .width = width,
                          .height = height},
                         factor);
  }

  Layout layout(int grid) const {
    return {.width = width / factor,
            .height = height / factor,
            .columns = width / factor / kCell,
            .rows = height / factor / kCell,
            .frame_width = static_cast<double>(width) / factor,
            .frame_height = static_cast<double>(height) / factor,
            .grid = grid};
  }
};

template <typename Sample>
void test_known_motion(const Scene& scene, double tolerance) {
  const View view{.a = 1.001, .b = 0.002, .tx = 0.7, .ty = -0.4};
  const auto first = scene.frame<Sample>(view), second = scene.frame<Sample>();
  PairEstimator estimator(scene.layout(5), {.refine_iterations = 6, .model_error = 0.1});
  const Estimate found = estimator.estimate(first, second, nullptr, 0, 0, 1);
  EXPECT(found.solved);
  EXPECT(found.inliers > 0.5);
  EXPECT_NEAR(found.similarity[0], view.a, tolerance / scene.width);
  EXPECT_NEAR(found.similarity[1], view.b, tolerance / scene.width);
  EXPECT_NEAR(found.similarity[2] * scene.factor, view.tx, tolerance);
  EXPECT_NEAR(found.similarity[3] * scene.factor, view.ty, tolerance);
  EXPECT_NEAR(found.homography[2] * scene.factor, view.tx, 3 * tolerance);
  const Estimate same = estimator.estimate(first, first, nullptr, 0, 0, 1);
  EXPECT(same.identical && same.similarity[0] == 1 && same.similarity[2] == 0);
}

// One cell of a row of seven moves on its own: fewer than a vector of them, and all are heard.
void test_few_cells() {
  constexpr int kWidth = 7 * kCell;
  const Scene scene{kWidth, kCell};
  const auto first = scene.frame(), second = scene.frame({.tx = 1});
  for (int odd = 0; odd < 7; ++odd) {
    std::vector<float> flow(2 * kWidth * kCell, 0);
    for (int i = 0; i < kWidth * kCell; ++i) {
      flow[static_cast<size_t>(2 * i)] = i % kWidth / kCell == odd ? -5 : 1;
    }
    PairEstimator estimator(scene.layout(1), {.refine_iterations = 0});
    const Estimate found = estimator.estimate(first, second, flow.data(), kWidth, kCell, 1);
    EXPECT(found.solved);
    EXPECT_NEAR(found.similarity[0], 1, 0.02);
    EXPECT_NEAR(found.similarity[2], 1, 0.1);
    // A row of cells does not determine a homography.
    EXPECT(found.homography[0] == found.similarity[0] &&
           found.homography[1] == -found.similarity[1]);
    EXPECT(found.homography[2] == found.similarity[2] &&
           found.homography[5] == found.similarity[3]);
  }
}

// What an estimator measured before leaves no trace.
void test_no_memory() {
  for (const int width : {16, 40, 56, 96}) {
    for (const int height : {8, 16, 64}) {
      const Scene scene{width, height};
      const auto first = scene.frame(), other = scene.frame({.tx = 3, .ty = 1});
      const auto second = scene.frame({.a = 1.01, .b = 0.01, .tx = 1, .ty = 0.5});
      std::vector<float> flow(static_cast<size_t>(2 * width * height)), away(flow);
      for (size_t i = 0; i < flow.size(); ++i) {
        flow[i] = 3 * std::sin(static_cast<float>(i * i % 1009));
        away[i] = 40 * std::cos(static_cast<float>(i * i % 1013));
      }
      const float* const fields[] = {nullptr, flow.data(), away.data()};
      for (const int refinements : {0, 2}) {
        const EstimateOptions options{.refine_iterations = refinements};
        const Layout layout = scene.layout(5);
        for (const float* before : fields) {
          for (const float* field : fields) {
            PairEstimator fresh(layout, options), used(layout, options);
            used.estimate(other, second, before, width, height, 1);
            const Estimate a = fresh.estimate(first, second, field, width, height, 1);
            const Estimate b = used.estimate(first, second, field, width, height, 1);
            EXPECT(a.solved == b.solved && a.inliers == b.inliers && a.residual == b.residual);
            EXPECT(a.similarity == b.similarity && a.homography == b.homography);
            EXPECT(a.model.coefficients == b.model.coefficients);
            EXPECT(fresh.weights() == used.weights());
          }
        }
      }
    }
  }
}

// Under the true motion only noise is left, at rest the shift; bare and unseen cells say nothing.
void test_differences() {
  const Scene scene{160, 96};
  const auto first = scene.frame({.tx = 12}), second = scene.frame();
  PairEstimator estimator(scene.layout(5), {});
  const int columns = scene.layout(5).columns, rows = scene.layout(5).rows;
  std::vector<float> rest(static_cast<size_t>(columns) * rows), moved(rest), bare(rest);
  Model model;
  model.tx = 12;
  estimator.differences(first, second, model, 0, moved.data());
  estimator.differences(first, second, {}, 0, rest.data());
  estimator.differences(first, second, model, 1, bare.data());
  for (size_t c = 0; c < rest.size(); ++c) {
    EXPECT(std::isnan(bare[c]));
    const bool seen = static_cast<int>(c) % columns < columns - 2;
    EXPECT(seen || std::isnan(moved[c]));
    EXPECT(!seen || std::isnan(moved[c]) || (moved[c] < 2 && rest[c] > moved[c]));
  }
}

// Any size, flow that leads out of the frame, and flow that is not a number.
void test_extremes() {
  for (const int width : {1, 7, 8, 9, 16, 31, 64}) {
    for (const int height : {1, 8, 17, 40}) {
      const Scene scene{width, height};
      const auto first = scene.frame(), second = scene.frame({.tx = 3, .ty = 1});
      PairEstimator estimator(scene.layout(5), {});
      std::vector<float> flow(static_cast<size_t>(2 * width * height), 1e6F);
      flow[0] = NAN;
      flow.back() = -INFINITY;
      const float* const fields[] = {nullptr, flow.data()};
      for (const float* field : fields) {
        const Estimate found = estimator.estimate(first, second, field, width, height, 1);
        for (const double value : found.similarity) EXPECT(std::isfinite(value));
        for (const double value : found.homography) EXPECT(std::isfinite(value));
      }
      std::vector<uint8_t> small(static_cast<size_t>(width * height));
      first.small(1, small.data());
    }
  }
}

}  // namespace

int main() {
  test_few_cells();
  test_no_memory();
  test_differences();
  test_known_motion<uint8_t>({160, 96}, 0.03);
  test_known_motion<uint16_t>({160, 96, 1, 10}, 0.03);
  test_known_motion<uint8_t>({331, 203, 2}, 0.06);
  test_extremes();
  return steadyview::test::report();
}
