#pragma once

// Four channels side by side, so that what a pixel adds is one addition of a vector: part of
// band_sums.h and pair_sums.h.

#include <cstring>

#include "warp/warp_tiles.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

template <typename T>
struct QuadOf;
template <>
struct QuadOf<float> {
  using type = float __attribute__((vector_size(16)));
  using pair = float __attribute__((vector_size(32)));
};
template <>
struct QuadOf<double> {
  using type = double __attribute__((vector_size(32)));
  using pair = double __attribute__((vector_size(64)));
};

// Four rows of four, transposed.
template <typename Quad>
inline __attribute__((always_inline)) void transpose(Quad* q) {
  const Quad a = __builtin_shufflevector(q[0], q[1], 0, 4, 1, 5);
  const Quad b = __builtin_shufflevector(q[2], q[3], 0, 4, 1, 5);
  const Quad c = __builtin_shufflevector(q[0], q[1], 2, 6, 3, 7);
  const Quad d = __builtin_shufflevector(q[2], q[3], 2, 6, 3, 7);
  q[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  q[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  q[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  q[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

// Values of four planes' pixels.
template <typename T, typename Quad>
void load_quads(const T* const* planes, int count, Quad* values) {
  int p = 0;
  for (; p + 4 <= count; p += 4) {
    for (int c = 0; c < 4; ++c) std::memcpy(&values[p + c], planes[c] + p, sizeof(Quad));
    transpose(values + p);
  }
  for (; p < count; ++p) values[p] = Quad{planes[0][p], planes[1][p], planes[2][p], planes[3][p]};
}

// Puts the sums of a band into planes, `plane` numbers apart, of lines `pitch` apart: beginning
// with its first row.
template <bool kAdd, typename T, typename Sums>
void put_quads(const Sums& band, int channels, int64_t plane, int64_t pitch, T* out) {
  using Quad = typename QuadOf<T>::type;
  for (int64_t y = band.first; y < band.last; ++y, out += pitch) {
    int64_t x = 0;
    for (; x + 4 <= band.width; x += 4) {
      Quad q[4];
      for (int k = 0; k < 4; ++k) band.total(x + k, y, &q[k]);
      transpose(q);
      for (int c = 0; c < 4; ++c) {
        if (c >= channels) break;
        T* const to = out + c * plane + x;
        Quad sum{};
        if (kAdd) std::memcpy(&sum, to, sizeof(Quad));
        sum = kAdd ? sum + q[c] : q[c];
        std::memcpy(to, &sum, sizeof(Quad));
      }
    }
    for (; x < band.width; ++x) {
      Quad q;
      band.total(x, y, &q);
      for (int c = 0; c < channels; ++c) {
        T* const to = out + c * plane + x;
        *to = kAdd ? *to + q[c] : q[c];
      }
    }
  }
}

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA
