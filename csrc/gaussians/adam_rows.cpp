// Compiled for each instruction set.
#include "gaussians/adam_range.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians::STEADYVIEW_ISA {

void adam_rows(const Adam& a, int64_t first, int64_t last) {
  for (int64_t from = 0; from < a.width; from += kPattern) {
    adam_range(a, Rates(a, from), from, first, last, a.gradient + first * a.width);
  }
}

}  // namespace steadyview::gaussians::STEADYVIEW_ISA
