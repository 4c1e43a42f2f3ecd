#pragma once

// SIFT features (Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004) with
// the settings and the order of OpenCV's defaults: three layers an octave, first octave of the
// doubled image, contrast 0.04, edge 10, sigma 1.6, no limit to their number.

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace steadyview::matching {

constexpr int kSiftLength = 128;

struct SiftFeatures {
  std::vector<float> points;         // (count, 2) pixel indices x, y
  std::vector<uint8_t> descriptors;  // (count, kSiftLength)
};

// Rows of floats with room for whole vectors behind each and behind the last.
struct Plane {
  int width = 0, height = 0;
  int64_t stride = 0;  // floats
  float* data = nullptr;

  float* row(int64_t y) const { return data + y * stride; }
};

constexpr int kRowSlack = 64;  // floats that kernels may read and write beyond a row

// Memory that is used again from frame to frame: about 200 bytes a pixel of the frame.
class SiftWorkspace {
 public:
  // An image with memory of its own for each slot; slots only grow. Its contents are undefined.
  Plane plane(size_t slot, int width, int height);

 private:
  std::vector<std::vector<float>> slots_;
};

// One frame on the calling thread: callers run several frames side by side, each with a workspace.
// `gray` has `height` rows of `width` bytes, `stride` bytes apart.
SiftFeatures find_sift(const uint8_t* gray, int64_t stride, int width, int height,
                       SiftWorkspace& workspace);

struct BlurParams {
  Plane source, target, difference;  // difference: target - source; none when its data is null
  const float* taps;                 // (radius + 1) from the middle outwards
  int radius;
  float* scratch;  // width + 2 radius + 2 kRowSlack + (2 radius + 1) source.stride floats
};

struct ExtremaParams {
  Plane below, at, above;  // differences of Gaussians
  int row;                 // border <= row < height - border
  int border;
  float threshold;
  int32_t* columns;  // (width) out: those of the extrema
};

// Gradients around a point of a blurred image.
struct PatchParams {
  Plane image;
  int x, y, radius;
  float angle;     // degrees: of the descriptor's frame
  float width;     // descriptor: pixels a cell; orientation: sigma of the window
  float* scratch;  // 8 rows of 2 radius + 1 + kRowSlack floats
};

struct SiftKernels {
  void (*blur)(const BlurParams&);
  int (*extrema)(const ExtremaParams&);                  // returns how many
  void (*orientation)(const PatchParams&, float* bins);  // (36), not yet smoothed
  void (*descriptor)(const PatchParams&, uint8_t* out);  // (kSiftLength)
};

}  // namespace steadyview::matching
