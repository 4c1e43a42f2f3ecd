#pragma once

// Lines through holes and the levels of the pyramid, for both twins.

#include <cmath>

#include "common/sampling.h"
#include "fill/fill.h"

namespace steadyview::filling {

// Ends of a line this much nearer than the other end are of another surface; up to the second, of
// the same one. Between them a rim pixel's weight fades.
inline constexpr double kOtherSurface = 0.8, kSameSurface = 0.95;
// An end of a gap nearer than this share of the farthest end's depth is foreground.
inline constexpr double kForeground = 0.9;

// Four lines and eight directions; direction d + 4 is the opposite of d.
STEADYVIEW_HOST_DEVICE int64_t step_y(int direction) {
  return (direction & 3) == 0 ? 0 : direction < 4 ? 1 : -1;
}
STEADYVIEW_HOST_DEVICE int64_t step_x(int direction) {
  const int line = direction & 3;
  return (line == 1 ? 0 : line == 3 ? -1 : 1) * (direction < 4 ? 1 : -1);
}

STEADYVIEW_HOST_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Steps to the first pixel that is not 0 in a direction, at most `most`; 0 where there is none.
STEADYVIEW_HOST_DEVICE int64_t steps_to_known(const uint8_t* known, int64_t height, int64_t width,
                                              int64_t y, int64_t x, int direction, int64_t most) {
  const int64_t dy = step_y(direction), dx = step_x(direction), step = dy * width + dx;
  if (dy) most = least(most, dy > 0 ? height - 1 - y : y);
  if (dx) most = least(most, dx > 0 ? width - 1 - x : x);
  const uint8_t* at = known + y * width + x;
  for (int64_t steps = 1; steps <= most; ++steps) {
    at += step;
    if (*at) return steps;
  }
  return 0;
}

// A line across a gap from one known end, `near` steps in its direction, to the other, `away` steps
// against it. line < 0 where there is none.
struct Gap {
  int line;
  int64_t near, away;
};

// The line across a gap through hole pixel (y, x) whose ends differ least in `image`, one image's
// channels. steps(direction) are those to a known pixel, 0 where they are more than the gap. With
// depth, both ends must be on the farthest surface that is met in any direction: a crack between
// foreground and background is the background's, which the pyramid knows by more than one pixel.
template <typename T, typename Steps>
STEADYVIEW_HOST_DEVICE Gap find_gap(const T* image, const T* depth, int64_t channels,
                                    int64_t height, int64_t width, int64_t gap, int64_t y,
                                    int64_t x, Steps steps) {
  const int64_t at = y * width + x;
  T ends[8] = {}, farthest = 0;
  for (int direction = 0; depth && direction < 8; ++direction) {
    const int64_t count = steps(direction);
    if (count == 0) continue;
    ends[direction] = depth[at + count * (step_y(direction) * width + step_x(direction))];
    farthest = ends[direction] > farthest ? ends[direction] : farthest;
  }
  // Without branches, which would be guessed wrong half of the time.
  Gap best{-1, 0, 0};
  T least_difference = T(0);
  for (int line = 0; line < 4; ++line) {
    const int64_t near = steps(line), away = steps(line + 4);
    const bool whole = (near > 0) & (away > 0) & (near + away <= gap + 1) &
                       (ends[line] >= T(kForeground) * farthest) &
                       (ends[line + 4] >= T(kForeground) * farthest);
    const int64_t step = step_y(line) * width + step_x(line);
    const T* a = image + at + (whole ? near * step : 0);
    const T* b = image + at - (whole ? away * step : 0);
    T difference = 0;
    for (int64_t c = 0; c < channels; ++c) {
      difference += std::fabs(a[c * height * width] - b[c * height * width]);
    }
    const bool better = whole & ((best.line < 0) | (difference < least_difference));
    least_difference = better ? difference : least_difference;
    best.line = better ? line : best.line;
    best.near = better ? near : best.near;
    best.away = better ? away : best.away;
  }
  return best;
}

// Fills pixel (y, x) of a hole across a gap, if there is one: its channels in `values`, which hold
// the known ones, and its depth, unless null. What goes into `kept`.
template <typename T, typename Steps>
STEADYVIEW_HOST_DEVICE uint8_t fill_gap(T* values, T* depth, int64_t channels, int64_t height,
                                        int64_t width, int64_t gap, int64_t y, int64_t x,
                                        Steps steps) {
  const Gap found = find_gap(values, depth, channels, height, width, gap, y, x, steps);
  if (found.line < 0) return 0;
  const int64_t step = step_y(found.line) * width + step_x(found.line), at = y * width + x;
  const int64_t a = at + found.near * step, b = at - found.away * step;
  const T share = static_cast<T>(found.near) / static_cast<T>(found.near + found.away);
  for (int64_t c = 0; c < channels; ++c) {
    T* plane = values + c * height * width;
    plane[at] = plane[a] + share * (plane[b] - plane[a]);
  }
  if (depth) depth[at] = depth[a] + share * (depth[b] - depth[a]);
  return static_cast<uint8_t>(2 + found.line);
}

// What a known pixel gets from the gradients of the pixels that were filled across gaps from it:
// calls add(pixel, weight).
template <typename T, typename Add>
STEADYVIEW_HOST_DEVICE void gather_gaps(const uint8_t* known, const uint8_t* kept, int64_t height,
                                        int64_t width, int64_t gap, int64_t y, int64_t x, Add add) {
  const int64_t at = y * width + x;
  for (int direction = 0; direction < 8; ++direction) {
    const int64_t length = steps_to_known(known, height, width, y, x, direction, gap + 1);
    const int64_t step = step_y(direction) * width + step_x(direction);
    for (int64_t s = 1; s < length; ++s) {
      if (kept[at + s * step] != 2 + (direction & 3)) continue;
      add(at + s * step, static_cast<T>(length - s) / static_cast<T>(length));
    }
  }
}

// The weight of rim pixel (y, x), by the depths at the other ends of the hole's lines.
template <typename T>
STEADYVIEW_HOST_DEVICE T rim_weight(const uint8_t* kept, const T* depth, int64_t height,
                                    int64_t width, int64_t y, int64_t x) {
  const int64_t at = y * width + x, most = height > width ? height : width;
  const bool inside = y > 0 && y + 1 < height && x > 0 && x + 1 < width;
  const T own = depth[at];
  T weight = 1;
  for (int direction = 0; direction < 8 && weight > 0; ++direction) {
    const int64_t step = step_y(direction) * width + step_x(direction);
    if (inside && kept[at + step]) continue;
    const int64_t steps = steps_to_known(kept, height, width, y, x, direction, most);
    if (steps < 2) continue;
    const T other = depth[at + steps * step];
    if (!(other > own)) continue;
    const T fade = (own / other - T(kOtherSurface)) / T(kSameSurface - kOtherSurface);
    weight = fade < weight ? fade : weight;
  }
  return weight > 0 ? weight : T(0);
}

// A level of the pyramid: cells (images, channels + 1, height, width), the weights behind the
// channels.
template <typename T>
struct Level {
  T* data;
  int64_t height, width;
};

STEADYVIEW_HOST_DEVICE int64_t coarser(int64_t size) { return (size + 1) / 2; }

template <typename T>
STEADYVIEW_HOST_DEVICE T opacity(T weight) {
  return weight < T(1) ? weight : T(1);
}
// What makes a sum of weighted values a value times opacity(weight).
template <typename T>
STEADYVIEW_HOST_DEVICE T normaliser(T weight) {
  return weight > T(1) ? T(1) / weight : T(1);
}

// Of the coarser level: the cell next to `fine`'s own.
STEADYVIEW_HOST_DEVICE int64_t other_parent(int64_t fine, int64_t size) {
  const int64_t other = fine / 2 + (fine % 2 ? 1 : -1);
  return other < 0 ? 0 : other < coarser(size) ? other : coarser(size) - 1;
}

// Bilinear, at pixel (y, x) of `height` x `width`, from a plane of the coarser level.
template <typename T>
STEADYVIEW_HOST_DEVICE T push(const T* coarse, int64_t height, int64_t width, int64_t y,
                              int64_t x) {
  const int64_t stride = coarser(width), other = other_parent(x, width);
  const T* own = coarse + y / 2 * stride;
  const T* beside = coarse + other_parent(y, height) * stride;
  const T a = T(0.75) * own[x / 2] + T(0.25) * beside[x / 2];
  const T b = T(0.75) * own[other] + T(0.25) * beside[other];
  return T(0.75) * a + T(0.25) * b;
}

// The weight in push of cell `coarse` for pixel 2 * coarse + tap, tap -1 to 2; 0 outside.
template <typename T>
STEADYVIEW_HOST_DEVICE T pull_weight(int64_t coarse, int tap, int64_t size) {
  const int64_t fine = 2 * coarse + tap;
  if (fine < 0 || fine >= size) return T(0);
  if (tap == -1 || tap == 2) return T(0.25);
  return fine == (tap ? size - 1 : 0) ? T(1) : T(0.75);
}

// The transpose of push: the sum for cell (y, x) over the values of a level of `height` x `width`.
template <typename T, typename Value>
STEADYVIEW_HOST_DEVICE T pull(int64_t height, int64_t width, int64_t y, int64_t x, Value value) {
  T sum = 0;
  for (int j = -1; j <= 2; ++j) {
    const T wy = pull_weight<T>(y, j, height);
    if (wy == 0) continue;
    T line = 0;
    for (int i = -1; i <= 2; ++i) {
      const T wx = pull_weight<T>(x, i, width);
      if (wx != 0) line += wx * value((2 * y + j) * width + 2 * x + i);
    }
    sum += wy * line;
  }
  return sum;
}

}  // namespace steadyview::filling
