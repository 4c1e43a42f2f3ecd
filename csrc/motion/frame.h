#pragma once

#include <cstdint>
#include <vector>

#include "motion/kernels.h"

namespace steadyview::motion {

inline constexpr float kLevels = 16;  // units of the 12-bit images in a grey level
inline constexpr float kPixels = kCell * kCell;
// A cell is trackable when its smaller mean squared gradient exceeds this (grey levels^2).
inline constexpr float kTexture = 1.5F;

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

}  // namespace steadyview::motion
