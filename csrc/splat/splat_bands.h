#pragma once

// What splat_cpu.cpp calls in the variants of splat_bands.cpp.

#include "splat/splat.h"
#include "warp/warp_rows.h"

namespace steadyview {

#define STEADYVIEW_SPLAT_VARIANT(isa)                                                     \
  namespace splatting::isa {                                                              \
  /* Three channels (from band.channel on) and the weight of a band of target rows. */    \
  template <typename T>                                                                   \
  void splat_band(const ForwardSplat<T>& splat, const ScatterBand<T>& band);              \
  /* nearest_z. sums: depths (last - first, width), then as many int32 source pixels. */  \
  template <typename T>                                                                   \
  void nearest_band(const ForwardSplat<T>& splat, const ScatterBand<T>& band);            \
  /* Rows first ... last - 1 of all images: scale_gradient, and then gather_gradient. */  \
  template <typename T>                                                                   \
  void scale_rows(const ForwardSplatGradient<T>& gradient, int64_t first, int64_t last);  \
  template <typename T>                                                                   \
  void gather_rows(const ForwardSplatGradient<T>& gradient, int64_t first, int64_t last); \
  }
STEADYVIEW_SPLAT_VARIANT(baseline)
STEADYVIEW_SPLAT_VARIANT(avx2)
STEADYVIEW_SPLAT_VARIANT(avx512)
#undef STEADYVIEW_SPLAT_VARIANT

// The flow of a splat, as that of a backward warp that the splat is the transpose of.
template <typename T>
STEADYVIEW_HOST_DEVICE BackwardWarp<T> as_warp(const ForwardSplat<T>& splat) {
  return {.image = nullptr,
          .output = nullptr,
          .motion = {splat.flow, nullptr, nullptr, nullptr, 0},
          .batch = splat.batch,
          .channels = splat.channels,
          .height = splat.height,
          .width = splat.width,
          .output_height = splat.height,
          .output_width = splat.width,
          .filter = Filter::bilinear,
          .border = Border::constant,
          .fill = T(0)};
}

}  // namespace steadyview
