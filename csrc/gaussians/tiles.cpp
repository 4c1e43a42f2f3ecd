// Sorts the splats of an image by depth (radix, stable), then deals them out to the tiles they
// touch. All in chunks that do not depend on the number of threads.
#include "gaussians/tiles.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "common/parallel.h"

namespace steadyview::gaussians {
namespace {

template <typename T>
using Buffer = std::unique_ptr<T[]>;

// Not filled with zeros.
template <typename T>
Buffer<T> make_buffer(int64_t size) {
  return Buffer<T>(new T[static_cast<size_t>(std::max<int64_t>(size, 1))]);
}

template <typename T>
struct Extent {
  const Keyed<T>* items;
  int64_t count;
};

// One stable pass by `width` bits from `shift` on, of the extents one after another.
template <typename T>
void radix_pass(const std::vector<Extent<T>>& extents, int shift, int width, Keyed<T>* out) {
  const int64_t buckets = int64_t{1} << width, n = static_cast<int64_t>(extents.size());
  const DepthKey<T> mask = static_cast<DepthKey<T>>(buckets - 1);
  std::vector<int64_t> places(static_cast<size_t>(n * buckets), 0);
  const auto bucket = [&](const Keyed<T>& item) {
    return static_cast<int64_t>((item.key >> shift) & mask);
  };
  parallel_for(0, n, 1, [&](int64_t e, int64_t) {
    int64_t* counts = places.data() + e * buckets;
    const Extent<T> extent = extents[static_cast<size_t>(e)];
    for (int64_t i = 0; i < extent.count; ++i) ++counts[bucket(extent.items[i])];
  });
  int64_t place = 0;
  for (int64_t b = 0; b < buckets; ++b) {
    for (int64_t e = 0; e < n; ++e) {
      int64_t& entry = places[static_cast<size_t>(e * buckets + b)];
      place += std::exchange(entry, place);
    }
  }
  parallel_for(0, n, 1, [&](int64_t e, int64_t) {
    int64_t* next = places.data() + e * buckets;
    const Extent<T> extent = extents[static_cast<size_t>(e)];
    for (int64_t i = 0; i < extent.count; ++i) {
      out[next[bucket(extent.items[i])]++] = extent.items[i];
    }
  });
}

template <typename T>
std::vector<Extent<T>> split(const Keyed<T>* items, int64_t count) {
  std::vector<Extent<T>> extents;
  for (int64_t i = 0; i < count; i += kSplatChunk) {
    extents.push_back({items + i, std::min(kSplatChunk, count - i)});
  }
  return extents;
}

// Front to back, equal depths in the splats' order.
template <typename T>
Buffer<Keyed<T>> sort_by_depth(std::vector<Extent<T>> extents, int64_t visible) {
  DepthKey<T> low = ~DepthKey<T>{0}, high = 0;
  for (const Extent<T>& extent : extents) {
    for (int64_t i = 0; i < extent.count; ++i) {
      low = std::min(low, extent.items[i].key);
      high = std::max(high, extent.items[i].key);
    }
  }
  // Bits above the highest that differs are the same in all.
  int bits = 0;
  while (bits < static_cast<int>(8 * sizeof(low)) && ((low ^ high) >> bits) != 0) ++bits;
  const int passes = std::max(1, (bits + 10) / 11),
            width = std::max(1, (bits + passes - 1) / passes);
  Buffer<Keyed<T>> sorted = make_buffer<Keyed<T>>(visible), spare;
  if (passes > 1) spare = make_buffer<Keyed<T>>(visible);
  for (int pass = 0; pass < passes; ++pass) {
    if (pass > 0) {
      std::swap(sorted, spare);
      extents = split<T>(spare.get(), visible);
    }
    radix_pass<T>(extents, pass * width,
                  std::min(width, static_cast<int>(8 * sizeof(low)) - pass * width), sorted.get());
  }
  return sorted;
}

// Calls visit(tile, whether) for the tiles that the splat's ellipse touches, row by row, and
// perhaps for others, with false: most boxes touch one or two tiles, and branches on how many are
// foreseen badly.
template <typename T, typename Visit>
void for_tiles(const Splat<T>& s, const TileBox& box, int64_t columns, Visit visit) {
  const int64_t left = box.left, right = box.right, top = box.top, bottom = box.bottom;
  const int64_t across = right - left, down = bottom - top;
  if (__builtin_expect((across | down) < 2, 1)) {
    const int64_t first = top * columns + left, below = first + down * columns;
    visit(first, int64_t{1});
    visit(first + across, across);
    visit(below, down);
    visit(below + across, across & down);
    return;
  }
  const bool whole = right - left < 2 || bottom == top;
  for (int64_t row = top; row <= bottom; ++row) {
    int64_t from = left, to = right;
    if (!whole) {
      // The rows of pixel centres in this row of tiles, and how far the ellipse reaches there.
      const double y = static_cast<double>(s.y), p = static_cast<double>(s.p);
      const double q = static_cast<double>(s.q), r = static_cast<double>(s.r);
      const double low = static_cast<double>(row * kTile) - y - 0.01, high = low + kTile + 0.02;
      const double drop = static_cast<double>(s.height) + kCutoff;
      // Where u^2 = drop - w^2.
      const auto edge = [&](double dy, double side) {
        return (side * std::sqrt(std::max(drop - r * r * dy * dy, 0.0)) - q * dy) / p;
      };
      const double at_right = std::clamp(static_cast<double>(s.tilt), low, high);
      const double at_left = std::clamp(-static_cast<double>(s.tilt), low, high);
      const double x = static_cast<double>(s.x);
      const double far_right = x + edge(at_right, 1) * 1.0001 + 0.02;
      const double far_left = x + edge(at_left, -1) * 1.0001 - 0.02;
      from = std::max(from, static_cast<int64_t>(std::clamp(far_left, 0.0, 1e9)) / kTile);
      to = std::min(to, static_cast<int64_t>(std::clamp(far_right, -1.0, 1e9)) / kTile);
    }
    for (int64_t column = from; column <= to; ++column) visit(row * columns + column, int64_t{1});
  }
}

}  // namespace

template <typename T>
TileLists sort_into_tiles(const Splat<T>* splats, const TileBox* boxes, int64_t count,
                          Keyed<T>* keyed, const int64_t* counts, int64_t width, int64_t height,
                          bool with_slots) {
  std::vector<Extent<T>> extents;
  int64_t visible = 0;
  for (int64_t i = 0; i < count; i += kSplatChunk) {
    extents.push_back({keyed + i, counts[i / kSplatChunk]});
    visible += extents.back().count;
  }
  const Buffer<Keyed<T>> sorted = sort_by_depth(std::move(extents), visible);

  TileLists lists;
  lists.columns = (width + kTile - 1) / kTile;
  lists.rows = (height + kTile - 1) / kTile;
  const int64_t tiles = lists.columns * lists.rows;
  lists.starts = make_buffer<int64_t>(tiles + 1);
  if (with_slots) {
    lists.first_slots = make_buffer<int64_t>(count + 1);
    std::fill_n(lists.first_slots.get(), count + 1, 0);
  }
  int64_t* first_slots = lists.first_slots.get();
  const int64_t chunk = std::max(kSplatChunk / 2, visible / 64 + 1);
  const int64_t chunks = (visible + chunk - 1) / chunk;
  std::vector<int64_t> places(static_cast<size_t>(chunks * tiles), 0);
  parallel_for(0, visible, chunk, [&](int64_t first, int64_t last) {
    int64_t* counted = places.data() + first / chunk * tiles;
    for (int64_t i = first; i < last; ++i) {
      const uint32_t splat = sorted[static_cast<size_t>(i)].splat;
      int64_t touched = 0;
      for_tiles(splats[splat], boxes[splat], lists.columns, [&](int64_t tile, int64_t whether) {
        counted[tile] += whether;
        touched += whether;
      });
      if (first_slots) first_slots[splat + 1] = touched;
    }
  });
  int64_t place = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    lists.starts[static_cast<size_t>(tile)] = place;
    for (int64_t k = 0; k < chunks; ++k) {
      int64_t& entry = places[static_cast<size_t>(k * tiles + tile)];
      place += std::exchange(entry, place);
    }
  }
  lists.starts[static_cast<size_t>(tiles)] = lists.total = place;
  if (place > int64_t{0xffffffff}) {
    throw std::length_error("rasterize: splats touch more than 2^32 tiles in all");
  }
  for (int64_t i = 0; first_slots && i < count; ++i) first_slots[i + 1] += first_slots[i];
  lists.entries = make_buffer<TileEntry>(place);
  TileEntry* entries = lists.entries.get();
  parallel_for(0, visible, chunk, [&](int64_t first, int64_t last) {
    int64_t* next = places.data() + first / chunk * tiles;
    TileEntry nowhere;
    for (int64_t i = first; i < last; ++i) {
      const uint32_t splat = sorted[static_cast<size_t>(i)].splat;
      int64_t slot = first_slots ? first_slots[splat] : 0;
      for_tiles(splats[splat], boxes[splat], lists.columns, [&](int64_t tile, int64_t whether) {
        TileEntry* entry = whether ? entries + next[tile] : &nowhere;
        *entry = {splat, static_cast<uint32_t>(slot)};
        next[tile] += whether;
        slot += whether;
      });
    }
  });
  return lists;
}

template <typename T>
TileLists take_lists(const Raster<T>& r, const Splat<T>* splats, int64_t count, bool with_slots) {
  TileLists lists;
  lists.tile = r.tile_size;
  lists.images = r.images;
  lists.columns = (r.width + r.tile_size - 1) / r.tile_size;
  lists.rows = (r.height + r.tile_size - 1) / r.tile_size;
  const int64_t tiles = lists.columns * lists.rows, all = lists.images * tiles;
  lists.starts = make_buffer<int64_t>(all + 1);
  lists.entries = make_buffer<TileEntry>(r.entries);
  if (with_slots) {
    lists.first_slots = make_buffer<int64_t>(count + 1);
    std::fill_n(lists.first_slots.get(), count + 1, 0);
  }
  int64_t total = 0;
  for (int64_t k = 0; k < all; ++k) {
    lists.starts[static_cast<size_t>(k)] = total;
    if (r.tile_masks && !r.tile_masks[k]) continue;
    const int64_t left = k % lists.columns * r.tile_size;
    const int64_t top = k % tiles / lists.columns * r.tile_size;
    const int64_t end = k + 1 < all ? r.tile_offsets[k + 1] : r.entries;
    for (int64_t i = r.tile_offsets[k]; i < end; ++i) {
      const Splat<T>& s = splats[r.tile_ids[i]];
      const bool touches = s.right >= left && s.left < left + r.tile_size && s.bottom >= top &&
                           s.top < top + r.tile_size;
      if (!touches) continue;  // the lists come from boxes and may be generous
      lists.entries[static_cast<size_t>(total++)] = {static_cast<uint32_t>(r.tile_ids[i]), 0};
      if (with_slots) ++lists.first_slots[static_cast<size_t>(r.tile_ids[i]) + 1];
    }
  }
  lists.starts[static_cast<size_t>(all)] = lists.total = total;
  if (!with_slots) return lists;
  for (int64_t i = 0; i < count; ++i) {
    lists.first_slots[static_cast<size_t>(i + 1)] += lists.first_slots[static_cast<size_t>(i)];
  }
  std::vector<int64_t> next(lists.first_slots.get(), lists.first_slots.get() + count);
  for (int64_t i = 0; i < total; ++i) {
    TileEntry& entry = lists.entries[static_cast<size_t>(i)];
    entry.slot = static_cast<uint32_t>(next[entry.splat]++);
  }
  return lists;
}

template TileLists take_lists(const Raster<float>&, const Splat<float>*, int64_t, bool);
template TileLists take_lists(const Raster<double>&, const Splat<double>*, int64_t, bool);
template TileLists sort_into_tiles(const Splat<float>*, const TileBox*, int64_t, Keyed<float>*,
                                   const int64_t*, int64_t, int64_t, bool);
template TileLists sort_into_tiles(const Splat<double>*, const TileBox*, int64_t, Keyed<double>*,
                                   const int64_t*, int64_t, int64_t, bool);

}  // namespace steadyview::gaussians
