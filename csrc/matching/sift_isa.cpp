// Compiled once for each instruction set: rows of SIFT's pyramid and their extrema.
#include <type_traits>
#include <utility>

#include "matching/sift_kernels.h"
#include "matching/sift_vector.h"

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 4;  // vectors in flight

// Keeps a product from being fused into the sum that follows, so that it is rounded as OpenCV's is.
template <typename Vector>
STEADYVIEW_INLINE Vector rounded(Vector product) {
#if defined(__AVX512F__)
  __asm__("" : "+v"(product));
#elif defined(__SSE2__)
  __asm__("" : "+x"(product));
#endif
  return product;
}

// Twice as wide, bilinear with pixel centres at +0.5, edges repeated.
void double_row(const DoubleRowParams& p) {
  float* row = p.scratch + 1;
  for (int x = 0; x < p.width; ++x) {
    row[x] = 0.75f * static_cast<float>(p.near[x]) + 0.25f * static_cast<float>(p.far[x]);
  }
  row[-1] = row[0];
  row[p.width] = row[p.width - 1];
  for (int x = 0; x < p.width; ++x) {
    const float value = 0.75f * row[x];
    p.out[2 * x] = value + 0.25f * row[x - 1];
    p.out[2 * x + 1] = value + 0.25f * row[x + 1];
  }
}

// Mirrored without repeating the edge, as often as it takes.
int reflect(int at, int count) {
  if (count == 1) return 0;
  while (at < 0 || at >= count) at = at < 0 ? -at : 2 * (count - 1) - at;
  return at;
}

// Sums from left to right: with fused multiply-add these are OpenCV's bit for bit.
STEADYVIEW_INLINE void sum_row(const RowBlurParams& p) {
  for (int x = 0; x < p.width; x += kBlock * W) {
    const float* from = p.source + x - p.radius;
    V sum[kBlock];
    for (int b = 0; b < kBlock; ++b) sum[b] = rounded(load(from + b * W) * p.taps[p.radius]);
    for (int k = 1; k <= 2 * p.radius; ++k) {
      const V tap = all(p.taps[k < p.radius ? p.radius - k : k - p.radius]);
      for (int b = 0; b < kBlock; ++b) sum[b] += tap * load(from + k + b * W);
    }
    for (int b = 0; b < kBlock; ++b) store(p.out + x + b * W, sum[b]);
  }
}

#if defined(__AVX512F__)
// 16 floats from float `Shift` of `low` and `high` side by side.
template <int Shift>
STEADYVIEW_INLINE V shifted(V low, V high) {
  if constexpr (Shift == 0) return low;
  const auto words = [](V v) { return reinterpret_cast<__m512i>(v); };
  return reinterpret_cast<V>(_mm512_maskz_alignr_epi32(0xffff, words(high), words(low), Shift));
}

// The same for a radius known beforehand. Every load that is not aligned crosses a line of the
// cache and takes two turns: half of them are shifts of vectors at hand instead.
template <int Radius, int... Taps>
STEADYVIEW_INLINE void sum_row(const RowBlurParams& p, std::integer_sequence<int, Taps...>) {
  for (int x = 0; x < p.width; x += kBlock * W) {
    const float* from = p.source + x;
    V at[kBlock + 2], sum[kBlock] = {};  // at: from -W on
    for (int i = 0; i < kBlock + 2; ++i) at[i] = load(from + (i - 1) * W);
    const auto add = [&]<int Tap>(std::integral_constant<int, Tap>) __attribute__((always_inline)) {
      constexpr int first = (Tap - Radius + W) / W, shift = (Tap - Radius + W) % W;
      constexpr int last = first + 3 < kBlock + 2 ? first + 3 : kBlock + 1;
      const V tap = all(p.taps[Tap < Radius ? Radius - Tap : Tap - Radius]);
      const V values[] = {shifted<shift>(at[first], at[first + 1]), load(from + Tap - Radius + W),
                          shifted<shift>(at[first + 2], at[last]),
                          load(from + Tap - Radius + 3 * W)};
      for (int b = 0; b < kBlock; ++b) {
        sum[b] = Tap ? sum[b] + tap * values[b] : rounded(tap * values[b]);
      }
    };
    (add(std::integral_constant<int, Taps>{}), ...);
    for (int b = 0; b < kBlock; ++b) store(p.out + x + b * W, sum[b]);
  }
}
#endif

void blur_row(const RowBlurParams& p) {
  for (int k = 1; k <= p.radius; ++k) {
    p.source[-k] = p.source[reflect(-k, p.width)];
    p.source[p.width - 1 + k] = p.source[reflect(p.width - 1 + k, p.width)];
  }
#if defined(__AVX512F__)
  // Those of SIFT's own steps.
  switch (p.radius) {
    case 5:
      return sum_row<5>(p, std::make_integer_sequence<int, 11>{});
    case 6:
      return sum_row<6>(p, std::make_integer_sequence<int, 13>{});
    case 8:
      return sum_row<8>(p, std::make_integer_sequence<int, 17>{});
    case 10:
      return sum_row<10>(p, std::make_integer_sequence<int, 21>{});
    case 13:
      return sum_row<13>(p, std::make_integer_sequence<int, 27>{});
  }
#endif
  sum_row(p);
}

// Two rows at a time: what row y has k above it, row y + 1 has k + 1 above it.
template <int Columns>
STEADYVIEW_INLINE void sum_columns(const ColumnBlurParams& p, int radius, int x, int row) {
  const float* const* middle = p.rows + radius + row;
  V above[Columns], below[Columns], sum[2][Columns];
  for (int b = 0; b < Columns; ++b) {
    above[b] = load(middle[0] + x + b * W);
    below[b] = load(middle[1] + x + b * W);
    sum[0][b] = rounded(above[b] * p.taps[0]);
    sum[1][b] = rounded(below[b] * p.taps[0]);
  }
#pragma GCC unroll 16
  for (int k = 1; k <= radius; ++k) {
    const V tap = all(p.taps[k]);
    const float *higher = middle[-k] + x, *lower = middle[1 + k] + x;
    for (int b = 0; b < Columns; ++b) {
      const V next_above = load(higher + b * W), next_below = load(lower + b * W);
      sum[0][b] += tap * (next_above + below[b]);
      sum[1][b] += tap * (above[b] + next_below);
      above[b] = next_above;
      below[b] = next_below;
    }
  }
  for (int b = 0; b < Columns; ++b) {
    store(p.out[row] + x + b * W, sum[0][b]);
    store(p.out[row + 1] + x + b * W, sum[1][b]);
  }
}

STEADYVIEW_INLINE void sum_column(const ColumnBlurParams& p, int x, int row) {
  const float* const* middle = p.rows + p.radius + row;
  V sum = rounded(load(middle[0] + x) * p.taps[0]);
  for (int k = 1; k <= p.radius; ++k)
    sum += p.taps[k] * (load(middle[-k] + x) + load(middle[k] + x));
  store(p.out[row] + x, sum);
}

// Rows come from the second level of cache: a few columns of all of them are used for several rows
// at a time.
STEADYVIEW_INLINE void blur_columns(const ColumnBlurParams& p, int radius) {
  constexpr int columns = W == 16 ? 4 : 2;  // as registers allow
  for (int x = 0; x < p.width; x += columns * W) {
    int row = 0;
    for (; row + 1 < p.count; row += 2) sum_columns<columns>(p, radius, x, row);
    if (row < p.count) {
      for (int b = 0; b < columns; ++b) sum_column(p, x + b * W, row);
    }
  }
}

// From the middle outwards, as OpenCV adds.
void blur_column(const ColumnBlurParams& p) {
#if defined(__AVX512F__)
  switch (p.radius) {
    case 5:
      return blur_columns(p, 5);
    case 6:
      return blur_columns(p, 6);
    case 8:
      return blur_columns(p, 8);
    case 10:
      return blur_columns(p, 10);
  }
#endif
  blur_columns(p, p.radius);
}

using Four = float __attribute__((vector_size(16)));
using UnalignedFour = float __attribute__((vector_size(16), aligned(4), may_alias));

// The same sums, of few pixels.
void blur_point(const PointBlurParams& p, float (*out)[4]) {
  constexpr int together = 8;  // rows in flight
  Four sums[2 * kMargin + 3 + together];
  const auto four = [](const float* from) {
    return Four(*reinterpret_cast<const UnalignedFour*>(from));
  };
  const int count = 2 * p.radius + 3;
  for (int row = 0; row < count; row += together) {
    const float* from[together];
    Four sum[together];
    for (int i = 0; i < together; ++i) {
      from[i] = p.from + (row + i < count ? row + i : count - 1) * p.stride;
      sum[i] = rounded(four(from[i]) * p.taps[0]);
    }
    for (int k = 1; k <= 2 * p.radius; ++k) {
      for (int i = 0; i < together; ++i) sum[i] += p.taps[k] * four(from[i] + k);
    }
    for (int i = 0; i < together; ++i) sums[row + i] = sum[i];
  }
  const float* taps = p.taps + p.radius;
  Four sum[3];
  const Four* middle = sums + p.radius;
  for (int y = 0; y < 3; ++y) sum[y] = rounded(middle[y] * taps[0]);
  for (int k = 1; k <= p.radius; ++k) {
    for (int y = 0; y < 3; ++y) sum[y] += taps[k] * (middle[y - k] + middle[y + k]);
  }
  for (int y = 0; y < 3; ++y) *reinterpret_cast<UnalignedFour*>(out[y]) = sum[y];
}

float blur_middle(const PointBlurParams& p) {
  constexpr int vectors = 2 * kMargin / W;
  V sums[2][vectors] = {}, total = {};
  const float* from = p.from + p.stride + 1;
  for (int k = 0; k <= 2 * p.radius; ++k, from += p.stride) {
    for (int v = 0; v < vectors; ++v) sums[k % 2][v] += p.taps[k] * load(from + v * W);
  }
  for (int v = 0; v < vectors; ++v) total += load(p.taps + v * W) * (sums[0][v] + sums[1][v]);
  float sum = 0;
  for (int i = 0; i < W; ++i) sum += total[i];
  return sum;
}

// Every second pixel.
void halve_row(const float* from, int width, float* out) {
  for (int x = 0; x < width; ++x) out[x] = from[2 * x];
}

struct Range {
  V low, high;

  STEADYVIEW_INLINE void add(V value) {
    low = smaller(low, value);
    high = larger(high, value);
  }
};

constexpr int kSide = 16;  // columns to both sides of a strip, of which one is used

struct Differences {
  alignas(64) float rows[kImages - 1][kBatch + 2][kStrip + 2 * kSide];
};

// From the row before the first to the one after the last.
STEADYVIEW_INLINE void subtract(const ExtremaParams& p, Differences& out) {
  for (int row = 0; row < p.rows + 2; ++row) {
    const float* from[kImages];
    for (int i = 0; i < kImages; ++i) {
      from[i] = p.blurred[i].row(p.first_row - 1 + row) + p.first_column - kSide;
    }
    for (int k = 0; k < p.columns + 2 * kSide; k += W) {
      V last = load(from[0] + k);
      for (int i = 0; i + 1 < kImages; ++i) {
        const V next = load(from[i + 1] + k);
        store(out.rows[i][row] + k, next - last);
        last = next;
      }
    }
  }
}

// Of one row. Returns where the next candidate is to be put.
template <int Layer>
STEADYVIEW_INLINE Candidate* extrema_of(const ExtremaParams& p, const Differences& differences,
                                        int row, Candidate* found) {
  constexpr int levels = Layer < kLayers ? 3 : 2;
  const V threshold = all(p.threshold);
  for (int k = 0; k < p.columns; k += W) {
    const auto at = [&](int level, int dy, int dx) {
      return load(differences.rows[Layer - 1 + level][row + 1 + dy] + kSide + k + dx);
    };
    const V value = at(1, 0, 0);
    const Mask high = above(value, threshold), low = above(-threshold, value);
    Range range = {value, value};
    const auto tops = [&] {
      return bits(
          either(both(high, not_below(value, range.high)), both(low, not_below(range.low, value))));
    };
    // The nearest neighbours leave one vector in twenty with a candidate.
    for (const int side : {-1, 1}) {
      range.add(at(1, 0, side));
      range.add(at(1, side, 0));
      if (1 + side < levels) range.add(at(1 + side, 0, 0));
    }
    if (!tops()) continue;
    for (int level = 0; level < levels; ++level) {
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) range.add(at(level, dy, dx));
      }
    }
    for (unsigned there = tops(); there; there &= there - 1) {
      const int column = k + __builtin_ctz(there), at_column = p.first_column + column;
      if (at_column >= kBorder && column < p.columns) *found++ = {at_column, p.first_row + row};
    }
  }
  return found;
}

void extrema(const ExtremaParams& p, Candidates& out) {
  Differences differences;
  subtract(p, differences);
  Candidate *one = out.found[0], *two = out.found[1], *three = out.found[2];
  for (int row = 0; row < p.rows; ++row) {
    one = extrema_of<1>(p, differences, row, one);
    two = extrema_of<2>(p, differences, row, two);
    three = extrema_of<3>(p, differences, row, three);
  }
  out.counts[0] = static_cast<int>(one - out.found[0]);
  out.counts[1] = static_cast<int>(two - out.found[1]);
  out.counts[2] = static_cast<int>(three - out.found[2]);
}

}  // namespace

extern const PyramidKernels pyramid_kernels = {&double_row,  &blur_row,  &blur_column, &blur_point,
                                               &blur_middle, &halve_row, &extrema};

}  // namespace steadyview::matching::STEADYVIEW_ISA
