#pragma once

// (1 - w) |image - target| + w (1 - SSIM), and its gradient by the image, in one pass.

#include <stdint.h>

namespace steadyview::photometric {

constexpr int kWindow = 11;          // of SSIM's Gaussian, sigma 1.5; zeros around the image
constexpr int kReach = kWindow / 2;  // pixels that one blur sees
constexpr int kHalo = 2 * kReach;    // the gradient blurs what was blurred
constexpr int kRows = 8;             // that are blurred at once
constexpr int kKept = 3 * kRows;     // rows of derivatives that are kept
constexpr int kStrip = 960;          // floats of a row of a tile, about: the rows it needs at a
                                     // time fit a second-level cache
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

// Pixels of the image that are computed together.
struct Tile {
  int64_t row, column, height, width;
};

// What a variant computes: one tile. Its row and column are those of its first pixel; its height is
// a multiple of kRows, or the image ends there. scratch: tile_scratch(width, channels) floats.
using TileFunction = double (*)(const LossParams&, const Tile&, float* scratch);

constexpr int64_t aligned(int64_t count) { return (count + kAlign - 1) / kAlign * kAlign; }

// Floats of a row of a tile's scratch: whole vectors of what is kReach pixels around the tile, as
// far as a blur of the last one looks; and those that move a row to where its vectors begin.
constexpr int64_t row_pitch(int64_t width, int channels) {
  const int64_t blurred = aligned((width + 2 * kReach) * channels);
  return aligned(blurred + 2 * kReach * channels) + kAlign;
}

constexpr int64_t tile_scratch(int64_t width, int channels) {
  constexpr int64_t rows = 2 + (1 + 4 + 3) * kRows + 3 * kKept;  // see Work
  return row_pitch(width, channels) * rows + kAlign;
}

}  // namespace steadyview::photometric
