#pragma once

// Adam over rows that lie one after another, for files that are compiled for each instruction set.

#include "gaussians/adam_maths.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

constexpr int64_t kPattern = 1200;  // numbers

// The rates of columns from `from` on, laid out for as many rows as fit, so that vectors run across
// the rows' ends. Wider rows go in pieces.
struct Rates {
  int64_t columns, rows;
  float rates[kPattern];

  Rates(const Adam& a, int64_t from) {
    columns = least(kPattern, a.width - from);
    rows = a.seen || columns < a.width ? 1 : kPattern / columns;
    for (int64_t i = 0; i < columns; ++i) {
      rates[i] = (from + i < a.head ? a.head_rate : a.tail_rate) * a.scale1;
    }
    for (int64_t i = columns; i < rows * columns; ++i) rates[i] = rates[i - columns];
  }
};

// Rows [first, last), whose gradients begin at `gradient`.
inline void adam_range(const Adam& adam, const Rates& rates, int64_t from, int64_t first,
                       int64_t last, const float* gradient) {
  const Adam a = adam;
  for (int64_t row = first; row < last; row += rates.rows) {
    if (a.seen && !a.seen[row]) continue;
    const int64_t at = row * a.width + from, count = least(rates.rows, last - row) * rates.columns;
    const float* __restrict by = gradient + (at - first * a.width);
    const float* __restrict rate = rates.rates;
    float* __restrict values = a.values + at;
    float* __restrict mean = a.mean + at;
    float* __restrict square = a.square + at;
    for (int64_t i = 0; i < count; ++i) {
      adam_step(a, rate[i], by[i], values[i], mean[i], square[i]);
    }
  }
}

}  // namespace
}  // namespace steadyview::gaussians::STEADYVIEW_ISA
