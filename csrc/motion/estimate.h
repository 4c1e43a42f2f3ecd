#pragma once

#include <array>
#include <memory>
#include <vector>

#include "motion/lowpass.h"

namespace steadyview::motion {

// A luma plane as it comes from the decoder.
struct Plane {
  const void* data;
  int64_t stride;  // bytes from row to row
  int bytes;       // of a sample: 1 or 2
  int depth;       // bits of a sample that are used
  int width, height;
};

// One frame, reduced by a whole factor and prepared for alignment.
class AnalysisFrame {
 public:
  AnalysisFrame(const Plane& plane, int factor);

  int width() const { return width_; }
  int height() const { return height_; }
  int columns() const { return width_ / kCell; }
  int rows() const { return height_ / kCell; }
  const uint32_t* pairs() const { return pairs_.data(); }
  const float* cell(CellSum sum) const { return cells_.data() + sum * cell_count(); }
  int64_t cell_count() const { return static_cast<int64_t>(columns()) * rows(); }
  // How well each cell can be tracked, in [0, 1], and the mean over the cells.
  const std::vector<float>& texture() const { return texture_; }
  double mean_texture() const { return mean_texture_; }
  bool equals(const AnalysisFrame& other) const;

  // 8-bit means of factor x factor blocks, for the flow estimator: (height / factor, width /
  // factor).
  void small(int factor, uint8_t* out) const;

 private:
  int width_, height_;
  std::vector<uint16_t> reduced_;
  std::vector<uint32_t> pairs_;
  std::vector<float> cells_, texture_;
  double mean_texture_ = 0;
  void measure_texture();
};

struct EstimateOptions {
  int flow_iterations = 10;
  int refine_iterations = 2;
  double scale_floor = 0.35;  // px, of the flow's inliers
  double consensus = 1.5;     // px about the dominant similarity that is still the scene
  double spread = 2.5;        // median distances that are still the scene
  double refine_scale = 0.5;  // px, of the photometric inliers
  double ridge = 1e-3;
  double noise = 2.0;        // grey levels, of the smoothed image
  double model_error = 0.2;  // px that the model is wrong by
};

// No motion unless solved.
struct Estimate {
  Model model;                                      // in analysis pixels
  std::array<double, 4> similarity = {1, 0, 0, 0};  // a, b, tx, ty
  std::array<double, 9> homography = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  bool solved = false;
  bool identical = false;  // the reduced 12-bit frames are equal, bit for bit
  double inliers = 0;      // share of the texture that follows the model
  // Mean absolute difference of the inliers, in [0, 1], under the model and the exposure from which
  // the last refinement step started; 0 without refinement.
  double residual = 0;
};

// Global motion between two frames of one layout.
class PairEstimator {
 public:
  PairEstimator(const Layout& layout, const EstimateOptions& options);

  // flow: (flow_height, flow_width, 2) px of the image that the frames were reduced to by
  // `flow_factor`, from first to second; null to start from no motion.
  Estimate estimate(const AnalysisFrame& first, const AnalysisFrame& second, const float* flow,
                    int flow_width, int flow_height, int flow_factor);
  const std::vector<float>& weights() const { return inlier_; }
  const Layout& layout() const { return low_pass_.layout(); }

 private:
  void sample_flow(const AnalysisFrame& first, const float* flow, int flow_width, int flow_height,
                   int flow_factor);
  bool consensus(Model* model);
  double median_distance() const;
  bool fit_flow(Estimate* result);
  bool refine(const AnalysisFrame& first, const AnalysisFrame& second, Estimate* result);
  void residual_pass(const AnalysisFrame& first, const AnalysisFrame& second, const Model& model);
  void photometric_system(const AnalysisFrame& first);
  void update_exposure(const AnalysisFrame& first);

  LowPass low_pass_;
  EstimateOptions options_;
  CellSystem system_;
  std::vector<float> flow_x_, flow_y_, model_x_, model_y_, distance_, flow_weight_;
  std::vector<float> inlier_, sums_, flow_rows_, row_scratch_, column_sums_;
  std::vector<float> order_;
  std::vector<int> sample_;
  double gain_ = 1, offset_ = 0;
};

}  // namespace steadyview::motion
