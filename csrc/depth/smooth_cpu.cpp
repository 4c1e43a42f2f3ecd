// Disparity averaged along the flow, some frames at a time.
#include <algorithm>
#include <limits>
#include <vector>

#include "common/parallel.h"
#include "depth/depth.h"
#include "depth/depth_maths.h"
#include "depth/rows.h"

namespace steadyview {
namespace depth {

template <>
const Rows<float>& depth_rows<float>() {
  static const Rows<float> rows = STEADYVIEW_FOR_ISA(depth, float_rows());
  return rows;
}
template <>
const Rows<double>& depth_rows<double>() {
  static const Rows<double> rows = STEADYVIEW_FOR_ISA(depth, double_rows());
  return rows;
}

}  // namespace depth

namespace {

using namespace depth;

constexpr int64_t kRows = 16;

// Least and greatest known disparity of frame t, into the facts of its place in the group.
template <typename T, typename F>
void find_range(const SmoothDepth<T, F>& s, int64_t t, double* facts) {
  T range[2] = {std::numeric_limits<T>::infinity(), T(0)};
  for (int64_t y = 0; y < s.height; ++y) {
    depth_rows<T>().widen(s.disparity + (t * s.height + y) * s.width, s.width, range);
  }
  const bool none = range[0] > range[1];
  facts[kLeast] = none ? std::numeric_limits<double>::quiet_NaN() : range[0];
  facts[kGreatest] = range[1];
}

template <typename T, typename F>
void average_row(const SmoothDepth<T, F>& s, int64_t t, int64_t y, const double* facts, T* total,
                 T* weighted, T* guide) {
  const int64_t size = s.height * s.width, row = y * s.width;
  const T* own = s.disparity + t * size + row;
  depth_rows<T>().begin(own, s.width, total, weighted);
  const auto add = [&](int64_t other, const T* flow) {
    const Neighbour<T, F> n{
        .flow_x = flow + row,
        .flow_y = flow + size + row,
        .own = own,
        .other = s.disparity + other * size,
        .colours = s.pictures + t * s.channels * size + row,
        .others = s.pictures + other * s.channels * size,
        .y = y,
        .height = s.height,
        .width = s.width,
        .channels = s.channels,
        .colour_tolerance = s.colour_tolerance,
        .limit = static_cast<T>(s.disparity_tolerance * (facts[kGreatest] - facts[kLeast])),
        .total = total,
        .weighted = weighted};
    if constexpr (sizeof(F) == 1) {
      depth_rows<T>().add_bytes(n);
    } else {
      depth_rows<T>().add_floats(n);
    }
  };
  if (t > 0) add(t - 1, s.backward_flow + 2 * (t - 1) * size);
  if (t + 1 < s.frames) add(t + 1, s.forward_flow + 2 * t * size);
  depth_rows<T>().finish(own, total, weighted, s.width, s.output + t * size + row, guide);
}

}  // namespace

template <typename T, typename F>
void smooth_depth_cpu(const SmoothDepth<T, F>& s) {
  for (int64_t first = 0; first < s.frames; first += s.group) {
    const int64_t count = std::min(s.group, s.frames - first);
    parallel_for(0, count, 1, [&](int64_t i, int64_t last) {
      for (; i < last; ++i) find_range(s, first + i, s.scratch.facts + i * kFacts);
    });
    parallel_for(0, count * s.height, kRows, [&](int64_t i, int64_t last) {
      std::vector<T> sums(static_cast<size_t>(2 * s.width));
      for (; i < last; ++i) {
        const int64_t frame = i / s.height;
        average_row(s, first + frame, i % s.height, s.scratch.facts + frame * kFacts, sums.data(),
                    sums.data() + s.width, s.guide + i * s.width);
      }
    });
    if (s.radius == 0) continue;
    guided_filter_cpu(smoothing_filter(s, first, count));
  }
}

template void smooth_depth_cpu(const SmoothDepth<float, uint8_t>&);
template void smooth_depth_cpu(const SmoothDepth<float, float>&);
template void smooth_depth_cpu(const SmoothDepth<double, uint8_t>&);
template void smooth_depth_cpu(const SmoothDepth<double, double>&);

}  // namespace steadyview
