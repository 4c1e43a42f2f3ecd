// Draws a tile a block of threads, a thread a pixel, the tile's splats in batches through shared
// memory; and its gradients.

#include "gaussians/device.h"
#include "gaussians/gaussians.h"
#include "gaussians/shape.h"
#include "gaussians/tiles_device.h"

namespace steadyview::gaussians {
namespace {

constexpr int kBatch = 256;         // splats in shared memory
constexpr int kChannels = 4;        // drawn at a time
constexpr int kMostThreads = 1024;  // of a tile of 32 x 32, the largest of a caller's
constexpr float kLn2 = 0.693147181f;

// A block's tile and the thread's pixel in it.
struct Place {
  int64_t image, x, y, begin, end;
  bool inside;

  __device__ Place(const Raster<float>& r, const Tiles& t) {
    const int64_t tile = blockIdx.x, column = tile % t.columns;
    image = tile / (t.columns * t.rows);
    x = column * t.side + threadIdx.x % t.side;
    y = tile / t.columns % t.rows * t.side + threadIdx.x / t.side;
    inside = threadIdx.x < t.side * t.side && x < r.width && y < r.height;
    const bool drawn = !t.masks || t.masks[tile];
    begin = drawn ? t.starts[tile] : 0;
    end = drawn ? t.starts[tile + 1] : 0;
  }
  __device__ int64_t pixel(const Raster<float>& r) const {
    return (image * r.height + y) * r.width + x;
  }
};

// Splats of a tile, as all its threads read them.
template <int channels>
struct Batch {
  DeviceSplat splats[kBatch];
  float colors[kBatch][channels];
  uint32_t ids[kBatch];

  // All threads of the block; returns how many were loaded.
  __device__ int load(const Raster<float>& r, const Tiles& t, const DeviceSplat* all, int64_t from,
                      int64_t end, int64_t group) {
    const int n = static_cast<int>(end - from < kBatch ? end - from : kBatch);
    for (int j = threadIdx.x; j < n; j += blockDim.x) {
      const uint32_t id = t.splats[from + j];
      const bool known = id < r.count;
      ids[j] = known ? id : 0;
      splats[j] = known ? all[id] : DeviceSplat{0, 0, 0, 0, 0, -1e30f};
      for (int c = 0; c < channels; ++c) {
        colors[j][c] = known ? r.colors[static_cast<int64_t>(id) * r.channels + group + c] : 0;
      }
    }
    __syncthreads();
    return n;
  }
};

// A splat at a pixel: alpha, or 0 where it is not drawn. held: alpha is at its bound.
__device__ float alpha_of(const DeviceSplat& s, float px, float py, float& dx, float& dy, float& u,
                          float& w, bool& held) {
  dx = px - s.x;
  dy = py - s.y;
  u = s.p * dx + s.q * dy;
  w = s.r * dy;
  const float power = s.height - u * u - w * w;
  held = power > static_cast<float>(kTop);
  if (!(power >= -static_cast<float>(kCutoff))) return 0;
  return exp2f(held ? static_cast<float>(kTop) : power);
}

template <int channels>
__device__ __forceinline__ void draw_pixel(const Raster<float>& r, const Tiles& t,
                                           const DeviceSplat* splats, int64_t group) {
  __shared__ Batch<channels> batch;
  const Place place(r, t);
  const float px = static_cast<float>(place.x) + 0.5f, py = static_cast<float>(place.y) + 0.5f;
  float left = 1, color[channels] = {};
  bool done = !place.inside;
  for (int64_t from = place.begin; from < place.end; from += kBatch) {
    if (__syncthreads_and(done)) break;
    const int n = batch.load(r, t, splats, from, place.end, group);
    for (int j = 0; j < n && !done; ++j) {
      float dx, dy, u, w;
      bool held;
      const float alpha = alpha_of(batch.splats[j], px, py, dx, dy, u, w, held);
      if (alpha == 0) continue;
      const float weight = left * alpha, after = left - weight;
      if (!(after > static_cast<float>(kSmallestTransmittance))) {
        done = true;
        break;
      }
      for (int c = 0; c < channels; ++c) color[c] += weight * batch.colors[j][c];
      left = after;
    }
  }
  if (!place.inside) return;
  const int64_t pixel = place.pixel(r);
  for (int c = 0; c < channels; ++c) {
    const float behind = r.backgrounds ? r.backgrounds[place.image * r.channels + group + c] : 0;
    r.image[pixel * r.channels + group + c] = color[c] + left * behind;
  }
  if (group == 0) r.alphas[pixel] = 1 - left;
}

// Adds each splat's sums over the tile's pixels to its record.
template <int channels, bool with_abs>
__device__ __forceinline__ void pixel_gradient(const RasterGradient<float>& g, const Tiles& t,
                                               const DeviceSplat* splats, int64_t group,
                                               float* records) {
  constexpr int size = record_size(channels, with_abs);
  __shared__ Batch<channels> batch;
  const Raster<float>& r = g.forward;
  const Place place(r, t);
  const float px = static_cast<float>(place.x) + 0.5f, py = static_cast<float>(place.y) + 0.5f;
  // rest: what the splats still to come add to grad . output.
  float left = 1, rest = 0, grad_alpha = 0, grad[channels] = {};
  if (place.inside) {
    const int64_t pixel = place.pixel(r);
    const float by_alpha = group == 0 && g.grad_alphas ? g.grad_alphas[pixel] : 0;
    rest = by_alpha * r.alphas[pixel];
    float behind = 0;
    for (int c = 0; c < channels; ++c) {
      const int64_t at = pixel * r.channels + group + c;
      grad[c] = g.grad_image[at];
      rest += grad[c] * r.image[at];
      if (r.backgrounds) behind += grad[c] * r.backgrounds[place.image * r.channels + group + c];
    }
    rest -= behind;
    grad_alpha = by_alpha - behind;
  }
  bool done = !place.inside;
  for (int64_t from = place.begin; from < place.end; from += kBatch) {
    if (__syncthreads_and(done)) break;
    const int n = batch.load(r, t, splats, from, place.end, group);
    for (int j = 0; j < n; ++j) {
      float dx = 0, dy = 0, u = 0, w = 0, sum[size] = {};
      bool held = false;
      const DeviceSplat s = batch.splats[j];
      const float alpha = done ? 0 : alpha_of(s, px, py, dx, dy, u, w, held);
      const float weight = left * alpha, after = left - weight;
      const bool drawn = alpha > 0 && after > static_cast<float>(kSmallestTransmittance);
      done = done || (alpha > 0 && !drawn);
      if (!__any_sync(kWholeWarp, drawn)) continue;
      if (drawn) {
        float dot = grad_alpha;
        for (int c = 0; c < channels; ++c) {
          dot += grad[c] * batch.colors[j][c];
          sum[6 + c] = weight * grad[c];
        }
        rest -= weight * dot;
        const float by_alpha = left * dot - rest / (1 - alpha);
        const float v = held ? 0 : alpha * by_alpha;
        sum[0] = v;
        sum[1] = v * dx;
        sum[2] = v * dy;
        sum[3] = v * dx * dx;
        sum[4] = v * dx * dy;
        sum[5] = v * dy * dy;
        if constexpr (with_abs) {
          sum[6 + channels] = fabsf(2 * v * u * s.p);
          sum[7 + channels] = fabsf(2 * v * (u * s.q + w * s.r));
        }
        left = after;
      }
      float* record = records + static_cast<int64_t>(batch.ids[j]) * size;
      for (int k = 0; k < size; ++k) {
        const float total = warp_sum(sum[k]);
        if (threadIdx.x % 32 == 0 && total != 0) atomicAdd(record + k, total);
      }
    }
    __syncthreads();
  }
}

template <int channels>
__global__ void draw(Raster<float> r, Tiles t, const DeviceSplat* splats, int64_t group) {
  draw_pixel<channels>(r, t, splats, group);
}

template <int channels, bool with_abs>
__global__ void draw_gradient(RasterGradient<float> g, Tiles t, const DeviceSplat* splats,
                              int64_t group, float* records) {
  pixel_gradient<channels, with_abs>(g, t, splats, group, records);
}

// The same for tiles with more pixels than those of kSide: the bound holds the registers down, and
// costs speed.
template <int channels>
__global__ void __launch_bounds__(kMostThreads)
    draw_large(Raster<float> r, Tiles t, const DeviceSplat* splats, int64_t group) {
  draw_pixel<channels>(r, t, splats, group);
}

template <int channels, bool with_abs>
__global__ void __launch_bounds__(kMostThreads)
    draw_gradient_large(RasterGradient<float> g, Tiles t, const DeviceSplat* splats, int64_t group,
                        float* records) {
  pixel_gradient<channels, with_abs>(g, t, splats, group, records);
}

// A splat's record to gradients; later groups of channels are added.
__global__ void collect(RasterGradient<float> g, int64_t group, int channels,
                        const float* records) {
  const Raster<float>& r = g.forward;
  const int64_t i = first_item();
  if (i >= r.count) return;
  const bool with_abs = g.abs_means2d != nullptr;
  const int size = record_size(channels, with_abs);
  const float* sum = records + i * size;
  bool seen = false;  // the numbers of what is not seen may be NaN
  for (int k = 0; k < size; ++k) seen = seen || sum[k] != 0;
  float values[6];
  gradients_of(sum, r.conics + 3 * i, r.opacities[i], values);
  const auto put = [&](float* out, float value) {
    *out = (group == 0 ? 0 : *out) + (seen ? value : 0);
  };
  for (int k = 0; k < 2; ++k) put(g.grad_means2d + 2 * i + k, values[k]);
  for (int k = 0; k < 3; ++k) put(g.grad_conics + 3 * i + k, values[2 + k]);
  put(g.grad_opacities + i, values[5]);
  for (int c = 0; c < channels; ++c) g.grad_colors[i * r.channels + group + c] = sum[6 + c];
  if (!with_abs) return;
  for (int k = 0; k < 2; ++k) put(g.abs_means2d + 2 * i + k, sum[6 + channels + k] * kLn2);
}

__global__ void contributors_kernel(Contributors<float> c) {
  const int64_t i = first_item();
  if (i < c.raster.images * c.raster.width * c.raster.height) find_contributors(c, i);
}

int threads_of(const Tiles& tiles) { return (tiles.side * tiles.side + 31) / 32 * 32; }

}  // namespace

const char* rasterize_cuda(const Raster<float>& r, void* stream) {
  void (*all[])(Raster<float>, Tiles, const DeviceSplat*, int64_t) = {
      draw<1>,       draw<2>,       draw<3>,       draw<4>,
      draw_large<1>, draw_large<2>, draw_large<3>, draw_large<4>};
  Queue queue(stream);
  const Scene scene(queue, r);
  const bool large = scene.tiles().side > kSide;
  for (int64_t group = 0; group < r.channels; group += kChannels) {
    const int64_t channels = r.channels - group < kChannels ? r.channels - group : kChannels;
    queue.blocks(scene.tiles().count, threads_of(scene.tiles()),
                 all[channels - 1 + (large ? 4 : 0)], r, scene.tiles(), scene.splats(), group);
  }
  return queue.message();
}

const char* rasterize_gradient_cuda(const RasterGradient<float>& g, void* stream) {
  void (*all[])(RasterGradient<float>, Tiles, const DeviceSplat*, int64_t, float*) = {
      draw_gradient<1, false>,       draw_gradient<2, false>,       draw_gradient<3, false>,
      draw_gradient<4, false>,       draw_gradient<1, true>,        draw_gradient<2, true>,
      draw_gradient<3, true>,        draw_gradient<4, true>,        draw_gradient_large<1, false>,
      draw_gradient_large<2, false>, draw_gradient_large<3, false>, draw_gradient_large<4, false>,
      draw_gradient_large<1, true>,  draw_gradient_large<2, true>,  draw_gradient_large<3, true>,
      draw_gradient_large<4, true>};
  const Raster<float>& r = g.forward;
  const bool with_abs = g.abs_means2d != nullptr;
  Queue queue(stream);
  const Scene scene(queue, r);
  const bool large = scene.tiles().side > kSide;
  const Scratch<float> records(queue, r.count * record_size(kChannels, with_abs));
  for (int64_t group = 0; group < r.channels; group += kChannels) {
    const int channels =
        static_cast<int>(r.channels - group < kChannels ? r.channels - group : kChannels);
    queue.zero(records.get(),
               static_cast<size_t>(r.count * record_size(channels, with_abs)) * sizeof(float));
    queue.blocks(scene.tiles().count, threads_of(scene.tiles()),
                 all[channels - 1 + (with_abs ? 4 : 0) + (large ? 8 : 0)], g, scene.tiles(),
                 scene.splats(), group, records.get());
    queue.each(r.count, collect, g, group, channels, records.get());
  }
  return queue.message();
}

const char* contributors_cuda(const Contributors<float>& c, void* stream) {
  Queue queue(stream);
  queue.each(c.raster.images * c.raster.width * c.raster.height, contributors_kernel, c);
  return queue.message();
}

}  // namespace steadyview::gaussians
