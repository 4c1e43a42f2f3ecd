#include "motion/lowpass.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

namespace steadyview::motion {
namespace {

// Rows: cosines of frequency 0 .. count-1 of positions (i + 0.5) * step over `length`.
void cosine_table(int count, int positions, double step, double length, float* table) {
  for (int k = 0; k < count; ++k) {
    for (int i = 0; i < positions; ++i) {
      const double phase = std::numbers::pi * k * (i + 0.5) * step / length;
      table[static_cast<int64_t>(k) * positions + i] = static_cast<float>(std::cos(phase));
    }
  }
}

// Rows: 1, X and X^2 of the cells' centres relative to the frame's centre, in units of `unit`.
void polynomial_table(int positions, double length, double unit, float* table) {
  for (int i = 0; i < positions; ++i) {
    const double centred = ((i + 0.5) * kCell - 0.5 * length) / unit;
    table[i] = 1;
    table[positions + i] = static_cast<float>(centred);
    table[2 * static_cast<int64_t>(positions) + i] = static_cast<float>(centred * centred);
  }
}

}  // namespace

double stiffness(int u, int v) { return 1 + u * u + 0.25 * v * v * v * v; }

bool solve_cholesky(double* matrix, double* vector, int n) {
  for (int j = 0; j < n; ++j) {
    double* row_j = matrix + static_cast<int64_t>(j) * n;
    double pivot = row_j[j];
    const double tiny = 1e-13 * pivot;
    for (int k = 0; k < j; ++k) pivot -= row_j[k] * row_j[k];
    if (!(pivot > tiny) || !(pivot > 0)) return false;
    row_j[j] = std::sqrt(pivot);
    for (int i = j + 1; i < n; ++i) {
      double* row_i = matrix + static_cast<int64_t>(i) * n;
      double sum = row_i[j];
      for (int k = 0; k < j; ++k) sum -= row_i[k] * row_j[k];
      row_i[j] = sum / row_j[j];
    }
  }
  for (int i = 0; i < n; ++i) {
    double sum = vector[i];
    for (int k = 0; k < i; ++k) sum -= matrix[static_cast<int64_t>(i) * n + k] * vector[k];
    vector[i] = sum / matrix[static_cast<int64_t>(i) * n + i];
  }
  for (int i = n - 1; i >= 0; --i) {
    double sum = vector[i];
    for (int k = i + 1; k < n; ++k) sum -= matrix[static_cast<int64_t>(k) * n + i] * vector[k];
    vector[i] = sum / matrix[static_cast<int64_t>(i) * n + i];
  }
  return std::all_of(vector, vector + n, [](double value) { return std::isfinite(value); });
}

LowPass::LowPass(const Layout& layout)
    : layout_(layout), unit_(0.5 * std::hypot(layout.frame_width, layout.frame_height)) {
  const int cosines = 2 * layout.grid - 1;
  cosine_rows_.resize(static_cast<size_t>(cosines) * layout.rows);
  cosine_columns_.resize(static_cast<size_t>(cosines) * layout.columns);
  cosine_table(cosines, layout.rows, kCell, layout.frame_height, cosine_rows_.data());
  cosine_table(cosines, layout.columns, kCell, layout.frame_width, cosine_columns_.data());
  polynomial_rows_.resize(3 * static_cast<size_t>(layout.rows));
  polynomial_columns_.resize(3 * static_cast<size_t>(layout.columns));
  polynomial_table(layout.rows, layout.frame_height, unit_, polynomial_rows_.data());
  polynomial_table(layout.columns, layout.frame_width, unit_, polynomial_columns_.data());
  pixel_rows_.resize(static_cast<size_t>(layout.grid) * layout.height);
  cosine_table(layout.grid, layout.height, 1, layout.frame_height, pixel_rows_.data());
  pixel_columns_.resize(static_cast<size_t>(terms()) * layout.width);
  cosine_table(layout.grid, layout.width, 1, layout.frame_width, pixel_columns_.data());
  for (int x = 0; x < layout.width; ++x) {
    pixel_columns_[static_cast<size_t>(layout.grid) * layout.width + x] =
        static_cast<float>(x + 0.5 - 0.5 * layout.frame_width);
  }
  scratch_.resize(static_cast<size_t>(std::max(cosines, 3)) * layout.columns);
}

// Weights of the horizontal functions cos(0 ..), .., X on the row at height y: x and y component.
void LowPass::row_weights(const Model& model, double y, const float* cosines, int64_t step,
                          float* weights) const {
  const int grid = layout_.grid;
  for (int v = 0; v < grid; ++v) {
    double x_sum = 0, y_sum = 0;
    for (int u = 0; u < grid; ++u) {
      const double cosine = cosines[u * step];
      x_sum += model.coefficients[0][static_cast<size_t>(u * grid + v)] * cosine;
      y_sum += model.coefficients[1][static_cast<size_t>(u * grid + v)] * cosine;
    }
    if (v == 0) {
      x_sum += model.tx - model.b * y;
      y_sum += model.ty + model.da * y;
    }
    weights[2 * v] = static_cast<float>(x_sum);
    weights[2 * v + 1] = static_cast<float>(y_sum);
  }
  weights[2 * grid] = static_cast<float>(model.da);
  weights[2 * grid + 1] = static_cast<float>(model.b);
}

void LowPass::evaluate(const Model& model, float* flow_x, float* flow_y) const {
  const int columns = layout_.columns;
  float weights[2 * (kMaxGrid + 1)];
  for (int row = 0; row < layout_.rows; ++row) {
    row_weights(model, cell_y(row), cosine_rows_.data() + row, layout_.rows, weights);
    float* __restrict x_row = flow_x + static_cast<int64_t>(row) * columns;
    float* __restrict y_row = flow_y + static_cast<int64_t>(row) * columns;
    std::fill(x_row, x_row + columns, 0.0f);
    std::fill(y_row, y_row + columns, 0.0f);
    for (int v = 0; v < terms(); ++v) {
      const bool linear = v == layout_.grid;
      const float* __restrict basis =
          linear ? polynomial_columns_.data() + columns
                 : cosine_columns_.data() + static_cast<int64_t>(v) * columns;
      const float factor = linear ? static_cast<float>(unit_) : 1.0f;
      const float wx = weights[2 * v] * factor, wy = weights[2 * v + 1] * factor;
      for (int c = 0; c < columns; ++c) {
        x_row[c] += wx * basis[c];
        y_row[c] += wy * basis[c];
      }
    }
  }
}

void LowPass::pixel_rows(const Model& model, float* flow_rows) const {
  for (int y = 0; y < layout_.height; ++y) {
    row_weights(model, y + 0.5 - 0.5 * layout_.frame_height, pixel_rows_.data() + y, layout_.height,
                flow_rows + static_cast<int64_t>(y) * terms() * 2);
  }
}

void LowPass::moments(const float* field, const std::vector<float>& vertical, int terms_v,
                      const std::vector<float>& horizontal, int terms_h, double* out) {
  kernels().moments({.field = field,
                     .columns = layout_.columns,
                     .rows = layout_.rows,
                     .vertical = vertical.data(),
                     .terms_v = terms_v,
                     .horizontal = horizontal.data(),
                     .terms_h = terms_h,
                     .moments = out,
                     .scratch = scratch_.data()});
}

bool LowPass::solve_similarity(const CellSystem& system, Model* model) {
  // Moments over Y^p X^q as [3 p + q]: 1, X, X^2 | Y, .. | Y^2, ..
  enum { one = 0, x = 1, xx = 2, y = 3, xy = 4, yy = 6 };
  const auto of = [&](const std::vector<float>& field) {
    std::array<double, 9> m{};
    moments(field.data(), polynomial_rows_, 3, polynomial_columns_, 3, m.data());
    return m;
  };
  const auto a = of(system.xx);
  const auto c = system.isotropic ? std::array<double, 9>{} : of(system.xy);
  const auto d = system.isotropic ? a : of(system.yy);
  const auto gx = of(system.gx), gy = of(system.gy);
  // Unknowns da, b (times unit_), tx, ty; Jacobian rows (X, -Y, 1, 0) and (Y, X, 0, 1).
  double matrix[16] = {};
  const auto set = [&](int i, int j, double value) {
    matrix[4 * i + j] = matrix[4 * j + i] = value;
  };
  set(0, 0, a[xx] + 2 * c[xy] + d[yy]);
  set(1, 0, -a[xy] + c[xx] - c[yy] + d[xy]);
  set(1, 1, a[yy] - 2 * c[xy] + d[xx]);
  set(2, 0, a[x] + c[y]);
  set(2, 1, -a[y] + c[x]);
  set(2, 2, a[one]);
  set(3, 0, c[x] + d[y]);
  set(3, 1, -c[y] + d[x]);
  set(3, 2, c[one]);
  set(3, 3, d[one]);
  double step[4] = {gx[x] + gy[y], gy[x] - gx[y], gx[one], gy[one]};
  if (!solve_cholesky(matrix, step, 4)) return false;
  model->da += step[0] / unit_;
  model->b += step[1] / unit_;
  model->tx += step[2];
  model->ty += step[3];
  return true;
}

bool LowPass::solve_coefficients(const CellSystem& system, int cutoff, double ridge, Model* model) {
  const int k = std::min(cutoff, layout_.grid), size = k * k, band = 2 * k - 1;
  const int unknowns = system.isotropic ? size : 2 * size;
  std::vector<double> weights(static_cast<size_t>(3 * band * band));
  std::vector<double> matrix(static_cast<size_t>(unknowns) * unknowns);
  std::vector<double> step(static_cast<size_t>(2 * size));
  const std::vector<float>* fields[3] = {&system.xx, &system.xy, &system.yy};
  double* part[3];
  for (int i = 0; i < (system.isotropic ? 1 : 3); ++i) {
    part[i] = weights.data() + i * band * band;
    moments(fields[i]->data(), cosine_rows_, band, cosine_columns_, band, part[i]);
  }
  moments(system.gx.data(), cosine_rows_, k, cosine_columns_, k, step.data());
  moments(system.gy.data(), cosine_rows_, k, cosine_columns_, k, step.data() + size);

  // cos a cos b = (cos(a + b) + cos(a - b)) / 2 in both directions: all products of two basis
  // functions come from (2K - 1)^2 moments of the weights.
  const auto product = [&](const double* m, int i, int j) {
    const int u = i / k, v = i % k, s = j / k, t = j % k;
    const double* minus = m + std::abs(u - s) * band;
    const double* plus = m + (u + s) * band;
    const int p = std::abs(v - t), q = v + t;
    return 0.25 * (minus[p] + minus[q] + plus[p] + plus[q]);
  };
  const double total = system.isotropic ? 2 * part[0][0] : part[0][0] + part[2][0];
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j <= i; ++j) {
      const int64_t n = unknowns;
      matrix[static_cast<size_t>(i * n + j)] = product(part[0], i, j);
      if (system.isotropic) continue;
      const double cross = product(part[1], i, j);
      matrix[static_cast<size_t>((i + size) * n + j)] = cross;
      matrix[static_cast<size_t>((j + size) * n + i)] = cross;
      matrix[static_cast<size_t>((i + size) * n + j + size)] = product(part[2], i, j);
    }
  }
  for (int i = 0; i < unknowns; ++i) {
    const int u = (i % size) / k, v = i % k;
    matrix[static_cast<size_t>(i) * unknowns + i] += ridge * total * stiffness(u, v);
  }
  // The ridge acts on the coefficients, not on the step: solved again, they stay.
  for (int i = 0; i < 2 * size; ++i) {
    const int u = (i % size) / k, v = i % k;
    const auto& now = model->coefficients[static_cast<size_t>(i / size)];
    step[static_cast<size_t>(i)] -=
        ridge * total * stiffness(u, v) * now[static_cast<size_t>(u * layout_.grid + v)];
  }
  if (system.isotropic) {
    std::vector<double> copy = matrix;
    if (!solve_cholesky(copy.data(), step.data(), size)) return false;
    if (!solve_cholesky(matrix.data(), step.data() + size, size)) return false;
  } else if (!solve_cholesky(matrix.data(), step.data(), unknowns)) {
    return false;
  }
  for (int i = 0; i < 2 * size; ++i) {
    const int u = (i % size) / k, v = i % k;
    model->coefficients[static_cast<size_t>(i / size)][static_cast<size_t>(u * layout_.grid + v)] +=
        step[static_cast<size_t>(i)];
  }
  return true;
}

bool LowPass::solve_homography(const CellSystem& system, const float* flow_x, const float* flow_y,
                               double* homography) const {
  // Unknowns: the matrix less the identity, row by row without (2, 2), for points in units of
  // unit_. Residuals of a point P moved by f: dH P - P'(h20 X + h21 Y) = f, over the denominator.
  double h[8] = {};
  for (int pass = 0; pass < 2; ++pass) {
    double matrix[64] = {}, step[8] = {};
    for (int row = 0; row < layout_.rows; row += 2) {
      for (int column = row / 2 % 2; column < layout_.columns; column += 2) {
        const int64_t cell = static_cast<int64_t>(row) * layout_.columns + column;
        const double x = cell_x(column) / unit_, y = cell_y(row) / unit_;
        const double fx = flow_x[cell] / unit_, fy = flow_y[cell] / unit_;
        const double over = 1 / (1 + h[6] * x + h[7] * y);
        const double scale = over * over;
        const double xx = scale * system.xx[static_cast<size_t>(cell)];
        const double xy = system.isotropic ? 0 : scale * system.xy[static_cast<size_t>(cell)];
        const double yy = system.isotropic ? xx : scale * system.yy[static_cast<size_t>(cell)];
        const double jx[8] = {x, y, 1, 0, 0, 0, -(x + fx) * x, -(x + fx) * y};
        const double jy[8] = {0, 0, 0, x, y, 1, -(y + fy) * x, -(y + fy) * y};
        for (int i = 0; i < 8; ++i) {
          const double wx = jx[i] * xx + jy[i] * xy, wy = jx[i] * xy + jy[i] * yy;
          step[i] += wx * fx + wy * fy;
          for (int j = 0; j <= i; ++j) matrix[8 * i + j] += wx * jx[j] + wy * jy[j];
        }
      }
    }
    if (!solve_cholesky(matrix, step, 8)) return false;
    std::copy(step, step + 8, h);
  }
  const double result[9] = {1 + h[0],     h[1],         h[2] * unit_, h[3], 1 + h[4],
                            h[5] * unit_, h[6] / unit_, h[7] / unit_, 1};
  std::copy(result, result + 9, homography);
  return true;
}

}  // namespace steadyview::motion
