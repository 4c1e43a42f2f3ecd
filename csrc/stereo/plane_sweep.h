#pragma once

// Depth of one picture from others of the same scene with known cameras: each pixel is tried at a
// list of depth planes of the reference camera. Matching costs come from the best of the sources
// (the others may be occluded), are made consistent along scan lines (semi-global matching,
// Hirschmueller 2008), and the cheapest plane wins.

#include <stdint.h>

#include "common/isa.h"

namespace steadyview::stereo {

enum class Cost : int { census, zncc };

constexpr int kRadius = 2;        // of the 5x5 window that both costs compare
constexpr int kGroup = 16;        // planes whose costs are gathered before they are written
constexpr int kMaxCost = 72;      // nothing in common; of census, 3 for each bit that differs
constexpr int kUnseen = 255;      // cost at a source that does not see the point
constexpr int kUnseenByAll = 48;  // what planes cost where no source sees any
constexpr int kMaxPenalty = 180;  // then a path's cost stays below 255: a byte
constexpr int kMaxSum = 8 * (kMaxCost + kMaxPenalty);  // of all paths
constexpr double kCostNoise = 50;  // likelihood by a path's cost: (1 + cost / this) ^ -kCostPower;
constexpr double kCostPower = 7;   // fitted to scenes with truth, benchmarks/stereo.py
constexpr double kClose = 0.05;    // relative difference of depths that counts as right
constexpr int kMaxSources = 64;    // of one reference
constexpr int kMaxKeep = 16;       // sources whose costs are averaged
constexpr int kMaxPlanes = 1024;   // so a CUDA block has a thread for each
constexpr int kPlaneStep = 64;     // planes are padded to a multiple
constexpr int kPadding = 64;       // readable bytes after the pictures
constexpr int64_t kStripMargin = 32;  // rows on either side that a strip computes and drops

struct PlaneSweep {
  const uint8_t* images;  // (1 + sources, height, width) grey, reference first; kPadding bytes more
  const double* maps;     // (sources, 12) of pixel_map()
  const double* inverse_depths;  // (planes) strictly monotonic, in 1 / scene units
  int64_t height, width;
  int sources, planes;
  Cost cost;
  int keep;                 // costs of the best `keep` sources are averaged, at most kMaxKeep
  int paths;                // 4 or 8 scan line directions; 0 for none: cheapest plane as it is
  int step_penalty;         // a change by one plane between neighbours, at most kMaxPenalty
  int jump_penalty;         // a larger change; lowered towards step_penalty at edges
  double least_confidence;  // valid pixels have more
  int64_t strip_rows;       // rows at a time besides the margins: bounds the memory
  float* depth;             // (height, width) in scene units, between planes; 0 where unseen
  float* confidence;        // (height, width) 0 to 1: of share_close
  bool* valid;              // (height, width) seen, confident, and consistent with the sources
};

// Planes of the volumes, padding included.
inline int padded_planes(int planes) { return (planes + kPlaneStep - 1) / kPlaneStep * kPlaneStep; }

// Largest strip whose volumes fit into `bytes`; at least as many rows as its margins have.
int64_t rows_within(int64_t bytes, int64_t width, int planes);

// The map from reference to source pixels, the centre of the first pixel being (0, 0) in both: the
// source point is (q0, q1) / q2, q = map[:, :3] (x, y, 1) + map[:, 3] / depth. False when a camera
// is singular or not finite, or the last row of a view matrix is not (0, 0, 0, 1).
bool pixel_map(const double* reference_view, const double* reference_k, const double* source_view,
               const double* source_k, double* map);

// Deterministic: nothing depends on the number of threads or the instruction set.
void plane_sweep_cpu(const PlaneSweep& sweep);

// Bytes that plane_sweep_cuda wants as scratch, aligned to 256.
int64_t plane_sweep_scratch(const PlaneSweep& sweep);

// Everything on the device, `stream` a cudaStream_t; nullptr or an error's text.
const char* plane_sweep_cuda(const PlaneSweep& sweep, uint8_t* scratch, void* stream);

// A band of rows on the way, as the variants for instruction sets see it.
struct Strip {
  const PlaneSweep* sweep;
  int64_t first, rows;          // of the picture, margins included
  int padded;                   // planes, padded
  uint8_t* costs;               // (rows, width, padded), padding 255
  uint16_t* sums;               // (rows, width, padded) costs summed over the paths
  const uint8_t* penalties;     // (256) jump penalty by the difference of neighbouring grey values
  const uint64_t* likelihoods;  // (kMaxSum + 1) by the cost of all paths
  uint16_t* winners;            // (height, width) cheapest plane
  uint16_t* winner_costs;       // (height, width)
};

// What cost_rows wants as scratch, zeros, aligned to 64: reference, warped, hidden, kept costs and
// a group of planes, then the column sums of zncc.
struct CostScratch {
  int64_t stride, bytes, columns;  // columns: where the sums are
};
inline CostScratch cost_scratch(const PlaneSweep& p, int64_t rows) {
  const int64_t stride = (p.width + 2 * kRadius + 63) / 64 * 64 + 64;
  const int64_t lines = 3 * (rows + 2 * kRadius) + (p.keep + kGroup) * rows;
  return {stride, lines * stride + (p.cost == Cost::zncc ? 24 * stride : 0) + 64, lines * stride};
}

// One direction of scan lines: (dx, dy) from a pixel to the next.
struct Direction {
  int dx, dy;
};
constexpr Direction kDirections[8] = {{1, 0}, {-1, 0}, {0, 1},  {0, -1},
                                      {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};

// Lines of a direction, and the pixels of the strip along each. Diagonals are skewed columns, which
// may start outside.
inline int64_t line_count(const Strip& strip, Direction d) {
  return d.dy == 0   ? strip.rows
         : d.dx == 0 ? strip.sweep->width
                     : strip.sweep->width + strip.rows - 1;
}

#define STEADYVIEW_STEREO_VARIANT(isa)                                                     \
  namespace isa {                                                                          \
  void cost_rows(const Strip& strip, int64_t first, int64_t last, uint8_t* scratch);       \
  void path_lines(const Strip& strip, Direction d, bool add, int64_t first, int64_t last); \
  void winner_rows(const Strip& strip, int64_t first, int64_t last);                       \
  }
STEADYVIEW_STEREO_VARIANT(baseline)
STEADYVIEW_STEREO_VARIANT(avx2)
STEADYVIEW_STEREO_VARIANT(avx512)
#undef STEADYVIEW_STEREO_VARIANT

}  // namespace steadyview::stereo
