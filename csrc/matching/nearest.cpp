#include "matching/nearest.h"

#include <algorithm>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"

namespace steadyview::matching {

namespace baseline {
extern const TileFunction nearest_tile;
}
#if defined(__x86_64__)
namespace avx2 {
extern const TileFunction nearest_tile;
}
namespace avx512 {
extern const TileFunction nearest_tile;
}
#endif

namespace {

TileFunction tile_function() { return STEADYVIEW_FOR_ISA(matching, nearest_tile); }

int32_t squared_norm(const uint8_t* values, int length) {
  int32_t sum = 0;
  for (int i = 0; i < length; ++i) sum += values[i] * values[i];
  return sum;
}

// Train descriptors in the order that a tile reads them.
struct Packed {
  std::vector<int16_t> values;
  std::vector<int32_t> norms;
  int64_t blocks;

  Packed(const NearestParams& p, int pairs)
      : values(static_cast<size_t>((p.trains + kLanes - 1) / kLanes * kLanes * pairs * 2)),
        norms(static_cast<size_t>((p.trains + kLanes - 1) / kLanes * kLanes), kFar),
        blocks((p.trains + kLanes - 1) / kLanes) {
    for (int64_t i = 0; i < p.trains; ++i) {
      const uint8_t* from = p.train + i * p.length;
      int16_t* to = values.data() + (i / kLanes * pairs * kLanes + i % kLanes) * 2;
      for (int k = 0; k < p.length; ++k) to[k / 2 * kLanes * 2 + k % 2] = from[k];
      norms[static_cast<size_t>(i)] = squared_norm(from, p.length);
    }
  }
};

}  // namespace

void nearest_two(const NearestParams& p) {
  if (has_vnni()) return nearest_two_vnni(p);
  const int pairs = (p.length + 1) / 2;
  const Packed train(p, pairs);
  const TileFunction tile = tile_function();
  parallel_for(0, p.queries, 64, [&](int64_t first, int64_t last) {
    int16_t query[kQueries * (kMaxLength + 1)];
    for (int64_t q = first; q < last; q += kQueries) {
      const int count = static_cast<int>(std::min<int64_t>(kQueries, last - q));
      std::fill_n(query, 2 * kQueries * pairs, int16_t{0});
      for (int i = 0; i < count; ++i) {
        std::copy_n(p.query + (q + i) * p.length, p.length, query + int64_t{2} * i * pairs);
      }
      int32_t index[kQueries], nearest[kQueries], second[kQueries];
      tile({.query = query,
            .train = train.values.data(),
            .train_norms = train.norms.data(),
            .blocks = train.blocks,
            .pairs = pairs,
            .index = index,
            .nearest = nearest,
            .second = second});
      for (int i = 0; i < count; ++i) {
        const int32_t norm = squared_norm(p.query + (q + i) * p.length, p.length);
        p.index[q + i] = p.trains > 0 ? index[i] : -1;
        p.nearest[q + i] = p.trains > 0 ? nearest[i] + norm : INT32_MAX;
        p.second[q + i] = p.trains > 1 ? second[i] + norm : INT32_MAX;
      }
    }
  });
}

}  // namespace steadyview::matching
