#include "motion/frame.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace steadyview::motion {

AnalysisFrame::AnalysisFrame(const Plane& plane, int factor)
    : width_(plane.width / factor), height_(plane.height / factor) {
  const size_t pixels = static_cast<size_t>(width_) * height_;
  reduced_.resize(pixels);
  pairs_.resize(pixels);
  cells_.resize(static_cast<size_t>(kCellSums * cell_count()));
  std::vector<uint32_t> scratch(static_cast<size_t>(width_) * factor);
  kernels().reduce({.plane = plane.data,
                    .stride = plane.stride,
                    .bytes = plane.bytes,
                    .depth = plane.depth,
                    .factor = factor,
                    .width = width_,
                    .height = height_,
                    .reduced = reduced_.data(),
                    .scratch = scratch.data()});
  std::vector<uint16_t> column(static_cast<size_t>(width_));
  std::vector<float> sums(static_cast<size_t>(kCellSums) * width_);
  kernels().prepare({.reduced = reduced_.data(),
                     .width = width_,
                     .height = height_,
                     .columns = columns(),
                     .rows = rows(),
                     .pairs = pairs_.data(),
                     .cells = cells_.data(),
                     .scratch = column.data(),
                     .sums = sums.data()});
  measure_texture();
}

// The smaller eigenvalue of a cell's structure tensor, saturated.
void AnalysisFrame::measure_texture() {
  const float *xx = cell(kIxIx), *xy = cell(kIxIy), *yy = cell(kIyIy);
  texture_.resize(static_cast<size_t>(cell_count()));
  double sum = 0;
  for (size_t i = 0; i < texture_.size(); ++i) {
    const float scale = 1 / (kPixels * kLevels * kLevels);
    const float mean = 0.5F * (xx[i] + yy[i]) * scale, half = 0.5F * (xx[i] - yy[i]) * scale;
    const float cross = xy[i] * scale;
    const float smaller = mean - std::sqrt(half * half + cross * cross);
    texture_[i] = smaller > 0 ? smaller / (smaller + kTexture) : 0;
    sum += texture_[i];
  }
  mean_texture_ = texture_.empty() ? 0 : sum / static_cast<double>(texture_.size());
}

bool AnalysisFrame::equals(const AnalysisFrame& other) const {
  return width_ == other.width_ && height_ == other.height_ &&
         std::memcmp(reduced_.data(), other.reduced_.data(), reduced_.size() * sizeof(uint16_t)) ==
             0;
}

void AnalysisFrame::small(int factor, uint8_t* out) const {
  const int64_t width = width_ / factor, height = height_ / factor, step = width_;
  const auto grey = [](int sum, int levels) {
    return static_cast<uint8_t>(std::min((sum + levels / 2) / levels, 255));
  };
  for (int64_t y = 0; y < height; ++y) {
    const uint16_t* __restrict rows = reduced_.data() + y * factor * step;
    uint8_t* __restrict line = out + y * width;
    if (factor == 1) {
      for (int64_t x = 0; x < width; ++x) line[x] = grey(rows[x], 16);
    } else if (factor == 2) {
      const uint16_t* __restrict next = rows + step;
      for (int64_t x = 0; x < width; ++x) {
        line[x] = grey(rows[2 * x] + rows[2 * x + 1] + next[2 * x] + next[2 * x + 1], 64);
      }
    } else {
      for (int64_t x = 0; x < width; ++x) {
        int sum = 0;
        for (int i = 0; i < factor; ++i) {
          for (int j = 0; j < factor; ++j) sum += rows[i * step + x * factor + j];
        }
        line[x] = grey(sum, 16 * factor * factor);
      }
    }
  }
}

}  // namespace steadyview::motion
