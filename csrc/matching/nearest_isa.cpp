// Compiled once for each instruction set. Sums of 16 train descriptors lie side by side in vectors,
// so that no sum runs across lanes.
#include <stdint.h>

#include "matching/nearest.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace steadyview::matching::STEADYVIEW_ISA {
namespace {

// add_products(sum, values, pair): to each lane the products of two neighbours with a query's pair.
#if defined(__AVX2__)
using Sum = __m256i;
inline Sum zero() { return _mm256_setzero_si256(); }
inline void add_products(Sum& sum, const int16_t* values, int32_t pair) {
  const Sum loaded = _mm256_loadu_si256(reinterpret_cast<const Sum*>(values));
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(loaded, _mm256_set1_epi32(pair)));
}
inline void store(int32_t* to, Sum sum) { _mm256_storeu_si256(reinterpret_cast<Sum*>(to), sum); }
#elif defined(__SSE2__)
using Sum = __m128i;
inline Sum zero() { return _mm_setzero_si128(); }
inline void add_products(Sum& sum, const int16_t* values, int32_t pair) {
  const Sum loaded = _mm_loadu_si128(reinterpret_cast<const Sum*>(values));
  sum = _mm_add_epi32(sum, _mm_madd_epi16(loaded, _mm_set1_epi32(pair)));
}
inline void store(int32_t* to, Sum sum) { _mm_storeu_si128(reinterpret_cast<Sum*>(to), sum); }
#else
using Sum = int32_t;
inline Sum zero() { return 0; }
inline void add_products(Sum& sum, const int16_t* values, int32_t pair) {
  int16_t both[2];
  __builtin_memcpy(both, &pair, 4);
  sum += values[0] * both[0] + values[1] * both[1];
}
inline void store(int32_t* to, Sum sum) { *to = sum; }
#endif

constexpr int kWidth = sizeof(Sum) / 4;
constexpr int kGroup =
    kLanes / kWidth < 2 ? 1 : 2;  // vectors at a time: the sums stay in registers

// Dot products of kQueries queries with a block of kLanes train descriptors.
inline void dot_products(const TileParams& p, const int16_t* train, int32_t (*dots)[kLanes]) {
  for (int lane = 0; lane < kLanes; lane += kGroup * kWidth) {
    Sum sums[kQueries][kGroup];
    for (auto& row : sums) {
      for (Sum& sum : row) sum = zero();
    }
    for (int k = 0; k < p.pairs; ++k) {
      const int16_t* values = train + 2 * (kLanes * k + lane);
      for (int q = 0; q < kQueries; ++q) {
        int32_t pair;
        __builtin_memcpy(&pair, p.query + 2 * (static_cast<int64_t>(q) * p.pairs + k), 4);
        for (int v = 0; v < kGroup; ++v) add_products(sums[q][v], values + 2 * kWidth * v, pair);
      }
    }
    for (int q = 0; q < kQueries; ++q) {
      for (int v = 0; v < kGroup; ++v) store(dots[q] + lane + kWidth * v, sums[q][v]);
    }
  }
}

void tile(const TileParams& p) {
  int32_t best[kQueries][kLanes], second[kQueries][kLanes], index[kQueries][kLanes];
  for (int q = 0; q < kQueries; ++q) {
    for (int lane = 0; lane < kLanes; ++lane) {
      best[q][lane] = second[q][lane] = INT32_MAX;
      index[q][lane] = -1;
    }
  }
  for (int64_t block = 0; block < p.blocks; ++block) {
    int32_t dots[kQueries][kLanes];
    dot_products(p, p.train + 2 * block * kLanes * p.pairs, dots);
    const int32_t* norms = p.train_norms + block * kLanes;
    for (int q = 0; q < kQueries; ++q) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int32_t distance = norms[lane] - 2 * dots[q][lane];
        const int32_t old = best[q][lane], next = second[q][lane];
        const bool closer = distance < old;
        const int32_t farther = closer ? old : distance;
        second[q][lane] = farther < next ? farther : next;
        best[q][lane] = closer ? distance : old;
        const int32_t at = static_cast<int32_t>(block) * kLanes + lane;
        index[q][lane] = closer ? at : index[q][lane];
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) {
    int32_t lowest = INT32_MAX, next = INT32_MAX, where = -1;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int32_t value = best[q][lane];
      const bool closer = value < lowest || (value == lowest && index[q][lane] < where);
      const int32_t farther = closer ? lowest : value;
      next = farther < next ? farther : next;
      next = second[q][lane] < next ? second[q][lane] : next;
      if (closer) {
        lowest = value;
        where = index[q][lane];
      }
    }
    p.nearest[q] = lowest;
    p.second[q] = next;
    p.index[q] = where;
  }
}

}  // namespace

extern const TileFunction nearest_tile = &tile;

}  // namespace steadyview::matching::STEADYVIEW_ISA
