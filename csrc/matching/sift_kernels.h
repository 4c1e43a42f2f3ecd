#pragma once

// What SIFT has compiled for each instruction set: rows of the pyramid, and patches around points.

#include <stdint.h>

#include "matching/sift.h"

namespace steadyview::matching {

constexpr int kRowSlack = 64;  // floats that kernels may read and write beyond a row

struct DoubleRowParams {
  const uint8_t *near, *far;  // (width) rows of which the first counts three times as much
  int width;
  float* out;      // (2 width)
  float* scratch;  // (width + 2)
};

constexpr int kMargin = 16;  // floats on both sides of a row, for what lies beyond the image

struct RowBlurParams {
  float* source;  // its margins are overwritten
  int width;
  const float* taps;  // (radius + 1) from the middle outwards
  int radius;         // at most kMargin
  float* out;
};

constexpr int kBatch = 8;  // rows that are blurred from above to below at a time

struct ColumnBlurParams {
  const float* const* rows;  // (2 radius + count) from above to below
  int width;
  const float* taps;  // (radius + 1)
  int radius;
  int count;
  float* const* out;  // (count) rows
};

struct DifferenceParams {
  const float* const* blurred;  // (images) rows of ever wider blur
  int images;
  int width;
  float* const* out;  // (images - 1)
};

// Three by three pixels.
struct PointBlurParams {
  const float* const* rows;  // (2 radius + 3) from (radius + 1) columns left of the middle
  const float* taps;         // (radius + 1)
  int radius;                // below kMargin
};

struct ExtremaParams {
  int levels;               // 3, or 2 where the differences above are looked at later
  const float* rows[3][3];  // differences below, at and above; rows before, at and after
  int width;
  int border;
  float threshold;
  int32_t* columns;  // (width) out: those of the extrema
};

struct PyramidKernels {
  void (*double_row)(const DoubleRowParams&);
  void (*blur_row)(const RowBlurParams&);
  void (*blur_column)(const ColumnBlurParams&);
  // Out: of each row the fourth means nothing.
  void (*blur_point)(const PointBlurParams&, float (*out)[4]);
  float (*blur_middle)(const PointBlurParams&);  // of them, but for rounding
  void (*halve_row)(const float* from, int width, float* out);
  void (*differences)(const DifferenceParams&);
  int (*extrema)(const ExtremaParams&);  // returns how many
};

// Gradients around a point of a blurred image.
struct PatchParams {
  Plane image;
  int x, y, radius;
  float angle;     // degrees: of the descriptor's frame
  float width;     // descriptor: pixels a cell; orientation: sigma of the window
  float* scratch;  // 3 (2 radius + 1 + kRowSlack) floats
  const float*
      next;  // descriptor: the middle of a patch to fetch into the cache, of the same image
};

struct PatchKernels {
  void (*orientation)(const PatchParams&, float* bins);  // (36), not yet smoothed
  void (*descriptor)(const PatchParams&, uint8_t* out);  // (kSiftLength)
};

const PyramidKernels& active_pyramid_kernels();
const PatchKernels& active_patch_kernels();

}  // namespace steadyview::matching
