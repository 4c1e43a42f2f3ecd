#include "multiplane/ranks.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/parallel.h"
#include "multiplane/multiplane_maths.h"

namespace steadyview::multiplane {
namespace {

constexpr int64_t kChunks = 8;

uint32_t bits_of(float value) { return __builtin_bit_cast(uint32_t, value); }

// Sums count(first, last, counts) over chunks of the pixels.
template <typename Count>
std::vector<uint32_t> count_all(int64_t pixels, int64_t bins, int64_t chunks, Count count) {
  std::vector<uint32_t> counts(static_cast<size_t>(bins * chunks));
  const int64_t grain = (pixels + chunks - 1) / chunks;
  parallel_for(0, chunks, 1, [&](int64_t chunk, int64_t) {
    const int64_t first = std::min(chunk * grain, pixels), last = std::min(first + grain, pixels);
    count(first, last, counts.data() + chunk * bins);
  });
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    for (int64_t i = 0; i < bins; ++i) counts[i] += counts[chunk * bins + i];
  }
  return counts;
}

}  // namespace

void choose_edges(const float* depth, int64_t count, int planes, Split split, float* edges) {
  std::fill(edges, edges + planes - 1, 0.0f);
  const int wanted = rank_count(planes, split);
  if (wanted == 0 || planes < 2) return;
  const auto high =
      count_all(count, kHighCounts, kChunks, [&](int64_t i, int64_t last, uint32_t* c) {
        for (; i < last; ++i) c[bits_of(depth[i]) >> kLowBits] += depth[i] != 0;
      });
  int64_t valid = 0;
  for (int64_t i = 0; i < kHighCounts; ++i) valid += high[i];
  if (valid == 0) return;

  // Ranks ascend: one walk finds the high bits of each and how many come before those.
  std::vector<int16_t> slot_of(kHighCounts, -1);
  int64_t bin = 0, before = 0, left[kMaxPlanes];
  int slots = 0, slot[kMaxPlanes];
  uint32_t bin_of[kMaxPlanes];
  for (int i = 0; i < wanted; ++i) {
    const int64_t rank = rank_of(i, planes, split, valid);
    while (before + high[bin] <= rank) before += high[bin++];
    if (slot_of[bin] < 0) slot_of[bin] = static_cast<int16_t>(slots++);
    slot[i] = slot_of[bin];
    bin_of[i] = static_cast<uint32_t>(bin);
    left[i] = rank - before;
  }
  const auto low = count_all(count, slots * kLowCounts, std::max<int64_t>(1, kChunks / slots),
                             [&](int64_t i, int64_t last, uint32_t* c) {
                               for (; i < last; ++i) {
                                 const uint32_t bits = bits_of(depth[i]);
                                 const int64_t s = slot_of[bits >> kLowBits];
                                 if (s < 0) continue;
                                 c[s * kLowCounts + (bits & (kLowCounts - 1))] += depth[i] != 0;
                               }
                             });
  float values[kMaxPlanes];
  for (int i = 0; i < wanted; ++i) {
    const uint32_t* c = low.data() + slot[i] * kLowCounts;
    uint32_t bits = 0;
    for (; left[i] >= c[bits]; ++bits) left[i] -= c[bits];
    values[i] = __builtin_bit_cast(float, bin_of[i] << kLowBits | bits);
  }
  for (int i = 0; i + 1 < planes; ++i) edges[i] = edge_of(i, planes, split, values);
}

}  // namespace steadyview::multiplane
