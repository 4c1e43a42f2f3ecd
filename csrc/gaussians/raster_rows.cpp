// Draws a tile, and takes its gradients: splat by splat, and in each the blocks of pixels that its
// box touches, a lane a pixel. Compiled for each instruction set.
#include "gaussians/maths.h"
#include "gaussians/raster_lanes.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int kAhead = 12;         // entries whose splats are fetched before their turn
constexpr int64_t kRowsAhead = 8;  // of the image, fetched before their turn
constexpr int64_t kRecheck = 64;   // entries between looks whether all pixels are done

template <typename T>
struct Block {
  using L = Lanes<T>;
  using V = typename L::V;
  static constexpr int high = kHigh<T>, lanes = kLanes<T>;
  static constexpr int across = kTile / kWide, down = kTile / high, count = across * down;

  // Offsets of the pixels' centres from the block's corner.
  static inline __attribute__((always_inline)) V columns() {
    V x;
    for (int l = 0; l < lanes; ++l) x[l] = static_cast<T>(l % kWide) + T(0.5);
    return x;
  }
  static inline __attribute__((always_inline)) V rows() {
    V y;
    for (int l = 0; l < lanes; ++l) y[l] = static_cast<T>(l / kWide) + T(0.5);
    return y;
  }
};

// The blocks of this tile that a splat's box touches, and its numbers in all lanes.
template <typename T>
struct Brush {
  using L = Lanes<T>;
  using V = typename L::V;
  V p, q, r, height, top;
  T x, y;  // from the tile's corner
  int first_column, last_column, first_row, last_row;

  inline __attribute__((always_inline)) Brush(const Splat<T>& s, const TileJob<T>& job) {
    const int ox = static_cast<int>(job.x), oy = static_cast<int>(job.y);
    first_column = most(s.left - ox, 0) / kWide;
    last_column = (least(s.right, static_cast<int>(job.right) - 1) - ox) / kWide;
    first_row = most(s.top - oy, 0) / kHigh<T>;
    last_row = (least(s.bottom, static_cast<int>(job.bottom) - 1) - oy) / kHigh<T>;
    x = s.x - static_cast<T>(ox);
    y = s.y - static_cast<T>(oy);
    p = L::all(s.p);
    q = L::all(s.q);
    r = L::all(s.r);
    height = L::all(s.height);
    top = L::all(least(s.height, T(kTop)));
  }

  inline __attribute__((always_inline)) V power(V u, V w) const {
    return L::lower(height - u * u - w * w, top);
  }
};

// Goes through the brush's blocks row by row: one loop, because short nested ones are mispredicted.
template <typename T>
struct Walk {
  int count, block, next_row, across, in_row;
  T x, y, first_x;  // the block's corner from the splat's mean

  inline __attribute__((always_inline)) explicit Walk(const Brush<T>& brush) {
    in_row = across = brush.last_column - brush.first_column + 1;
    count = across * (brush.last_row - brush.first_row + 1);
    block = brush.first_row * Block<T>::across + brush.first_column;
    next_row = Block<T>::across - across + 1;
    first_x = x = static_cast<T>(brush.first_column * kWide) - brush.x;
    y = static_cast<T>(brush.first_row * kHigh<T>) - brush.y;
  }
  inline __attribute__((always_inline)) void step() {
    const bool wrap = --in_row == 0;  // x, which is rounded at every step, would not tell
    in_row = wrap ? across : in_row;
    block += wrap ? next_row : 1;
    x = wrap ? first_x : x + T(kWide);
    y += wrap ? T(kHigh<T>) : T(0);
  }
};

template <typename T>
inline __attribute__((always_inline)) void prefetch(const TileJob<T>& job, int64_t k) {
  const TileEntry& entry = job.entries[k + kAhead < job.entries_left ? k + kAhead : k];
  __builtin_prefetch(job.splats + entry.splat);
  if constexpr (sizeof(Splat<T>) > 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(job.splats + entry.splat) + 64);
  }
}

// Asks for a row of the tile in an image of `stride` numbers a pixel: short strips of rows that lie
// far apart are not foreseen by the processor.
template <int for_writing, typename T>
inline __attribute__((always_inline)) void prefetch_row(const TileJob<T>& job, const T* image,
                                                        int64_t stride, int64_t row) {
  if (row >= job.bottom) return;
  const auto at = [&](int64_t x) {
    return reinterpret_cast<const char*>(image + (row * job.width + x) * stride);
  };
  for (const char* line = at(job.x); line < at(job.right); line += 64) {
    __builtin_prefetch(line, for_writing);
  }
}

// What the pixels of a block look like. A pixel that is done has a negative transmittance.
template <typename T, int channels>
struct Pixels {
  using V = typename Lanes<T>::V;
  V left, color[channels];
};

template <typename T, int channels>
bool all_done(const Pixels<T, channels>* frame) {
  using L = Lanes<T>;
  typename L::V most_left = frame[0].left;
  for (int i = 1; i < Block<T>::count; ++i) {
    most_left = L::where(L::above(frame[i].left, most_left), frame[i].left, most_left);
  }
  return !L::any(L::above(most_left, L::all(0)));
}

template <typename T, int channels>
inline __attribute__((always_inline)) void write_block(const TileJob<T>& job,
                                                       const Pixels<T, channels>& pixels,
                                                       const T* background, int64_t x, int64_t y,
                                                       int64_t columns, int64_t rows) {
  using B = Block<T>;
  using V = typename B::V;
  const V left = Lanes<T>::magnitude(pixels.left), alpha = T(1) - left;
  V color[channels], parts[channels];
  for (int c = 0; c < channels; ++c) color[c] = pixels.color[c] + left * background[c];
  join_channels<T, channels>(color, reinterpret_cast<T*>(parts));
  const int64_t at = y * job.width + x;
  if (columns == kWide && rows == B::high && job.stride == channels) {
    Lanes<T>::template write_rows<kWide * channels>(parts, job.image + at * channels,
                                                    job.width * channels);
    if (job.alphas) {
      Lanes<T>::template write_rows<kWide>(&alpha, job.alphas + at, job.width);
    }
    return;
  }
  T line[B::lanes * channels], opaque[B::lanes];
  __builtin_memcpy(line, parts, sizeof(parts));
  __builtin_memcpy(opaque, &alpha, sizeof(alpha));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t pixel = at + row * job.width + k, lane = row * kWide + k;
      for (int c = 0; c < channels; ++c) {
        job.image[pixel * job.stride + c] = line[lane * channels + c];
      }
      if (job.alphas) job.alphas[pixel] = opaque[lane];
    }
  }
}

template <typename T, int channels>
void draw(const TileJob<T>& job) {
  using L = Lanes<T>;
  using B = Block<T>;
  using V = typename L::V;
  Pixels<T, channels> frame[B::count];
  for (int i = 0; i < B::count; ++i) {
    const bool beside =
        job.x + i % B::across * kWide >= job.right || job.y + i / B::across * B::high >= job.bottom;
    frame[i].left = L::all(beside ? T(-1) : T(1));  // what is beside the tile is done
    for (int c = 0; c < channels; ++c) frame[i].color[c] = L::all(T(0));
  }
  const V columns = B::columns(), rows = B::rows();
  const V cutoff = L::all(T(-kCutoff)), least_left = L::all(T(kSmallestTransmittance));
  for (int64_t k = 0; k < job.count; ++k) {
    prefetch(job, k);
    if (k % 4 == 0 && k < 4 * kTile) prefetch_row<1>(job, job.image, job.stride, job.y + k / 4);
    const Splat<T>& s = job.splats[job.entries[k].splat];
    const Brush<T> brush(s, job);
    V color[channels];
    for (int c = 0; c < channels; ++c) color[c] = L::all(s.color[c]);
    Walk<T> walk(brush);
    for (int i = 0; i < walk.count; ++i) {
      const V dx = columns + walk.x, dy = rows + walk.y;
      const V u = brush.p * dx + brush.q * dy, w = brush.r * dy;
      const V power = brush.power(u, w);
      Pixels<T, channels>* pixels = frame + walk.block;
      walk.step();
      const auto seen = L::at_least(power, cutoff);
      const V left = pixels->left, weight = left * L::exp2(seen, power), after = left - weight;
      const auto drawn = L::above(after, least_left);
      const V share = L::keep(drawn, weight);
      pixels->left = L::where(drawn, after, L::done(left));
      for (int c = 0; c < channels; ++c) pixels->color[c] = pixels->color[c] + share * color[c];
    }
    if (k % kRecheck == kRecheck - 1 && all_done<T, channels>(frame)) break;
  }
  T background[channels] = {};
  for (int c = 0; c < channels; ++c) background[c] = job.background ? job.background[c] : T(0);
  for (int i = 0; i < B::count; ++i) {
    const int64_t x = job.x + i % B::across * kWide, y = job.y + i / B::across * B::high;
    const int64_t wide = least<int64_t>(kWide, job.right - x);
    const int64_t high = least<int64_t>(B::high, job.bottom - y);
    if (wide > 0 && high > 0) write_block<T, channels>(job, frame[i], background, x, y, wide, high);
  }
}

// The same, for the gradients: rest is what the splats still to come add to grad . output.
template <typename T, int channels>
struct GradientPixels {
  using V = typename Lanes<T>::V;
  V left, rest, grad_alpha, grad[channels];
};

// A block out of an image of `stride` numbers a pixel; lanes beside it become 0.
template <typename T, int channels>
inline __attribute__((always_inline)) void read_block(const TileJob<T>& job, const T* image,
                                                      int64_t stride, int64_t x, int64_t y,
                                                      typename Lanes<T>::V* values) {
  using B = Block<T>;
  typename B::V parts[channels] = {};
  const int64_t wide = least<int64_t>(kWide, job.right - x);
  const int64_t high = least<int64_t>(B::high, job.bottom - y);
  const T* from = image + (y * job.width + x) * stride;
  if (wide == kWide && high == B::high && stride == channels) {
    Lanes<T>::template read_rows<kWide * channels>(from, job.width * channels, parts);
  } else {
    T line[B::lanes * channels] = {};
    for (int64_t row = 0; row < high; ++row) {
      for (int64_t k = 0; k < wide; ++k) {
        for (int c = 0; c < channels; ++c) {
          line[(row * kWide + k) * channels + c] = from[(row * job.width + k) * stride + c];
        }
      }
    }
    __builtin_memcpy(parts, line, sizeof(parts));
  }
  split_channels<T, channels>(reinterpret_cast<const T*>(parts), values);
}

template <typename T, int channels>
void load_gradients(const TileGradientJob<T>& job, GradientPixels<T, channels>* frame) {
  using L = Lanes<T>;
  using B = Block<T>;
  using V = typename L::V;
  const TileJob<T>& f = job.forward;
  for (int i = 0; i < B::count; ++i) {
    const int64_t x = f.x + i % B::across * kWide, y = f.y + i / B::across * B::high;
    if (i % B::across < B::high) {
      const int64_t ahead = y + kRowsAhead + i % B::across;
      prefetch_row<0>(f, f.image, f.stride, ahead);
      prefetch_row<0>(f, job.grad_image, f.stride, ahead);
    }
    V image[channels], alpha, by_alpha = L::all(T(0)), behind = by_alpha, rest = by_alpha;
    frame[i].left = L::all(T(1));  // lanes beside the image have gradients of 0
    read_block<T, channels>(f, job.grad_image, f.stride, x, y, frame[i].grad);
    read_block<T, channels>(f, f.image, f.stride, x, y, image);
    if (job.grad_alphas) {
      read_block<T, 1>(f, job.grad_alphas, 1, x, y, &by_alpha);
      read_block<T, 1>(f, f.alphas, 1, x, y, &alpha);
      rest = by_alpha * alpha;
    }
    for (int c = 0; c < channels; ++c) {
      rest = rest + frame[i].grad[c] * image[c];
      if (f.background) behind = behind + frame[i].grad[c] * f.background[c];
    }
    frame[i].grad_alpha = by_alpha - behind;
    frame[i].rest = rest - behind;
  }
}

template <typename T, int channels, bool with_abs>
void gradient(const TileGradientJob<T>& job) {
  using L = Lanes<T>;
  using B = Block<T>;
  using V = typename L::V;
  constexpr int size = record_size(channels, with_abs);
  const TileJob<T>& f = job.forward;
  GradientPixels<T, channels> frame[B::count];
  load_gradients(job, frame);
  const V columns = B::columns(), rows = B::rows(), none = L::all(T(0));
  const V cutoff = L::all(T(-kCutoff)), least_left = L::all(T(kSmallestTransmittance));
  const V full = L::all(T(kTop));
  for (int64_t k = 0; k < f.count; ++k) {
    prefetch(f, k);
    const Splat<T>& s = f.splats[f.entries[k].splat];
    const Brush<T> brush(s, f);
    V color[channels], sum[size];
    for (int c = 0; c < channels; ++c) color[c] = L::all(s.color[c]);
#pragma GCC unroll 16  // else the sums would live in memory
    for (int i = 0; i < size; ++i) sum[i] = none;
    Walk<T> walk(brush);
    for (int i = 0; i < walk.count; ++i) {
      const V dx = columns + walk.x, dy = rows + walk.y;
      const V u = brush.p * dx + brush.q * dy, w = brush.r * dy;
      const V power = brush.power(u, w);
      GradientPixels<T, channels>* pixels = frame + walk.block;
      walk.step();
      const auto seen = L::at_least(power, cutoff);
      const V left = pixels->left, alpha = L::exp2(seen, power);
      const V weight = left * alpha, after = left - weight;
      const auto drawn = L::above(after, least_left);
      const V share = L::keep(drawn, weight);
      pixels->left = L::where(drawn, after, L::done(left));
      V dot = pixels->grad_alpha;
      for (int c = 0; c < channels; ++c) {
        dot = dot + pixels->grad[c] * color[c];
        sum[6 + c] = sum[6 + c] + share * pixels->grad[c];
      }
      const V rest = pixels->rest - share * dot;
      pixels->rest = rest;
      // By alpha: left dot - rest / (1 - alpha); a held alpha has no gradient.
      const V by_alpha = left * dot - rest * L::reciprocal(T(1) - alpha);
      const V v = L::keep(L::above(drawn, full, power), alpha * by_alpha);
      const V vx = v * dx, vy = v * dy;
      sum[0] = sum[0] + v;
      sum[1] = sum[1] + vx;
      sum[2] = sum[2] + vy;
      sum[3] = sum[3] + vx * dx;
      sum[4] = sum[4] + vx * dy;
      sum[5] = sum[5] + vy * dy;
      if constexpr (with_abs) {  // in units of log2(e)
        const V twice = v + v, along = twice * u;
        sum[6 + channels] = sum[6 + channels] + L::magnitude(along * brush.p);
        sum[7 + channels] = sum[7 + channels] + L::magnitude(along * brush.q + twice * w * brush.r);
      }
    }
    T* record = job.records + static_cast<int64_t>(f.entries[k].slot) * size;
    L::template sums<size>(sum, record);
  }
}

template <typename T>
void draw_any(const TileJob<T>& job, int channels) {
  constexpr void (*all[])(const TileJob<T>&) = {draw<T, 1>, draw<T, 2>, draw<T, 3>, draw<T, 4>};
  all[channels - 1](job);
}

template <typename T>
void gradient_any(const TileGradientJob<T>& job, int channels, bool with_abs) {
  constexpr void (*all[])(const TileGradientJob<T>&) = {
      gradient<T, 1, false>, gradient<T, 2, false>, gradient<T, 3, false>, gradient<T, 4, false>,
      gradient<T, 1, true>,  gradient<T, 2, true>,  gradient<T, 3, true>,  gradient<T, 4, true>};
  all[channels - 1 + (with_abs ? 4 : 0)](job);
}

}  // namespace

void draw_tile(const TileJob<float>& job, int channels) { draw_any(job, channels); }
void draw_tile(const TileJob<double>& job, int channels) { draw_any(job, channels); }
void tile_gradient(const TileGradientJob<float>& job, int channels, bool with_abs) {
  gradient_any(job, channels, with_abs);
}
void tile_gradient(const TileGradientJob<double>& job, int channels, bool with_abs) {
  gradient_any(job, channels, with_abs);
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
