#pragma once

#include <cstdint>

#include "multiplane/multiplane.h"

namespace steadyview::multiplane {

// Edges between the planes of a view from its depths (0: none), without sorting: positive floats
// order as their bits do, which are counted, the high ones first. edges (planes - 1).
void choose_edges(const float* depth, int64_t count, int planes, Split split, float* edges);

inline constexpr int kLowBits = 15;  // of 31
inline constexpr int64_t kHighCounts = int64_t{1} << 16;
inline constexpr int64_t kLowCounts = int64_t{1} << kLowBits;

}  // namespace steadyview::multiplane
