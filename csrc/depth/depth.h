#pragma once

#include <cstdint>

namespace steadyview {

// What the filter works in.
template <typename T>
struct GuidedScratch {
  T* lines;       // (pictures, 2, height, width): slope and offset of each window's line
  double* facts;  // (pictures, 4), see depth_maths.h
  double* sums;   // (4, height, width); on the CPU null
};

// He, Sun and Tang's guided filter; see python/steadyview/ops/depth.py. Sums are double.
template <typename T>
struct GuidedFilter {
  const T *guide, *source;  // (pictures, height, width)
  T* output;                // likewise; may be the source
  int64_t pictures, height, width;
  int64_t radius;
  double epsilon;  // times the square of the picture's range where that is used
  T least;         // of the output
  // The range stands in the facts; pictures without one are left as they are, but for `least`.
  bool by_range;
  GuidedScratch<T> scratch;
};

// Disparity averaged with its neighbours in time along the flow, then filtered.
template <typename T, typename F>  // F: uint8_t, or T in [0, 1]
struct SmoothDepth {
  const T* disparity;                     // (frames, height, width)
  const F* pictures;                      // (frames, channels, height, width)
  const T *forward_flow, *backward_flow;  // (frames - 1, 2, height, width) in pixels
  T* output;                              // (frames, height, width)
  int64_t frames, channels, height, width;
  F colour_tolerance;          // in units of the pictures
  double disparity_tolerance;  // share of the frame's range
  int64_t radius;              // of the filter; 0: none
  double epsilon;
  // Of `group` frames at a time. With radius 0 the lines are null.
  int64_t group;
  T* guide;  // (group, height, width)
  GuidedScratch<T> scratch;
};

template <typename T>
void guided_filter_cpu(const GuidedFilter<T>&);
template <typename T, typename F>
void smooth_depth_cpu(const SmoothDepth<T, F>&);

// Return an error's text or null.
template <typename T>
const char* guided_filter_cuda(const GuidedFilter<T>&, void* stream);
template <typename T, typename F>
const char* smooth_depth_cuda(const SmoothDepth<T, F>&, void* stream);

}  // namespace steadyview
