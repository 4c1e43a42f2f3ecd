// Compiled once for each instruction set: rows of SIFT's pyramid and their extrema.
#include <type_traits>
#include <utility>

#include "matching/sift_kernels.h"
#include "matching/sift_vector.h"

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

constexpr int kBlock = 4;  // vectors in flight

// Keeps a product from being fused into the sum that follows, so that it is rounded as OpenCV's is.
STEADYVIEW_INLINE V rounded(V product) {
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
STEADYVIEW_INLINE void blur_padded(const RowBlurParams& p, const float* padded) {
  for (int x = 0; x < p.width; x += kBlock * W) {
    V sum[kBlock];
    for (int b = 0; b < kBlock; ++b) sum[b] = rounded(load(padded + x + b * W) * p.taps[p.radius]);
    for (int k = 1; k <= 2 * p.radius; ++k) {
      const V tap = all(p.taps[k < p.radius ? p.radius - k : k - p.radius]);
      for (int b = 0; b < kBlock; ++b) sum[b] += tap * load(padded + x + k + b * W);
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
STEADYVIEW_INLINE void blur_padded(const RowBlurParams& p, const float* padded,
                                   std::integer_sequence<int, Taps...>) {
  constexpr int kVectors = kBlock + (2 * Radius + W - 1) / W;
  for (int x = 0; x < p.width; x += kBlock * W) {
    V at[kVectors + 1], sum[kBlock];
    for (int i = 0; i < kVectors; ++i) at[i] = load(padded + x + i * W);
    at[kVectors] = at[kVectors - 1];  // never looked at
    for (int b = 0; b < kBlock; ++b) sum[b] = rounded(at[b] * p.taps[Radius]);
    const auto add = [&]<int Tap>(std::integral_constant<int, Tap>) __attribute__((always_inline)) {
      constexpr int first = Tap / W, shift = Tap % W;
      const V tap = all(p.taps[Tap < Radius ? Radius - Tap : Tap - Radius]);
      sum[0] += tap * shifted<shift>(at[first], at[first + 1]);
      sum[1] += tap * load(padded + x + Tap + W);
      sum[2] += tap * shifted<shift>(at[first + 2], at[first + 3]);
      sum[3] += tap * load(padded + x + Tap + 3 * W);
    };
    (add(std::integral_constant<int, Taps + 1>{}), ...);
    for (int b = 0; b < kBlock; ++b) store(p.out + x + b * W, sum[b]);
  }
}

template <int Radius>
void blur_padded(const RowBlurParams& p, const float* padded) {
  blur_padded<Radius>(p, padded, std::make_integer_sequence<int, 2 * Radius>{});
}
#endif

void blur_row(const RowBlurParams& p) {
  float* padded = p.scratch;
  for (int x = 0; x < p.width; x += W) store(padded + p.radius + x, load(p.source + x));
  for (int k = 1; k <= p.radius; ++k) {
    padded[p.radius - k] = p.source[reflect(-k, p.width)];
    padded[p.radius + p.width - 1 + k] = p.source[reflect(p.width - 1 + k, p.width)];
  }
#if defined(__AVX512F__)
  // Those of SIFT's own steps.
  switch (p.radius) {
    case 5:
      return blur_padded<5>(p, padded);
    case 6:
      return blur_padded<6>(p, padded);
    case 8:
      return blur_padded<8>(p, padded);
    case 10:
      return blur_padded<10>(p, padded);
    case 13:
      return blur_padded<13>(p, padded);
  }
#endif
  blur_padded(p, padded);
}

// From the middle outwards, as OpenCV adds. Rows come from the second level of cache: a few columns
// of all of them are used for several rows at a time.
void blur_column(const ColumnBlurParams& p) {
  for (int x = 0; x < p.width; x += kBlock * W) {
    for (int row = 0; row < p.count; ++row) {
      const float* const* middle = p.rows + p.radius + row;
      V sum[kBlock];
      for (int b = 0; b < kBlock; ++b) sum[b] = rounded(load(middle[0] + x + b * W) * p.taps[0]);
      for (int k = 1; k <= p.radius; ++k) {
        const V tap = all(p.taps[k]);
        const float *above = middle[-k] + x, *below = middle[k] + x;
        for (int b = 0; b < kBlock; ++b) {
          sum[b] += tap * (load(above + b * W) + load(below + b * W));
        }
      }
      for (int b = 0; b < kBlock; ++b) store(p.out[row] + x + b * W, sum[b]);
    }
  }
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

int extrema(const ExtremaParams& p) {
  const V threshold = all(p.threshold);
  int count = 0;
  for (int x = 0; x < p.width - p.border; x += W) {
    const auto at = [&](int layer, int row, int dx) { return load(p.rows[layer][row] + x + dx); };
    const V value = at(1, 1, 0);
    if (!bits(above(magnitude(value), threshold))) continue;
    Range range = {value, value};
    const auto tops = [&] {
      const Mask top = both(above(value, threshold), not_below(value, range.high));
      const Mask bottom = both(above(-threshold, value), not_below(range.low, value));
      return bits(either(top, bottom));
    };
    // The six nearest neighbours leave few vectors with a candidate.
    for (const int side : {-1, 1}) {
      range.add(at(1, 1, side));
      range.add(at(1, 1 + side, 0));
      range.add(at(1 + side, 1, 0));
    }
    if (!tops()) continue;
    for (int layer = 0; layer < 3; ++layer) {
      for (int row = 0; row < 3; ++row) {
        for (int dx = -1; dx <= 1; ++dx) range.add(at(layer, row, dx));
      }
    }
    for (unsigned found = tops(); found; found &= found - 1) {
      const int column = x + __builtin_ctz(found);
      if (column >= p.border && column < p.width - p.border) p.columns[count++] = column;
    }
  }
  return count;
}

}  // namespace

extern const PyramidKernels pyramid_kernels = {&double_row, &blur_row,    &blur_column,
                                               &halve_row,  &differences, &extrema};

}  // namespace steadyview::matching::STEADYVIEW_ISA
