#pragma once

#include <cstdint>

#include "common/sampling.h"

namespace steadyview {

// Backward warp of one plane of a frame: output(p) = source(source_from_output p + displacement),
// in one resampling step. Pixel (0, 0) covers [0, 1] x [0, 1]; taps beyond the source repeat its
// edge. Points behind the camera (w <= 0 after normalising) see what lies infinitely far out.
struct PlaneWarp {
  const void* source;     // (source_height, source_width) of uint8 or uint16
  int64_t source_stride;  // bytes from row to row
  int64_t source_width, source_height;
  void* output;           // (output_height, output_width), may not overlap the source
  int64_t output_stride;  // bytes from row to row
  int64_t output_width, output_height;
  int sample_bytes;  // 1 or 2
  int max_value;     // (1 << bit depth) - 1; results are clamped to [0, max_value]
  Filter filter;
  double source_from_output[9];  // row-major, in this plane's pixels, w about 1 at the centre
  const double* displacement;    // (2, terms, terms) in this plane's pixels, x then y; or null
  int terms;                     // K: cosine terms a direction
  double basis_scale[2];         // the point (x, y) of this plane's output lies at the fraction
  double basis_offset[2];        // x * scale[0] + offset[0] of the frame's width, and so on
};

// Warps `count` planes, in parallel over blocks of rows.
void warp_planes(const PlaneWarp* planes, int count);

namespace planar {

constexpr int64_t kGroup = 16;         // output pixels whose source points lie on one parabola
constexpr double kFarthest = 1 << 20;  // source points beyond are taken one by one

// What the rows of a plane share.
struct Tables {
  int64_t groups;         // of a row
  const double* cosines;  // (terms, 2, groups + 1): cos(pi v x) at the first pixel of each group,
                          // then at the ninth; null without displacement
  bool exact;             // the parabolas are not close enough: take each pixel by itself
};

// Memory a variant needs for a row, in units of 8 bytes.
constexpr int64_t scratch_size(int64_t groups) { return 18 * (groups + 32); }

// Warps rows [first, last).
namespace baseline {
void warp_rows(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
               int64_t last);
}
namespace avx2 {
void warp_rows(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
               int64_t last);
}
namespace avx512 {
void warp_rows(const PlaneWarp& plane, const Tables& tables, double* scratch, int64_t first,
               int64_t last);
}

}  // namespace planar
}  // namespace steadyview
