#include "common/isa.h"
#include "common/parallel.h"
#include "splat/splat_bands.h"
#include "warp/bands.h"

namespace steadyview {
namespace {

constexpr int64_t kRows = 8;

}  // namespace

template <typename T>
void forward_splat_cpu(const ForwardSplat<T>& splat) {
  if (splat.batch == 0 || splat.height == 0 || splat.width == 0) return;
  const bool nearest = splat.mode == SplatMode::nearest_z;
  const BandPlan plan = plan_bands(as_warp(splat), nullptr);
  const int64_t tiles = (splat.width + kWarpTile - 1) / kWarpTile;
  // Without channels there are still weights.
  const int64_t blocks = nearest || splat.channels == 0 ? 1 : (splat.channels + 2) / 3;
  const auto band = nearest ? STEADYVIEW_FOR_ISA(splatting, nearest_band<T>)
                            : STEADYVIEW_FOR_ISA(splatting, splat_band<T>);
  parallel_for(0, splat.batch * blocks * plan.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / plan.count / blocks, first = i % plan.count * plan.rows;
      const int64_t last = std::min(first + plan.rows, splat.height);
      const ZeroedSums<T> sums(band_size(Filter::bilinear, last - first, splat.width));
      band(splat, {.n = n,
                   .channel = i / plan.count % blocks * 3,
                   .first = first,
                   .last = last,
                   .reach = plan.reach.data() + n * splat.height * tiles,
                   .row_reach = plan.row_reach.data() + n * splat.height,
                   .sums = sums.get()});
    }
  });
}

template <typename T>
void forward_splat_gradient_cpu(const ForwardSplatGradient<T>& gradient) {
  const ForwardSplat<T>& splat = gradient.forward;
  const int64_t rows = splat.batch * splat.height;
  if (splat.width == 0) return;
  if (splat.mode != SplatMode::nearest_z) {
    const auto scale = STEADYVIEW_FOR_ISA(splatting, scale_rows<T>);
    parallel_for(0, rows, kRows, [&](int64_t a, int64_t b) { scale(gradient, a, b); });
  }
  const auto gather = STEADYVIEW_FOR_ISA(splatting, gather_rows<T>);
  parallel_for(0, rows, kRows, [&](int64_t a, int64_t b) { gather(gradient, a, b); });
}

template void forward_splat_cpu(const ForwardSplat<float>&);
template void forward_splat_cpu(const ForwardSplat<double>&);
template void forward_splat_gradient_cpu(const ForwardSplatGradient<float>&);
template void forward_splat_gradient_cpu(const ForwardSplatGradient<double>&);

}  // namespace steadyview
