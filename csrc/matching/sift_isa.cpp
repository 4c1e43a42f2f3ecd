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
STEADYVIEW_INLINE void sum_columns(const ColumnBlurParams& p, int x, int row) {
  const float* const* middle = p.rows + p.radius + row;
  V above[Columns], below[Columns], sum[2][Columns];
  for (int b = 0; b < Columns; ++b) {
    above[b] = load(middle[0] + x + b * W);
    below[b] = load(middle[1] + x + b * W);
    sum[0][b] = rounded(above[b] * p.taps[0]);
    sum[1][b] = rounded(below[b] * p.taps[0]);
  }
  for (int k = 1; k <= p.radius; ++k) {
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

// From the middle outwards, as OpenCV adds. Rows come from the second level of cache: a few columns
// of all of them are used for several rows at a time.
void blur_column(const ColumnBlurParams& p) {
  constexpr int columns = W == 16 ? 4 : 2;  // as registers allow
  for (int x = 0; x < p.width; x += columns * W) {
    int row = 0;
    for (; row + 1 < p.count; row += 2) sum_columns<columns>(p, x, row);
    if (row < p.count) {
      for (int b = 0; b < columns; ++b) sum_column(p, x + b * W, row);
    }
  }
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
    Four* sum = sums + row;
    for (int i = 0; i < together; ++i) from[i] = p.rows[row + i < count ? row + i : count - 1];
    for (int i = 0; i < together; ++i) sum[i] = rounded(four(from[i]) * p.taps[p.radius]);
    for (int k = 1; k <= 2 * p.radius; ++k) {
      const float tap = p.taps[k < p.radius ? p.radius - k : k - p.radius];
      for (int i = 0; i < together; ++i) sum[i] += tap * four(from[i] + k);
    }
  }
  for (int y = 0; y < 3; ++y) {
    const Four* middle = sums + p.radius + y;
    Four sum = rounded(middle[0] * p.taps[0]);
    for (int k = 1; k <= p.radius; ++k) sum += p.taps[k] * (middle[-k] + middle[k]);
    *reinterpret_cast<UnalignedFour*>(out[y]) = sum;
  }
}

float blur_middle(const PointBlurParams& p) {
  constexpr int vectors = 2 * kMargin / W;
  V sums[2][vectors] = {}, total = {};
  alignas(64) float taps[vectors * W] = {};
  for (int k = 0; k <= 2 * p.radius; ++k) {
    taps[k] = p.taps[k < p.radius ? p.radius - k : k - p.radius];
    for (int v = 0; v < vectors; ++v) sums[k % 2][v] += taps[k] * load(p.rows[k + 1] + 1 + v * W);
  }
  for (int v = 0; v < vectors; ++v) total += load(taps + v * W) * (sums[0][v] + sums[1][v]);
  float sum = 0;
  for (int i = 0; i < W; ++i) sum += total[i];
  return sum;
}

// Every second pixel.
void halve_row(const float* from, int width, float* out) {
  for (int x = 0; x < width; ++x) out[x] = from[2 * x];
}

void differences(const DifferenceParams& p) {
  for (int x = 0; x < p.width; x += W) {
    V last = load(p.blurred[0] + x);
    for (int i = 0; i + 1 < p.images; ++i) {
      const V next = load(p.blurred[i + 1] + x);
      store(p.out[i] + x, next - last);
      last = next;
    }
  }
}

struct Range {
  V low, high;

  STEADYVIEW_INLINE void add(V value) {
    low = smaller(low, value);
    high = larger(high, value);
  }
};

template <int Levels>
STEADYVIEW_INLINE int extrema_of(const ExtremaParams& p) {
  const V threshold = all(p.threshold);
  int count = 0;
  for (int x = 0; x < p.width - p.border; x += W) {
    const auto at = [&](int level, int row, int dx) { return load(p.rows[level][row] + x + dx); };
    const V value = at(1, 1, 0);
    if (!bits(above(magnitude(value), threshold))) continue;
    Range range = {value, value};
    const auto tops = [&] {
      const Mask top = both(above(value, threshold), not_below(value, range.high));
      const Mask bottom = both(above(-threshold, value), not_below(range.low, value));
      return bits(either(top, bottom));
    };
    // The nearest neighbours leave few vectors with a candidate.
    for (const int side : {-1, 1}) {
      range.add(at(1, 1, side));
      range.add(at(1, 1 + side, 0));
      if (1 + side < Levels) range.add(at(1 + side, 1, 0));
    }
    if (!tops()) continue;
    for (int level = 0; level < Levels; ++level) {
      for (int row = 0; row < 3; ++row) {
        for (int dx = -1; dx <= 1; ++dx) range.add(at(level, row, dx));
      }
    }
    for (unsigned found = tops(); found; found &= found - 1) {
      const int column = x + __builtin_ctz(found);
      if (column >= p.border && column < p.width - p.border) p.columns[count++] = column;
    }
  }
  return count;
}

int extrema(const ExtremaParams& p) { return p.levels == 3 ? extrema_of<3>(p) : extrema_of<2>(p); }

}  // namespace

extern const PyramidKernels pyramid_kernels = {&double_row,  &blur_row,  &blur_column, &blur_point,
                                               &blur_middle, &halve_row, &differences, &extrema};

}  // namespace steadyview::matching::STEADYVIEW_ISA
