// Images one after another, their channels in groups of kGroup, tiles over the threads.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "gaussians/gaussians.h"
#include "gaussians/rows.h"
#include "gaussians/tiles.h"

namespace steadyview::gaussians {
namespace {

constexpr double kLn2 = 0.6931471805599453;
constexpr int64_t kAhead = 128;  // records and splats that are fetched before their turn
constexpr int64_t kJobs = 4;  // tiles that a thread draws in a row: they fetch each other's splats

// Splats from `base` on in the tiles of the images from `image` on.
template <typename T>
struct Scene {
  std::unique_ptr<Splat<T>[]> splats;
  TileLists tiles;
  int64_t base, count, image;

  int64_t jobs() const { return tiles.images * tiles.columns * tiles.rows; }
};

template <typename T>
int64_t make_splats(const Raster<T>& r, int64_t base, int64_t group, int channels, int64_t first,
                    int64_t last, Splat<T>* splats, TileBox* boxes, Keyed<T>* keyed) {
  return STEADYVIEW_FOR_ISA(
      gaussians, splat_rows(r, base, group, channels, first, last, splats, boxes, keyed));
}

template <typename T>
Scene<T> make_scene(const Raster<T>& r, int64_t image, int channels, bool with_slots) {
  const bool listed = r.tile_offsets != nullptr;
  const int64_t base = listed ? 0 : r.first[image];
  const int64_t count = listed ? r.count : r.first[image + 1] - base;
  Scene<T> scene;
  scene.base = base;
  scene.count = count;
  scene.image = image;
  scene.splats.reset(new Splat<T>[static_cast<size_t>(std::max<int64_t>(count, 1))]);
  const std::unique_ptr<Keyed<T>[]> keyed(
      new Keyed<T>[static_cast<size_t>(std::max<int64_t>(count, 1))]);
  const std::unique_ptr<TileBox[]> boxes(
      listed ? nullptr : new TileBox[static_cast<size_t>(std::max<int64_t>(count, 1))]);
  std::vector<int64_t> counts(static_cast<size_t>(count / kSplatChunk + 1), 0);
  parallel_for(0, count, kSplatChunk, [&](int64_t first, int64_t last) {
    counts[static_cast<size_t>(first / kSplatChunk)] = make_splats(
        r, base, 0, channels, first, last, scene.splats.get(), boxes.get(), keyed.get() + first);
  });
  scene.tiles = listed ? take_lists(r, scene.splats.get(), count, with_slots)
                       : sort_into_tiles(scene.splats.get(), boxes.get(), count, keyed.get(),
                                         counts.data(), r.width, r.height, with_slots);
  return scene;
}

// Calls draw(scene) for each image, or once where the lists are of all images.
template <typename T, typename Draw>
void for_scenes(const Raster<T>& r, bool with_slots, Draw draw) {
  const int channels = static_cast<int>(std::min<int64_t>(kGroup, r.channels));
  for (int64_t image = 0; image < (r.tile_offsets ? 1 : r.images); ++image) {
    draw(make_scene(r, image, channels, with_slots));
  }
}

// The colours of another group of channels.
template <typename T>
void recolor(const Raster<T>& r, const Scene<T>& scene, int64_t group, int channels) {
  const T* colors = r.colors + scene.base * r.channels + group;
  parallel_for(0, scene.count, kSplatChunk, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      for (int c = 0; c < channels; ++c) scene.splats[i].color[c] = colors[i * r.channels + c];
    }
  });
}

template <typename T>
TileJob<T> make_job(const Raster<T>& r, const Scene<T>& scene, int64_t group, int64_t job) {
  const TileLists& tiles = scene.tiles;
  const int64_t* starts = tiles.starts.get();
  const int64_t each = tiles.columns * tiles.rows, image = scene.image + job / each;
  const int64_t x = job % tiles.columns * tiles.tile, y = job % each / tiles.columns * tiles.tile;
  const int64_t pixels = image * r.width * r.height;
  return {.splats = scene.splats.get(),
          .entries = tiles.entries.get() + starts[job],
          .count = starts[job + 1] - starts[job],
          .entries_left = tiles.total - starts[job],
          .x = x,
          .y = y,
          .right = std::min(x + tiles.tile, r.width),
          .bottom = std::min(y + tiles.tile, r.height),
          .width = r.width,
          .stride = r.channels,
          .background = r.backgrounds ? r.backgrounds + image * r.channels + group : nullptr,
          .image = r.image + pixels * r.channels + group,
          .alphas = group == 0 ? r.alphas + pixels : nullptr};
}

template <typename T>
void draw(const TileJob<T>& job, int channels) {
  return STEADYVIEW_FOR_ISA(gaussians, draw_tile(job, channels));
}

template <typename T>
void take_gradient(const TileGradientJob<T>& job, int channels, bool with_abs) {
  return STEADYVIEW_FOR_ISA(gaussians, tile_gradient(job, channels, with_abs));
}

// Adds up a splat's records in their order, and turns the sums into gradients.
template <int channels, bool with_abs, typename T>
void collect(const RasterGradient<T>& g, const Scene<T>& scene, const T* records, int64_t first,
             int64_t last, int64_t group) {
  constexpr int size = record_size(channels, with_abs);
  const Raster<T>& r = g.forward;
  const int64_t* slots = scene.tiles.first_slots.get();
  const int64_t end = slots[last];
  for (int64_t i = first; i < last; ++i) {
    // For memory in small pages the processor does not look ahead far enough.
    __builtin_prefetch(records + std::min(slots[i] + kAhead, end) * size);
    __builtin_prefetch(r.conics + 3 * (scene.base + std::min(i + kAhead, last)));
    T sum[size] = {};
    for (int64_t slot = slots[i]; slot < slots[i + 1]; ++slot) {
      for (int k = 0; k < size; ++k) sum[k] += records[slot * size + k];
    }
    const int64_t at = scene.base + i;
    const bool seen = slots[i + 1] > slots[i];
    T values[6];
    gradients_of(sum, r.conics + 3 * at, r.opacities[at], values);
    const auto put = [&](T* out, T value) {
      *out = (group == 0 ? T(0) : *out) + (seen ? value : T(0));
    };
    for (int k = 0; k < 2; ++k) put(g.grad_means2d + 2 * at + k, values[k]);
    for (int k = 0; k < 3; ++k) put(g.grad_conics + 3 * at + k, values[2 + k]);
    put(g.grad_opacities + at, values[5]);
    for (int c = 0; c < channels; ++c) g.grad_colors[at * r.channels + group + c] = sum[6 + c];
    if constexpr (with_abs) {
      for (int k = 0; k < 2; ++k) put(g.abs_means2d + 2 * at + k, sum[6 + channels + k] * T(kLn2));
    }
  }
}

template <typename T>
void collect(const RasterGradient<T>& g, const Scene<T>& scene, const T* records, int64_t first,
             int64_t last, int64_t group, int channels) {
  using Collect =
      void (*)(const RasterGradient<T>&, const Scene<T>&, const T*, int64_t, int64_t, int64_t);
  constexpr Collect all[][kGroup] = {
      {collect<1, false, T>, collect<2, false, T>, collect<3, false, T>, collect<4, false, T>},
      {collect<1, true, T>, collect<2, true, T>, collect<3, true, T>, collect<4, true, T>}};
  all[g.abs_means2d ? 1 : 0][channels - 1](g, scene, records, first, last, group);
}

}  // namespace

template <typename T>
void rasterize_cpu(const Raster<T>& r, std::shared_ptr<void>* made) {
  const bool keep = made && r.images == 1 && r.channels <= kGroup;  // recolor() changes splats
  if (made) made->reset();
  for_scenes(r, keep, [&](Scene<T> scene) {
    for (int64_t group = 0; group < r.channels; group += kGroup) {
      const int channels = static_cast<int>(std::min<int64_t>(kGroup, r.channels - group));
      if (group > 0) recolor(r, scene, group, channels);
      parallel_for(0, scene.jobs(), kJobs, [&](int64_t first, int64_t last) {
        for (int64_t job = first; job < last; ++job) {
          draw(make_job(r, scene, group, job), channels);
        }
      });
    }
    if (keep) *made = std::make_shared<Scene<T>>(std::move(scene));
  });
}

template <typename T>
void rasterize_gradient_cpu(const RasterGradient<T>& g, const void* made) {
  const Raster<T>& r = g.forward;
  const bool with_abs = g.abs_means2d != nullptr;
  const auto take = [&](const Scene<T>& scene) {
    const int64_t size =
        record_size(static_cast<int>(std::min<int64_t>(kGroup, r.channels)), with_abs);
    const std::unique_ptr<T[]> records(
        new T[static_cast<size_t>(std::max<int64_t>(scene.tiles.total * size, 1))]);
    for (int64_t group = 0; group < r.channels; group += kGroup) {
      const int channels = static_cast<int>(std::min<int64_t>(kGroup, r.channels - group));
      if (group > 0) recolor(r, scene, group, channels);
      parallel_for(0, scene.jobs(), kJobs, [&](int64_t first, int64_t last) {
        for (int64_t k = first; k < last; ++k) {
          const TileJob<T> forward = make_job(r, scene, group, k);
          TileGradientJob<T> job{.forward = forward,
                                 .grad_image = g.grad_image + (forward.image - r.image),
                                 .grad_alphas = nullptr,
                                 .records = records.get()};
          if (forward.alphas && g.grad_alphas) {
            job.grad_alphas = g.grad_alphas + (forward.alphas - r.alphas);
          }
          take_gradient(job, channels, with_abs);
        }
      });
      parallel_for(0, scene.count, kSplatChunk / 8, [&](int64_t first, int64_t last) {
        collect(g, scene, records.get(), first, last, group, channels);
      });
    }
  };
  if (made) return take(*static_cast<const Scene<T>*>(made));
  for_scenes(r, true, take);
}

template <typename T>
void contributors_cpu(const Contributors<T>& c) {
  const Raster<T>& r = c.raster;
  parallel_for(0, r.images * r.height, 8, [&](int64_t first, int64_t last) {
    for (int64_t i = first * r.width; i < last * r.width; ++i) find_contributors(c, i);
  });
}

template void contributors_cpu(const Contributors<float>&);
template void contributors_cpu(const Contributors<double>&);
template void rasterize_cpu(const Raster<float>&, std::shared_ptr<void>*);
template void rasterize_cpu(const Raster<double>&, std::shared_ptr<void>*);
template void rasterize_gradient_cpu(const RasterGradient<float>&, const void*);
template void rasterize_gradient_cpu(const RasterGradient<double>&, const void*);

}  // namespace steadyview::gaussians
