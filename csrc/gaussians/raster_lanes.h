#pragma once

// A block of pixels as the lanes of a vector, for draw_rows.cpp, which is compiled for each
// instruction set: everything is always inlined or anonymous.

#include <cstdint>

#include "common/sampling.h"
#include "common/vector_bytes.h"

#if defined(__AVX512F__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in GCC 12's intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

template <typename T>
struct Whole;
template <>
struct Whole<float> {
  using type = int32_t;
};
template <>
struct Whole<double> {
  using type = int64_t;
};

// A block is kWide pixels wide and has as many rows as fit.
constexpr int kWide = 4;
template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T) < kWide ? kWide : kVectorBytes / sizeof(T);
template <typename T>
constexpr int kHigh = kLanes<T> / kWide;

template <typename T>
using Vector __attribute__((vector_size(kLanes<T> * sizeof(T)))) = T;
template <typename T>
using WholeVector __attribute__((vector_size(kLanes<T> * sizeof(T)))) = typename Whole<T>::type;

template <typename T>
struct LaneTypes {
  using V = Vector<T>;
  using I = WholeVector<T>;
  using Mask = I;  // all bits of a lane set, or none
};
#if defined(__AVX512F__)
template <>
struct LaneTypes<float> {
  using V = Vector<float>;
  using I = WholeVector<float>;
  using Mask = __mmask16;
};
#endif

// The operations, for any vector of the compiler's.
template <typename T>
struct Lanes : LaneTypes<T> {
  using typename LaneTypes<T>::V;
  using typename LaneTypes<T>::I;
  using Mask = I;
#define STEADYVIEW_OP static inline __attribute__((always_inline))
  STEADYVIEW_OP V all(T a) { return V{} + a; }
  STEADYVIEW_OP Mask at_least(V a, V b) { return a >= b; }
  STEADYVIEW_OP Mask above(V a, V b) { return a > b; }
  STEADYVIEW_OP Mask above(Mask m, V a, V b) { return m & (a > b); }
  STEADYVIEW_OP V where(Mask m, V yes, V no) { return m ? yes : no; }
  STEADYVIEW_OP V keep(Mask m, V a) { return m ? a : V{}; }
  STEADYVIEW_OP V lower(V a, V b) { return b < a ? b : a; }
  STEADYVIEW_OP V magnitude(V a) { return a < 0 ? -a : a; }
  STEADYVIEW_OP bool any(Mask m) {
    typename Whole<T>::type all = 0;
    for (int l = 0; l < kLanes<T>; ++l) all |= m[l];
    return all != 0;
  }
  STEADYVIEW_OP V reciprocal(V a) { return T(1) / a; }
  STEADYVIEW_OP T sum(V a) {
    T lanes[kLanes<T>];
    __builtin_memcpy(lanes, &a, sizeof(a));
    for (int half = kLanes<T> / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0];
  }
  // Negative, as of a pixel that is done.
  STEADYVIEW_OP V done(V a) { return -magnitude(a); }
  template <int n>
  STEADYVIEW_OP void sums(const V* a, T* out) {
    for (int i = 0; i < n; ++i) out[i] = sum(a[i]);
  }
  // kHigh rows of a block, `width` numbers each and `pitch` apart, one after another in vectors.
  template <int width>
  STEADYVIEW_OP void read_rows(const T* rows, int64_t pitch, V* parts) {
    for (int row = 0; row < kHigh<T>; ++row) {
      __builtin_memcpy(reinterpret_cast<T*>(parts) + row * width, rows + row * pitch,
                       width * sizeof(T));
    }
  }
  template <int width>
  STEADYVIEW_OP void write_rows(const V* parts, T* rows, int64_t pitch) {
    for (int row = 0; row < kHigh<T>; ++row) {
      __builtin_memcpy(rows + row * pitch, reinterpret_cast<const T*>(parts) + row * width,
                       width * sizeof(T));
    }
  }
  // 2^a where m holds, for a in [-126, 0], else 0: far from a splat's middle it would be a denormal
  // number, which takes a hundred times as long.
  STEADYVIEW_OP V exp2(Mask m, V a) {
    if constexpr (sizeof(T) == 4) {
      const V shifted = a + T(12582912);  // rounds to the nearest whole number
      const V f = a - (shifted - T(12582912));
      V p = all(T(1.32764282e-3));  // 2^f on [-1/2, 1/2] to 8e-8
      p = p * f + T(9.67554096e-3);
      p = p * f + T(5.55071346e-2);
      p = p * f + T(2.40221202e-1);
      p = p * f + T(6.93146944e-1);
      p = p * f + T(1.00000012);
      const I whole = reinterpret_cast<I>(shifted) << 23;  // its low bits are the number
      return keep(m, reinterpret_cast<V>(reinterpret_cast<I>(p) + whole));
    } else {
      V result = a;
      for (int l = 0; l < kLanes<T>; ++l) result[l] = __builtin_exp2(a[l]);
      return keep(m, result);
    }
  }
};

#if defined(__AVX512F__)
template <>
struct Lanes<float> : LaneTypes<float> {
  using LaneTypes<float>::V;
  using LaneTypes<float>::Mask;
  STEADYVIEW_OP V all(float a) { return _mm512_set1_ps(a); }
  STEADYVIEW_OP Mask at_least(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  STEADYVIEW_OP Mask above(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  STEADYVIEW_OP Mask above(Mask m, V a, V b) {
    return _mm512_mask_cmp_ps_mask(m, a, b, _CMP_GT_OQ);
  }
  STEADYVIEW_OP V where(Mask m, V yes, V no) { return _mm512_mask_blend_ps(m, no, yes); }
  STEADYVIEW_OP V keep(Mask m, V a) { return _mm512_maskz_mov_ps(m, a); }
  STEADYVIEW_OP V lower(V a, V b) { return _mm512_min_ps(a, b); }
  STEADYVIEW_OP V magnitude(V a) { return _mm512_abs_ps(a); }
  STEADYVIEW_OP bool any(Mask m) { return m != 0; }
  STEADYVIEW_OP float sum(V a) { return _mm512_reduce_add_ps(a); }
  STEADYVIEW_OP V reciprocal(V a) {  // one Newton step
    const V r = _mm512_rcp14_ps(a);
    return r * (2.0f - a * r);
  }
  STEADYVIEW_OP V done(V a) { return _mm512_or_ps(a, all(-0.0f)); }
  // Eight at a time: halves, quarters and so on of two vectors are added in one.
  template <int n>
  STEADYVIEW_OP void sums(const V* a, float* out) {
    constexpr int eights = n / 8 * 8;
#pragma GCC unroll 4
    for (int i = 0; i < eights; i += 8) {
      V quarters[2];
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
        const V* b = a + i + 4 * k;
        const V low =
            _mm512_shuffle_f32x4(b[0], b[1], 0x44) + _mm512_shuffle_f32x4(b[0], b[1], 0xee);
        const V high =
            _mm512_shuffle_f32x4(b[2], b[3], 0x44) + _mm512_shuffle_f32x4(b[2], b[3], 0xee);
        quarters[k] = _mm512_shuffle_f32x4(low, high, 0x88) + _mm512_shuffle_f32x4(low, high, 0xdd);
      }
      V pairs = _mm512_shuffle_ps(quarters[0], quarters[1], 0x44) +
                _mm512_shuffle_ps(quarters[0], quarters[1], 0xee);
      pairs = pairs + _mm512_permute_ps(pairs, 0xb1);
      const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
      _mm256_storeu_ps(out + i, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, pairs)));
    }
#pragma GCC unroll 8
    for (int i = eights; i < n; ++i) out[i] = sum(a[i]);
  }
  // Straight to and from memory: from a copy between, whose pieces are cut otherwise, a processor
  // cannot pass on what it has just stored. Calls visit(part, row, mask of the lanes that are in
  // both, where the part's first lane would be in the row).
  template <int width, typename Visit>
  STEADYVIEW_OP void for_pieces(Visit visit) {
#pragma GCC unroll 4
    for (int part = 0; part < width / kWide; ++part) {
#pragma GCC unroll 4
      for (int row = 0; row < kHigh<float>; ++row) {
        const int at = kLanes<float> * part - width * row;
        const int begin = at < 0 ? -at : 0;
        const int end = width - at < kLanes<float> ? width - at : kLanes<float>;
        if (begin < end) visit(part, row, static_cast<Mask>((1 << end) - (1 << begin)), at);
      }
    }
  }
  template <int width>
  STEADYVIEW_OP void read_rows(const float* rows, int64_t pitch, V* parts) {
    for_pieces<width>([&](int part, int row, Mask lanes, int at) __attribute__((always_inline)) {
      parts[part] = _mm512_mask_loadu_ps(parts[part], lanes, rows + (row * pitch + at));
    });
  }
  template <int width>
  STEADYVIEW_OP void write_rows(const V* parts, float* rows, int64_t pitch) {
    for_pieces<width>([&](int part, int row, Mask lanes, int at) __attribute__((always_inline)) {
      _mm512_mask_storeu_ps(rows + (row * pitch + at), lanes, parts[part]);
    });
  }
  STEADYVIEW_OP V exp2(Mask m, V a) {
    const V f = _mm512_reduce_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    V p = all(1.87757052e-3f);  // 2^f on [0, 1) to 8e-8
    p = p * f + 8.98935460e-3f;
    p = p * f + 5.58263063e-2f;
    p = p * f + 2.40153626e-1f;
    p = p * f + 6.93153083e-1f;
    p = p * f + 9.99999940e-1f;
    return _mm512_maskz_scalef_ps(m, p, a);  // takes the floor of a
  }
};
#endif

// Pixels of `channels` numbers each, one after another, to a vector a channel, and back.
template <typename T, int channels>
inline __attribute__((always_inline)) void split_channels(const T* pixels,
                                                          typename LaneTypes<T>::V* split) {
  constexpr int n = kLanes<T>;
  typename LaneTypes<T>::V part[channels];
  for (int k = 0; k < channels; ++k) __builtin_memcpy(&part[k], pixels + k * n, sizeof(part[k]));
#pragma GCC unroll 4
  for (int c = 0; c < channels; ++c) {
    typename LaneTypes<T>::V value = part[0];
#pragma GCC unroll 4
    for (int k = channels > 1 ? 1 : 0; k < channels; ++k) {
      typename LaneTypes<T>::I from{};
#pragma GCC unroll 16
      for (int l = 0; l < n; ++l) {
        const int at = l * channels + c;
        from[l] = at / n == k ? n + at % n : k == 1 ? at % n : l;
      }
      if (channels > 1) value = __builtin_shuffle(value, part[k], from);
    }
    split[c] = value;
  }
}

template <typename T, int channels>
inline __attribute__((always_inline)) void join_channels(const typename LaneTypes<T>::V* split,
                                                         T* pixels) {
  constexpr int n = kLanes<T>;
#pragma GCC unroll 4
  for (int k = 0; k < channels; ++k) {
    typename LaneTypes<T>::V value = split[0];
#pragma GCC unroll 4
    for (int c = channels > 1 ? 1 : 0; c < channels; ++c) {
      typename LaneTypes<T>::I from{};
#pragma GCC unroll 16
      for (int l = 0; l < n; ++l) {
        const int at = k * n + l;
        from[l] = at % channels == c ? n + at / channels : c == 1 ? at / channels : l;
      }
      if (channels > 1) value = __builtin_shuffle(value, split[c], from);
    }
    __builtin_memcpy(pixels + k * n, &value, sizeof(value));
  }
}

}  // namespace
}  // namespace steadyview::gaussians::STEADYVIEW_ISA
