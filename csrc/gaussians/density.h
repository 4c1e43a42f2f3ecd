#pragma once

#include <cstdint>

namespace steadyview::gaussians {

// Adds to sums the lengths of gradients whose x and y are multiplied by the scales first, and to
// counts in how many images both radii are above 0.
struct GradientLengths {
  const float* gradients;  // (images, rows, 2)
  const int* radii;        // (images, rows, 2)
  int64_t images, rows;
  float scale_x, scale_y;
  float* sums;    // (rows)
  float* counts;  // (rows)
};

void gather_gradients_cpu(const GradientLengths& lengths);

}  // namespace steadyview::gaussians
