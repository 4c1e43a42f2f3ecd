#pragma once

#include <cstdint>

namespace steadyview {

// What the kernels work in. On the CPU `images` is 1, one image after the other; else the batch.
template <typename T>
struct FillScratch {
  uint8_t* known;  // (images, height, width): no hole, and finite
  uint8_t* kept;   // likewise: 0 in holes, 1 where known, 2 + line where filled along a line; is
                   // `known` when gap is 0
  T* weight;       // (images, height, width): as a source of the pyramid
  T* depth;        // (images, height, width): 0 where it has no use; null without depth
  T* pyramid;      // images * (channels + 1) * fill_cells(height, width)
};

// Cells of all levels of the pyramid above the image's pixels.
int64_t fill_cells(int64_t height, int64_t width);

// Fills holes from their rims; see python/steadyview/ops/fill.py.
//
// A gap of up to `gap` pixels on one of four lines is interpolated between its ends: of the lines
// that qualify (with depth, on the farthest surface around), that whose ends differ least. Of what
// is left, the rim (known pixels that touch a hole) is averaged down a pyramid (pull), and holes
// take what the coarser level has (push). Push is bilinear, P, and pull its transpose: with values
// v and weights w <= 1 of a level, the next one has the weight s = P^T w, cut off at 1, and the
// value P^T (w v) / s. Back down, a value is w v + (1 - w) P v.
//
// With depth, a rim pixel counts less the nearer it is than the other ends of the hole's lines that
// start there: the farther side of a hole fills it.
template <typename T>
struct FillHoles {
  const T* image;        // (batch, channels, height, width)
  const uint8_t* holes;  // (batch, height, width), not 0 where a hole is
  const T* depth;        // (batch, height, width), larger is farther; or null
  T* output;             // as the image
  int64_t batch, channels, height, width;
  int64_t gap;  // pixels
  FillScratch<T> scratch;
};

template <typename T>
struct FillHolesGradient {
  FillHoles<T> forward;  // output is scratch, of as many images as the rest of it
  const T* grad_output;  // (batch, channels, height, width)
  T* grad_image;         // likewise
};

template <typename T>
void fill_holes_cpu(const FillHoles<T>&);
template <typename T>
void fill_holes_gradient_cpu(const FillHolesGradient<T>&);

// Return an error's text or null.
template <typename T>
const char* fill_holes_cuda(const FillHoles<T>&, void* stream);
template <typename T>
const char* fill_holes_gradient_cuda(const FillHolesGradient<T>&, void* stream);

}  // namespace steadyview
