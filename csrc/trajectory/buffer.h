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

#include "common/huge_pages.h"

namespace steadyview {
namespace STEADYVIEW_ISA {

// Zeroed, aligned to a cache line; never resized.
class Buffer {
 public:
  explicit Buffer(int64_t count) {
    bytes_ = static_cast<size_t>(std::max<int64_t>(count, 1)) * 8;
#if defined(__linux__)
    // Huge pages, else page faults cost as much as all; the kernel's are zero already.
    if (bytes_ >= kHugePage) {
      mapped_ = bytes_ + 2 * kHugePage;
      base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (base_ == MAP_FAILED) throw std::bad_alloc();
      const auto address = reinterpret_cast<uintptr_t>(base_);
      data_ = reinterpret_cast<double*>((address + kHugePage - 1) / kHugePage * kHugePage);
      ask_for_huge_pages(data_, bytes_ + kHugePage - 1);
      return;
    }
#endif
    const size_t rounded = (bytes_ + 63) / 64 * 64;
    base_ = std::aligned_alloc(64, rounded);
    if (!base_) throw std::bad_alloc();
    data_ = static_cast<double*>(base_);
    std::memset(base_, 0, rounded);
  }
  ~Buffer() {
#if defined(__linux__)
    if (mapped_) {
      munmap(base_, mapped_);
      return;
    }
#endif
    std::free(base_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  double* operator+(int64_t offset) { return data_ + offset; }
  double& operator[](int64_t index) { return data_[index]; }

 private:
  void* base_ = nullptr;
  double* data_ = nullptr;
  size_t bytes_ = 0, mapped_ = 0;
};

}  // namespace STEADYVIEW_ISA
}  // namespace steadyview
