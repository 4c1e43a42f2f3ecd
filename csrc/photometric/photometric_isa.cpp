// Compiled once for each instruction set. A tile is copied with zeros around the image, and then
// all loops run over whole rows of it, channels side by side.
//
// With the blurred a = B x, b = B y, q = B (x^2 + y^2), r = B x y: SSIM = u v / (s t), where
// u = 2 a b + C1, v = 2 (r - a b) + C2, s = a^2 + b^2 + C1, t = q - a^2 - b^2 + C2. The window is
// symmetric and zeros surround the image, so the transpose of B is B.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "photometric/photometric.h"

namespace steadyview::photometric::STEADYVIEW_ISA {
namespace {

constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;
constexpr int kLanes = 16;

// exp(-d^2 / (2 1.5^2)) / sum, at d = 0 to 5.
constexpr float kWeights[kReach + 1] = {0.2660117149f, 0.2130055377f, 0.1093606895f,
                                        0.0360007721f, 0.0075987581f, 0.0010283801f};

// Where a tile lies, and the sizes of its buffers in floats.
struct Span {
  int64_t row, column;    // its first pixel
  int64_t height, width;  // pixels that are kept
  int64_t all;            // floats of a row with kHalo on both sides
  int64_t blurred;        // floats of a row with kReach on both sides
  int64_t kept;           // floats of a row without
};

// So that the loads of blurs across rows, which are most, do not straddle cache lines.
inline int64_t aligned(int64_t count) { return (count + kAlign - 1) / kAlign * kAlign; }

// out[i] = the blur of in[i + 5 step], of the neighbours that are multiples of step away.
inline void blur(const float* __restrict in, int64_t step, int64_t count, float* __restrict out) {
  for (int64_t i = 0; i < count; ++i) {
    const float* at = in + i;
    float sum = kWeights[0] * at[5 * step];
    sum += kWeights[1] * (at[4 * step] + at[6 * step]);
    sum += kWeights[2] * (at[3 * step] + at[7 * step]);
    sum += kWeights[3] * (at[2 * step] + at[8 * step]);
    sum += kWeights[4] * (at[step] + at[9 * step]);
    sum += kWeights[5] * (at[0] + at[10 * step]);
    out[i] = sum;
  }
}

// Copies a row of the image that begins kHalo pixels before the tile; zeros where there is none.
inline void copy_row(const float* values, const LossParams& p, const Span& span, int64_t row,
                     float* out) {
  memset(out, 0, sizeof(float) * static_cast<size_t>(span.all));
  if (row < 0 || row >= p.height) return;
  const int64_t from = span.column - kHalo < 0 ? 0 : span.column - kHalo;
  const int64_t to =
      span.column + span.width + kHalo < p.width ? span.column + span.width + kHalo : p.width;
  memcpy(out + (from - (span.column - kHalo)) * p.channels,
         values + (row * p.width + from) * p.channels,
         sizeof(float) * static_cast<size_t>((to - from) * p.channels));
}

// Weights of a row that begins kReach pixels before the tile; zeros outside the image.
inline void weight_row(const LossParams& p, const Span& span, int64_t row, float* out) {
  const int64_t pixels = span.blurred / p.channels;
  for (int64_t i = 0; i < pixels; ++i) {
    const int64_t column = span.column - kReach + i;
    float weight = 0;
    if (row >= 0 && row < p.height && column >= 0 && column < p.width) {
      weight = p.mask ? p.scale * p.mask[row * p.width + column] : p.scale;
    }
    for (int c = 0; c < p.channels; ++c) out[i * p.channels + c] = weight;
  }
}

// Rows of a, b, q, r become those of the derivatives by a, p (half, negative) and r, and losses.
inline void derive(const float* __restrict weights, float ssim_weight, int64_t count,
                   float* __restrict a, float* __restrict b, float* __restrict q,
                   float* __restrict r) {
  for (int64_t i = 0; i < count; ++i) {
    const float ab = a[i] * b[i], squares = a[i] * a[i] + b[i] * b[i];
    const float u = 2 * ab + kC1, v = 2 * (r[i] - ab) + kC2;
    const float s = squares + kC1, t = q[i] - squares + kC2;
    const float inverse = 1 / (s * t), ssim = u * v * inverse;
    const float share = -2 * ssim_weight * weights[i];
    const float by_p = share * ssim * s * inverse;
    r[i] = share * u * inverse;
    a[i] = share * b[i] * (v - u) * inverse - by_p * a[i] * (t - s) * t * inverse;
    b[i] = ssim_weight * weights[i] * (1 - ssim);
    q[i] = by_p;
  }
}

inline double sum(const float* values, int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += values[i + k];
  }
  double total = 0;
  for (; i < count; ++i) total += values[i];
  for (const float lane : lanes) total += lane;
  return total;
}

// The absolute differences, times 1 - w: adds their gradient, leaves them in losses.
inline void add_absolute(const float* __restrict x, const float* __restrict y,
                         const float* __restrict weights, float factor, int64_t count,
                         float* __restrict gradient, float* __restrict losses) {
  for (int64_t i = 0; i < count; ++i) {
    const float difference = x[i] - y[i], weight = factor * weights[i];
    losses[i] = weight * fabsf(difference);
    gradient[i] += difference > 0 ? weight : difference < 0 ? -weight : 0.0f;
  }
}

double tile(const LossParams& p, int64_t row, int64_t column, float* scratch) {
  const int64_t C = p.channels;
  const int64_t height = p.height - row < kTile ? p.height - row : kTile;
  const int64_t width = p.width - column < kTile ? p.width - column : kTile;
  const Span span{
      row, column, height, width, (width + 2 * kHalo) * C, (width + 2 * kReach) * C, width * C};
  const int64_t all_rows = height + 2 * kHalo, blurred_rows = height + 2 * kReach;
  const int64_t all = aligned(span.all), blurred = aligned(span.blurred), kept = aligned(span.kept);
  const auto address = reinterpret_cast<uintptr_t>(scratch) / sizeof(float);
  float* next = scratch + (kAlign - address % kAlign) % kAlign;
  const auto take = [&next](int64_t count) {
    float* taken = next;
    next += count;
    return taken;
  };
  float *x = take(all_rows * all), *y = take(all_rows * all);
  float* across[4];  // x, y, x^2 + y^2 and x y, blurred along the rows
  for (float*& rows : across) rows = take(all_rows * blurred);
  float* slopes[3];  // derivatives by a, p and r, blurred along the rows
  for (float*& rows : slopes) rows = take(blurred_rows * kept);
  float *weights = take(blurred), *products = take(all);
  float* line[4];
  for (float*& row : line) row = take(blurred);

  for (int64_t i = 0; i < all_rows; ++i) {
    float *xs = x + i * all, *ys = y + i * all;
    copy_row(p.image, p, span, row - kHalo + i, xs);
    copy_row(p.target, p, span, row - kHalo + i, ys);
    blur(xs, C, span.blurred, across[0] + i * blurred);
    blur(ys, C, span.blurred, across[1] + i * blurred);
    for (int64_t k = 0; k < span.all; ++k) products[k] = xs[k] * xs[k] + ys[k] * ys[k];
    blur(products, C, span.blurred, across[2] + i * blurred);
    for (int64_t k = 0; k < span.all; ++k) products[k] = xs[k] * ys[k];
    blur(products, C, span.blurred, across[3] + i * blurred);
  }
  double loss = 0;
  for (int64_t i = 0; i < blurred_rows; ++i) {
    weight_row(p, span, row - kReach + i, weights);
    for (int k = 0; k < 4; ++k) {
      blur(across[k] + i * blurred, blurred, span.blurred, line[k]);
    }
    derive(weights, p.ssim_weight, span.blurred, line[0], line[1], line[2], line[3]);
    blur(line[0], C, span.kept, slopes[0] + i * kept);
    blur(line[2], C, span.kept, slopes[1] + i * kept);
    blur(line[3], C, span.kept, slopes[2] + i * kept);
    if (i >= kReach && i < kReach + height) loss += sum(line[1] + kReach * C, span.kept);
  }
  for (int64_t i = 0; i < height; ++i) {
    float* gradient = p.gradient + ((row + i) * p.width + column) * C;
    for (int k = 0; k < 3; ++k) blur(slopes[k] + i * kept, kept, span.kept, line[k]);
    const float* xs = x + (i + kHalo) * all + kHalo * C;
    const float* ys = y + (i + kHalo) * all + kHalo * C;
    for (int64_t k = 0; k < span.kept; ++k) {
      gradient[k] = line[0][k] - xs[k] * line[1][k] + ys[k] * line[2][k];
    }
    weight_row(p, span, row + i, weights);
    add_absolute(xs, ys, weights + kReach * C, 1 - p.ssim_weight, span.kept, gradient, line[3]);
    loss += sum(line[3], span.kept);
  }
  return loss;
}

}  // namespace

extern const TileFunction loss_tile = &tile;

}  // namespace steadyview::photometric::STEADYVIEW_ISA
