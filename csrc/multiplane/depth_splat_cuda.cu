#include "common/launch.h"
#include "multiplane/depth_splat.h"

namespace steadyview {
namespace {

using namespace multiplane;

template <typename T>
__global__ void find_nearest(DepthSplat<T> s, uint32_t* nearest) {
  for (int64_t item = first_item(); item < s.batch * s.views * s.points; item += item_step()) {
    const int64_t view = item / s.points, i = item % s.points;
    const T* places = s.places + view * 3 * s.points;
    Footprint<T> footprint;
    if (!find_footprint(s, places, i, &footprint)) continue;
    const T z = places[2 * s.points + i];
    uint32_t* keys = nearest + view * s.height * s.width;
    for_pixels(s, footprint, 0, s.height, kLeastShare<T>, [&](int64_t pixel, T weight, T, T) {
      atomicMin(keys + pixel, splat_key(z, weight));
    });
  }
}

template <typename T>
__global__ void clear_pixels(DepthSplat<T> s, const uint32_t* nearest) {
  const int64_t size = s.height * s.width;
  for (int64_t item = first_item(); item < s.batch * s.views * size; item += item_step()) {
    s.limit[item] = depth_limit<T>(nearest[item], s.tolerance);
    s.weight[item] = s.depth[item] = 0;
    for (int64_t c = 0; c < s.channels; ++c)
      s.output[(item / size * s.channels + c) * size + item % size] = 0;
  }
}

template <typename T>
__global__ void add_points(DepthSplat<T> s) {
  const int64_t size = s.height * s.width;
  for (int64_t item = first_item(); item < s.batch * s.views * s.points; item += item_step()) {
    const int64_t view = item / s.points, i = item % s.points;
    const T* places = s.places + view * 3 * s.points;
    Footprint<T> footprint;
    if (!find_footprint(s, places, i, &footprint)) continue;
    const T z = places[2 * s.points + i];
    const T* image = s.image + view / s.views * s.channels * s.points + i;
    for_pixels(s, footprint, 0, s.height, kLeastShare<T>, [&](int64_t pixel, T weight, T, T) {
      const int64_t at = view * size + pixel;
      if (!counts(z, s.limit[at], s.tolerance)) return;
      atomicAdd(s.weight + at, weight);
      atomicAdd(s.depth + at, weight * z);
      for (int64_t c = 0; c < s.channels; ++c)
        atomicAdd(s.output + (view * s.channels + c) * size + pixel, weight * image[c * s.points]);
    });
  }
}

template <typename T>
__global__ void divide_pixels(DepthSplat<T> s) {
  const int64_t size = s.height * s.width;
  for (int64_t item = first_item(); item < s.batch * s.views * size; item += item_step()) {
    const T weight = s.weight[item];
    if (weight == 0) continue;
    s.depth[item] /= weight;
    for (int64_t c = 0; c < s.channels; ++c)
      s.output[(item / size * s.channels + c) * size + item % size] /= weight;
  }
}

template <typename T>
__global__ void splat_gradient(DepthSplatGradient<T> g, int64_t view) {
  for (int64_t i = first_item(); i < g.forward.points; i += item_step()) point_gradient(g, view, i);
}

}  // namespace

template <typename T>
const char* depth_splat_cuda(const DepthSplat<T>& s, uint32_t* nearest, void* stream) {
  Launcher launch(stream);
  const int64_t views = s.batch * s.views, pixels = views * s.height * s.width;
  launch.fill(nearest, 0xFF, pixels * static_cast<int64_t>(sizeof(uint32_t)));
  launch.run(find_nearest<T>, views * s.points, s, nearest);
  launch.run(clear_pixels<T>, pixels, s, static_cast<const uint32_t*>(nearest));
  launch.run(add_points<T>, views * s.points, s);
  launch.run(divide_pixels<T>, pixels, s);
  return launch.result();
}

template <typename T>
const char* depth_splat_gradient_cuda(const DepthSplatGradient<T>& g, void* stream) {
  Launcher launch(stream);
  for (int64_t view = 0; view < g.forward.batch * g.forward.views; ++view)
    launch.run(splat_gradient<T>, g.forward.points, g, view);
  return launch.result();
}

template const char* depth_splat_cuda(const DepthSplat<float>&, uint32_t*, void*);
template const char* depth_splat_cuda(const DepthSplat<double>&, uint32_t*, void*);
template const char* depth_splat_gradient_cuda(const DepthSplatGradient<float>&, void*);
template const char* depth_splat_gradient_cuda(const DepthSplatGradient<double>&, void*);

}  // namespace steadyview
