// Compiled once for each instruction set. Channels stay side by side: a row is a row of floats.
//
// With the blurred a = B x, b = B y, q = B (x^2 + y^2), r = B x y: SSIM = u v / (s t), where
// u = 2 a b + C1, v = 2 (r - a b) + C2, s = a^2 + b^2 + C1, t = q - a^2 - b^2 + C2. The window is
// symmetric and zeros surround the image, so the transpose of B is B.
//
// A tile is gone through from above, kRows rows at a time: they are blurred down the columns, with
// the sums in registers, and then along the rows.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "common/vector_bytes.h"
#include "photometric/photometric.h"

namespace steadyview::photometric::STEADYVIEW_ISA {
namespace {

#define STEADYVIEW_INLINE inline __attribute__((always_inline))

constexpr int kLanes = kVectorBytes / 4;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

constexpr float kC1 = 0.01f * 0.01f, kC2 = 0.03f * 0.03f;

// exp(-d^2 / (2 1.5^2)) / sum, at d = -5 to 5.
constexpr float kWeights[kWindow] = {0.0010283801f, 0.0075987581f, 0.0360007721f, 0.1093606895f,
                                     0.2130055377f, 0.2660117149f, 0.2130055377f, 0.1093606895f,
                                     0.0360007721f, 0.0075987581f, 0.0010283801f};

constexpr int kSeen = kRows + 2 * kReach;  // rows that kRows blurred ones are made from
constexpr int64_t kPiece = 256;            // floats of rows that stay in the first-level cache

// At any address of a float.
using Loose = float __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

STEADYVIEW_INLINE Lanes load(const float* at) { return *reinterpret_cast<const Loose*>(at); }
STEADYVIEW_INLINE void store(float* at, Lanes values) { *reinterpret_cast<Loose*>(at) = values; }

// kRows blurred rows of kSeen ones, of which value(k) is the k-th.
template <typename Value>
STEADYVIEW_INLINE void blur_down(const Value& value, Lanes (&sums)[kRows]) {
#pragma GCC unroll 18
  for (int k = 0; k < kSeen; ++k) {
    const Lanes row = value(k);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if (k == r) sums[r] = kWeights[0] * row;
      if (k > r && k - r < kWindow) sums[r] += kWeights[k - r] * row;
    }
  }
}

// The blur at at[5 step], of what lies multiples of step away.
STEADYVIEW_INLINE Lanes blur_along(const float* at, int64_t step) {
  Lanes sum = kWeights[5] * load(at + 5 * step);
#pragma GCC unroll 5
  for (int k = 0; k < kReach; ++k) {
    sum += kWeights[k] * (load(at + k * step) + load(at + (10 - k) * step));
  }
  return sum;
}

// The rows and columns of a tile, and its scratch. Columns are floats; those of `down` begin kHalo
// pixels before the tile, those of the slopes and weights kReach pixels, others where it does.
struct Work {
  int64_t channels, pitch;
  int64_t first, last;     // columns of `down` that lie within the image
  int64_t blurred, kept;   // columns of slopes, and of the tile
  float* down[4];          // (kRows, pitch): x, y, x^2 + y^2 and x y, blurred down
  float* back[3];          // (kRows, pitch): the slopes, blurred down
  float* slopes[3];        // (kKept, pitch): derivatives by a, p and r, a ring of rows
  float *zeros, *counted;  // (pitch): a row outside the image; 1 in the tile, 0 around it
  float* weights;          // (kRows, pitch): of the rows in hand; one for all without a mask

  Work(const LossParams& p, const Tile& t, float* scratch)
      : channels(p.channels), pitch(row_pitch(t.width, p.channels)) {
    const int64_t begin = t.column - kHalo, end = t.column + t.width + kHalo;
    first = begin < 0 ? -begin * channels : 0;
    last = ((end < p.width ? end : p.width) - begin) * channels;
    blurred = (t.width + 2 * kReach) * channels;
    kept = t.width * channels;
    const auto address = reinterpret_cast<uintptr_t>(scratch) / sizeof(float);
    float* next = scratch + (kAlign - address % kAlign) % kAlign;
    const auto take = [&](int64_t rows) {
      float* taken = next;
      next += rows * pitch;
      return taken;
    };
    zeros = take(1);
    counted = take(1);
    weights = take(kRows);
    for (float*& rows : down) rows = take(kRows);
    for (float*& rows : back) rows = take(kRows);
    for (float*& rows : slopes) rows = take(kKept);
    memset(zeros, 0, sizeof(float) * static_cast<size_t>((2 + 5 * kRows) * pitch));
    for (int64_t i = 0; i < kept; ++i) counted[kReach * channels + i] = 1;
    if (!p.mask) weigh_row(p, t, 0, weights);
  }

  // The rows from `row` on come into hand.
  void weigh(const LossParams& p, const Tile& t, int64_t row) const {
    for (int64_t r = 0; p.mask && r < kRows; ++r) {
      if (row + r >= 0 && row + r < p.height) weigh_row(p, t, row + r, weights + r * pitch);
    }
  }
  const float* weights_of(const LossParams& p, int64_t r) const {
    return p.mask ? weights + r * pitch : weights;
  }

 private:
  // It begins kReach pixels before the tile; there are zeros outside the image.
  void weigh_row(const LossParams& p, const Tile& t, int64_t row, float* out) const {
    const int64_t begin = t.column - kReach, end = t.column + t.width + kReach;
    const int64_t from = begin < 0 ? 0 : begin, to = end < p.width ? end : p.width;
    for (int64_t i = from; i < to; ++i) {
      const float weight = p.mask ? p.scale * p.mask[row * p.width + i] : p.scale;
      for (int64_t c = 0; c < channels; ++c) out[(i - begin) * channels + c] = weight;
    }
  }
};

// Calls blur(first, last) for columns [begin, end), and use(from, to) for pieces of [0, count) as
// soon as the columns are there that it looks at, `reach` beyond its own.
template <typename Blur, typename Use>
STEADYVIEW_INLINE void in_pieces(int64_t begin, int64_t end, int64_t count, int64_t reach,
                                 const Blur& blur, const Use& use) {
  for (int64_t from = 0; from < count; from += kPiece) {
    const int64_t to = from + kPiece < count ? from + kPiece : count;
    const int64_t wanted = begin + aligned(aligned(to) + reach - begin);
    const int64_t last = wanted < end ? wanted : end;
    if (begin < last) blur(begin, last);
    if (begin < last) begin = last;
    use(from, to);
  }
}

// The rows of both images that kRows are made from, and those that come next.
struct Images {
  const float *x[kSeen], *y[kSeen], *x_next[kRows], *y_next[kRows];
};

// Blurs of `count` columns of them and of their products, the first one `at`.
void blur_images(const Images& rows, int64_t at, int64_t count, int64_t pitch,
                 float* const (&out)[4]) {
  const auto keep = [&](const auto& value, float* to) __attribute__((always_inline)) {
    Lanes sums[kRows];
    blur_down(value, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) store(to + r * pitch, sums[r]);
  };
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t from = at + i;
    keep([&](int k) { return load(rows.x[k] + from); }, out[0] + i);
    keep([&](int k) { return load(rows.y[k] + from); }, out[1] + i);
    const auto squares = [&](int k) {
      const Lanes a = load(rows.x[k] + from), b = load(rows.y[k] + from);
      return a * a + b * b;
    };
    keep(squares, out[2] + i);
    keep([&](int k) { return load(rows.x[k] + from) * load(rows.y[k] + from); }, out[3] + i);
    for (int k = 0; k < kRows; ++k) {
      __builtin_prefetch(rows.x_next[k] + from);
      __builtin_prefetch(rows.y_next[k] + from);
    }
  }
}

// Columns [0, count) of the blur down of the slopes.
void blur_slopes(const float* const (&rows)[kSeen], int64_t count, int64_t pitch, float* out) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Lanes sums[kRows];
    blur_down([&](int k) { return load(rows[k] + i); }, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) store(out + r * pitch + i, sums[r]);
  }
}

// The rows from `row` on, at column w.first.
Images images_at(const LossParams& p, const Tile& t, const Work& w, int64_t row) {
  const int64_t column = (t.column - kHalo) * p.channels + w.first;
  const auto at = [&](const float* image, int64_t i) {
    return image + i * p.width * p.channels + column;
  };
  Images images;
  for (int64_t k = 0; k < kSeen; ++k) {
    const bool inside = row + k >= 0 && row + k < p.height;
    images.x[k] = inside ? at(p.image, row + k) : w.zeros;
    images.y[k] = inside ? at(p.target, row + k) : w.zeros;
  }
  for (int64_t k = 0; k < kRows; ++k) {
    const int64_t i = row + kSeen + k < p.height ? row + kSeen + k : p.height - 1;
    images.x_next[k] = at(p.image, i);
    images.y_next[k] = at(p.target, i);
  }
  return images;
}

// Columns [from, to) of w.down; none beyond `to` is read.
void blur_images(const Images& images, const Work& w, int64_t from, int64_t to) {
  const int64_t rest = (to - from) % kLanes, whole = to - from - rest, at = from - w.first;
  float* out[4];
  for (int q = 0; q < 4; ++q) out[q] = w.down[q] + from;
  blur_images(images, at, whole, w.pitch, out);
  if (rest == 0) return;
  // A vector that is not full is a copy, with zeros beyond.
  float copies[2][kSeen][kLanes] = {};
  Images here;
  for (int k = 0; k < kSeen; ++k) {
    memcpy(copies[0][k], images.x[k] + at + whole, sizeof(float) * static_cast<size_t>(rest));
    memcpy(copies[1][k], images.y[k] + at + whole, sizeof(float) * static_cast<size_t>(rest));
    here.x[k] = copies[0][k];
    here.y[k] = copies[1][k];
  }
  for (int k = 0; k < kRows; ++k) here.x_next[k] = here.y_next[k] = copies[0][0];
  for (float*& to_rows : out) to_rows += whole;
  blur_images(here, 0, kLanes, w.pitch, out);
}

double sum_of(Lanes lanes) {
  double sum = 0;
  for (int l = 0; l < kLanes; ++l) sum += static_cast<double>(lanes[l]);
  return sum;
}

// Columns [from, to) of a row, blurred along it: from a, b, q, r to the derivatives by a, p (half,
// negative) and r. Returns the loss of what is counted.
double derive(const Work& w, const float* weights, float ssim_weight, const float* const (&down)[4],
              float* const (&slopes)[3], int64_t from, int64_t to) {
  Lanes losses{};
  for (int64_t i = from; i < to; i += kLanes) {
    const Lanes a = blur_along(down[0] + i, w.channels), b = blur_along(down[1] + i, w.channels);
    const Lanes q = blur_along(down[2] + i, w.channels), r = blur_along(down[3] + i, w.channels);
    const Lanes weight = ssim_weight * load(weights + i);
    const Lanes ab = a * b, squares = a * a + b * b;
    const Lanes u = 2 * ab + kC1, v = 2 * (r - ab) + kC2, s = squares + kC1, t = q - squares + kC2;
    const Lanes inverse = 1 / (s * t), ssim = u * v * inverse;
    const Lanes share = -2 * weight * inverse, half = share * ssim * s;
    store(slopes[0] + i, share * b * (v - u) - half * a * (t - s) * t * inverse);
    store(slopes[1] + i, half);
    store(slopes[2] + i, share * u);
    losses += load(w.counted + i) * weight * (1 - ssim);
  }
  return sum_of(losses);
}

// The gradient of columns [from, to) of a row, at which x, y and out begin; returns the absolute
// differences, times 1 - w.
double finish(const Work& w, const float* weights, float l1_weight, const float* const (&back)[3],
              const float* x, const float* y, float* out, int64_t from, int64_t to) {
  Lanes losses{};
  for (int64_t i = from; i < to; i += kLanes) {
    const int64_t count = w.kept - i;
    Lanes one{}, other{};
    if (count >= kLanes) {
      one = load(x + i);
      other = load(y + i);
    } else {
      memcpy(&one, x + i, sizeof(float) * static_cast<size_t>(count));
      memcpy(&other, y + i, sizeof(float) * static_cast<size_t>(count));
    }
    const Lanes difference = one - other;
    const Lanes weight = l1_weight * load(weights + i);
    const Lanes sign = difference > 0 ? weight : difference < 0 ? -weight : Lanes{};
    losses += difference * sign;
    const Lanes gradient = blur_along(back[0] + i, w.channels) -
                           one * blur_along(back[1] + i, w.channels) +
                           other * blur_along(back[2] + i, w.channels) + sign;
    if (count >= kLanes) {
      store(out + i, gradient);
    } else {
      memcpy(out + i, &gradient, sizeof(float) * static_cast<size_t>(count));
    }
  }
  return sum_of(losses);
}

// Derivatives of kRows rows, from `row` on, into the ring; returns their loss.
double derive_rows(const LossParams& p, const Tile& t, const Work& w, int64_t row, int64_t slot) {
  w.weigh(p, t, row);
  const Images images = images_at(p, t, w, row - kReach);
  double loss = 0;
  in_pieces(
      w.first, w.last, w.blurred, 2 * kReach * w.channels,
      [&](int64_t from, int64_t to) { blur_images(images, w, from, to); },
      [&](int64_t from, int64_t to) {
        for (int64_t r = 0; r < kRows; ++r) {
          const int64_t i = row + r;
          float* slopes[3];
          for (int k = 0; k < 3; ++k) slopes[k] = w.slopes[k] + (slot + r) * w.pitch;
          if (i < 0 || i >= p.height) {
            for (float* values : slopes) {
              memset(values + from, 0, sizeof(float) * static_cast<size_t>(aligned(to - from)));
            }
            continue;
          }
          const float* down[4];
          for (int k = 0; k < 4; ++k) down[k] = w.down[k] + r * w.pitch;
          const double found = derive(w, w.weights_of(p, r), p.ssim_weight, down, slopes, from, to);
          if (i >= t.row && i < t.row + t.height) loss += found;
        }
      });
  return loss;
}

// The gradient of kRows rows, from `row` on, whose derivatives begin at `slot` of the ring.
double finish_rows(const LossParams& p, const Tile& t, const Work& w, int64_t row, int64_t slot) {
  w.weigh(p, t, row);
  double loss = 0;
  in_pieces(
      0, aligned(w.kept) + 2 * kReach * w.channels, w.kept, 2 * kReach * w.channels,
      [&](int64_t from, int64_t to) {
        for (int q = 0; q < 3; ++q) {
          const float* rows[kSeen];
          for (int64_t k = 0; k < kSeen; ++k) {
            rows[k] = w.slopes[q] + (slot + k) % kKept * w.pitch + from;
          }
          blur_slopes(rows, to - from, w.pitch, w.back[q] + from);
        }
      },
      [&](int64_t from, int64_t to) {
        for (int64_t r = 0; r < kRows && row + r < t.row + t.height; ++r) {
          const int64_t at = ((row + r) * p.width + t.column) * p.channels;
          const float* back[3];
          for (int k = 0; k < 3; ++k) back[k] = w.back[k] + r * w.pitch;
          loss += finish(w, w.weights_of(p, r) + kReach * w.channels, 1 - p.ssim_weight, back,
                         p.image + at, p.target + at, p.gradient + at, from, to);
        }
      });
  return loss;
}

double loss_of_tile(const LossParams& p, const Tile& t, float* scratch) {
  const Work w(p, t, scratch);
  double loss = 0;
  // What is finished lies two steps behind: it needs kReach rows of derivatives below it.
  for (int64_t k = 0; k < t.height + 2 * kRows; k += kRows) {
    loss += derive_rows(p, t, w, t.row - kReach + k, k % kKept);
    const int64_t back = k - 2 * kRows;
    if (back >= 0) loss += finish_rows(p, t, w, t.row + back, back % kKept);
  }
  return loss;
}

}  // namespace

extern const TileFunction loss_tile = &loss_of_tile;

}  // namespace steadyview::photometric::STEADYVIEW_ISA
