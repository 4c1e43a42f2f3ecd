// Compiled once for each instruction set: orientations and descriptors of points.
//
// Gradients are taken row by row, W at a time, and gathered in blocks, which are then added to
// histograms. OpenCV adds in the order of the samples; here the sums are split, so that one
// addition need not wait for the last, and differ from OpenCV's by rounding.
#include "matching/sift_kernels.h"
#include "matching/sift_vector.h"

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

STEADYVIEW_INLINE int most(int a, int b) { return a > b ? a : b; }
STEADYVIEW_INLINE int least(int a, int b) { return a < b ? a : b; }

// e^v for -80 < v <= 0, to 2e-7 relative.
STEADYVIEW_INLINE V exponential(V v) {
  const V scaled = v * 1.44269504f;
  const V power = floored_value(scaled);
  const V f = (scaled - power) * 0.693147181f;
  const V p =
      ((((((f * (1.f / 5040) + 1.f / 720) * f + 1.f / 120) * f + 1.f / 24) * f + 1.f / 6) * f +
        0.5f) *
           f +
       1.f) *
          f +
      1.f;
  return p * reinterpret_cast<V>((truncated(power) + 127) << 23);
}

// The angle of (x, y) from -180 to 180 degrees by the polynomial of OpenCV's fastAtan2 (0.01
// degrees), times `unit`.
STEADYVIEW_INLINE V signed_arc(V y, V x, float unit) {
  const float turn = 57.29577951f * unit;
  const V ax = magnitude(x), ay = magnitude(y);
  const V c = smaller(ax, ay) / (larger(ax, ay) + 2.2204460e-16f);
  const V c2 = c * c;
  V a = (((c2 * (-0.04432655554792128f * turn) + 0.1555786518463281f * turn) * c2 +
          -0.3258083974640975f * turn) *
             c2 +
         0.9997878412794807f * turn) *
        c;
  a = select(above(ay, ax), 90.f * unit - a, a);
  a = select(above(V{}, x), 180.f * unit - a, a);
  return reinterpret_cast<V>(reinterpret_cast<I>(a) ^
                             (reinterpret_cast<I>(y) & static_cast<int32_t>(0x80000000)));
}

// The part of a patch that has neighbours on all sides, relative to the patch's middle.
struct Extent {
  int left, right, top, bottom;

  explicit Extent(const PatchParams& p)
      : left(most(-p.radius, 1 - p.x)),
        right(least(p.radius, p.image.width - 2 - p.x)),
        top(most(-p.radius, 1 - p.y)),
        bottom(least(p.radius, p.image.height - 2 - p.y)) {}
};

struct Gradient {
  V x, y;

  STEADYVIEW_INLINE Gradient(const float* at, int64_t stride)
      : x(load(at + 1) - load(at - 1)), y(load(at - stride) - load(at + stride)) {}
  STEADYVIEW_INLINE V length() const { return root(x * x + (y * y + 1e-30f)); }
};

// e^(falloff k^2) for k from -radius; returns the middle.
STEADYVIEW_INLINE const float* make_window(const PatchParams& p, float falloff) {
  for (int k = 0; k <= 2 * p.radius; k += W) {
    const V at = lanes() + static_cast<float>(k - p.radius);
    store(p.scratch + k, exponential(larger(at * at * falloff, all(-60.f))));
  }
  return p.scratch + p.radius;
}

constexpr int kSamples = 512;  // gathered at a time
constexpr int kOrientations = 36;

struct OrientationSamples {
  alignas(64) float weight[kSamples + W];
  alignas(64) int32_t bin[kSamples + W];
  int count = 0;
};

// Four sums side by side.
STEADYVIEW_INLINE void add_samples(OrientationSamples& samples, float (*sums)[kOrientations]) {
  int k = 0;
  for (; k + 4 <= samples.count; k += 4) {
    for (int i = 0; i < 4; ++i) sums[i][samples.bin[k + i]] += samples.weight[k + i];
  }
  for (; k < samples.count; ++k) sums[0][samples.bin[k]] += samples.weight[k];
  samples.count = 0;
}

void orientation(const PatchParams& p, float* bins) {
  const Extent extent(p);
  const float* window = make_window(p, -1.f / (2.f * p.width * p.width));
  float sums[4][kOrientations] = {};
  OrientationSamples samples;
  for (int dy = extent.top; dy <= extent.bottom; ++dy) {
    const float* row = p.image.row(p.y + dy) + p.x;
    const float row_weight = window[dy];
    for (int dx = extent.left; dx <= extent.right; dx += W) {
      const Gradient gradient(row + dx, p.image.stride);
      store(samples.weight + samples.count, load(window + dx) * row_weight * gradient.length());
      // cvRound rounds halves to even; an angle on a half is as good in either bin.
      const V bin = floored_value(signed_arc(gradient.y, gradient.x, 0.1f) + 0.5f);
      store(samples.bin + samples.count,
            truncated(select(above(V{}, bin), bin + kOrientations, bin)));
      // Lanes beyond the row's end are overwritten by what comes next.
      samples.count += least(W, extent.right - dx + 1);
      if (samples.count > kSamples - W) add_samples(samples, sums);
    }
  }
  add_samples(samples, sums);
  for (int i = 0; i < kOrientations; ++i) {
    bins[i] = (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
  }
}

constexpr int kCells = 4, kBins = 8;

// A sample adds to two rows and two columns of cells and to two directions. Each combination of
// first row, first column (both from -1) and first direction has a slot of its own for these eight
// sums: so a sample is one addition of eight floats, and slots are added up at the end.
constexpr int kSlots = (kCells + 1) * (kCells + 1) * kBins;
using Eight = float __attribute__((vector_size(32), may_alias));
using Four = float __attribute__((vector_size(16), may_alias));
constexpr float kBelowFour = 3.99999976f;  // the largest
struct Slots {
  alignas(64) float sums[kSlots][8];
};
constexpr int kSlotBytes = sizeof(Eight);

// What is gathered of samples, row by row; the rest is computed of full vectors.
constexpr int kPadding = 16;  // at least W and kPlaces
struct Samples {
  alignas(64) float x[kSamples + kPadding];  // gradient times window
  alignas(64) float y[kSamples + kPadding];
  alignas(64) float down[kSamples + kPadding];  // cells, from the first one's middle
  alignas(64) float across[kSamples + kPadding];
};

// Per 128 bits: the first, or the last, two floats of a and b in turn.
STEADYVIEW_INLINE V mix_low(V a, V b) {
  I order;
  for (int i = 0; i < W; ++i) order[i] = i / 4 * 4 + i % 4 / 2 + i % 2 * W;
  return __builtin_shuffle(a, b, order);
}
STEADYVIEW_INLINE V mix_high(V a, V b) {
  I order;
  for (int i = 0; i < W; ++i) order[i] = i / 4 * 4 + i % 4 / 2 + 2 + i % 2 * W;
  return __builtin_shuffle(a, b, order);
}
STEADYVIEW_INLINE V join_low(V a, V b) {
  I order;
  for (int i = 0; i < W; ++i) order[i] = i / 4 * 4 + i % 2 + i % 4 / 2 * W;
  return __builtin_shuffle(a, b, order);
}
STEADYVIEW_INLINE V join_high(V a, V b) {
  I order;
  for (int i = 0; i < W; ++i) order[i] = i / 4 * 4 + i % 2 + 2 + i % 4 / 2 * W;
  return __builtin_shuffle(a, b, order);
}

// Per 128 bits a 4x4 transposition: sample 4 g + v ends up as floats 4 g to 4 g + 3 of to[v].
STEADYVIEW_INLINE void transpose(V a, V b, V c, V d, V* to) {
  const V ab = mix_low(a, b), cd = mix_low(c, d), ab2 = mix_high(a, b), cd2 = mix_high(c, d);
  to[0] = join_low(ab, cd);
  to[1] = join_high(ab, cd);
  to[2] = join_low(ab2, cd2);
  to[3] = join_high(ab2, cd2);
}

// Four floats twice. Not returned: the baseline has no registers of eight.
STEADYVIEW_INLINE void load_twice(const float* four, Eight& twice) {
#if defined(__AVX__)
  twice = reinterpret_cast<Eight>(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(four)));
#else
  const Four value = *reinterpret_cast<const Four*>(four);
  twice = __builtin_shufflevector(value, value, 0, 1, 2, 3, 0, 1, 2, 3);
#endif
}

// Samples 4 g + v one after the other by v, then g, as a transposition leaves them.
STEADYVIEW_INLINE I by_fours(I a) {
  I order;
  for (int i = 0; i < W; ++i) order[i] = i % (W / 4) * 4 + i / (W / 4);
  return __builtin_shuffle(a, order);
}

struct Shares {
  alignas(64) int32_t slot[kSamples];   // its first byte
  alignas(64) float part[kSamples];     // for the second direction
  alignas(64) float cell[kSamples][4];  // for each of four cells
};

STEADYVIEW_INLINE void share_out(const Samples& samples, int count, float angle, Shares& shares) {
  for (int k = 0; k < count; k += W) {
    const V x = load(samples.x + k), y = load(samples.y + k);
    V down = load(samples.down + k), across = load(samples.across + k);
    const V strength = root(x * x + (y * y + 1e-30f));
    // On the border a sample's share is nothing: so it is for those beyond.
    down = smaller(larger(down, all(-1.f)), all(kBelowFour));
    across = smaller(larger(across, all(-1.f)), all(kBelowFour));
    const V turn = signed_arc(y, x, kBins / 360.f) - angle * (kBins / 360.f);
    const V in_row = above_floor(down), in_column = above_floor(across);
    const V lower = strength * in_row, upper = strength - lower;
    const V upper_right = upper * in_column, lower_right = lower * in_column;
    // (row + 1) * (kCells + 1) + (column + 1), in bytes of slots.
    constexpr float size = kSlotBytes * kBins;
    const V cell = (down - in_row) * (size * (kCells + 1)) +
                   ((across - in_column) * size + size * (kCells + 2));
    const I slot = truncated(cell) | (floored(turn) * kSlotBytes & kSlotBytes * (kBins - 1));
    store(shares.slot + k, by_fours(slot));
    store(shares.part + k, reinterpret_cast<V>(by_fours(reinterpret_cast<I>(above_floor(turn)))));
    V quads[4];
    transpose(upper - upper_right, upper_right, lower - lower_right, lower_right, quads);
    for (int v = 0; v < 4; ++v) store(shares.cell[k + v * (W / 4)], quads[v]);
  }
}

constexpr int kPlaces = 8;

// Two loops: a sum waits for its slot to be known, and would keep the next samples' from being
// computed. It also waits for the last sum of the same slot, which neighbours often have: so
// samples come from four places in turn.
__attribute__((noinline)) void add_samples(Samples& samples, int count, float angle, Slots& slots) {
  for (float* part : {samples.x, samples.y, samples.down, samples.across}) {
    for (int k = 0; k < kPadding; k += W) store(part + count + k, V{});
  }
  count = (count + kPadding - 1) / kPadding * kPadding;
  Shares shares;
  share_out(samples, count, angle, shares);
  const Eight first = {1, 1, 1, 1, 0, 0, 0, 0}, sign = {-1, -1, -1, -1, 1, 1, 1, 1};
  const int part = count / kPlaces;
  for (int k = 0; k < part; ++k) {
    for (int i = 0; i < kPlaces; ++i) {
      const int from = k + i * part;
      Eight weight;
      load_twice(shares.cell[from], weight);
      const Eight share = shares.part[from] * sign + first;
      const auto slot = static_cast<uint32_t>(shares.slot[from]);
      *reinterpret_cast<Eight*>(reinterpret_cast<char*>(slots.sums) + slot) += weight * share;
    }
  }
}

// A 4x4 transposition.
STEADYVIEW_INLINE void transpose(const Four* from, Four* to) {
  const auto low = [](Four a, Four b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); };
  const auto high = [](Four a, Four b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); };
  const Four ac = low(from[0], from[2]), bd = low(from[1], from[3]);
  const Four ac2 = high(from[0], from[2]), bd2 = high(from[1], from[3]);
  to[0] = low(ac, bd);
  to[1] = high(ac, bd);
  to[2] = low(ac2, bd2);
  to[3] = high(ac2, bd2);
}

// Adds up slots to a histogram (kCells, kCells, kBins).
STEADYVIEW_INLINE void add_slots(const Slots& slots, float* histogram) {
  alignas(64) float cells[kCells + 2][kCells + 2][kBins] = {};
  for (int r = 0; r <= kCells; ++r) {
    for (int c = 0; c <= kCells; ++c) {
      const int first = (r * (kCells + 1) + c) * kBins;
      const auto half = [&](int o, int side) {
        return *reinterpret_cast<const Four*>(slots.sums[first + o] + 4 * side);
      };
      // By direction, then by cell.
      Four sums[kBins], parts[4];
      for (int o = 0; o < kBins; ++o) sums[o] = half(o, 0) + half((o + kBins - 1) % kBins, 1);
      for (int o = 0; o < kBins; o += 4) {
        transpose(sums + o, parts);
        for (int k = 0; k < 4; ++k) {
          *reinterpret_cast<Four*>(cells[r + k / 2][c + k % 2] + o) += parts[k];
        }
      }
    }
  }
  for (int r = 0; r < kCells; ++r) {
    __builtin_memcpy(histogram + r * kCells * kBins, cells[r + 1][1], kCells * kBins * 4);
  }
}

// For rows from the patch's top, the columns j that can be inside the descriptor: for which
// |j c - i s| and |j s + i c| are below 2.5 but for rounding: on the border shares are nothing.
constexpr float kSlack = 0.01f;  // columns
STEADYVIEW_INLINE void find_spans(const Extent& extent, float c, float s, int32_t* first,
                                  int32_t* last) {
  const auto bounded = [](float v) { return fabsf(v) < 1e-6f ? 1e6f : 1 / v; };
  const float per_c = bounded(c), per_s = bounded(s);
  for (int k = 0; extent.top + k <= extent.bottom; k += W) {
    const V i = lanes() + static_cast<float>(extent.top + k);
    V low = all(static_cast<float>(extent.left)), high = all(static_cast<float>(extent.right));
    const auto narrow = [&](V middle, float half) {
      low = larger(low, middle - half - kSlack);
      high = smaller(high, middle + half + kSlack);
    };
    narrow(i * (s * per_c), 2.5f * fabsf(per_c));
    narrow(i * (-c * per_s), 2.5f * fabsf(per_s));
    store(first + k, -truncated(floored_value(-low)));
    store(last + k, truncated(floored_value(high)));
  }
}

void gather(const PatchParams& p, Slots& slots) {
  const float radians = p.angle * 0.0174532925f;
  const float c = cosf(radians) / p.width, s = sinf(radians) / p.width;
  const Extent extent(p);
  const float* window = make_window(p, -0.125f / (p.width * p.width));
  auto* first_column = reinterpret_cast<int32_t*>(p.scratch + (2 * p.radius + 1 + kRowSlack));
  auto* last_column = first_column + (2 * p.radius + 1 + kRowSlack);
  find_spans(extent, c, s, first_column, last_column);
  Samples samples;
  int count = 0;
  for (int i = extent.top; i <= extent.bottom; ++i) {
    // Patches are read once, from memory far away: a prefetch never faults, wherever it points.
    const float* next = p.next + i * p.image.stride;
    for (int j = -p.radius; j <= p.radius + 15; j += 16) __builtin_prefetch(next + j);
    const float di = static_cast<float>(i);
    const int first = first_column[i - extent.top], last = last_column[i - extent.top];
    const float* row = p.image.row(p.y + i) + p.x;
    const float row_weight = window[i];
    const V across = all(1.5f - di * s), down = all(di * c + 1.5f);
    for (int j = first; j <= last; j += W) {
      const V dj = lanes() + static_cast<float>(j);
      const Gradient gradient(row + j, p.image.stride);
      const V weight = load(window + j) * row_weight;
      store(samples.x + count, weight * gradient.x);
      store(samples.y + count, weight * gradient.y);
      store(samples.across + count, dj * c + across);
      store(samples.down + count, dj * s + down);
      // Lanes beyond the row's end are overwritten by what comes next.
      count += least(W, last - j + 1);
      if (count > kSamples - W) {
        add_samples(samples, count, p.angle, slots);
        count = 0;
      }
    }
  }
  add_samples(samples, count, p.angle, slots);
}

STEADYVIEW_INLINE float sum_of(V v) {
  float sum = 0;
  for (int i = 0; i < W; ++i) sum += v[i];
  return sum;
}

void descriptor(const PatchParams& p, uint8_t* out) {
  Slots slots = {};
  gather(p, slots);
  alignas(64) float values[kSiftLength];
  add_slots(slots, values);
  V energy = {}, clipped = {};
  for (int i = 0; i < kSiftLength; i += W) energy += load(values + i) * load(values + i);
  const V limit = all(sqrtf(sum_of(energy)) * 0.2f);
  for (int i = 0; i < kSiftLength; i += W) {
    const V value = smaller(load(values + i), limit);
    clipped += value * value;
    store(values + i, value);
  }
  const float norm = sqrtf(sum_of(clipped));
  const float scale = 512.f / (norm > 1.1920929e-7f ? norm : 1.1920929e-7f);
  constexpr float kRound = 12582912.f;  // 1.5 * 2^23: its sums are rounded to whole numbers
  for (int i = 0; i < kSiftLength; i += W) {
    const V value = smaller(load(values + i) * scale, all(255.f)) + kRound;
    store(values + i, value - kRound);
  }
  for (int i = 0; i < kSiftLength; ++i) out[i] = static_cast<uint8_t>(values[i]);
}

}  // namespace

extern const PatchKernels patch_kernels = {&orientation, &descriptor};

}  // namespace steadyview::matching::STEADYVIEW_ISA
