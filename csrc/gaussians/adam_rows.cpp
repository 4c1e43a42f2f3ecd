// Compiled for each instruction set.
#include "gaussians/adam_maths.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int64_t kPattern = 1200;  // numbers

// `count` numbers from `at` on, with a rate each.
void adam_range(const Adam& a, const float* __restrict rates, int64_t at, int64_t count) {
  const float* __restrict gradient = a.gradient + at;
  float* __restrict values = a.values + at;
  float* __restrict mean = a.mean + at;
  float* __restrict square = a.square + at;
  for (int64_t i = 0; i < count; ++i) {
    adam_step(a, rates[i], gradient[i], values[i], mean[i], square[i]);
  }
}

}  // namespace

// The rates are laid out for as many rows as fit, so that vectors run across the rows' ends.
void adam_rows(const Adam& adam, int64_t first, int64_t last) {
  const Adam a = adam;
  float rates[kPattern];
  // Wider rows go in pieces.
  for (int64_t from = 0; from < a.width; from += kPattern) {
    const int64_t columns = least(kPattern, a.width - from), fit = kPattern / columns;
    const int64_t rows = a.seen || columns < a.width ? 1 : fit;
    for (int64_t i = 0; i < rows * columns; ++i) {
      rates[i] = (from + i % columns < a.head ? a.head_rate : a.tail_rate) * a.scale1;
    }
    for (int64_t row = first; row < last; row += rows) {
      if (a.seen && !a.seen[row]) continue;
      adam_range(a, rates, row * a.width + from, least(rows, last - row) * columns);
    }
  }
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
