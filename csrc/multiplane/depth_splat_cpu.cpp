#include <algorithm>
#include <memory>
#include <vector>

#include "common/parallel.h"
#include "multiplane/depth_splat.h"

namespace steadyview {
namespace {

using namespace multiplane;

// A band of rows is drawn by one thread, from the chunks of points that reach it: no atomics, and
// sums come in the same order for any number of threads.
constexpr int64_t kChunk = 256, kBandRows = 16;

struct Reach {
  int64_t first_row, last_row;
};

template <typename T>
std::vector<Reach> find_reaches(const DepthSplat<T>& s, const T* places) {
  std::vector<Reach> reaches(static_cast<size_t>((s.points + kChunk - 1) / kChunk));
  parallel_for(0, static_cast<int64_t>(reaches.size()), 16, [&](int64_t chunk, int64_t last) {
    for (; chunk < last; ++chunk) {
      Reach reach{s.height, -1};
      for (int64_t i = chunk * kChunk; i < std::min((chunk + 1) * kChunk, s.points); ++i) {
        Footprint<T> footprint;
        if (!find_footprint(s, places, i, &footprint)) continue;
        reach.first_row = std::min(reach.first_row, footprint.y);
        reach.last_row = std::max(reach.last_row, footprint.y + 1);
      }
      reaches[static_cast<size_t>(chunk)] = reach;
    }
  });
  return reaches;
}

// point(i, footprint) for what reaches rows [first_row, last_row).
template <typename T, typename Point>
void for_points(const DepthSplat<T>& s, const T* places, const std::vector<Reach>& reaches,
                int64_t first_row, int64_t last_row, Point point) {
  for (size_t chunk = 0; chunk < reaches.size(); ++chunk) {
    if (reaches[chunk].last_row < first_row || reaches[chunk].first_row >= last_row) continue;
    const int64_t first = static_cast<int64_t>(chunk) * kChunk;
    for (int64_t i = first; i < std::min(first + kChunk, s.points); ++i) {
      Footprint<T> footprint;
      if (!find_footprint(s, places, i, &footprint)) continue;
      if (footprint.y < last_row && footprint.y + 1 >= first_row) point(i, footprint);
    }
  }
}

template <typename T>
void splat_band(const DepthSplat<T>& s, int64_t view, const std::vector<Reach>& reaches,
                int64_t first_row, int64_t last_row) {
  const T* places = s.places + view * 3 * s.points;
  const int64_t size = s.height * s.width, begin = first_row * s.width;
  const int64_t count = (last_row - first_row) * s.width;
  std::vector<uint32_t> nearest(static_cast<size_t>(count), kNoKey);
  for_points(s, places, reaches, first_row, last_row, [&](int64_t i, const Footprint<T>& f) {
    const T z = places[2 * s.points + i];
    for_pixels(s, f, first_row, last_row, kLeastShare<T>, [&](int64_t pixel, T weight, T, T) {
      nearest[pixel - begin] = std::min(nearest[pixel - begin], splat_key(z, weight));
    });
  });
  T *limit = s.limit + view * size, *weights = s.weight + view * size;
  T *depth = s.depth + view * size, *output = s.output + view * s.channels * size;
  for (int64_t i = 0; i < count; ++i) {
    limit[begin + i] = depth_limit<T>(nearest[i], s.tolerance);
    weights[begin + i] = depth[begin + i] = 0;
  }
  for (int64_t c = 0; c < s.channels; ++c) std::fill_n(output + c * size + begin, count, T(0));
  const T* image = s.image + view / s.views * s.channels * s.points;
  for_points(s, places, reaches, first_row, last_row, [&](int64_t i, const Footprint<T>& f) {
    const T z = places[2 * s.points + i];
    for_pixels(s, f, first_row, last_row, kLeastShare<T>, [&](int64_t pixel, T weight, T, T) {
      if (!counts(z, limit[pixel], s.tolerance)) return;
      weights[pixel] += weight;
      depth[pixel] += weight * z;
      for (int64_t c = 0; c < s.channels; ++c) {
        output[c * size + pixel] += weight * image[c * s.points + i];
      }
    });
  });
  for (int64_t i = begin; i < begin + count; ++i) {
    if (weights[i] == 0) continue;
    depth[i] /= weights[i];
    for (int64_t c = 0; c < s.channels; ++c) output[c * size + i] /= weights[i];
  }
}

}  // namespace

template <typename T>
void depth_splat_cpu(const DepthSplat<T>& s) {
  for (int64_t view = 0; view < s.batch * s.views; ++view) {
    const auto reaches = find_reaches(s, s.places + view * 3 * s.points);
    parallel_for(0, s.height, kBandRows, [&](int64_t first_row, int64_t last_row) {
      splat_band(s, view, reaches, first_row, last_row);
    });
  }
}

// A point looks its pixels up, so that nothing is added to the same place by two threads; views
// come one after the other.
template <typename T>
void depth_splat_gradient_cpu(const DepthSplatGradient<T>& g) {
  for (int64_t view = 0; view < g.forward.batch * g.forward.views; ++view) {
    parallel_for(0, g.forward.points, 4096, [&](int64_t i, int64_t last) {
      for (; i < last; ++i) point_gradient(g, view, i);
    });
  }
}

template void depth_splat_cpu(const DepthSplat<float>&);
template void depth_splat_cpu(const DepthSplat<double>&);
template void depth_splat_gradient_cpu(const DepthSplatGradient<float>&);
template void depth_splat_gradient_cpu(const DepthSplatGradient<double>&);

}  // namespace steadyview
