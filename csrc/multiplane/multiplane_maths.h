#pragma once

// What both twins of the multi-plane projection compute alike.

#include "common/sampling.h"
#include "multiplane/multiplane.h"

namespace steadyview::multiplane {

// Gaussian of standard deviation 1 at the centre, an edge and a corner of 3x3 pixels (sum 0.7795).
inline constexpr double kCentre = 0.15915494309189535;
inline constexpr double kEdge = 0.09653235263005391;
inline constexpr double kCorner = 0.05854983152431917;

STEADYVIEW_HOST_DEVICE double filter_weight(int dy, int dx) {
  return dy == 0 && dx == 0 ? kCentre : dy == 0 || dx == 0 ? kEdge : kCorner;
}

// Mirrors an index just beyond [0, size) back: -1 is 1. An axis of one pixel repeats it.
STEADYVIEW_HOST_DEVICE int64_t mirror(int64_t i, int64_t size) {
  if (size == 1) return 0;
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * size - 2 - i;
  return i;
}

// A pixel is kept with at least so many of the 9 in its plane, itself included.
STEADYVIEW_HOST_DEVICE int needed_neighbours(double keep_above) {
  int count = 1;
  while (count <= 9 && !(count / 9.0 > keep_above)) ++count;
  return count;
}

// How many order statistics the edges come from, and the rank of each among `count` values.
STEADYVIEW_HOST_DEVICE int rank_count(int planes, Split split) {
  return split == Split::given       ? 0
         : split == Split::median    ? 3
         : split == Split::disparity ? 2
                                     : planes - 1;
}
STEADYVIEW_HOST_DEVICE int64_t rank_of(int i, int planes, Split split, int64_t count) {
  if (split == Split::quantiles) return ((i + 1) * count + planes - 1) / planes - 1;
  if (i == 1) return split == Split::median ? (count - 1) / 2 : count - 1;
  return i == 0 ? 0 : count - 1;
}

// Edge i of planes - 1, from the values of those ranks.
STEADYVIEW_HOST_DEVICE float edge_of(int i, int planes, Split split, const float* values) {
  if (split == Split::quantiles) return values[i];
  const double low = values[0], high = values[split == Split::median ? 2 : 1];
  if (split == Split::disparity) {
    const double share = static_cast<double>(i + 1) / planes;
    return static_cast<float>(1 / (1 / low + (1 / high - 1 / low) * share));
  }
  const int below = planes / 2;  // slabs between the least depth and the median
  const double median = values[1];
  if (i + 1 == below) return values[1];
  if (i + 1 < below) return static_cast<float>(low + (median - low) * (i + 1) / below);
  return static_cast<float>(median + (high - median) * (i + 1 - below) / (planes - below));
}

// The nearest plane whose weight among 3x3 planes (row by row) is above `fill_above`.
STEADYVIEW_HOST_DEVICE uint8_t find_owner(const uint8_t* planes, double fill_above) {
  uint8_t best = kNoPlane;
  for (int i = 0; i < 9; ++i) {
    if (planes[i] >= best) continue;
    double weight = 0;
    for (int j = 0; j < 9; ++j) {
      if (planes[j] == planes[i]) weight += filter_weight(j / 3 - 1, j % 3 - 1);
    }
    if (weight > fill_above) best = planes[i];
  }
  return best;
}

// Weights of the 3x3 pixels for a fill of plane `owner`.
STEADYVIEW_HOST_DEVICE void fill_weights(const uint8_t* planes, uint8_t owner, double* weights) {
  double sum = 0;
  for (int j = 0; j < 9; ++j) {
    weights[j] = planes[j] == owner ? filter_weight(j / 3 - 1, j % 3 - 1) : 0.0;
    sum += weights[j];
  }
  for (int j = 0; j < 9; ++j) weights[j] /= sum + 1e-6;
}

// Target of a source pixel: false when it is a hole, behind the camera or outside.
STEADYVIEW_HOST_DEVICE bool valid_depth(float z) { return z > 0 && z <= 3.402823466e38f; }

// Whether an index that came back for the gradient is one: what is not gets nothing.
STEADYVIEW_HOST_DEVICE bool is_pixel(int64_t index, int64_t pixels) {
  return index >= 0 && index < pixels;
}

// A pixel's key: the nearest depth, then the smallest index, is the least.
STEADYVIEW_HOST_DEVICE uint64_t make_key(uint32_t depth_bits, uint32_t index) {
  return static_cast<uint64_t>(depth_bits) << 32 | index;
}

}  // namespace steadyview::multiplane
