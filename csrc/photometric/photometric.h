#pragma once

// (1 - w) |image - target| + w (1 - SSIM), and its gradient by the image, in one pass.

#include <stdint.h>

namespace steadyview::photometric {

constexpr int kWindow = 11;          // of SSIM's Gaussian, sigma 1.5; zeros around the image
constexpr int kReach = kWindow / 2;  // pixels that one blur sees
constexpr int kHalo = 2 * kReach;    // the gradient blurs what was blurred
constexpr int kTile = 96;            // pixels: a tile and its scratch fit a second-level cache
constexpr int kMaxChannels = 16;
constexpr int kAlign = 16;  // floats: rows of the scratch begin at multiples

struct LossParams {
  const float* image;   // (height, width, channels)
  const float* target;  // (height, width, channels)
  const float* mask;    // (height, width) weights of the pixels, or null: all 1
  int64_t height, width;
  int channels;       // 1 to kMaxChannels
  float scale;        // of all weights: 1 / their sum over pixels and channels makes a mean
  float ssim_weight;  // w
  float* gradient;    // (height, width, channels)
};

// Returns the loss. Parallel over tiles; does not depend on the number of threads.
double loss_and_gradient(const LossParams& params);

// What a variant computes: one tile, whose first pixel is (row, column).
// scratch: tile_scratch(channels) floats.
using TileFunction = double (*)(const LossParams&, int64_t row, int64_t column, float* scratch);

constexpr int64_t tile_scratch(int channels) {
  constexpr int64_t all = kTile + 2 * kHalo, blurred = kTile + 2 * kReach;
  const int64_t pitch = all * channels + 3 * kAlign;  // the longest row, rounded up
  return pitch * (4 * all + 4 * blurred + 3) + kAlign;
}

}  // namespace steadyview::photometric
