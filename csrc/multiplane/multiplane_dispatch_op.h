#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

#include "common/check.h"
#include "common/device_op.h"

namespace steadyview::multiplane {

// Source and target pixels are counted in 32 bits.
inline void check_pixels(const char* op, const char* name, int64_t height, int64_t width) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (height < 0 || width < 0 || height > kMost || width > kMost ||
      (width > 0 && height > kMost / width)) {
    check::fail(op, name, " must have at most ", kMost, " pixels, got ", height, " x ", width);
  }
}

template <typename Compute>
void for_type(const at::Tensor& tensor, Compute compute) {
  tensor.scalar_type() == at::kFloat ? compute.template operator()<float>()
                                     : compute.template operator()<double>();
}

}  // namespace steadyview::multiplane
