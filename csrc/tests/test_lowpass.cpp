// The low-pass model and its fits against plain sums in double precision.
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "motion/lowpass.h"
#include "tests/expect.h"

using namespace steadyview::motion;

namespace {

// Cells that fill an analysis image; the frame is `more` wider and higher.
Layout layout_of(int width, int height, int grid, double more = 0) {
  return {.width = width,
          .height = height,
          .columns = width / kCell,
          .rows = height / kCell,
          .frame_width = width + more,
          .frame_height = height + more,
          .grid = grid};
}

// A basis function at a cell's centre.
double basis(const Layout& layout, int u, int v, int row, int column) {
  return std::cos(std::numbers::pi * u * (row + 0.5) * kCell / layout.frame_height) *
         std::cos(std::numbers::pi * v * (column + 0.5) * kCell / layout.frame_width);
}

void test_flow_of_model() {
  const Layout layout = layout_of(83, 61, 4, 0.5);
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
          const double cosines = basis(layout, u, v, row, column);
          fx += model.coefficients[0][static_cast<size_t>(u * 4 + v)] * cosines;
          fy += model.coefficients[1][static_cast<size_t>(u * 4 + v)] * cosines;
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
  const Layout layout = layout_of(160, 96, 3);
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
  const Layout layout = layout_of(160, 96, kGrid);
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
      double bases[kSize];
      for (int i = 0; i < kSize; ++i) {
        bases[i] = basis(layout, i / kGrid, i % kGrid, row, column);
      }
      for (size_t i = 0; i < kSize; ++i) {
        right[0][i] += w * bases[i] * x[c];
        right[1][i] += w * bases[i] * y[c];
        for (size_t j = 0; j < kSize; ++j) {
          for (auto& m : matrix) m[i * kSize + j] += w * bases[i] * bases[j];
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

}  // namespace

int main() {
  test_cholesky();
  test_flow_of_model();
  test_fit_recovers_model();
  test_ridge();
  return steadyview::test::report();
}
