#pragma once

// Vectors of bytes for the files that are compiled once for each instruction set.

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define STEADYVIEW_INLINE inline __attribute__((always_inline))

namespace steadyview::stereo::STEADYVIEW_ISA {
namespace {

// add_if_one(sum, a, b, c, d): sum + 1 in the lanes where exactly one of a < b and c < d holds.
// add_wide(to, v, add): the bytes as 16-bit numbers, added to `to` or stored there.
#if defined(__AVX512BW__)
using Bytes = __m512i;
STEADYVIEW_INLINE Bytes load(const uint8_t* from) { return _mm512_loadu_si512(from); }
STEADYVIEW_INLINE void store(uint8_t* to, Bytes v) { _mm512_storeu_si512(to, v); }
STEADYVIEW_INLINE Bytes all(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
STEADYVIEW_INLINE Bytes least(Bytes a, Bytes b) { return _mm512_min_epu8(a, b); }
STEADYVIEW_INLINE Bytes most(Bytes a, Bytes b) { return _mm512_max_epu8(a, b); }
STEADYVIEW_INLINE Bytes plus(Bytes a, Bytes b) { return _mm512_adds_epu8(a, b); }
STEADYVIEW_INLINE Bytes minus(Bytes a, Bytes b) { return _mm512_subs_epu8(a, b); }
STEADYVIEW_INLINE Bytes either(Bytes a, Bytes b) { return _mm512_or_si512(a, b); }
STEADYVIEW_INLINE Bytes add_if_one(Bytes sum, Bytes a, Bytes b, Bytes c, Bytes d) {
  const __mmask64 one = _mm512_cmplt_epu8_mask(a, b) ^ _mm512_cmplt_epu8_mask(c, d);
  return _mm512_mask_sub_epi8(sum, one, sum, _mm512_set1_epi8(-1));
}
// Masked: of the plain ones GCC 12 says that they use something uninitialised.
STEADYVIEW_INLINE __m256i first_half(Bytes v) { return _mm512_maskz_extracti64x4_epi64(255, v, 0); }
STEADYVIEW_INLINE __m256i other_half(Bytes v) { return _mm512_maskz_extracti64x4_epi64(255, v, 1); }
STEADYVIEW_INLINE void add_wide(uint16_t* to, Bytes v, bool add) {
  for (int half = 0; half < 2; ++half) {
    __m512i wide = _mm512_cvtepu8_epi16(half ? other_half(v) : first_half(v));
    if (add) wide = _mm512_add_epi16(wide, _mm512_loadu_si512(to + 32 * half));
    _mm512_storeu_si512(to + 32 * half, wide);
  }
}
STEADYVIEW_INLINE __m128i fold(Bytes v) {
  const __m256i half = _mm256_min_epu8(first_half(v), other_half(v));
  return _mm_min_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
#elif defined(__AVX2__)
using Bytes = __m256i;
STEADYVIEW_INLINE Bytes load(const uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const Bytes*>(from));
}
STEADYVIEW_INLINE void store(uint8_t* to, Bytes v) {
  _mm256_storeu_si256(reinterpret_cast<Bytes*>(to), v);
}
STEADYVIEW_INLINE Bytes all(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
STEADYVIEW_INLINE Bytes least(Bytes a, Bytes b) { return _mm256_min_epu8(a, b); }
STEADYVIEW_INLINE Bytes most(Bytes a, Bytes b) { return _mm256_max_epu8(a, b); }
STEADYVIEW_INLINE Bytes plus(Bytes a, Bytes b) { return _mm256_adds_epu8(a, b); }
STEADYVIEW_INLINE Bytes minus(Bytes a, Bytes b) { return _mm256_subs_epu8(a, b); }
STEADYVIEW_INLINE Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
STEADYVIEW_INLINE Bytes add_if_one(Bytes sum, Bytes a, Bytes b, Bytes c, Bytes d) {
  const Bytes one = _mm256_xor_si256(_mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a),
                                     _mm256_cmpeq_epi8(_mm256_max_epu8(c, d), c));
  return _mm256_sub_epi8(sum, one);
}
STEADYVIEW_INLINE void add_wide(uint16_t* to, Bytes v, bool add) {
  for (int half = 0; half < 2; ++half) {
    const __m128i bytes = half ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v);
    auto* at = reinterpret_cast<__m256i*>(to + 16 * half);
    __m256i wide = _mm256_cvtepu8_epi16(bytes);
    if (add) wide = _mm256_add_epi16(wide, _mm256_loadu_si256(at));
    _mm256_storeu_si256(at, wide);
  }
}
STEADYVIEW_INLINE __m128i fold(Bytes v) {
  return _mm_min_epu8(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
#elif defined(__SSE2__)
using Bytes = __m128i;
STEADYVIEW_INLINE Bytes load(const uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const Bytes*>(from));
}
STEADYVIEW_INLINE void store(uint8_t* to, Bytes v) {
  _mm_storeu_si128(reinterpret_cast<Bytes*>(to), v);
}
STEADYVIEW_INLINE Bytes all(int v) { return _mm_set1_epi8(static_cast<char>(v)); }
STEADYVIEW_INLINE Bytes least(Bytes a, Bytes b) { return _mm_min_epu8(a, b); }
STEADYVIEW_INLINE Bytes most(Bytes a, Bytes b) { return _mm_max_epu8(a, b); }
STEADYVIEW_INLINE Bytes plus(Bytes a, Bytes b) { return _mm_adds_epu8(a, b); }
STEADYVIEW_INLINE Bytes minus(Bytes a, Bytes b) { return _mm_subs_epu8(a, b); }
STEADYVIEW_INLINE Bytes either(Bytes a, Bytes b) { return _mm_or_si128(a, b); }
STEADYVIEW_INLINE Bytes add_if_one(Bytes sum, Bytes a, Bytes b, Bytes c, Bytes d) {
  const Bytes one =
      _mm_xor_si128(_mm_cmpeq_epi8(_mm_max_epu8(a, b), a), _mm_cmpeq_epi8(_mm_max_epu8(c, d), c));
  return _mm_sub_epi8(sum, one);
}
STEADYVIEW_INLINE void add_wide(uint16_t* to, Bytes v, bool add) {
  const __m128i zero = _mm_setzero_si128();
  for (int half = 0; half < 2; ++half) {
    auto* at = reinterpret_cast<__m128i*>(to + 8 * half);
    __m128i wide = half ? _mm_unpackhi_epi8(v, zero) : _mm_unpacklo_epi8(v, zero);
    if (add) wide = _mm_add_epi16(wide, _mm_loadu_si128(at));
    _mm_storeu_si128(at, wide);
  }
}
STEADYVIEW_INLINE __m128i fold(Bytes v) { return v; }
#else
typedef uint8_t Bytes __attribute__((vector_size(16)));
STEADYVIEW_INLINE Bytes load(const uint8_t* from) {
  Bytes v;
  memcpy(&v, from, sizeof(v));
  return v;
}
STEADYVIEW_INLINE void store(uint8_t* to, Bytes v) { memcpy(to, &v, sizeof(v)); }
STEADYVIEW_INLINE Bytes all(int v) { return Bytes{} + static_cast<uint8_t>(v); }
STEADYVIEW_INLINE Bytes least(Bytes a, Bytes b) { return a < b ? a : b; }
STEADYVIEW_INLINE Bytes most(Bytes a, Bytes b) { return a < b ? b : a; }
STEADYVIEW_INLINE Bytes plus(Bytes a, Bytes b) { return a + least(b, ~a); }
STEADYVIEW_INLINE Bytes minus(Bytes a, Bytes b) { return a - least(a, b); }
STEADYVIEW_INLINE Bytes either(Bytes a, Bytes b) { return a | b; }
STEADYVIEW_INLINE Bytes add_if_one(Bytes sum, Bytes a, Bytes b, Bytes c, Bytes d) {
  return sum - reinterpret_cast<Bytes>((a < b) ^ (c < d));
}
STEADYVIEW_INLINE void add_wide(uint16_t* to, Bytes v, bool add) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<uint16_t>(v[i] + (add ? to[i] : 0));
}
#endif

// The least of all lanes.
STEADYVIEW_INLINE uint8_t least_lane(Bytes v) {
#if defined(__SSE2__)
  __m128i m = fold(v);
  m = _mm_min_epu8(m, _mm_srli_si128(m, 8));
  m = _mm_min_epu8(m, _mm_srli_si128(m, 4));
  m = _mm_min_epu8(m, _mm_srli_si128(m, 2));
  m = _mm_min_epu8(m, _mm_srli_si128(m, 1));
  return static_cast<uint8_t>(_mm_cvtsi128_si32(m));
#else
  uint8_t m = v[0];
  for (int i = 1; i < 16; ++i) m = v[i] < m ? v[i] : m;
  return m;
#endif
}

constexpr int kLanes = sizeof(Bytes);

}  // namespace
}  // namespace steadyview::stereo::STEADYVIEW_ISA
