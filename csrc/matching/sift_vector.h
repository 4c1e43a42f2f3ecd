#pragma once

// Vectors of W floats for the sources that are compiled once for each instruction set. All of it is
// in an anonymous namespace and always inlined, so that no variant's code can serve another.

#include <math.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "common/vector_bytes.h"

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

constexpr int W = kVectorBytes / 4;
using V = float __attribute__((vector_size(4 * W)));
using I = int32_t __attribute__((vector_size(4 * W)));
using UnalignedV = float __attribute__((vector_size(4 * W), aligned(4), may_alias));
using UnalignedI = int32_t __attribute__((vector_size(4 * W), aligned(4), may_alias));

#define STEADYVIEW_INLINE inline __attribute__((always_inline))

STEADYVIEW_INLINE V load(const float* from) { return *reinterpret_cast<const UnalignedV*>(from); }
STEADYVIEW_INLINE void store(float* to, V v) { *reinterpret_cast<UnalignedV*>(to) = v; }
STEADYVIEW_INLINE void store(int32_t* to, I v) { *reinterpret_cast<UnalignedI*>(to) = v; }
STEADYVIEW_INLINE V all(float value) { return value - V{}; }  // as GCC folds it
STEADYVIEW_INLINE V whole(I v) { return __builtin_convertvector(v, V); }
STEADYVIEW_INLINE I truncated(V v) { return __builtin_convertvector(v, I); }

STEADYVIEW_INLINE V lanes() {
  V v;
  for (int i = 0; i < W; ++i) v[i] = static_cast<float>(i);
  return v;
}

// What GCC makes of comparisons of generic vectors detours over full masks: the processor's own.
#if defined(__AVX512F__)
using Mask = __mmask16;
STEADYVIEW_INLINE __m512 raw(V v) { return reinterpret_cast<__m512>(v); }
STEADYVIEW_INLINE V larger(V a, V b) {
  return reinterpret_cast<V>(_mm512_maskz_max_ps(0xffff, raw(a), raw(b)));
}
STEADYVIEW_INLINE V smaller(V a, V b) {
  return reinterpret_cast<V>(_mm512_maskz_min_ps(0xffff, raw(a), raw(b)));
}
STEADYVIEW_INLINE Mask above(V a, V b) { return _mm512_cmp_ps_mask(raw(a), raw(b), _CMP_GT_OQ); }
STEADYVIEW_INLINE Mask not_below(V a, V b) {
  return _mm512_cmp_ps_mask(raw(a), raw(b), _CMP_GE_OQ);
}
STEADYVIEW_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
STEADYVIEW_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
STEADYVIEW_INLINE unsigned bits(Mask mask) { return mask; }
STEADYVIEW_INLINE V select(Mask mask, V yes, V no) {
  return reinterpret_cast<V>(_mm512_mask_blend_ps(mask, raw(no), raw(yes)));
}
STEADYVIEW_INLINE V magnitude(V v) {
  return reinterpret_cast<V>(reinterpret_cast<I>(v) & 0x7fffffff);
}
STEADYVIEW_INLINE V floored_value(V v) {
  return reinterpret_cast<V>(
      _mm512_maskz_roundscale_ps(0xffff, raw(v), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
STEADYVIEW_INLINE V above_floor(V v) {  // v less its floor
  return reinterpret_cast<V>(
      _mm512_maskz_reduce_ps(0xffff, raw(v), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
STEADYVIEW_INLINE I floored(V v) {
  return reinterpret_cast<I>(
      _mm512_maskz_cvt_roundps_epi32(0xffff, raw(v), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
STEADYVIEW_INLINE V root(V v) { return reinterpret_cast<V>(_mm512_maskz_sqrt_ps(0xffff, raw(v))); }
#else
using Mask = I;
STEADYVIEW_INLINE V larger(V a, V b) { return a > b ? a : b; }
STEADYVIEW_INLINE V smaller(V a, V b) { return a < b ? a : b; }
STEADYVIEW_INLINE Mask above(V a, V b) { return a > b; }
STEADYVIEW_INLINE Mask not_below(V a, V b) { return a >= b; }
STEADYVIEW_INLINE Mask both(Mask a, Mask b) { return a & b; }
STEADYVIEW_INLINE Mask either(Mask a, Mask b) { return a | b; }
STEADYVIEW_INLINE V select(Mask mask, V yes, V no) { return mask ? yes : no; }
STEADYVIEW_INLINE V magnitude(V v) {
  return reinterpret_cast<V>(reinterpret_cast<I>(v) & 0x7fffffff);
}
#if defined(__AVX2__)
STEADYVIEW_INLINE V floored_value(V v) {
  return reinterpret_cast<V>(_mm256_floor_ps(reinterpret_cast<__m256>(v)));
}
STEADYVIEW_INLINE unsigned bits(Mask mask) {
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
}
STEADYVIEW_INLINE V root(V v) {
  return reinterpret_cast<V>(_mm256_sqrt_ps(reinterpret_cast<__m256>(v)));
}
#else
STEADYVIEW_INLINE V floored_value(V v) {
  const V cut = whole(truncated(v));
  return cut - (cut > v ? all(1.f) : V{});
}
#if defined(__SSE2__)
STEADYVIEW_INLINE unsigned bits(Mask mask) {
  return static_cast<unsigned>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
}
STEADYVIEW_INLINE V root(V v) {
  return reinterpret_cast<V>(_mm_sqrt_ps(reinterpret_cast<__m128>(v)));
}
#else
STEADYVIEW_INLINE unsigned bits(Mask mask) {
  unsigned found = 0;
  for (int i = 0; i < W; ++i) found |= mask[i] ? 1u << i : 0u;
  return found;
}
STEADYVIEW_INLINE V root(V v) {
  for (int i = 0; i < W; ++i) v[i] = sqrtf(v[i]);
  return v;
}
#endif
#endif
STEADYVIEW_INLINE V above_floor(V v) { return v - floored_value(v); }
STEADYVIEW_INLINE I floored(V v) { return truncated(floored_value(v)); }
#endif

}  // namespace
}  // namespace steadyview::matching::STEADYVIEW_ISA
