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

// Three by three pixels.
struct PointBlurParams {
  const float* from;  // (radius + 1) rows above and columns left of the middle
  int64_t stride;     // floats
  const float* taps;  // (2 radius + 1), then zeros, 2 kMargin in all
  int radius;         // below kMargin
};

constexpr int kLayers = 3;            // of extrema, in an octave
constexpr int kImages = kLayers + 2;  // but for the last
constexpr int kBorder = 5;            // where there are no extrema

struct Candidate {
  int column, row;
};

constexpr int kStrip = 128;  // columns at a time: their differences stay in the nearest cache

// A piece of an octave; the pixels around it are there too.
struct ExtremaParams {
  const Plane* blurred;       // (kImages)
  int first_row, rows;        // at most kBatch
  int first_column, columns;  // at most kStrip
  float threshold;
};

// Of the last layer, but for differences above: those are looked at later.
struct Candidates {
  int counts[kLayers];
  Candidate found[kLayers][kBatch * kStrip];
};

struct PyramidKernels {
  void (*double_row)(const DoubleRowParams&);
  void (*blur_row)(const RowBlurParams&);
  void (*blur_column)(const ColumnBlurParams&);
  // Out: of each row the fourth means nothing.
  void (*blur_point)(const PointBlurParams&, float (*out)[4]);
  float (*blur_middle)(const PointBlurParams&);  // of them, but for rounding
  void (*halve_row)(const float* from, int width, float* out);
  void (*extrema)(const ExtremaParams&, Candidates& out);
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
