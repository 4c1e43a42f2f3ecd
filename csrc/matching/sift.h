#pragma once

// SIFT features (Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004) with
// the settings and the order of OpenCV's defaults: three layers an octave, first octave of the
// doubled image, contrast 0.04, edge 10, sigma 1.6, no limit to their number.

#include <stddef.h>
#include <stdint.h>

#include <cstdlib>
#include <memory>
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

// Memory that is used again from frame to frame: about 85 bytes a pixel of the frame.
class SiftWorkspace {
 public:
  // An image with memory of its own for each slot; slots only grow. Its contents are undefined.
  Plane plane(size_t slot, int width, int height);

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  struct Memory {
    std::unique_ptr<float[], Free> data;
    size_t count = 0;
  };
  static float* reserve(size_t count);

  static constexpr size_t kAlign = 64;  // bytes: a line of the cache

  std::vector<Memory> slots_;
};

// One frame on the calling thread: callers run several frames side by side, each with a workspace.
// `gray` has `height` rows of `width` bytes, `stride` bytes apart.
SiftFeatures find_sift(const uint8_t* gray, int64_t stride, int width, int height,
                       SiftWorkspace& workspace);

}  // namespace steadyview::matching
