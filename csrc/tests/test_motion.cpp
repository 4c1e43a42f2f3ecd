// The motion room against plain sums in double precision, and against motions that are known.
#include <array>
#include <cmath>
#include <numbers>
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

template <typename Sample>
AnalysisFrame frame(int width, int height, int factor, double a, double b, double tx, double ty,
                    int depth = 8) {
  // Rows lie further apart than they are long, and the buffer ends with the last sample.
  const int64_t stride = width + 5;
  std::vector<Sample> samples(static_cast<size_t>((height - 1) * stride + width));
  const double scale = (1 << depth) / 256.0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double px = x + 0.5 - 0.5 * width, py = y + 0.5 - 0.5 * height;
      const double value = picture(a * px - b * py + tx, b * px + a * py + ty);
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

Layout layout_of(const AnalysisFrame& frame, int width, int height, int factor, int grid) {
  return {.width = frame.width(),
          .height = frame.height(),
          .columns = frame.columns(),
          .rows = frame.rows(),
          .frame_width = static_cast<double>(width) / factor,
          .frame_height = static_cast<double>(height) / factor,
          .grid = grid};
}

void test_flow_of_model() {
  const Layout layout{.width = 83,
                      .height = 61,
                      .columns = 10,
                      .rows = 7,
                      .frame_width = 83.5,
                      .frame_height = 61.5,
                      .grid = 4};
  LowPass low_pass(layout);
  Model model{.da = 0.01, .b = -0.02, .tx = 1.5, .ty = -0.5};
  for (size_t i = 0; i < 16; ++i) {
    model.coefficients[0][i] = 0.1 * std::sin(static_cast<double>(i));
    model.coefficients[1][i] = 0.1 * std::cos(3.0 * static_cast<double>(i));
  }
  std::vector<float> x(70), y(70);
  low_pass.evaluate(model, x.data(), y.data());
  for (int row = 0; row < layout.rows; ++row) {
    for (int column = 0; column < layout.columns; ++column) {
      const double px = (column + 0.5) * kCell, py = (row + 0.5) * kCell;
      const double cx = px - 0.5 * layout.frame_width, cy = py - 0.5 * layout.frame_height;
      double fx = model.da * cx - model.b * cy + model.tx;
      double fy = model.b * cx + model.da * cy + model.ty;
      for (int u = 0; u < 4; ++u) {
        for (int v = 0; v < 4; ++v) {
          const double basis = std::cos(std::numbers::pi * u * py / layout.frame_height) *
                               std::cos(std::numbers::pi * v * px / layout.frame_width);
          fx += model.coefficients[0][static_cast<size_t>(u * 4 + v)] * basis;
          fy += model.coefficients[1][static_cast<size_t>(u * 4 + v)] * basis;
        }
      }
      const size_t cell = static_cast<size_t>(row * layout.columns + column);
      EXPECT_NEAR(x[cell], fx, 1e-5);
      EXPECT_NEAR(y[cell], fy, 1e-5);
    }
  }
}

// Data made from a model is fitted exactly, with isotropic and with full weights.
void test_fit_recovers_model() {
  const Layout layout{.width = 160,
                      .height = 96,
                      .columns = 20,
                      .rows = 12,
                      .frame_width = 160,
                      .frame_height = 96,
                      .grid = 3};
  LowPass low_pass(layout);
  Model truth{};
  for (size_t i = 0; i < 9; ++i) {
    truth.coefficients[0][i] = 1.0 / static_cast<double>(1 + i);
    truth.coefficients[1][i] = 0.3 - 0.1 * static_cast<double>(i);
  }
  const size_t cells = static_cast<size_t>(low_pass.cells());
  std::vector<float> x(cells), y(cells);
  low_pass.evaluate(truth, x.data(), y.data());
  for (const bool isotropic : {true, false}) {
    CellSystem system(cells);
    system.isotropic = isotropic;
    for (size_t c = 0; c < cells; ++c) {
      const float w = 0.5F + 0.4F * std::sin(static_cast<float>(c));
      system.xx[c] = w;
      system.xy[c] = isotropic ? 0 : 0.3F * w;
      system.yy[c] = isotropic ? w : 0.8F * w;
      system.gx[c] = system.xx[c] * x[c] + system.xy[c] * y[c];
      system.gy[c] = system.xy[c] * x[c] + system.yy[c] * y[c];
    }
    Model model{};
    EXPECT(low_pass.solve_coefficients(system, 3, 0.0, &model));
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_NEAR(model.coefficients[0][i], truth.coefficients[0][i], 1e-4);
      EXPECT_NEAR(model.coefficients[1][i], truth.coefficients[1][i], 1e-4);
    }
  }
  // And a similarity.
  const Model moved{.da = 0.02, .b = 0.01, .tx = -3, .ty = 2};
  low_pass.evaluate(moved, x.data(), y.data());
  CellSystem system(cells);
  for (size_t c = 0; c < cells; ++c) {
    system.xx[c] = 1;
    system.xy[c] = 0.5;
    system.yy[c] = 2;
    system.gx[c] = x[c] + 0.5F * y[c];
    system.gy[c] = 0.5F * x[c] + 2 * y[c];
  }
  Model model{};
  EXPECT(low_pass.solve_similarity(system, &model));
  EXPECT_NEAR(model.da, moved.da, 1e-6);
  EXPECT_NEAR(model.b, moved.b, 1e-6);
  EXPECT_NEAR(model.tx, moved.tx, 1e-5);
  EXPECT_NEAR(model.ty, moved.ty, 1e-5);
}

// From whatever start, and when repeated, the fit is the ridge solution of the dense equations.
void test_ridge() {
  constexpr int kGrid = 4, kSize = kGrid * kGrid;
  constexpr double kRidge = 1e-3;
  const Layout layout{.width = 160,
                      .height = 96,
                      .columns = 20,
                      .rows = 12,
                      .frame_width = 160,
                      .frame_height = 96,
                      .grid = kGrid};
  LowPass low_pass(layout);
  const size_t cells = static_cast<size_t>(low_pass.cells());
  CellSystem system(cells);
  system.isotropic = true;
  std::array<std::vector<double>, 2> matrix, right;
  matrix.fill(std::vector<double>(kSize * kSize));
  right.fill(std::vector<double>(kSize));
  std::vector<float> x(cells), y(cells), now_x(cells), now_y(cells);
  double total = 0;
  for (int row = 0; row < layout.rows; ++row) {
    for (int column = 0; column < layout.columns; ++column) {
      const size_t c = static_cast<size_t>(row * layout.columns + column);
      const float w = 0.5F + 0.4F * std::sin(static_cast<float>(3 * c));
      system.xx[c] = w;
      x[c] = std::sin(static_cast<float>(c * c % 97));
      y[c] = std::cos(static_cast<float>(c * c % 89));
      total += 2 * w;
      double basis[kSize];
      for (int i = 0; i < kSize; ++i) {
        basis[i] =
            std::cos(std::numbers::pi * (i / kGrid) * (row + 0.5) * kCell / layout.frame_height) *
            std::cos(std::numbers::pi * (i % kGrid) * (column + 0.5) * kCell / layout.frame_width);
      }
      for (size_t i = 0; i < kSize; ++i) {
        right[0][i] += w * basis[i] * x[c];
        right[1][i] += w * basis[i] * y[c];
        for (size_t j = 0; j < kSize; ++j) {
          for (auto& m : matrix) m[i * kSize + j] += w * basis[i] * basis[j];
        }
      }
    }
  }
  for (size_t component = 0; component < 2; ++component) {
    for (int i = 0; i < kSize; ++i) {
      matrix[component][static_cast<size_t>(i * kSize + i)] +=
          kRidge * total * stiffness(i / kGrid, i % kGrid);
    }
    EXPECT(solve_cholesky(matrix[component].data(), right[component].data(), kSize));
  }
  Model model{};
  for (size_t i = 0; i < kSize; ++i) model.coefficients[0][i] = model.coefficients[1][i] = 1;
  for (int pass = 0; pass < 3; ++pass) {
    low_pass.evaluate(model, now_x.data(), now_y.data());
    for (size_t c = 0; c < cells; ++c) {
      system.gx[c] = system.xx[c] * (x[c] - now_x[c]);
      system.gy[c] = system.xx[c] * (y[c] - now_y[c]);
    }
    EXPECT(low_pass.solve_coefficients(system, kGrid, kRidge, &model));
    for (size_t component = 0; component < 2; ++component) {
      for (size_t i = 0; i < kSize; ++i) {
        EXPECT_NEAR(model.coefficients[component][i], right[component][i], 1e-5);
      }
    }
  }
}

void test_cholesky() {
  double matrix[9] = {4, 0, 0, 2, 5, 0, 1, 3, 6};  // the lower triangle is read
  double vector[3] = {11, 21, 25};                 // solution 1, 2, 3
  EXPECT(solve_cholesky(matrix, vector, 3));
  EXPECT_NEAR(vector[0], 1, 1e-12);
  EXPECT_NEAR(vector[1], 2, 1e-12);
  EXPECT_NEAR(vector[2], 3, 1e-12);
  double singular[4] = {1, 0, 1, 1}, right[2] = {1, 1};
  EXPECT(!solve_cholesky(singular, right, 2));
}

template <typename Sample>
void test_known_motion(int width, int height, int factor, int depth, double tolerance) {
  const double a = 1.001, b = 0.002, tx = 0.7, ty = -0.4;
  const auto first = frame<Sample>(width, height, factor, a, b, tx, ty, depth);
  const auto second = frame<Sample>(width, height, factor, 1, 0, 0, 0, depth);
  PairEstimator estimator(layout_of(first, width, height, factor, 5),
                          {.refine_iterations = 6, .model_error = 0.1});
  const Estimate found = estimator.estimate(first, second, nullptr, 0, 0, 1);
  EXPECT(found.solved);
  EXPECT(found.inliers > 0.5);
  EXPECT_NEAR(found.similarity[0], a, tolerance / width);
  EXPECT_NEAR(found.similarity[1], b, tolerance / width);
  EXPECT_NEAR(found.similarity[2] * factor, tx, tolerance);
  EXPECT_NEAR(found.similarity[3] * factor, ty, tolerance);
  EXPECT_NEAR(found.homography[2] * factor, tx, 3 * tolerance);
  const Estimate same = estimator.estimate(first, first, nullptr, 0, 0, 1);
  EXPECT(same.identical && same.similarity[0] == 1 && same.similarity[2] == 0);
}

// One cell of a row of seven moves on its own: fewer than a vector of them, and all are heard.
void test_few_cells() {
  constexpr int kWidth = 7 * kCell;
  const auto first = frame<uint8_t>(kWidth, kCell, 1, 1, 0, 0, 0);
  const auto second = frame<uint8_t>(kWidth, kCell, 1, 1, 0, 1, 0);
  for (int odd = 0; odd < 7; ++odd) {
    std::vector<float> flow(2 * kWidth * kCell, 0);
    for (int i = 0; i < kWidth * kCell; ++i) {
      flow[static_cast<size_t>(2 * i)] = i % kWidth / kCell == odd ? -5 : 1;
    }
    PairEstimator estimator(layout_of(first, kWidth, kCell, 1, 1), {.refine_iterations = 0});
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
      const auto first = frame<uint8_t>(width, height, 1, 1, 0, 0, 0);
      const auto second = frame<uint8_t>(width, height, 1, 1.01, 0.01, 1, 0.5);
      const auto other = frame<uint8_t>(width, height, 1, 1, 0, 3, 1);
      std::vector<float> flow(static_cast<size_t>(2 * width * height)), away(flow);
      for (size_t i = 0; i < flow.size(); ++i) {
        flow[i] = 3 * std::sin(static_cast<float>(i * i % 1009));
        away[i] = 40 * std::cos(static_cast<float>(i * i % 1013));
      }
      const float* const fields[] = {nullptr, flow.data(), away.data()};
      for (const int refinements : {0, 2}) {
        const EstimateOptions options{.refine_iterations = refinements};
        const Layout layout = layout_of(first, width, height, 1, 5);
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

// Any size, flow that leads out of the frame, and flow that is not a number.
void test_extremes() {
  for (const int width : {1, 7, 8, 9, 16, 31, 64}) {
    for (const int height : {1, 8, 17, 40}) {
      const auto first = frame<uint8_t>(width, height, 1, 1, 0, 0, 0);
      const auto second = frame<uint8_t>(width, height, 1, 1, 0, 3, 1);
      PairEstimator estimator(layout_of(first, width, height, 1, 5), {});
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
  test_cholesky();
  test_flow_of_model();
  test_fit_recovers_model();
  test_ridge();
  test_few_cells();
  test_no_memory();
  test_known_motion<uint8_t>(160, 96, 1, 8, 0.03);
  test_known_motion<uint16_t>(160, 96, 1, 10, 0.03);
  test_known_motion<uint8_t>(331, 203, 2, 8, 0.06);
  test_extremes();
  return steadyview::test::report();
}
