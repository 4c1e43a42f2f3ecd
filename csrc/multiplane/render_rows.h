#pragma once

// What render_cpu.cpp calls in the variants of render_rows.cpp.

#include "common/isa.h"
#include "multiplane/multiplane.h"
#include "warp/warp_rows.h"

namespace steadyview {

// Numbers of scratch for a row: a tile's samples of each plane, what shines through to it, and two
// lines beside them.
inline int64_t render_scratch(int64_t planes, int64_t channels) {
  return (planes * (channels + 1) + 2) * kWarpTile;
}

#define STEADYVIEW_RENDER_VARIANT(isa)                                                            \
  namespace multiplane::isa {                                                                     \
  /* Composites an output row. scratch: render_scratch(1, channels), aligned to 64 bytes. */      \
  template <typename T>                                                                           \
  void render_row(const MultiplaneRender<T>& render, int64_t view, int64_t row, T* scratch);      \
  /* Gradients of a row by the samples of its planes, into g.samples. scratch: for all planes. */ \
  template <typename T>                                                                           \
  void sample_gradients(const MultiplaneRenderGradient<T>& g, int64_t view, int64_t row,          \
                        T* scratch);                                                              \
  }
STEADYVIEW_RENDER_VARIANT(baseline)
STEADYVIEW_RENDER_VARIANT(avx2)
STEADYVIEW_RENDER_VARIANT(avx512)
#undef STEADYVIEW_RENDER_VARIANT

}  // namespace steadyview
