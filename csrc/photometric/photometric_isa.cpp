// Compiled once for each instruction set. All loops run over rows of a tile, channels side by side.
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

// exp(-d^2 / (2 1.5^2)) / sum, at d = 0 to 5.
constexpr float kWeights[kReach + 1] = {0.2660117149f, 0.2130055377f, 0.1093606895f,
                                        0.0360007721f, 0.0075987581f, 0.0010283801f};

constexpr int kLanes = 16;
constexpr int kChunk = 160;    // floats of a row that are blurred across rows at a time, at most
constexpr int kRowsAhead = 4;  // rows of the image, fetched before their turn

int64_t aligned(int64_t count) { return (count + kAlign - 1) / kAlign * kAlign; }

// A tile, and its scratch. Rows are computed as wide as they are apart, which is a whole number of
// vectors: what is beyond the tile is never used. A row reaches kReach pixels to both sides of one
// that is blurred from it, so its rest is wide enough for that.
struct Tile {
  int64_t row, column, height, width;  // its first pixel; pixels
  int64_t kept, blurred, all;          // floats of rows without, with kReach, with kHalo
  int64_t blurred_rows, all_rows;
  float* across[4];  // (all_rows, blurred): x, y, x^2 + y^2 and x y, blurred along the rows; then
                     // what derive() gives
  float* slopes[3];  // (blurred_rows, kept): derivatives by a, p and r, blurred along the rows
  float* weights;    // (blurred_rows, blurred) of the pixels
  float *x, *y, *products;  // (all)

  Tile(const LossParams& p, int64_t first_row, int64_t first_column, float* scratch)
      : row(first_row), column(first_column) {
    height = p.height - row < kTile ? p.height - row : kTile;
    width = p.width - column < kTile ? p.width - column : kTile;
    kept = aligned(width * p.channels);
    blurred = aligned(kept + 2 * kReach * p.channels);
    all = aligned(blurred + 2 * kReach * p.channels);
    blurred_rows = height + 2 * kReach;
    all_rows = height + 2 * kHalo;
    const auto address = reinterpret_cast<uintptr_t>(scratch) / sizeof(float);
    float* next = scratch + (kAlign - address % kAlign) % kAlign;
    const auto take = [&next](int64_t count) {
      float* taken = next;
      next += count;
      return taken;
    };
    for (float*& rows : across) rows = take(all_rows * blurred);
    for (float*& rows : slopes) rows = take(blurred_rows * kept);
    weights = take(blurred_rows * blurred);
    x = take(all);
    y = take(all);
    products = take(all);
  }
};

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

// Copies a row of the image from kHalo pixels before the tile on; zeros where there is none.
void copy_row(const float* values, const LossParams& p, const Tile& t, int64_t row, float* out) {
  const int64_t first = t.column - kHalo, last = t.column + t.width + kHalo;
  const int64_t from = first < 0 ? 0 : first, to = last < p.width ? last : p.width;
  const bool inside = row >= 0 && row < p.height;
  const auto at = [&](int64_t i) { return values + (i * p.width + from) * p.channels; };
  const int64_t before = inside ? (from - first) * p.channels : 0;
  const int64_t count = inside ? (to - from) * p.channels : 0;
  for (int64_t i = 0; i < before; ++i) out[i] = 0;
  if (inside) memcpy(out + before, at(row), sizeof(float) * static_cast<size_t>(count));
  for (int64_t i = before + count; i < t.all; ++i) out[i] = 0;
  if (row < 0 || row + kRowsAhead >= p.height) return;
  for (int64_t i = 0; i < count; i += kLanes) __builtin_prefetch(at(row + kRowsAhead) + i);
}

// Weights of a row that begins kReach pixels before the tile; zeros outside the image.
void weight_row(const LossParams& p, const Tile& t, int64_t row, float* out) {
  const int64_t C = p.channels, first = t.column - kReach, last = t.column + t.width + kReach;
  const int64_t from = first < 0 ? 0 : first;
  const int64_t to = row < 0 || row >= p.height ? from : last < p.width ? last : p.width;
  const int64_t begin = (from - first) * C, end = (to - first) * C;
  for (int64_t i = 0; i < begin; ++i) out[i] = 0;
  for (int64_t i = end; i < t.blurred; ++i) out[i] = 0;
  if (!p.mask) {
    for (int64_t i = begin; i < end; ++i) out[i] = p.scale;
    return;
  }
  for (int64_t i = from; i < to; ++i) {
    const float weight = p.scale * p.mask[row * p.width + i];
    for (int64_t c = 0; c < C; ++c) out[(i - first) * C + c] = weight;
  }
}

// From a, b, q, r to the derivatives by a, p (half, negative) and r, and losses.
inline void derive(const float* __restrict weights, float ssim_weight,
                   const float (&lines)[4][kChunk], int64_t count, float* __restrict by_a,
                   float* __restrict by_p, float* __restrict by_r, float* __restrict losses) {
  for (int64_t i = 0; i < count; ++i) {
    const float a = lines[0][i], b = lines[1][i];
    const float ab = a * b, squares = a * a + b * b;
    const float u = 2 * ab + kC1, v = 2 * (lines[3][i] - ab) + kC2;
    const float s = squares + kC1, t = lines[2][i] - squares + kC2;
    const float inverse = 1 / (s * t), ssim = u * v * inverse;
    const float share = -2 * ssim_weight * weights[i];
    const float half = share * ssim * s * inverse;
    by_a[i] = share * b * (v - u) * inverse - half * a * (t - s) * t * inverse;
    by_p[i] = half;
    by_r[i] = share * u * inverse;
    losses[i] = ssim_weight * weights[i] * (1 - ssim);
  }
}

// The gradient of a piece of a row; adds its absolute differences, times 1 - w, to losses.
inline void finish(const float* __restrict x, const float* __restrict y,
                   const float* __restrict weights, float factor, const float (&lines)[3][kChunk],
                   int64_t count, float* __restrict gradient, float* __restrict losses) {
  for (int64_t i = 0; i < count; ++i) {
    const float difference = x[i] - y[i], weight = factor * weights[i];
    losses[i] += weight * fabsf(difference);
    const float sign = difference > 0 ? weight : difference < 0 ? -weight : 0.0f;
    gradient[i] = lines[0][i] - x[i] * lines[1][i] + y[i] * lines[2][i] + sign;
  }
}

// Blurs the image's rows along themselves.
void blur_rows(const LossParams& p, const Tile& t) {
  for (int64_t i = 0; i < t.all_rows; ++i) {
    copy_row(p.image, p, t, t.row - kHalo + i, t.x);
    copy_row(p.target, p, t, t.row - kHalo + i, t.y);
    const int64_t at = i * t.blurred;
    blur(t.x, p.channels, t.blurred, t.across[0] + at);
    blur(t.y, p.channels, t.blurred, t.across[1] + at);
    for (int64_t k = 0; k < t.all; ++k) t.products[k] = t.x[k] * t.x[k] + t.y[k] * t.y[k];
    blur(t.products, p.channels, t.blurred, t.across[2] + at);
    for (int64_t k = 0; k < t.all; ++k) t.products[k] = t.x[k] * t.y[k];
    blur(t.products, p.channels, t.blurred, t.across[3] + at);
  }
}

// From those to the derivatives, blurred along the rows.
void derive_rows(const LossParams& p, const Tile& t) {
  for (int64_t i = 0; i < t.blurred_rows; ++i) {
    weight_row(p, t, t.row - kReach + i, t.weights + i * t.blurred);
  }
  // Some columns at a time: what is blurred across rows stays in the first-level cache.
  for (int64_t from = 0; from < t.blurred; from += kChunk) {
    const int64_t count = t.blurred - from < kChunk ? t.blurred - from : kChunk;
    for (int64_t i = 0; i < t.blurred_rows; ++i) {
      const int64_t at = i * t.blurred + from;
      float lines[4][kChunk];
      for (int k = 0; k < 4; ++k) blur(t.across[k] + at, t.blurred, count, lines[k]);
      derive(t.weights + at, p.ssim_weight, lines, count, t.across[0] + at, t.across[1] + at,
             t.across[2] + at, t.across[3] + at);  // in the place of row i, which is used up
    }
  }
  for (int64_t i = 0; i < t.blurred_rows; ++i) {
    for (int k = 0; k < 3; ++k) {
      blur(t.across[k] + i * t.blurred, p.channels, t.kept, t.slopes[k] + i * t.kept);
    }
  }
}

double loss_of_tile(const LossParams& p, int64_t row, int64_t column, float* scratch) {
  const Tile t(p, row, column, scratch);
  blur_rows(p, t);
  derive_rows(p, t);
  const int64_t used = t.width * p.channels;
  double loss = 0;
  for (int64_t from = 0; from < used; from += kChunk) {
    const int64_t count = used - from < kChunk ? used - from : kChunk;
    float losses[kChunk] = {};
    for (int64_t i = 0; i < t.height; ++i) {
      const int64_t at = ((t.row + i) * p.width + t.column) * p.channels + from;
      const int64_t middle = (i + kReach) * t.blurred + kReach * p.channels + from;
      float lines[3][kChunk];
      for (int k = 0; k < 3; ++k) {
        blur(t.slopes[k] + i * t.kept + from, t.kept, aligned(count), lines[k]);
      }
      for (int64_t k = 0; k < count; ++k) losses[k] += t.across[3][middle + k];
      finish(p.image + at, p.target + at, t.weights + middle, 1 - p.ssim_weight, lines, count,
             p.gradient + at, losses);
    }
    for (int64_t k = 0; k < count; ++k) loss += static_cast<double>(losses[k]);
  }
  return loss;
}

}  // namespace

extern const TileFunction loss_tile = &loss_of_tile;

}  // namespace steadyview::photometric::STEADYVIEW_ISA
