// Compiled once for each instruction set: matching costs. A source is warped to the reference for
// each plane, rows at a time, so that windows compare pictures of the same plane.
#include <math.h>
#include <stdlib.h>

#include "stereo/bytes.h"
#include "stereo/plane_sweep.h"
#include "stereo/sweep_maths.h"

namespace steadyview::stereo::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 16;      // pixels warped at a time
constexpr int kFraction = 128;  // bilinear weights are multiples of 1 / 128

// Rows of bytes with room for the window beside the picture and for whole vectors.
struct Rows {
  uint8_t* data;
  int64_t stride;
  uint8_t* row(int64_t i) const { return data + i * stride; }
};

STEADYVIEW_INLINE void gather(const uint8_t* image, const int32_t* index, int32_t* four_bytes) {
#if defined(__AVX512F__)
  const __m512i v = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff,
                                                _mm512_loadu_si512(index), image, 1);
  _mm512_storeu_si512(four_bytes, v);
#elif defined(__AVX2__)
  for (int i = 0; i < kBlock; i += 8) {
    const __m256i at = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i));
    const __m256i v = _mm256_i32gather_epi32(reinterpret_cast<const int*>(image), at, 1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(four_bytes + i), v);
  }
#else
  for (int i = 0; i < kBlock; ++i) memcpy(four_bytes + i, image + index[i], 4);
#endif
}

// One row of a source as the reference would see it on a plane, from column -kRadius on, and 255
// where the source does not see the point. Beyond the reference's edge both repeat it.
void warp_row(const PlaneSweep& p, int source, double inverse_depth, int64_t row, uint8_t* out,
              uint8_t* hidden) {
  const uint8_t* image = p.images + (source + 1) * p.height * p.width;
  const double* map = p.maps + 12 * source;
  float slope[3], start[3];
  for (int i = 0; i < 3; ++i) {
    slope[i] = static_cast<float>(map[4 * i]);
    start[i] = static_cast<float>(map[4 * i + 1] * static_cast<double>(row) + map[4 * i + 2] +
                                  map[4 * i + 3] * inverse_depth);
  }
  const auto width = static_cast<int32_t>(p.width), height = static_cast<int32_t>(p.height);
  const float right = static_cast<float>(width - 1), bottom = static_cast<float>(height - 1);
  const int32_t last_x = width > 1 ? width - 2 : 0, last_y = height > 1 ? height - 2 : 0;
  const int32_t down = height > 1 ? width : 0;
  for (int32_t first = 0; first < width + 2 * kRadius; first += kBlock) {
    int32_t index[kBlock], below[kBlock], fx[kBlock], fy[kBlock], top[kBlock], low[kBlock];
    for (int i = 0; i < kBlock; ++i) {
      int32_t inside = first + i - kRadius;
      inside = inside < 0 ? 0 : inside;
      inside = inside < width ? inside : width - 1;
      const float column = static_cast<float>(inside);
      const float z = slope[2] * column + start[2];
      const float x = (slope[0] * column + start[0]) / z, y = (slope[1] * column + start[1]) / z;
      const bool seen =
          (z > 0) & (x >= -0.5f) & (x <= right + 0.5f) & (y >= -0.5f) & (y <= bottom + 0.5f);
      hidden[first + i] = seen ? 0 : 255;
      float cx = x > 0 ? x : 0, cy = y > 0 ? y : 0;  // not a number: 0
      cx = cx < right ? cx : right;
      cy = cy < bottom ? cy : bottom;
      int32_t ix = static_cast<int32_t>(cx), iy = static_cast<int32_t>(cy);
      ix = ix < last_x ? ix : last_x;
      iy = iy < last_y ? iy : last_y;
      fx[i] = static_cast<int32_t>((cx - static_cast<float>(ix)) * kFraction + 0.5f);
      fy[i] = static_cast<int32_t>((cy - static_cast<float>(iy)) * kFraction + 0.5f);
      index[i] = iy * width + ix;
      below[i] = index[i] + down;
    }
    gather(image, index, top);
    gather(image, below, low);
    for (int i = 0; i < kBlock; ++i) {
      const int32_t gx = kFraction - fx[i];
      const int32_t above = (top[i] & 255) * gx + ((top[i] >> 8) & 255) * fx[i];
      const int32_t under = (low[i] & 255) * gx + ((low[i] >> 8) & 255) * fx[i];
      const int32_t value = above * (kFraction - fy[i]) + under * fy[i];
      out[first + i] = static_cast<uint8_t>((value + kFraction * kFraction / 2) >> 14);
    }
  }
}

// 255 where a part of the window is hidden: what is seen of it is convex, so corners suffice.
STEADYVIEW_INLINE Bytes cut(const Rows& hidden, int64_t row, int64_t x) {
  const uint8_t *top = hidden.row(row) + x, *low = hidden.row(row + 2 * kRadius) + x;
  return either(either(load(top), load(top + 2 * kRadius)),
                either(load(low), load(low + 2 * kRadius)));
}

// Keeps the `keep` least of the costs at each pixel, in order.
STEADYVIEW_INLINE void keep_least(Bytes cost, uint8_t* kept, int64_t step, int keep) {
  for (int k = 0; k < keep; ++k) {
    const Bytes old = load(kept + k * step);
    store(kept + k * step, least(old, cost));
    cost = most(old, cost);
  }
}

// Census: how many of the 24 neighbours are on the other side of the centre.
void census_row(const Rows& reference, const Rows& warped, const Rows& hidden, int64_t row,
                int64_t width, uint8_t* kept, int64_t step, int keep) {
  for (int64_t x = 0; x < width; x += kLanes) {
    const Bytes a = load(reference.row(row + kRadius) + x + kRadius);
    const Bytes b = load(warped.row(row + kRadius) + x + kRadius);
    Bytes bits = all(0);
#pragma GCC unroll 5
    for (int j = 0; j < 5; ++j) {
      const uint8_t *near = reference.row(row + j) + x, *far = warped.row(row + j) + x;
#pragma GCC unroll 5
      for (int i = 0; i < 5; ++i) {
        if (i != kRadius || j != kRadius) {
          bits = add_if_one(bits, load(near + i), a, load(far + i), b);
        }
      }
    }
    const Bytes cost = plus(plus(bits, bits), bits);
    keep_least(either(cost, cut(hidden, row, x)), kept + x, step, keep);
  }
}

// Sums of r, w, r r, w w and r w over the five rows of the window, a row of `stride` each.
void column_sums(const uint8_t* __restrict near, const uint8_t* __restrict far, int64_t stride,
                 int64_t columns, int32_t* __restrict sums) {
  for (int64_t x = 0; x < columns; ++x) {
    int32_t r = 0, w = 0, rr = 0, ww = 0, rw = 0;
    for (int j = 0; j < 5; ++j) {
      const int32_t a = near[j * stride + x], b = far[j * stride + x];
      r += a;
      w += b;
      rr += a * a;
      ww += b * b;
      rw += a * b;
    }
    sums[x] = r;
    sums[stride + x] = w;
    sums[2 * stride + x] = rr;
    sums[3 * stride + x] = ww;
    sums[4 * stride + x] = rw;
  }
}

// Zero-mean normalised correlation of the windows; 25 sums of squares fit into 32 bits. The noise
// keeps flat windows from correlating by chance.
void zncc_row(const Rows& reference, const Rows& warped, const Rows& hidden, int64_t row,
              int64_t width, uint8_t* kept, int64_t step, int keep, int32_t* columns) {
  constexpr int32_t kCount = 25;
  constexpr float kNoise = 4.0f * kCount * kCount;  // a variance of 4 squared grey levels
  const int64_t wide = reference.stride;
  column_sums(reference.row(row), warped.row(row), wide, width + 2 * kRadius, columns);
  uint8_t* cost = reinterpret_cast<uint8_t*>(columns + 5 * wide);
  for (int64_t x = 0; x < width; ++x) {
    int32_t s[5];
    for (int k = 0; k < 5; ++k) {
      const int32_t* c = columns + k * wide + x;
      s[k] = c[0] + c[1] + c[2] + c[3] + c[4];
    }
    const float covariance = static_cast<float>(kCount * s[4] - s[0] * s[1]);
    const float first = static_cast<float>(kCount * s[2] - s[0] * s[0]) + kNoise;
    const float second = static_cast<float>(kCount * s[3] - s[1] * s[1]) + kNoise;
    float value = kMaxCost * (1 - covariance / sqrtf(first * second));
    value = value < kMaxCost ? value : kMaxCost;
    value = value > 0 ? value : 0;
    cost[x] = static_cast<uint8_t>(static_cast<int32_t>(value + 0.5f));
  }
  for (int64_t x = 0; x < width; x += kLanes) {
    keep_least(either(load(cost + x), cut(hidden, row, x)), kept + x, step, keep);
  }
}

// Mean of the kept costs that are of sources which see the point; rows have room for whole blocks.
void mean_row(const uint8_t* __restrict kept, int64_t step, int keep, int64_t width,
              uint8_t* __restrict mean) {
  constexpr int kColumns = 64;
  for (int64_t x = 0; x < width; x += kColumns) {
    int16_t sum[kColumns] = {}, count[kColumns] = {};
    for (int k = 0; k < keep; ++k) {
      const uint8_t* costs = kept + k * step + x;
      for (int i = 0; i < kColumns; ++i) {
        const int16_t cost = costs[i];
        sum[i] = static_cast<int16_t>(sum[i] + (cost == kUnseen ? 0 : cost));
        count[i] = static_cast<int16_t>(count[i] + (cost == kUnseen ? 0 : 1));
      }
    }
    for (int i = 0; i < kColumns; ++i) {
      const float views = count[i] > 0 ? static_cast<float>(count[i]) : 1.0f;
      const auto value = static_cast<int32_t>(static_cast<float>(sum[i]) / views + 0.5f);
      mean[x + i] = static_cast<uint8_t>(count[i] > 0 ? value : kUnseen);
    }
  }
}

// The reference's rows first - kRadius to last + kRadius, its edge repeated.
void pad_reference(const PlaneSweep& p, int64_t first, int64_t last, const Rows& out) {
  for (int64_t row = first - kRadius; row < last + kRadius; ++row) {
    const int64_t inside = row < 0 ? 0 : row >= p.height ? p.height - 1 : row;
    const uint8_t* from = p.images + inside * p.width;
    uint8_t* to = out.row(row - first + kRadius);
    memset(to, from[0], kRadius);
    memcpy(to + kRadius, from, static_cast<size_t>(p.width));
    memset(to + kRadius + p.width, from[p.width - 1], kRadius);
  }
}

// Rows of the tile (planes of a group, rows, stride) go to their places in the volume.
void write_group(const Strip& strip, int64_t first, int64_t rows, int plane, int count,
                 const uint8_t* tile, int64_t stride) {
  const int64_t width = strip.sweep->width, step = rows * stride;
  for (int64_t row = 0; row < rows; ++row) {
    uint8_t* to = strip.costs + (first + row) * width * strip.padded + plane;
    const uint8_t* from = tile + row * stride;
    for (int64_t x = 0; x < width; ++x, to += strip.padded) {
      uint8_t column[kGroup];
      for (int k = 0; k < kGroup; ++k) column[k] = from[k * step + x];
      memcpy(to, column, static_cast<size_t>(count));
    }
  }
}

// Planes that no source sees cost a pixel the mean of those that one does, and say nothing. Were it
// a number of its own, what sees fewer planes at the picture's edge would choose between them, and
// the paths carry that across whatever has no texture.
void fill_unseen(const Strip& strip, int64_t first, int64_t last) {
  const int planes = strip.sweep->planes;
  uint8_t* costs = strip.costs + first * strip.sweep->width * strip.padded;
  uint8_t* const end = strip.costs + last * strip.sweep->width * strip.padded;
  for (; costs < end; costs += strip.padded) {
    int32_t sum = 0, count = 0;
    for (int d = 0; d < planes; ++d) {
      sum += costs[d] == kUnseen ? 0 : costs[d];
      count += costs[d] == kUnseen ? 0 : 1;
    }
    if (count == planes) continue;
    const uint8_t mean = mean_cost(sum, count);
    for (int d = 0; d < planes; ++d) costs[d] = costs[d] == kUnseen ? mean : costs[d];
  }
}

}  // namespace

// Costs of the strip's rows first to last.
void cost_rows(const Strip& strip, int64_t first, int64_t last, uint8_t* scratch) {
  const PlaneSweep& p = *strip.sweep;
  const int64_t rows = last - first, high = rows + 2 * kRadius;
  const CostScratch layout = cost_scratch(p, rows);
  const int64_t stride = layout.stride, size = rows * stride;
  auto* columns = reinterpret_cast<int32_t*>(scratch + layout.columns);
  const Rows reference{scratch, stride}, warped{scratch + high * stride, stride};
  const Rows hidden{scratch + 2 * high * stride, stride};
  uint8_t* kept = scratch + 3 * high * stride;
  uint8_t* tile = kept + p.keep * size;
  const int64_t top = strip.first + first;
  pad_reference(p, top, top + rows, reference);
  for (int plane = 0; plane < strip.padded; plane += kGroup) {
    for (int k = 0; k < kGroup; ++k) {
      if (plane + k >= p.planes) {
        memset(tile + k * size, 255, static_cast<size_t>(size));
        continue;
      }
      memset(kept, kUnseen, static_cast<size_t>(p.keep * size));
      for (int source = 0; source < p.sources; ++source) {
        for (int64_t row = -kRadius; row < rows + kRadius; ++row) {
          const int64_t inside = top + row < 0          ? 0
                                 : top + row < p.height ? top + row
                                                        : p.height - 1;
          warp_row(p, source, p.inverse_depths[plane + k], inside, warped.row(row + kRadius),
                   hidden.row(row + kRadius));
        }
        for (int64_t row = 0; row < rows; ++row) {
          uint8_t* best = kept + row * stride;
          if (p.cost == Cost::census) {
            census_row(reference, warped, hidden, row, p.width, best, size, p.keep);
          } else {
            zncc_row(reference, warped, hidden, row, p.width, best, size, p.keep, columns);
          }
        }
      }
      for (int64_t row = 0; row < rows; ++row) {
        mean_row(kept + row * stride, size, p.keep, p.width, tile + k * size + row * stride);
      }
    }
    write_group(strip, first, rows, plane, kGroup, tile, stride);
  }
  fill_unseen(strip, first, last);
}

}  // namespace steadyview::stereo::STEADYVIEW_ISA
