#pragma once

// Brute-force matching of byte descriptors (SIFT's are 128 bytes): exact integer distances.

#include <stdint.h>

namespace steadyview::matching {

constexpr int kLanes = 16;       // train descriptors that one vector of sums serves
constexpr int kQueries = 4;      // queries that share a load of train descriptors
constexpr int kMaxLength = 512;  // bytes of a descriptor

// For each query descriptor: the nearest train descriptor, and the two smallest distances.
struct NearestParams {
  const uint8_t* query;  // (queries, length)
  const uint8_t* train;  // (trains, length)
  int64_t queries, trains;
  int length;        // bytes of a descriptor, 1 to kMaxLength
  int32_t* index;    // (queries) the nearest, the lowest of equals; -1 without train descriptors
  int32_t* nearest;  // (queries) its squared distance; INT32_MAX without
  int32_t* second;   // (queries) squared distance of the second nearest; INT32_MAX without
};

// Parallel over queries. Results do not depend on the instruction set or the number of threads.
void nearest_two(const NearestParams& params);

// The same on processors with AVX-512 VNNI.
bool has_vnni();
void nearest_two_vnni(const NearestParams& params);

// What a variant computes: kQueries queries against all train descriptors.
struct TileParams {
  const int16_t* query;        // (kQueries, pairs, 2)
  const int16_t* train;        // (blocks, pairs, kLanes, 2), zero beyond the last descriptor
  const int32_t* train_norms;  // (blocks, kLanes) squared norms; kFar beyond the last descriptor
  int64_t blocks;
  int pairs;         // of descriptor bytes, the last padded with a zero
  int32_t* index;    // (kQueries)
  int32_t* nearest;  // (kQueries) |train|^2 - 2 query . train
  int32_t* second;   // (kQueries)
};

constexpr int32_t kFar = 1 << 30;

using TileFunction = void (*)(const TileParams&);

}  // namespace steadyview::matching
