#pragma once

// One octave of SIFT's pyramid, made row by row: a row of a blurred image is made as soon as the
// rows it needs are there, while they are in the cache, and differences only live for three rows.
// The last image, which takes a quarter of all sums, is only computed around points: it says which
// extrema of the last layer stand, and where they are.

#include <array>
#include <vector>

#include "matching/sift_kernels.h"

namespace steadyview::matching {

constexpr int kLayers = 3;            // of extrema, in an octave
constexpr int kImages = kLayers + 2;  // but for the last
constexpr int kBorder = 5;            // where there are no extrema
constexpr float kSigma = 1.6f;

struct GrayFrame {
  const uint8_t* data;
  int64_t stride;  // bytes
  int width, height;
};

struct Candidate {
  int column, row;
};

struct Octave {
  int index = 0;
  std::array<Plane, kImages> blurred;
  std::array<std::vector<Candidate>, kLayers + 1> candidates;  // by layer, from 1
};

// The octave of the doubled frame.
Octave first_octave(const GrayFrame& frame, SiftWorkspace& workspace);

struct Around {
  float rows[3][4];  // above, at and below a point; of each the fourth means nothing
};

// The octave's last image around a point at least a pixel from the border.
Around last_image(const Octave& octave, int column, int row);

// Its first image is every second pixel of an image of the octave before, whose others it
// overwrites.
Octave next_octave(const Octave& before, SiftWorkspace& workspace);

}  // namespace steadyview::matching
