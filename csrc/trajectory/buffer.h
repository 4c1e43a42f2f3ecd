#pragma once

// Included once an instruction set (see isa.h): everything is inside STEADYVIEW_ISA.

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace steadyview {
namespace STEADYVIEW_ISA {

// Zeroed, aligned to a cache line; never resized.
class Buffer {
 public:
  explicit Buffer(int64_t count) {
    const size_t wanted = static_cast<size_t>(std::max<int64_t>(count, 1)) * 8;
    const size_t huge = size_t{1} << 21, unit = wanted >= huge ? huge : 64;
    const size_t bytes = (wanted + unit - 1) / unit * unit;
    data_ = static_cast<double*>(std::aligned_alloc(unit, bytes));
    if (!data_) throw std::bad_alloc();
#if defined(__linux__)
    if (unit == huge) madvise(data_, bytes, MADV_HUGEPAGE);  // else page faults cost as much as all
#endif
    std::memset(data_, 0, bytes);
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  double* operator+(int64_t offset) { return data_ + offset; }
  double& operator[](int64_t index) { return data_[index]; }

 private:
  double* data_;
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
