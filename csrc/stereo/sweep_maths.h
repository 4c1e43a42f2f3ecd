#pragma once

// What the CPU and CUDA kernels of the plane sweep share.

#include <math.h>
#include <stdint.h>

#include "common/sampling.h"
#include "stereo/plane_sweep.h"

namespace steadyview::stereo {

// What a plane that no source sees costs, by the sum over the `seen` planes, rounded.
STEADYVIEW_HOST_DEVICE uint8_t mean_cost(int sum, int seen) {
  return static_cast<uint8_t>(seen > 0 ? (2 * sum + seen) / (2 * seen) : kUnseenByAll);
}

// Depth of the cheapest plane, refined by the parabola through its neighbours' costs; between
// planes the inverse depth is linear.
STEADYVIEW_HOST_DEVICE float refined_depth(const uint16_t* sums, int best, int planes,
                                           const double* inverse_depths) {
  double at = inverse_depths[best];
  if (best > 0 && best + 1 < planes) {
    const int below = sums[best - 1] - sums[best], above = sums[best + 1] - sums[best];
    if (below + above > 0) {
      const double offset = 0.5 * (below - above) / (below + above);  // within -0.5 and 0.5
      const double next = inverse_depths[offset < 0 ? best - 1 : best + 1];
      at += (offset < 0 ? -offset : offset) * (next - at);
    }
  }
  return static_cast<float>(1 / at);
}

// How likely a plane of this cost is, 2^40 at none: Student's t, so to speak, as the noise of the
// costs is not known and is the larger the more the cheapest plane costs.
STEADYVIEW_HOST_DEVICE uint64_t likelihood(int cost, int paths) {
  const double ratio = 1 + cost / (kCostNoise * (paths > 0 ? paths : 1));
  return static_cast<uint64_t>(pow(ratio, -kCostPower) * static_cast<double>(int64_t{1} << 40));
}

// Planes first to last are within kClose of the depth of `best`, or beside it.
STEADYVIEW_HOST_DEVICE void close_planes(const double* inverse_depths, int planes, int best,
                                         int* first, int* last) {
  const double at = inverse_depths[best];
  const auto close = [&](int d) {
    const double difference = at - inverse_depths[d];
    return (difference < 0 ? -difference : difference) <= kClose * inverse_depths[d];
  };
  *first = best > 0 ? best - 1 : best;
  *last = best + 1 < planes ? best + 1 : best;
  while (*first > 0 && close(*first - 1)) --*first;
  while (*last + 1 < planes && close(*last + 1)) ++*last;
}

// Share of the likelihood `total` of all planes that is at the `few` close ones, less what it were
// if all planes cost the same; 0 where there are no others.
STEADYVIEW_HOST_DEVICE float share_close(uint64_t close, uint64_t total, int few, int planes) {
  if (few >= planes) return 0;
  const uint64_t many = static_cast<uint64_t>(planes), chance = static_cast<uint64_t>(few);
  if (close * many <= total * chance) return 0;
  return static_cast<float>(static_cast<double>(close * many - total * chance) /
                            static_cast<double>(total * (many - chance)));
}

// The source pixel that sees a reference pixel at a depth: its index, or -1 when none does.
STEADYVIEW_HOST_DEVICE int64_t seen_pixel(const double* map, double inverse_depth, int64_t x,
                                          int64_t y, int64_t width, int64_t height) {
  const double px = static_cast<double>(x), py = static_cast<double>(y);
  const double q0 = map[0] * px + map[1] * py + map[2] + map[3] * inverse_depth;
  const double q1 = map[4] * px + map[5] * py + map[6] + map[7] * inverse_depth;
  const double q2 = map[8] * px + map[9] * py + map[10] + map[11] * inverse_depth;
  if (!(q2 > 0)) return -1;
  const double sx = q0 / q2 + 0.5, sy = q1 / q2 + 0.5;
  if (!(sx >= 0 && sy >= 0 && sx < static_cast<double>(width) && sy < static_cast<double>(height)))
    return -1;
  return static_cast<int64_t>(sy) * width + static_cast<int64_t>(sx);
}

// Jumps cost less where the picture has an edge: depth edges mostly are.
STEADYVIEW_HOST_DEVICE uint8_t jump_penalty(int grey_difference, int step, int jump) {
  const int lowered = jump * 32 / (32 + grey_difference);
  return static_cast<uint8_t>(lowered > step ? lowered : step);
}

// `seen` sources see the pixel, `agreed` of them as it is.
STEADYVIEW_HOST_DEVICE bool is_valid(int seen, int agreed, int keep, float confidence,
                                     double least_confidence) {
  return seen > 0 && agreed >= (keep < seen ? keep : seen) &&
         static_cast<double>(confidence) > least_confidence;
}

// What a pixel claims of a source pixel: the cheapest claim, then the first plane, holds it.
STEADYVIEW_HOST_DEVICE uint32_t claim(uint16_t cost, uint16_t plane) {
  return static_cast<uint32_t>(cost) << 16 | plane;
}

// Whether a pixel's claim agrees with the one that holds the source pixel: at most a plane apart.
STEADYVIEW_HOST_DEVICE bool agrees(uint16_t plane, uint32_t holder) {
  const int difference = static_cast<int>(plane) - static_cast<int>(holder & 0xffff);
  return difference >= -1 && difference <= 1;
}

}  // namespace steadyview::stereo
