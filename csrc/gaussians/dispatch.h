#pragma once

#include "common/isa.h"

// Returns function(...) of the variant for this processor.
#if defined(__x86_64__)
#define STEADYVIEW_GAUSSIANS_RETURN(function, ...)       \
  switch (active_isa()) {                                \
    case Isa::avx512:                                    \
      return gaussians::avx512::function(__VA_ARGS__);   \
    case Isa::avx2:                                      \
      return gaussians::avx2::function(__VA_ARGS__);     \
    default:                                             \
      return gaussians::baseline::function(__VA_ARGS__); \
  }
#else
#define STEADYVIEW_GAUSSIANS_RETURN(function, ...) return gaussians::baseline::function(__VA_ARGS__)
#endif
