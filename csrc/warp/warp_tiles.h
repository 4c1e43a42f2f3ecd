#pragma once

// Source points of a tile: part of warp_rows.cpp and warp_scatter.cpp, compiled for each
// instruction set. The loops are written for the compiler to make vectors of.

#include "warp/warp_pixel.h"
#include "warp/warp_rows.h"

namespace steadyview::warping::STEADYVIEW_ISA {
namespace {

using namespace warp_maths;

template <typename T>
struct Tile {
  int64_t n, row, column;  // the first pixel
  int count;
  // Whole parts and rests, as Point; filled up to a multiple of 16 with the last one.
  alignas(64) int x[kWarpTile], y[kWarpTile];
  alignas(64) T tx[kWarpTile], ty[kWarpTile];
};

template <typename T, typename X>
void split_points(const X* __restrict x, const X* __restrict y, X offset, int step, Tile<T>& tile) {
  const int column = step * static_cast<int>(tile.column), row = step * static_cast<int>(tile.row);
  int* __restrict const out_x = tile.x;
  int* __restrict const out_y = tile.y;
  T* __restrict const rest_x = tile.tx;
  T* __restrict const rest_y = tile.ty;
  const int count = tile.count;
  for (int i = 0; i < count; ++i) {
    int ix, iy;
    const bool by_x = split(x[i] + offset, &ix, &rest_x[i]);
    const bool by_y = split(y[i] + offset, &iy, &rest_y[i]);
    out_x[i] = by_x & by_y ? ix + column + step * i : kHole;
    out_y[i] = iy + row;
  }
}

// Coefficients of the row's sums of cosines: x then y.
template <typename T, typename S>
void row_coefficients(const BackwardWarp<T, S>& warp, int64_t n, int64_t row, double* sums) {
  const int terms = warp.motion.terms;
  const double* c = warp.motion.displacement + 2 * n * terms * terms;
  const double cosine = std::cos(3.14159265358979323846 * (static_cast<double>(row) + 0.5) /
                                 static_cast<double>(warp.output_height));
  double basis = 1, before = cosine;
  for (int v = 0; v < 2 * terms; ++v) sums[v] = 0;
  for (int u = 0; u < terms; ++u) {
    for (int v = 0; v < terms; ++v) {
      sums[v] += c[u * terms + v] * basis;
      sums[terms + v] += c[(terms + u) * terms + v] * basis;
    }
    const double next = 2 * cosine * basis - before;
    before = basis;
    basis = next;
  }
}

template <typename T, typename S>
void project_tile(const BackwardWarp<T, S>& warp, const double* basis, Tile<T>& tile) {
  alignas(64) double px[kWarpTile], py[kWarpTile];
  double m[9];
  for (int k = 0; k < 9; ++k) m[k] = warp.motion.source_from_output[9 * tile.n + k];
  const double x = static_cast<double>(tile.column) + 0.5, y = static_cast<double>(tile.row) + 0.5;
  if (m[6] == 0 && m[7] == 0) {  // spares the divisions
    const double scale = project(m, x, y).by_w, by_w = scale < 0 ? -scale : scale;
    for (int i = 0; i < tile.count; ++i) {
      px[i] = (m[0] * (x + i) + m[1] * y + m[2]) * by_w;
      py[i] = (m[3] * (x + i) + m[4] * y + m[5]) * by_w;
    }
  } else {
    for (int i = 0; i < tile.count; ++i) {
      const Projected moved = project(m, x + i, y);
      px[i] = moved.x;
      py[i] = moved.y;
    }
  }
  if (warp.motion.displacement) {
    double sums[2 * 64];
    const int terms = warp.motion.terms;
    row_coefficients(warp, tile.n, tile.row, sums);
    for (int v = 0; v < terms; ++v) {
      const double* cosines = basis + v * basis_columns(warp.output_width) + tile.column;
      for (int i = 0; i < tile.count; ++i) {
        px[i] += sums[v] * cosines[i];
        py[i] += sums[terms + v] * cosines[i];
      }
    }
  }
  split_points(px, py, -0.5, 0, tile);
}

// Brings indices into -size ... 2 size - 1: what is mirrored repeats.
inline void wrap(int* index, int count, int64_t size) {
  const int period = static_cast<int>(2 * size);
  for (int i = 0; i < count; ++i) {
    const unsigned above = static_cast<unsigned>(index[i]) + static_cast<unsigned>(size);
    if (above < 3 * static_cast<unsigned>(size) || index[i] == kHole) continue;
    const int rest = index[i] % period;
    index[i] = rest < 0 ? rest + period : rest;
  }
}

// Fetches what the next row's tile reads. A page of memory is less than a row or little more, and
// the processor does not foresee what comes after a page.
template <typename T>
inline void read_ahead(const T* next, int count) {
  for (int i = 0; i < count; i += 64 / static_cast<int>(sizeof(T))) __builtin_prefetch(next + i);
}

template <typename T, typename S>
void fill_tile(const BackwardWarp<T, S>& warp, const double* basis, int64_t n, int64_t row,
               int64_t column, Tile<T>& tile) {
  const int64_t pixels = warp.output_height * warp.output_width, rest = warp.output_width - column;
  tile.n = n;
  tile.row = row;
  tile.column = column;
  tile.count = rest < kWarpTile ? static_cast<int>(rest) : kWarpTile;
  const int64_t at = 2 * n * pixels + row * warp.output_width + column;
  const Motion<T>& motion = warp.motion;
  if (const T* field = motion.flow ? motion.flow : motion.points) {
    read_ahead(field + at + warp.output_width, tile.count);
    read_ahead(field + at + pixels + warp.output_width, tile.count);
  }
  if (motion.flow) {
    split_points(motion.flow + at, motion.flow + at + pixels, T(0), 1, tile);
  } else if (motion.points) {
    split_points(motion.points + at, motion.points + at + pixels, T(-0.5), 0, tile);
  } else {
    project_tile(warp, basis, tile);
  }
  if (warp.border == Border::reflect) {
    wrap(tile.x, tile.count, warp.width);
    wrap(tile.y, tile.count, warp.height);
  }
  const int last = tile.count - 1;
  for (int i = tile.count; i % 16; ++i) {
    tile.x[i] = tile.x[last];
    tile.y[i] = tile.y[last];
    tile.tx[i] = tile.tx[last];
    tile.ty[i] = tile.ty[last];
  }
}

}  // namespace
}  // namespace steadyview::warping::STEADYVIEW_ISA
