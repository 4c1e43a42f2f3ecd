#pragma once

#include <array>
#include <vector>

#include "motion/frame.h"
#include "motion/lowpass.h"

namespace steadyview::motion {

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
  // Mean absolute difference of each cell under a model, in grey levels; NaN where a cell has no
  // more than the least texture or less than three quarters of it are seen in both frames.
  // out: (rows, columns).
  void differences(const AnalysisFrame& first, const AnalysisFrame& second, const Model& model,
                   float least_texture, float* out);
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
