#pragma once

// Eight or sixteen 32-bit lanes, for the sources compiled for AVX2 and AVX-512. Anonymous: each
// variant keeps its own copy.

#include <cstdint>

#if defined(__AVX2__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in GCC 12's intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace {

#define STEADYVIEW_LANE inline __attribute__((always_inline))

#if defined(__AVX512BW__)

constexpr int kLanes = 16;
using Floats = __m512;
using Ints = __m512i;
using Mask = __mmask16;

STEADYVIEW_LANE Floats splat(float a) { return _mm512_set1_ps(a); }
STEADYVIEW_LANE Ints splat_int(int a) { return _mm512_set1_epi32(a); }
STEADYVIEW_LANE Floats load_floats(const float* p) { return _mm512_loadu_ps(p); }
STEADYVIEW_LANE Ints load_ints(const int* p) { return _mm512_loadu_si512(p); }
STEADYVIEW_LANE void store_ints(int* p, Ints a) { _mm512_storeu_si512(p, a); }
STEADYVIEW_LANE Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
STEADYVIEW_LANE Ints floor_int(Floats a) {
  return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
STEADYVIEW_LANE Floats lower(Floats a, Floats b) { return _mm512_min_ps(a, b); }
STEADYVIEW_LANE Ints round_int(Floats a) { return _mm512_cvtps_epi32(a); }
STEADYVIEW_LANE Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
STEADYVIEW_LANE Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
STEADYVIEW_LANE Ints subtract(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
STEADYVIEW_LANE Ints lower(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
STEADYVIEW_LANE Ints higher(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
STEADYVIEW_LANE Ints either(Ints a, Ints b) { return _mm512_or_si512(a, b); }
STEADYVIEW_LANE Ints flip(Ints a, Ints b) { return _mm512_xor_si512(a, b); }
// Pairs of 16-bit words: a in the lower half of each lane, b in the upper.
STEADYVIEW_LANE Ints pairs(Ints a, Ints b) {
  return _mm512_mask_blend_epi16(0xAAAAAAAAu, a, _mm512_slli_epi32(b, 16));
}
STEADYVIEW_LANE Ints multiply_words(Ints a, Ints b) { return _mm512_mullo_epi16(a, b); }
STEADYVIEW_LANE Ints dot_pairs(Ints a, Ints b) { return _mm512_madd_epi16(a, b); }
STEADYVIEW_LANE Ints pick_bytes(Ints a, Ints control) { return _mm512_shuffle_epi8(a, control); }
STEADYVIEW_LANE Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
STEADYVIEW_LANE Floats magnitude(Floats a) { return _mm512_abs_ps(a); }
STEADYVIEW_LANE Mask at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
STEADYVIEW_LANE Ints minus_one_if(Mask m) { return _mm512_movm_epi32(m); }
STEADYVIEW_LANE Ints above(Ints a, Ints b) {
  return _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b));
}
STEADYVIEW_LANE Ints multiply(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
STEADYVIEW_LANE Ints subtract_words(Ints a, Ints b) { return _mm512_subs_epi16(a, b); }
STEADYVIEW_LANE Ints add_words(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
STEADYVIEW_LANE Ints bits(Floats a) { return _mm512_castps_si512(a); }
STEADYVIEW_LANE Floats as_floats(Ints a) { return _mm512_castsi512_ps(a); }
STEADYVIEW_LANE Ints blend(Ints negative, Ints yes, Ints no) {
  return _mm512_mask_blend_epi32(_mm512_movepi32_mask(negative), no, yes);
}
STEADYVIEW_LANE bool none(Ints a) { return _mm512_test_epi32_mask(a, a) == 0; }
// The lower word of each lane in both its words.
STEADYVIEW_LANE Ints twice(Ints a) {
  return pick_bytes(
      a, _mm512_broadcast_i32x4(_mm_set_epi32(0x0D0C0D0C, 0x09080908, 0x05040504, 0x01000100)));
}
STEADYVIEW_LANE Ints pick_words(Ints a, Ints index) { return _mm512_permutexvar_epi16(index, a); }
// 32 samples as words.
STEADYVIEW_LANE Ints load_words(const uint16_t* p) { return _mm512_loadu_si512(p); }
STEADYVIEW_LANE Ints load_words(const uint8_t* p) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
STEADYVIEW_LANE Ints gather(const uint8_t* p, Ints offset) {
  return _mm512_i32gather_epi32(offset, p, 1);
}
STEADYVIEW_LANE void store_floats(float* p, Floats a) { _mm512_storeu_ps(p, a); }
STEADYVIEW_LANE Floats select(Mask m, Floats yes, Floats no) {
  return _mm512_mask_blend_ps(m, no, yes);
}
// value(j) for the lanes of run j: 8 lanes (uint8) or 4 (uint16).
template <int bytes, typename Value>
STEADYVIEW_LANE Ints spread(Value value) {
  Ints a = _mm512_set1_epi32(value(0));
  if constexpr (bytes == 1) {
    return _mm512_mask_set1_epi32(a, 0xFF00, value(1));
  } else {
    a = _mm512_mask_set1_epi32(a, 0x00F0, value(1));
    a = _mm512_mask_set1_epi32(a, 0x0F00, value(2));
    return _mm512_mask_set1_epi32(a, 0xF000, value(3));
  }
}
// 16 source bytes for each 128-bit part of the register: one pointer a run.
template <int bytes>
STEADYVIEW_LANE Ints load_runs(const uint8_t* const* p) {
  const auto load = [](const uint8_t* q) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
  };
  Ints a = _mm512_broadcast_i32x4(load(p[0]));
  if constexpr (bytes == 1) {
    return _mm512_mask_broadcast_i32x4(a, 0xFF00, load(p[1]));
  } else {
    a = _mm512_mask_broadcast_i32x4(a, 0x00F0, load(p[1]));
    a = _mm512_mask_broadcast_i32x4(a, 0x0F00, load(p[2]));
    return _mm512_mask_broadcast_i32x4(a, 0xF000, load(p[3]));
  }
}
STEADYVIEW_LANE void store_samples(uint8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(a));
}
STEADYVIEW_LANE void store_samples(uint16_t* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
}

#else

constexpr int kLanes = 8;
using Floats = __m256;
using Ints = __m256i;
using Mask = __m256i;

STEADYVIEW_LANE Floats splat(float a) { return _mm256_set1_ps(a); }
STEADYVIEW_LANE Ints splat_int(int a) { return _mm256_set1_epi32(a); }
STEADYVIEW_LANE Floats load_floats(const float* p) { return _mm256_loadu_ps(p); }
STEADYVIEW_LANE Ints load_ints(const int* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
STEADYVIEW_LANE void store_ints(int* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
}
STEADYVIEW_LANE Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
STEADYVIEW_LANE Ints floor_int(Floats a) { return _mm256_cvtps_epi32(_mm256_floor_ps(a)); }
STEADYVIEW_LANE Floats lower(Floats a, Floats b) { return _mm256_min_ps(a, b); }
STEADYVIEW_LANE Ints round_int(Floats a) { return _mm256_cvtps_epi32(a); }
STEADYVIEW_LANE Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
STEADYVIEW_LANE Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
STEADYVIEW_LANE Ints subtract(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
STEADYVIEW_LANE Ints lower(Ints a, Ints b) { return _mm256_min_epi32(a, b); }
STEADYVIEW_LANE Ints higher(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
STEADYVIEW_LANE Ints either(Ints a, Ints b) { return _mm256_or_si256(a, b); }
STEADYVIEW_LANE Ints flip(Ints a, Ints b) { return _mm256_xor_si256(a, b); }
STEADYVIEW_LANE Ints pairs(Ints a, Ints b) {
  return _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xAA);
}
STEADYVIEW_LANE Ints multiply_words(Ints a, Ints b) { return _mm256_mullo_epi16(a, b); }
STEADYVIEW_LANE Ints dot_pairs(Ints a, Ints b) { return _mm256_madd_epi16(a, b); }
STEADYVIEW_LANE Ints pick_bytes(Ints a, Ints control) { return _mm256_shuffle_epi8(a, control); }
STEADYVIEW_LANE Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
STEADYVIEW_LANE Floats magnitude(Floats a) { return _mm256_andnot_ps(splat(-0.0f), a); }
STEADYVIEW_LANE Mask at_least(Floats a, Floats b) {
  return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_GE_OQ));
}
STEADYVIEW_LANE Ints minus_one_if(Mask m) { return m; }
STEADYVIEW_LANE Ints above(Ints a, Ints b) { return _mm256_cmpgt_epi32(a, b); }
STEADYVIEW_LANE Ints multiply(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
STEADYVIEW_LANE Ints subtract_words(Ints a, Ints b) { return _mm256_subs_epi16(a, b); }
STEADYVIEW_LANE Ints add_words(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
STEADYVIEW_LANE Ints bits(Floats a) { return _mm256_castps_si256(a); }
STEADYVIEW_LANE Floats as_floats(Ints a) { return _mm256_castsi256_ps(a); }
STEADYVIEW_LANE Ints blend(Ints negative, Ints yes, Ints no) {
  return _mm256_blendv_epi8(no, yes, negative);
}
STEADYVIEW_LANE Ints gather(const uint8_t* p, Ints offset) {
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(p), offset, 1);
}
STEADYVIEW_LANE void store_floats(float* p, Floats a) { _mm256_storeu_ps(p, a); }
STEADYVIEW_LANE Floats select(Mask m, Floats yes, Floats no) {
  return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(m));
}
template <int bytes, typename Value>
STEADYVIEW_LANE Ints spread(Value value) {
  const Ints a = _mm256_set1_epi32(value(0));
  return bytes == 1 ? a : _mm256_blend_epi32(a, _mm256_set1_epi32(value(bytes - 1)), 0xF0);
}
template <int bytes>
STEADYVIEW_LANE Ints load_runs(const uint8_t* const* p) {
  const auto load = [](const uint8_t* q) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
  };
  if constexpr (bytes == 1) {
    return _mm256_broadcastsi128_si256(load(p[0]));
  } else {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load(p[0])), load(p[1]), 1);
  }
}
STEADYVIEW_LANE __m128i words(Ints a) {  // of lanes in [0, 65535]
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0x08);
  return _mm256_castsi256_si128(packed);
}
STEADYVIEW_LANE void store_samples(uint8_t* p, Ints a) {
  const __m128i w = words(a);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(w, w));
}
STEADYVIEW_LANE void store_samples(uint16_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), words(a));
}

#endif

template <int bytes>
constexpr int kRuns = bytes == 1 ? kLanes / 8 : kLanes / 4;

}  // namespace
#endif
