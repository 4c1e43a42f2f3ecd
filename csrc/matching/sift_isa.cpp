// Compiled once for each instruction set: GCC's vector types, W floats at a time.
#include <math.h>
#include <stdint.h>

#include "matching/sift.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX2__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
using V = float __attribute__((vector_size(4 * W)));
using I = int32_t __attribute__((vector_size(4 * W)));
using UnalignedV = float __attribute__((vector_size(4 * W), aligned(4), may_alias));
using UnalignedI = int32_t __attribute__((vector_size(4 * W), aligned(4), may_alias));

#define STEADYVIEW_INLINE inline __attribute__((always_inline))

STEADYVIEW_INLINE V load(const float* from) { return *reinterpret_cast<const UnalignedV*>(from); }
STEADYVIEW_INLINE void store(float* to, V v) { *reinterpret_cast<UnalignedV*>(to) = v; }
STEADYVIEW_INLINE V all(float value) { return V{} + value; }
STEADYVIEW_INLINE V larger(V a, V b) { return a > b ? a : b; }
STEADYVIEW_INLINE V smaller(V a, V b) { return a < b ? a : b; }
STEADYVIEW_INLINE V whole(I v) { return __builtin_convertvector(v, V); }
STEADYVIEW_INLINE I truncated(V v) { return __builtin_convertvector(v, I); }

STEADYVIEW_INLINE V lanes() {
  V v;
  for (int i = 0; i < W; ++i) v[i] = static_cast<float>(i);
  return v;
}

STEADYVIEW_INLINE I floored(V v) {
  const I cut = truncated(v);
  return cut + (whole(cut) > v);  // comparisons are -1 where true
}

STEADYVIEW_INLINE bool any(I mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(mask), reinterpret_cast<__m512i>(mask));
#elif defined(__AVX2__)
  return _mm256_movemask_ps(reinterpret_cast<__m256>(mask));
#elif defined(__SSE2__)
  return _mm_movemask_ps(reinterpret_cast<__m128>(mask));
#else
  return mask[0] | mask[1] | mask[2] | mask[3];
#endif
}

STEADYVIEW_INLINE V root(V v) {
#if defined(__AVX512F__)
  return reinterpret_cast<V>(_mm512_maskz_sqrt_ps(0xffff, reinterpret_cast<__m512>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<V>(_mm256_sqrt_ps(reinterpret_cast<__m256>(v)));
#elif defined(__SSE2__)
  return reinterpret_cast<V>(_mm_sqrt_ps(reinterpret_cast<__m128>(v)));
#else
  for (int i = 0; i < W; ++i) v[i] = sqrtf(v[i]);
  return v;
#endif
}

// e^v for -80 < v <= 0, to 2e-7 relative.
STEADYVIEW_INLINE V exponential(V v) {
  const V scaled = v * 1.44269504f;
  const I power = floored(scaled);
  const V f = (scaled - whole(power)) * 0.693147181f;
  const V p =
      ((((((f * (1.f / 5040) + 1.f / 720) * f + 1.f / 120) * f + 1.f / 24) * f + 1.f / 6) * f +
        0.5f) *
           f +
       1.f) *
          f +
      1.f;
  return p * reinterpret_cast<V>((power + 127) << 23);
}

// Degrees from 0 to 360, by the polynomial of OpenCV's fastAtan2 (0.01 degrees).
STEADYVIEW_INLINE V arc(V y, V x) {
  constexpr float turn = 57.29577951f;
  const V ax = x < 0 ? -x : x, ay = y < 0 ? -y : y;
  const V c = smaller(ax, ay) / (larger(ax, ay) + 2.2204460e-16f);
  const V c2 = c * c;
  V a = (((c2 * (-0.04432655554792128f * turn) + 0.1555786518463281f * turn) * c2 +
          -0.3258083974640975f * turn) *
             c2 +
         0.9997878412794807f * turn) *
        c;
  a = ay > ax ? 90.f - a : a;
  a = x < 0 ? 180.f - a : a;
  return y < 0 ? 360.f - a : a;
}

// Mirrored without repeating the edge, as often as it takes.
int reflect(int at, int count) {
  if (count == 1) return 0;
  while (at < 0 || at >= count) at = at < 0 ? -at : 2 * (count - 1) - at;
  return at;
}

constexpr int kBlock = 4;  // vectors in flight
constexpr int kMaxRadius = 16;

// One row: taps from left to right, in the order in which OpenCV adds them.
STEADYVIEW_INLINE void blur_row(const BlurParams& p, const float* padded, float* out) {
  for (int x = 0; x < p.source.width; x += kBlock * W) {
    V sum[kBlock];
    for (int b = 0; b < kBlock; ++b) sum[b] = load(padded + x + b * W) * p.taps[p.radius];
    for (int k = 1; k <= 2 * p.radius; ++k) {
      const V tap = all(p.taps[k < p.radius ? p.radius - k : k - p.radius]);
      for (int b = 0; b < kBlock; ++b) sum[b] += tap * load(padded + x + k + b * W);
    }
    for (int b = 0; b < kBlock; ++b) store(out + x + b * W, sum[b]);
  }
}

// Rows first, then columns from the middle outwards: with fused multiply-add these are OpenCV's
// sums bit for bit. Blurred rows live in a ring of as many as there are taps.
void blur(const BlurParams& p) {
  const int width = p.source.width, height = p.source.height, taps = 2 * p.radius + 1;
  float* padded = p.scratch;
  float* ring = p.scratch + width + 2 * p.radius + 2 * kRowSlack;
  int done = 0;
  for (int y = 0; y < height; ++y) {
    for (; done < height && done <= y + p.radius; ++done) {
      const float* source = p.source.row(done);
      for (int x = 0; x < width; ++x) padded[p.radius + x] = source[x];
      for (int k = 1; k <= p.radius; ++k) {
        padded[p.radius - k] = source[reflect(-k, width)];
        padded[p.radius + width - 1 + k] = source[reflect(width - 1 + k, width)];
      }
      blur_row(p, padded, ring + done % taps * p.source.stride);
    }
    const float *above[kMaxRadius + 1], *below[kMaxRadius + 1];
    for (int k = 0; k <= p.radius; ++k) {
      above[k] = ring + reflect(y - k, height) % taps * p.source.stride;
      below[k] = ring + reflect(y + k, height) % taps * p.source.stride;
    }
    float* target = p.target.row(y);
    const float* source = p.source.row(y);
    float* difference = p.difference.data ? p.difference.row(y) : nullptr;
    for (int x = 0; x < width; x += kBlock * W) {
      V sum[kBlock];
      for (int b = 0; b < kBlock; ++b) sum[b] = load(above[0] + x + b * W) * p.taps[0];
      for (int k = 1; k <= p.radius; ++k) {
        const V tap = all(p.taps[k]);
        for (int b = 0; b < kBlock; ++b) {
          sum[b] += tap * (load(above[k] + x + b * W) + load(below[k] + x + b * W));
        }
      }
      for (int b = 0; b < kBlock; ++b) {
        if (difference) store(difference + x + b * W, sum[b] - load(source + x + b * W));
        store(target + x + b * W, sum[b]);
      }
    }
  }
}

// The largest and smallest of a row's three neighbours join what was found before.
STEADYVIEW_INLINE void widen(const float* at, V& low, V& high) {
  const V left = load(at - 1), right = load(at + 1);
  low = smaller(low, smaller(left, right));
  high = larger(high, larger(left, right));
}

int extrema(const ExtremaParams& p) {
  const int end = p.at.width - p.border;
  int count = 0;
  for (int x = p.border; x < end; x += W) {
    const float* at = p.at.row(p.row) + x;
    const V value = load(at);
    if (!any((value > p.threshold) | (value < -p.threshold))) continue;
    V low = value, high = value;
    widen(at, low, high);
    for (const int64_t step : {-p.at.stride, p.at.stride}) {
      widen(at + step, low, high);
      low = smaller(low, load(at + step));
      high = larger(high, load(at + step));
    }
    I found = ((value > p.threshold) & (value >= high)) | ((value < -p.threshold) & (value <= low));
    if (!any(found)) continue;
    for (const Plane* layer : {&p.below, &p.above}) {
      for (int dy = -1; dy <= 1; ++dy) {
        const float* other = layer->row(p.row + dy) + x;
        widen(other, low, high);
        low = smaller(low, load(other));
        high = larger(high, load(other));
      }
    }
    found = ((value > p.threshold) & (value >= high)) | ((value < -p.threshold) & (value <= low));
    if (!any(found)) continue;
    for (int i = 0; i < W && x + i < end; ++i) {
      if (found[i]) p.columns[count++] = x + i;
    }
  }
  return count;
}

STEADYVIEW_INLINE int most(int a, int b) { return a > b ? a : b; }
STEADYVIEW_INLINE int least(int a, int b) { return a < b ? a : b; }

void orientation(const PatchParams& p, float* bins) {
  for (int i = 0; i < 36; ++i) bins[i] = 0;
  const float falloff = -1.f / (2.f * p.width * p.width);
  const int first = most(-p.radius, 1 - p.x), last = least(p.radius, p.image.width - 2 - p.x);
  const int top = most(-p.radius, 1 - p.y), bottom = least(p.radius, p.image.height - 2 - p.y);
  float* weights = p.scratch;
  auto* bin = reinterpret_cast<UnalignedI*>(p.scratch + (2 * p.radius + 1 + kRowSlack));
  for (int dy = top; dy <= bottom; ++dy) {
    const float* row = p.image.row(p.y + dy) + p.x;
    for (int dx = first; dx <= last; dx += W) {
      const float* at = row + dx;
      const V j = lanes() + static_cast<float>(dx);
      const V gx = load(at + 1) - load(at - 1);
      const V gy = load(at - p.image.stride) - load(at + p.image.stride);
      const V window = exponential((j * j + static_cast<float>(dy * dy)) * falloff);
      store(weights + dx - first, window * root(gx * gx + gy * gy));
      // cvRound rounds halves to even; an angle on a half is as good in either bin.
      I index = floored(arc(gy, gx) * 0.1f + 0.5f);
      index = index >= 36 ? index - 36 : index;
      bin[(dx - first) / W] = index;
    }
    const auto* index = reinterpret_cast<const int32_t*>(bin);
    for (int k = 0; k <= last - first; ++k) bins[index[k]] += weights[k];
  }
}

constexpr int kCells = 4, kBins = 8;
constexpr int kRowStep = (kCells + 2) * (kBins + 2), kColumnStep = kBins + 2;
constexpr int kHistogram = (kCells + 2) * kRowStep;

using Two = float __attribute__((vector_size(8)));
using UnalignedTwo = float __attribute__((vector_size(8), aligned(4), may_alias));

// Product and rest are rounded one by one, as OpenCV's are: nothing here may fuse.
STEADYVIEW_INLINE void add_two(float* to, float weight, float part) {
  float upper = weight * part;
#if defined(__SSE2__)
  __asm__("" : "+x"(upper));
#endif
  auto* both = reinterpret_cast<UnalignedTwo*>(to);
  *both = *both + Two{weight - upper, upper};
}

// Columns j of row i for which |j slope + offset| < 2.5, one more on each side.
STEADYVIEW_INLINE void narrow(float slope, float offset, int& first, int& last) {
  if (fabsf(slope) < 1e-6f) return;
  const float a = (-2.5f - offset) / slope, b = (2.5f - offset) / slope;
  const float low = a < b ? a : b, high = a < b ? b : a;
  if (low > static_cast<float>(first)) first = static_cast<int>(fminf(low, 1e6f)) - 1;
  if (high < static_cast<float>(last)) last = static_cast<int>(fmaxf(high, -1e6f)) + 1;
}

void gather(const PatchParams& p, float* histogram) {
  const float radians = p.angle * 0.0174532925f;
  const float c = cosf(radians) / p.width, s = sinf(radians) / p.width;
  const int64_t room = 2 * p.radius + 1 + kRowSlack;
  float* weight[4];
  for (int k = 0; k < 4; ++k) weight[k] = p.scratch + k * room;
  float* part = p.scratch + 4 * room;
  auto* cell = reinterpret_cast<int32_t*>(p.scratch + 5 * room);
  const int left = most(-p.radius, 1 - p.x), right = least(p.radius, p.image.width - 2 - p.x);
  const int top = most(-p.radius, 1 - p.y), bottom = least(p.radius, p.image.height - 2 - p.y);
  for (int i = top; i <= bottom; ++i) {
    const float di = static_cast<float>(i);
    int first = left, last = right;
    narrow(c, -di * s, first, last);
    narrow(s, di * c, first, last);
    first = most(first, left);
    last = least(last, right);
    const float* row = p.image.row(p.y + i) + p.x;
    for (int j = first; j <= last; j += W) {
      const float* at = row + j;
      const V dj = lanes() + static_cast<float>(j);
      const V across = dj * c - di * s, down = dj * s + di * c;
      const V rbin = down + 2.f - 0.5f, cbin = across + 2.f - 0.5f;
      const I inside = (rbin > -1.f) & (rbin < 4.f) & (cbin > -1.f) & (cbin < 4.f);
      const V gx = load(at + 1) - load(at - 1);
      const V gy = load(at - p.image.stride) - load(at + p.image.stride);
      const V window = exponential(larger((across * across + down * down) * -0.125f, all(-60.f)));
      V strength = window * root(gx * gx + gy * gy);
      strength = inside ? strength : V{};
      const V obin = (arc(gy, gx) - p.angle) * (kBins / 360.f);
      I r0 = floored(rbin), c0 = floored(cbin), o0 = floored(obin);
      const V fr = rbin - whole(r0), fc = cbin - whole(c0);
      store(part + j - first, obin - whole(o0));
      o0 = o0 < 0 ? o0 + kBins : o0;
      o0 = o0 >= kBins ? o0 - kBins : o0;
      const I index = ((r0 + 1) * (kCells + 2) + c0 + 1) * (kBins + 2) + o0;
      *reinterpret_cast<UnalignedI*>(cell + j - first) = inside ? index : I{};
      const V lower = strength * fr, upper = strength - lower;
      const V upper_right = upper * fc, lower_right = lower * fc;
      store(weight[0] + j - first, upper - upper_right);
      store(weight[1] + j - first, upper_right);
      store(weight[2] + j - first, lower - lower_right);
      store(weight[3] + j - first, lower_right);
    }
    for (int k = 0; k <= last - first; ++k) {
      float* at = histogram + cell[k];
      add_two(at, weight[0][k], part[k]);
      add_two(at + kColumnStep, weight[1][k], part[k]);
      add_two(at + kRowStep, weight[2][k], part[k]);
      add_two(at + kRowStep + kColumnStep, weight[3][k], part[k]);
    }
  }
}

void descriptor(const PatchParams& p, uint8_t* out) {
  float histogram[kHistogram] = {};
  gather(p, histogram);
  float values[kSiftLength], energy = 0;
  for (int r = 0; r < kCells; ++r) {
    for (int c = 0; c < kCells; ++c) {
      const float* from = histogram + (r + 1) * kRowStep + (c + 1) * kColumnStep;
      float* to = values + (r * kCells + c) * kBins;
      for (int o = 0; o < kBins; ++o) to[o] = from[o];
      to[0] += from[kBins];
      to[1] += from[kBins + 1];
    }
  }
  for (float value : values) energy += value * value;
  const float limit = sqrtf(energy) * 0.2f;
  energy = 0;
  for (float& value : values) {
    value = value < limit ? value : limit;
    energy += value * value;
  }
  const float norm = sqrtf(energy);
  const float scale = 512.f / (norm > 1.1920929e-7f ? norm : 1.1920929e-7f);
  for (int i = 0; i < kSiftLength; ++i) {
    const float value = nearbyintf(values[i] * scale);
    out[i] = static_cast<uint8_t>(value > 255 ? 255 : value);
  }
}

}  // namespace

extern const SiftKernels sift_kernels = {&blur, &extrema, &orientation, &descriptor};

}  // namespace steadyview::matching::STEADYVIEW_ISA
