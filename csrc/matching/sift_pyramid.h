#pragma once

// One octave of SIFT's pyramid, made row by row: a row of a blurred image is made as soon as the
// rows it needs are there, while they are in the cache, and differences only live for three rows.
// The last image, which takes a quarter of all sums, is only computed around points: it says which
// extrema of the last layer stand, and where they are.

#include <array>
#include <vector>

#include "matching/sift_kernels.h"

namespace steadyview::matching {

constexpr float kSigma = 1.6f;

struct GrayFrame {
  const uint8_t* data;
  int64_t stride;  // bytes
  int width, height;
};

struct Extremum {
  int column, row, layer;
  float dx, dy, dlayer;  // of the fitted parabola's top
  float contrast;
};

struct Octave {
  int index = 0;
  std::array<Plane, kImages> blurred;
  std::array<std::vector<Extremum>, kLayers + 1> features;  // by the layer they were found in
};

// The octave of the doubled frame.
Octave first_octave(const GrayFrame& frame, SiftWorkspace& workspace);

// Its first image is every second pixel of an image of the octave before, whose others it
// overwrites.
Octave next_octave(const Octave& before, SiftWorkspace& workspace);

// Half of the normalised Gaussian, from the middle, that makes image `image` of an octave from the
// one before; image 0 from the doubled frame.
std::vector<float> blur_taps(size_t image);

// Where a place beyond the image is mirrored without repeating the edge, as often as it takes.
int reflect(int at, int count);

}  // namespace steadyview::matching
