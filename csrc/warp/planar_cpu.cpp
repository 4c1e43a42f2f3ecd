#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "warp/planar.h"

namespace steadyview {
namespace {

using planar::kGroup;

constexpr int64_t kRows = 16;  // rows of one piece of work
// px a parabola may miss the source point by; remap rounds points by as much.
constexpr double kCurvatureLimit = 1.0 / 64;

// A parabola through the points at 0, 8 and 16 of a group misses a function with third derivative d
// by at most d * 8^3 / (9 sqrt(3)) = 32.9 d.
double parabola_error(const PlaneWarp& plane) {
  const double* m = plane.source_from_output;
  double smallest = 1e300, slope = 0;
  for (double y : {0.0, static_cast<double>(plane.output_height)}) {
    for (double x : {0.0, static_cast<double>(plane.output_width)}) {
      const double w = m[6] * x + m[7] * y + m[8];
      smallest = std::min(smallest, w);
      for (int axis : {0, 1}) {
        const double value = m[3 * axis] * x + m[3 * axis + 1] * y + m[3 * axis + 2];
        slope = std::max(slope, std::abs(m[3 * axis] - value / std::max(w, 1e-6) * m[6]));
      }
    }
  }
  if (smallest < 0.05) return 1e300;
  const double bend = std::abs(m[6]) / smallest;
  double third = 6 * slope / smallest * bend * bend;
  for (int v = 0; plane.displacement && v < plane.terms; ++v) {
    double sum = 0;
    for (int i = 0; i < 2 * plane.terms; ++i) {
      sum += std::abs(plane.displacement[i * plane.terms + v]);
    }
    third += sum * std::pow(std::numbers::pi * v * plane.basis_scale[0], 3);
  }
  return 32.9 * third;
}

// Tables::cosines, by cos((v + 1) a) = 2 cos a cos(v a) - cos((v - 1) a).
std::vector<double> cosine_table(const PlaneWarp& plane, int64_t groups) {
  if (!plane.displacement) return {};
  const int64_t points = 2 * (groups + 1);
  std::vector<double> table(plane.terms * points, 1.0);
  for (int64_t i = 0; plane.terms > 1 && i < points; ++i) {
    const int64_t column = i <= groups ? i * kGroup : (i - groups - 1) * kGroup + kGroup / 2;
    const double x = static_cast<double>(column) + 0.5;
    const double cosine =
        std::cos(std::numbers::pi * (x * plane.basis_scale[0] + plane.basis_offset[0]));
    table[points + i] = cosine;
    for (int v = 2; v < plane.terms; ++v) {
      table[v * points + i] =
          2 * cosine * table[(v - 1) * points + i] - table[(v - 2) * points + i];
    }
  }
  return table;
}

using WarpRows = void (*)(const PlaneWarp&, const planar::Tables&, double*, int64_t, int64_t);

}  // namespace

void warp_planes(const PlaneWarp* planes, int count) {
  const WarpRows warp_rows = STEADYVIEW_FOR_ISA(planar, warp_rows);
  std::vector<planar::Tables> tables(count);
  std::vector<std::vector<double>> cosines(count);
  std::vector<int64_t> blocks(count + 1, 0);  // pieces of work before each plane
  int64_t most_groups = 0;
  for (int i = 0; i < count; ++i) {
    const int64_t groups = (planes[i].output_width + kGroup - 1) / kGroup;
    cosines[i] = cosine_table(planes[i], groups);
    tables[i] = {groups, cosines[i].data(), parabola_error(planes[i]) > kCurvatureLimit};
    blocks[i + 1] = blocks[i] + (groups > 0 ? (planes[i].output_height + kRows - 1) / kRows : 0);
    most_groups = std::max(most_groups, groups);
  }
  parallel_for(0, blocks[count], 1, [&](int64_t begin, int64_t end) {
    std::vector<double> scratch(planar::scratch_size(most_groups));
    for (int64_t block = begin; block < end; ++block) {
      int i = 0;
      while (block >= blocks[i + 1]) ++i;
      const int64_t first = (block - blocks[i]) * kRows;
      const int64_t last = std::min(first + kRows, planes[i].output_height);
      warp_rows(planes[i], tables[i], scratch.data(), first, last);
    }
  });
}

}  // namespace steadyview
