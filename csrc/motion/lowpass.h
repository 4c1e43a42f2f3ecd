#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "motion/kernels.h"

// The motion model: a similarity plus K x K DCT coefficients of what it leaves over. A few
// coefficients alone describe a rotation badly (a straight line is a slow cosine series), and
// the split lets a ridge pull the residual, not the motion, to zero where nothing is seen.
namespace steadyview::motion {

inline constexpr int kMaxGrid = 8;

// Where things lie, in pixels of the analysis image (which may leave out a few pixels of the frame
// at the right and the bottom: the basis spans the whole frame).
struct Layout {
  int width, height;                 // of the analysis image
  int columns, rows;                 // cells
  double frame_width, frame_height;  // of the whole frame
  int grid;                          // K
};

// flow(x, y) = (da X - b Y + tx, b X + da Y + ty) + sum_uv c[u, v] cos(..) cos(..), with X and Y
// relative to the frame's centre.
struct Model {
  double da = 0, b = 0, tx = 0, ty = 0;
  std::array<std::array<double, kMaxGrid * kMaxGrid>, 2> coefficients{};  // u * K + v
};

// Weighted measurements a cell: the 2x2 weight matrix and the weight matrix times the residual.
// An isotropic system has yy = xx and xy = 0, and only its xx is read.
struct CellSystem {
  std::vector<float> xx, xy, yy, gx, gy;
  bool isotropic = false;
  explicit CellSystem(size_t cells) : xx(cells), xy(cells), yy(cells), gx(cells), gy(cells) {}
};

// The basis functions at the cells and at the pixels, and the solver's buffers.
class LowPass {
 public:
  explicit LowPass(const Layout& layout);

  const Layout& layout() const { return layout_; }
  int64_t cells() const { return static_cast<int64_t>(layout_.columns) * layout_.rows; }

  // The model's flow at the cells' centres.
  void evaluate(const Model& model, float* flow_x, float* flow_y) const;
  // Its flow at the pixels as ResidualParams wants it: flow_rows (height, terms, 2).
  void pixel_rows(const Model& model, float* flow_rows) const;
  int terms() const { return layout_.grid + 1; }
  const float* pixel_columns() const { return pixel_columns_.data(); }

  // The similarity that fits the residuals best, added to the model. False when it is undetermined.
  bool solve_similarity(const CellSystem& system, Model* model);
  // The same for the first `cutoff` x `cutoff` coefficients; the ridge pulls them to zero.
  bool solve_coefficients(const CellSystem& system, int cutoff, double ridge, Model* model);
  // The least-squares homography (row-major, (2, 2) is 1) of the flow at every second cell. False,
  // and `homography` as it was, when it is undetermined.
  bool solve_homography(const CellSystem& system, const float* flow_x, const float* flow_y,
                        double* homography) const;

  // X and Y of a cell's centre, relative to the frame's centre.
  double cell_x(int column) const { return (column + 0.5) * kCell - 0.5 * layout_.frame_width; }
  double cell_y(int row) const { return (row + 0.5) * kCell - 0.5 * layout_.frame_height; }

 private:
  void row_weights(const Model& model, double y, const float* cosines, int64_t step,
                   float* weights) const;
  void moments(const float* field, const std::vector<float>& vertical, int terms_v,
               const std::vector<float>& horizontal, int terms_h, double* out);

  Layout layout_;
  double unit_;  // scale of X and Y in the tables: half the frame's diagonal
  // Tables (terms, positions): 2K-1 cosines; 1, X, X^2 in units of unit_; at the pixels, K cosines
  // (and X in pixels, for columns).
  std::vector<float> cosine_rows_, cosine_columns_, polynomial_rows_, polynomial_columns_;
  std::vector<float> pixel_rows_, pixel_columns_, scratch_;
};

// Ridge of a coefficient: a rolling shutter bends the field from row to row, and strongly; fast
// change along the rows is more likely an object.
double stiffness(int u, int v);

// Solves A x = b for a symmetric positive definite n x n matrix in place; false when it is not.
bool solve_cholesky(double* matrix, double* vector, int n);

}  // namespace steadyview::motion
