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
  std::vector<RowReach> reach;      // (batch, output_height, tiles)
  std::vector<RowReach> row_reach;  // (batch, output_height): of a row's tiles together
  int64_t rows, count;              // of a band; bands of an image
};

// Depends on the source points alone.
template <typename T>
BandPlan plan_bands(const BackwardWarp<T>& warp, const double* basis);

// A thread's sums, kept between calls while small: fresh memory costs more than the sums do. One at
// a time in a thread.
template <typename T>
class ZeroedSums {
 public:
  static constexpr size_t kMostKept = size_t{1} << 21;

  explicit ZeroedSums(size_t count) : ZeroedSums(count, count) {}
  // Zero are those before `zeros`.
  ZeroedSums(size_t count, size_t zeros) {
    if (kept().count < count) {
      kept().sums.reset();
      kept().count = 0;
      kept().sums.reset(static_cast<T*>(::operator new(count * sizeof(T), kAlignment)));
      kept().count = count;
    }
    std::fill_n(get(), zeros, T(0));
  }
  ~ZeroedSums() {
    if (kept().count > kMostKept) kept() = {};
  }
  ZeroedSums(const ZeroedSums&) = delete;
  ZeroedSums& operator=(const ZeroedSums&) = delete;

  T* get() const { return kept().sums.get(); }

  // Numbers that this thread holds.
  static size_t held() { return kept().count; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  struct Kept {
    std::unique_ptr<T, Free> sums;
    size_t count = 0;
  };
  static Kept& kept() {
    thread_local Kept of_thread;
    return of_thread;
  }
};

}  // namespace steadyview
