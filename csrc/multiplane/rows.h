#pragma once

#include <cstdint>

#include "common/isa.h"

// The inner loops of the projection, compiled once for each instruction set. They give the same
// bits in each: none contracts a product and a sum.
namespace steadyview::multiplane {

// A run of source pixels of one row, from pixel (column, row) on.
struct SourceRun {
  const float* depth;  // (count)
  int64_t count;
  // z (u, v, 1) -> z' (u', v', 1): z (slope u + start) + offset for each of the three
  float first_u, slope[3], start[3], offset[3];
  int64_t output_height, output_width;
};

#define STEADYVIEW_MULTIPLANE_ROWS(isa)                                                           \
  namespace isa {                                                                                 \
  /* Target pixels, or -1, and their depths; widens rows[0], rows[1], the least and greatest row. \
   */                                                                                             \
  void project_row(const SourceRun&, int32_t* target, float* depth, int32_t* rows);               \
  int64_t count_invalid(const float* depth, int64_t count);                                       \
  /* Splits keys into depth and source pixel; 0 and -1 for what nothing reached. */               \
  void unpack_row(const uint64_t* nearest, int64_t count, float* depth, int32_t* landed);         \
  /* The plane of each depth: how many of the edges lie below it. */                              \
  void label_row(const float* depth, int64_t count, const float* edges, int edge_count,           \
                 uint8_t* labels);                                                                \
  /* Drops pixels with fewer than `needed` in their plane. Rows may be read from -1 to count. */  \
  void keep_row(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t count,   \
                int needed, uint8_t* kept);                                                       \
  /* 1 where all nine are the same plane or all empty. */                                         \
  void same_row(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t count,   \
                uint8_t* same);                                                                   \
  /* Copies what is shown as it landed; 0 elsewhere. */                                           \
  void gather_row(const float* plane, const int32_t* index, int64_t count, float* output);        \
  void gather_row(const double* plane, const int32_t* index, int64_t count, double* output);      \
  }
STEADYVIEW_MULTIPLANE_ROWS(baseline)
STEADYVIEW_MULTIPLANE_ROWS(avx2)
STEADYVIEW_MULTIPLANE_ROWS(avx512)
#undef STEADYVIEW_MULTIPLANE_ROWS

}  // namespace steadyview::multiplane
