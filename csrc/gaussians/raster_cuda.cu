// Deals the splats out to tiles (counted, scanned and sorted by CUB), then draws a tile a block of
// threads, a thread a pixel, the tile's splats in batches through shared memory.
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "gaussians/device.h"
#include "gaussians/gaussians.h"
#include "gaussians/shape.h"

namespace steadyview::gaussians {
namespace {

constexpr int kSide = 16;     // of the tiles made here, px
constexpr int kBatch = 256;   // splats in shared memory
constexpr int kChannels = 4;  // drawn at a time
constexpr float kLn2 = 0.693147181f;

struct DeviceSplat {
  float x, y, p, q, r, height;
};

// Tiles [left, right) x [top, bottom) that a splat's box touches.
struct Box {
  int left, right, top, bottom;
};

// The lists of all tiles of all images, on the device.
struct Tiles {
  int64_t columns, rows, count;  // count: of all images
  int side;
  const int64_t* starts;  // (count + 1)
  const uint32_t* splats;
  const bool* masks;  // (count), or null
};

// counts, boxes: null where the caller brings the lists.
__global__ void make_splats(Raster<float> r, DeviceSplat* splats, Box* boxes, int64_t* counts) {
  const int64_t i = thread_index();
  if (i >= r.count) return;
  const float *mean = r.means2d + 2 * i, *conic = r.conics + 3 * i;
  const float far = 1e9f;
  const Shape<float> s =
      shape_of(mean[0], mean[1], conic[0], conic[1], conic[2], r.opacities[i],
               r.depths ? r.depths[i] : 0.0f, r.radii ? static_cast<float>(r.radii[2 * i]) : far,
               r.radii ? static_cast<float>(r.radii[2 * i + 1]) : far, static_cast<float>(r.width),
               static_cast<float>(r.height));
  bool seen = !r.radii || (r.radii[2 * i] > 0 && r.radii[2 * i + 1] > 0);
  for (int64_t c = 0; c < r.channels; ++c) {
    const float color = r.colors[i * r.channels + c];
    seen = seen && color - color == 0;
  }
  const int left = static_cast<int>(s.left), right = static_cast<int>(s.right);
  const int top = static_cast<int>(s.top), bottom = static_cast<int>(s.bottom);
  seen = seen && left < right && top < bottom;
  // What is not seen has an opacity below all that is drawn.
  splats[i] = seen ? DeviceSplat{mean[0], mean[1], s.p, s.q, s.r, s.height}
                   : DeviceSplat{0, 0, 0, 0, 0, -1e30f};
  if (!counts) return;
  const Box box =
      seen ? Box{left / kSide, (right - 1) / kSide + 1, top / kSide, (bottom - 1) / kSide + 1}
           : Box{0, 0, 0, 0};
  boxes[i] = box;
  counts[i] = static_cast<int64_t>(box.right - box.left) * (box.bottom - box.top);
}

// Keys: tile of all images | depth. first (images + 1) on the device.
__global__ void make_keys(Raster<float> r, const int64_t* first, const Box* boxes,
                          const int64_t* places, Tiles tiles, uint64_t* keys, uint32_t* splats) {
  const int64_t i = thread_index();
  if (i >= r.count) return;
  int64_t image = 0;
  while (image + 1 < r.images && first[image + 1] <= i) ++image;
  int64_t place = places[i];
  const Box box = boxes[i];
  const uint64_t depth = depth_key(r.depths[i]);
  for (int row = box.top; row < box.bottom; ++row) {
    for (int column = box.left; column < box.right; ++column) {
      const int64_t tile = (image * tiles.rows + row) * tiles.columns + column;
      keys[place] = static_cast<uint64_t>(tile) << 32 | depth;
      splats[place++] = static_cast<uint32_t>(i);
    }
  }
}

// starts[t] is the first of the sorted keys whose tile is t or beyond.
__global__ void find_starts(const uint64_t* keys, int64_t total, int64_t tiles, int64_t* starts) {
  const int64_t i = thread_index();
  if (i > total) return;
  const int64_t before = i > 0 ? static_cast<int64_t>(keys[i - 1] >> 32) : -1;
  const int64_t tile = i < total ? static_cast<int64_t>(keys[i] >> 32) : tiles;
  for (int64_t t = before + 1; t <= tile; ++t) starts[t] = i;
}

// The caller's lists, held within their bounds.
__global__ void take_starts(Raster<float> r, int64_t tiles, int64_t* starts) {
  const int64_t i = thread_index();
  if (i > tiles) return;
  const int64_t start = i < tiles ? r.tile_offsets[i] : r.entries;
  starts[i] = start < 0 ? 0 : start > r.entries ? r.entries : start;
}

int bits_of(int64_t value) {
  int bits = 0;
  while (value >> bits != 0) ++bits;
  return bits;
}

// Everything that drawing and its gradient need, made on the queue's stream.
class Scene {
 public:
  Scene(Queue& queue, const Raster<float>& r)
      : queue_(queue), splats_(queue, r.count), starts_(queue, tile_count(r) + 1) {
    tiles_.side = r.tile_offsets ? static_cast<int>(r.tile_size) : kSide;
    tiles_.columns = (r.width + tiles_.side - 1) / tiles_.side;
    tiles_.rows = (r.height + tiles_.side - 1) / tiles_.side;
    tiles_.count = tile_count(r);
    tiles_.starts = starts_.get();
    tiles_.splats = nullptr;
    tiles_.masks = r.tile_masks;
    r.tile_offsets ? take_lists(r) : sort(r);
  }
  ~Scene() {
    if (sorted_) cudaFreeAsync(sorted_, queue_.stream());
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  const DeviceSplat* splats() const { return splats_.get(); }
  const Tiles& tiles() const { return tiles_; }

 private:
  static int64_t tile_count(const Raster<float>& r) {
    const int64_t side = r.tile_offsets ? r.tile_size : kSide;
    return r.images * ((r.width + side - 1) / side) * ((r.height + side - 1) / side);
  }

  void take_lists(const Raster<float>& r) {
    queue_.each(r.count, make_splats, r, splats_.get(), static_cast<Box*>(nullptr),
                static_cast<int64_t*>(nullptr));
    queue_.each(tiles_.count + 1, take_starts, r, tiles_.count, starts_.get());
    tiles_.splats = reinterpret_cast<const uint32_t*>(r.tile_ids);
  }

  void sort(const Raster<float>& r) {
    const Scratch<Box> boxes(queue_, r.count);
    const Scratch<int64_t> counts(queue_, r.count + 1), places(queue_, r.count + 1);
    const Scratch<int64_t> first(queue_, r.images + 1);
    if (!queue_.good()) return;
    queue_.check(cudaMemcpyAsync(first.get(), r.first,
                                 static_cast<size_t>(r.images + 1) * sizeof(int64_t),
                                 cudaMemcpyHostToDevice, queue_.stream()));
    queue_.zero(counts.get() + r.count, sizeof(int64_t));
    queue_.each(r.count, make_splats, r, splats_.get(), boxes.get(), counts.get());
    const int64_t total = scan(counts.get(), places.get(), r.count + 1);
    const Scratch<uint64_t> keys(queue_, total), sorted_keys(queue_, total);
    const Scratch<uint32_t> splats(queue_, total);
    if (queue_.good()) {
      queue_.check(cudaMallocAsync(reinterpret_cast<void**>(&sorted_),
                                   static_cast<size_t>(total > 0 ? total : 1) * sizeof(uint32_t),
                                   queue_.stream()));
    }
    if (!queue_.good()) return;
    queue_.each(r.count, make_keys, r, first.get(), boxes.get(), places.get(), tiles_, keys.get(),
                splats.get());
    sort_pairs(keys.get(), sorted_keys.get(), splats.get(), total);
    queue_.each(total + 1, find_starts, sorted_keys.get(), total, tiles_.count, starts_.get());
    tiles_.splats = sorted_;
  }

  // Running sums; returns the last one.
  int64_t scan(const int64_t* counts, int64_t* places, int64_t n) {
    size_t bytes = 0;
    if (!queue_.good()) return 0;
    queue_.check(cub::DeviceScan::ExclusiveSum(nullptr, bytes, counts, places, n, queue_.stream()));
    const Scratch<char> room(queue_, static_cast<int64_t>(bytes));
    if (!queue_.good()) return 0;
    queue_.check(
        cub::DeviceScan::ExclusiveSum(room.get(), bytes, counts, places, n, queue_.stream()));
    int64_t total = 0;
    queue_.check(cudaMemcpyAsync(&total, places + n - 1, sizeof(total), cudaMemcpyDeviceToHost,
                                 queue_.stream()));
    queue_.check(cudaStreamSynchronize(queue_.stream()));
    return queue_.good() ? total : 0;
  }

  void sort_pairs(const uint64_t* keys, uint64_t* sorted_keys, const uint32_t* splats, int64_t n) {
    size_t bytes = 0;
    const int end = 32 + bits_of(tiles_.count);
    if (n == 0) return;
    queue_.check(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, sorted_keys, splats, sorted_,
                                                 n, 0, end, queue_.stream()));
    const Scratch<char> room(queue_, static_cast<int64_t>(bytes));
    if (!queue_.good()) return;
    queue_.check(cub::DeviceRadixSort::SortPairs(room.get(), bytes, keys, sorted_keys, splats,
                                                 sorted_, n, 0, end, queue_.stream()));
  }

  Queue& queue_;
  Scratch<DeviceSplat> splats_;
  Scratch<int64_t> starts_;
  uint32_t* sorted_ = nullptr;
  Tiles tiles_{};
};

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
__global__ void draw(Raster<float> r, Tiles t, const DeviceSplat* splats, int64_t group) {
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
__global__ void draw_gradient(RasterGradient<float> g, Tiles t, const DeviceSplat* splats,
                              int64_t group, float* records) {
  constexpr int size = record_size(channels, with_abs);
  __shared__ Batch<channels> batch;
  const Raster<float>& r = g.forward;
  const Place place(r, t);
  const float px = static_cast<float>(place.x) + 0.5f, py = static_cast<float>(place.y) + 0.5f;
  // rest: what the splats still to come add to grad . output.
  float left = 1, rest = 0, grad_alpha = 0, grad[channels] = {};
  if (place.inside) {
    const int64_t pixel = place.pixel(r);
    const float by_alpha = group == 0 ? g.grad_alphas[pixel] : 0;
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

// A splat's record to gradients; later groups of channels are added.
__global__ void collect(RasterGradient<float> g, int64_t group, int channels,
                        const float* records) {
  const Raster<float>& r = g.forward;
  const int64_t i = thread_index();
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
  const int64_t i = thread_index();
  if (i < c.raster.images * c.raster.width * c.raster.height) find_contributors(c, i);
}

int threads_of(const Tiles& tiles) { return (tiles.side * tiles.side + 31) / 32 * 32; }

}  // namespace

const char* rasterize_cuda(const Raster<float>& r, void* stream) {
  void (*all[])(Raster<float>, Tiles, const DeviceSplat*, int64_t) = {draw<1>, draw<2>, draw<3>,
                                                                      draw<4>};
  Queue queue(stream);
  const Scene scene(queue, r);
  for (int64_t group = 0; group < r.channels; group += kChannels) {
    const int64_t channels = r.channels - group < kChannels ? r.channels - group : kChannels;
    queue.blocks(scene.tiles().count, threads_of(scene.tiles()), all[channels - 1], r,
                 scene.tiles(), scene.splats(), group);
  }
  return queue.message();
}

const char* rasterize_gradient_cuda(const RasterGradient<float>& g, void* stream) {
  void (*all[])(RasterGradient<float>, Tiles, const DeviceSplat*, int64_t, float*) = {
      draw_gradient<1, false>, draw_gradient<2, false>, draw_gradient<3, false>,
      draw_gradient<4, false>, draw_gradient<1, true>,  draw_gradient<2, true>,
      draw_gradient<3, true>,  draw_gradient<4, true>};
  const Raster<float>& r = g.forward;
  const bool with_abs = g.abs_means2d != nullptr;
  Queue queue(stream);
  const Scene scene(queue, r);
  const Scratch<float> records(queue, r.count * record_size(kChannels, with_abs));
  for (int64_t group = 0; group < r.channels; group += kChannels) {
    const int channels =
        static_cast<int>(r.channels - group < kChannels ? r.channels - group : kChannels);
    queue.zero(records.get(),
               static_cast<size_t>(r.count * record_size(channels, with_abs)) * sizeof(float));
    queue.blocks(scene.tiles().count, threads_of(scene.tiles()),
                 all[channels - 1 + (with_abs ? 4 : 0)], g, scene.tiles(), scene.splats(), group,
                 records.get());
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
