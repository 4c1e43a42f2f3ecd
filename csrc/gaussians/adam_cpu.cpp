#include "common/isa.h"
#include "common/parallel.h"
#include "gaussians/adam.h"
#include "gaussians/rows.h"

namespace steadyview::gaussians {

void adam_cpu(const Adam& adam) {
  constexpr int64_t kChunk = 1 << 15;  // numbers
  const int64_t rows = adam.width < kChunk ? kChunk / (adam.width > 0 ? adam.width : 1) : 1;
  parallel_for(0, adam.rows, rows, [&](int64_t first, int64_t last) {
    return STEADYVIEW_FOR_ISA(gaussians, adam_rows(adam, first, last));
  });
}

}  // namespace steadyview::gaussians
