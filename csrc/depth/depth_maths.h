#pragma once

// For both twins.

#include <cmath>

#include "common/sampling.h"
#include "depth/depth.h"

namespace steadyview::depth {

// The facts of a picture: about what values guide and source are summed up, so that sums keep their
// digits, and the least and the greatest known disparity (NaN where none is known).
enum Fact : int { kGuideCentre, kSourceCentre, kLeast, kGreatest, kFacts };

// The filter's epsilon for a picture; 0 where it is left as it is.
template <typename T>
STEADYVIEW_HOST_DEVICE double epsilon_of(const GuidedFilter<T>& g, const double* facts) {
  if (!g.by_range) return g.epsilon;
  const double range = facts[kGreatest] - facts[kLeast];
  return range > 0 ? g.epsilon * range * range : 0;
}

// The filter of `count` frames that have been averaged.
template <typename T, typename F>
GuidedFilter<T> smoothing_filter(const SmoothDepth<T, F>& s, int64_t first, int64_t count) {
  T* averaged = s.output + first * s.height * s.width;
  return {.guide = s.guide,
          .source = averaged,
          .output = averaged,
          .pictures = count,
          .height = s.height,
          .width = s.width,
          .radius = s.radius,
          .epsilon = s.epsilon,
          .least = T(0),
          .by_range = true,
          .scratch = s.scratch};
}

template <typename T>
STEADYVIEW_HOST_DEVICE bool is_known(T disparity) {
  return disparity > 0 && disparity - disparity == 0;
}

// How many of `size` pixels lie in the window around one.
STEADYVIEW_HOST_DEVICE int64_t window(int64_t at, int64_t radius, int64_t size) {
  const int64_t first = at > radius ? at - radius : 0;
  const int64_t last = at + radius < size ? at + radius + 1 : size;
  return last - first;
}

// The line of a window from its means.
struct Line {
  double slope, offset;
};
STEADYVIEW_HOST_DEVICE Line fit(double x, double y, double xx, double xy, double epsilon) {
  const double variance = xx - x * x, covariance = xy - x * y;
  const double slope = covariance / ((variance > 0 ? variance : 0) + epsilon);
  return {slope, y - slope * x};
}

}  // namespace steadyview::depth
