#pragma once

#include <cstdint>

#include "common/isa.h"

// The inner loops, compiled once for each instruction set. They give the same bits in each: none
// contracts a product and a sum.
namespace steadyview::depth {

// Rows of a picture that enter and leave the windows, either may be null, and what they add to.
template <typename T>
struct Entering {
  const T *first_in, *second_in;  // guide and source, or slope and offset
  const T *first_out, *second_out;
  double first_centre, second_centre;
  int64_t width;
  double* columns;  // (4 or 2, stride): sums down the windows, 0 beyond the width
  int64_t stride;
};

// A row of windows: columns summed up across.
struct Across {
  const double* columns;  // as above, the first of the width
  int64_t stride, width, radius;
  double* sums;                  // (4 or 2, width) of scratch
  const double* inverse_widths;  // (width): 1 / columns in a window
  double inverse_height;         // 1 / rows in a window
};

// A row of a frame and one of its neighbours in time.
template <typename T, typename F>
struct Neighbour {
  const T *flow_x, *flow_y;   // of the row
  const T *own, *other;       // disparity of the row, and of the whole neighbour
  const F *colours, *others;  // of the row and of the whole neighbour, `height * width` apart
  int64_t y, height, width, channels;
  F colour_tolerance;
  T limit;              // of the difference of disparities
  T *total, *weighted;  // (width)
};

template <typename T>
struct Rows {
  double (*sum)(const T* values, int64_t width);
  // x, y, x x and x y of guide and source
  void (*enter_products)(const Entering<T>&);
  // slope and offset
  void (*enter_lines)(const Entering<T>&);
  void (*fit_lines)(const Across&, double epsilon, T* slope, T* offset);
  void (*apply_lines)(const Across&, const T* guide, double guide_centre, double source_centre,
                      T least, T* output);
  // Widens range[0], range[1] by what is known.
  void (*widen)(const T* disparity, int64_t width, T* range);
  void (*begin)(const T* disparity, int64_t width, T* total, T* weighted);
  void (*add_bytes)(const Neighbour<T, uint8_t>&);
  void (*add_floats)(const Neighbour<T, T>&);
  // The mean, and the disparity or, where it is not known, the mean.
  void (*finish)(const T* disparity, const T* total, const T* weighted, int64_t width, T* mean,
                 T* guide);
};

#define STEADYVIEW_DEPTH_ROWS(isa) \
  namespace isa {                  \
  Rows<float> float_rows();        \
  Rows<double> double_rows();      \
  }
STEADYVIEW_DEPTH_ROWS(baseline)
STEADYVIEW_DEPTH_ROWS(avx2)
STEADYVIEW_DEPTH_ROWS(avx512)
#undef STEADYVIEW_DEPTH_ROWS

// Those for this processor.
template <typename T>
const Rows<T>& depth_rows();

}  // namespace steadyview::depth
