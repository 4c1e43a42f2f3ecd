#include "common/launch.h"
#include "stereo/plane_sweep.h"
#include "stereo/sweep_maths.h"

namespace steadyview::stereo {
namespace {

constexpr int kWindow = 2 * kRadius + 1;

// Grey value where the source sees a reference pixel on a plane, in the CPU's steps of 1 / 128.
// Beyond the reference's edge it is repeated.
__device__ int sample(const PlaneSweep& p, const uint8_t* image, const double* map,
                      double inverse_depth, int64_t x, int64_t y, bool* seen) {
  x = x < 0 ? 0 : x >= p.width ? p.width - 1 : x;
  y = y < 0 ? 0 : y >= p.height ? p.height - 1 : y;
  float q[3];
  for (int i = 0; i < 3; ++i) {
    const double start =
        map[4 * i + 1] * static_cast<double>(y) + map[4 * i + 2] + map[4 * i + 3] * inverse_depth;
    q[i] = __fadd_rn(__fmul_rn(static_cast<float>(map[4 * i]), static_cast<float>(x)),
                     static_cast<float>(start));
  }
  const float sx = q[0] / q[2], sy = q[1] / q[2];
  const float right = static_cast<float>(p.width - 1), bottom = static_cast<float>(p.height - 1);
  *seen = q[2] > 0 && sx >= -0.5f && sx <= right + 0.5f && sy >= -0.5f && sy <= bottom + 0.5f;
  float cx = sx > 0 ? sx : 0, cy = sy > 0 ? sy : 0;
  cx = cx < right ? cx : right;
  cy = cy < bottom ? cy : bottom;
  int ix = static_cast<int>(cx), iy = static_cast<int>(cy);
  const int last_x = p.width > 1 ? static_cast<int>(p.width) - 2 : 0;
  const int last_y = p.height > 1 ? static_cast<int>(p.height) - 2 : 0;
  ix = ix < last_x ? ix : last_x;
  iy = iy < last_y ? iy : last_y;
  const int fx = static_cast<int>((cx - static_cast<float>(ix)) * 128 + 0.5f);
  const int fy = static_cast<int>((cy - static_cast<float>(iy)) * 128 + 0.5f);
  const uint8_t* top = image + static_cast<int64_t>(iy) * p.width + ix;
  const uint8_t* low = top + (p.height > 1 ? p.width : 0);
  const int value =
      (top[0] * (128 - fx) + top[1] * fx) * (128 - fy) + (low[0] * (128 - fx) + low[1] * fx) * fy;
  return (value + 8192) >> 14;
}

__device__ int census(const uint8_t* near, const uint8_t* far) {
  constexpr int centre = kWindow * kWindow / 2;
  int bits = 0;
  for (int i = 0; i < kWindow * kWindow; ++i) {
    bits += (near[i] < near[centre]) != (far[i] < far[centre]);
  }
  return 3 * bits;
}

__device__ int zncc(const uint8_t* near, const uint8_t* far) {
  constexpr int count = kWindow * kWindow;
  int r = 0, w = 0, rr = 0, ww = 0, rw = 0;
  for (int i = 0; i < count; ++i) {
    r += near[i];
    w += far[i];
    rr += near[i] * near[i];
    ww += far[i] * far[i];
    rw += near[i] * far[i];
  }
  const float noise = 4.0f * count * count;
  const float first = static_cast<float>(count * rr - r * r) + noise;
  const float second = static_cast<float>(count * ww - w * w) + noise;
  const float value =
      kMaxCost * (1 - static_cast<float>(count * rw - r * w) / sqrtf(first * second));
  return static_cast<int>(fminf(fmaxf(value, 0.0f), kMaxCost) + 0.5f);
}

// A thread a pixel and plane of the strip.
__global__ void match(Strip strip, PlaneSweep p) {
  const int64_t items = strip.rows * p.width * strip.padded;
  for (int64_t item = first_item(); item < items; item += item_step()) {
    const int plane = static_cast<int>(item % strip.padded);
    const int64_t pixel = item / strip.padded;
    if (plane >= p.planes) {
      strip.costs[item] = 255;
      continue;
    }
    const int64_t x = pixel % p.width, y = strip.first + pixel / p.width;
    uint8_t near[kWindow * kWindow], far[kWindow * kWindow], kept[kMaxKeep];
    for (int i = 0; i < kWindow * kWindow; ++i) {
      int64_t wx = x + i % kWindow - kRadius, wy = y + i / kWindow - kRadius;
      wx = wx < 0 ? 0 : wx >= p.width ? p.width - 1 : wx;
      wy = wy < 0 ? 0 : wy >= p.height ? p.height - 1 : wy;
      near[i] = p.images[wy * p.width + wx];
    }
    for (int k = 0; k < p.keep; ++k) kept[k] = kUnseen;
    for (int s = 0; s < p.sources; ++s) {
      const uint8_t* image = p.images + (s + 1) * p.height * p.width;
      const double* map = p.maps + 12 * s;
      bool whole = true;
      for (int i = 0; i < kWindow * kWindow && whole; ++i) {
        far[i] = static_cast<uint8_t>(sample(p, image, map, p.inverse_depths[plane],
                                             x + i % kWindow - kRadius, y + i / kWindow - kRadius,
                                             &whole));
      }
      if (!whole) continue;
      int cost = p.cost == Cost::census ? census(near, far) : zncc(near, far);
      for (int k = 0; k < p.keep; ++k) {
        const int old = kept[k];
        kept[k] = static_cast<uint8_t>(old < cost ? old : cost);
        cost = old < cost ? cost : old;
      }
    }
    int sum = 0, count = 0;
    for (int k = 0; k < p.keep; ++k) {
      if (kept[k] == kUnseen) continue;
      sum += kept[k];
      ++count;
    }
    const float mean = static_cast<float>(sum) / static_cast<float>(count > 0 ? count : 1);
    strip.costs[item] = static_cast<uint8_t>(count > 0 ? static_cast<int>(mean + 0.5f) : kUnseen);
  }
}

// A thread a pixel: planes that no source sees cost the mean of those that one does.
__global__ void fill_unseen(Strip strip, PlaneSweep p) {
  for (int64_t i = first_item(); i < strip.rows * p.width; i += item_step()) {
    uint8_t* costs = strip.costs + i * strip.padded;
    int sum = 0, count = 0;
    for (int d = 0; d < p.planes; ++d) {
      sum += costs[d] == kUnseen ? 0 : costs[d];
      count += costs[d] != kUnseen;
    }
    if (count == p.planes) continue;
    const uint8_t mean = mean_cost(sum, count);
    for (int d = 0; d < p.planes; ++d) costs[d] = costs[d] == kUnseen ? mean : costs[d];
  }
}

__global__ void copy_costs(Strip strip, int64_t items) {
  for (int64_t i = first_item(); i < items; i += item_step()) strip.sums[i] = strip.costs[i];
}

// A block a line, a thread a plane. Two rows of path costs in shared memory, 255 on either side.
__device__ void walk_line(const Strip& strip, const PlaneSweep& p, Direction d, int64_t line,
                          bool add) {
  __shared__ int costs[2][kMaxPlanes + 2];
  __shared__ int leasts[2][32];
  const int plane = static_cast<int>(threadIdx.x), planes = strip.padded;
  const int64_t rows = strip.rows, width = p.width;
  const uint8_t* grey = p.images + strip.first * width;
  if (plane < 2) costs[plane][0] = costs[plane][planes + 1] = 255;
  if (plane < 64) leasts[plane / 32][plane % 32] = 255;
  __syncthreads();
  const int64_t steps = d.dy == 0 ? width : rows;
  int now = 0;
  for (int64_t step = 0; step < steps; ++step) {
    int64_t x, y;
    if (d.dy == 0) {
      y = line;
      x = d.dx > 0 ? step : width - 1 - step;
    } else {
      y = d.dy > 0 ? step : rows - 1 - step;
      x = d.dx == 0 ? line : d.dx > 0 ? line - (rows - 1) + step : line - step;
    }
    if (x < 0 || x >= width) continue;  // the same for the whole block
    const int64_t pixel = y * width + x, px = x - d.dx, py = y - d.dy;
    const int64_t at = pixel * planes + plane;
    int value = strip.costs[at];
    if (px >= 0 && px < width && py >= 0 && py < rows) {
      int before = 255;
      for (int i = 0; i < (planes + 31) / 32; ++i) before = min(before, leasts[now][i]);
      const int difference = grey[pixel] - grey[py * width + px];
      const int jump =
          jump_penalty(difference < 0 ? -difference : difference, p.step_penalty, p.jump_penalty);
      const int* from = costs[now] + 1 + plane;
      const int beside = min(min(from[-1], from[1]) + p.step_penalty, 255);
      const int far = min(before + jump, 255);
      value = min(value + min(min(from[0], beside), far) - before, 255);
    }
    now ^= 1;
    costs[now][1 + plane] = value;
    int least = value;
    for (int lane = 16; lane > 0; lane /= 2) {
      least = min(least, __shfl_xor_sync(0xffffffffu, least, lane));
    }
    if (plane % 32 == 0) leasts[now][plane / 32] = least;
    strip.sums[at] = static_cast<uint16_t>(value + (add ? strip.sums[at] : 0));
    __syncthreads();
  }
}

__global__ void walk(Strip strip, PlaneSweep p, Direction d, int64_t lines, bool add) {
  for (int64_t line = blockIdx.x; line < lines; line += gridDim.x)
    walk_line(strip, p, d, line, add);
}

__global__ void choose(Strip strip, PlaneSweep p, int64_t first, int64_t last) {
  for (int64_t i = first * p.width + first_item(); i < last * p.width; i += item_step()) {
    const uint16_t* sums = strip.sums + i * strip.padded;
    int best = 0;
    for (int d = 1; d < p.planes; ++d) best = sums[d] < sums[best] ? d : best;
    int first_close, last_close;
    close_planes(p.inverse_depths, p.planes, best, &first_close, &last_close);
    uint64_t total = 0, close = 0;
    for (int d = 0; d < p.planes; ++d) {
      const uint64_t likely = likelihood(sums[d], p.paths);
      total += likely;
      close += d >= first_close && d <= last_close ? likely : 0;
    }
    const int64_t pixel = strip.first * p.width + i;
    strip.winners[pixel] = static_cast<uint16_t>(best);
    strip.winner_costs[pixel] = sums[best];
    p.depth[pixel] = refined_depth(sums, best, p.planes, p.inverse_depths);
    p.confidence[pixel] = share_close(close, total, last_close - first_close + 1, p.planes);
  }
}

// Claims (sources, height, width); checked by the next kernel.
__global__ void stake(PlaneSweep p, const uint16_t* winners, const uint16_t* costs,
                      uint32_t* claims) {
  const int64_t pixels = p.height * p.width;
  for (int64_t item = first_item(); item < p.sources * pixels; item += item_step()) {
    const int64_t source = item / pixels, i = item % pixels;
    const int64_t at = seen_pixel(p.maps + 12 * source, p.inverse_depths[winners[i]], i % p.width,
                                  i / p.width, p.width, p.height);
    if (at >= 0) atomicMin(claims + source * pixels + at, claim(costs[i], winners[i]));
  }
}

__global__ void check(PlaneSweep p, const uint16_t* winners, const uint32_t* claims) {
  const int64_t pixels = p.height * p.width;
  for (int64_t i = first_item(); i < pixels; i += item_step()) {
    int seen = 0, agreed = 0;
    for (int64_t s = 0; s < p.sources; ++s) {
      const int64_t at = seen_pixel(p.maps + 12 * s, p.inverse_depths[winners[i]], i % p.width,
                                    i / p.width, p.width, p.height);
      if (at < 0) continue;
      ++seen;
      agreed += agrees(winners[i], claims[s * pixels + at]);
    }
    p.valid[i] = is_valid(seen, agreed, p.keep, p.confidence[i], p.least_confidence);
    if (seen == 0) p.depth[i] = p.confidence[i] = 0;
  }
}

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

// Where the parts of the scratch begin.
struct Scratch {
  int64_t sums, winners, winner_costs, claims, size;
};

Scratch layout(const PlaneSweep& p) {
  const int64_t pixels = p.height * p.width;
  const int64_t rows = p.strip_rows + 2 * kStripMargin;
  const int64_t volume = (rows < p.height ? rows : p.height) * p.width * padded_planes(p.planes);
  Scratch s;
  s.sums = aligned(volume);
  s.winners = s.sums + aligned(2 * volume);
  s.winner_costs = s.winners + aligned(2 * pixels);
  s.claims = s.winner_costs + aligned(2 * pixels);
  s.size = s.claims + aligned(4 * pixels * p.sources);
  return s;
}

void sweep_strip(Launcher& launcher, const Strip& strip, const PlaneSweep& p, int64_t begin,
                 int64_t end) {
  const int64_t items = strip.rows * p.width * strip.padded;
  launcher.run(match, items, strip, p);
  launcher.run(fill_unseen, strip.rows * p.width, strip, p);
  if (p.paths == 0) launcher.run(copy_costs, items, strip, items);
  for (int i = 0; i < p.paths; ++i) {
    const Direction d = kDirections[i];
    const int64_t lines = d.dy == 0 ? strip.rows : d.dx == 0 ? p.width : p.width + strip.rows - 1;
    launcher.run_blocks(walk, lines, strip.padded, strip, p, d, lines, i > 0);
  }
  launcher.run(choose, (end - begin) * p.width, strip, p, begin - strip.first, end - strip.first);
}

}  // namespace

int64_t plane_sweep_scratch(const PlaneSweep& sweep) { return layout(sweep).size; }

const char* plane_sweep_cuda(const PlaneSweep& p, uint8_t* scratch, void* stream) {
  const int64_t pixels = p.height * p.width;
  if (pixels == 0) return nullptr;
  Launcher launcher(stream);
  const Scratch at = layout(p);
  auto* winners = reinterpret_cast<uint16_t*>(scratch + at.winners);
  auto* costs = reinterpret_cast<uint16_t*>(scratch + at.winner_costs);
  auto* claims = reinterpret_cast<uint32_t*>(scratch + at.claims);
  for (int64_t begin = 0; begin < p.height; begin += p.strip_rows) {
    const int64_t end = begin + p.strip_rows < p.height ? begin + p.strip_rows : p.height;
    const int64_t first = begin > kStripMargin ? begin - kStripMargin : 0;
    const int64_t last = end + kStripMargin < p.height ? end + kStripMargin : p.height;
    const Strip strip{nullptr,      first,
                      last - first, padded_planes(p.planes),
                      scratch,      reinterpret_cast<uint16_t*>(scratch + at.sums),
                      nullptr,      nullptr,
                      winners,      costs};
    sweep_strip(launcher, strip, p, begin, end);
  }
  launcher.fill(claims, 255, 4 * pixels * p.sources);
  launcher.run(stake, p.sources * pixels, p, winners, costs, claims);
  launcher.run(check, pixels, p, winners, claims);
  return launcher.result();
}

}  // namespace steadyview::stereo
