// For processors with AVX-512 VNNI: 64 products of bytes in one instruction, which takes unsigned
// bytes (the trains) times signed ones (the queries less 128). Functions carry their instruction
// set themselves, so that nothing else in this file is compiled with it.
#include <string.h>

#include <algorithm>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "matching/nearest.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace steadyview::matching {

#if defined(__x86_64__)
namespace {

constexpr int kTogether = 8;  // queries
constexpr int kBlocks = 2;    // of kLanes trains: 16 vectors of sums in flight

#define STEADYVIEW_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

struct Packed {
  int quads;                   // of bytes, the last padded with zeros
  int64_t blocks;              // a multiple of kBlocks
  std::vector<uint8_t> bytes;  // (blocks, quads, kLanes, 4)
  std::vector<int32_t> norms;  // (blocks, kLanes): |train|^2 - 256 sum(train); kFar beyond the last

  explicit Packed(const NearestParams& p)
      : quads((p.length + 3) / 4),
        blocks((p.trains + kLanes * kBlocks - 1) / (kLanes * kBlocks) * kBlocks),
        bytes(static_cast<size_t>(blocks * quads * kLanes * 4)),
        norms(static_cast<size_t>(blocks * kLanes), kFar) {
    for (int64_t i = 0; i < p.trains; ++i) {
      const uint8_t* from = p.train + i * p.length;
      uint8_t* to = bytes.data() + (i / kLanes * quads * kLanes + i % kLanes) * 4;
      int32_t norm = 0;
      for (int k = 0; k < p.length; ++k) norm += from[k] * (from[k] - 256);
      norms[static_cast<size_t>(i)] = norm;
      const int whole = p.length / 4 * 4;
      for (int k = 0; k < whole; k += 4) memcpy(to + k * kLanes, from + k, 4);
      for (int k = whole; k < p.length; ++k) to[whole * kLanes + k - whole] = from[k];
    }
  }
};

struct Found {
  alignas(64) int32_t best[kTogether][kLanes];
  alignas(64) int32_t second[kTogether][kLanes];
  alignas(64) int32_t index[kTogether][kLanes];
};

// `query`: (quads, kTogether, 4) bytes less 128.
STEADYVIEW_VNNI void search(const Packed& train, const int8_t* query, Found& found) {
  for (int q = 0; q < kTogether; ++q) {
    for (int lane = 0; lane < kLanes; ++lane) {
      found.best[q][lane] = found.second[q][lane] = INT32_MAX;
      found.index[q][lane] = -1;
    }
  }
  for (int64_t block = 0; block < train.blocks; block += kBlocks) {
    const uint8_t* at = train.bytes.data() + block * train.quads * kLanes * 4;
    const int64_t next = int64_t{train.quads} * kLanes * 4;
    __m512i dots[kTogether][kBlocks];
    for (auto& row : dots) {
      for (__m512i& dot : row) dot = _mm512_setzero_si512();
    }
    for (int k = 0; k < train.quads; ++k) {
      const __m512i first = _mm512_loadu_si512(at + k * kLanes * 4);
      const __m512i second = _mm512_loadu_si512(at + next + k * kLanes * 4);
#pragma GCC unroll 8
      for (int q = 0; q < kTogether; ++q) {
        int32_t four;
        memcpy(&four, query + (k * kTogether + q) * 4, 4);
        const __m512i factor = _mm512_set1_epi32(four);
        dots[q][0] = _mm512_dpbusd_epi32(dots[q][0], first, factor);
        dots[q][1] = _mm512_dpbusd_epi32(dots[q][1], second, factor);
      }
    }
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) {
      const __m512i norms = _mm512_loadu_si512(train.norms.data() + (block + b) * kLanes);
      const __m512i number = _mm512_set1_epi32(static_cast<int32_t>(block + b));
#pragma GCC unroll 8
      for (int q = 0; q < kTogether; ++q) {
        const __m512i key = _mm512_sub_epi32(norms, _mm512_add_epi32(dots[q][b], dots[q][b]));
        const __m512i best = _mm512_load_si512(found.best[q]);
        const __mmask16 closer = _mm512_cmplt_epi32_mask(key, best);
        const __m512i farther = _mm512_maskz_max_epi32(0xffff, key, best);
        const __m512i second = _mm512_load_si512(found.second[q]);
        _mm512_store_si512(found.second[q], _mm512_maskz_min_epi32(0xffff, second, farther));
        _mm512_store_si512(found.best[q], _mm512_maskz_min_epi32(0xffff, key, best));
        _mm512_mask_store_epi32(found.index[q], closer, number);
      }
    }
  }
  for (auto& row : found.index) {
    for (int lane = 0; lane < kLanes; ++lane) row[lane] = row[lane] * kLanes + lane;
  }
}

// Of the lanes' two nearest the nearest two; of equals the one with the lowest index.
void finish(const NearestParams& p, const Found& found, int q, int64_t to) {
  int32_t best = INT32_MAX, second = INT32_MAX, index = -1, norm = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int32_t value = found.best[q][lane], at = found.index[q][lane];
    const bool closer = value < best || (value == best && at < index);
    second = std::min({second, closer ? best : value, found.second[q][lane]});
    if (closer) {
      best = value;
      index = at;
    }
  }
  for (int k = 0; k < p.length; ++k)
    norm += p.query[to * p.length + k] * p.query[to * p.length + k];
  p.index[to] = p.trains > 0 ? index : -1;
  p.nearest[to] = p.trains > 0 ? best + norm : INT32_MAX;
  p.second[to] = p.trains > 1 ? second + norm : INT32_MAX;
}

}  // namespace

bool has_vnni() {
  static const bool has = __builtin_cpu_supports("avx512vnni");
  return has && active_isa() == Isa::avx512;
}

void nearest_two_vnni(const NearestParams& p) {
  const Packed train(p);
  parallel_for(0, p.queries, 64, [&](int64_t first, int64_t last) {
    std::vector<int8_t> query(static_cast<size_t>(train.quads * kTogether * 4));
    Found found;
    for (int64_t q = first; q < last; q += kTogether) {
      const int count = static_cast<int>(std::min<int64_t>(kTogether, last - q));
      for (int i = 0; i < count; ++i) {
        const uint8_t* from = p.query + (q + i) * p.length;
        int8_t* to = query.data() + 4 * i;
        const int whole = p.length / 4 * 4;
        for (int k = 0; k < whole; k += 4) {
          uint32_t four;
          memcpy(&four, from + k, 4);
          four ^= 0x80808080u;  // each byte less 128
          memcpy(to + k * kTogether, &four, 4);
        }
        for (int k = whole; k < p.length; ++k) {
          to[whole * kTogether + k - whole] = static_cast<int8_t>(from[k] - 128);
        }
      }
      search(train, query.data(), found);
      for (int i = 0; i < count; ++i) finish(p, found, i, q + i);
    }
  });
}
#else
bool has_vnni() { return false; }
void nearest_two_vnni(const NearestParams&) {}
#endif

}  // namespace steadyview::matching
