#pragma once

#include <cstdint>
#include <memory>

#include "common/sampling.h"
#include "gaussians/gaussians.h"
#include "gaussians/shape.h"

namespace steadyview::gaussians {

inline constexpr int kTile = 32;  // side, px: a tile's pixels fit the first-level cache
inline constexpr int kGroup = 4;  // channels drawn at a time

// A splat as the raster wants it; see Shape.
template <typename T>
struct alignas(64) Splat {
  T x, y;
  T p, q, r, height;
  T color[kGroup];
  T tilt;                            // dy of the rightmost point of its ellipse
  int32_t left, right, top, bottom;  // pixels that may be inside, inclusive; right < left: none
};

// The tiles that a splat's box touches, inclusive: apart from the splats, because they are looked
// up in the order of depth, and these fit a cache.
struct TileBox {
  uint16_t left, right, top, bottom;
};

template <typename T>
using DepthKey = decltype(depth_key(T{}));

template <typename T>
struct Keyed {
  DepthKey<T> key;
  uint32_t splat;
};

struct TileEntry {
  uint32_t splat, slot;  // slots count the entries of splat 0, then those of splat 1, ...
};

// The splats of every tile of the images, front to back.
struct TileLists {
  int64_t tile = kTile;  // side, px: at most kTile
  int64_t images = 1, columns = 0, rows = 0, total = 0;
  std::unique_ptr<int64_t[]> starts;       // (images * columns * rows + 1) into entries
  std::unique_ptr<TileEntry[]> entries;    // (total)
  std::unique_ptr<int64_t[]> first_slots;  // (splats + 1); null without gradients
};

// `keyed` holds the visible splats of chunk k, kSplatChunk apart, counts[k] of each.
inline constexpr int64_t kSplatChunk = 16384;
template <typename T>
TileLists sort_into_tiles(const Splat<T>* splats, const TileBox* boxes, int64_t count,
                          Keyed<T>* keyed, const int64_t* counts, int64_t width, int64_t height,
                          bool with_slots);

// The same of lists that the caller brings: Raster::tile_offsets and so on.
template <typename T>
TileLists take_lists(const Raster<T>& raster, const Splat<T>* splats, int64_t count,
                     bool with_slots);

template <typename T>
struct TileJob {
  const Splat<T>* splats;
  const TileEntry* entries;
  int64_t count;
  int64_t entries_left;         // from entries on, those of the tiles that come after included
  int64_t x, y, right, bottom;  // the tile's first pixel, and the first beyond it, in the image
  int64_t width;                // of the image
  int64_t stride;               // channels of the image
  const T* background;          // this group's first channel, as image; or null
  T* image;                     // (height, width, stride)
  T* alphas;                    // (height, width), or null
};

template <typename T>
struct TileGradientJob {
  TileJob<T> forward;    // image and alphas are read
  const T* grad_image;   // this group's first channel
  const T* grad_alphas;  // or null for 0, as for the groups after the first
  T* records;            // (slots, record_size)
};

}  // namespace steadyview::gaussians
