#pragma once

// How the rows of an image are shared out where pixels add to them.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "warp/warp_rows.h"

namespace steadyview {

struct BandPlan {
  std::vector<RowReach> reach;  // (batch, output_height, tiles)
  int64_t rows, count;          // of a band; bands of an image
};

// Depends on the source points alone.
template <typename T>
BandPlan plan_bands(const BackwardWarp<T>& warp, const double* basis);

// A thread's sums, kept between calls while small: fresh memory costs more than the sums do.
template <typename T>
T* zeroed_sums(size_t count) {
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<T, Free> sums;
  thread_local size_t capacity = 0;
  if (capacity < count || capacity > count + (size_t{1} << 21)) {
    sums.reset();
    capacity = 0;
    sums.reset(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})));
    capacity = count;
  }
  std::fill_n(sums.get(), count, T(0));
  return sums.get();
}

}  // namespace steadyview
