#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <cstdint>

namespace steadyview {

inline constexpr size_t kHugePage = size_t{1} << 21;

// Asks for huge pages under memory that was just allocated: page by page, faults can take as long
// as a kernel. Inlined, for files that are compiled for each instruction set.
[[gnu::always_inline]] inline void ask_for_huge_pages([[maybe_unused]] void* data,
                                                      [[maybe_unused]] size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t page = 4096;
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (address + page - 1) / page * page;
  if (first < address + bytes) {
    madvise(reinterpret_cast<void*>(first), address + bytes - first, MADV_HUGEPAGE);
  }
#endif
}

}  // namespace steadyview
