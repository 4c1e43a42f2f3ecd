// Compiled for each instruction set.
#include "gaussians/adam_maths.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {
namespace {

// Numbers [first, last) of all, of one rate.
void adam_range(const Adam& a, float rate, int64_t first, int64_t last) {
  const float* __restrict gradient = a.gradient;
  float* __restrict values = a.values, * __restrict mean = a.mean, * __restrict square = a.square;
  for (int64_t i = first; i < last; ++i) {
    adam_step(a, rate, gradient[i], values[i], mean[i], square[i]);
  }
}

}  // namespace

void adam_rows(const Adam& adam, int64_t first, int64_t last) {
  const Adam a = adam;
  const float head = a.head_rate * a.scale1, tail = a.tail_rate * a.scale1;
  if (!a.seen && a.head >= a.width) return adam_range(a, head, first * a.width, last * a.width);
  for (int64_t row = first; row < last; ++row) {
    if (a.seen && !a.seen[row]) continue;
    const int64_t at = row * a.width, middle = at + least(a.head, a.width);
    adam_range(a, head, at, middle);
    adam_range(a, tail, middle, at + a.width);
  }
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
