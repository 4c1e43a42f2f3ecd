// Compiled once for each instruction set: plain loops that the compiler vectorises. Nothing from
// the standard library is instantiated here, so that no variant's code can leak into another's.
#include <stdint.h>

#include "motion/kernels.h"

namespace steadyview::motion::STEADYVIEW_ISA {
namespace {

template <typename Sample>
void reduce_plane(const ReduceParams& p) {
  const int columns = p.width * p.factor;
  const float scale =
      4095.0f / (static_cast<float>((1 << p.depth) - 1) * static_cast<float>(p.factor * p.factor));
  for (int y = 0; y < p.height; ++y) {
    uint32_t* __restrict sum = p.scratch;
    for (int i = 0; i < p.factor; ++i) {
      const Sample* __restrict row = reinterpret_cast<const Sample*>(
          static_cast<const char*>(p.plane) + (static_cast<int64_t>(y) * p.factor + i) * p.stride);
      if (i == 0) {
        for (int x = 0; x < columns; ++x) sum[x] = row[x];
      } else {
        for (int x = 0; x < columns; ++x) sum[x] += row[x];
      }
    }
    uint16_t* __restrict out = p.reduced + static_cast<int64_t>(y) * p.width;
    const auto store = [&](int x, uint32_t total) {
      const int value =
          static_cast<int>(static_cast<float>(static_cast<int>(total)) * scale + 0.5f);
      out[x] = static_cast<uint16_t>(value > 4095 ? 4095 : value);
    };
    if (p.factor == 1) {
      for (int x = 0; x < p.width; ++x) store(x, sum[x]);
    } else if (p.factor == 2) {
      for (int x = 0; x < p.width; ++x) store(x, sum[2 * x] + sum[2 * x + 1]);
    } else if (p.factor == 3) {
      for (int x = 0; x < p.width; ++x) store(x, sum[3 * x] + sum[3 * x + 1] + sum[3 * x + 2]);
    } else {
      for (int x = 0; x < p.width; ++x) {
        uint32_t total = 0;
        for (int i = 0; i < p.factor; ++i) total += sum[static_cast<int64_t>(x) * p.factor + i];
        store(x, total);
      }
    }
  }
}

void reduce(const ReduceParams& p) {
  if (p.bytes == 1) {
    reduce_plane<uint8_t>(p);
  } else {
    reduce_plane<uint16_t>(p);
  }
}

// Sums of kCell neighbours of each of `count` rows of pixel sums, into the cells' row.
void gather_cells(const float* sums, int64_t width, int count, int columns, int64_t plane,
                  float* cells) {
  for (int s = 0; s < count; ++s) {
    const float* __restrict sum = sums + s * width;
    float* __restrict cell = cells + s * plane;
    for (int c = 0; c < columns; ++c) {
      float total = 0;
      for (int i = 0; i < kCell; ++i) total += sum[c * kCell + i];
      cell[c] = total;
    }
  }
}

inline float low(uint32_t pair) { return static_cast<float>(static_cast<int>(pair & 0xffffu)); }
inline float high(uint32_t pair) { return static_cast<float>(static_cast<int>(pair >> 16)); }

// The rows above and below a row, repeated at the border.
struct Rows {
  const uint32_t *above, *here, *below;
  Rows(const uint32_t* pairs, int y, int64_t width, int height)
      : above(pairs + (y > 0 ? y - 1 : 0) * width),
        here(pairs + y * width),
        below(pairs + (y + 1 < height ? y + 1 : y) * width) {}
};

void smooth(const PrepareParams& p) {
  const int64_t width = p.width;
  for (int y = 0; y < p.height; ++y) {
    const uint16_t* __restrict here = p.reduced + y * width;
    const uint16_t* __restrict above = p.reduced + (y > 0 ? y - 1 : 0) * width;
    const uint16_t* __restrict below = p.reduced + (y + 1 < p.height ? y + 1 : y) * width;
    uint16_t* __restrict column = p.scratch;
    for (int x = 0; x < p.width; ++x) {
      column[x] = static_cast<uint16_t>(above[x] + 2 * here[x] + below[x]);
    }
    uint32_t* __restrict pairs = p.pairs + y * width;
    const int last = p.width - 1;
    for (int x = 1; x < last; ++x) {
      pairs[x] = (static_cast<uint32_t>(column[x - 1]) + 2u * column[x] + column[x + 1] + 8u) >> 4;
    }
    const int next = last > 0 ? 1 : 0;
    pairs[0] = (3u * column[0] + column[next] + 8u) >> 4;
    pairs[last] = (3u * column[last] + column[last - next] + 8u) >> 4;
    for (int x = 0; x < last; ++x) pairs[x] |= pairs[x + 1] << 16;
    pairs[last] |= pairs[last] << 16;
  }
}

void prepare(const PrepareParams& p) {
  smooth(p);
  const int64_t width = p.width;
  const int64_t plane = static_cast<int64_t>(p.rows) * p.columns;
  for (int row = 0; row < p.rows; ++row) {
    for (int64_t i = 0; i < kCellSums * width; ++i) p.sums[i] = 0;
    for (int y = row * kCell; y < (row + 1) * kCell; ++y) {
      const Rows lines(p.pairs, y, width, p.height);
      float* __restrict xx = p.sums + kIxIx * width;
      float* __restrict xy = p.sums + kIxIy * width;
      float* __restrict yy = p.sums + kIyIy * width;
      float* __restrict gx = p.sums + kIx * width;
      float* __restrict gy = p.sums + kIy * width;
      float* __restrict ix = p.sums + kIIx * width;
      float* __restrict iy = p.sums + kIIy * width;
      float* __restrict intensity = p.sums + kI * width;
      const uint32_t* __restrict here = lines.here;
      const uint32_t* __restrict above = lines.above;
      const uint32_t* __restrict below = lines.below;
      // The last column has no right neighbour: its gradient is left out (as is the first's).
#pragma GCC ivdep
      for (int64_t x = 1; x < width - 1; ++x) {
        const float value = low(here[x]);
        const float dx = 0.5f * (high(here[x]) - low(here[x - 1]));
        const float dy = 0.5f * (low(below[x]) - low(above[x]));
        xx[x] += dx * dx;
        xy[x] += dx * dy;
        yy[x] += dy * dy;
        gx[x] += dx;
        gy[x] += dy;
        ix[x] += value * dx;
        iy[x] += value * dy;
        intensity[x] += value;
      }
    }
    gather_cells(p.sums, width, kCellSums, p.columns, plane, p.cells + row * p.columns);
  }
}

void residual(const ResidualParams& p) {
  const int64_t width = p.width;
  const int64_t plane = static_cast<int64_t>(p.rows) * p.columns;
  const float last_x = static_cast<float>(p.width - 1);
  const float last_y = static_cast<float>(p.height - 1);
  for (int row = 0; row < p.rows; ++row) {
    for (int64_t i = 0; i < kResidualSums * width; ++i) p.sums[i] = 0;
    for (int y = row * kCell; y < (row + 1) * kCell; ++y) {
      float* __restrict flow_x = p.scratch;
      float* __restrict flow_y = p.scratch + width;
      for (int64_t x = 0; x < width; ++x) flow_x[x] = flow_y[x] = 0;
      const float* weights = p.flow_rows + static_cast<int64_t>(y) * p.terms * 2;
      for (int v = 0; v < p.terms; ++v) {
        const float wx = weights[2 * v], wy = weights[2 * v + 1];
        const float* __restrict basis = p.column_basis + v * width;
        for (int64_t x = 0; x < width; ++x) {
          flow_x[x] += wx * basis[x];
          flow_y[x] += wy * basis[x];
        }
      }
      const Rows lines(p.first, y, width, p.height);
      float* __restrict ex = p.sums + kEIx * width;
      float* __restrict ey = p.sums + kEIy * width;
      float* __restrict error = p.sums + kE * width;
      float* __restrict absolute = p.sums + kAbsE * width;
      float* __restrict counted = p.sums + kInside * width;
      const uint32_t* __restrict second = p.second;
      const uint32_t* __restrict here = lines.here;
      const uint32_t* __restrict above = lines.above;
      const uint32_t* __restrict below = lines.below;
      const int columns = p.width, rows = p.height;
      const float gain = p.gain, offset = p.offset, row_y = static_cast<float>(y);
#pragma GCC ivdep
      for (int x = 1; x < columns - 1; ++x) {
        float sx = static_cast<float>(x) + flow_x[x];
        float sy = row_y + flow_y[x];
        const bool within = (sx >= 0.0f) & (sx <= last_x) & (sy >= 0.0f) & (sy <= last_y);
        const float inside = within ? 1.0f : 0.0f;
        sx = sx > 0.0f ? sx : 0.0f;  // also what NaN becomes
        sx = sx < last_x ? sx : last_x;
        sy = sy > 0.0f ? sy : 0.0f;
        sy = sy < last_y ? sy : last_y;
        const int ix = static_cast<int>(sx);
        const int iy = static_cast<int>(sy);
        const int ny = iy + 1 < rows ? iy + 1 : iy;
        const float ax = sx - static_cast<float>(ix), ay = sy - static_cast<float>(iy);
        const uint32_t upper = second[iy * columns + ix];
        const uint32_t lower = second[ny * columns + ix];
        const float top = low(upper) + ax * (high(upper) - low(upper));
        const float bottom = low(lower) + ax * (high(lower) - low(lower));
        const float value = low(here[x]);
        const float e = inside * (top + ay * (bottom - top) - gain * value - offset);
        const float dx = 0.5f * (high(here[x]) - low(here[x - 1]));
        const float dy = 0.5f * (low(below[x]) - low(above[x]));
        ex[x] += e * dx;
        ey[x] += e * dy;
        error[x] += e;
        absolute[x] += e < 0 ? -e : e;
        counted[x] += inside;
      }
    }
    gather_cells(p.sums, width, kResidualSums, p.columns, plane, p.cells + row * p.columns);
  }
}

void moments(const MomentParams& p) {
  const int64_t columns = p.columns;
  for (int64_t i = 0; i < p.terms_v * columns; ++i) p.scratch[i] = 0;
  for (int row = 0; row < p.rows; ++row) {
    const float* __restrict field = p.field + row * columns;
    for (int t = 0; t < p.terms_v; ++t) {
      const float weight = p.vertical[static_cast<int64_t>(t) * p.rows + row];
      float* __restrict sum = p.scratch + t * columns;
      for (int64_t c = 0; c < columns; ++c) sum[c] += weight * field[c];
    }
  }
  for (int t = 0; t < p.terms_v; ++t) {
    const float* sum = p.scratch + t * columns;
    for (int s = 0; s < p.terms_h; ++s) {
      const float* basis = p.horizontal + s * columns;
      // Eight running sums: the order is the same for every instruction set.
      float lanes[8] = {};
      int64_t c = 0;
      for (; c + 8 <= columns; c += 8) {
        for (int i = 0; i < 8; ++i) lanes[i] += sum[c + i] * basis[c + i];
      }
      double total = 0;
      for (int i = 0; i < 8; ++i) total += lanes[i];
      for (; c < columns; ++c) total += sum[c] * basis[c];
      p.moments[static_cast<int64_t>(t) * p.terms_h + s] = total;
    }
  }
}

void robust_weights(const RobustParams& p) {
  const float inverse = 1.0f / (p.scale * p.scale);
  const float* __restrict x = p.x;
  const float* __restrict y = p.y;
  const float* __restrict model_x = p.model_x;
  const float* __restrict model_y = p.model_y;
  const float* __restrict weight = p.weight;
  float* __restrict distance = p.distance;
  float* __restrict robust = p.robust;
#pragma GCC ivdep
  for (int64_t i = 0; i < p.count; ++i) {
    const float dx = x[i] - model_x[i], dy = y[i] - model_y[i];
    const float d = dx * dx + dy * dy;
    const float r = 1.0f / (1.0f + d * inverse);
    distance[i] = d;
    robust[i] = weight[i] * r * r;
  }
}

}  // namespace

extern const Kernels table;
const Kernels table = {reduce, prepare, residual, moments, robust_weights};

}  // namespace steadyview::motion::STEADYVIEW_ISA
