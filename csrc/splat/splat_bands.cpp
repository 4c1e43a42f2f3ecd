// Bands of the forward splat and rows of its gradients; compiled once for each instruction set.
#include "splat/splat_bands.h"

#include "splat/splat_lanes.h"
#include "warp/pair_sums.h"

namespace steadyview::splatting::STEADYVIEW_ISA {
namespace {

using namespace splat_maths;
using warping::STEADYVIEW_ISA::fill_tile;
using warping::STEADYVIEW_ISA::load_quads;
using warping::STEADYVIEW_ISA::PairSums;
using warping::STEADYVIEW_ISA::QuadOf;
using warping::STEADYVIEW_ISA::transpose;

// Finds a tile's targets and weights; pixels whose metric is not finite become holes.
template <typename T>
void find_targets(const ForwardSplat<T>& splat, int64_t n, int64_t row, int64_t column,
                  Tile<T>& tile, T* __restrict weights, T* __restrict slopes) {
  fill_tile(as_warp(splat), nullptr, n, row, column, tile);
  const int count = tile.count;
  if (!splat.metric) {
    for (int p = 0; p < count; ++p) {
      weights[p] = 1;
      slopes[p] = 0;
    }
    return;
  }
  const T* __restrict metric = splat.metric + (n * splat.height + row) * splat.width + column;
  const T offset = splat.offset ? splat.offset[n] : T(0);
  const SplatMode mode = splat.mode;
  int* __restrict const x = tile.x;
  for (int p = 0; p < count; ++p) {
    const bool finite = is_finite(metric[p]);
    const SplatWeight<T> weight = splat_weight(mode, finite ? metric[p] : offset, offset);
    weights[p] = weight.value;
    slopes[p] = weight.slope;
    x[p] = finite ? x[p] : kHole;
  }
}

// Whether all that a tile's pixels add is finite.
template <typename T>
bool all_finite(const PairSums<T>& sums) {
  typename QuadOf<T>::type zero{};
  for (int p = 0; p < sums.tile.count; ++p) zero += sums.values[p] * T(0);
  return zero[0] + zero[1] + zero[2] == 0;
}

// PairSums::add_tile share by share: those of exactly 0 add nothing, where 0 times a value that is
// not finite would not be 0.
template <typename T>
void add_shares(PairSums<T>& sums, const T* weights) {
  const Tile<T>& tile = sums.tile;
  for (int p = 0; p < tile.count; ++p) {
    for (int k = 0; k < 4; ++k) {
      const int64_t x = int64_t{tile.x[p]} + k % 2, y = int64_t{tile.y[p]} + k / 2;
      if (x < 0 || x >= sums.width || y < sums.first || y >= sums.last) continue;  // holes, too
      const T across = k % 2 ? tile.tx[p] : 1 - tile.tx[p];
      const T share = across * (k / 2 ? tile.ty[p] : 1 - tile.ty[p]);
      if (share == 0 || weights[p] == 0) continue;
      T* const to = sums.sums + 8 * sums.entry(x, y);
      for (int c = 0; c < 4; ++c) to[c] += share * sums.values[p][c];
    }
  }
}

// Divides the sums of a band by the weights beside them where the mode asks for it, and stores.
template <typename T>
void store_band(const ForwardSplat<T>& splat, const PairSums<T>& band, int64_t n, int64_t channel) {
  using Quad = typename QuadOf<T>::type;
  const int64_t width = splat.width, plane = splat.height * width;
  const int channels =
      static_cast<int>(splat.channels - channel < 3 ? splat.channels - channel : 3);
  const bool divided = normalised(splat.mode);
  T* out = splat.output + (n * splat.channels + channel) * plane + band.first * width;
  T* weights = splat.weight + n * plane + band.first * width;
  for (int64_t y = band.first; y < band.last; ++y, out += width, weights += width) {
    int64_t x = 0;
    for (; x + 4 <= width; x += 4) {
      Quad q[4];
      for (int k = 0; k < 4; ++k) band.total(x + k, y, &q[k]);
      transpose(q);
      Quad scale = Quad{} + T(1);
      if (divided) {
        const auto some = q[3] > kLeastWeight<T>;
        scale = some ? scale / q[3] : Quad{};
        q[3] = some ? q[3] : Quad{};
      }
      for (int c = 0; c < channels; ++c) {
        q[c] *= scale;
        std::memcpy(out + c * plane + x, &q[c], sizeof(Quad));
      }
      if (channel == 0) std::memcpy(weights + x, &q[3], sizeof(Quad));
    }
    for (; x < width; ++x) {
      Quad q;
      band.total(x, y, &q);
      const T weight = q[3], scale = divided ? inverse_weight(weight) : T(1);
      for (int c = 0; c < channels; ++c) out[c * plane + x] = q[c] * scale;
      if (channel == 0) weights[x] = scale > 0 ? weight : T(0);
    }
  }
}

}  // namespace

template <typename T>
void splat_band(const ForwardSplat<T>& splat, const ScatterBand<T>& band) {
  const int64_t tiles = (splat.width + kWarpTile - 1) / kWarpTile;
  const int64_t plane = splat.height * splat.width, first = band.n * splat.channels + band.channel;
  const int64_t channels = splat.channels - band.channel;  // left
  PairSums<T> sums;
  sums.sums = band.sums;
  sums.first = band.first;
  sums.last = band.last;
  sums.height = splat.height;
  sums.width = splat.width;
  sums.border = Border::constant;
  alignas(64) T weights[kWarpTile], slopes[kWarpTile], ones[kWarpTile];
  for (T& one : ones) one = 1;
  for (int64_t i = 0; (i = band.next_tile(i, tiles, splat.height)) < splat.height * tiles; ++i) {
    if (!band.reached_by(i)) continue;
    const int64_t row = i / tiles, column = i % tiles * kWarpTile;
    find_targets(splat, band.n, row, column, sums.tile, weights, slopes);
    const T* planes[4];
    for (int64_t c = 0; c < 4; ++c) {
      planes[c] = c == 3 || c >= channels
                      ? ones
                      : splat.image + (first + c) * plane + row * splat.width + column;
    }
    load_quads(planes, sums.tile.count, sums.values);
    if (splat.metric) {
      for (int p = 0; p < sums.tile.count; ++p) sums.values[p] *= weights[p];
    }
    all_finite(sums) ? sums.add_tile() : add_shares(sums, weights);
  }
  store_band(splat, sums, band.n, band.channel);
}

template <typename T>
void nearest_band(const ForwardSplat<T>& splat, const ScatterBand<T>& band) {
  const int64_t tiles = (splat.width + kWarpTile - 1) / kWarpTile;
  const int64_t plane = splat.height * splat.width, width = splat.width;
  const int64_t count = (band.last - band.first) * width, n = band.n;
  T* const depths = band.sums;
  int32_t* const index = splat.index + n * plane + band.first * width;
  for (int64_t i = 0; i < count; ++i) index[i] = -1;
  for (int64_t i = 0; (i = band.next_tile(i, tiles, splat.height)) < splat.height * tiles; ++i) {
    if (!band.reached_by(i)) continue;
    const int64_t row = i / tiles, column = i % tiles * kWarpTile;
    const int64_t end = column + kWarpTile < width ? column + kWarpTile : width;
    for (int64_t x = column; x < end; ++x) {
      const Target<T> target = splat_target(splat, n, row, x);
      if (!target.valid || target.x < 0 || target.x >= width || target.y < band.first ||
          target.y >= band.last) {
        continue;
      }
      const int64_t to = (target.y - band.first) * width + target.x;
      const T depth = splat.metric[n * plane + row * width + x];
      // In the order of the source: of equals the first stays.
      if (index[to] >= 0 && !(depth < depths[to])) continue;
      depths[to] = depth;
      index[to] = static_cast<int32_t>(row * width + x);
    }
  }
  T* const weight = splat.weight + n * plane + band.first * width;
  for (int64_t i = 0; i < count; ++i) weight[i] = index[i] >= 0 ? T(1) : T(0);
  for (int64_t c = n * splat.channels; c < (n + 1) * splat.channels; ++c) {
    const T* from = splat.image + c * plane;
    T* out = splat.output + c * plane + band.first * width;
    for (int64_t i = 0; i < count; ++i) out[i] = index[i] >= 0 ? from[index[i]] : T(0);
  }
}

template <typename T>
void scale_rows(const ForwardSplatGradient<T>& gradient, int64_t first, int64_t last) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t width = splat.width, plane = splat.height * width, channels = splat.channels;
  const bool divided = normalised(splat.mode);
  alignas(64) T scale[kWarpTile], by_weight[kWarpTile];
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / splat.height, row = i % splat.height;
    for (int64_t x = 0; x < width; x += kWarpTile) {
      const int count = static_cast<int>(width - x < kWarpTile ? width - x : kWarpTile);
      const int64_t at = row * width + x;
      const T* weight = splat.weight + n * plane + at;
      for (int p = 0; p < count; ++p) {
        scale[p] = divided ? inverse_weight(weight[p]) : T(1);
        by_weight[p] = gradient.grad_weight ? gradient.grad_weight[n * plane + at + p] : T(0);
      }
      T* out = gradient.scaled + n * (channels + 1) * plane + at;
      for (int64_t c = 0; c < channels; ++c) {
        const T* __restrict grad = gradient.grad_output + (n * channels + c) * plane + at;
        const T* __restrict result = splat.output + (n * channels + c) * plane + at;
        T* __restrict to = out + c * plane;
        for (int p = 0; p < count; ++p) {
          const T by_sum = scale[p] == T(0) ? T(0) : grad[p] * scale[p];
          to[p] = by_sum;
          by_weight[p] -= divided && by_sum != T(0) ? by_sum * result[p] : T(0);
        }
      }
      for (int p = 0; p < count; ++p) out[channels * plane + p] = by_weight[p];
    }
  }
}

template <typename T>
void gather_rows(const ForwardSplatGradient<T>& gradient, int64_t first, int64_t last) {
  const ForwardSplat<T>& splat = gradient.forward;
  const bool nearest = splat.mode == SplatMode::nearest_z;
  for (int64_t i = first; i < last; ++i) {
    const int64_t n = i / splat.height, row = i % splat.height;
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      if (!nearest && splat.width >= 8) {
        alignas(64) float weights[kWarpTile] = {}, slopes[kWarpTile] = {};
        Tile<float> tile;
        for (int64_t x = 0; x < splat.width; x += kWarpTile) {
          find_targets(splat, n, row, x, tile, weights, slopes);
          for (int p = 0; p < tile.count; p += kLanes) {
            gather_lanes(gradient, tile, p, weights, slopes);
          }
        }
        continue;
      }
    }
#endif
    for (int64_t x = 0; x < splat.width; ++x) {
      nearest ? gather_seen(gradient, n, row, x) : gather_gradient(gradient, n, row, x);
    }
  }
}

#define STEADYVIEW_INSTANTIATE(T)                                             \
  template void splat_band(const ForwardSplat<T>&, const ScatterBand<T>&);    \
  template void nearest_band(const ForwardSplat<T>&, const ScatterBand<T>&);  \
  template void scale_rows(const ForwardSplatGradient<T>&, int64_t, int64_t); \
  template void gather_rows(const ForwardSplatGradient<T>&, int64_t, int64_t)
STEADYVIEW_INSTANTIATE(float);
STEADYVIEW_INSTANTIATE(double);

}  // namespace steadyview::splatting::STEADYVIEW_ISA
