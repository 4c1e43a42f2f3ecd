// Compiled once for each instruction set: costs along scan lines, and the cheapest plane. A path's
// cost less its minimum at the pixel before fits a byte: at most kMaxCost + kMaxPenalty.
#include "stereo/bytes.h"
#include "stereo/plane_sweep.h"
#include "stereo/sweep_maths.h"

namespace steadyview::stereo::STEADYVIEW_ISA {
namespace {

constexpr int kMargin = 64;  // bytes of 255 before and after a pixel's path costs
constexpr int kLines = 16;   // lines that advance together: their dependencies overlap

// Path costs of a line's last pixel.
struct Line {
  alignas(64) uint8_t costs[2][kMaxPlanes + 2 * kMargin];
  uint8_t least;
  int now;  // which of the two
};

// Without a pixel before, the path's costs are the pixel's.
STEADYVIEW_INLINE void start(Line& line, const uint8_t* cost, uint16_t* sum, int planes, bool add) {
  uint8_t* to = line.costs[line.now] + kMargin;
  Bytes low = all(255);
  for (int d = 0; d < planes; d += kLanes) {
    const Bytes c = load(cost + d);
    store(to + d, c);
    low = least(low, c);
    add_wide(sum + d, c, add);
  }
  line.least = least_lane(low);
}

STEADYVIEW_INLINE void advance(Line& line, const uint8_t* cost, uint16_t* sum, int planes, int step,
                               int jump, bool add) {
  const uint8_t* from = line.costs[line.now] + kMargin;
  line.now ^= 1;
  uint8_t* to = line.costs[line.now] + kMargin;
  const Bytes before = all(line.least), far = plus(before, all(jump)), near = all(step);
  Bytes low = all(255);
  for (int d = 0; d < planes; d += kLanes) {
    const Bytes beside = plus(least(load(from + d - 1), load(from + d + 1)), near);
    const Bytes cheapest = least(least(load(from + d), beside), far);
    const Bytes c = plus(load(cost + d), minus(cheapest, before));
    store(to + d, c);
    low = least(low, c);
    add_wide(sum + d, c, add);
  }
  line.least = least_lane(low);
}

uint16_t least_of(const uint16_t* values, int first, int last, uint16_t low) {
  for (int i = first; i < last; ++i) low = values[i] < low ? values[i] : low;
  return low;
}

}  // namespace

// Lines first to last of a direction; at most kLines at a time.
void path_lines(const Strip& strip, Direction d, bool add, int64_t first, int64_t last) {
  const PlaneSweep& p = *strip.sweep;
  const int64_t width = p.width, rows = strip.rows, planes = strip.padded;
  const uint8_t* grey = p.images + strip.first * width;
  Line lines[kLines];
  for (Line& line : lines) {
    memset(line.costs, 255, sizeof(line.costs));
    line.least = 0;
    line.now = 0;
  }
  const int64_t steps = d.dy == 0 ? width : rows;
  for (int64_t begin = first; begin < last; begin += kLines) {
    const int64_t end = begin + kLines < last ? begin + kLines : last;
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t x, y;
        if (d.dy == 0) {
          y = i;
          x = d.dx > 0 ? step : width - 1 - step;
        } else {
          y = d.dy > 0 ? step : rows - 1 - step;
          x = d.dx == 0 ? i : d.dx > 0 ? i - (rows - 1) + step : i - step;
        }
        if (x < 0 || x >= width) continue;
        const int64_t pixel = y * width + x, px = x - d.dx, py = y - d.dy;
        const uint8_t* cost = strip.costs + pixel * planes;
        uint16_t* sum = strip.sums + pixel * planes;
        Line& line = lines[i - begin];
        if (px < 0 || px >= width || py < 0 || py >= rows) {
          start(line, cost, sum, strip.padded, add);
        } else {
          const int difference = grey[pixel] - grey[py * width + px];
          const int jump = strip.penalties[difference < 0 ? -difference : difference];
          advance(line, cost, sum, strip.padded, p.step_penalty, jump, add);
        }
      }
    }
  }
}

// Cheapest plane of the strip's rows first to last, its depth and confidence.
void winner_rows(const Strip& strip, int64_t first, int64_t last) {
  const PlaneSweep& p = *strip.sweep;
  for (int64_t i = first * p.width; i < last * p.width; ++i) {
    const uint16_t* sums = strip.sums + i * strip.padded;
    const uint16_t low = least_of(sums, 0, p.planes, 0xffff);
    int best = 0;
    while (sums[best] != low) ++best;
    int near, far;
    close_planes(p.inverse_depths, p.planes, best, &near, &far);
    uint64_t total = 0, close = 0;
    for (int d = 0; d < p.planes; ++d) total += strip.likelihoods[sums[d]];
    for (int d = near; d <= far; ++d) close += strip.likelihoods[sums[d]];
    const int64_t pixel = strip.first * p.width + i;
    strip.winners[pixel] = static_cast<uint16_t>(best);
    strip.winner_costs[pixel] = low;
    p.depth[pixel] = refined_depth(sums, best, p.planes, p.inverse_depths);
    p.confidence[pixel] = share_close(close, total, far - near + 1, p.planes);
  }
}

}  // namespace steadyview::stereo::STEADYVIEW_ISA
