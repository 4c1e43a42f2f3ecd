#pragma once

// Deals the splats out to tiles on a GPU: counted, scanned and sorted by CUB. For raster_cuda.cu.

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>

#include "gaussians/device.h"
#include "gaussians/gaussians.h"
#include "gaussians/shape.h"

namespace steadyview::gaussians {
namespace {

constexpr int kSide = 16;  // of the tiles made here, px

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
  const int64_t i = first_item();
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
  const int64_t i = first_item();
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
  const int64_t i = first_item();
  if (i > total) return;
  const int64_t before = i > 0 ? static_cast<int64_t>(keys[i - 1] >> 32) : -1;
  const int64_t tile = i < total ? static_cast<int64_t>(keys[i] >> 32) : tiles;
  for (int64_t t = before + 1; t <= tile; ++t) starts[t] = i;
}

// The caller's lists, held within their bounds.
__global__ void take_starts(Raster<float> r, int64_t tiles, int64_t* starts) {
  const int64_t i = first_item();
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

}  // namespace
}  // namespace steadyview::gaussians
