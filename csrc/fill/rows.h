#pragma once

#include <cstdint>

#include "common/isa.h"

// The inner loops of the pyramid, compiled once for each instruction set. They give the same bits
// in each: none contracts a product and a sum.
namespace steadyview::filling {

// What pull sums up of a row of a plane, with a second row beside it.
enum class Pulled : int {
  weighted,   // value * second: the image, by its weights as sources
  plain,      // value
  opacities,  // value cut off at 1: the weights
  open,       // value * (1 - opacity of second): gradients that pass a level
};

template <typename T>
struct PullRows {
  const T* values[4];  // the rows 2 Y - 1 to 2 Y + 2; null outside
  const T* second[4];  // likewise
  T weights[4];        // of the rows
  int64_t width;       // of these rows
  T* sums;             // width + 4 numbers of scratch
  T* output;           // (width + 1) / 2
};

template <typename T>
struct PushRows {
  const T *own, *beside;  // rows of the coarser level
  int64_t coarse_width;
  const T* weight;  // (width) of the finer level
  int64_t width;
  T* sums;    // coarse_width + 2 numbers of scratch
  T* values;  // (width): push, times 1 - opacity(weight), is added; null weight: times 1
};

// Gaps of more pixels are walked across.
inline constexpr int64_t kShortGap = 64;

template <typename T>
struct Rows {
  // known = no hole and finite; output = image, or 0 where not known. Channels are `stride` apart.
  void (*prepare)(const T* image, const uint8_t* holes, int64_t channels, int64_t stride,
                  int64_t width, uint8_t* known, T* output);
  // depth where it is known, positive and finite, else 0
  void (*clean_depth)(const T* depth, const uint8_t* known, int64_t width, T* output);
  // Steps to the next known pixel from the pixels of row y, at most `gap`, in each of the eight
  // directions: (8, width), 0 where there is none.
  void (*measure_gaps)(const uint8_t* known, int64_t height, int64_t width, int64_t gap, int64_t y,
                       uint8_t* steps);
  // 1 where a pixel is not 0 and one of the nine is. The rows may be null, but for the middle one.
  void (*rim)(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t width,
              uint8_t* rim);
  void (*pull)(const PullRows<T>&, Pulled);
  // values *= normaliser(weight)
  void (*normalise)(const T* weight, int64_t width, T* values);
  void (*push)(const PushRows<T>&);
};

#define STEADYVIEW_FILL_ROWS(isa) \
  namespace isa {                 \
  Rows<float> float_rows();       \
  Rows<double> double_rows();     \
  }
STEADYVIEW_FILL_ROWS(baseline)
STEADYVIEW_FILL_ROWS(avx2)
STEADYVIEW_FILL_ROWS(avx512)
#undef STEADYVIEW_FILL_ROWS

}  // namespace steadyview::filling
